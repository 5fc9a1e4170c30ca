//! The pods that a node in its turn still has, and the budgets that hold them.
//!
//! Nobody writes down a refused eviction, so a block is read off the objects: a pod that has to move, is not being
//! deleted, and is covered by a budget that allows nothing. As the API server does it (`registry/core/pod/storage/eviction.go`):
//! a pod under two budgets is always refused; one that is not Ready may go under `AlwaysAllow`, or while the budget is met.

use super::Snapshot;
use crate::domain::budget::{BudgetRow, UnhealthyPolicy, budgets_of};
use crate::domain::ids::{BudgetKey, NodeName, PodKey};
use crate::domain::pod::{Phase, PodRow};
use crate::domain::remedy::has_room;
use crate::domain::time::Stamp;
use serde::{Deserialize, Serialize};

/// So many pods of a block are named.
const NAMED: usize = 5;

/// A budget that holds pods of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// The budget.
    pub budget: BudgetKey,
    /// A second one over the same pod: its eviction is always refused.
    pub second: Option<BudgetKey>,
    /// Healthy pods that it needs.
    pub needs: i32,
    /// Healthy pods that there are.
    pub has: i32,
    /// How many pods of the node it holds.
    pub held: u64,
    /// The first of them.
    pub pods: Vec<PodKey>,
    /// Since when.
    pub since: Stamp,
    /// Why waiting will not help; `None` = it may.
    pub never: Option<String>,
}

impl Block {
    /// `blocked by shop/web (needs 3, has 3)`.
    pub fn words(&self) -> String {
        match &self.second {
            Some(second) => format!("blocked by {} and {second}, which cover the same pod", self.budget),
            None => format!("blocked by {} (needs {}, has {})", self.budget, self.needs, self.has),
        }
    }
}

/// The pods of one node that a drain has to move.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Pods and budgets could be read: the numbers are those of now.
    #[serde(default)]
    pub is_known: bool,
    /// How many there were when the turn began, or at most since.
    pub total: u64,
    /// How many are still there.
    pub left: u64,
    /// Of these: being deleted.
    pub leaving: u64,
    /// Of these: nothing holds them, and nobody has evicted them yet.
    pub free: u64,
    /// When the last of those that leave has used up its grace.
    pub grace_ends: Option<Stamp>,
    /// One that should have been gone for long, and what keeps it.
    pub lingering: Option<(PodKey, Stamp)>,
    /// What holds pods.
    pub block: Option<Block>,
}

impl Load {
    /// How many have left.
    pub fn gone(&self) -> u64 {
        self.total.saturating_sub(self.left)
    }

    /// The block, when nothing else can go on.
    pub fn blocking(&self) -> Option<&Block> {
        self.block.as_ref().filter(|_| self.free == 0 && self.is_known)
    }

    /// The same, when pods or budgets cannot be read: how it is now is not known.
    #[must_use]
    pub fn unknown(self) -> Self {
        Self { is_known: false, ..self }
    }

    /// Reads it anew; `self` is what was known before.
    #[must_use]
    pub fn next(&self, node: &NodeName, now: Stamp, seen: &Snapshot<'_>) -> Self {
        let mut load = Self { is_known: true, total: self.total, ..Self::default() };
        let mut held: Vec<(&PodRow, &BudgetRow, Option<&BudgetRow>)> = Vec::new();
        let keys = seen.pods_on.get(node).into_iter().flatten();
        for pod in keys.filter_map(|key| seen.pods.get(key)).filter(|pod| moves(pod)) {
            load.left += 1;
            if let Some(end) = pod.deleting {
                load.leaving += 1;
                load.grace_ends = load.grace_ends.max(Some(end));
                if load.lingering.as_ref().is_none_or(|(_, worst)| end < *worst) && end < now {
                    load.lingering = Some((pod.key.clone(), end));
                }
                continue;
            }
            match holder(pod, seen) {
                Some((budget, second)) => held.push((pod, budget, second)),
                None => load.free += 1,
            }
        }
        load.total = load.total.max(load.left);
        load.block = block(&held, self.block.as_ref(), now);
        load
    }
}

/// Whether a drain has to move it.
fn moves(pod: &PodRow) -> bool {
    !pod.is_finished() && !pod.is_daemon() && !pod.mirror
}

/// The budget (and a second one) that refuses a pod's eviction now.
fn holder<'a>(pod: &PodRow, seen: &Snapshot<'a>) -> Option<(&'a BudgetRow, Option<&'a BudgetRow>)> {
    // a pod that does not run yet is deleted without asking any budget
    if pod.phase == Phase::Pending {
        return None;
    }
    let over = budgets_of(pod, seen.budgets.values());
    match over.as_slice() {
        [] => None,
        [budget] => (!may_go(pod, budget)).then_some((*budget, None)),
        [first, second, ..] => Some((*first, Some(*second))),
    }
}

fn may_go(pod: &PodRow, budget: &BudgetRow) -> bool {
    if !pod.ready {
        let is_met = budget.healthy >= budget.desired && budget.desired > 0;
        if budget.unhealthy == UnhealthyPolicy::AlwaysAllow || is_met {
            return true;
        }
    }
    has_room(budget)
}

/// The block to speak of: the one that holds most, a hopeless one before others.
fn block(
    held: &[(&PodRow, &BudgetRow, Option<&BudgetRow>)],
    before: Option<&Block>,
    now: Stamp,
) -> Option<Block> {
    let never = |budget: &BudgetRow, second: Option<&BudgetRow>| match second {
        Some(_) => Some("two budgets cover the same pod: its eviction is always refused".to_owned()),
        None => budget.never_allows(),
    };
    let weight = |key: &BudgetKey| held.iter().filter(|(_, budget, _)| budget.key == *key).count();
    let (_, budget, second) = held.iter().max_by_key(|(_, budget, second)| {
        (never(budget, *second).is_some(), weight(&budget.key), std::cmp::Reverse(&budget.key))
    })?;
    let of: Vec<&PodRow> =
        held.iter().filter(|(_, other, _)| other.key == budget.key).map(|(pod, ..)| *pod).collect();
    let since = before.filter(|before| before.budget == budget.key).map_or(now, |before| before.since);
    Some(Block {
        budget: budget.key.clone(),
        second: second.map(|second| second.key.clone()),
        needs: budget.desired,
        has: budget.healthy,
        held: of.len() as u64,
        pods: of.iter().take(NAMED).map(|pod| pod.key.clone()).collect(),
        since,
        never: never(budget, *second),
    })
}
