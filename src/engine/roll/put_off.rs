//! Nodes that were put off: the others come before them, and each is tried again as soon as nothing blocks its drain any more,
//! or after a while.

use super::board::{Board, Child};
use super::open::Next;
use crate::domain::budget::BudgetRow;
use crate::domain::forecast::Verdict;
use crate::domain::plan::StepKind;
use crate::domain::roll::TurnView;
use crate::domain::run::{Outcome, StepState, StepView};
use crate::domain::time::Stamp;
use crate::engine::driver::Driver;
use crate::engine::foretell::foretell;
use std::collections::BTreeSet;
use std::time::Duration;

/// How often the budgets are looked at while nodes are put off.
const GLANCE: Duration = Duration::from_secs(5);

/// What is known of nodes that were put off.
#[derive(Debug, Default)]
pub(super) struct PutOff {
    /// Turns that were put off for another reason than a drain that is blocked: no look at the budgets tells when that is over.
    others: BTreeSet<usize>,
    /// The budgets and the turns at the last look, and which of these nothing blocked.
    seen: Option<(Vec<BudgetRow>, Vec<usize>)>,
    free: BTreeSet<usize>,
}

impl PutOff {
    /// A turn is put off; its run tells why.
    pub(super) fn note(&mut self, step: usize, child: &Child) {
        let mut steps = child.view.iter().flat_map(|view| &view.steps).filter(|step| !step.is_undo);
        // a forecast of a block is a warning, and the run waits at the next step
        let is_odd = |step: &&StepView| {
            matches!(step.state, StepState::Ended(Outcome::Failed(_) | Outcome::Warned(_), _))
        };
        let last = steps.rfind(is_odd).map(|step| step.step.kind);
        if last.is_some_and(|kind| !matches!(kind, StepKind::Predict | StepKind::Drain)) {
            self.others.insert(step);
        } else {
            self.others.remove(&step);
        }
        self.seen = None;
    }
}

impl Driver {
    /// Takes out of the waiting turns those that were put off and whose time has not come; what is waited for, when there are
    /// any.
    pub(super) async fn put_off(
        &self,
        board: &mut Board,
        waiting: &mut Vec<&TurnView>,
        now: Stamp,
    ) -> Option<Next> {
        let pause = self.shared.backends.settings.timing.ready;
        let until = |turn: &TurnView| turn.put_off.map(|at| at.plus(pause)).filter(|at| *at > now);
        let confirmed = board.confirmed;
        let rests = |turn: &&TurnView| until(turn).is_some() && confirmed != Some(turn.step);
        let resting: Vec<&TurnView> = waiting.iter().copied().filter(|turn| rests(turn)).collect();
        if resting.is_empty() {
            return None;
        }
        let free = self.free(board, &resting).await;
        waiting.retain(|turn| !rests(turn) || free.contains(&turn.step));
        let left = resting.iter().filter(|turn| !free.contains(&turn.step));
        let (at, turn) = left.filter_map(|turn| Some((until(turn)?, *turn))).min_by_key(|(at, _)| *at)?;
        let node = &turn.node;
        if board.put_off.others.contains(&turn.step) {
            return Some(Next::Wait(format!("{node} was put off, and is tried again"), Some(at), false));
        }
        board.glance = Some(now.plus(GLANCE));
        let text = format!("{node} was put off: tried again once nothing blocks its drain, or else");
        Some(Next::Wait(text, Some(at), false))
    }

    /// Those of the turns whose drain nothing blocks now. It is foretold anew only when a budget is another than before.
    async fn free(&self, board: &mut Board, resting: &[&TurnView]) -> BTreeSet<usize> {
        let blocked: Vec<&TurnView> =
            resting.iter().copied().filter(|turn| !board.put_off.others.contains(&turn.step)).collect();
        let cluster = &self.shared.backends.cluster;
        // what cannot be read is looked at again; the time passes all the same
        let Ok(budgets) = cluster.budgets().await else { return BTreeSet::new() };
        let seen = (budgets, blocked.iter().map(|turn| turn.step).collect::<Vec<_>>());
        if board.put_off.seen.as_ref() == Some(&seen) {
            return board.put_off.free.clone();
        }
        let mut free = BTreeSet::new();
        for turn in blocked {
            let told = foretell(cluster, std::slice::from_ref(&turn.node), &self.shared.plan.drain).await;
            if told.is_ok_and(|told| matches!(told.verdict(), Verdict::Finishes | Verdict::Waits { .. })) {
                free.insert(turn.step);
            }
        }
        board.put_off.seen = Some(seen);
        board.put_off.free.clone_from(&free);
        free
    }
}
