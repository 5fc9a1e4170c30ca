//! Ways out of a blocked eviction: why it is blocked, and what can be done about it, the safest way first.
//!
//! [`analyse`] takes [`Facts`] and gives an [`Analysis`]: the [`Class`]es that hold with their evidence, and an [`Offer`]
//! for each [`Remedy`] that applies. An offer says what it needs, which of that is met, what it costs, what a person
//! would type, what may go wrong, and what is put back afterwards. Nothing is offered as safe on the strength of something
//! that is not known.

pub mod class;
pub mod detect;
pub mod facts;
pub mod keepers;
mod offer;
pub mod room;
#[cfg(test)]
mod scene;
pub mod size;
mod words;

pub use class::{Class, Finding, Waiting};
pub use detect::{blocks, detect, has_room};
pub use facts::Facts;
pub use offer::{Condition, Met, Offer};

use super::ids::{BudgetKey, NodeName, PodKey};
use super::time::Stamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A way out. The order is the order of safety.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remedy {
    /// Wait until the budget has room.
    Wait,
    /// Give the pods a place, or bring the application back to health.
    Capacity,
    /// Let the operator hand over.
    HandOver,
    /// Narrow or remove the budget that covers too much.
    Narrow,
    /// Add replicas, move the pods, take the replicas back.
    Surge,
    /// Restart the rollout: the new pods start elsewhere.
    Restart,
    /// Let pods that are not Ready go, whatever the budget says.
    AllowUnhealthy,
    /// Delete a pod that is not Ready.
    DeleteUnready,
    /// Relax the budget for one eviction.
    Relax,
    /// Go on without this pod.
    SkipPod,
    /// Leave the node for now.
    SkipNode,
    /// Delete a healthy pod past its budget.
    DeleteHealthy,
    /// Delete what is left on the node past all budgets.
    DisableEviction,
    /// Delete without waiting for the kubelet.
    ForceDelete,
    /// Delete the budget.
    DeleteBudget,
}

impl Remedy {
    /// All, the safest first.
    pub const ALL: [Self; 15] = [
        Self::Wait,
        Self::Capacity,
        Self::HandOver,
        Self::Narrow,
        Self::Surge,
        Self::Restart,
        Self::AllowUnhealthy,
        Self::DeleteUnready,
        Self::Relax,
        Self::SkipPod,
        Self::SkipNode,
        Self::DeleteHealthy,
        Self::DisableEviction,
        Self::ForceDelete,
        Self::DeleteBudget,
    ];

    /// Its name on the command line and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Capacity => "capacity",
            Self::HandOver => "hand-over",
            Self::Narrow => "narrow",
            Self::Surge => "surge",
            Self::Restart => "restart",
            Self::AllowUnhealthy => "allow-unhealthy",
            Self::DeleteUnready => "delete-unready",
            Self::Relax => "relax",
            Self::SkipPod => "skip-pod",
            Self::SkipNode => "skip-node",
            Self::DeleteHealthy => "delete-healthy",
            Self::DisableEviction => "disable-eviction",
            Self::ForceDelete => "force-delete",
            Self::DeleteBudget => "delete-budget",
        }
    }

    /// Its place among all ways, 1 = the safest; two ways may share one.
    pub fn rank(self) -> u8 {
        match self {
            Self::Wait => 1,
            Self::Capacity => 2,
            Self::HandOver => 3,
            Self::Narrow => 4,
            Self::Surge => 5,
            Self::Restart => 6,
            Self::AllowUnhealthy => 7,
            Self::DeleteUnready => 8,
            Self::Relax => 9,
            Self::SkipPod | Self::SkipNode => 10,
            Self::DeleteHealthy => 11,
            Self::DisableEviction => 12,
            Self::ForceDelete => 13,
            Self::DeleteBudget => 14,
        }
    }

    /// The remedy of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|remedy| remedy.name() == name)
    }

    /// What it does, in few words.
    pub fn title(self) -> &'static str {
        match self {
            Self::Wait => "wait until the budget has room",
            Self::Capacity => "give the pods a place, or heal the application",
            Self::HandOver => "let the operator hand over",
            Self::Narrow => "narrow or remove the budget that covers too much",
            Self::Surge => "add replicas, move the pods, take the replicas back",
            Self::Restart => "restart the rollout, so that new pods start elsewhere",
            Self::AllowUnhealthy => "let pods that are not Ready go, then restore the policy",
            Self::DeleteUnready => "delete the pod that is not Ready",
            Self::Relax => "relax the budget for one eviction, restore it at once",
            Self::SkipPod => "go on without this pod",
            Self::SkipNode => "leave this node for now",
            Self::DeleteHealthy => "delete the healthy pod past its budget",
            Self::DisableEviction => "delete the rest of the node past all budgets",
            Self::ForceDelete => "delete without the kubelet (node proven off)",
            Self::DeleteBudget => "delete the budget",
        }
    }

    /// Whether pitstop carries it out; the others it only explains.
    pub fn is_carried_out(self) -> bool {
        !matches!(
            self,
            Self::Capacity | Self::HandOver | Self::Narrow | Self::ForceDelete | Self::DeleteBudget
        )
    }

    /// Whether it changes a budget or a workload for a while, and owes that back.
    pub fn borrows(self) -> bool {
        matches!(self, Self::Surge | Self::AllowUnhealthy | Self::Relax)
    }

    /// Whether it takes the protection of a budget away from a pod: such a remedy needs a typed name.
    pub fn weakens(self) -> bool {
        matches!(self, Self::AllowUnhealthy | Self::Relax | Self::DeleteHealthy | Self::DisableEviction)
    }

    /// Whether it evicts or deletes pods itself.
    pub fn moves_pods(self) -> bool {
        matches!(
            self,
            Self::Surge
                | Self::AllowUnhealthy
                | Self::DeleteUnready
                | Self::Relax
                | Self::DeleteHealthy
                | Self::DisableEviction
        )
    }

    /// Whether it changes anything itself.
    pub fn changes(self) -> bool {
        self.is_carried_out() && self != Self::Wait
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A pod that is to move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Which.
    pub pod: PodKey,
    /// Where it is.
    pub node: NodeName,
    /// Whether it was Ready when it was looked at.
    pub is_ready: bool,
}

