//! One attempt at one step: its deadline, orders that arrive meanwhile, and what becomes of a panic.

use super::{Driver, probes};
use crate::backend::clock::now;
use crate::domain::plan::StepKind;
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::{Outcome, RunChange, RunCommand, RunState};
use crate::domain::time::brief;
use crate::engine::job::{Ending, Job};
use crate::engine::step;
use futures::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A step that is told to stop gets this long to end in good order; it can start nothing new meanwhile.
const GRACE: Duration = Duration::from_secs(1);

/// So many things that were waited for are named in a report.
const NAMED: usize = 10;

/// How an attempt ended.
pub(super) enum Attempt {
    /// By itself, or at its deadline.
    Ended(Outcome),
    /// The engineer aborts; whatever the step came to.
    Aborted,
    /// The run is to stop where it is.
    Interrupted,
}

impl Driver {
    /// One attempt at a step: deadline, orders, panics.
    pub(super) async fn attempt(&mut self, index: usize) -> Attempt {
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

    pub(in crate::engine) fn job(&self, index: usize) -> Option<Job> {
        let mut step = self.shared.voice.view()?.steps.get(index)?.step.clone();
        if step.kind == StepKind::Settle {
            let planned =
                crate::engine::plan::quiet(&self.shared.plan, &self.shared.backends.settings.timing);
            step.timeout = (step.timeout + *self.shared.settle.borrow()).saturating_sub(planned);
        }
        let deadline = (!step.timeout.is_zero()).then(|| now().plus(step.timeout));
        let cancel = CancellationToken::new();
        Some(Job { shared: self.shared.clone(), index, step, cancel, deadline, more: Arc::default() })
    }

    /// Its outcome, and why it was told to stop when it was.
    async fn watch_over(&mut self, job: &Job) -> (Outcome, Option<Attempt>) {
        let mut work = AssertUnwindSafe(step::perform(job)).catch_unwind();
        let began = Instant::now();
        let mut limit = job.step.timeout;
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
                    Some(RunCommand::Pause) => {
                        self.pause(job.index).await;
                        self.enter(RunState::Running).await;
                    }
                    Some(RunCommand::Automatic) => {
                        self.go_on(job.index).await;
                        self.enter(RunState::Running).await;
                    }
                    Some(RunCommand::Settle(quiet)) => {
                        let before = *self.shared.settle.borrow();
                        if job.step.kind == StepKind::Settle {
                            limit = (limit + quiet).saturating_sub(before);
                        }
                        self.settle(job.index, quiet).await;
                    }
                    Some(RunCommand::Extend { step, by }) if step == job.index && !limit.is_zero() => {
                        job.extend(by);
                        limit += by;
                        self.decided(job.index, RunCommand::Extend { step, by }, ()).await;
                    }
                    Some(RunCommand::Skip) => {}
                    Some(order) => self.aside(job.index, order).await,
                },
                why = probes::alarm(&mut self.beside) => self.alarmed(job.index, why).await,
                ended = &mut work => return (settled(job, ended), None),
                () = tokio::time::sleep_until(began + limit), if !limit.is_zero() => {
                    job.cancel.cancel();
                    return (Outcome::Failed(self.too_late(job, limit)), None);
                }
            }
        }
    }

    fn too_late(&self, job: &Job, limit: Duration) -> Report {
        let what = format!("{} did not end within {}", job.step.kind.name(), brief(limit));
        // gates that did not pass in time are a finding, as any gate is
        let is_gate = job.step.kind == StepKind::Verify;
        let kind = if is_gate { FailureKind::Denied } else { FailureKind::Timeout };
        let mut report = Report::new(kind, what);
        if let Some(last) = self.shared.voice.last_progress(job.index) {
            let more = last.items.len().saturating_sub(NAMED);
            report = last.items.iter().take(NAMED).fold(report.because(last.text), Report::because);
            if more > 0 {
                report = report.because(format!("and {more} more"));
            }
        }
        report
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
