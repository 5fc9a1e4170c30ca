//! The scheduler: binds pods to nodes that accept them, and says why none does, in kube-scheduler's words.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};

use super::attachments;
use super::desk::Desk;
use super::fit::{is_crowded, keeps_apart, reaches, rivals, shortage, tied_volumes};
use super::node_status::capacity;
use super::read::{
    Key, controller_uid, is_active, is_deleting, is_terminal, items, name, node_of, set_condition, text,
};
use super::select::{accepts_node, labels, repelling_taint, soft_taints};
use super::{Change, Controller};
use crate::sim::scenario::ZONE;
use crate::sim::store::resources::{NODES, PODS};
use crate::sim::store::{ChangeKind, Object};

const COMPONENT: &str = "default-scheduler";

/// The scheduler. A key names a pod.
#[derive(Default)]
pub struct Scheduler {
    nodes: BTreeMap<String, Object>,
    waiting: BTreeSet<Key>,
    /// Bound pods that keep others away.
    avoiding: BTreeSet<Key>,
}

impl Controller for Scheduler {
    fn name(&self) -> &'static str {
        "scheduler"
    }

    fn observe(&mut self, change: &Change, desk: &mut Desk) {
        let object = &change.object;
        if *change.resource == NODES {
            let fate = |node: &Object| (node["spec"].clone(), labels(node).clone());
            let is_news = change.kind != ChangeKind::Modified
                || change.previous.as_ref().is_none_or(|previous| fate(previous) != fate(object));
            if change.kind == ChangeKind::Deleted {
                self.nodes.remove(name(object));
            } else {
                self.nodes.insert(name(object).to_owned(), object.clone());
            }
            if is_news {
                self.retry(desk);
            }
        } else if *change.resource == PODS {
            self.observe_pod(change, desk);
        }
    }

    fn sync(&mut self, key: &Key, desk: &mut Desk) {
        let Some(pod) = desk.index.pod(key).filter(|pod| is_unbound(pod)).cloned() else {
            self.waiting.remove(key);
            return;
        };
        match self.choose(&pod, desk) {
            Ok(node) => {
                self.waiting.remove(key);
                bind(desk, key, &pod, &node);
                attachments::provision(desk, &pod, &node);
            }
            Err(why) => {
                self.waiting.insert(key.clone());
                refuse(desk, key, &pod, &why);
            }
        }
    }
}

impl Scheduler {
    /// How many of these siblings each zone has.
    fn zones(&self, siblings: &HashMap<&str, usize>) -> HashMap<&str, usize> {
        let mut zones = HashMap::new();
        for (name, node) in &self.nodes {
            if let Some(zone) = zone(node) {
                *zones.entry(zone).or_default() += siblings.get(name.as_str()).copied().unwrap_or_default();
            }
        }
        zones
    }

    fn observe_pod(&mut self, change: &Change, desk: &mut Desk) {
        let pod = &change.object;
        if change.kind == ChangeKind::Deleted || is_terminal(pod) {
            self.waiting.remove(&Key::of(pod));
            self.avoiding.remove(&Key::of(pod));
            if !node_of(pod).is_empty() {
                self.retry(desk); // there is room now
            }
        } else if is_unbound(pod) && change.kind == ChangeKind::Added {
            desk.mark(Key::of(pod));
        } else if !node_of(pod).is_empty() && keeps_apart(pod) {
            self.avoiding.insert(Key::of(pod));
        }
    }

    fn retry(&self, desk: &mut Desk) {
        for key in &self.waiting {
            desk.mark(key.clone());
        }
    }

    /// The node with the fewest soft taints that the pod does not tolerate (the scheduler weighs them most), of these the one
    /// with the fewest pods of the same owner, then the one in the zone with the fewest, then the one with the
    /// fewest pods; or why there is none.
    fn choose(&self, pod: &Object, desk: &Desk) -> Result<String, String> {
        let siblings = siblings(pod, desk);
        let zones = self.zones(&siblings);
        let least_in_a_zone = zones.values().min().copied().unwrap_or_default();
        let rivals = rivals(pod, desk, &self.nodes, &self.avoiding);
        let volumes = tied_volumes(pod, desk);
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        let mut best: Option<((usize, usize, usize), &str)> = None;
        for (count, name) in desk.index.nodes_by_load() {
            let Some(node) = self.nodes.get(name) else { continue };
            let reason = obstacle(&pod["spec"], node, count, &rivals)
                .or_else(|| shortage(pod, node, || desk.index.pods_on(name).cloned().collect()))
                .or_else(|| {
                    let is_away = volumes.iter().any(|volume| !reaches(volume, node));
                    is_away.then(|| "node(s) had volume node affinity conflict".to_owned())
                })
                .or_else(|| {
                    is_crowded(pod, node, desk, &self.nodes)
                        .then(|| "node(s) didn't match pod topology spread constraints".to_owned())
                });
            if let Some(reason) = reason {
                *reasons.entry(reason).or_default() += 1;
                continue;
            }
            let around = zone(node).and_then(|zone| zones.get(zone)).copied().unwrap_or_default();
            let soft = soft_taints(&pod["spec"], node);
            let company = (soft, siblings.get(name).copied().unwrap_or_default(), around);
            if best.is_none_or(|(least, _)| company < least) {
                best = Some((company, name));
            }
            if company == (0, 0, least_in_a_zone) {
                break; // the emptiest node without a sibling, in the emptiest zone: none can be better
            }
        }
        best.map(|(_, name)| name.to_owned()).ok_or_else(|| explain(self.nodes.len(), &reasons))
    }
}

fn zone(node: &Value) -> Option<&str> {
    labels(node)[ZONE].as_str()
}

fn is_unbound(pod: &Value) -> bool {
    node_of(pod).is_empty() && !is_deleting(pod) && !is_terminal(pod)
}

