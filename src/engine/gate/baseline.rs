//! What was not in order before anything was touched: told at the beginning, kept apart, and not blamed on the run.
//!
//! It holds as little as it can: a pod of a DaemonSet that failed on one node excuses no pod on another node, and one
//! failing pod of a Deployment excuses one.

use super::Scene;
use super::pods::{is_critical, is_off, is_unplaced, whose};
use super::world::Flaps;
use crate::domain::ids::NodeName;
use crate::domain::pod::PodRow;
use crate::domain::text::count;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How often a node may stop being Ready within [`FLAP_SPAN`](super::world::FLAP_SPAN) and still be steady: a reboot is one.
pub(super) const ONCE: u32 = 1;

/// What was not in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written")]
pub struct Baseline {
    /// Critical pods that were not Ready, or not placed: their names by workload (and node, where each has its own).
    pub pods: BTreeMap<String, BTreeSet<String>>,
    /// Nodes that were not Ready.
    pub nodes: BTreeSet<NodeName>,
    /// Nodes that came and went.
    pub unsteady: BTreeSet<NodeName>,
    /// Nodes that were cordoned.
    pub cordoned: BTreeSet<NodeName>,
    /// How often each node had stopped being Ready.
    pub stops: BTreeMap<NodeName, u32>,
    /// Workloads all of whose pods are excused: of a journal that was written before this told them apart.
    pub owners: BTreeSet<String>,
}

/// As it stands in journals.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Owners(BTreeSet<String>),
    Apart {
        pods: BTreeMap<String, BTreeSet<String>>,
        nodes: BTreeSet<NodeName>,
        unsteady: BTreeSet<NodeName>,
        cordoned: BTreeSet<NodeName>,
        stops: BTreeMap<NodeName, u32>,
        #[serde(default)]
        owners: BTreeSet<String>,
    },
}

impl From<Written> for Baseline {
    fn from(written: Written) -> Self {
        match written {
            Written::Owners(owners) => Self { owners, ..Self::default() },
            Written::Apart { pods, nodes, unsteady, cordoned, stops, owners } => {
                Self { pods, nodes, unsteady, cordoned, stops, owners }
            }
        }
    }
}

/// The workload, and the node where each node has a pod of its own.
fn group(pod: &PodRow) -> String {
    match &pod.node {
        Some(node) if pod.is_daemon() => format!("{} on {node}", whose(pod)),
        _ => whose(pod),
    }
}

fn is_out_of_order(pod: &PodRow) -> bool {
    is_critical(pod) && (is_off(pod) || is_unplaced(pod))
}

impl Baseline {
    /// Of a reading before anything is touched. What cannot be read excuses nothing.
    pub fn of(scene: &Scene) -> Self {
        let mut pods: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for pod in scene.pods.iter().flatten().filter(|pod| is_out_of_order(pod)) {
            pods.entry(group(pod)).or_default().insert(pod.key.name.clone());
        }
        let rows = || scene.nodes.iter().flat_map(|nodes| nodes.values());
        let none = Flaps::new();
        let flaps = match &scene.flaps {
            Some(Ok(flaps)) => flaps,
            _ => &none,
        };
        Self {
            pods,
            nodes: rows().filter(|row| !row.is_ready()).map(|row| row.name.clone()).collect(),
            unsteady: flaps
                .iter()
                .filter(|(_, stops)| stops.recent > ONCE)
                .map(|(node, _)| node.clone())
                .collect(),
            cordoned: rows().filter(|row| row.cordoned).map(|row| row.name.clone()).collect(),
            stops: flaps.iter().map(|(node, stops)| (node.clone(), stops.total)).collect(),
            owners: BTreeSet::new(),
        }
    }

    /// Those of the pods that are not excused: the ones that were out of order themselves are, and as many others of their
    /// workload as have taken the place of one that is gone by now (`all` are the pods that there are). One that has recovered
    /// excuses no other.
    pub(super) fn blamed<'a>(&self, off: &[&'a PodRow], all: &[PodRow]) -> Vec<&'a PodRow> {
        let mut groups: BTreeMap<String, Vec<&'a PodRow>> = BTreeMap::new();
        for pod in off.iter().filter(|pod| !self.owners.contains(&whose(pod))) {
            groups.entry(group(pod)).or_default().push(pod);
        }
        let blamed = groups.into_iter().flat_map(|(name, pods)| {
            let known = self.pods.get(&name).cloned().unwrap_or_default();
            let here: BTreeSet<&str> = all
                .iter()
                .filter(|pod| known.contains(&pod.key.name) && group(pod) == name)
                .map(|pod| pod.key.name.as_str())
                .collect();
            let replaced = known.iter().filter(|known| !here.contains(known.as_str())).count();
            let others = pods.into_iter().filter(move |pod| !known.contains(&pod.key.name));
            others.skip(replaced)
        });
        blamed.collect()
    }

    /// How often a node stopped being Ready since.
    pub(super) fn stops_since(&self, node: &NodeName, total: u32) -> u32 {
        // events are forgotten after an hour: fewer than before are all new
        total.checked_sub(self.stops.get(node).copied().unwrap_or(0)).unwrap_or(total)
    }

    /// All of it in words, without what is only cordoned; empty = everything was in order.
    pub fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = self.nodes.iter().map(|node| format!("{node} is not Ready")).collect();
        let unsteady = self.unsteady.iter().filter(|node| !self.nodes.contains(*node));
        words.extend(unsteady.map(|node| format!("{node} comes and goes")));
        words.extend(self.pods.iter().map(|(whose, names)| match names.len() {
            1 => format!("{whose} is not Ready"),
            many => format!("{whose}: {} not Ready", count(many, "pod")),
        }));
        words.extend(self.owners.iter().map(|whose| format!("{whose} is not Ready")));
        words
    }
}
