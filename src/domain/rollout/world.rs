//! The tables that a roll is read off, filled by the watches; for whoever has no tables of its own.

use super::Snapshot;
use crate::domain::actor::Actor;
use crate::domain::budget::BudgetRow;
use crate::domain::feed::{Delta, Kept, Liveness, Observation, Table, apply};
use crate::domain::ids::{NodeName, PodKey};
use crate::domain::lock::LeaseRow;
use crate::domain::node::NodeRow;
use crate::domain::pod::PodRow;
use std::collections::{BTreeMap, BTreeSet};

/// A cluster's tables.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// The nodes.
    pub nodes: Table<NodeRow>,
    /// The pods.
    pub pods: Table<PodRow>,
    pods_on: BTreeMap<NodeName, BTreeSet<PodKey>>,
    /// The budgets.
    pub budgets: Table<BudgetRow>,
    /// The maintenance lock.
    pub lock: Option<LeaseRow>,
    /// Objects of other tools.
    pub actors: Vec<Actor>,
    /// The nodes were listed once.
    pub has_nodes: bool,
    has_pods: bool,
    has_budgets: bool,
    /// The API does not answer.
    is_away: bool,
    /// What cannot be read although the API may answer.
    trouble: BTreeSet<Kept>,
}

impl World {
    /// Takes what a watch saw; whether a roll may look different now.
    pub fn see(&mut self, seen: Observation) -> bool {
        match seen {
            Observation::Nodes(delta) => {
                apply(&mut self.nodes, delta);
                self.has_nodes = true;
                self.trouble.remove(&Kept::Nodes);
            }
            Observation::Pods(deltas) => {
                for delta in deltas {
                    self.pods_changed(delta);
                }
                self.has_pods = true;
                self.trouble.remove(&Kept::Pods);
            }
            Observation::Budgets(delta) => {
                apply(&mut self.budgets, delta);
                self.has_budgets = true;
                self.trouble.remove(&Kept::Budgets);
            }
            // that it works again is believed when it says something
            Observation::Trouble(kept, Some(_)) => return self.trouble.insert(kept),
            Observation::Lock(lock) => self.lock = lock,
            Observation::Liveness(Liveness::Live(_)) => return std::mem::take(&mut self.is_away),
            Observation::Liveness(Liveness::Failing { .. }) => self.is_away = true,
            _ => return false,
        }
        true
    }

    fn pods_changed(&mut self, delta: Delta<PodRow>) {
        match delta {
            Delta::Reset(rows) => {
                self.pods.clear();
                self.pods_on.clear();
                for row in rows {
                    self.place(row);
                }
            }
            Delta::Upsert(row) => {
                self.forget(&row.key);
                self.place(row);
            }
            Delta::Remove(row) => self.forget(&row.key),
        }
    }

    fn place(&mut self, row: PodRow) {
        if let Some(node) = &row.node {
            self.pods_on.entry(node.clone()).or_default().insert(row.key.clone());
        }
        self.pods.insert(row.key.clone(), row);
    }

    fn forget(&mut self, key: &PodKey) {
        let node = self.pods.remove(key).and_then(|row| row.node);
        if let Some(pods) = node.and_then(|node| self.pods_on.get_mut(&node)) {
            pods.remove(key);
        }
    }

    /// For [`Rollout::observe`](super::Rollout::observe).
    pub fn snapshot(&self) -> Snapshot<'_> {
        Snapshot {
            nodes: &self.nodes,
            pods: &self.pods,
            pods_on: &self.pods_on,
            budgets: &self.budgets,
            lock: self.lock.as_ref(),
            actors: &self.actors,
            has_pods: self.has_pods
                && self.has_budgets
                && !self.trouble.contains(&Kept::Pods)
                && !self.trouble.contains(&Kept::Budgets),
            is_live: !self.is_away && !self.trouble.contains(&Kept::Nodes),
        }
    }
}
