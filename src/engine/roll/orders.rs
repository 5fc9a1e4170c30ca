//! What the engineer tells a roll: about the turn that waits, about one that is under way, about the queue and the pauses.

use super::board::{Aim, Board};
use crate::domain::run::{RunChange, RunCommand, RunState};
use crate::domain::undo::LEFT_OUT;
use crate::engine::driver::Driver;

impl Driver {
    /// Carries out an order; the ones that mean nothing here are not heard.
    pub(super) async fn turn_order(&mut self, board: &mut Board, order: RunCommand) {
        // whoever is asked has to hear of the state again, also when it is the same
        self.state = None;
        let stuck = board.stuck().map(|(step, _)| step);
        match order {
            RunCommand::Confirm(step) => self.confirm_turn(board, step).await,
            RunCommand::Automatic => self.automatic_turns(board).await,
            RunCommand::Pause => {
                let at = stuck.or_else(|| board.active.keys().next().copied()).unwrap_or(0);
                self.pause(at).await;
                for child in board.active.values() {
                    child.tell(RunCommand::Pause).await;
                }
            }
            RunCommand::Retry => {
                if let Some(step) = stuck {
                    self.tell_turn(board, step, RunCommand::Retry).await;
                }
            }
            RunCommand::Skip => {
                let waits = board.paced.as_ref().and_then(|(.., next)| *next);
                if let Some(step) = stuck.or(waits) {
                    self.leave_out(board, step).await;
                }
            }
            RunCommand::Abort => {
                let at =
                    stuck.or_else(|| board.active.keys().next().copied()).or(self.first_turn()).unwrap_or(0);
                self.decided(at, RunCommand::Abort, ()).await;
                board.is_ending = true;
                for child in board.active.values_mut() {
                    child.put_back(Aim::Abort).await;
                }
            }
            RunCommand::Interval { role, quiet } => {
                let at = self.first_turn().unwrap_or(0);
                self.decided(at, RunCommand::Interval { role, quiet }, ()).await;
            }
            RunCommand::Postpone(step) => self.postpone(board, step).await,
            RunCommand::Turn { step, order } => self.tell_turn(board, step, *order).await,
            RunCommand::Accept { .. } | RunCommand::Settle(_) | RunCommand::Extend { .. } => {}
        }
    }

    fn first_turn(&self) -> Option<usize> {
        self.shared.voice.look(|view| Some(view.roll.as_ref()?.turns.first()?.step)).flatten()
    }

    /// Of the turn that waits, or of the step at which the run of a node waits.
    async fn confirm_turn(&mut self, board: &mut Board, step: usize) {
        if let Some(child) = board.active.get(&step) {
            let at = child.view.as_ref().and_then(|view| view.current());
            if let (true, Some(at)) = (child.is_stuck(), at) {
                self.tell_turn(board, step, RunCommand::Confirm(at)).await;
            }
            return;
        }
        let waits = board.paced.as_ref().and_then(|(.., next)| *next);
        if waits == Some(step) {
            self.is_paused = false;
            board.confirmed = Some(step);
            self.decided(step, RunCommand::Confirm(step), ()).await;
        }
    }

    async fn automatic_turns(&mut self, board: &mut Board) {
        let waits = board.paced.as_ref().and_then(|(.., next)| *next);
        let at = board.stuck().map(|(step, _)| step).or(waits).or(self.first_turn()).unwrap_or(0);
        if let Some(why) = self.closed(at).await {
            self.shared.voice.tell(RunChange::Noted { step: at, text: why, warn: true }).await;
            return;
        }
        // whoever lets it go on has looked at the canary
        board.is_released |= waits.is_some();
        self.go_on(at).await;
        for child in board.active.values() {
            if child.state() != RunState::Failed {
                child.tell(RunCommand::Automatic).await;
            }
        }
    }

    /// Passes an order on to the run of a node.
    async fn tell_turn(&mut self, board: &mut Board, step: usize, order: RunCommand) {
        let Some(child) = board.active.get_mut(&step) else { return };
        // on the disk first: whoever goes on with the roll knows what was meant
        self.decided(step, RunCommand::Turn { step, order: Box::new(order.clone()) }, ()).await;
        match order {
            RunCommand::Abort => child.put_back(Aim::LeaveOut).await,
            order => child.tell(order).await,
        }
    }

    /// A node is not serviced in this roll: what was begun on it is put back.
    async fn leave_out(&mut self, board: &mut Board, step: usize) {
        self.decided(step, RunCommand::Skip, ()).await;
        match board.active.get_mut(&step) {
            Some(child) => child.put_back(Aim::LeaveOut).await,
            None => self.pass_over(step, LEFT_OUT.to_owned()).await,
        }
    }

    async fn postpone(&mut self, board: &mut Board, step: usize) {
        let queued =
            self.shared.voice.look(|view| view.roll.as_ref().is_some_and(|roll| roll.queue.contains(&step)));
        let name = self.shared.plan.steps.get(step).and_then(|step| step.node.clone());
        let name = name.map_or_else(String::new, |node| node.0);
        if let Some(child) = board.active.get_mut(&step) {
            if child.has_asked() {
                let text = format!("{name} was asked to reboot: its turn is brought to its end");
                self.shared.voice.tell(RunChange::Noted { step, text, warn: true }).await;
                return;
            }
            self.decided(step, RunCommand::Postpone(step), ()).await;
            child.put_back(Aim::Postpone("by the engineer's word".to_owned())).await;
        } else if queued == Some(true) {
            self.decided(step, RunCommand::Postpone(step), ()).await;
            self.put_last(step, format!("{name} comes last, by the engineer's word")).await;
        }
    }
}
