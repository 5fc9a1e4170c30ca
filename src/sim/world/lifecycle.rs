//! The node lifecycle controller: a node whose kubelet is silent becomes Unknown after the grace period, taints follow
//! conditions and cordons, pods that do not tolerate them are deleted; pods of nodes that are gone are removed.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::desk::Desk;
use super::nodes::LEASE_NAMESPACE;
use super::read::{Key, condition, int, is_active, is_ready, items, name, node_of, set_condition, text, uid};
use super::select::toleration_covers;
use super::{Change, Controller};
use crate::sim::store::resources::{LEASES, NODES, PODS};
use crate::sim::store::{ChangeKind, Object};

const COMPONENT: &str = "node-controller";
/// How long pods of a node that is gone are left alone (`quarantineTime` of the pod garbage collector).
const QUARANTINE: Duration = Duration::from_secs(40);
/// What becomes Unknown with a silent kubelet.
const REPORTED: [&str; 4] = ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"];

/// The controller. A key without a namespace names a node, one with a namespace a pod.
#[derive(Default)]
pub struct Lifecycle {
    heard: HashMap<String, Instant>,
    evict_at: HashMap<String, Instant>,
    orphaned: HashMap<String, Instant>,
}

impl Controller for Lifecycle {
    fn name(&self) -> &'static str {
        "node-lifecycle"
    }

    fn observe(&mut self, change: &Change, desk: &mut Desk) {
        let object = &change.object;
        if *change.resource == LEASES {
            if text(object, "/metadata/namespace") == LEASE_NAMESPACE && change.kind != ChangeKind::Deleted {
                let is_news = self.heard.insert(name(object).to_owned(), Instant::now()).is_none();
                let is_unknown = !is_news && desk.is_settling();
                if is_unknown {
                    desk.mark(Key::cluster(name(object)));
                }
            }
        } else if *change.resource == NODES {
            desk.mark(Key::cluster(name(object)));
        } else if *change.resource == PODS && !node_of(object).is_empty() {
            if change.kind == ChangeKind::Deleted {
                self.evict_at.remove(uid(object));
                self.orphaned.remove(uid(object));
            } else {
                desk.mark(Key::of(object));
            }
        }
    }

    fn sync(&mut self, key: &Key, desk: &mut Desk) {
        if key.namespace.is_empty() {
            self.sync_node(key, desk);
        } else if let Some(pod) = desk.index.pod(key).cloned() {
            self.sync_pod(key, &pod, desk);
        }
    }

    /// After an absence every kubelet gets the whole grace period again.
    fn resume(&mut self, desk: &mut Desk) {
        let now = Instant::now();
        for (node, heard) in &mut self.heard {
            *heard = now;
            desk.mark(Key::cluster(node));
        }
    }
}

impl Lifecycle {
    fn sync_node(&mut self, key: &Key, desk: &mut Desk) {
        let Some(node) = desk.get(&NODES, key) else {
            self.heard.remove(&key.name);
            mark_pods(desk, &key.name);
            return;
        };
        let is_known = condition(&node, "Ready").is_none_or(|ready| ready["status"] != "Unknown");
        if self.is_silent(key, desk) && is_known {
            lose(desk, key, &node);
        }
        let Some(node) = desk.get(&NODES, key) else { return };
        let wanted = taints(desk, &node);
        if wanted != items(&node, "/spec/taints") {
            desk.modify(&NODES, key, |node| set_taints(node, wanted));
            mark_pods(desk, &key.name);
        }
    }

    /// Whether the kubelet has been silent for the grace period; if not, the node is looked at when it may be.
    fn is_silent(&mut self, key: &Key, desk: &mut Desk) -> bool {
        if desk.is_settling() {
            return !desk.kubelets.contains(&key.name);
        }
        let heard = *self.heard.entry(key.name.clone()).or_insert_with(Instant::now);
        let until = heard + desk.delay(desk.timings.node_grace);
        if until > Instant::now() {
            desk.mark_at(key.clone(), until);
        }
        until <= Instant::now()
    }

    fn sync_pod(&mut self, key: &Key, pod: &Object, desk: &mut Desk) {
        let Some(node) = desk.get(&NODES, &Key::cluster(node_of(pod))) else {
            let at = *self.orphaned.entry(uid(pod).to_owned()).or_insert_with(|| desk.moment(QUARANTINE));
            if at <= Instant::now() {
                desk.delete_now(key, uid(pod));
            } else {
                desk.mark_at(key.clone(), at);
            }
            return;
        };
        self.orphaned.remove(uid(pod));
        let patience = if is_active(pod) { patience(pod, &node) } else { None };
        let Some(patience) = patience else {
            self.evict_at.remove(uid(pod));
            return;
        };
        let at = *self.evict_at.entry(uid(pod).to_owned()).or_insert_with(|| desk.moment(patience));
        if at > Instant::now() {
            desk.mark_at(key.clone(), at);
            return;
        }
        let message = format!("Marking for deletion Pod {key}");
        desk.tell(pod, "TaintManagerEviction", &message, "taint-eviction-controller");
        desk.delete(&PODS, key, uid(pod));
    }
}

