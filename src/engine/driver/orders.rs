//! What the engineer decides: the confirmation before a step, the decision after a failure, and orders in between.

use super::Driver;
use crate::domain::run::{RunChange, RunCommand, RunState};

/// What to do with the step that waits, or that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    Go,
    LeaveOut,
    Abort,
    /// Nobody is there to decide.
    Leave,
    Interrupt,
}

impl Driver {
    /// Waits for the confirmation of a step, where it needs one.
    pub(super) async fn before(&mut self, index: usize) -> Decision {
        while let Ok(order) = self.orders.try_recv() {
            match order {
                RunCommand::Abort => return Decision::Abort,
                RunCommand::Pause => self.pause(),
                RunCommand::Automatic => self.go_on(),
                _ => {}
            }
        }
        let follows = self.shared.plan.steps[index].kind.follows();
        let waits = !follows && (self.is_paused || (self.asks() && !self.is_automatic));
        if self.cancel.is_cancelled() {
            return Decision::Interrupt;
        }
        if !waits {
            return Decision::Go;
        }
        self.enter(if self.is_paused { RunState::Paused } else { RunState::Waiting }).await;
        loop {
            match self.order().await {
                Err(decision) => return decision,
                Ok(RunCommand::Confirm(step)) if step == index => {
                    self.is_paused = false;
                    return Decision::Go;
                }
                Ok(RunCommand::Automatic) => {
                    self.go_on();
                    return Decision::Go;
                }
                Ok(RunCommand::Skip) if self.shared.plan.steps[index].may_skip => return Decision::LeaveOut,
                Ok(RunCommand::Skip) => self.refuse(index).await,
                Ok(RunCommand::Abort) => return Decision::Abort,
                Ok(RunCommand::Pause) => {
                    self.pause();
                    self.enter(RunState::Paused).await;
                }
                Ok(RunCommand::Confirm(_) | RunCommand::Retry) => {}
            }
        }
    }

    /// Waits for what is to be done about a failed step.
    pub(super) async fn after_failure(&mut self, index: usize) -> Decision {
        self.is_automatic = false;
        self.enter(RunState::Failed).await;
        loop {
            match self.order().await {
                Err(decision) => return decision,
                Ok(RunCommand::Retry) => return Decision::Go,
                Ok(RunCommand::Skip) if self.shared.plan.steps[index].may_skip => return Decision::LeaveOut,
                Ok(RunCommand::Skip) => self.refuse(index).await,
                Ok(RunCommand::Abort) => return Decision::Abort,
                Ok(RunCommand::Confirm(_) | RunCommand::Automatic | RunCommand::Pause) => {}
            }
        }
    }

    /// The next order; an error = nobody can give one any more, or the run is interrupted.
    async fn order(&mut self) -> Result<RunCommand, Decision> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Decision::Interrupt),
            order = self.orders.recv() => order.ok_or(Decision::Leave),
        }
    }

    /// Says no, and in which state the run still is: whoever asks the engineer then asks again.
    async fn refuse(&mut self, index: usize) {
        let text = format!("{} cannot be left out", self.shared.plan.steps[index].kind.name());
        self.shared.voice.tell(RunChange::Noted { step: index, text, warn: true }).await;
        if let Some((state, _)) = self.state.take() {
            self.enter(state).await;
        }
    }

    pub(super) fn pause(&mut self) {
        self.is_automatic = false;
        self.is_paused = true;
    }

    pub(super) fn go_on(&mut self) {
        self.is_automatic = true;
        self.is_paused = false;
    }
}
