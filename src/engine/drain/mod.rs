//! The drain: evictions as fast as budgets allow, driven by what is seen and not by a clock.
//!
//! One watch on the node's pods, one on the budgets, one on the node. At most one eviction per budget is on its way,
//! and up to [`IN_FLIGHT`] over all; each is for one very pod (uid). A pod is done when that uid is gone. The API going
//! away stops nothing: the watches come back, and so do the evictions.

mod board;
mod ledger;
mod reserved;
#[cfg(test)]
mod tests;

pub use reserved::{Hold, Purpose, Reserved};

use super::job::{Ending, Job};
use crate::backend::error::Error;
use crate::backend::kube::Eviction;
use crate::domain::budget::BudgetRow;
use crate::domain::feed::Delta;
use crate::domain::ids::{NodeName, PodKey};
use crate::domain::node::NodeRow;
use crate::domain::pod::PodRow;
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::{Outcome, Progress};
use crate::domain::text::count;
use board::{Answer, Board};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt, future::BoxFuture};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// Evictions on their way at the same time, over all budgets.
pub const IN_FLIGHT: usize = 16;

type Flight = BoxFuture<'static, (PodKey, Result<Eviction, Error>)>;

/// Drains the node of the job's step; its deadline is enforced from outside.
///
/// # Errors
/// A pod that may not be moved without an option, before anything is sent; a missing right; the node uncordoned by
/// somebody, or replaced.
pub async fn run(job: &Job) -> Ending {
    let node = job.node()?.clone();
    let cluster = job.backends().cluster.clone();
    let mut pods = cluster.watch_node_pods(&node);
    let mut budgets = cluster.watch_budgets();
    let mut nodes = cluster.watch_node(&node);
    let mut holds = job.backends().reserved.changes();
    let mut drain = Drain::new(job, node);
    let mut flights: FuturesUnordered<Flight> = FuturesUnordered::new();
    loop {
        let now = Instant::now();
        let wake = if drain.is_stalled { now + TICK } else { drain.board.next_wake(now) };
        tokio::select! {
            biased;
            () = job.cancel.cancelled() => {
                return Err(Report::new(FailureKind::Cancelled, "the drain was stopped; nothing more is sent"));
            }
            Some((key, answer)) = flights.next(), if !flights.is_empty() => drain.answered(&key, &answer)?,
            Some(change) = pods.next() => drain.pods_changed(change).await?,
            Some(change) = budgets.next() => drain.budgets_changed(change)?,
            Some(change) = nodes.next() => drain.node_changed(change)?,
            Ok(()) = holds.changed() => {}
            () = tokio::time::sleep_until(wake) => drain.board.reclassify(&drain.daemonsets),
        }
        drain.board.leave_excused();
        drain.tell().await;
        if !drain.board.is_known() {
            if drain.trouble.is_some() {
                drain.show();
            }
            continue;
        }
        if let Some(report) = drain.board.refusal() {
            return Err(report);
        }
        drain.launch(&mut flights).await?;
        drain.show();
        if drain.board.is_done() {
            return Ok(drain.outcome());
        }
    }
}

struct Drain<'a> {
    job: &'a Job,
    node: NodeName,
    board: Board,
    /// Whether a DaemonSet exists, by namespace and name.
    daemonsets: BTreeMap<(String, String), bool>,
    trouble: Option<String>,
    /// The lock could not be renewed, so that nothing was sent.
    is_stalled: bool,
    shown: Option<Progress>,
}

impl<'a> Drain<'a> {
    fn new(job: &'a Job, node: NodeName) -> Self {
        // pods that an earlier attempt moved still count as moved
        let moved = job.shared.voice.last_progress(job.index).and_then(|progress| progress.done);
        let board =
            Board::new(job.shared.plan.drain.clone(), moved.unwrap_or(0), job.backends().reserved.clone());
        Self { job, node, board, daemonsets: BTreeMap::new(), trouble: None, is_stalled: false, shown: None }
    }

    /// Keeps the words of a source in trouble; what cannot pass by itself ends the drain.
    fn heard<R>(&mut self, change: Result<Delta<R>, Error>) -> Result<Option<Delta<R>>, Report> {
        match change {
            Ok(delta) => {
                self.trouble = None;
                Ok(Some(delta))
            }
            Err(error) if matches!(error.kind, FailureKind::Forbidden | FailureKind::Unauthorized) => {
                Err(error.into())
            }
            Err(error) => {
                self.trouble = Some(error.to_string());
                Ok(None)
            }
        }
    }

    async fn pods_changed(&mut self, change: Result<Delta<PodRow>, Error>) -> Result<(), Report> {
        let Some(delta) = self.heard(change)? else { return Ok(()) };
        let rows = match &delta {
            Delta::Reset(rows) => rows.as_slice(),
            Delta::Upsert(row) => std::slice::from_ref(row),
            Delta::Remove(_) => &[],
        };
        for row in rows.iter().filter(|row| row.is_daemon()) {
            self.look_up(row).await?;
        }
        self.board.pods_changed(delta, &self.daemonsets);
        Ok(())
    }

