//! Changes in the order they happened: the window of history that watches replay, and subscriptions to it.

use std::collections::VecDeque;

use tokio::sync::watch;

use super::resources::Resource;
use super::{Object, Store};

/// How many changes a watch can go back.
pub const WINDOW: usize = 8192;

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It was written.
    Modified,
    /// It is gone.
    Deleted,
}

/// One write.
#[derive(Debug, Clone)]
pub struct Change {
    /// Revision of the write; each write has its own.
    pub revision: u64,
    /// What happened.
    pub kind: ChangeKind,
    /// Kind of the object.
    pub resource: &'static Resource,
    /// The object after the write; of a deleted one the last state with the deletion's `resourceVersion`.
    pub object: Object,
    /// The object before the write.
    pub previous: Option<Object>,
}

/// The revision asked for is older than the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone {
    /// Oldest revision a subscription may start after.
    pub oldest: u64,
}

/// The last [`WINDOW`] changes; revisions in it are consecutive.
#[derive(Debug)]
pub(super) struct History {
    changes: VecDeque<Change>,
    /// Revision of the newest change that has been dropped; the revision of the empty store at first.
    dropped: u64,
}

impl Default for History {
    fn default() -> History {
        History { changes: VecDeque::new(), dropped: 1 }
    }
}

impl History {
    pub(super) fn push(&mut self, change: Change) {
        self.changes.push_back(change);
        if self.changes.len() > WINDOW {
            self.drop_oldest(1);
        }
    }

    fn drop_oldest(&mut self, count: usize) {
        for change in self.changes.drain(..count.min(self.changes.len())) {
            self.dropped = change.revision;
        }
    }

    pub(super) fn compact(&mut self) {
        self.drop_oldest(self.changes.len());
    }

    pub(super) fn check(&self, since: u64) -> Result<(), Gone> {
        if since < self.dropped { Err(Gone { oldest: self.dropped }) } else { Ok(()) }
    }

    /// The changes after a revision, newest first.
    pub(super) fn newest_down_to(&self, since: u64) -> impl Iterator<Item = &Change> {
        self.changes.iter().rev().take_while(move |change| change.revision > since)
    }

    pub(super) fn after(&self, since: u64) -> Result<Option<Change>, Gone> {
        self.check(since)?;
        let index = usize::try_from(since - self.dropped).unwrap_or(usize::MAX);
        Ok(self.changes.get(index).cloned())
    }
}

/// Changes after a revision, in order, none left out.
#[derive(Debug)]
pub struct Subscription {
    store: Store,
    since: u64,
    news: watch::Receiver<u64>,
}

impl Subscription {
    pub(super) fn new(store: Store, since: u64, news: watch::Receiver<u64>) -> Subscription {
        Subscription { store, since, news }
    }

    /// The next change. `None` when the subscriber was slower than the window is long: list again and subscribe again.
    /// Cancel safe.
    pub async fn next(&mut self) -> Option<Change> {
        loop {
            match self.try_next() {
                Ok(Some(change)) => return Some(change),
                Err(Gone { .. }) => return None,
                Ok(None) => self.news.changed().await.ok()?,
            }
        }
    }

    /// The next change if there is one already.
    pub fn try_next(&mut self) -> Result<Option<Change>, Gone> {
        self.news.mark_unchanged();
        let change = self.store.change_after(self.since)?;
        if let Some(change) = &change {
            self.since = change.revision;
        }
        Ok(change)
    }

    /// Revision of the last change taken.
    pub fn revision(&self) -> u64 {
        self.since
    }
}
