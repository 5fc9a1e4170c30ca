//! Where a pod may run: what it asks of a node, what a node has to give, and the rules that keep the two apart.
//!
//! The rules are kube-scheduler's filters (`pkg/scheduler/framework/plugins`): what is only a preference is left out,
//! as it never keeps a pod from running.

mod space;

use super::feed::Row;
use super::selector::{Requirement, Selector};
use serde::{Deserialize, Serialize};
pub use space::{Obstacle, Resident, Space};
use std::collections::BTreeMap;

/// Resources that a pod asks for, or that a node has to give.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Amounts {
    /// CPU, in thousandths of a core.
    pub cpu_milli: u64,
    /// Memory, in bytes.
    pub memory: u64,
    /// Everything else that is counted (`nvidia.com/gpu`, `ephemeral-storage`, …), by name; `None` = nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub others: Option<Box<BTreeMap<String, u64>>>,
}

impl Amounts {
    /// So much of another resource.
    pub fn other(&self, name: &str) -> u64 {
        self.others.as_ref().and_then(|others| others.get(name)).copied().unwrap_or(0)
    }

    /// Adds another's amounts.
    pub fn add(&mut self, more: &Amounts) {
        self.cpu_milli = self.cpu_milli.saturating_add(more.cpu_milli);
        self.memory = self.memory.saturating_add(more.memory);
        for (name, count) in more.others.iter().flat_map(|others| others.iter()) {
            let mine = self.others.get_or_insert_default().entry(name.clone()).or_default();
            *mine = mine.saturating_add(*count);
        }
    }

    /// Takes another's amounts away.
    pub fn subtract(&mut self, less: &Amounts) {
        self.cpu_milli = self.cpu_milli.saturating_sub(less.cpu_milli);
        self.memory = self.memory.saturating_sub(less.memory);
        for (name, count) in less.others.iter().flat_map(|others| others.iter()) {
            if let Some(mine) = self.others.as_mut().and_then(|others| others.get_mut(name)) {
                *mine = mine.saturating_sub(*count);
            }
        }
    }
}

/// The rules of a pod beyond its `nodeSelector`; most pods have none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rules {
    /// Tolerations, without the two that every pod gets.
    pub tolerations: Vec<Toleration>,
    /// Required node affinity: one of the terms must hold; `None` = not asked for.
    pub node_terms: Option<Vec<NodeTerm>>,
    /// Required pod anti-affinity.
    pub apart: Vec<PodTerm>,
    /// Required pod affinity.
    pub near: Vec<PodTerm>,
    /// Topology spread constraints with `DoNotSchedule`.
    pub spread: Vec<Spread>,
    /// Ports of the host, as `80/TCP`.
    pub ports: Vec<String>,
}

impl Rules {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One toleration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Toleration {
    /// The taint's key; empty = every one.
    pub key: String,
    /// The taint's value, unless `exists`.
    pub value: String,
    /// `operator: Exists`: whatever the value.
    pub exists: bool,
    /// `NoSchedule`, `NoExecute`, …; empty = every one.
    pub effect: String,
}

impl Toleration {
    /// Whether it tolerates a taint written as `key=value:Effect`.
    pub fn covers(&self, taint: &str) -> bool {
        let (what, effect) = taint.rsplit_once(':').unwrap_or((taint, ""));
        let (key, value) = what.split_once('=').unwrap_or((what, ""));
        (self.effect.is_empty() || self.effect == effect)
            && (self.key == key || (self.key.is_empty() && self.exists))
            && (self.exists || self.value == value)
    }
}

/// One term of a node affinity: all of it must hold, and a term without requirements holds for no node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeTerm {
    /// About the node's labels.
    pub expressions: Vec<Requirement>,
    /// About its fields; only `metadata.name` exists.
    pub fields: Vec<Requirement>,
}

