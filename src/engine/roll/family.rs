//! What the run of a node shares with the roll that it is a part of.

use crate::domain::ids::NodeName;
use crate::engine::gate::Baseline;
use crate::engine::lock::Keeper;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// The roll, as the runs of its nodes know it.
#[derive(Default)]
pub struct Family {
    under_way: Mutex<BTreeSet<NodeName>>,
    /// What was not in order before the first node.
    baseline: Mutex<Option<Baseline>>,
}

/// What a run is given that is a part of a roll.
#[derive(Clone)]
pub struct Kin {
    /// The nodes that are in their turns.
    pub family: Arc<Family>,
    /// The keeper of the maintenance lock, which the roll holds; `None` = the roll goes on without it.
    pub keeper: Option<Arc<Keeper>>,
}

impl Family {
    /// The nodes that are in their turns now.
    pub fn under_way(&self) -> BTreeSet<NodeName> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was not in order before the first node; `None` = it was not looked at.
    pub fn baseline(&self) -> Option<Baseline> {
        self.baseline.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// This was not in order before the first node.
    pub(super) fn found(&self, baseline: Baseline) {
        *self.baseline.lock().unwrap_or_else(PoisonError::into_inner) = Some(baseline);
    }

    /// A node's turn begins.
    pub(super) fn enter(&self, node: &NodeName) {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).insert(node.clone());
    }

    /// A node's turn has ended.
    pub(super) fn leave(&self, node: &NodeName) {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(node);
    }
}
