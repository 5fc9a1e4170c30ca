//! Which nodes would take one more such pod: the scheduler's filters, for one pod.

use crate::domain::ids::NodeName;
use crate::domain::node::NodeRow;
use crate::domain::placement::{Amounts, Rules, VolumeRow};
use crate::domain::pod::PodRow;
use std::collections::BTreeMap;

/// The schedulable nodes, other than its own, that would take a copy of a pod now.
pub fn room(pod: &PodRow, nodes: &BTreeMap<NodeName, NodeRow>, pods: &[PodRow]) -> Vec<NodeName> {
    let others = nodes.values().filter(|node| pod.node.as_ref() != Some(&node.name));
    others
        .filter(|node| !node.cordoned && node.is_ready())
        .filter(|node| tolerates(pod, node) && wants(pod, node))
        .filter(|node| {
            let here: Vec<&PodRow> = pods
                .iter()
                .filter(|one| one.node.as_ref() == Some(&node.name) && !one.is_finished())
                .collect();
            fits(pod, node, &here) && stays_apart(pod, &here)
        })
        .map(|node| node.name.clone())
        .collect()
}

fn rules(pod: &PodRow) -> Option<&Rules> {
    pod.rules.as_deref()
}

fn tolerates(pod: &PodRow, node: &NodeRow) -> bool {
    let tolerations = rules(pod).map_or(&[][..], |rules| &rules.tolerations);
    node.taints
        .iter()
        .filter(|taint| !taint.ends_with(":PreferNoSchedule"))
        .all(|taint| tolerations.iter().any(|one| one.covers(taint)))
}

fn wants(pod: &PodRow, node: &NodeRow) -> bool {
    let terms = rules(pod).and_then(|rules| rules.node_terms.as_ref());
    pod.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
        && terms.is_none_or(|terms| terms.iter().any(|term| term.holds(node.name.as_str(), &node.labels)))
}

fn fits(pod: &PodRow, node: &NodeRow, here: &[&PodRow]) -> bool {
    let seats = node.pod_capacity.and_then(|count| usize::try_from(count).ok());
    if seats.is_some_and(|seats| here.len() >= seats) {
        return false;
    }
    let Some(allocatable) = &node.allocatable else { return true };
    let mut free: Amounts = allocatable.clone();
    for one in here {
        free.subtract(&one.requests);
    }
    let wanted = &pod.requests;
    let others = wanted.others.iter().flat_map(|others| others.iter());
    wanted.cpu_milli <= free.cpu_milli
        && wanted.memory <= free.memory
        && others.into_iter().all(|(name, count)| *count <= free.other(name))
}

/// Anti-affinity by host name, of the pod and of those that are there; other topologies are left to the scheduler.
fn stays_apart(pod: &PodRow, here: &[&PodRow]) -> bool {
    let is_apart = |from: &PodRow, other: &PodRow| {
        let terms = rules(from).map_or(&[][..], |rules| &rules.apart);
        terms.iter().filter(|term| term.topology == "kubernetes.io/hostname").all(|term| {
            let is_meant = term.everywhere
                || (term.namespaces.is_empty() && from.key.namespace == other.key.namespace)
                || term.namespaces.contains(&other.key.namespace);
            !(is_meant && term.selector.matches(&other.labels))
        })
    };
    here.iter().all(|other| is_apart(pod, other) && is_apart(other, pod))
}

/// Why the volumes of a pod keep it where it is, in words.
pub fn pins(pod: &PodRow, nodes: &BTreeMap<NodeName, NodeRow>, volumes: &[VolumeRow]) -> Vec<String> {
    let claims = pod.claims.iter().filter_map(|claim| {
        let of = (pod.key.namespace.clone(), claim.clone());
        volumes.iter().find(|volume| volume.claim.as_ref() == Some(&of) && !volume.terms.is_empty())
    });
    claims
        .filter(|volume| {
            let reaches =
                |node: &NodeRow| volume.terms.iter().any(|term| term.holds(node.name.as_str(), &node.labels));
            !nodes.values().any(|node| pod.node.as_ref() != Some(&node.name) && reaches(node))
        })
        .map(|volume| format!("volume {} is on this node only", volume.name))
        .collect()
}
