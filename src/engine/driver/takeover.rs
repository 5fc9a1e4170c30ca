//! Going on with a run that another process left, and putting back what it left changed.
//!
//! The same journal goes on, under the same run id: its lock and its cordon are ours, because they carry that id. At most one
//! process has a journal, so that no two can drive one run.

use super::{Driver, Run, header};
use crate::backend::dial::Dialer;
use crate::backend::error::Error;
use crate::domain::guard::Permit;
use crate::domain::ids::{NodeName, OpId};
use crate::domain::plan::Kind;
use crate::domain::report::{FailureKind, Report};
use crate::domain::resume::{course, obstacle};
use crate::domain::run::{RunChange, RunCommand, RunState, RunView};
use crate::engine::job::{Shared, pause};
use crate::engine::journal::{self, Journal, Line, Record};
use crate::engine::probe;
use crate::engine::roll::Kin;
use crate::engine::settings::{Backends, Settings};
use crate::engine::voice::Voice;
use futures::FutureExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The nodes must be readable within this time; a control plane may be on its way back.
const PATIENCE: Duration = Duration::from_mins(2);

/// Goes on with a run that another process left.
///
/// # Errors
/// It is under way elsewhere, it is over, it belongs to another machine or context, or its journal cannot be continued.
pub fn resume(
    backends: Backends,
    record: &Record,
    permit: Permit,
    op: OpId,
    is_automatic: bool,
) -> Result<Run, Report> {
    let ways = Ways { is_automatic, aborts: false, kin: None };
    take_over(backends, record, permit, op, ways)
}

/// Goes on with the run of a node that is a part of a roll.
pub(in crate::engine) fn resume_within(
    backends: Backends,
    record: &Record,
    permit: Permit,
    op: OpId,
    kin: Kin,
) -> Result<Run, Report> {
    take_over(backends, record, permit, op, Ways { is_automatic: true, aborts: false, kin: Some(kin) })
}

/// Puts back what such a run left.
pub(in crate::engine) fn put_back_within(
    backends: Backends,
    record: &Record,
    permit: Permit,
    op: OpId,
    kin: Kin,
) -> Result<Run, Report> {
    take_over(backends, record, permit, op, Ways { is_automatic: true, aborts: true, kin: Some(kin) })
}

/// How a run is taken over.
struct Ways {
    is_automatic: bool,
    aborts: bool,
    kin: Option<Kin>,
}

/// Puts back what such a run left changed; each step of that waits for its confirmation unless it is automatic.
///
/// # Errors
/// As [`resume`].
pub fn put_back(
    backends: Backends,
    record: &Record,
    permit: Permit,
    op: OpId,
    is_automatic: bool,
) -> Result<Run, Report> {
    take_over(backends, record, permit, op, Ways { is_automatic, aborts: true, kin: None })
}

/// Why a run cannot be gone on with, or put back, here.
///
/// # Errors
/// The reason, in a sentence.
pub fn may_take_over(record: &Record, settings: &Settings, aborts: bool) -> Result<(), Report> {
    deny_part_of_roll(record, settings)?;
    may_be_taken(record, settings, aborts)
}

/// The run of one node of a roll is gone on with, and put back, by the roll, which holds the lock for it.
fn deny_part_of_roll(record: &Record, settings: &Settings) -> Result<(), Report> {
    let Some(roll) = &record.header.parent else { return Ok(()) };
    let path = journal::directory(&settings.state_dir).join(format!("{roll}.jsonl"));
    if !path.exists() {
        return Ok(());
    }
    let words = format!("run {} is a part of {roll}", record.header.run);
    Err(Report::new(FailureKind::Denied, words)
        .hint(format!("pitstop runs resume {roll}, or pitstop runs abort {roll}")))
}

fn may_be_taken(record: &Record, settings: &Settings, aborts: bool) -> Result<(), Report> {
    let no = |words: String| Report::new(FailureKind::Denied, words);
    let header = record.last_header();
    let run = &header.run;
    let host = |holder: &str| holder.rsplit_once('@').map(|(_, host)| host.to_owned());
    if host(&header.holder) != host(&settings.holder) {
        let words =
            format!("run {run} was started by {}: it can be resumed and aborted only there", header.holder);
        return Err(no(words).hint("its node and its lock are shown by pitstop check"));
    }
    if header.context != settings.context {
        let words = format!("run {run} belongs to context {}, not to {}", header.context, settings.context);
        return Err(no(words).hint(format!("add --context {}", header.context)));
    }
    let Some(view) = &record.view else {
        return Err(no(format!(
            "run {run} was killed before it did anything: there is nothing to go on with"
        )));
    };
    let why = match (aborts, view.state) {
        (true, RunState::Done | RunState::Aborted) if view.ended.is_some() => {
            Some(format!("it is {}", if view.state == RunState::Done { "done" } else { "aborted already" }))
        }
        (true, _) => None,
        (false, _) => obstacle(view),
    };
    let verb = if aborts { "aborted" } else { "resumed" };
    why.map_or(Ok(()), |why| Err(no(format!("run {run} cannot be {verb}: {why}"))))
}