impl NodeTerm {
    /// Whether a node is meant.
    pub fn holds(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        let name = BTreeMap::from([("metadata.name".to_owned(), name.to_owned())]);
        !(self.expressions.is_empty() && self.fields.is_empty())
            && self.expressions.iter().all(|need| need.holds(labels))
            && self.fields.iter().all(|need| need.holds(&name))
    }
}

/// One term of a pod affinity or anti-affinity.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PodTerm {
    /// Which pods.
    pub selector: Selector,
    /// In which namespaces; empty = the pod's own.
    pub namespaces: Vec<String>,
    /// In all namespaces (a namespace selector is taken for all of them).
    pub everywhere: bool,
    /// The label of nodes that says what counts as one place.
    pub topology: String,
}

/// One hard topology spread constraint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spread {
    /// Which pods are counted.
    pub selector: Selector,
    /// The label of nodes that says what counts as one place.
    pub topology: String,
    /// By how much places may differ.
    pub skew: u32,
    /// With fewer places than this the emptiest counts as empty.
    pub least_places: u32,
    /// Whether only nodes count whose taints the pod tolerates (`nodeTaintsPolicy: Honor`).
    pub honors_taints: bool,
    /// Whether nodes count that the pod's node affinity rules out (`nodeAffinityPolicy: Ignore`).
    pub ignores_affinity: bool,
}

/// A persistent volume that is not to be reached from every node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeRow {
    /// Its name.
    pub name: String,
    /// Namespace and name of the claim that it is bound to.
    pub claim: Option<(String, String)>,
    /// From where it is reached: one of the terms must hold.
    pub terms: Vec<NodeTerm>,
}

impl Row for VolumeRow {
    type Key = String;
    fn key(&self) -> String {
        self.name.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::selector::Operator;

    #[test]
    fn tolerations_as_the_scheduler_reads_them() {
        let plain = |key: &str, value: &str, effect: &str| Toleration {
            key: key.into(),
            value: value.into(),
            exists: false,
            effect: effect.into(),
        };
        let exists = |key: &str, effect: &str| Toleration {
            key: key.into(),
            exists: true,
            effect: effect.into(),
            ..Toleration::default()
        };
        for (toleration, taint, covers) in [
            (exists("", ""), "a=b:NoExecute", true),
            (exists("a", ""), "a=b:NoSchedule", true),
            (exists("a", "NoExecute"), "a=b:NoSchedule", false),
            (plain("a", "b", ""), "a=b:NoSchedule", true),
            (plain("a", "", ""), "a:NoSchedule", true),
            (plain("a", "c", ""), "a=b:NoSchedule", false),
            (plain("", "b", ""), "a=b:NoSchedule", false),
        ] {
            assert_eq!(toleration.covers(taint), covers, "{toleration:?} {taint}");
        }
    }

    #[test]
    fn a_term_without_requirements_means_no_node() {
        let labels = BTreeMap::from([("cores".to_owned(), "8".to_owned())]);
        assert!(!NodeTerm::default().holds("n", &labels));
        let need = |operator, values: &[&str]| Requirement {
            key: "cores".into(),
            operator,
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        };
        let term = |need| NodeTerm { expressions: vec![need], fields: Vec::new() };
        assert!(term(need(Operator::Gt, &["4"])).holds("n", &labels));
        assert!(!term(need(Operator::Lt, &["8"])).holds("n", &labels));
        assert!(!term(need(Operator::Gt, &["many"])).holds("n", &labels));
    }

    #[test]
    fn what_is_added_can_be_taken_away() {
        let gpu = Amounts {
            cpu_milli: 500,
            memory: 1,
            others: Some(Box::new(BTreeMap::from([("gpu".to_owned(), 2)]))),
        };
        let mut sum = Amounts::default();
        sum.add(&gpu);
        sum.add(&gpu);
        sum.subtract(&gpu);
        assert_eq!((sum.cpu_milli, sum.memory, sum.other("gpu"), sum.other("x")), (500, 1, 2, 0));
    }
}
