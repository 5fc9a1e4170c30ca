//! The pods that the cluster itself stands on: static pods of control planes, and system-critical pods.

use super::baseline::Baseline;
use super::{Scene, names, not_applicable, unknown, verdict};
use crate::domain::gate::{Gate, Offender};
use crate::domain::node::NodeRow;
use crate::domain::pod::PodRow;
use crate::domain::text::count;
use std::collections::{BTreeMap, BTreeSet};

/// The manifest of each static pod, by its hash: after the reboot the same ones must run.
pub fn manifests(pods: &[PodRow]) -> BTreeMap<String, String> {
    let hashes = pods.iter().filter(|pod| pod.mirror);
    hashes.filter_map(|pod| Some((pod.key.to_string(), pod.manifest.clone()?))).collect()
}

/// Of a class that the API server reserves for what a cluster needs (`system-cluster-critical`, `system-node-critical`).
pub(super) fn is_critical(pod: &PodRow) -> bool {
    pod.priority_class.starts_with("system-")
}

/// Placed, meant to run, and not Ready.
pub(super) fn is_off(pod: &PodRow) -> bool {
    pod.node.is_some() && !pod.ready && !pod.is_finished() && pod.deleting.is_none()
}

/// Meant to run, and not placed on any node.
pub(super) fn is_unplaced(pod: &PodRow) -> bool {
    pod.node.is_none() && pod.deleting.is_none() && !pod.is_finished()
}

/// The workload behind a pod: `shop/Deployment frontend`.
pub(super) fn whose(pod: &PodRow) -> String {
    let namespace = &pod.key.namespace;
    match &pod.owner {
        // a mirror pod is owned by its node, so that its own name says more
        Some(owner) if !pod.mirror => format!("{namespace}/{} {}", owner.kind, owner.name),
        _ => format!("{namespace}/{}", pod.key.name),
    }
}

/// ` (CrashLoopBackOff, 7 restarts)`, or nothing.
pub(super) fn why(pod: &PodRow) -> String {
    let waiting = pod.waiting.clone().into_iter();
    let restarts = (pod.restarts > 0).then(|| count(pod.restarts as usize, "restart"));
    let words: Vec<String> = waiting.chain(restarts).collect();
    if words.is_empty() { String::new() } else { format!(" ({})", words.join(", ")) }
}

fn offender(pod: &PodRow, what: String) -> Offender {
    Offender::new("Pod", &pod.key.name, what)
        .within(&pod.key.namespace)
        .of(whose(pod))
        .since(pod.created)
        .on(pod.node.as_ref())
        .hint(format!("kubectl -n {} logs {} --previous", pod.key.namespace, pod.key.name))
}

/// What a static pod is called on every node: its name without the node's.
fn component<'a>(pod: &'a PodRow, row: &NodeRow) -> &'a str {
    let name = pod.key.name.as_str();
    name.strip_suffix(row.name.as_str()).map_or(name, |name| name.trim_end_matches('-'))
}

/// Components that every control plane runs, where any runs them as a static pod.
const EVERYWHERE: [&str; 3] = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// Every static pod of every control-plane node is there, Ready, of the manifest that it was of before, and has not
/// restarted between two readings.
pub(super) fn static_pods(scene: &Scene) -> Gate {
    const ASKS: &str =
        "every static pod of the control planes is Ready, of its manifest, and does not restart";
    let (pods, nodes) = match (&scene.pods, &scene.nodes) {
        (Ok(pods), Ok(nodes)) => (pods, nodes),
        (Err(report), _) | (_, Err(report)) => return unknown(scene, names::STATIC_PODS, ASKS, report),
    };
    let masters: Vec<&NodeRow> = nodes.values().filter(|row| row.is_control_plane()).collect();
    if masters.is_empty() {
        return not_applicable(scene, names::STATIC_PODS, ASKS, "the control plane is managed by others");
    }
    let mirrors = |row: &NodeRow| {
        let name = row.name.clone();
        pods.iter().filter(move |pod| pod.mirror && pod.node.as_ref() == Some(&name))
    };
    let total: usize = masters.iter().map(|row| mirrors(row).count()).sum();
    if total == 0 {
        return not_applicable(scene, names::STATIC_PODS, ASKS, "the control planes run no static pods");
    }
    // how many control planes run each component
    let mut spread: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &masters {
        let own: BTreeSet<&str> = mirrors(row).map(|pod| component(pod, row)).collect();
        for name in own {
            *spread.entry(name).or_default() += 1;
        }
    }
    let mut offenders = Vec::new();
    for row in &masters {
        let own: BTreeSet<&str> = mirrors(row).map(|pod| component(pod, row)).collect();
        let is_due = |(name, on): &(&&str, &usize)| EVERYWHERE.contains(*name) || **on * 2 > masters.len();
        for (name, _) in spread.iter().filter(is_due).filter(|(name, _)| !own.contains(*name)) {
            let what = format!("is missing on {}, other control planes run it", row.name);
            let hint = format!("ssh {} ls /etc/kubernetes/manifests", row.name);
            offenders.push(
                Offender::new("StaticPod", *name, what).of(row.name.as_str()).on(Some(&row.name)).hint(hint),
            );
        }
        offenders.extend(mirrors(row).filter_map(|pod| unsettled(scene, pod)));
    }
    verdict(scene, names::STATIC_PODS, ASKS, offenders, format!("{} Ready", count(total, "static pod")))
}