/// A remedy that was chosen for a budget: what a run of kind resolve is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    /// The budget.
    pub budget: BudgetKey,
    /// The remedy.
    pub remedy: Remedy,
    /// The pods that are to move.
    pub targets: Vec<Target>,
    /// Some of what it needs is not known: that asks for more assent.
    pub is_unsure: bool,
    /// Pods of the budget that were healthy when it was chosen; `None` = an older version did not note it.
    #[serde(default)]
    pub healthy: Option<i32>,
}

/// A diagnosis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Analysis {
    /// The budget.
    pub budget: BudgetKey,
    /// When.
    pub at: Stamp,
    /// Whether it blocks now.
    pub is_blocked: bool,
    /// Pods of the budget that are healthy, by its status.
    pub healthy: i32,
    /// The block in one line.
    pub summary: String,
    /// The classes that hold.
    pub findings: Vec<Finding>,
    /// The pods that are to move.
    pub targets: Vec<Target>,
    /// What applies, the safest first.
    pub offers: Vec<Offer>,
    /// What was looked at and not offered, and what could not be read.
    pub notes: Vec<String>,
}

impl Analysis {
    /// The offer for a remedy.
    pub fn offer(&self, remedy: Remedy) -> Option<&Offer> {
        self.offers.iter().find(|offer| offer.remedy == remedy)
    }

    /// What a run of this remedy is about: one pod for the remedies that are for one, else all that they are for.
    pub fn choose(&self, remedy: Remedy) -> Resolution {
        let of = |wanted: &dyn Fn(&Target) -> bool| -> Vec<Target> {
            self.targets.iter().filter(|target| wanted(target)).cloned().collect()
        };
        let mut targets = match remedy {
            Remedy::AllowUnhealthy | Remedy::DeleteUnready => of(&|target| !target.is_ready),
            Remedy::DeleteHealthy => of(&|target| target.is_ready),
            Remedy::Relax => [of(&|target| target.is_ready), of(&|target| !target.is_ready)].concat(),
            _ => self.targets.clone(),
        };
        if matches!(remedy, Remedy::DeleteUnready | Remedy::DeleteHealthy | Remedy::Relax | Remedy::SkipPod) {
            targets.truncate(1);
        }
        if matches!(remedy, Remedy::SkipNode | Remedy::DisableEviction)
            && let Some(first) = targets.first().map(|target| target.node.clone())
        {
            targets.retain(|target| target.node == first);
        }
        let is_unsure = self.offer(remedy).is_some_and(Offer::is_unsure);
        let healthy = Some(self.healthy);
        Resolution { budget: self.budget.clone(), remedy, targets, is_unsure, healthy }
    }
}

/// The block in one line: its class, its best evidence, and what waiting does.
pub fn summary(facts: &Facts, findings: &[Finding]) -> String {
    let row = &facts.budget;
    match findings {
        [] if facts.pods.is_empty() => "covers no pod: blocks nothing".to_owned(),
        [] if has_room(row) => format!("blocks nothing now: {} may go", row.allowed),
        [] => format!("allows nothing now: needs {} and has {} healthy", row.desired, row.healthy),
        [first, more @ ..] => {
            let waiting = findings.iter().map(|finding| finding.waiting).find(|one| *one == Waiting::Never);
            let waiting = waiting.unwrap_or(first.waiting);
            let also: Vec<&str> = more.iter().map(|finding| finding.class.code()).collect();
            let also = if also.is_empty() { String::new() } else { format!("; also {}", also.join(", ")) };
            format!("{}; {waiting}{also}", first.line())
        }
    }
}

/// The block in the fewest words, for a row of a table; `None` = it blocks nothing now.
pub fn note(facts: &Facts) -> Option<String> {
    let findings = detect(facts);
    let first = findings.first()?;
    let also: Vec<&str> = findings[1..].iter().map(|finding| finding.class.code()).collect();
    Some(if also.is_empty() { first.note() } else { format!("{} (+{})", first.note(), also.join(" ")) })
}

/// The diagnosis.
pub fn analyse(facts: &Facts) -> Analysis {
    let findings = detect(facts);
    let targets = facts
        .targets()
        .filter_map(|pod| {
            Some(Target { pod: pod.row.key.clone(), node: pod.row.node.clone()?, is_ready: pod.row.ready })
        })
        .collect();
    let (offers, notes) = offer::offers(facts, &findings);
    Analysis {
        budget: facts.budget.key.clone(),
        at: facts.now,
        is_blocked: blocks(facts),
        healthy: facts.budget.healthy,
        summary: summary(facts, &findings),
        findings,
        targets,
        offers,
        notes,
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
