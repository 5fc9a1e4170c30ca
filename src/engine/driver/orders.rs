//! What the engineer decides: the confirmation before a step, the decision after a failure, and orders in between.

use super::Driver;
use crate::domain::plan::{Step, StepKind};
use crate::domain::run::{RunChange, RunCommand, RunState};
use std::time::Duration;

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
                RunCommand::Abort => return self.decided(index, RunCommand::Abort, Decision::Abort).await,
                RunCommand::Pause => self.pause(index).await,
                RunCommand::Automatic => self.go_on(index).await,
                RunCommand::Settle(quiet) => self.settle(index, quiet).await,
                _ => {}
            }
        }
        let is_held = self.hold(index).await || self.hold_by_probes(index).await;
        let kind = self.step(index).map(|step| step.kind);
        let follows = kind.is_some_and(StepKind::follows);
        let is_doubtful = self.is_doubtful && kind.is_some_and(StepKind::changes);
        // the undo of a turn is part of its roll's, which was confirmed
        let asks =
            if self.is_undoing { self.shared.plan.parent.is_none() } else { self.asks() || is_doubtful };
        let waits = is_held || !follows && (self.is_paused || (asks && !self.is_automatic));
        if self.cancel.is_cancelled() {
            return Decision::Interrupt;
        }
        if !waits {
            return Decision::Go;
        }
        self.enter(if self.is_paused { RunState::Paused } else { RunState::Waiting }).await;
        loop {
            let order = match self.order().await {
                Err(decision) => return decision,
                Ok(order) => order,
            };
            match order {
                RunCommand::Confirm(step) if step == index => {
                    self.is_paused = false;
                    self.is_doubtful = false;
                    self.alarm = None;
                    return self.decided(index, order, Decision::Go).await;
                }
                RunCommand::Automatic => {
                    if let Some(why) = self.closed(index).await {
                        self.refuse(index, why).await;
                    } else {
                        self.go_on(index).await;
                        return Decision::Go;
                    }
                }
                RunCommand::Skip if self.may_skip(index) => {
                    return self.decided(index, order, Decision::LeaveOut).await;
                }
                RunCommand::Abort if !self.is_undoing => {
                    return self.decided(index, order, Decision::Abort).await;
                }
                RunCommand::Pause => {
                    self.pause(index).await;
                    self.enter(RunState::Paused).await;
                }
                other => self.aside(index, other).await,
            }
        }
    }

    /// Waits for what is to be done about a failed step.
    pub(super) async fn after_failure(&mut self, index: usize) -> Decision {
        self.is_automatic = false;
        self.enter(RunState::Failed).await;
        loop {
            let order = match self.order().await {
                Err(decision) => return decision,
                Ok(order) => order,
            };
            match order {
                RunCommand::Retry => return self.decided(index, order, Decision::Go).await,
                RunCommand::Skip if self.may_skip(index) => {
                    return self.decided(index, order, Decision::LeaveOut).await;
                }
                RunCommand::Abort => return self.decided(index, order, Decision::Abort).await,
                other => self.aside(index, other).await,
            }
        }
    }

    /// Orders that do not move the run on; the ones that mean nothing here are not heard.
    pub(super) async fn aside(&mut self, index: usize, order: RunCommand) {
        match order {
            RunCommand::Skip => {
                let name = self.step(index).map_or("the step", |step| step.kind.name());
                self.refuse(index, format!("{name} cannot be left out")).await;
            }
            RunCommand::Accept { step, gate, reason } if step == index => {
                self.accept(index, gate, reason).await;
            }
            RunCommand::Settle(quiet) => self.settle(index, quiet).await,
            _ => {}
        }
    }

    fn may_skip(&self, index: usize) -> bool {
        self.step(index).is_some_and(|step| step.may_skip)
    }

    /// A step of the plan, or of the abort behind it.
    fn step(&self, index: usize) -> Option<Step> {
        Some(self.shared.voice.view()?.steps.get(index)?.step.clone())
    }

    /// Tells who decided what, and passes the decision on.
    pub(in crate::engine) async fn decided<T>(&self, step: usize, order: RunCommand, decision: T) -> T {
        let by = self.shared.backends.settings.holder.clone();
        self.shared.voice.tell(RunChange::Decided { step, order, by }).await;
        decision
    }

    /// Takes a gate for open that was read and is not, when it is one that can be accepted and there is a reason.
    async fn accept(&mut self, index: usize, gate: String, reason: String) {
        let Some(view) = self.shared.voice.view() else { return };
        let Some(step) = view.steps.get(index) else { return };
        let is_closed = step.gates.iter().any(|read| read.name == gate && !read.verdict.is_open());
        if !is_closed {
            return self.refuse(index, format!("gate {gate} is not one that was read and is not open")).await;
        }
        if reason.trim().is_empty() {
            return self.refuse(index, format!("gate {gate} is accepted only with a reason")).await;
        }
        match self.shared.accepted.add(&gate, step.step.kind, &reason) {
            Ok(()) => self.decided(index, RunCommand::Accept { step: index, gate, reason }, ()).await,
            Err(why) => self.refuse(index, format!("gate {gate} cannot be accepted: {}", why.words())).await,
        }
    }

    /// Another quiet time before the last look.
    pub(super) async fn settle(&mut self, index: usize, quiet: Duration) {
        self.shared.settle.send_replace(quiet);
        self.decided(index, RunCommand::Settle(quiet), ()).await;
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
    async fn refuse(&mut self, index: usize, text: String) {
        self.shared.voice.tell(RunChange::Noted { step: index, text, warn: true }).await;
        if let Some((state, _)) = self.state.take() {
            self.enter(state).await;
        }
    }

    pub(in crate::engine) async fn pause(&mut self, index: usize) {
        self.is_automatic = false;
        self.is_paused = true;
        self.decided(index, RunCommand::Pause, ()).await;
    }

    pub(in crate::engine) async fn go_on(&mut self, index: usize) {
        self.is_automatic = true;
        self.is_paused = false;
        self.alarm = None;
        self.decided(index, RunCommand::Automatic, ()).await;
    }
}
