//! Rolling: the turns of many nodes, each in an ordinary run of its own, as many at a time as may be away.
//!
//! The driver of the roll carries out its plan like any other; when it comes to the turns, it lets them begin here, listens
//! to the runs of the nodes, and passes decisions on to them. What keeps the cluster whole is looked at anew before each turn,
//! and once more by the gates of the node's own run.

mod board;
mod child;
mod earlier;
mod estimate;
mod family;
mod forecast;
mod heard;
mod open;
mod orders;
mod put_off;
mod undo;

pub use estimate::{Estimate, estimate};
pub use family::{Family, Kin};
pub(super) use forecast::predict;
pub use forecast::{Outlook, outlook};
pub(super) use undo::put_back_turn;

use super::driver::{Driver, probe_alarm};
use crate::backend::clock::now;
use crate::domain::plan::StepKind;
use crate::domain::roll::{Group, TurnView};
use crate::domain::run::{RunChange, RunState};
use crate::domain::time::Stamp;
use board::Board;
use earlier::HowLeft;
use std::time::Duration;

/// How the turns ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turned {
    /// Every turn has ended; `true` = one of them not well.
    Over(bool),
    /// The roll is to be put back; the runs under way have put back what they had done.
    Aborted,
    /// Nobody decides about the ones that did not end well.
    Failed,
    /// It stops where it is.
    Interrupted,
}

impl Driver {
    /// Carries out all turns of the plan.
    pub(super) async fn turns(&mut self) -> Turned {
        let mut board = self.begin_turns().await;
        let mut is_listening = true;
        let mut wake = None;
        loop {
            if std::mem::take(&mut board.is_due) {
                wake = self.open(&mut board).await;
            }
            if let Some(end) = self.end_of_turns(&board, is_listening) {
                self.pace(&mut board, String::new(), None, None).await;
                return end;
            }
            self.show_state(&board).await;
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return self.interrupt_turns(board).await,
                order = self.orders.recv(), if is_listening => {
                    board.is_due = true;
                    if let Some(order) = order {
                        self.turn_order(&mut board, order).await;
                    } else {
                        is_listening = false;
                        // nobody decides any more: what waits ends as it is
                        for child in board.active.values_mut().filter(|child| child.is_stuck()) {
                            child.aim = board::Aim::Leave;
                            child.commands = None;
                        }
                    }
                }
                Some((step, word)) = board.heard.recv() => {
                    self.heard(&mut board, step, word, is_listening).await;
                }
                why = probe_alarm(&mut self.beside) => {
                    let at = board.active.keys().next().copied().or(self.first_queued()).unwrap_or(0);
                    self.alarmed(at, why).await;
                    board.is_due = true;
                }
                () = until(wake) => board.is_due = true,
            }
        }
    }

    /// What an earlier process left and nothing can hold up any more is gone on with first; every other turn that it began
    /// waits at the head of the queue, and is looked at like any other before it goes on.
    async fn begin_turns(&mut self) -> Board {
        let mut board = Board::new();
        let view = self.shared.voice.view();
        let Some(roll) = view.as_ref().and_then(|view| view.roll.as_deref()) else { return board };
        // the canary was released in the earlier process when another worker had begun
        board.is_released =
            roll.turns.iter().any(|turn| turn.group == Group::Workers && turn.began.is_some());
        let mut asked: Vec<&TurnView> = Vec::new();
        for turn in roll.turns.iter().filter(|turn| turn.run.is_some() && roll.queue.contains(&turn.step)) {
            match self.how_left(turn) {
                HowLeft::Queued => {}
                HowLeft::Asked => asked.push(turn),
                HowLeft::AtOnce => self.begin_turn(&mut board, turn.step).await,
            }
        }
        // one group after the other, and of the control plane one node after the other
        let group = asked.iter().map(|turn| turn.group).min();
        let most = if group == Some(Group::Workers) { usize::MAX } else { 1 };
        for turn in asked.iter().filter(|turn| Some(turn.group) == group).take(most) {
            self.begin_turn(&mut board, turn.step).await;
        }
        board
    }

    /// Whether the turns have come to an end.
    fn end_of_turns(&self, board: &Board, is_listening: bool) -> Option<Turned> {
        if !board.active.is_empty() {
            return None;
        }
        if board.is_ending {
            return Some(Turned::Aborted);
        }
        let is_flawed = !board.failed.is_empty();
        if is_flawed && !self.keeps_going() {
            return Some(Turned::Failed);
        }
        let is_empty =
            self.shared.voice.look(|view| view.roll.as_ref().is_none_or(|roll| roll.queue.is_empty()));
        if is_empty.unwrap_or(true) {
            return Some(Turned::Over(is_flawed));
        }
        let waits = matches!(self.state, Some((RunState::Waiting | RunState::Paused, _)));
        (!is_listening && waits).then_some(Turned::Interrupted)
    }

    fn keeps_going(&self) -> bool {
        self.shared.plan.roll.as_ref().is_some_and(|roll| roll.options.keep_going)
    }

    /// The state that follows from what is under way.
    async fn show_state(&mut self, board: &Board) {
        let next = board.paced.as_ref().and_then(|(.., next)| *next);
        let state = match board.stuck().map(|(_, child)| child.state()) {
            Some(RunState::Failed) => RunState::Failed,
            Some(_) if self.is_paused => RunState::Paused,
            Some(_) => RunState::Waiting,
            None if next.is_some() && self.is_paused => RunState::Paused,
            None if next.is_some() => RunState::Waiting,
            None => RunState::Running,
        };
        self.enter(state).await;
    }

    /// Tells what is waited for, when it is news.
    async fn pace(&mut self, board: &mut Board, text: String, until: Option<Stamp>, next: Option<usize>) {
        let told = (text, until, next);
        if board.paced.as_ref() == Some(&told) {
            return;
        }
        let (text, until, next) = told.clone();
        board.paced = Some(told);
        self.shared.voice.tell(RunChange::Paced { text, until, next }).await;
    }

    /// Stops every run where it is.
    async fn interrupt_turns(&mut self, mut board: Board) -> Turned {
        for child in board.active.values_mut() {
            child.aim = board::Aim::Leave;
            child.cancel.cancel();
        }
        while !board.active.is_empty() {
            let Some((step, word)) = board.heard.recv().await else { break };
            self.heard(&mut board, step, word, false).await;
        }
        Turned::Interrupted
    }

    /// Index of the first step behind the turns.
    pub(super) fn behind_turns(&self, first: usize) -> usize {
        let steps = self.shared.plan.steps.iter().skip(first);
        first + steps.take_while(|step| step.kind == StepKind::Turn).count()
    }
}

/// Waits for a moment by the wall clock, or for ever.
async fn until(wake: Option<Stamp>) {
    match wake {
        Some(at) => tokio::time::sleep(at.since(now()).max(Duration::from_millis(1))).await,
        None => std::future::pending().await,
    }
}
