//! Who is told of runs while nobody looks: at once when a run stops by itself, fails or ends; a step that waits in a run
//! that is confirmed step by step only when nobody has pressed a key for a while.

use crate::console::model::{Calling, Model};
use crate::console::msg::Effect;
use crate::domain::notice::{is_urgent, notice};
use crate::domain::run::{RunChange, RunEvent};

/// A run goes on; the model has the event already.
pub(super) fn hear(model: &mut Model, event: &RunEvent) -> Vec<Effect> {
    if matches!(
        event.change,
        RunChange::State { .. } | RunChange::StepStarted { .. } | RunChange::Finished { .. }
    ) {
        model.calling.remove(&event.op);
    }
    let Some(run) = model.run(event.op) else { return Vec::new() };
    let Some(notice) = notice(run, &model.setup.policy.context, &event.change) else { return Vec::new() };
    if !model.setup.tells.contains(&notice.cause) {
        return Vec::new();
    }
    if is_urgent(&notice, run) || model.setup.tells_after.is_zero() {
        return vec![Effect::Tell(notice)];
    }
    model.calling.insert(event.op, Calling { since: model.now.max(event.at), notice });
    Vec::new()
}

/// Time goes on: steps that have waited long enough are told.
pub(super) fn due(model: &mut Model) -> Vec<Effect> {
    let (now, after) = (model.now, model.setup.tells_after);
    let is_due = |calling: &Calling| now.since(calling.since) >= after;
    let due: Vec<_> =
        model.calling.iter().filter(|(_, calling)| is_due(calling)).map(|(op, _)| *op).collect();
    due.into_iter()
        .filter_map(|op| model.calling.remove(&op))
        .map(|calling| Effect::Tell(calling.notice))
        .collect()
}

/// Somebody is there: what waits begins to wait anew.
pub(super) fn attended(model: &mut Model) {
    let now = model.now;
    model.calling.values_mut().for_each(|calling| calling.since = now);
}
