//! The terminal's title: how the run that matters most stands, and in which cluster.

use super::model::Model;
use crate::domain::notice::headline;
use crate::domain::run::{RunState, RunView};

/// The title now.
pub fn title(model: &Model) -> String {
    let context = &model.setup.policy.context;
    let place = if context.is_empty() { "pitstop".to_owned() } else { format!("pitstop {context}") };
    let urgency = |run: &&RunView| match run.state {
        RunState::Failed => 0,
        RunState::Waiting => 1,
        RunState::Paused => 2,
        _ => 3,
    };
    let live = model.live_runs().min_by_key(urgency);
    // a run that has ended stays in the title while it is open
    let Some(run) = live.or_else(|| model.open_run()) else {
        let rollout = model.watch.rollout.headline(model.now).filter(|_| model.watch.rollout.is_rolling());
        return rollout.map_or(place.clone(), |words| format!("{words} - {place}"));
    };
    let sign = match run.state {
        RunState::Failed => "! ",
        RunState::Waiting | RunState::Paused => "? ",
        _ => "",
    };
    format!("{sign}{} - {place}", headline(run))
}
