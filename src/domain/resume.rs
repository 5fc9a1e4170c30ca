//! Going on with a run that another process left: which of its steps are looked at again, and which runs can be gone on with.
//!
//! A step that ended well is not believed because a journal says so: until the reboot was asked for it is carried out once
//! more, as each step reads first and changes only what is missing. From then on the way leads forward only; what lies before the
//! reboot is not repeated, and the reboot itself is asked for again only when the boot id proves that it did not happen.

use super::plan::{Kind, StepKind};
use super::run::{Outcome, RunState, RunView, StepState, StepView};
use super::undo::LEFT_OUT;

/// What is done about a step when its run is gone on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// Nothing: it is over.
    Keep,
    /// It is carried out once more without a question: it ended well, so that it should find nothing to do.
    Look,
    /// It is carried out as planned, with its question.
    Go,
}

/// Why a run cannot be gone on with; `None` = it can.
pub fn obstacle(view: &RunView) -> Option<String> {
    match view.state {
        RunState::Done if view.ended.is_some() => Some("it is done".to_owned()),
        RunState::Aborted if view.ended.is_some() => Some("it was aborted".to_owned()),
        _ if view.steps.iter().any(|step| step.is_undo) => {
            Some("its abort was begun: end that with pitstop runs abort".to_owned())
        }
        _ => None,
    }
}

/// What is done about each step of the plan. `has_asked` = the reboot may have been asked for.
pub fn course(view: &RunView, has_asked: bool) -> Vec<Again> {
    let steps: Vec<&StepView> = view.steps.iter().filter(|step| !step.is_undo).collect();
    steps.iter().map(|step| one(view, &steps, step, has_asked)).collect()
}

fn one(view: &RunView, steps: &[&StepView], step: &StepView, has_asked: bool) -> Again {
    let StepState::Ended(Outcome::Done(_) | Outcome::Warned(_) | Outcome::Skipped(_), _) = &step.state else {
        // steps before a reboot that was asked for are not begun any more, however they ended
        let is_passed = has_asked && is_before_reboot(step.step.kind);
        return if is_passed && step.step.kind != StepKind::Lock { Again::Keep } else { Again::Go };
    };
    let is_left_out = matches!(&step.state, StepState::Ended(Outcome::Skipped(why), _) if why == LEFT_OUT);
    if is_left_out || step.step.not_applicable.is_some() {
        return Again::Keep;
    }
    let of_node = |kind: StepKind| {
        steps.iter().filter(move |other| other.step.kind == kind && other.step.node == step.step.node)
    };
    let has_begun = |kind| of_node(kind).any(|other| other.attempts > 0);
    let is_over = |kind| of_node(kind).any(|other| ended_well(other));
    let is_needed = match step.step.kind {
        StepKind::Lock => !is_over(StepKind::Unlock),
        StepKind::Predict if view.kind == Kind::Roll => false,
        StepKind::Predict => !has_begun(StepKind::Drain) && !has_asked,
        StepKind::Verify => !is_over(StepKind::Uncordon),
        kind if view.kind == Kind::Reboot => is_before_reboot(kind) && !has_asked,
        StepKind::Cordon => view.kind == Kind::Drain && !is_over(StepKind::Drain),
        _ => false,
    };
    if is_needed { Again::Look } else { Again::Keep }
}

fn is_before_reboot(kind: StepKind) -> bool {
    matches!(
        kind,
        StepKind::Preflight
            | StepKind::Lock
            | StepKind::Backup
            | StepKind::Predict
            | StepKind::Cordon
            | StepKind::MoveLeader
            | StepKind::Drain
            | StepKind::Residual
            | StepKind::Recheck
    )
}