    async fn look_up(&mut self, row: &PodRow) -> Result<(), Report> {
        let Some(owner) = &row.owner else { return Ok(()) };
        let key = (row.key.namespace.clone(), owner.name.clone());
        if self.daemonsets.contains_key(&key) {
            return Ok(());
        }
        let cluster = &self.job.backends().cluster;
        let exists =
            self.job.patiently("reading a DaemonSet", || cluster.daemonset_exists(&key.0, &key.1)).await?;
        self.daemonsets.insert(key, exists);
        Ok(())
    }

    fn budgets_changed(&mut self, change: Result<Delta<BudgetRow>, Error>) -> Result<(), Report> {
        if let Some(delta) = self.heard(change)? {
            self.board.ledger.apply(delta);
        }
        Ok(())
    }

    /// Somebody who makes the node schedulable again would have us drain for ever.
    fn node_changed(&mut self, change: Result<Delta<NodeRow>, Error>) -> Result<(), Report> {
        let Some(delta) = self.heard(change)? else { return Ok(()) };
        let row = match delta {
            Delta::Upsert(row) => Some(row),
            Delta::Reset(rows) => rows.into_iter().find(|row| row.name == self.node),
            Delta::Remove(_) => None,
        };
        match row {
            Some(row) if row.cordoned => Ok(()),
            Some(_) => Err(Report::new(
                FailureKind::Conflict,
                format!("somebody made {} schedulable again during the drain", self.node),
            )
            .hint("find out who; then abort, or cordon it and try again")),
            None => Err(Report::new(FailureKind::NotFound, format!("the node {} is gone", self.node))),
        }
    }

    fn answered(&mut self, key: &PodKey, answer: &Result<Eviction, Error>) -> Result<(), Report> {
        self.job.answered_lightly(&change_of(&self.board, key), answer);
        match self.board.answered(key, answer, Instant::now()) {
            Answer::GoOn => Ok(()),
            Answer::Stop(report) => Err(report),
        }
    }

    /// Sends what may be sent now.
    async fn launch(&mut self, flights: &mut FuturesUnordered<Flight>) -> Result<(), Report> {
        let assured = self.job.assure_lock().await;
        self.is_stalled = assured.is_err();
        if let Err(error) = assured {
            if !error.kind.is_passing() {
                return Err(error.into());
            }
            self.trouble = Some(error.to_string());
            return Ok(());
        }
        let ready = self.board.take_ready(IN_FLIGHT.saturating_sub(flights.len()), Instant::now());
        if ready.is_empty() {
            return Ok(());
        }
        let changes: Vec<String> = ready.iter().map(|key| change_of(&self.board, key)).collect();
        self.job.announce_all(&changes)?;
        for key in ready {
            flights.push(self.flight(key));
        }
        Ok(())
    }

    fn flight(&self, key: PodKey) -> Flight {
        let cluster = self.job.backends().cluster.clone();
        let permit = self.job.permit().clone();
        let node = self.node.clone();
        let options = &self.job.shared.plan.drain;
        let grace = (options.grace_period >= 0).then_some(options.grace_period);
        let bypasses = options.disable_eviction;
        async move {
            let answer = if bypasses {
                cluster.delete_pod(&key, &node, grace, &permit).await
            } else {
                cluster.evict(&key, &node, grace, &permit).await
            };
            (key, answer)
        }
        .boxed()
    }

    /// Lines for the log about what happened since the last time.
    async fn tell(&mut self) {
        for (text, is_warning) in self.board.take_news() {
            if is_warning {
                self.job.warn(text).await;
            } else {
                self.job.note(text).await;
            }
        }
    }

    fn show(&mut self) {
        let progress = words(&self.board, self.trouble.as_deref());
        if self.shown.as_ref() != Some(&progress) {
            self.job.progress(progress.clone());
            self.shown = Some(progress);
        }
    }

    fn outcome(&self) -> Outcome {
        let moved = self.board.gone();
        let stay = self.board.staying();
        let mut words = format!("{} moved away", count(moved, "pod"));
        if stay > 0 {
            words.push_str(&format!(", {} left where they belong", count(stay, "pod")));
        }
        Outcome::Done(words)
    }
}

/// How far the drain is, and what keeps it from going on.
fn words(board: &Board, trouble: Option<&str>) -> Progress {
    let mut progress = board.progress();
    if !board.is_known() {
        "listing the pods and the budgets".clone_into(&mut progress.text);
    }
    if let Some(trouble) = trouble {
        progress.text.push_str(&format!("; the API does not answer, going on when it does: {trouble}"));
    }
    progress
}

fn change_of(board: &Board, key: &PodKey) -> String {
    format!("{} {key} ({})", board.verb(), key.uid)
}

/// The shortest time after which something is looked at again when nothing was seen.
const TICK: Duration = Duration::from_secs(1);
