//! What an abort of a roll puts back: first what the runs of its nodes left, then what it cordoned on purpose.

use super::{Undo, has_ended_well, left_without_lock, uncordon, undo};
use crate::domain::plan::{Step, StepKind};
use crate::domain::roll::{RollAction, RollView, TurnView};
use crate::domain::run::{Outcome, RunState, RunView, StepState};
use std::time::Duration;

/// The run of a node that is not over as it should be.
fn open_child(turn: &TurnView) -> Option<&RunView> {
    let child = turn.child.as_deref()?;
    let is_settled = child.ended.is_some() && matches!(child.state, RunState::Done | RunState::Aborted);
    (!is_settled).then_some(child)
}

/// Nodes that it drained, and that are meant to stay cordoned.
fn drained<'v>(roll: &'v RollView, view: &'v RunView) -> impl Iterator<Item = &'v TurnView> {
    let is_drain = roll.options.action == RollAction::DrainOnly;
    roll.turns.iter().filter(move |turn| {
        is_drain
            && view.steps.get(turn.step).is_some_and(|step| {
                matches!(step.state, StepState::Ended(Outcome::Done(_) | Outcome::Warned(_), _))
            })
            && !view.steps.iter().any(|step| {
                step.is_undo
                    && step.step.kind == StepKind::Uncordon
                    && step.step.node.as_ref() == Some(&turn.node)
                    && has_ended_well(step)
            })
    })
}

pub(super) fn turns(roll: &RollView, view: &RunView, plan: &mut Undo) {
    for turn in &roll.turns {
        let Some(child) = open_child(turn) else { continue };
        let of_child = undo(child);
        if !of_child.steps.is_empty() {
            plan.steps.push(step(turn, child, &of_child));
        }
        plan.stays.extend(of_child.stays);
    }
    plan.steps.extend(drained(roll, view).map(|turn| uncordon(&turn.node)));
    let is_done = |turn: &&TurnView| {
        view.steps.get(turn.step).is_some_and(|step| {
            matches!(step.state, StepState::Ended(Outcome::Done(_) | Outcome::Warned(_), _))
        })
    };
    let done = roll.turns.iter().filter(is_done).count();
    if done > 0 && roll.options.action != RollAction::DrainOnly {
        let nodes = crate::domain::text::count(done, "node");
        plan.stays.push(match &roll.options.action {
            RollAction::Command(name) => format!("what the command {name} did to {nodes} stays"),
            _ => format!("{nodes} rebooted: there is no way back from a reboot"),
        });
    }
}

/// What the runs of its nodes left.
pub(super) fn left(roll: &RollView, view: &RunView, end: RunState) -> Vec<String> {
    let mut words = Vec::new();
    for turn in &roll.turns {
        let Some(child) = open_child(turn) else { continue };
        if child.ended.is_some() {
            words.extend(child.left.iter().cloned());
        } else {
            words.extend(left_without_lock(child, RunState::Interrupted));
        }
    }
    if end != RunState::Done {
        words.extend(
            drained(roll, view)
                .map(|turn| format!("{0} is drained by this run: kubectl uncordon {0}", turn.node)),
        );
    }
    words
}

fn step(turn: &TurnView, child: &RunView, plan: &Undo) -> Step {
    let what: Vec<&str> = plan.steps.iter().map(|step| step.what.as_str()).collect();
    let commands: Vec<&str> = plan.steps.iter().map(|step| step.command.as_str()).collect();
    Step {
        kind: StepKind::Turn,
        node: Some(turn.node.clone()),
        what: format!("put back what run {} left on {}: {}", child.id, turn.node, what.join("; ")),
        command: commands.join("; "),
        gates: Vec::new(),
        timeout: Duration::from_mins(5),
        may_skip: true,
        undo: None,
        unchecked: Vec::new(),
        not_applicable: None,
        debt: None,
    }
}
