//! The nodes: the one that is worked on, the other control planes, the workers.

use super::scene::absent;
use super::{Scene, names, not_applicable, unknown, verdict};
use crate::domain::gate::{Gate, Offender};
use crate::domain::node::{NodeRow, Readiness};
use crate::domain::report::Report;
use crate::domain::text::count;
use crate::domain::time::brief;

/// Why a node is not in order; `None` = Ready, with a network, and its kubelet gave a sign of life lately.
///
/// Ages are told against the API server's clock, and signs of life are dated by it where it noted them: neither the clock
/// of this machine nor one node's clock that is ahead makes others look stale. A sign of life from the future proves
/// nothing about now.
pub(super) fn complaint(row: &NodeRow, scene: &Scene) -> Option<Offender> {
    let about = |what: String| {
        Offender::new("Node", row.name.as_str(), what).hint(format!("kubectl describe node {}", row.name))
    };
    match row.readiness {
        Readiness::Ready => {}
        Readiness::NotReady => return Some(about("is not Ready".to_owned()).since(row.ready_since)),
        Readiness::Unknown => {
            return Some(about("does not report (Ready is Unknown)".to_owned()).since(row.ready_since));
        }
    }
    if row.pressure.iter().any(|kind| kind == "Network") {
        return Some(about("has no network (NetworkUnavailable)".to_owned()));
    }
    if scene.beats.is_err() {
        return None;
    }
    let Some(beat) = row.heartbeat else { return Some(about("never gave a sign of life".to_owned())) };
    let fresh = scene.settings.timing.fresh;
    let (age, ahead) = (scene.clock.since(beat), beat.since(scene.clock));
    if ahead > fresh {
        let what = format!("has a clock that is {} ahead: its signs of life cannot be dated", brief(ahead));
        return Some(about(what).hint("correct its clock (NTP)"));
    }
    (age > fresh).then(|| {
        about(format!("is called Ready, but its last sign of life is {} old", brief(age))).since(Some(beat))
    })
}

/// The rule's answer, which needs the kubelets' leases unless something speaks against the nodes anyway.
fn judged(scene: &Scene, name: &str, asks: &str, offenders: Vec<Offender>, evidence: String) -> Gate {
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
    if let Err(report) = &scene.nodes {
        return unknown(scene, names::TARGET, ASKS, report);
    }
    let Some(row) = scene.target() else {
        return unknown(scene, names::TARGET, ASKS, &absent("there is no such node"));
    };
    let mut offenders: Vec<Offender> = complaint(row, scene).into_iter().collect();
    if let Some(steady) = scene.steady()
        && let Some(words) = steady.differs(row)
    {
        offenders.push(Offender::new("Node", row.name.as_str(), words));
    }
    let state = if row.cordoned { "Ready, cordoned" } else { "Ready" };
    judged(scene, names::TARGET, ASKS, offenders, format!("{} is {state}, boot {}", row.name, row.boot_id))
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
    let offenders: Vec<Offender> = others.iter().filter_map(|row| complaint(row, scene)).collect();
    let mut evidence = format!("{} Ready", count(others.len(), "node"));
    for row in others.iter().filter(|row| row.cordoned) {
        evidence.push_str(&format!(", {} is cordoned", row.name));
    }
    judged(scene, names::CONTROL_PLANES, ASKS, offenders, evidence)
}

/// Every worker is Ready and reports.
pub(super) fn workers(scene: &Scene) -> Gate {
    const ASKS: &str = "every worker is Ready, with a fresh sign of life";
    let nodes = match &scene.nodes {
        Ok(nodes) => nodes,
        Err(report) => return unknown(scene, names::WORKERS, ASKS, report),
    };
    let workers: Vec<&NodeRow> = nodes.values().filter(|row| !row.is_control_plane()).collect();
    if workers.is_empty() {
        return not_applicable(scene, names::WORKERS, ASKS, "there is no worker");
    }
    let offenders: Vec<Offender> = workers.iter().filter_map(|row| complaint(row, scene)).collect();
    judged(scene, names::WORKERS, ASKS, offenders, format!("{} Ready", count(workers.len(), "worker")))
}

/// How many times a node may stop being Ready within [`FLAP_SPAN`](super::world::FLAP_SPAN): a reboot is one.
const ONCE: u32 = 1;

/// No node comes and goes, and none is short of memory, disk or process ids.
pub(super) fn steady(scene: &Scene) -> Gate {
    const ASKS: &str = "no node comes and goes, and none is under pressure";
    let nodes = match &scene.nodes {
        Ok(nodes) => nodes,
        Err(report) => return unknown(scene, names::STEADY, ASKS, report),
    };
    let flaps = match &scene.flaps {
        Some(Ok(flaps)) => flaps,
        Some(Err(report)) => return unknown(scene, names::STEADY, ASKS, report),
        None => return unknown(scene, names::STEADY, ASKS, &absent("events were not asked for")),
    };
    let span = brief(super::world::FLAP_SPAN);
    let mut offenders = Vec::new();
    for row in nodes.values() {
        if let Some((times, last)) = flaps.get(&row.name).filter(|(times, _)| *times > ONCE) {
            let what = format!("comes and goes: it stopped being Ready {times} times within {span}");
            let hint = format!("kubectl describe node {}", row.name);
            offenders.push(Offender::new("Node", row.name.as_str(), what).since(Some(*last)).hint(hint));
        }
        for kind in row.pressure.iter().filter(|kind| *kind != "Network") {
            let hint = format!("kubectl describe node {}", row.name);
            let what = format!("is short of {}", kind.to_lowercase());
            offenders.push(Offender::new("Node", row.name.as_str(), what).hint(hint));
        }
    }
    verdict(
        scene,
        names::STEADY,
        ASKS,
        offenders,
        format!("{} steady for {span}", count(nodes.len(), "node")),
    )
}
