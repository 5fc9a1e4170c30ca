//! DaemonSets: one pod on each node that accepts it, cordoned or not.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::desk::Desk;
use super::read::{
    Key, generation, is_deleting, is_ready, is_terminal, items, letters, name, node_of, scaled, text, uid,
};
use super::replicaset::mark_owner;
use super::select::{accepts_node, repelling_taint};
use super::{Change, Controller, pods};
use crate::sim::store::resources::{DAEMON_SETS, NODES, PODS};
use crate::sim::store::{ChangeKind, Object};

const COMPONENT: &str = "daemonset-controller";
const REVISION: &str = "controller-revision-hash";

/// The controller. A key names a DaemonSet.
pub struct DaemonSets;

impl Controller for DaemonSets {
    fn name(&self) -> &'static str {
        "daemonset"
    }

    fn observe(&mut self, change: &Change, desk: &mut Desk) {
        if *change.resource == NODES {
            let fate = |node: &Object| (node["spec"].clone(), node["metadata"]["labels"].clone());
            let is_news = change.kind != ChangeKind::Modified
                || change.previous.as_ref().is_none_or(|previous| fate(previous) != fate(&change.object));
            if is_news {
                for set in desk.store.list(&DAEMON_SETS, None) {
                    desk.mark(Key::of(&set));
                }
            }
        } else {
            mark_owner(change, desk, &DAEMON_SETS);
        }
    }

    fn sync(&mut self, key: &Key, desk: &mut Desk) {
        let Some(set) = desk.get(&DAEMON_SETS, key) else { return };
        let nodes = desk.store.list(&NODES, None);
        let mut by_node: BTreeMap<String, Vec<Object>> = BTreeMap::new();
        for pod in desk.index.pods_of(uid(&set)) {
            by_node.entry(target(pod)).or_default().push(pod.clone());
        }
        let spec = spec(&set);
        let accepting: Vec<&Object> = nodes
            .iter()
            .filter(|node| accepts_node(&spec, node) && repelling_taint(&spec, node).is_none())
            .collect();
        if !is_deleting(&set) {
            place(desk, &set, &accepting, &by_node);
            update(desk, &set, &accepting, &by_node);
        }
        write_status(desk, key, &set, &accepting, &by_node);
    }
}

