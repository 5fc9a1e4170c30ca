//! What a step is given: the back ends, the run's memory, a voice, and the one door through which changes go.

use super::accepted::Accepted;
use super::journal::Line;
use super::lock::{self, Keeper};
use super::memory::Memory;
use super::roll::{Family, Kin};
use super::settings::Backends;
use super::voice::Voice;
use crate::backend::clock::now;
use crate::backend::error::Error;
use crate::domain::debt::Debt;
use crate::domain::gate::Gate;
use crate::domain::guard::Permit;
use crate::domain::ids::{NodeName, RunId};
use crate::domain::plan::{Plan, Step};
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::{Outcome, Progress, RunChange};
use crate::domain::time::{Stamp, brief};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What all steps of a run share.
pub struct Shared {
    /// The outside.
    pub backends: Backends,
    /// Leave to change things.
    pub permit: Permit,
    /// The run.
    pub run: RunId,
    /// Its plan.
    pub plan: Plan,
    /// Its voice.
    pub voice: Voice,
    /// The quiet time before the last look; may be changed while the run goes.
    pub settle: watch::Sender<Duration>,
    /// Gates that count as open in this run, by the engineer's word.
    pub accepted: Accepted,
    /// The roll that it is a part of.
    pub family: Option<Arc<Family>>,
    memory: Mutex<Memory>,
    keeper: Mutex<Option<Arc<Keeper>>>,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// At the beginning of a run.
    pub fn new(backends: Backends, permit: Permit, run: RunId, plan: Plan, voice: Voice) -> Self {
        let (memory, keeper) = (Mutex::default(), Mutex::default());
        let (settle, _) = watch::channel(crate::engine::plan::quiet(&plan, &backends.settings.timing));
        let accepted = Accepted::default();
        Self { backends, permit, run, plan, voice, settle, accepted, family: None, memory, keeper }
    }

    /// As a part of a roll: under its lock, and beside the nodes that are in their turns.
    #[must_use]
    pub fn within(mut self, kin: Option<Kin>) -> Self {
        if let Some(Kin { family, keeper }) = kin {
            self.family = Some(family);
            self.keeper = Mutex::new(keeper);
        }
        self
    }

    /// The run in whose name the maintenance lock is held.
    pub fn lock_run(&self) -> &RunId {
        self.plan.parent.as_ref().unwrap_or(&self.run)
    }

    /// Other nodes of the same roll that are in their turns now.
    pub fn siblings(&self) -> BTreeSet<NodeName> {
        let mut nodes = self.family.as_ref().map(|family| family.under_way()).unwrap_or_default();
        for own in &self.plan.nodes {
            nodes.remove(own);
        }
        nodes
    }

    /// When another process goes on with a run.
    #[must_use]
    pub fn remembering(mut self, memory: Memory) -> Self {
        self.memory = Mutex::new(memory);
        self
    }

    /// A copy of what is remembered.
    pub fn memory(&self) -> Memory {
        held(&self.memory).clone()
    }

    /// Remembers something, on the disk when this returns.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn remember(&self, change: impl FnOnce(&mut Memory)) -> Result<(), Report> {
        let memory = {
            let mut memory = held(&self.memory);
            change(&mut memory);
            memory.clone()
        };
        self.voice.record(&Line::Memory { at: now(), memory: Box::new(memory) }, true)
    }

    /// Counts pods (uid) that a step let go, or that went from its nodes. The journal has it by the answers.
    pub fn note_moved(&self, step: usize, pods: impl IntoIterator<Item = String>) {
        held(&self.memory).moved.entry(step).or_default().extend(pods);
    }

    /// The lock's keeper while the lock is held.
    pub fn keeper(&self) -> Option<Arc<Keeper>> {
        held(&self.keeper).clone()
    }

    /// Puts a keeper in place, or takes it away; returns the one before.
    pub fn keep(&self, keeper: Option<Arc<Keeper>>) -> Option<Arc<Keeper>> {
        std::mem::replace(&mut *held(&self.keeper), keeper)
    }
}

/// How a step ends when it does not fail.
pub type Ending = Result<Outcome, Report>;

