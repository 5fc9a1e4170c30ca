//! Plans: what a run will do, as a list of typed steps, before anything is touched.

use super::config::DrainOptions;
use super::debt::Debt;
use super::ids::{NodeName, RunId};
use super::lock::LockChoice;
use super::remedy::Resolution;
use super::roll::Roll;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// What a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Take a node out of scheduling.
    Cordon,
    /// Put a node back into scheduling.
    Uncordon,
    /// Cordon and move the pods away.
    Drain,
    /// The whole way of a reboot.
    Reboot,
    /// Take the power of a machine away and give it back, out of band.
    #[serde(rename = "power-cycle")]
    PowerCycle,
    /// Take, verify and store an etcd snapshot.
    Snapshot,
    /// Clear a maintenance lock that a run left behind; nothing else is touched.
    Unlock,
    /// A way out of a blocked eviction.
    Resolve,
    /// Nodes one after the other, each in a run of its own.
    Roll,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cordon => "cordon",
            Self::Uncordon => "uncordon",
            Self::Drain => "drain",
            Self::Reboot => "reboot",
            Self::PowerCycle => "power-cycle",
            Self::Snapshot => "snapshot",
            Self::Unlock => "unlock",
            Self::Resolve => "resolve",
            Self::Roll => "roll",
        })
    }
}

/// A step by its kind; the order here is the order of the reboot run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepKind {
    /// Read every gate once, before anything is touched.
    Preflight,
    /// Take the maintenance lease.
    Lock,
    /// Take, verify and store an etcd snapshot off the node.
    Backup,
    /// Predict which pods move, stay or block.
    Predict,
    /// Make the node unschedulable and note who did it.
    Cordon,
    /// Move the etcd leadership to another member.
    MoveLeader,
    /// Evict the node's pods and wait until they are gone.
    Drain,
    /// Only DaemonSet and mirror pods left, volumes detached.
    Residual,
    /// Run the configured command on the host (an upgrade of its packages, for example).
    Patch,
    /// Read every gate again, fresh.
    Recheck,
    /// Ask the host to reboot.
    Reboot,
    /// Wait until the host is down (or its boot id has changed already).
    Down,
    /// Wait until the boot id has changed and the node is Ready.
    Back,
    /// Gates of the return, twice, at least 10 s apart.
    Verify,
    /// Make the node schedulable, only if we cordoned it.
    Uncordon,
    /// Let things settle, then look once more.
    Settle,
    /// Give the maintenance lease back.
    Unlock,
    /// Take the machine's power away and give it back.
    Power,
    /// Put back what a run changed on the way: see [`Debt`].
    Restore,
    /// Clear a maintenance lease that another run left behind.
    Clear,
    /// Tell why a budget blocks, and whether what a remedy needs is there.
    Diagnose,
    /// Carry the remedy out, and put back what it changed.
    Remedy,
    /// Wait until the pods that moved are Ready elsewhere.
    Aftermath,
    /// Mark the nodes to come, so that the scheduler prefers the others.
    Taint,
    /// What a roll does to one node, in a run of its own.
    Turn,
    /// Run the configured command of a roll for one node, on this machine.
    Command,
    /// Every gate of the whole cluster, twice, at least 10 s apart, against how it was before the roll: at its end, and in
    /// each turn after which a node stays cordoned.
    Components,
    /// Take that mark away from whoever still has it.
    Untaint,
}

impl StepKind {
    /// Whether the step changes the cluster, a host or a file; the others only read.
    pub fn changes(self) -> bool {
        matches!(
            self,
            Self::Lock
                | Self::Backup
                | Self::Cordon
                | Self::MoveLeader
                | Self::Drain
                | Self::Patch
                | Self::Reboot
                | Self::Power
                | Self::Uncordon
                | Self::Unlock
                | Self::Restore
                | Self::Clear
                | Self::Remedy
                | Self::Taint
                | Self::Turn
                | Self::Command
                | Self::Untaint
        )
    }

    /// Whether it goes on from the step before it without a confirmation of its own (waiting for what was asked for).
    pub fn follows(self) -> bool {
        matches!(self, Self::Down | Self::Back)
    }

    /// Whether it judges the node after its reboot.
    pub fn is_after_reboot(self) -> bool {
        matches!(self, Self::Down | Self::Back | Self::Verify | Self::Uncordon | Self::Settle)
    }

    /// Whether it puts something back: that needs no lock, and goes on after the lock was lost.
    pub fn puts_back(self) -> bool {
        matches!(self, Self::Uncordon | Self::Unlock | Self::Restore | Self::Untaint)
    }

    /// Short name, as shown in the run pane.
    pub fn name(self) -> &'static str {
        match self {
            Self::Preflight => "preflight",
            Self::Lock => "lock",
            Self::Backup => "backup",
            Self::Predict => "predict evictions",
            Self::Cordon => "cordon",
            Self::MoveLeader => "move etcd leader",
            Self::Drain => "drain",
            Self::Residual => "residual check",
            Self::Patch => "patch",
            Self::Recheck => "read gates again",
            Self::Reboot => "reboot",
            Self::Down => "expect down",
            Self::Back => "boot id and Ready",
            Self::Verify => "gates twice",
            Self::Uncordon => "uncordon",
            Self::Settle => "settle",
            Self::Unlock => "unlock",
            Self::Power => "power cycle",
            Self::Restore => "restore",
            Self::Clear => "clear the lock",
            Self::Diagnose => "diagnose",
            Self::Remedy => "remedy",
            Self::Aftermath => "look after",
            Self::Taint => "mark nodes",
            Self::Turn => "turn",
            Self::Command => "command",
            Self::Components => "look at all",
            Self::Untaint => "take marks away",
        }
    }
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Kind.
    pub kind: StepKind,
    /// The node it is about; `None` = none in particular (snapshot).
    #[serde(default)]
    pub node: Option<NodeName>,
    /// What it will do, in words.
    pub what: String,
    /// The equivalent command a person could type.
    pub command: String,
    /// Names of the gates that it reads.
    pub gates: Vec<String>,
    /// Its deadline; zero = none.
    #[serde(rename = "timeout_seconds", alias = "timeout", with = "super::time::seconds")]
    pub timeout: Duration,
    /// Whether `K` may skip it.
    pub may_skip: bool,
    /// How it is undone; `None` = nothing to undo.
    pub undo: Option<String>,
    /// What it does not check yet, in words: shown, so that nobody relies on it.
    pub unchecked: Vec<String>,
    /// Why it does not apply here: it is shown and passed over without a question. `None` = it applies.
    #[serde(default)]
    pub not_applicable: Option<String>,
    /// What a [`StepKind::Restore`] puts back; `None` = all that the run owes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debt: Option<Box<Debt>>,
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Kind of the run.
    pub kind: Kind,
    /// The nodes, in order; empty for a snapshot.
    pub nodes: Vec<NodeName>,
    /// The steps.
    pub steps: Vec<Step>,
    /// How pods are moved, when they are.
    #[serde(default)]
    pub drain: DrainOptions,
    /// What about the maintenance lock.
    #[serde(default)]
    pub lock: LockChoice,
    /// The way out that was chosen, for a resolution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolve: Option<Resolution>,
    /// The roll that it is a part of: its lock covers this run too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<RunId>,
    /// How a roll goes, and in which order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roll: Option<Box<Roll>>,
}
