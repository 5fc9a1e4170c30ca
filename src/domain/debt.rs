//! What a run changed on the way and owes back: a relaxed budget, an owner scaled up, an autoscaler's raised minimum.
//!
//! A debt is written to the journal before the change is sent, and struck out once its restore is confirmed. So a
//! program that was killed in between leaves a list of what to put back, with the value that was there before and the
//! one that was set: only the latter is ever changed back.

use super::budget::{Amount, Demand, UnhealthyPolicy};
use super::ids::{BudgetKey, NodeName};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::fmt;

/// A namespaced object by identity: the same name with another uid is another object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectKey {
    /// `apiVersion`, as `apps/v1`.
    pub api_version: String,
    /// Kind, as `Deployment`.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// The fields of a budget that a run may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetSpec {
    /// `minAvailable` or `maxUnavailable`; the server takes at most one of them.
    pub demand: Demand,
    /// `unhealthyPodEvictionPolicy`; `None` = not set, which the server reads as `IfHealthyBudget`.
    pub unhealthy: Option<UnhealthyPolicy>,
}

impl BudgetSpec {
    /// What a merge patch of the spec has to say so that it becomes this one, coming from `other`: only what differs,
    /// and `null` for a field that is to go.
    pub fn patch_from(&self, other: &Self) -> Value {
        let mut fields = Map::new();
        if self.demand != other.demand {
            let (min, max) = match self.demand {
                Demand::MinAvailable(amount) => (value(amount), Value::Null),
                Demand::MaxUnavailable(amount) => (Value::Null, value(amount)),
                Demand::Nothing => (Value::Null, Value::Null),
            };
            // a null for a field that is not there says nothing
            if !min.is_null() || matches!(other.demand, Demand::MinAvailable(_)) {
                fields.insert("minAvailable".to_owned(), min);
            }
            if !max.is_null() || matches!(other.demand, Demand::MaxUnavailable(_)) {
                fields.insert("maxUnavailable".to_owned(), max);
            }
        }
        if self.unhealthy != other.unhealthy {
            let policy = self.unhealthy.map_or(Value::Null, |policy| json!(policy));
            fields.insert("unhealthyPodEvictionPolicy".to_owned(), policy);
        }
        Value::Object(fields)
    }
}

impl fmt::Display for BudgetSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.demand)?;
        match self.unhealthy {
            Some(UnhealthyPolicy::AlwaysAllow) => f.write_str(", AlwaysAllow"),
            Some(UnhealthyPolicy::IfHealthyBudget) => f.write_str(", IfHealthyBudget"),
            None => Ok(()),
        }
    }
}

fn value(amount: Amount) -> Value {
    match amount {
        Amount::Pods(count) => json!(count),
        Amount::Percent(_) => json!(amount.to_string()),
    }
}

/// One thing that is owed back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "debt", rename_all = "snake_case")]
pub enum Debt {
    /// A budget asks for less than it did.
    BudgetChanged {
        /// The budget.
        budget: BudgetKey,
        /// Its uid.
        uid: String,
        /// What it asked for.
        before: BudgetSpec,
        /// What we set.
        ours: BudgetSpec,
        /// Why, in words.
        why: String,
    },
    /// A workload has more replicas than it had.
    OwnerScaled {
        /// The workload.
        owner: ObjectKey,
        /// `spec.replicas` as it was.
        before: i32,
        /// What we set.
        ours: i32,
    },
    /// An autoscaler keeps more replicas than it did.
    HpaRaised {
        /// The HorizontalPodAutoscaler.
        autoscaler: ObjectKey,
        /// `spec.minReplicas` as it was; `None` = not set, which the server reads as 1.
        before: Option<i32>,
        /// What we set.
        ours: i32,
    },
    /// Nodes of a roll are marked, so that the scheduler prefers the others.
    NodesMarked {
        /// The ones that still are.
        nodes: Vec<NodeName>,
    },
}

/// Key of the mark: a taint that keeps nothing off a node, and has others preferred to it.
pub const MARK: &str = "pitstop.dev/scheduled";

/// `3 nodes are`, or the one is.
fn are(nodes: &[NodeName]) -> String {
    match nodes {
        [one] => format!("{one} is"),
        many => format!("{} are", super::text::count(many.len(), "node")),
    }
}

impl Debt {
    /// Whether both are about the same object and the same fields.
    pub fn is_about_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::BudgetChanged { budget: one, .. }, Self::BudgetChanged { budget: two, .. }) => one == two,
            (Self::OwnerScaled { owner: one, .. }, Self::OwnerScaled { owner: two, .. })
            | (Self::HpaRaised { autoscaler: one, .. }, Self::HpaRaised { autoscaler: two, .. }) => {
                one == two
            }
            (Self::NodesMarked { .. }, Self::NodesMarked { .. }) => true,
            _ => false,
        }
    }

    /// What is changed now, in words.
    pub fn what(&self) -> String {
        match self {
            Self::BudgetChanged { budget, before, ours, .. } => {
                format!("budget {budget} asks for {ours} instead of {before}")
            }
            Self::OwnerScaled { owner, before, ours } => {
                format!("{owner} is scaled to {ours} instead of {before}")
            }
            Self::HpaRaised { autoscaler, before, ours } => {
                let before = before.map_or_else(|| "its default".to_owned(), |count| count.to_string());
                format!("{autoscaler} keeps at least {ours} instead of {before}")
            }
            Self::NodesMarked { nodes } => format!("{} marked with the taint {MARK}", are(nodes)),
        }
    }

    /// The same in the fewest words, for a line that has to hold more.
    pub fn brief(&self) -> String {
        match self {
            Self::BudgetChanged { budget, .. } => format!("budget {budget} is relaxed"),
            Self::OwnerScaled { owner, .. } => format!("{owner} is scaled up"),
            Self::HpaRaised { autoscaler, .. } => format!("{autoscaler} is raised"),
            Self::NodesMarked { nodes } => format!("{} marked", are(nodes)),
        }
    }

    /// The command that puts it back, as a person could type it.
    pub fn command(&self) -> String {
        match self {
            Self::BudgetChanged { budget, before, ours, .. } => format!(
                "kubectl -n {} patch pdb {} --type merge -p '{}'",
                budget.namespace,
                budget.name,
                json!({"spec": before.patch_from(ours)})
            ),
            Self::OwnerScaled { owner, before, ours } => format!(
                "kubectl -n {} scale {}/{} --current-replicas={ours} --replicas={before}",
                owner.namespace,
                owner.kind.to_lowercase(),
                owner.name
            ),
            Self::HpaRaised { autoscaler, before, .. } => format!(
                "kubectl -n {} patch hpa {} --type merge -p '{}'",
                autoscaler.namespace,
                autoscaler.name,
                json!({"spec": {"minReplicas": before}})
            ),
            Self::NodesMarked { nodes } => {
                let names: Vec<&str> = nodes.iter().map(NodeName::as_str).collect();
                format!("kubectl taint nodes {} {MARK}:PreferNoSchedule-", names.join(" "))
            }
        }
    }

    /// What is left, in one line with the command that restores it.
    pub fn words(&self) -> String {
        format!("{}: {}", self.what(), self.command())
    }
}

#[cfg(test)]
#[path = "debt_tests.rs"]
mod tests;