fn ended_well(step: &StepView) -> bool {
    matches!(&step.state, StepState::Ended(Outcome::Done(_) | Outcome::Warned(_) | Outcome::Skipped(_), _))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::config::DrainOptions;
    use crate::domain::ids::{OpId, RunId};
    use crate::domain::plan::Step;
    use crate::domain::time::Stamp;
    use std::time::Duration;

    const WAY: [StepKind; 16] = [
        StepKind::Preflight,
        StepKind::Lock,
        StepKind::Backup,
        StepKind::Predict,
        StepKind::Cordon,
        StepKind::MoveLeader,
        StepKind::Drain,
        StepKind::Residual,
        StepKind::Recheck,
        StepKind::Reboot,
        StepKind::Down,
        StepKind::Back,
        StepKind::Verify,
        StepKind::Uncordon,
        StepKind::Settle,
        StepKind::Unlock,
    ];

    fn step(kind: StepKind) -> Step {
        Step {
            kind,
            node: Some("cp-1".into()),
            what: String::new(),
            command: String::new(),
            gates: Vec::new(),
            timeout: Duration::ZERO,
            may_skip: false,
            undo: None,
            unchecked: Vec::new(),
            not_applicable: None,
            debt: None,
        }
    }

    /// A reboot whose first `done` steps ended well.
    fn view(done: usize) -> RunView {
        let steps = WAY.iter().enumerate().map(|(at, kind)| {
            let mut view = StepView::new(step(*kind), false);
            if at < done {
                view.attempts = 1;
                view.state = StepState::Ended(Outcome::Done(String::new()), Duration::ZERO);
            }
            view
        });
        RunView {
            op: OpId(1),
            id: RunId::from("r"),
            kind: Kind::Reboot,
            nodes: vec!["cp-1".into()],
            state: RunState::Interrupted,
            automatic: false,
            started: Stamp(0),
            ended: None,
            steps: steps.collect(),
            left: Vec::new(),
            held: None,
            window: crate::domain::window::Opening::Always,
            debts: Vec::new(),
            compared: Vec::new(),
            drain: DrainOptions::default(),
            resolve: None,
            watched: crate::domain::run::Watched::default(),
            roll: None,
            parent: None,
        }
    }

    fn of(done: usize, has_asked: bool, wanted: Again) -> Vec<StepKind> {
        let course = course(&view(done), has_asked);
        WAY.iter().zip(course).filter(|(_, again)| *again == wanted).map(|(kind, _)| *kind).collect()
    }

    #[test]
    fn before_the_reboot_everything_is_looked_at_again() {
        assert_eq!(of(8, false, Again::Go), WAY[8..]);
        // the forecast of a drain that was begun is history
        let looked: Vec<StepKind> =
            WAY[..8].iter().copied().filter(|kind| *kind != StepKind::Predict).collect();
        assert_eq!(of(8, false, Again::Look), looked);
        assert_eq!(of(5, false, Again::Look), WAY[..5]);
    }

    #[test]
    fn once_asked_the_way_leads_forward_only() {
        for done in [9, 10, 11, 12] {
            assert_eq!(of(done, true, Again::Go), WAY[done..], "{done}");
            assert_eq!(of(done, true, Again::Look), [StepKind::Lock], "{done}");
        }
        assert_eq!(of(13, true, Again::Look), [StepKind::Lock, StepKind::Verify]);
        assert_eq!(of(14, true, Again::Look), [StepKind::Lock]);
        assert!(of(16, true, Again::Look).is_empty() && of(16, true, Again::Go).is_empty());
    }

    #[test]
    fn what_the_engineer_left_out_stays_left_out() {
        let mut view = view(9);
        view.steps[2].state = StepState::Ended(Outcome::Skipped(LEFT_OUT.into()), Duration::ZERO);
        assert_eq!(course(&view, false)[2], Again::Keep);
    }

    #[test]
    fn a_run_that_is_over_is_not_gone_on_with() {
        let mut view = view(16);
        view.ended = Some(Stamp(1));
        for state in [RunState::Done, RunState::Aborted] {
            view.state = state;
            assert!(obstacle(&view).is_some());
        }
        view.state = RunState::Failed;
        assert_eq!(obstacle(&view), None);
        view.steps.push(StepView::new(step(StepKind::Uncordon), true));
        assert!(obstacle(&view).is_some_and(|why| why.contains("runs abort")));
    }
}