fn take_over(
    mut backends: Backends,
    record: &Record,
    permit: Permit,
    op: OpId,
    ways: Ways,
) -> Result<Run, Report> {
    let Ways { is_automatic, aborts, kin } = ways;
    let (journal, mut record) = Journal::reopen(&record.path)?;
    if kin.is_none() {
        let kept = &record.last_header().probes;
        backends.watchman = backends.watchman.with(kept, &backends.cluster, &Dialer::tcp());
    }
    let settings = &backends.settings;
    may_be_taken(&record, settings, aborts)?;
    if kin.is_none() {
        deny_part_of_roll(&record, settings)?;
    }
    let damaged = || Report::new(FailureKind::Local, format!("{}: it holds no plan", record.path.display()));
    let view = record.view.take().ok_or_else(damaged)?;
    let plan = record.plan().cloned().ok_or_else(damaged)?;
    let id = record.header.run.clone();
    journal.write(&Line::Header(header(&id, &plan, &backends, &permit)), true)?;
    let by = settings.holder.clone();
    let confirmed = permit.assent().name().to_owned();
    let has_asked = record.has_asked();
    if !has_asked {
        record.memory.reboot_requested = None;
    }
    let course = course(&view, has_asked);

    let (commands, orders) = mpsc::channel(16);
    let (tell, events) = mpsc::channel(256);
    let cancel = CancellationToken::new();
    let voice = Voice::resumed(op, view.clone(), tell, journal);
    let shared =
        Shared::new(backends, permit, id.clone(), plan, voice).remembering(record.memory.clone()).within(kin);
    hold_to(&shared, &record, &view);
    let mut driver = Driver::new(Arc::new(shared), orders, is_automatic, cancel.clone());
    driver.course = course;
    let known = probe::baselines(&record.events);
    let resumed = RunChange::Resumed { by, confirmed, aborts, view: Some(Box::new(view)) };
    let work = async move {
        driver.shared.voice.tell(resumed).await;
        if !aborts {
            driver.measure(&known).await;
        }
        let end = if aborts { driver.put_back().await } else { driver.go_on_with().await };
        driver.finish(end).await;
    };
    tokio::spawn(work.boxed());
    Ok(Run { id, commands, events, cancel })
}

/// What was decided for this run in an earlier process still holds.
fn hold_to(shared: &Shared, record: &Record, view: &RunView) {
    for event in &record.events {
        match &event.change {
            RunChange::Decided { order: RunCommand::Accept { step, gate, reason }, .. } => {
                if let Some(step) = view.steps.get(*step) {
                    // one that this version does not let be accepted any more is read again
                    let _ = shared.accepted.add(gate, step.step.kind, reason);
                }
            }
            RunChange::Decided { order: RunCommand::Settle(quiet), .. } => {
                shared.settle.send_replace(*quiet);
            }
            _ => {}
        }
    }
}

impl Driver {
    async fn go_on_with(&mut self) -> RunState {
        match self.same_nodes().await {
            Ok(()) => self.steps().await,
            Err(report) => {
                let step = self.shared.voice.view().and_then(|view| view.current()).unwrap_or(0);
                let text = report.line();
                self.shared.voice.tell(RunChange::Noted { step, text, warn: true }).await;
                if self.cancel.is_cancelled() { RunState::Interrupted } else { RunState::Failed }
            }
        }
    }

    /// The nodes are still there, and still the same.
    async fn same_nodes(&self) -> Result<(), Report> {
        if self.shared.plan.kind == Kind::Roll {
            // the run of each node looks at its own; a node that was replaced was meant to be
            return Ok(());
        }
        let memory = self.shared.memory();
        for node in &self.shared.plan.nodes {
            let known = memory.found.as_ref().and_then(|found| found.nodes.get(node));
            let uid = known.map(|known| known.uid.clone()).or_else(|| memory.node_uid.clone());
            let found = self.read(node).await.map_err(|error| gone(node, error))?;
            if uid.is_some_and(|uid| uid != found) {
                return Err(Report::new(
                    FailureKind::Identity,
                    format!("the node {node} is another one under the same name by now: this run is about one that is gone"),
                )
                .hint("abort the run; its lock is given back and the new node is left alone"));
            }
        }
        Ok(())
    }

    /// The uid of a node; the API may be away while a control plane comes back.
    async fn read(&self, node: &NodeName) -> Result<String, Error> {
        let end = Instant::now() + PATIENCE;
        let mut tries = 0;
        loop {
            let error = match self.shared.backends.cluster.node_object(node).await {
                Ok(row) => return Ok(row.uid),
                Err(error) => error,
            };
            if !error.kind.is_passing() || Instant::now() >= end {
                return Err(error);
            }
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Err(error),
                () = tokio::time::sleep(pause(tries)) => tries += 1,
            }
        }
    }
}

fn gone(node: &NodeName, error: Error) -> Report {
    if error.kind == FailureKind::NotFound {
        return Report::new(
            FailureKind::NotFound,
            format!("the node {node} is gone: its object was deleted while no process drove this run"),
        )
        .hint("abort the run; it gives the lock back");
    }
    error.into()
}