/// The template's spec with the tolerations that every pod of a DaemonSet gets.
fn spec(set: &Value) -> Value {
    let mut spec = set["spec"]["template"]["spec"].clone();
    let mut tolerations = items(&spec, "/tolerations").to_vec();
    for (key, effect) in [
        ("not-ready", "NoExecute"),
        ("unreachable", "NoExecute"),
        ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("pid-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
        ("not-ready", "NoSchedule"),
        ("unreachable", "NoSchedule"),
    ] {
        tolerations.push(
            json!({ "key": format!("node.kubernetes.io/{key}"), "operator": "Exists", "effect": effect }),
        );
    }
    spec["tolerations"] = tolerations.into();
    spec
}

/// The node a pod is on or is meant for.
fn target(pod: &Value) -> String {
    if !node_of(pod).is_empty() {
        return node_of(pod).to_owned();
    }
    let terms =
        "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
    text(pod, &format!("{terms}/0/matchFields/0/values/0")).to_owned()
}

fn revision(set: &Value) -> String {
    letters(&set["spec"]["template"].to_string(), 10)
}

fn place(desk: &mut Desk, set: &Object, accepting: &[&Object], by_node: &BTreeMap<String, Vec<Object>>) {
    for node in accepting {
        let present = by_node.get(name(node)).map_or(&[][..], Vec::as_slice);
        for failed in present.iter().filter(|pod| is_terminal(pod) && !is_deleting(pod)) {
            let message = format!(
                "Found failed daemon pod {} on node {}, will try to kill it",
                Key::of(failed),
                name(node)
            );
            desk.warn(set, "FailedDaemonPod", &message, COMPONENT);
            desk.delete(&PODS, &Key::of(failed), uid(failed));
        }
        if present.is_empty() {
            create(desk, set, name(node));
        }
    }
    for (node, pods) in by_node {
        let is_wanted = accepting.iter().any(|accepted| name(accepted) == node);
        for pod in pods.iter().filter(|pod| !is_wanted && !is_deleting(pod)) {
            desk.delete(&PODS, &Key::of(pod), uid(pod));
            desk.tell(set, "SuccessfulDelete", &format!("Deleted pod: {}", name(pod)), COMPONENT);
        }
    }
}

fn create(desk: &mut Desk, set: &Object, node: &str) {
    let mut pod = pods::from_template(desk, &DAEMON_SETS, set, &format!("{}-", name(set)));
    pod["metadata"]["labels"][REVISION] = revision(set).into();
    let mut spec_with_tolerations = spec(set);
    pod["spec"]["tolerations"] = spec_with_tolerations["tolerations"].take();
    pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = json!({
        "nodeSelectorTerms": [{ "matchFields": [{ "key": "metadata.name", "operator": "In", "values": [node] }] }],
    });
    if let Some(pod) = desk.create(&PODS, pod) {
        desk.tell(set, "SuccessfulCreate", &format!("Created pod: {}", name(&pod)), COMPONENT);
    }
}

/// RollingUpdate: as many old pods go as may be unavailable at a time.
fn update(desk: &mut Desk, set: &Object, accepting: &[&Object], by_node: &BTreeMap<String, Vec<Object>>) {
    if text(set, "/spec/updateStrategy/type") == "OnDelete" {
        return;
    }
    let most = &set["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"];
    let total = i64::try_from(accepting.len()).unwrap_or(i64::MAX);
    let most = if most.is_null() { 1 } else { scaled(most, total, true).unwrap_or(1).max(1) };
    let revision = revision(set);
    let pods: Vec<&Object> = accepting.iter().filter_map(|node| by_node.get(name(node))?.first()).collect();
    let away =
        pods.iter().filter(|pod| is_deleting(pod) || !is_ready(pod)).count() + accepting.len() - pods.len();
    let mut left = most - i64::try_from(away).unwrap_or(i64::MAX);
    for pod in pods {
        let is_old = pod["metadata"]["labels"][REVISION] != revision.as_str() && !is_deleting(pod);
        if is_old && (left > 0 || !is_ready(pod)) {
            left -= i64::from(is_ready(pod));
            desk.delete(&PODS, &Key::of(pod), uid(pod));
            desk.tell(set, "SuccessfulDelete", &format!("Deleted pod: {}", name(pod)), COMPONENT);
        }
    }
}

fn write_status(
    desk: &Desk,
    key: &Key,
    set: &Object,
    accepting: &[&Object],
    by_node: &BTreeMap<String, Vec<Object>>,
) {
    let revision = revision(set);
    let (mut current, mut ready, mut updated) = (0, 0, 0);
    for pod in accepting.iter().filter_map(|node| by_node.get(name(node))?.first()) {
        current += 1;
        ready += i64::from(is_ready(pod));
        updated += i64::from(pod["metadata"]["labels"][REVISION] == revision.as_str());
    }
    let misplaced =
        by_node.keys().filter(|node| !accepting.iter().any(|accepted| name(accepted) == *node)).count();
    let observed = generation(set);
    let desired = i64::try_from(accepting.len()).unwrap_or(i64::MAX);
    desk.modify(&DAEMON_SETS, key, |set| {
        set["status"] = json!({
            "observedGeneration": observed, "desiredNumberScheduled": desired, "currentNumberScheduled": current,
            "numberMisscheduled": misplaced, "numberReady": ready, "updatedNumberScheduled": updated,
        });
        if ready > 0 {
            set["status"]["numberAvailable"] = ready.into();
        }
        if desired > ready {
            set["status"]["numberUnavailable"] = (desired - ready).into();
        }
    });
}
