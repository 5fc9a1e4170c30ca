//! The question before a run of an earlier process is gone on with, or before what it left is put back.

use super::confirm::{deny_beside_a_live_run, targets, world};
use super::{Confirm, Earlier, Fact, Prompt, Tone};
use crate::console::model::Model;
use crate::console::msg::Orphan;
use crate::domain::guard::{Errand, demand_for};
use crate::domain::report::{FailureKind, Report};

/// What a permit is asked for.
pub fn errand(orphan: &Orphan, aborts: bool) -> Errand {
    if aborts { Errand::PutBack } else { Errand::GoOn { has_asked: orphan.has_asked } }
}

/// Who else holds the maintenance lock.
pub fn lock_of_others(model: &Model, orphan: &Orphan) -> Option<String> {
    let lock = model.known.lock.as_ref().filter(|lock| lock.run.as_ref() != Some(&orphan.run))?;
    lock.in_the_way(&model.setup.holder, orphan.request.lock, model.now)
}

/// Puts the question, or says why it cannot be done.
///
/// # Errors
/// The run belongs to another context or machine, cannot be gone on with, or is denied by the ladder.
pub fn build(model: &Model, orphan: &Orphan, aborts: bool) -> Result<Confirm, Report> {
    let denied = |words: String| Err(Report::new(FailureKind::Denied, words));
    let verb = if aborts { "put back" } else { "resumed" };
    if let Some(why) = orphan.obstacle.as_ref().filter(|_| !aborts) {
        return denied(format!("{} cannot be resumed: {why}", orphan.run));
    }
    let here = &model.setup.policy.context;
    if orphan.context != *here {
        return denied(format!(
            "{} belongs to context {}, this console to {here}",
            orphan.run, orphan.context
        ));
    }
    let host = |holder: &str| holder.rsplit_once('@').map(|(_, host)| host.to_owned());
    if host(&orphan.holder) != host(&model.setup.holder) {
        return denied(format!(
            "{} was started by {}: it can be {verb} only there",
            orphan.run, orphan.holder
        ));
    }
    deny_beside_a_live_run(model, &orphan.request)?;
    let lock = lock_of_others(model, orphan);
    let world = world(model, lock.as_deref());
    let rung = demand_for(errand(orphan, aborts), &model.setup.policy, &orphan.request, world)?;
    let name = orphan.request.nodes.first().map_or("", |node| node.as_str());
    let title = if aborts {
        format!("Put back what the {} of {name} left?", orphan.request.kind)
    } else {
        format!("Go on with the {} of {name}?", orphan.request.kind)
    };
    Ok(Confirm {
        rung,
        title,
        facts: facts(orphan, aborts),
        choices: Vec::new(),
        at: None,
        targets: targets(model, &orphan.request.nodes),
        notice: None,
        prompt: Prompt::new(model.now),
        scroll: 0,
        earlier: Some(Earlier { run: orphan.run.clone(), aborts }),
        request: orphan.request.clone(),
    })
}

fn facts(orphan: &Orphan, aborts: bool) -> Vec<Fact> {
    let mut facts = vec![Fact::plain("run", format!("{}: {}", orphan.run, orphan.words))];
    let label = |at: usize, label: &'static str| if at == 0 { label } else { "" };
    if aborts {
        let undo = orphan.undo.iter().enumerate();
        facts.extend(undo.map(|(at, text)| Fact::plain(label(at, "will"), text.as_str())));
        if orphan.undo.is_empty() {
            facts.push(Fact::plain("will", "find nothing to put back, and close the run"));
        }
        facts.push(Fact::plain("each", "step looks first, and waits for N"));
    } else {
        let how = if orphan.has_asked {
            "read the host's boot id first: the reboot is not asked for again unless it did not happen"
        } else {
            "look again at every step that was done, then go on; each further step waits for N"
        };
        facts.push(Fact::plain("will", how));
    }
    if orphan.now.is_empty() {
        let left = orphan.left.iter().enumerate();
        facts.extend(left.map(|(at, text)| Fact::toned(Tone::Attention, label(at, "left"), text.as_str())));
    }
    let now = orphan.now.iter().enumerate();
    facts.extend(now.map(|(at, one)| Fact::toned(Tone::Attention, label(at, "left"), one.line())));
    facts
}
