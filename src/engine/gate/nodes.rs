//! The nodes: the one that is worked on, the other control planes, the workers.

use super::scene::absent;
use super::{Scene, names, not_applicable, unknown, verdict};
use crate::domain::feed::Table;
use crate::domain::gate::Gate;
use crate::domain::node::{NodeRow, Readiness};
use crate::domain::report::Report;
use crate::domain::text::count;
use crate::domain::time::{Stamp, brief};

/// Why a node is not in order; `None` = Ready, and its kubelet gave a sign of life lately.
///
/// Ages are told against the newest sign of life of any node, so that a clock that is off on this machine changes
/// nothing.
pub(super) fn complaint(row: &NodeRow, newest: Option<Stamp>, scene: &Scene) -> Option<String> {
    let name = &row.name;
    match row.readiness {
        Readiness::Ready => {}
        Readiness::NotReady => return Some(format!("{name} is not Ready")),
        Readiness::Unknown => return Some(format!("{name} does not report (Ready is Unknown)")),
    }
    if scene.beats.is_err() {
        return None;
    }
    let Some(beat) = row.heartbeat else { return Some(format!("{name} never gave a sign of life")) };
    let age = newest.map_or(std::time::Duration::ZERO, |newest| newest.since(beat));
    (age > scene.settings.timing.fresh)
        .then(|| format!("{name} is called Ready, but its last sign of life is {} old", brief(age)))
}

fn newest(nodes: &Table<NodeRow>) -> Option<Stamp> {
    nodes.values().filter_map(|row| row.heartbeat).max()
}

/// The rule's answer, which needs the kubelets' leases unless something speaks against the nodes anyway.
fn judged(scene: &Scene, name: &str, asks: &str, offenders: &[String], evidence: String) -> Gate {
    match &scene.beats {
        Err(report) if offenders.is_empty() => {
            let why = Report::new(report.kind, format!("node leases cannot be read: {}", report.line()));
            unknown(scene, name, asks, &why)
        }
        _ => verdict(scene, name, asks, offenders, evidence),
    }
}

/// The node itself is there, Ready, and reports.
pub(super) fn target(scene: &Scene) -> Gate {
    const ASKS: &str = "the node is Ready, with a fresh sign of life";
    let nodes = match &scene.nodes {
        Ok(nodes) => nodes,
        Err(report) => return unknown(scene, names::TARGET, ASKS, report),
    };
    let Some(row) = scene.target() else {
        return unknown(scene, names::TARGET, ASKS, &absent("there is no such node"));
    };
    let offenders: Vec<String> = complaint(row, newest(nodes), scene).into_iter().collect();
    let state = if row.cordoned { "Ready, cordoned" } else { "Ready" };
    judged(scene, names::TARGET, ASKS, &offenders, format!("{} is {state}, boot {}", row.name, row.boot_id))
}

/// Every other control-plane node is Ready and reports.
pub(super) fn control_planes(scene: &Scene) -> Gate {
    const ASKS: &str = "every other control-plane node is Ready, with a fresh sign of life";
    let nodes = match &scene.nodes {
        Ok(nodes) => nodes,
        Err(report) => return unknown(scene, names::CONTROL_PLANES, ASKS, report),
    };
    let others: Vec<&NodeRow> = nodes
        .values()
        .filter(|row| row.is_control_plane() && scene.node.as_ref() != Some(&row.name))
        .collect();
    if others.is_empty() {
        return not_applicable(scene, names::CONTROL_PLANES, ASKS, "there is no other control-plane node");
    }
    let newest = newest(nodes);
    let offenders: Vec<String> = others.iter().filter_map(|row| complaint(row, newest, scene)).collect();
    let mut evidence = format!("{} Ready", count(others.len(), "node"));
    for row in others.iter().filter(|row| row.cordoned) {
        evidence.push_str(&format!(", {} is cordoned", row.name));
    }
    judged(scene, names::CONTROL_PLANES, ASKS, &offenders, evidence)
}

/// Every worker is Ready and reports.
pub(super) fn workers(scene: &Scene) -> Gate {
    const ASKS: &str = "every worker is Ready, with a fresh sign of life";
    let nodes = match &scene.nodes {
        Ok(nodes) => nodes,
        Err(report) => return unknown(scene, names::WORKERS, ASKS, report),
    };
    let workers: Vec<&NodeRow> = nodes.values().filter(|row| !row.is_control_plane()).collect();
    let newest = newest(nodes);
    let offenders: Vec<String> = workers.iter().filter_map(|row| complaint(row, newest, scene)).collect();
    judged(scene, names::WORKERS, ASKS, &offenders, format!("{} Ready", count(workers.len(), "worker")))
}
