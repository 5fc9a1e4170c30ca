//! What is to be done now, and what later: one queue for all controllers.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use tokio::time::Instant;

use super::read::Key;

/// A controller by its place, and the object it is to look at.
pub type Item = (usize, Key);

/// Items to do now, each once, in order; and at most one timer per item.
#[derive(Default)]
pub struct Work {
    ready: VecDeque<Item>,
    queued: HashSet<Item>,
    timers: BTreeMap<(Instant, u64), Item>,
    armed: HashMap<Item, (Instant, u64)>,
    count: u64,
}

impl Work {
    /// Do it now.
    pub fn push(&mut self, item: Item) {
        if self.queued.insert(item.clone()) {
            self.ready.push_back(item);
        }
    }

    /// Do it at `at`, unless it is due earlier anyway.
    pub fn push_at(&mut self, item: Item, at: Instant) {
        if let Some(armed) = self.armed.get(&item) {
            if armed.0 <= at {
                return;
            }
            self.timers.remove(armed);
        }
        self.count += 1;
        self.timers.insert((at, self.count), item.clone());
        self.armed.insert(item, (at, self.count));
    }

    /// Moves what is due by `now` to the queue.
    pub fn wake(&mut self, now: Instant) {
        while let Some(entry) = self.timers.first_entry() {
            if entry.key().0 > now {
                return;
            }
            let item = entry.remove();
            self.armed.remove(&item);
            self.push(item);
        }
    }

    /// The next item to do.
    pub fn pop(&mut self) -> Option<Item> {
        let item = self.ready.pop_front()?;
        self.queued.remove(&item);
        Some(item)
    }

    /// Whether something is to be done now.
    pub fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// When the next timer is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.timers.first_key_value().map(|((at, _), _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_item_is_queued_once_and_its_earliest_timer_counts() {
        let mut work = Work::default();
        let item = (0, Key::cluster("a"));
        work.push(item.clone());
        work.push(item.clone());
        assert_eq!(work.pop(), Some(item.clone()));
        assert_eq!(work.pop(), None);
        let now = Instant::now();
        work.push_at(item.clone(), now + Duration::from_secs(5));
        work.push_at(item.clone(), now + Duration::from_secs(2));
        work.push_at(item.clone(), now + Duration::from_secs(9));
        assert_eq!(work.next_due(), Some(now + Duration::from_secs(2)));
        work.wake(now + Duration::from_secs(3));
        assert_eq!(work.pop(), Some(item));
        assert_eq!(work.next_due(), None);
    }
}
