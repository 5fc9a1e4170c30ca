//! Workloads and budgets of a scenario.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::settings::Span;

/// The kind of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Kind {
    /// A Deployment.
    Deployment,
    /// A StatefulSet.
    StatefulSet,
    /// A DaemonSet.
    DaemonSet,
    /// A Job.
    Job,
    /// A CronJob. Nothing runs by it; it says when it last succeeded.
    CronJob,
    /// A pod that nothing owns.
    Pod,
}

/// Something that runs pods.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// What it is.
    pub kind: Kind,
    /// Its namespace, created when needed.
    pub namespace: String,
    /// Its name; pods get the label `app` = name.
    pub name: String,
    /// Pods wanted (not for a DaemonSet; completions of a Job).
    #[serde(default = "one")]
    pub replicas: u32,
    /// Container image.
    #[serde(default)]
    pub image: Option<String>,
    /// Further labels of the pods.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Further annotations of the pods.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// Node labels that the pods ask for.
    #[serde(default)]
    pub node_selector: BTreeMap<String, String>,
    /// CPU that each pod asks for, as a quantity (`500m`).
    #[serde(default)]
    pub cpu: Option<String>,
    /// Memory that each pod asks for, as a quantity (`2Gi`).
    #[serde(default)]
    pub memory: Option<String>,
    /// Node labels of which the pods ask for one of some values (required node affinity).
    #[serde(default)]
    pub affinity: BTreeMap<String, Vec<String>>,
    /// Taints that the pods tolerate, by key; `*` is every one, that of a cordon too.
    #[serde(default)]
    pub tolerates: Vec<String>,
    /// Node label over whose values the pods are spread evenly (a hard topology spread constraint).
    #[serde(default)]
    pub spread_over: Option<String>,
    /// Its persistent volumes are local to the node on which a pod first starts.
    #[serde(default)]
    pub local: bool,
    /// Runs on control planes too.
    #[serde(default)]
    pub tolerate_control_plane: bool,
    /// No two of its pods on one node (required anti-affinity by hostname).
    #[serde(default)]
    pub spread: bool,
    /// Name of a PriorityClass.
    #[serde(default)]
    pub priority_class: Option<String>,
    /// `terminationGracePeriodSeconds`; 30 when absent.
    #[serde(default)]
    pub grace: Option<u32>,
    /// Mounts an emptyDir.
    #[serde(default)]
    pub empty_dir: bool,
    /// Mounts a persistent volume: one per pod for a StatefulSet.
    #[serde(default)]
    pub claim: bool,
    /// Uses the node's network.
    #[serde(default)]
    pub host_network: bool,
    /// A port that a Service of the same name offers.
    #[serde(default)]
    pub port: Option<u16>,
    /// Its Service (see `port`) answers for a validating admission webhook of the same name.
    #[serde(default)]
    pub webhook: bool,
    /// A finalizer that holds each pod.
    #[serde(default)]
    pub finalizer: Option<String>,
    /// From binding to running, instead of the usual.
    #[serde(default)]
    pub start: Option<Span>,
    /// From running to Ready, instead of the usual.
    #[serde(default)]
    pub ready: Option<Span>,
    /// From deletion to stopped, instead of the usual.
    #[serde(default)]
    pub stop: Option<Span>,
    /// The containers crash again and again; never Ready.
    #[serde(default)]
    pub crash: bool,
    /// How long the containers of a Job run.
    #[serde(default)]
    pub runs: Option<Span>,
    /// `maxSurge` of a Deployment.
    #[serde(default)]
    pub max_surge: Option<Amount>,
    /// `maxUnavailable` of a Deployment.
    #[serde(default)]
    pub max_unavailable: Option<Amount>,
    /// `podManagementPolicy` Parallel of a StatefulSet.
    #[serde(default)]
    pub parallel: bool,
    /// Update strategy OnDelete of a StatefulSet.
    #[serde(default)]
    pub on_delete: bool,
    /// A HorizontalPodAutoscaler over it.
    #[serde(default)]
    pub autoscale: Option<Autoscale>,
    /// A disruption budget over exactly its pods.
    #[serde(default)]
    pub budget: Option<Budget>,
    /// The field manager that wrote its size and its budget (`argocd-controller`).
    #[serde(default)]
    pub managed_by: Option<String>,
    /// An operator's object that owns a Pod: `"GROUP/VERSION KIND NAME"`.
    #[serde(default)]
    pub owned_by: Option<String>,
    /// When a CronJob runs, in cron's words.
    #[serde(default)]
    pub schedule: Option<String>,
    /// How long ago a CronJob succeeded; never when absent.
    #[serde(default)]
    pub succeeded: Option<Span>,
    /// Command of the container.
    #[serde(default)]
    pub command: Vec<String>,
}

/// Bounds of a HorizontalPodAutoscaler.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Autoscale {
    /// `minReplicas`.
    pub min: u32,
    /// `maxReplicas`.
    pub max: u32,
}

/// A PodDisruptionBudget.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    /// Its name; that of its workload when written there and empty.
    pub name: String,
    /// Its namespace; that of its workload when written there.
    pub namespace: String,
    /// Labels that it selects by; `{}` selects every pod of the namespace. That of its workload when written there.
    pub selector: BTreeMap<String, String>,
    /// It has no selector at all, and so matches nothing.
    pub no_selector: bool,
    /// `minAvailable`.
    pub min_available: Option<Amount>,
    /// `maxUnavailable`.
    pub max_unavailable: Option<Amount>,
    /// `unhealthyPodEvictionPolicy`.
    pub unhealthy: Option<Policy>,
    /// The field manager that wrote it.
    pub managed_by: Option<String>,
}

/// When pods that are not Ready may be evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Policy {
    /// Only while enough healthy ones remain.
    IfHealthyBudget,
    /// Always.
    AlwaysAllow,
}

/// A number or a percentage.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Amount {
    /// So many pods.
    Count(u32),
    /// A share such as `"25%"`.
    Share(String),
}

impl From<&Amount> for serde_json::Value {
    fn from(amount: &Amount) -> Self {
        match amount {
            Amount::Count(count) => (*count).into(),
            Amount::Share(share) => share.clone().into(),
        }
    }
}

fn one() -> u32 {
    1
}

impl Workload {
    /// One of a kind, with everything else at its default.
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        Self {
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            replicas: 1,
            image: None,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            node_selector: BTreeMap::new(),
            cpu: None,
            memory: None,
            affinity: BTreeMap::new(),
            tolerates: Vec::new(),
            spread_over: None,
            local: false,
            tolerate_control_plane: false,
            spread: false,
            priority_class: None,
            grace: None,
            empty_dir: false,
            claim: false,
            host_network: false,
            port: None,
            webhook: false,
            finalizer: None,
            start: None,
            ready: None,
            stop: None,
            crash: false,
            runs: None,
            max_surge: None,
            max_unavailable: None,
            parallel: false,
            on_delete: false,
            autoscale: None,
            budget: None,
            managed_by: None,
            owned_by: None,
            schedule: None,
            succeeded: None,
            command: Vec::new(),
        }
    }
}
