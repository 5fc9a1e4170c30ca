//! Who has the word at which budget, in this process: one eviction on its way at most, or a resolution that needs the
//! room for itself; and the engineer's word about pods that a drain is to leave alone. All drains and resolutions of a process share one [`Reserved`].

use crate::domain::ids::{BudgetKey, PodKey};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// What a budget is held for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// One eviction is on its way.
    Eviction,
    /// A resolution changes the budget, or spends the room that it made itself.
    Resolution,
}

/// The budgets that are held; clones are the same.
#[derive(Debug, Clone)]
pub struct Reserved {
    held: Arc<watch::Sender<BTreeMap<BudgetKey, Purpose>>>,
    /// Pods that a drain is to leave where they are, by the engineer's word; it has not heeded that yet.
    excused: Arc<watch::Sender<BTreeSet<PodKey>>>,
}

impl Default for Reserved {
    fn default() -> Self {
        Self {
            held: Arc::new(watch::Sender::new(BTreeMap::new())),
            excused: Arc::new(watch::Sender::new(BTreeSet::new())),
        }
    }
}

impl Reserved {
    /// Takes the word at a budget; `None` = somebody has it. Given back when the result is dropped.
    pub fn try_hold(&self, budget: &BudgetKey, purpose: Purpose) -> Option<Hold> {
        let is_taken = self.held.send_if_modified(|held| {
            let is_free = !held.contains_key(budget);
            if is_free {
                held.insert(budget.clone(), purpose);
            }
            is_free
        });
        is_taken.then(|| Hold { budget: budget.clone(), reserved: self.clone() })
    }

    /// The same for a resolution, which waits until the eviction that is on its way has been answered.
    pub async fn hold(&self, budget: &BudgetKey) -> Hold {
        let mut changes = self.changes();
        loop {
            changes.borrow_and_update();
            if let Some(hold) = self.try_hold(budget, Purpose::Resolution) {
                return hold;
            }
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Has the drain that waits for a pod leave it where it is; `false` = none heeded that in time, and none will.
    pub async fn excuse(&self, pod: &PodKey, patience: Duration) -> bool {
        let mut heeded = self.excused.subscribe();
        self.excused.send_modify(|pods| pods.extend([pod.clone()]));
        let plea = Plea { pod: pod.clone(), reserved: self.clone() };
        // whoever waits for a budget looks again
        self.held.send_modify(|_| {});
        let _ = tokio::time::timeout(patience, heeded.wait_for(|pods| !pods.contains(pod))).await;
        !plea.withdraw()
    }

    /// Whether a drain that waits for a pod is to leave it where it is.
    pub fn is_excused(&self, pod: &PodKey) -> bool {
        self.excused.borrow().contains(pod)
    }

    /// A drain leaves the pod: the word was for it alone.
    pub fn heed(&self, pod: &PodKey) {
        self.excused.send_if_modified(|pods| pods.remove(pod));
    }

    /// What a budget is held for now.
    pub fn purpose(&self, budget: &BudgetKey) -> Option<Purpose> {
        self.held.borrow().get(budget).copied()
    }

    /// Tells whenever a budget is taken or given back.
    pub fn changes(&self) -> watch::Receiver<BTreeMap<BudgetKey, Purpose>> {
        self.held.subscribe()
    }
}

/// An engineer's word about a pod, which ends with whoever passes it on.
struct Plea {
    pod: PodKey,
    reserved: Reserved,
}

impl Plea {
    /// `true` = it still was not heeded.
    fn withdraw(&self) -> bool {
        self.reserved.excused.send_if_modified(|pods| pods.remove(&self.pod))
    }
}

impl Drop for Plea {
    fn drop(&mut self) {
        self.withdraw();
    }
}

/// The word at one budget.
#[derive(Debug)]
pub struct Hold {
    budget: BudgetKey,
    reserved: Reserved,
}

impl Hold {
    /// Which.
    pub fn budget(&self) -> &BudgetKey {
        &self.budget
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.reserved.held.send_if_modified(|held| held.remove(&self.budget).is_some());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> BudgetKey {
        BudgetKey { namespace: "shop".into(), name: name.into() }
    }

    #[tokio::test(start_paused = true)]
    async fn one_has_the_word_until_it_gives_it_back() {
        let reserved = Reserved::default();
        let flight = reserved.try_hold(&key("web"), Purpose::Eviction).expect("free");
        assert!(reserved.clone().try_hold(&key("web"), Purpose::Eviction).is_none());
        assert!(reserved.try_hold(&key("db"), Purpose::Eviction).is_some(), "another budget");
        let waiting = tokio::spawn({
            let reserved = reserved.clone();
            async move { reserved.hold(&key("web")).await }
        });
        tokio::task::yield_now().await;
        assert_eq!(reserved.purpose(&key("web")), Some(Purpose::Eviction));
        drop(flight);
        let hold = waiting.await.expect("the word");
        assert_eq!((hold.budget(), reserved.purpose(&key("web"))), (&key("web"), Some(Purpose::Resolution)));
        drop(hold);
        assert_eq!(reserved.purpose(&key("web")), None);
    }
}