/// How many pods of the same owner each node has.
fn siblings<'a>(pod: &Value, desk: &'a Desk) -> HashMap<&'a str, usize> {
    let mut counts = HashMap::new();
    let owner = controller_uid(pod);
    if !owner.is_empty() {
        for sibling in desk.index.pods_of(owner).filter(|sibling| is_active(sibling)) {
            *counts.entry(node_of(sibling)).or_default() += 1;
        }
    }
    counts
}

/// What keeps a pod off a node, in the order and words of kube-scheduler's filters.
fn obstacle(spec: &Value, node: &Value, count: usize, rivals: &BTreeSet<(String, String)>) -> Option<String> {
    let tolerates_cordon = super::select::tolerates(
        items(spec, "/tolerations"),
        &json!({ "key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule" }),
    );
    if node["spec"]["unschedulable"] == true && !tolerates_cordon {
        return Some("node(s) were unschedulable".to_owned());
    }
    if let Some(taint) = repelling_taint(spec, node) {
        let (key, value) = (text(taint, "/key"), text(taint, "/value"));
        return Some(format!("node(s) had untolerated taint {{{key}: {value}}}"));
    }
    if !accepts_node(spec, node) {
        return Some("node(s) didn't match Pod's node affinity/selector".to_owned());
    }
    if count >= capacity(node) {
        return Some("Too many pods".to_owned());
    }
    let is_near = rivals.iter().any(|(key, value)| labels(node)[key.as_str()] == value.as_str());
    is_near.then(|| "node(s) didn't match pod anti-affinity rules".to_owned())
}

/// `0/6 nodes are available: 3 node(s) were unschedulable, ...`.
fn explain(total: usize, reasons: &BTreeMap<String, usize>) -> String {
    if total == 0 {
        return "no nodes available to schedule pods".to_owned();
    }
    let mut all: Vec<String> = reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    all.sort();
    // nodes of which a pod could be preempted to no avail, as against those where preemption cannot change anything
    let full: usize = [
        "Too many pods",
        "Insufficient cpu",
        "Insufficient memory",
        "node(s) didn't match pod anti-affinity rules",
    ]
    .iter()
    .filter_map(|reason| reasons.get(*reason))
    .sum();
    let mut preemption = Vec::new();
    if full > 0 {
        preemption.push(format!("{full} No preemption victims found for incoming pod"));
    }
    if total > full {
        preemption.push(format!("{} Preemption is not helpful for scheduling", total - full));
    }
    format!(
        "0/{total} nodes are available: {}. preemption: 0/{total} nodes are available: {}.",
        all.join(", "),
        preemption.join(", ")
    )
}

fn bind(desk: &mut Desk, key: &Key, pod: &Object, node: &str) {
    let now = desk.stamp(&key.name);
    desk.modify(&PODS, key, |pod| {
        if node_of(pod).is_empty() {
            pod["spec"]["nodeName"] = node.into();
            set_condition(pod, json!({ "type": "PodScheduled", "status": "True" }), &now);
            for state in pod["status"]["conditions"].as_array_mut().into_iter().flatten() {
                if let Some(fields) = state.as_object_mut().filter(|fields| fields["type"] == "PodScheduled")
                {
                    fields.remove("reason");
                    fields.remove("message");
                }
            }
        }
    });
    desk.tell(pod, "Scheduled", &format!("Successfully assigned {key} to {node}"), COMPONENT);
}

fn refuse(desk: &mut Desk, key: &Key, pod: &Object, why: &str) {
    let now = desk.stamp(&key.name);
    let state =
        json!({ "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": why });
    let written = desk.modify(&PODS, key, |pod| set_condition(pod, state, &now));
    if written
        .is_some_and(|written| written["metadata"]["resourceVersion"] != pod["metadata"]["resourceVersion"])
    {
        desk.warn(pod, "FailedScheduling", why, COMPONENT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, spec: &Value) -> Value {
        json!({ "metadata": { "name": name, "labels": { "kubernetes.io/hostname": name } }, "spec": spec,
                "status": { "allocatable": { "pods": "3" } } })
    }

    #[test]
    fn says_what_keeps_a_pod_off_a_node() {
        let free = BTreeSet::new();
        let tainted =
            json!({ "taints": [{ "key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule" }] });
        let cordoned = json!({ "unschedulable": true,
            "taints": [{ "key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule" }] });
        let elsewhere = json!({ "nodeSelector": { "kubernetes.io/hostname": "b" } });
        for (spec, of_node, count, expected) in [
            (json!({}), json!({}), 0, None),
            (json!({}), cordoned, 0, Some("node(s) were unschedulable")),
            (
                json!({}),
                tainted,
                0,
                Some("node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }"),
            ),
            (elsewhere, json!({}), 0, Some("node(s) didn't match Pod's node affinity/selector")),
            (json!({}), json!({}), 3, Some("Too many pods")),
        ] {
            assert_eq!(obstacle(&spec, &node("a", &of_node), count, &free).as_deref(), expected);
        }
        let rivals = BTreeSet::from([("kubernetes.io/hostname".to_owned(), "a".to_owned())]);
        assert!(obstacle(&json!({}), &node("a", &json!({})), 0, &rivals).is_some());
    }

    #[test]
    fn words_the_refusal_as_kube_scheduler_does() {
        let reasons = BTreeMap::from([
            ("node(s) were unschedulable".to_owned(), 3),
            ("node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }".to_owned(), 3),
        ]);
        assert_eq!(
            explain(6, &reasons),
            "0/6 nodes are available: 3 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, \
             3 node(s) were unschedulable. preemption: 0/6 nodes are available: 6 Preemption is not helpful for \
             scheduling."
        );
    }
}
