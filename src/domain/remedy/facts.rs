//! What a diagnosis is made from. What could not be read is there as the words why not: unknown is never taken for
//! good.

use super::keepers::Keepers;
use crate::domain::budget::{Amount, BudgetRow};
use crate::domain::debt::{BudgetSpec, ObjectKey};
use crate::domain::ids::{NodeName, PodKey};
use crate::domain::node::NodeRow;
use crate::domain::pod::{Phase, PodRow};
use crate::domain::time::Stamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// A fact, or why it is not known.
pub type Known<T> = Result<T, String>;

/// One pod that the budget covers.
#[derive(Debug, Clone, PartialEq)]
pub struct Covered {
    /// The pod.
    pub row: PodRow,
    /// It is to move: it is on a cordoned node, or was named.
    pub is_target: bool,
    /// Why it can start nowhere else, besides its node selector: volumes of this node.
    pub pins: Vec<String>,
    /// `metadata.resourceVersion` as it was read.
    pub version: String,
}

impl Covered {
    /// Runs, is not Ready, and does not look as if it only needs time.
    pub fn is_sick(&self) -> bool {
        !self.row.ready && self.row.deleting.is_none() && (self.row.restarts > 1 || self.ails().is_some())
    }

    /// The reason that its container gives for not running.
    pub fn ails(&self) -> Option<&str> {
        let reason = self.row.waiting.as_deref()?;
        let word = reason.split(':').next().unwrap_or(reason);
        matches!(
            word,
            "CrashLoopBackOff"
                | "ImagePullBackOff"
                | "ErrImagePull"
                | "InvalidImageName"
                | "ErrImageNeverPull"
                | "CreateContainerConfigError"
                | "CreateContainerError"
                | "RunContainerError"
        )
        .then_some(reason)
    }

    /// Why the scheduler places it nowhere.
    pub fn unplaced(&self) -> Option<&str> {
        let reason = self.row.waiting.as_deref()?;
        let is_unbound = self.row.node.is_none() && self.row.phase == Phase::Pending;
        (is_unbound && reason.starts_with("Unschedulable")).then_some(reason)
    }

    /// Not Ready, and not known to be ill: started a while ago at most.
    pub fn is_starting(&self) -> bool {
        !self.row.ready && self.row.deleting.is_none() && !self.is_sick() && self.unplaced().is_none()
    }
}

/// How a workload replaces its pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// A Deployment's rolling update.
    Rolling {
        /// `maxSurge`.
        surge: Amount,
        /// `maxUnavailable`.
        unavailable: Amount,
    },
    /// All pods go before the new ones come.
    Recreate,
    /// A StatefulSet's: one pod is gone before its successor starts.
    InPlace,
    /// Only pods that somebody deletes are replaced.
    OnDelete,
    /// None of its own (a ReplicaSet), or one that is not known.
    None,
}

/// How far a workload's rollout is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rollout {
    /// `metadata.generation`.
    pub generation: i64,
    /// `status.observedGeneration`.
    pub observed: i64,
    /// `status.replicas`.
    pub replicas: i32,
    /// `status.updatedReplicas`.
    pub updated: i32,
    /// `status.availableReplicas`.
    pub available: i32,
    /// `spec.paused`.
    pub is_paused: bool,
    /// Condition Progressing: its reason when it is True, and when False (the rollout is stuck).
    pub progressing: Option<(bool, String)>,
    /// The message of condition `ReplicaFailure`: pods cannot be created (a quota).
    pub failure: Option<String>,
}

/// A HorizontalPodAutoscaler over a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Autoscaler {
    /// Which.
    pub key: ObjectKey,
    /// `spec.minReplicas`; `None` = 1.
    pub min: Option<i32>,
    /// `spec.maxReplicas`.
    pub max: i32,
    /// Who keeps it; a KEDA ScaledObject shows as its controller.
    pub keepers: Keepers,
}

/// What is at the top of the owners of some covered pods.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// Which.
    pub key: ObjectKey,
    /// Who keeps it.
    pub keepers: Keepers,
    /// `spec.replicas`; `None` where the kind has none.
    pub replicas: Option<i32>,
    /// Whether the kind has a scale that pitstop sets (apps/v1 Deployment, ReplicaSet).
    pub is_scalable: bool,
    /// How it replaces pods.
    pub strategy: Strategy,
    /// How far its rollout is.
    pub rollout: Rollout,
    /// Every container has a readiness probe: Ready then means more than started.
    pub has_probe: bool,
    /// Mounts claims: `ReadWriteOnce` volumes follow one node.
    pub claims: bool,
    /// No two of its pods may share a node (required anti-affinity by host name).
    pub spreads: bool,
    /// Its autoscaler.
    pub autoscaler: Known<Option<Autoscaler>>,
    /// Uids of what stands between it and its pods (ReplicaSets), and its own.
    pub uids: Vec<String>,
}

