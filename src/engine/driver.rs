//! Drives a plan: asks before each step, carries it out, and waits for a decision when one fails.
//!
//! The driver knows nothing of what a step does. It owns the order, the confirmations, the deadlines, and what an
//! abort puts back.

use super::job::{Ending, Job, Shared};
use super::settings::Backends;
use super::voice::Voice;
use super::{journal, step};
use crate::backend::clock::now;
use crate::domain::guard::{Assent, Permit};
use crate::domain::ids::{OpId, RunId};
use crate::domain::plan::{Kind, Plan};
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::{Outcome, RunChange, RunCommand, RunEvent, RunState};
use crate::domain::time::brief;
use crate::domain::undo::{LEFT_OUT, left, left_on_nodes, undo};
use futures::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A step that is told to stop gets this long to end in good order; it can start nothing new meanwhile.
const GRACE: Duration = Duration::from_secs(1);
/// Marking the lock as left behind may take this long.
const FAREWELL: Duration = Duration::from_secs(5);

/// A run under way.
#[derive(Debug)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// For decisions. When this end is dropped, a step that waits or failed ends the run as it is.
    pub commands: mpsc::Sender<RunCommand>,
    /// What happens; ends with `Finished`.
    pub events: mpsc::Receiver<RunEvent>,
    /// Stops the run where it is, without putting anything back (`Interrupted`).
    pub cancel: CancellationToken,
}

/// Starts a run as one task. It goes on when nobody listens, and ends by itself, by an abort, or by `cancel`.
pub fn start(backends: Backends, plan: Plan, permit: Permit, op: OpId, is_automatic: bool) -> Run {
    let id = run_id(&plan);
    let (commands, orders) = mpsc::channel(16);
    let (tell, events) = mpsc::channel(256);
    let cancel = CancellationToken::new();
    let driver = Beginning { backends, plan, permit, op, id: id.clone(), tell };
    tokio::spawn(driver.run(orders, is_automatic, cancel.clone()));
    Run { id, commands, events, cancel }
}

/// `KIND-NODE-YYYYMMDDTHHMMSS-xxxx`
fn run_id(plan: &Plan) -> RunId {
    let time = jiff::Timestamp::from_millisecond(now().0)
        .map_or_else(|_| "0".to_owned(), |at| at.strftime("%Y%m%dT%H%M%S").to_string());
    let node = plan.nodes.first().map_or_else(|| "etcd".to_owned(), |node| node.0.clone());
    RunId(format!("{}-{node}-{time}-{:04x}", plan.kind, rand::random::<u16>()))
}

struct Beginning {
    backends: Backends,
    plan: Plan,
    permit: Permit,
    op: OpId,
    id: RunId,
    tell: mpsc::Sender<RunEvent>,
}

impl Beginning {
    fn header(&self) -> journal::Header {
        let settings = &self.backends.settings;
        journal::Header {
            version: journal::VERSION,
            run: self.id.clone(),
            kind: self.plan.kind,
            nodes: self.plan.nodes.clone(),
            context: settings.context.clone(),
            holder: settings.holder.clone(),
            confirmed: match self.permit.assent() {
                Assent::Key => "key",
                Assent::Typed(_) => "typed",
                Assent::Flag { .. } => "flag",
            }
            .to_owned(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            at: now(),
        }
    }

    async fn run(self, orders: mpsc::Receiver<RunCommand>, is_automatic: bool, cancel: CancellationToken) {
        let journal = journal::Journal::create(&self.backends.settings.state_dir, self.header());
        let (journal, trouble) = match journal {
            Ok(journal) => (Some(journal), None),
            Err(report) => (None, Some(report)),
        };
        let voice = Voice::new(self.op, self.id.clone(), self.tell, journal);
        let plan = self.plan.clone();
        let shared = Arc::new(Shared::new(self.backends, self.permit, self.id, self.plan, voice));
        shared.voice.tell(RunChange::Planned { plan }).await;
        let driver =
            Driver { shared, orders, is_automatic, is_paused: false, is_undoing: false, cancel, state: None };
        driver.run(trouble).await;
    }
}

/// What to do with the step that waits, or that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    Go,
    LeaveOut,
    Abort,
    /// Nobody is there to decide.
    Leave,
    Interrupt,
}

/// How an attempt ended.
enum Attempt {
    /// By itself, or at its deadline.
    Ended(Outcome),
    /// The engineer aborts; whatever the step came to.
    Aborted,
    /// The run is to stop where it is.
    Interrupted,
}

struct Driver {
    shared: Arc<Shared>,
    orders: mpsc::Receiver<RunCommand>,
    is_automatic: bool,
    is_paused: bool,
    /// An abort is carried out: another one adds nothing.
    is_undoing: bool,
    cancel: CancellationToken,
    state: Option<(RunState, bool)>,
}