/// One attempt at one step.
#[derive(Clone)]
pub struct Job {
    /// What all steps share.
    pub shared: Arc<Shared>,
    /// Index of the step.
    pub index: usize,
    /// The step.
    pub step: Step,
    /// The engineer wants it to stop.
    pub cancel: CancellationToken,
    /// When the driver gives the step up, as planned.
    pub deadline: Option<Stamp>,
    /// How much longer the engineer lets it take.
    pub more: Arc<Mutex<Duration>>,
}

impl Job {
    /// How much longer than planned the step may take, by the engineer's word.
    pub fn extra(&self) -> Duration {
        *held(&self.more)
    }

    /// Lets it take longer.
    pub fn extend(&self, by: Duration) {
        *held(&self.more) += by;
    }

    /// The outside.
    pub fn backends(&self) -> &Backends {
        &self.shared.backends
    }

    /// Leave to change things.
    pub fn permit(&self) -> &Permit {
        &self.shared.permit
    }

    /// The node of the step.
    ///
    /// # Errors
    /// The step has none: a plan that makes no sense.
    pub fn node(&self) -> Result<&NodeName, Report> {
        self.step.node.as_ref().ok_or_else(|| {
            Report::new(FailureKind::Unexpected, format!("{} has no node", self.step.kind.name()))
        })
    }

    /// Says what is awaited, in one line.
    pub fn say(&self, text: impl Into<String>) {
        self.progress(Progress { text: text.into(), ..Progress::default() });
    }

    /// Says how far it is; the deadline is filled in.
    pub fn progress(&self, progress: Progress) {
        let deadline = progress.deadline.or_else(|| Some(self.deadline?.plus(self.extra())));
        self.shared.voice.progress(self.index, Progress { deadline, ..progress });
    }

    /// Shows a gate.
    pub async fn show(&self, gate: Gate) {
        self.shared.voice.tell(RunChange::GateRead { step: self.index, gate }).await;
    }

    /// A line for the log.
    pub async fn note(&self, text: impl Into<String>) {
        let change = RunChange::Noted { step: self.index, text: text.into(), warn: false };
        self.shared.voice.tell(change).await;
    }

    /// From here on the request of this step, which cannot be taken back, may have arrived.
    pub async fn asks(&self) {
        self.shared.voice.tell(RunChange::Asked { step: self.index }).await;
    }

    /// A warning for the log.
    pub async fn warn(&self, text: impl Into<String>) {
        let change = RunChange::Noted { step: self.index, text: text.into(), warn: true };
        self.shared.voice.tell(change).await;
    }

    /// A copy of what is remembered.
    pub fn memory(&self) -> Memory {
        self.shared.memory()
    }

