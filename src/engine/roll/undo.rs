//! Putting back what the run of a node left: its own undo, under the roll's lock.

use super::family::{Family, Kin};
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::{Outcome, RunChange, RunState};
use crate::engine::driver::put_back_within;
use crate::engine::job::{Ending, Job};
use crate::engine::journal;
use std::sync::Arc;

/// Puts back what the run of the step's node left.
pub(in crate::engine) async fn put_back_turn(job: &Job) -> Ending {
    let node = job.node()?;
    let turn = job.shared.voice.look(|view| {
        let roll = view.roll.as_ref()?;
        let turn = roll.turns.iter().find(|turn| turn.node == *node)?;
        Some((turn.step, turn.run.clone()?))
    });
    let Some((step, run)) = turn.flatten() else {
        return Ok(Outcome::Skipped(format!("no run of {node} left anything")));
    };
    let state_dir = &job.backends().settings.state_dir;
    let record = journal::turn(&journal::directory(state_dir), &run)?.filter(|record| {
        record.view.is_some() && !matches!(record.state(), RunState::Done | RunState::Aborted)
    });
    let Some(record) = record else {
        return Ok(Outcome::Skipped(format!("run {run} left nothing")));
    };
    let kin = Kin { family: Arc::<Family>::default(), keeper: job.shared.keeper() };
    let permit = job.shared.turn_permit(node)?;
    let op = job.shared.voice.op();
    let mut child = put_back_within(job.backends().clone(), &record, permit, op, kin)?;
    let _stop = child.cancel.clone().drop_guard();
    let mut left = None;
    while let Some(event) = child.events.recv().await {
        if let RunChange::Finished { state, left: words } = &event.change {
            left = Some((*state, words.clone()));
        }
        job.shared.voice.tell(RunChange::Child { step, child: Box::new(event) }).await;
    }
    match left {
        Some((RunState::Aborted, left)) if left.is_empty() => {
            Ok(Outcome::Done(format!("{node} is as it was found")))
        }
        Some((RunState::Aborted, left)) => Ok(Outcome::Warned(left.join("; "))),
        _ => Err(Report::new(FailureKind::Refused, format!("run {run} could not be put back"))
            .hint(format!("pitstop runs show {run}"))),
    }
}
