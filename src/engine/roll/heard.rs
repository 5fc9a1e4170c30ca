//! What the run of a node tells: passed on, and answered where the roll itself knows what to do.

use super::board::{Aim, Board};
use crate::domain::guard::Assent;
use crate::domain::run::{RunChange, RunCommand, RunEvent, RunState, RunView};
use crate::engine::driver::Driver;

impl Driver {
    /// The run of a node told something.
    pub(super) async fn heard_of_turn(
        &mut self,
        board: &mut Board,
        step: usize,
        event: RunEvent,
        is_listening: bool,
    ) {
        let Some(child) = board.active.get_mut(&step) else { return };
        match &mut child.view {
            Some(view) => view.apply(&event),
            None => child.view = RunView::begin(&event),
        }
        let state = match &event.change {
            RunChange::State { state, .. } => Some(*state),
            _ => None,
        };
        let child = Box::new(event);
        match &child.change {
            RunChange::Progressed { .. } | RunChange::Probed { .. } => {
                self.shared.voice.pass(RunChange::Child { step, child });
            }
            _ => self.shared.voice.tell(RunChange::Child { step, child }).await,
        }
        let Some(state) = state else { return };
        board.is_due = true;
        if matches!(state, RunState::Failed | RunState::Waiting | RunState::Paused) {
            self.turn_is_stuck(board, step, is_listening).await;
        }
    }

    /// A run waits for a decision. With `--yes` its node is put off once where nothing irrevocable was begun; with
    /// `--keep-going` a failure stays as it is. Everything else stops the roll.
    async fn turn_is_stuck(&mut self, board: &mut Board, step: usize, is_listening: bool) {
        let keeps_going = self.keeps_going();
        let is_by_flag = matches!(self.shared.permit.assent(), Assent::Flag { .. });
        let (is_worker, postponed) = self
            .shared
            .voice
            .look(|view| {
                let turn = view.roll.as_ref()?.turn(step)?;
                let is_worker = turn.group != crate::domain::roll::Group::ControlPlane;
                Some((is_worker, turn.postponed))
            })
            .flatten()
            .unwrap_or((false, 0));
        let is_paused = self.is_paused;
        let Some(child) = board.active.get_mut(&step) else { return };
        if !child.is_stuck() {
            return;
        }
        let has_failed = child.state() == RunState::Failed;
        let may_come_last = is_by_flag && is_worker && postponed == 0 && !child.has_asked() && !is_paused;
        let why = child.trouble();
        // what the probes say is about all nodes: another order of them does not help
        if may_come_last && !self.is_alarmed() && self.shut(step).await.is_none() {
            let Some(child) = board.active.get_mut(&step) else { return };
            child.aim = Aim::Postpone(why);
            child.tell(RunCommand::Abort).await;
            return;
        }
        let Some(child) = board.active.get_mut(&step) else { return };
        if has_failed && keeps_going || !is_listening {
            child.aim = Aim::Leave;
            child.commands = None;
            return;
        }
        let text = format!("{}: {why}", child.node);
        if std::mem::replace(&mut self.is_automatic, false) {
            self.shared.voice.tell(RunChange::Held { step, why: text }).await;
        }
    }
}
