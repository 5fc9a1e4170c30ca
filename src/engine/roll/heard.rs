//! What the run of a node tells: passed on, and answered where the roll itself knows what to do.

use super::board::{Aim, Board, Word};
use crate::domain::guard::Assent;
use crate::domain::run::{RunChange, RunEvent, RunState, RunView};
use crate::engine::driver::Driver;

impl Driver {
    /// Something is heard of the turn of a node.
    pub(super) async fn heard(&mut self, board: &mut Board, step: usize, word: Word, is_listening: bool) {
        match word {
            Word::Facts(facts) => self.turn_prepared(board, step, *facts).await,
            Word::Told(event) => self.heard_of_turn(board, step, event, is_listening).await,
            Word::Over => self.turn_ended(board, step).await,
        }
    }

    /// The run of a node told something.
    async fn heard_of_turn(
        &mut self,
        board: &mut Board,
        step: usize,
        event: Box<RunEvent>,
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
        let child = event;
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
        let may_come_last = is_by_flag
            && is_worker
            && postponed == 0
            && !child.has_asked()
            && !child.is_validated()
            && !is_paused;
        let why = child.trouble();
        let is_shut = self.shut(step).await.is_some();
        // what the probes say is about all nodes: another order of them does not help
        if may_come_last && !self.is_alarmed() && !is_shut {
            let Some(child) = board.active.get_mut(&step) else { return };
            child.put_back(Aim::Postpone(why)).await;
            return;
        }
        let Some(child) = board.active.get_mut(&step) else { return };
        if has_failed && keeps_going || !is_listening {
            child.aim = Aim::Leave;
            child.commands = None;
            return;
        }
        let text = format!("{}: {why}", child.node);
        self.hold_turns(step, text).await;
    }

    /// Ends the automatic mode. Whoever let the roll go on by itself, or confirmed it beforehand, hears why.
    pub(super) async fn hold_turns(&mut self, step: usize, why: String) {
        let is_by_flag = matches!(self.shared.permit.assent(), Assent::Flag { .. });
        if std::mem::replace(&mut self.is_automatic, false) || is_by_flag {
            self.shared.voice.tell(RunChange::Held { step, why }).await;
        }
    }
}
