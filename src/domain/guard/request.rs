//! What is asked for, before anybody has agreed to it.

use crate::domain::config::DrainOptions;
use crate::domain::ids::NodeName;
use crate::domain::lock::LockChoice;
use crate::domain::plan::Kind;
use crate::domain::remedy::{Remedy, Resolution};
use crate::domain::roll::RollOptions;
use serde::{Deserialize, Serialize};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// What.
    pub kind: Kind,
    /// On which nodes; empty for a snapshot.
    pub nodes: Vec<NodeName>,
    /// How pods are moved, when they are.
    pub drain: DrainOptions,
    /// Something is known to block (a budget, a refused pod): raises the ladder for a drain.
    pub blocked: bool,
    /// What about the maintenance lock.
    #[serde(default)]
    pub lock: LockChoice,
    /// The way out that was chosen, for a resolution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolve: Option<Resolution>,
    /// How a roll goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roll: Option<Box<RollOptions>>,
}

impl Request {
    /// The plain request: the usual options, under the maintenance lock.
    pub fn new(kind: Kind, nodes: Vec<NodeName>) -> Self {
        Self {
            kind,
            nodes,
            drain: DrainOptions::default(),
            blocked: false,
            lock: LockChoice::Take,
            resolve: None,
            roll: None,
        }
    }

    /// The request for a way out, on the nodes of its pods.
    pub fn resolving(chosen: Resolution) -> Self {
        let mut nodes: Vec<NodeName> = chosen.targets.iter().map(|target| target.node.clone()).collect();
        nodes.sort();
        nodes.dedup();
        let disable_eviction = chosen.remedy == Remedy::DisableEviction;
        let drain = DrainOptions { disable_eviction, ..DrainOptions::default() };
        Self { drain, resolve: Some(chosen), ..Self::new(Kind::Resolve, nodes) }
    }

    /// With the options of a drain that is under way, or as typed; whether budgets are passed by stays as it was.
    #[must_use]
    pub fn with_drain(self, drain: &DrainOptions) -> Self {
        let disable_eviction = self.drain.disable_eviction;
        Self { drain: DrainOptions { disable_eviction, parallel: 1, ..drain.clone() }, ..self }
    }
}
