//! A pod as a small row: what counting, classification and prediction read.

use super::feed::Row;
use super::ids::{NodeName, PodKey};
use super::placement::{Amounts, Rules};
use super::time::Stamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `status.phase`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Not all containers started yet, or not scheduled.
    Pending,
    /// On a node.
    Running,
    /// Ended well.
    Succeeded,
    /// Ended badly.
    Failed,
    /// The node does not tell.
    Unknown,
}

/// The owner reference with `controller: true`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Owner {
    /// `apiVersion`.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
}

/// One pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodRow {
    /// Identity.
    pub key: PodKey,
    /// Where it is bound to.
    pub node: Option<NodeName>,
    /// Phase.
    pub phase: Phase,
    /// Condition Ready is True.
    pub ready: bool,
    /// `deletionTimestamp` (the end of grace), when it is being deleted.
    pub deleting: Option<Stamp>,
    /// `terminationGracePeriodSeconds`, or the deletion's own.
    pub grace_secs: i64,
    /// Controlling owner.
    pub owner: Option<Owner>,
    /// A mirror of a static pod (annotation `kubernetes.io/config.mirror`).
    pub mirror: bool,
    /// Hash of a static pod's manifest (annotation `kubernetes.io/config.hash`); `None` = no static pod, or not said.
    #[serde(default)]
    pub manifest: Option<String>,
    /// Names of `emptyDir` volumes.
    pub empty_dirs: Vec<String>,
    /// Claims of its volumes.
    pub claims: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// `spec.priority`.
    pub priority: i32,
    /// `spec.priorityClassName`.
    pub priority_class: String,
    /// Sum of restarts of all containers.
    pub restarts: u32,
    /// The first waiting reason of a container (`CrashLoopBackOff`, …) or the reason it is unschedulable.
    pub waiting: Option<String>,
    /// Finalizers: the pod does not go before they are removed.
    pub finalizers: Vec<String>,
    /// `spec.nodeSelector`.
    pub node_selector: BTreeMap<String, String>,
    /// Tolerates everything or `node.kubernetes.io/unschedulable` (may be placed on a cordoned node).
    pub tolerates_cordon: bool,
    /// What it asks for, over all its containers.
    #[serde(default)]
    pub requests: Amounts,
    /// What else decides where it may run; `None` = nothing, as for most.
    #[serde(default)]
    pub rules: Option<Box<Rules>>,
    /// Created.
    pub created: Option<Stamp>,
}

impl PodRow {
    /// Succeeded or Failed: nothing runs any more.
    pub fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Succeeded | Phase::Failed)
    }

    /// Controlled by a DaemonSet of `apps/v1` — the only apiVersion that `kubectl drain` takes for one.
    pub fn is_daemon(&self) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.kind == "DaemonSet" && owner.api_version == "apps/v1")
    }
}

impl Row for PodRow {
    type Key = PodKey;
    fn key(&self) -> PodKey {
        self.key.clone()
    }
}

/// A running, ready pod of one ReplicaSet on `worker-1`, for tests.
#[cfg(test)]
pub(crate) fn sample(namespace: &str, name: &str) -> PodRow {
    PodRow {
        key: PodKey {
            namespace: namespace.into(),
            name: name.into(),
            uid: format!("uid-{namespace}-{name}"),
        },
        node: Some("worker-1".into()),
        phase: Phase::Running,
        ready: true,
        deleting: None,
        grace_secs: 30,
        owner: Some(Owner {
            api_version: "apps/v1".into(),
            kind: "ReplicaSet".into(),
            name: "web".into(),
            uid: "rs".into(),
        }),
        mirror: false,
        manifest: None,
        empty_dirs: Vec::new(),
        claims: Vec::new(),
        labels: BTreeMap::new(),
        priority: 0,
        priority_class: String::new(),
        restarts: 0,
        waiting: None,
        finalizers: Vec::new(),
        node_selector: BTreeMap::new(),
        tolerates_cordon: false,
        requests: Amounts::default(),
        rules: None,
        created: None,
    }
}
