//! The nodes: the one that is worked on, the other control planes, the workers.

use super::baseline::ONCE;
use super::scene::absent;
use super::{Scene, names, not_applicable, unknown, verdict};
use crate::backend::kube::Stops;
use crate::domain::gate::{Gate, Offender};
use crate::domain::ids::NodeName;
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
    offenders.extend(changed(row, scene));
    if let (super::Purpose::Settle { memory, .. }, true) = (&scene.purpose, offenders.is_empty()) {
        let is_another = memory.returned.is_some() && row.ready_since > memory.returned;
        let what = "stopped being Ready after its return";
        offenders.extend(
            is_another.then(|| Offender::new("Node", row.name.as_str(), what).since(row.ready_since)),
        );
    }
    let state = if row.cordoned { "Ready, cordoned" } else { "Ready" };
    judged(scene, names::TARGET, ASKS, offenders, format!("{} is {state}, boot {}", row.name, row.boot_id))
}

/// Ready in both readings, and not in between.
fn changed(row: &NodeRow, scene: &Scene) -> Option<Offender> {
    let words = scene.steady()?.differs(row)?;
    Some(Offender::new("Node", row.name.as_str(), words).since(row.ready_since))
}

/// What speaks against a node that is not the one in work: nothing where it is in work too, or was not in order before.
fn blamed(row: &NodeRow, scene: &Scene) -> Option<Offender> {
    let is_known = scene
        .baseline()
        .is_some_and(|baseline| baseline.nodes.contains(&row.name) || baseline.unsteady.contains(&row.name));
    if is_known && !row.is_control_plane() || scene.is_beside(&row.name) {
        return None;
    }
    complaint(row, scene).or_else(|| changed(row, scene))
}

/// Before a node is touched: nodes with a control plane or etcd that another run of the same roll has in work. They may be
/// Ready still, and be asked to reboot the moment after.
fn in_turn(scene: &Scene) -> impl Iterator<Item = Offender> {
    let is_before = matches!(scene.purpose, super::Purpose::Before { .. });
    let etcd = scene.etcd.as_ref().and_then(|samples| samples.second.as_ref().ok());
    let is_master = move |node: &&NodeName| {
        let row = scene.nodes.as_ref().ok().and_then(|nodes| nodes.get(*node));
        row.is_none_or(|row| row.is_control_plane() || row.is_labelled_etcd())
            || etcd.is_some_and(|etcd| etcd.on_node(node).is_some())
    };
    scene.excused.iter().filter(move |_| is_before).filter(is_master).map(|node| {
        Offender::new("Node", node.as_str(), "is in its turn of the same roll").hint("its turn ends first")
    })
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
    let in_turn: Vec<Offender> = in_turn(scene).collect();
    if others.is_empty() && in_turn.is_empty() {
        return not_applicable(scene, names::CONTROL_PLANES, ASKS, "there is no other control-plane node");
    }
    let offenders: Vec<Offender> =
        others.iter().filter_map(|row| blamed(row, scene)).chain(in_turn).collect();
    let mut evidence = format!("{} Ready", count(others.len(), "node"));
    for row in others.iter().filter(|row| row.cordoned) {
        evidence.push_str(&format!(", {} is cordoned", row.name));
    }
    judged(scene, names::CONTROL_PLANES, ASKS, offenders, evidence)
}

/// Every worker is Ready and reports.
pub(super) fn workers(scene: &Scene) -> Gate {
    const ASKS: &str =
        "every worker is Ready, with a fresh sign of life, apart from those that were not before";
    let nodes = match &scene.nodes {
        Ok(nodes) => nodes,
        Err(report) => return unknown(scene, names::WORKERS, ASKS, report),
    };
    let is_other = |row: &&NodeRow| !row.is_control_plane() && scene.node.as_ref() != Some(&row.name);
    let workers: Vec<&NodeRow> = nodes.values().filter(is_other).collect();
    if workers.is_empty() {
        return not_applicable(scene, names::WORKERS, ASKS, "there is no other worker");
    }
    let offenders: Vec<Offender> = workers.iter().filter_map(|row| blamed(row, scene)).collect();
    let ready = workers.iter().filter(|row| row.is_ready()).count();
    judged(
        scene,
        names::WORKERS,
        ASKS,
        offenders,
        format!("{ready} of {} Ready", count(workers.len(), "worker")),
    )
}

/// How many times a node may stop being Ready beside a run: a reboot is told once by the node controller, and once more by
/// the kubelet that starts.
const TWICE: u32 = 2;

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
        if scene.is_beside(&row.name) || scene.node.as_ref() == Some(&row.name) {
            continue;
        }
        offenders.extend(flaps.get(&row.name).and_then(|stops| restless(scene, row, stops, &span)));
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

/// Whether a node comes and goes: lately, or more often than before where there is a before.
fn restless(scene: &Scene, row: &NodeRow, stops: &Stops, span: &str) -> Option<Offender> {
    let what = match scene.baseline() {
        None if stops.recent > ONCE => {
            format!("comes and goes: it stopped being Ready {} times within {span}", stops.recent)
        }
        Some(baseline) if !baseline.unsteady.contains(&row.name) => {
            let times = baseline.stops_since(&row.name, stops.total);
            if times <= TWICE {
                return None;
            }
            format!("comes and goes: it stopped being Ready {times} times since the beginning")
        }
        _ => return None,
    };
    let hint = format!("kubectl describe node {}", row.name);
    Some(Offender::new("Node", row.name.as_str(), what).since(Some(stops.last)).hint(hint))
}