impl Driver {
    async fn run(mut self, trouble: Option<Report>) {
        let end = match trouble {
            Some(report) => self.cannot_begin(report).await,
            None => self.steps().await,
        };
        let left = self.farewell(end).await;
        self.shared.voice.tell(RunChange::Finished { state: end, left }).await;
    }

    async fn cannot_begin(&mut self, report: Report) -> RunState {
        self.shared.voice.tell(RunChange::StepStarted { step: 0, attempt: 1 }).await;
        let outcome = Outcome::Failed(report);
        self.shared.voice.tell(RunChange::StepEnded { step: 0, outcome, took_ms: 0 }).await;
        RunState::Failed
    }

    /// All steps of the plan, in order.
    async fn steps(&mut self) -> RunState {
        let mut index = 0;
        let mut is_decided = false;
        while let Some(step) = self.shared.plan.steps.get(index).cloned() {
            if let Some(why) = step.not_applicable {
                self.pass_over(index, why).await;
                index += 1;
                continue;
            }
            let decision = if is_decided { Decision::Go } else { self.before(index).await };
            is_decided = false;
            match decision {
                Decision::Go => {}
                Decision::LeaveOut => {
                    self.pass_over(index, LEFT_OUT.to_owned()).await;
                    index += 1;
                    continue;
                }
                Decision::Abort => return self.put_back().await,
                Decision::Leave | Decision::Interrupt => return RunState::Interrupted,
            }
            match self.attempt(index).await {
                Attempt::Interrupted => return RunState::Interrupted,
                Attempt::Aborted | Attempt::Ended(Outcome::Aborted) => return self.put_back().await,
                Attempt::Ended(Outcome::Failed(_)) => match self.after_failure(index).await {
                    Decision::Go => is_decided = true,
                    Decision::LeaveOut => {
                        self.pass_over(index, LEFT_OUT.to_owned()).await;
                        index += 1;
                    }
                    Decision::Abort => return self.put_back().await,
                    Decision::Leave => return RunState::Failed,
                    Decision::Interrupt => return RunState::Interrupted,
                },
                Attempt::Ended(outcome) => {
                    if matches!(outcome, Outcome::Warned(_)) && self.asks() {
                        self.is_automatic = false;
                    }
                    index += 1;
                }
            }
        }
        RunState::Done
    }

    /// Whether the steps of this run wait for a confirmation each; for single actions the dialog was the confirmation.
    fn asks(&self) -> bool {
        self.shared.plan.kind == Kind::Reboot
    }

    async fn enter(&mut self, state: RunState) {
        let now = (state, self.is_automatic);
        if self.state != Some(now) {
            self.state = Some(now);
            let change = RunChange::State { state, automatic: self.is_automatic };
            self.shared.voice.tell(change).await;
        }
    }

    async fn pass_over(&mut self, step: usize, why: String) {
        // the next step waits anew: whoever listens has to hear of it although the state is the same
        self.state = None;
        let outcome = Outcome::Skipped(why);
        self.shared.voice.tell(RunChange::StepEnded { step, outcome, took_ms: 0 }).await;
    }