fn unsettled(scene: &Scene, pod: &PodRow) -> Option<Offender> {
    let key = pod.key.to_string();
    if !pod.ready {
        return Some(offender(pod, format!("is not Ready{}", why(pod))));
    }
    let before = scene.memory().and_then(|memory| memory.manifests.get(&key));
    if let (Some(before), Some(now)) = (before, &pod.manifest)
        && before != now
    {
        let what = format!("runs another manifest than before the reboot ({now}, then {before})");
        return Some(offender(pod, what).hint("compare /etc/kubernetes/manifests with the backup"));
    }
    restarted(scene, pod)
}

/// Every system-critical pod is Ready, apart from those that were not before. (kops counts by priority class, not by
/// namespace.) One that is not placed counts where no node is held back on purpose. None has restarted between two readings.
pub(super) fn critical(scene: &Scene, with_unplaced: bool) -> Gate {
    const ASKS: &str = "every system-critical pod is Ready, apart from those that were not before";
    let pods = match &scene.pods {
        Ok(pods) => pods,
        Err(report) => return unknown(scene, names::CRITICAL_PODS, ASKS, report),
    };
    let none = Baseline::default();
    let baseline = scene.baseline().unwrap_or(&none);
    let critical: Vec<&PodRow> = pods
        .iter()
        .filter(|pod| is_critical(pod) && !pod.is_finished())
        // what is on a node in work goes and comes with it
        .filter(|pod| !pod.node.as_ref().is_some_and(|node| scene.is_beside(node)))
        .collect();
    let unplaced = critical.iter().filter(|pod| is_unplaced(pod)).count();
    let off: Vec<&PodRow> = critical
        .iter()
        .copied()
        // the static pods of control planes have a gate of their own
        .filter(|pod| !(scene.node.is_none() && pod.mirror))
        .filter(|pod| is_off(pod) || (with_unplaced && is_unplaced(pod)))
        .collect();
    let blamed = baseline.blamed(&off, pods);
    let mut offenders: Vec<Offender> = blamed.iter().map(|pod| unwell(pod)).collect();
    offenders.extend(
        critical.iter().filter(|pod| !pod.mirror && pod.ready).filter_map(|pod| restarted(scene, pod)),
    );
    let mut evidence = count(critical.len(), "critical pod");
    if !with_unplaced && unplaced > 0 {
        evidence.push_str(&format!(", {unplaced} not placed on any node"));
    }
    let words = baseline.words();
    if !words.is_empty() {
        evidence.push_str(&format!("; kept apart, as they were before: {}", words.join(", ")));
    }
    verdict(scene, names::CRITICAL_PODS, ASKS, offenders, evidence)
}

fn unwell(pod: &PodRow) -> Offender {
    if is_unplaced(pod) {
        return offender(pod, format!("is not placed on any node{}", why(pod)))
            .hint(format!("kubectl -n {} describe pod {}", pod.key.namespace, pod.key.name));
    }
    offender(pod, format!("is not Ready{}", why(pod)))
}

/// It is Ready in both readings, and was not in between.
fn restarted(scene: &Scene, pod: &PodRow) -> Option<Offender> {
    let then = scene.steady()?.restarts.get(&pod.key.to_string())?;
    (pod.restarts > *then).then(|| {
        offender(pod, format!("restarted between two readings ({then}, then {} times)", pod.restarts))
    })
}