    /// Remembers something, on the disk when this returns.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn remember(&self, change: impl FnOnce(&mut Memory)) -> Result<(), Report> {
        self.shared.remember(change)
    }

    /// Notes what will be owed back by the change that comes next: on the disk when this returns.
    ///
    /// # Errors
    /// The journal cannot be written: then nothing may be changed.
    pub async fn owe(&self, debt: Debt) -> Result<(), Report> {
        self.remember(|memory| memory.borrow(debt))?;
        self.tell_debts().await;
        Ok(())
    }

    /// Strikes a debt out: it was paid back, or there is nothing to pay back any more.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub async fn paid(&self, debt: &Debt) -> Result<(), Report> {
        self.remember(|memory| memory.debts.retain(|known| !known.is_about_the_same(debt)))?;
        self.tell_debts().await;
        Ok(())
    }

    /// Tells what is owed by now.
    pub(super) async fn tell_debts(&self) {
        let debts = self.memory().debts;
        self.shared.voice.tell(RunChange::Owes { debts }).await;
    }

    /// Announces a change in the journal. The only way to a change that a step has: it refuses once the engineer
    /// wants to stop, and once somebody else took the lock.
    ///
    /// # Errors
    /// Cancelled, the lock lost, or the journal cannot be written.
    pub fn announce(&self, change: &str) -> Result<(), Report> {
        self.may_change(change)?;
        self.intent(change, true)
    }

    /// Whether the engineer still wants it and the lock is still ours.
    ///
    /// # Errors
    /// Cancelled, or the lock lost.
    pub fn may_change(&self, change: &str) -> Result<(), Report> {
        if self.cancel.is_cancelled() {
            return Err(Report::new(FailureKind::Cancelled, format!("stopped before: {change}")));
        }
        let puts_back = self.step.kind.puts_back();
        if let Some(words) = self.shared.keeper().and_then(|keeper| keeper.lost())
            && !puts_back
        {
            return Err(lock::lost(&words));
        }
        Ok(())
    }

    /// Before changes: renews the lock when that is overdue. What puts something back does not need it.
    ///
    /// # Errors
    /// The lock is lost, or the API is away.
    pub async fn assure_lock(&self) -> Result<(), Error> {
        match self.shared.keeper() {
            Some(keeper) if !self.step.kind.puts_back() => Box::pin(keeper.assure()).await,
            _ => Ok(()),
        }
    }

    fn intent(&self, change: &str, is_durable: bool) -> Result<(), Report> {
        let line = Line::Intent { at: now(), step: self.index, change: change.to_owned() };
        self.shared.voice.record(&line, is_durable)
    }

    /// The same for several changes that are sent together: one wait for the disk.
    ///
    /// # Errors
    /// As [`announce`](Self::announce).
    pub fn announce_all(&self, changes: &[String]) -> Result<(), Report> {
        let Some((last, others)) = changes.split_last() else { return Ok(()) };
        self.may_change(last)?;
        for change in others {
            self.intent(change, false)?;
        }
        self.intent(last, true)
    }

    /// Notes in the journal how a change was answered.
    pub fn answered<T>(&self, change: &str, answer: &Result<T, Error>) {
        self.result(change, answer, true);
    }

    /// The same without waiting for the disk, where the world itself tells what became of it (evictions).
    pub fn answered_lightly<T>(&self, change: &str, answer: &Result<T, Error>) {
        self.result(change, answer, false);
    }

    fn result<T>(&self, change: &str, answer: &Result<T, Error>, is_durable: bool) {
        let words = answer.as_ref().err().map_or_else(String::new, ToString::to_string);
        let line = Line::Result {
            at: now(),
            step: self.index,
            change: change.to_owned(),
            done: answer.is_ok(),
            words,
        };
        self.shared.voice.record_or_keep(&line, is_durable);
    }

    /// Carries a change out, between its two lines in the journal.
    ///
    /// # Errors
    /// What [`announce`](Self::announce) refuses, and the change's own error.
    pub async fn change<T>(
        &self,
        change: &str,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.assure_lock().await?;
        self.announce(change)?;
        let answer = request.await;
        self.answered(change, &answer);
        answer
    }

    /// Puts something back, between its two lines in the journal: also when the run was told to stop.
    ///
    /// # Errors
    /// The journal cannot be written, and the request's own error.
    pub async fn restore<T>(
        &self,
        change: &str,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.intent(change, true)?;
        let answer = request.await;
        self.answered(change, &answer);
        answer
    }

    /// Tries again while the failure is one that passes by itself (the API away, a conflict), until the step's
    /// deadline ends it from outside; waits 1, 2, 4, 8 s with jitter, or what the other side asked for.
    ///
    /// # Errors
    /// The first failure that does not pass.
    pub async fn patiently<T, F, Fut>(&self, what: &str, mut attempt: F) -> Result<T, Report>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, Error>>,
    {
        let mut tries = 0;
        loop {
            let error = match attempt().await {
                Ok(value) => return Ok(value),
                Err(error) if error.kind.is_passing() && !self.cancel.is_cancelled() => error,
                Err(error) => return Err(error.into()),
            };
            let wait = error.retry_after.unwrap_or_else(|| pause(tries));
            tries += 1;
            self.say(format!("{what}: {error}; again in {}", brief(wait)));
            tokio::time::sleep(wait).await;
        }
    }
}

/// The pause after a failure: 1, 2, 4, then 8 s, each up to a quarter longer.
pub(super) fn pause(tries: u32) -> Duration {
    let base = Duration::from_secs(1 << tries.min(3));
    base.mul_f64(1.0 + rand::random::<f64>() / 4.0)
}
