//! Others who maintain nodes besides us, as far as their objects show it.

use super::ids::NodeName;
use super::time::Stamp;
use serde::{Deserialize, Serialize};

/// What another tool is doing now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The tool: `kured`, `system-upgrade-controller`.
    pub tool: String,
    /// Kind of the object that shows it.
    pub kind: String,
    /// Its namespace; empty = none.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The node that it works on, where it says so.
    pub node: Option<NodeName>,
    /// What it does, in words.
    pub what: String,
    /// Since when, where it says so.
    pub since: Option<Stamp>,
}

/// A DaemonSet as far as gates need it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonRow {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Its pods use the node's network (`hostNetwork`).
    pub host_network: bool,
    /// Priority class of its pods.
    pub priority_class: String,
    /// Value of the label `k8s-app`, or `app`, of its pods.
    pub app: String,
    /// `status.desiredNumberScheduled`: on so many nodes it has to have a pod.
    #[serde(default)]
    pub desired: Option<usize>,
}

/// Who leads a component that elects a leader, by its Lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leader {
    /// The Lease's name: `kube-scheduler`.
    pub component: String,
    /// `holderIdentity`; empty = nobody leads.
    pub holder: String,
    /// Its last renewal, by the API server's clock where that is known.
    pub renewed: Option<Stamp>,
    /// `leaseDurationSeconds`: others may take over after this time.
    pub lasts: std::time::Duration,
}
