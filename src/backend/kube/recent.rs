//! The last lists of pods and budgets: a watch that begins moments later goes on from them instead of listing again. The
//! server sends whatever changed since, so nothing is missed.

use crate::domain::budget::BudgetRow;
use crate::domain::pod::PodRow;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A list counts as recent for so long; the server remembers changes for minutes.
const FRESH: Duration = Duration::from_secs(20);
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
    count: Option<usize>,
    budgets: Option<Kept<BudgetRow>>,
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
        lists.pods = (rows.len() <= MOST).then(|| Kept { at, rows: rows.to_vec(), version });
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

    pub(super) fn take_budgets(&self) -> Option<(Vec<BudgetRow>, String)> {
        self.lists().budgets.take()?.fresh()
    }
}
