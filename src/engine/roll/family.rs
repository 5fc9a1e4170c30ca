//! What the run of a node shares with the roll that it is a part of.

use crate::domain::ids::NodeName;
use crate::engine::lock::Keeper;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// The roll, as the runs of its nodes know it.
#[derive(Default)]
pub struct Family {
    under_way: Mutex<BTreeSet<NodeName>>,
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

    /// A node's turn begins.
    pub(super) fn enter(&self, node: &NodeName) {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).insert(node.clone());
    }

    /// A node's turn has ended.
    pub(super) fn leave(&self, node: &NodeName) {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(node);
    }
}
