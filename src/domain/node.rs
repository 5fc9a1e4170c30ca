//! A node as a row: what the table shows and what rules read.

use super::feed::Row;
use super::ids::{NodeName, RunId};
use super::placement::Amounts;
use super::time::Stamp;
use serde::{Deserialize, Serialize};

/// Annotations that pitstop writes on a node, in the same patch as the cordon.
pub mod annotation {
    /// The run that cordoned the node.
    pub const RUN: &str = "pitstop.dev/run";
    /// Who runs it: `user@host`.
    pub const HOLDER: &str = "pitstop.dev/holder";
    /// Since when (RFC 3339, UTC).
    pub const SINCE: &str = "pitstop.dev/since";
    /// Why: the kind of the run, or what the operator typed.
    pub const REASON: &str = "pitstop.dev/reason";
    /// What the node was before: `schedulable` or `cordoned`.
    pub const PRIOR: &str = "pitstop.dev/prior";
}

/// The `Ready` condition, with the unknown kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Readiness {
    /// `status: "True"`.
    Ready,
    /// `status: "False"`.
    NotReady,
    /// `status: "Unknown"`, or no such condition: the kubelet does not report.
    Unknown,
}

/// Who cordoned a node, as far as it can be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CordonNote {
    /// Our run, when the annotations are ours.
    pub run: Option<RunId>,
    /// `user@host` from our annotation, or the field manager that set `spec.unschedulable` (for example `kubectl-cordon`).
    pub holder: String,
    /// Since when.
    pub since: Option<Stamp>,
    /// Why, when somebody said so.
    pub reason: Option<String>,
    /// Whether the node had been cordoned before our run; `None` when not ours.
    pub prior_cordoned: Option<bool>,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRow {
    /// Name.
    pub name: NodeName,
    /// `metadata.uid`: another uid is another node under the same name.
    pub uid: String,
    /// Roles from the `node-role.kubernetes.io/*` labels, sorted (`control-plane`, `etcd`, `worker`, …).
    pub roles: Vec<String>,
    /// The Ready condition.
    pub readiness: Readiness,
    /// The Ready condition's last transition.
    pub ready_since: Option<Stamp>,
    /// The kubelet's last sign of life (the Ready condition's heartbeat or the node lease, whichever is later).
    pub heartbeat: Option<Stamp>,
    /// `spec.unschedulable`.
    pub cordoned: bool,
    /// Who cordoned it; `None` when schedulable or when nobody can be named.
    pub cordon: Option<CordonNote>,
    /// Conditions of pressure or a missing network that are true, without the word `Pressure` (`Memory`, `Disk`, `PID`, `Network`).
    pub pressure: Vec<String>,
    /// Kubelet version.
    pub version: String,
    /// Kernel version.
    pub kernel: String,
    /// OS image.
    pub os_image: String,
    /// `status.nodeInfo.bootID`; empty when the kubelet has not said.
    pub boot_id: String,
    /// `status.nodeInfo.machineID`.
    pub machine_id: String,
    /// First address of type InternalIP.
    pub address: Option<String>,
    /// All addresses and host names that the node gives (`status.addresses`).
    #[serde(default)]
    pub addresses: Vec<String>,
    /// Created.
    pub created: Option<Stamp>,
    /// Started, when something told us (the host's uptime over SSH, or a boot that we saw).
    pub booted: Option<Stamp>,
    /// `status.allocatable.pods`.
    pub pod_capacity: Option<u32>,
    /// `status.allocatable` without the pods; `None` = the kubelet has not said.
    #[serde(default)]
    pub allocatable: Option<Amounts>,
    /// Taints as `key=value:Effect`.
    pub taints: Vec<String>,
    /// Labels (zones, selectors of pending pods).
    pub labels: std::collections::BTreeMap<String, String>,
    /// Marks of other maintenance tools on the node (kured, kops, KubeOne, MCO, autoscalers): each in words.
    pub foreign_locks: Vec<String>,
}

impl NodeRow {
    /// Whether it carries the control-plane role.
    pub fn is_control_plane(&self) -> bool {
        self.roles.iter().any(|role| role == "control-plane" || role == "master")
    }

    /// Whether it hosts etcd by its role label or its condition `EtcdIsVoter` (k3s, RKE2) — a control-plane node may host it without the label.
    pub fn is_labelled_etcd(&self) -> bool {
        self.roles.iter().any(|role| role == "etcd")
    }

    /// Whether a host is this node: its name, or one of its addresses, an IPv6 one with or without its brackets.
    pub fn answers_to(&self, host: &str) -> bool {
        let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let own = self.addresses.iter().chain(&self.address).map(String::as_str);
        own.chain([self.name.as_str()]).any(|own| own.eq_ignore_ascii_case(host))
    }

    /// Ready, and known to be so.
    pub fn is_ready(&self) -> bool {
        self.readiness == Readiness::Ready
    }
}

impl Row for NodeRow {
    type Key = NodeName;
    fn key(&self) -> NodeName {
        self.name.clone()
    }
}

/// A Ready, schedulable worker, for tests.
#[cfg(test)]
pub(crate) fn sample() -> NodeRow {
    NodeRow {
        name: "worker-1".into(),
        uid: "uid-worker-1".into(),
        roles: Vec::new(),
        readiness: Readiness::Ready,
        ready_since: None,
        heartbeat: None,
        cordoned: false,
        cordon: None,
        pressure: Vec::new(),
        version: "v1.34.2".into(),
        kernel: String::new(),
        os_image: String::new(),
        boot_id: String::new(),
        machine_id: String::new(),
        address: None,
        addresses: Vec::new(),
        created: None,
        booted: None,
        pod_capacity: Some(110),
        allocatable: None,
        taints: Vec::new(),
        labels: std::collections::BTreeMap::new(),
        foreign_locks: Vec::new(),
    }
}
