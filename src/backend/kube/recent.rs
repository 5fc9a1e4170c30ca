//! The last lists of pods and budgets, and the last cordoned node: a watch that begins moments later goes on from them
//! instead of listing again. The server sends whatever changed since, so nothing is missed by whoever goes on
//! listening; who judges by the first list alone needs one from after the change that it judges by, and a list of pods ends with
//! the next cordon. Predictions, which are of one moment anyway, share a list of nodes and of admission webhooks.

use crate::domain::budget::BudgetRow;
use crate::domain::ids::NodeName;
use crate::domain::node::NodeRow;
use crate::domain::pod::PodRow;
use crate::domain::wave::Admission;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A list counts as recent for so long; the server remembers changes for minutes.
const FRESH: Duration = Duration::from_secs(20);
/// A patch and what goes on from it.
const AT_ONCE: Duration = Duration::from_millis(500);
/// Two questions of the same moment.
const LATELY: Duration = Duration::from_secs(2);
/// No more rows are kept.
const MOST: usize = 5_000;

#[derive(Debug)]
struct Kept<R> {
    at: Instant,
    rows: Vec<R>,
    version: String,
}

impl<R> Kept<R> {
    fn fresh(self) -> Option<(Vec<R>, String)> {
        (self.at.elapsed() < FRESH).then_some((self.rows, self.version))
    }
}

#[derive(Debug, Default)]
struct Lists {
    pods: Option<Kept<PodRow>>,
    /// When a node was last cordoned or uncordoned: pods may have been placed until then.
    placed: Option<Instant>,
    count: Option<usize>,
    budgets: Option<Kept<BudgetRow>>,
    node: Option<Kept<NodeRow>>,
    nodes: Option<(Instant, Vec<NodeRow>)>,
    admission: Option<(Instant, Admission)>,
}

/// The last lists.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<Lists>);

impl Recent {
    fn lists(&self) -> MutexGuard<'_, Lists> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All pods, as asked for at a moment.
    pub(super) fn keep_pods(&self, at: Instant, rows: &[PodRow], version: String) {
        let mut lists = self.lists();
        lists.count = Some(rows.len());
        let is_after = lists.placed.is_none_or(|placed| at > placed);
        lists.pods = (is_after && rows.len() <= MOST).then(|| Kept { at, rows: rows.to_vec(), version });
    }

    /// All budgets.
    pub(super) fn keep_budgets(&self, at: Instant, rows: &[BudgetRow], version: String) {
        self.lists().budgets = (rows.len() <= MOST).then(|| Kept { at, rows: rows.to_vec(), version });
    }

    /// How many pods there were.
    pub(super) fn count(&self) -> Option<usize> {
        self.lists().count
    }

    pub(super) fn take_pods(&self) -> Option<(Vec<PodRow>, String)> {
        self.lists().pods.take()?.fresh()
    }

    /// A node is about to be cordoned or uncordoned, or was just now: a list of pods from before misses those that were placed
    /// meanwhile.
    pub(super) fn outdate_pods(&self) {
        let mut lists = self.lists();
        lists.pods = None;
        lists.placed = Some(Instant::now());
    }

    /// A node as a patch left it.
    pub(super) fn keep_node(&self, row: &NodeRow, version: String) {
        self.lists().node = Some(Kept { at: Instant::now(), rows: vec![row.clone()], version });
    }

    /// The node, when it was patched just now: nobody is told of a node that somebody changed again meanwhile.
    pub(super) fn take_node(&self, name: &NodeName) -> Option<(Vec<NodeRow>, String)> {
        let mut lists = self.lists();
        let is_it = lists.node.as_ref().is_some_and(|kept| kept.rows.iter().all(|row| row.name == *name));
        let kept = lists.node.take_if(|_| is_it)?;
        (kept.at.elapsed() <= AT_ONCE).then_some((kept.rows, kept.version))
    }

    /// All nodes, as asked for at a moment.
    pub(super) fn keep_nodes(&self, at: Instant, rows: &[NodeRow]) {
        self.lists().nodes = (rows.len() <= MOST).then(|| (at, rows.to_vec()));
    }

    /// All nodes, when they were asked for at most [`LATELY`] ago.
    pub(super) fn nodes(&self) -> Option<Vec<NodeRow>> {
        self.lists().nodes.take().filter(|(at, _)| at.elapsed() <= LATELY).map(|(_, rows)| rows)
    }

    pub(super) fn keep_admission(&self, at: Instant, admission: &Admission) {
        self.lists().admission = Some((at, admission.clone()));
    }

    pub(super) fn admission(&self) -> Option<Admission> {
        let lists = self.lists();
        lists.admission.as_ref().filter(|(at, _)| at.elapsed() < FRESH).map(|(_, known)| known.clone())
    }

    pub(super) fn take_budgets(&self) -> Option<(Vec<BudgetRow>, String)> {
        self.lists().budgets.take()?.fresh()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_list_of_pods_ends_with_the_next_cordon() {
        let recent = Recent::default();
        let second = Duration::from_secs(1);
        let before = Instant::now();
        recent.keep_pods(before, &[], "1".into());
        tokio::time::advance(second).await;
        recent.outdate_pods();
        assert!(recent.take_pods().is_none(), "a pod may have been placed since");
        recent.keep_pods(before, &[], "1".into());
        assert!(recent.take_pods().is_none(), "asked for before, answered after");
        tokio::time::advance(second).await;
        recent.keep_pods(Instant::now(), &[], "2".into());
        assert_eq!(recent.take_pods().map(|(_, version)| version).as_deref(), Some("2"));
    }
}