fn mark_pods(desk: &mut Desk, node: &str) {
    let keys: Vec<Key> = desk.index.pods_on(node).map(|pod| Key::of(pod)).collect();
    for key in keys {
        desk.mark(key);
    }
}

/// Conditions become Unknown, pods are no longer Ready.
fn lose(desk: &mut Desk, key: &Key, node: &Object) {
    let now = desk.stamp(&key.name);
    desk.modify(&NODES, key, |node| {
        for kind in REPORTED {
            let state = json!({
                "type": kind, "status": "Unknown", "reason": "NodeStatusUnknown",
                "message": "Kubelet stopped posting node status.",
            });
            set_condition(node, state, &now);
        }
    });
    let message = format!("Node {} status is now: NodeNotReady", key.name);
    desk.tell(node, "NodeNotReady", &message, COMPONENT);
    let pods: Vec<Object> = desk.index.pods_on(&key.name).filter(|pod| is_ready(pod)).cloned().collect();
    for pod in pods {
        desk.modify(&PODS, &Key::of(&pod), |pod| {
            set_condition(pod, json!({ "type": "Ready", "status": "False" }), &now);
        });
        desk.warn(&pod, "NodeNotReady", "Node is not ready", COMPONENT);
    }
}

/// The taints that a node is to have: foreign ones as they are, its own by cordon and condition.
fn taints(desk: &Desk, node: &Value) -> Vec<Value> {
    let present = items(node, "/spec/taints");
    let ready = condition(node, "Ready").map_or("Unknown", |ready| text(ready, "/status"));
    let (not_ready, unreachable) = (ready == "False", ready == "Unknown");
    let own = [
        ("node.kubernetes.io/unschedulable", "NoSchedule", node["spec"]["unschedulable"] == true),
        ("node.kubernetes.io/not-ready", "NoSchedule", not_ready),
        ("node.kubernetes.io/not-ready", "NoExecute", not_ready),
        ("node.kubernetes.io/unreachable", "NoSchedule", unreachable),
        ("node.kubernetes.io/unreachable", "NoExecute", unreachable),
    ];
    let is_own =
        |taint: &Value| own.iter().any(|(key, effect, _)| taint["key"] == *key && taint["effect"] == *effect);
    let mut wanted: Vec<Value> = present.iter().filter(|taint| !is_own(taint)).cloned().collect();
    for (key, effect, applies) in own {
        if !applies {
            continue;
        }
        let here = present.iter().find(|taint| taint["key"] == key && taint["effect"] == effect);
        let fresh = || json!({ "key": key, "effect": effect, "timeAdded": desk.stamp(name(node)) });
        wanted.push(here.cloned().unwrap_or_else(fresh));
    }
    wanted
}

fn set_taints(node: &mut Value, taints: Vec<Value>) {
    if let Some(spec) = node["spec"].as_object_mut() {
        if taints.is_empty() {
            spec.remove("taints");
        } else {
            spec.insert("taints".to_owned(), taints.into());
        }
    }
}

/// How long a pod bears the NoExecute taints of its node: none when for ever, zero when it does not tolerate one.
fn patience(pod: &Value, node: &Value) -> Option<Duration> {
    let tolerations = items(pod, "/spec/tolerations");
    let mut least = None::<Duration>;
    for taint in items(node, "/spec/taints").iter().filter(|taint| taint["effect"] == "NoExecute") {
        let covering: Vec<&Value> = tolerations.iter().filter(|t| toleration_covers(t, taint)).collect();
        if covering.is_empty() {
            return Some(Duration::ZERO);
        }
        let seconds = covering.iter().filter_map(|t| int(t, "/tolerationSeconds")).min();
        let Some(seconds) = seconds else { continue };
        let length = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        least = Some(least.map_or(length, |least| least.min(length)));
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_is_the_shortest_toleration() {
        let node = json!({ "spec": { "taints": [
            { "key": "node.kubernetes.io/unreachable", "effect": "NoExecute" },
            { "key": "other", "effect": "NoSchedule" } ] } });
        let pod = |tolerations: Value| json!({ "spec": { "tolerations": tolerations } });
        assert_eq!(patience(&pod(json!([])), &node), Some(Duration::ZERO));
        assert_eq!(patience(&pod(json!([{ "operator": "Exists" }])), &node), None);
        let own = json!([{ "key": "node.kubernetes.io/unreachable", "operator": "Exists", "tolerationSeconds": 300 }]);
        assert_eq!(patience(&pod(own), &node), Some(Duration::from_mins(5)));
    }
}
