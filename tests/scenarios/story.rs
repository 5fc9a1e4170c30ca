//! The shape of a story. An unknown key is an error.

use pitstop::domain::lock::LockChoice;
use pitstop::domain::plan::{Kind, StepKind};
use pitstop::domain::run::RunState;
use pitstop::sim::scenario::Action;
use serde::Deserialize;
use std::collections::BTreeMap;

/// One file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Story {
    /// What it is about, for people.
    #[expect(dead_code, reason = "for the reader of the file")]
    pub about: String,
    /// A built-in scenario of the simulation, or the text of one.
    pub sim: String,
    /// What is asked for.
    pub kind: Kind,
    /// On which nodes.
    #[serde(default)]
    pub nodes: Vec<String>,
    /// Flags of the drain.
    #[serde(default)]
    pub drain: Drain,
    /// What about the maintenance lock.
    #[serde(default)]
    pub lock: LockChoice,
    /// Confirm step by step (else the run is automatic).
    #[serde(default)]
    pub step_by_step: bool,
    /// Before the run.
    #[serde(default)]
    pub before: Vec<Deed>,
    /// During the run.
    #[serde(default)]
    pub during: Vec<Disturbance>,
    /// The request is denied before it starts, with these words.
    #[serde(default)]
    pub denied: Option<String>,
    /// What the forecast says beforehand: `finishes`, `waits`, `blocked`, `unclear`.
    #[serde(default)]
    pub verdict: Option<String>,
    /// How the run ends.
    #[serde(default)]
    pub end: Option<RunState>,
    /// How steps end, by kind: `done`, `warned`, `skipped`, `failed`, `aborted`, `pending`; a colon and words that
    /// must be in it may follow.
    #[serde(default)]
    pub steps: BTreeMap<StepKind, String>,
    /// How the steps of the undo end.
    #[serde(default)]
    pub undo: BTreeMap<StepKind, String>,
    /// Words of each line about what was left changed, in order.
    #[serde(default)]
    pub left: Vec<String>,
    /// The world afterwards.
    #[serde(default)]
    pub world: World,
}

/// Flags of the drain.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Drain {
    pub force: bool,
    pub delete_emptydir_data: bool,
    pub disable_eviction: bool,
    pub timeout: Option<String>,
    pub parallel: Option<usize>,
}

/// Something that happens in the world.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "do", deny_unknown_fields)]
pub enum Deed {
    /// The run is aborted.
    Abort,
    /// The run is cancelled.
    Interrupt,
    /// A failed step is tried again.
    Retry,
    /// Somebody makes a node schedulable.
    Uncordon { node: String },
    /// Somebody makes a node unschedulable.
    Cordon { node: String },
    /// Somebody deletes the Node object.
    DeleteNode { node: String },
    /// Somebody changes an annotation of a node.
    Annotate { node: String, key: String, value: String },
    /// The API does not answer.
    ApiDown { lasts: String },
    /// Another holds the maintenance lease.
    Lock {
        holder: String,
        /// How long a renewal counts; an hour when absent.
        #[serde(default)]
        lasts: Option<String>,
    },
    /// The directory of snapshots cannot be used.
    NoRoom,
    /// A machine stays off from now on.
    PowerOff { node: String },
    /// A machine comes on again.
    PowerOn { node: String },
    /// Something that the simulation knows as an event of a scenario.
    Sim { action: Action },
    /// Some time passes.
    Wait { lasts: String },
    /// A budget's object is written by hand.
    Budget {
        namespace: String,
        name: String,
        /// `disruptionsAllowed`.
        #[serde(default)]
        allowed: Option<i64>,
        /// So many entries in `disruptedPods`.
        #[serde(default)]
        disrupted: u32,
        /// Its spec is changed: two may be unavailable.
        #[serde(default)]
        touched: bool,
    },
    /// A namespace is being deleted, and its controller has not begun with the pods.
    Ending { namespace: String },
    /// Pods are taken away at once; the name may end in `*`.
    Remove { namespace: String, name: String },
}

/// Something that happens during a step.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disturbance {
    /// When this step begins (or `failed`: when it has failed) …
    pub at: StepKind,
    /// … and it has failed.
    #[serde(default)]
    pub failed: bool,
    /// … so long after.
    #[serde(default)]
    pub after: Option<String>,
    /// What happens.
    pub deed: Deed,
}

/// The world after the run.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct World {
    /// How often each machine rebooted; the others not at all.
    pub reboots: BTreeMap<String, u32>,
    /// Nodes that are unschedulable; the others are schedulable.
    pub cordoned: Vec<String>,
    /// Nodes that bear our notes; the others do not.
    pub noted: Vec<String>,
    /// The maintenance lease: `absent`, `tombstone`, `foreign`.
    pub lease: Option<String>,
    /// Nodes on which nothing but DaemonSet and static pods is left.
    pub drained: Vec<String>,
    /// How many snapshots there are.
    pub snapshots: usize,
    /// The most evictions that were refused.
    pub refused_evictions: Option<usize>,
    /// The codes with which evictions were refused, all of them.
    pub refusals: Option<Vec<u16>>,
    /// The most evictions that were asked for.
    pub evictions: Option<usize>,
    /// Pods that were evicted in this order, others between them; names may end in `*`.
    pub order: Vec<String>,
}
