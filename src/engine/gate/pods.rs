//! The pods that the cluster itself stands on: static pods of control planes, and system-critical pods.

use super::{Scene, names, not_applicable, unknown, verdict};
use crate::domain::gate::Gate;
use crate::domain::node::NodeRow;
use crate::domain::pod::PodRow;
use crate::domain::text::count;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Owners whose critical pods were not Ready before anything was touched: not our doing, and not held against the
/// node's return.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline(pub BTreeSet<String>);

/// What is wrong before we begin.
pub fn baseline(pods: &[PodRow]) -> Baseline {
    Baseline(pods.iter().filter(|pod| is_critical(pod) && is_off(pod)).map(whose).collect())
}

/// Of a class that the API server reserves for what a cluster needs (`system-cluster-critical`, `system-node-critical`).
fn is_critical(pod: &PodRow) -> bool {
    pod.priority_class.starts_with("system-")
}

/// Placed, meant to run, and not Ready.
fn is_off(pod: &PodRow) -> bool {
    pod.node.is_some() && !pod.ready && !pod.is_finished() && pod.deleting.is_none()
}

fn whose(pod: &PodRow) -> String {
    let namespace = &pod.key.namespace;
    match &pod.owner {
        // a mirror pod is owned by its node, so that its own name says more
        Some(owner) if !pod.mirror => format!("{namespace}/{} {}", owner.kind, owner.name),
        _ => format!("{namespace}/{}", pod.key.name),
    }
}

/// Every static pod of every control-plane node is Ready.
pub(super) fn static_pods(scene: &Scene) -> Gate {
    const ASKS: &str = "every static pod of the control planes is Ready";
    let (pods, nodes) = match (&scene.pods, &scene.nodes) {
        (Ok(pods), Ok(nodes)) => (pods, nodes),
        (Err(report), _) | (_, Err(report)) => return unknown(scene, names::STATIC_PODS, ASKS, report),
    };
    let masters: Vec<&NodeRow> = nodes.values().filter(|row| row.is_control_plane()).collect();
    let mirrors = |row: &NodeRow| {
        let name = row.name.clone();
        pods.iter().filter(move |pod| pod.mirror && pod.node.as_ref() == Some(&name))
    };
    let total: usize = masters.iter().map(|row| mirrors(row).count()).sum();
    if total == 0 {
        return not_applicable(scene, names::STATIC_PODS, ASKS, "the control planes run no static pods");
    }
    let mut offenders = Vec::new();
    for row in masters {
        if mirrors(row).next().is_none() {
            offenders.push(format!("{} shows no static pod, the others do", row.name));
        }
        for pod in mirrors(row).filter(|pod| !pod.ready) {
            let why = pod.waiting.as_deref().map_or_else(String::new, |why| format!(" ({why})"));
            offenders.push(format!("{} is not Ready{why}", pod.key));
        }
    }
    verdict(scene, names::STATIC_PODS, ASKS, &offenders, format!("{} Ready", count(total, "static pod")))
}

/// Every placed system-critical pod is Ready, apart from those that were not before.
pub(super) fn critical(scene: &Scene, baseline: &Baseline) -> Gate {
    const ASKS: &str = "every system-critical pod is Ready, apart from those that were not before";
    let pods = match &scene.pods {
        Ok(pods) => pods,
        Err(report) => return unknown(scene, names::CRITICAL_PODS, ASKS, report),
    };
    let critical: Vec<&PodRow> = pods.iter().filter(|pod| is_critical(pod)).collect();
    let offenders: Vec<String> = critical
        .iter()
        .filter(|pod| is_off(pod) && !baseline.0.contains(&whose(pod)))
        .map(|pod| format!("{} is not Ready", pod.key))
        .collect();
    let mut evidence = count(critical.len(), "critical pod");
    let unplaced = critical.iter().filter(|pod| pod.node.is_none()).count();
    if unplaced > 0 {
        evidence.push_str(&format!(", {unplaced} not placed on any node"));
    }
    if !baseline.0.is_empty() {
        let known: Vec<&str> = baseline.0.iter().map(String::as_str).collect();
        evidence.push_str(&format!("; not Ready before already: {}", known.join(", ")));
    }
    verdict(scene, names::CRITICAL_PODS, ASKS, &offenders, evidence)
}