impl Workload {
    /// `deployment/web`, as kubectl takes it.
    pub fn word(&self) -> String {
        format!("{}/{}", self.key.kind.to_lowercase(), self.key.name)
    }

    /// Whether a pod is of this workload.
    pub fn owns(&self, pod: &PodRow) -> bool {
        pod.owner.as_ref().is_some_and(|owner| self.uids.contains(&owner.uid))
    }
}

/// All of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// When.
    pub now: Stamp,
    /// The budget.
    pub budget: BudgetRow,
    /// Its fields as they are written.
    pub spec: BudgetSpec,
    /// Who keeps it.
    pub keepers: Keepers,
    /// The pods it covers, ended ones left out.
    pub pods: Vec<Covered>,
    /// The other budgets of the namespace.
    pub others: Vec<BudgetRow>,
    /// What owns the pods.
    pub workloads: Known<Vec<Workload>>,
    /// The nodes.
    pub nodes: Known<BTreeMap<NodeName, NodeRow>>,
    /// How long ago the kube-controller-manager renewed its lease: it computes every budget's status.
    pub controller: Known<Duration>,
    /// Whether the namespace is being terminated.
    pub ends: Known<bool>,
    /// The server's minor version.
    pub minor: Known<u32>,
    /// Nodes that would take one more such pod.
    pub room: Known<Vec<NodeName>>,
}

impl Facts {
    /// From what a console knows anyway: enough to name the class, not to offer a remedy.
    pub fn from_rows<'a>(
        budget: &BudgetRow,
        pods: impl IntoIterator<Item = &'a PodRow>,
        others: impl IntoIterator<Item = &'a BudgetRow>,
        nodes: &BTreeMap<NodeName, NodeRow>,
        now: Stamp,
    ) -> Self {
        let unread = || "not read".to_owned();
        let pods: Vec<Covered> = pods
            .into_iter()
            .filter(|row| !row.is_finished() && budget.covers(row))
            .map(|row| Covered {
                is_target: is_on_cordoned(row, nodes),
                row: row.clone(),
                pins: Vec::new(),
                version: String::new(),
            })
            .collect();
        // only those that matter: a pane draws this for every row
        let names = pods.iter().filter_map(|pod| pod.row.node.as_ref());
        let known = names.filter_map(|name| Some((name.clone(), nodes.get(name)?.clone()))).collect();
        Self {
            now,
            budget: budget.clone(),
            spec: BudgetSpec { demand: budget.demand, unhealthy: Some(budget.unhealthy) },
            keepers: Keepers::default(),
            pods,
            others: others.into_iter().filter(|other| other.key != budget.key).cloned().collect(),
            workloads: Err(unread()),
            nodes: Ok(known),
            controller: Err(unread()),
            ends: Err(unread()),
            minor: Err(unread()),
            room: Err(unread()),
        }
    }

    /// The pods that are to move.
    pub fn targets(&self) -> impl Iterator<Item = &Covered> {
        self.pods.iter().filter(|pod| pod.is_target)
    }

    /// The one workload of all covered pods; `None` = several, none, or not known.
    pub fn only_workload(&self) -> Option<&Workload> {
        match self.workloads.as_deref() {
            Ok([only]) => Some(only),
            _ => None,
        }
    }

    /// The other budgets that cover a pod as well.
    pub fn overlapping<'a>(&'a self, pod: &'a PodRow) -> impl Iterator<Item = &'a BudgetRow> {
        self.others.iter().filter(move |other| other.covers(pod))
    }

    /// The node of a pod, when both are known.
    pub fn node_of(&self, pod: &PodRow) -> Option<&NodeRow> {
        self.nodes.as_ref().ok()?.get(pod.node.as_ref()?)
    }

    /// A covered pod.
    pub fn pod(&self, key: &PodKey) -> Option<&Covered> {
        self.pods.iter().find(|pod| pod.row.key == *key)
    }
}

/// Whether a pod is on a node that is out of scheduling: somebody wants it to go.
pub fn is_on_cordoned(pod: &PodRow, nodes: &BTreeMap<NodeName, NodeRow>) -> bool {
    pod.node.as_ref().and_then(|node| nodes.get(node)).is_some_and(|node| node.cordoned)
}