    /// Waits for the confirmation of a step, where it needs one.
    async fn before(&mut self, index: usize) -> Decision {
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
    async fn after_failure(&mut self, index: usize) -> Decision {
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

    fn pause(&mut self) {
        self.is_automatic = false;
        self.is_paused = true;
    }

    fn go_on(&mut self) {
        self.is_automatic = true;
        self.is_paused = false;
    }

    /// One attempt at a step: deadline, orders, panics.
    async fn attempt(&mut self, index: usize) -> Attempt {
        let Some(job) = self.job(index) else {
            return Attempt::Ended(Outcome::Failed(Report::new(FailureKind::Unexpected, "no such step")));
        };
        self.enter(RunState::Running).await;
        let attempt = self.shared.voice.view().map_or(0, |view| view.steps[index].attempts) + 1;
        self.shared.voice.tell(RunChange::StepStarted { step: index, attempt }).await;
        if let Some(keeper) = self.shared.keeper() {
            keeper.enter(job.step.kind.name());
        }
        let began = Instant::now();
        let (outcome, stop) = self.watch_over(&job).await;
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let change = RunChange::StepEnded { step: index, outcome: outcome.clone(), took_ms };
        self.shared.voice.tell(change).await;
        stop.unwrap_or(Attempt::Ended(outcome))
    }

    fn job(&self, index: usize) -> Option<Job> {
        let step = self.shared.voice.view()?.steps.get(index)?.step.clone();
        let deadline = (!step.timeout.is_zero()).then(|| now().plus(step.timeout));
        let cancel = CancellationToken::new();
        Some(Job { shared: self.shared.clone(), index, step, cancel, deadline })
    }

    /// Its outcome, and why it was told to stop when it was.
    async fn watch_over(&mut self, job: &Job) -> (Outcome, Option<Attempt>) {
        let mut work = AssertUnwindSafe(step::perform(job)).catch_unwind();
        let limit = job.step.timeout;
        let deadline = async {
            if limit.is_zero() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(limit).await;
        };
        tokio::pin!(deadline);
        let mut is_listening = true;
        loop {
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => {
                    return (wind_down(job, &mut work).await, Some(Attempt::Interrupted));
                }
                order = self.orders.recv(), if is_listening => match order {
                    None => is_listening = false,
                    Some(RunCommand::Abort) if !self.is_undoing => {
                        return (wind_down(job, &mut work).await, Some(Attempt::Aborted));
                    }
                    Some(RunCommand::Pause) => { self.pause(); self.enter(RunState::Running).await; }
                    Some(RunCommand::Automatic) => { self.go_on(); self.enter(RunState::Running).await; }
                    Some(_) => {}
                },
                ended = &mut work => return (settled(job, ended), None),
                () = &mut deadline => {
                    job.cancel.cancel();
                    return (Outcome::Failed(self.too_late(job)), None);
                }
            }
        }
    }

    fn too_late(&self, job: &Job) -> Report {
        let what = format!("{} did not end within {}", job.step.kind.name(), brief(job.step.timeout));
        let mut report = Report::new(FailureKind::Timeout, what);
        if let Some(last) = self.shared.voice.last_progress(job.index) {
            report = last.items.iter().fold(report.because(last.text), Report::because);
        }
        report
    }

    /// Carries out what an abort puts back. Trouble with one part does not keep the others from being put back.
    async fn put_back(&mut self) -> RunState {
        let Some(view) = self.shared.voice.view() else { return RunState::Aborted };
        self.is_undoing = true;
        // what was ordered for the steps of the plan does not concern those of the undo
        while self.orders.try_recv().is_ok() {}
        let plan = undo(&view);
        let first = view.steps.len();
        let count = plan.steps.len();
        let at = view.current().unwrap_or(0);
        for text in plan.stays {
            self.shared.voice.tell(RunChange::Noted { step: at, text, warn: true }).await;
        }
        self.shared.voice.tell(RunChange::Undoing { steps: plan.steps }).await;
        for index in first..first + count {
            if matches!(self.attempt(index).await, Attempt::Interrupted) {
                return RunState::Interrupted;
            }
        }
        RunState::Aborted
    }

    /// What is left changed. A run that ends otherwise than well leaves its lock marked, so that the next engineer sees
    /// who, what and when; when it left nothing else, the lock is given back instead.
    async fn farewell(&mut self, end: RunState) -> Vec<String> {
        let Some(view) = self.shared.voice.view() else { return Vec::new() };
        let (Some(keeper), false) =
            (self.shared.keep(None), matches!(end, RunState::Done | RunState::Aborted))
        else {
            return left(&view, end);
        };
        let step = view
            .current()
            .and_then(|index| view.steps.get(index))
            .map_or("the end", |view| view.step.kind.name());
        let how = if end == RunState::Failed { "failed" } else { "interrupted" };
        let words = format!("{how} at {step}");
        let others = left_on_nodes(&view, end);
        let tombstone = (!others.is_empty()).then_some(words.as_str());
        match tokio::time::timeout(FAREWELL, keeper.give_back(tombstone)).await {
            Ok(Ok(())) if tombstone.is_none() => return others,
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!("the maintenance lock could not be given back or marked: {error}");
            }
            Err(_) => tracing::warn!("the maintenance lock could not be given back or marked in time"),
        }
        left(&view, end)
    }
}

/// Tells a step to stop, and gives it a moment to end in good order; what is still under way then is dropped.
async fn wind_down(
    job: &Job,
    work: &mut (impl Future<Output = std::thread::Result<Ending>> + Unpin),
) -> Outcome {
    job.cancel.cancel();
    match tokio::time::timeout(GRACE, work).await {
        Ok(Ok(Ok(outcome))) => outcome,
        _ => Outcome::Aborted,
    }
}

fn settled(job: &Job, ended: std::thread::Result<Ending>) -> Outcome {
    match ended {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(report)) if report.kind == FailureKind::Cancelled => Outcome::Aborted,
        Ok(Err(report)) => Outcome::Failed(report),
        Err(panic) => {
            let words = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "no words".to_owned());
            Outcome::Failed(
                Report::new(FailureKind::Unexpected, format!("{} broke down", job.step.kind.name()))
                    .because(words)
                    .hint("this is a defect of pitstop: the log file has the details"),
            )
        }
    }
}
