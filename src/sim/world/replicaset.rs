//! ReplicaSets: as many pods as wanted; who goes first on the way down (`controller_utils.go` `ActivePodsWithRanks`).

use std::collections::HashMap;

use serde_json::{Value, json};

use super::desk::Desk;
use super::read::{
    Key, annotation, condition, controller_of, controller_uid, generation, is_active, is_deleting, is_ready,
    name, node_of, phase, replicas, text, uid,
};
use super::{Change, Controller, pods};
use crate::sim::store::Object;
use crate::sim::store::resources::{PODS, REPLICA_SETS};

const COMPONENT: &str = "replicaset-controller";

/// The controller. A key names a ReplicaSet.
pub struct ReplicaSets;

impl Controller for ReplicaSets {
    fn name(&self) -> &'static str {
        "replicaset"
    }

    fn observe(&mut self, change: &Change, desk: &mut Desk) {
        mark_owner(change, desk, &REPLICA_SETS);
    }

    fn sync(&mut self, key: &Key, desk: &mut Desk) {
        let Some(set) = desk.get(&REPLICA_SETS, key) else { return };
        let pods: Vec<Object> = desk.index.pods_of(uid(&set)).filter(|pod| is_active(pod)).cloned().collect();
        if !is_deleting(&set) {
            adjust(desk, &set, &pods);
        }
        write_status(desk, key, &set);
    }
}

/// Marks the object itself, or the owner of that kind of a changed pod.
pub fn mark_owner(
    change: &Change,
    desk: &mut Desk,
    resource: &'static crate::sim::store::resources::Resource,
) {
    if *change.resource == *resource {
        desk.mark(Key::of(&change.object));
    } else if *change.resource == PODS {
        mark_owner_of(&change.object, desk, resource.kind);
    }
}

/// Marks the controller of an object when it is of that kind.
pub fn mark_owner_of(object: &Value, desk: &mut Desk, kind: &str) {
    if let Some(owner) = controller_of(object).filter(|owner| text(owner, "/kind") == kind) {
        desk.mark(Key::new(text(object, "/metadata/namespace"), text(owner, "/name")));
    }
}

fn adjust(desk: &mut Desk, set: &Object, pods: &[Object]) {
    let wanted = usize::try_from(replicas(set)).unwrap_or_default();
    if pods.len() < wanted {
        for _ in pods.len()..wanted {
            let pod = pods::from_template(desk, &REPLICA_SETS, set, &format!("{}-", name(set)));
            if let Some(pod) = desk.create(&PODS, pod) {
                desk.tell(set, "SuccessfulCreate", &format!("Created pod: {}", name(&pod)), COMPONENT);
            }
        }
    } else if pods.len() > wanted {
        let mut ranked = pods.to_vec();
        sort_victims(&mut ranked);
        for pod in &ranked[..pods.len() - wanted] {
            desk.delete(&PODS, &Key::of(pod), uid(pod));
            desk.tell(set, "SuccessfulDelete", &format!("Deleted pod: {}", name(pod)), COMPONENT);
        }
    }
}

/// Sorts pods so that those to be deleted first come first.
pub fn sort_victims(pods: &mut [Object]) {
    let mut together: HashMap<String, usize> = HashMap::new();
    for pod in pods.iter() {
        *together.entry(node_of(pod).to_owned()).or_default() += 1;
    }
    pods.sort_by_cached_key(|pod| {
        let stage = match phase(pod) {
            "Pending" | "" => 0,
            "Unknown" => 1,
            _ => 2,
        };
        let cost: i64 =
            annotation(pod, "controller.kubernetes.io/pod-deletion-cost").parse().unwrap_or_default();
        let doubled = together.get(node_of(pod)).copied().unwrap_or_default();
        let ready_since =
            condition(pod, "Ready").map_or("", |ready| text(ready, "/lastTransitionTime")).to_owned();
        (
            !node_of(pod).is_empty(),
            stage,
            is_ready(pod),
            cost,
            std::cmp::Reverse(doubled),
            std::cmp::Reverse(ready_since),
            std::cmp::Reverse(pods::restarts(pod)),
            std::cmp::Reverse(text(pod, "/metadata/creationTimestamp").to_owned()),
        )
    });
}

fn write_status(desk: &mut Desk, key: &Key, set: &Object) {
    let pods: Vec<Object> = desk.index.pods_of(uid(set)).filter(|pod| is_active(pod)).cloned().collect();
    let ready = pods.iter().filter(|pod| is_ready(pod)).count();
    let available = available(desk, key, set, &pods);
    desk.modify(&REPLICA_SETS, key, |set| {
        let observed = generation(set);
        let mut status = json!({
            "replicas": pods.len(), "fullyLabeledReplicas": pods.len(), "observedGeneration": observed,
        });
        for (field, count) in [("readyReplicas", ready), ("availableReplicas", available)] {
            if count > 0 {
                status[field] = count.into();
            }
        }
        set["status"] = status;
    });
}

/// Pods that have been Ready for `minReadySeconds`; the owner is looked at again when the next one has.
pub fn available(desk: &mut Desk, key: &Key, owner: &Value, pods: &[Object]) -> usize {
    let least = owner["spec"]["minReadySeconds"].as_u64().unwrap_or_default();
    let ready = pods.iter().filter(|pod| is_ready(pod));
    if least == 0 || desk.is_settling() {
        return ready.count();
    }
    let least = desk.delay(std::time::Duration::from_secs(least));
    let since =
        |pod: &Object| condition(pod, "Ready").map_or("", |c| text(c, "/lastTransitionTime")).to_owned();
    let ages: Vec<std::time::Duration> = ready.map(|pod| desk.age(&since(pod))).collect();
    if let Some(age) = ages.iter().filter(|age| **age < least).max() {
        desk.mark_at(key.clone(), tokio::time::Instant::now() + least.saturating_sub(*age));
    }
    ages.iter().filter(|age| **age >= least).count()
}

/// Whether an owner of that uid controls the object.
pub fn is_owned_by(object: &Value, owner: &Value) -> bool {
    controller_uid(object) == uid(owner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, node: &str, ready: bool, since: &str, cost: &str) -> Object {
        Object::new(json!({
            "metadata": { "name": name, "creationTimestamp": "2026-01-01T00:00:00Z",
                          "annotations": { "controller.kubernetes.io/pod-deletion-cost": cost } },
            "spec": { "nodeName": node },
            "status": { "phase": "Running", "conditions": [
                { "type": "Ready", "status": if ready { "True" } else { "False" }, "lastTransitionTime": since } ] },
        }))
    }

    #[test]
    fn victims_are_unready_cheap_crowded_and_young() {
        let old = "2026-01-01T00:00:00Z";
        let mut pods = vec![
            pod("old", "a", true, old, "0"),
            pod("young", "b", true, "2026-02-01T00:00:00Z", "0"),
            pod("crowded", "c", true, old, "0"),
            pod("crowded-too", "c", true, old, "0"),
            pod("cheap", "d", true, old, "-5"),
            pod("unready", "e", false, old, "0"),
            pod("unbound", "", false, old, "0"),
        ];
        sort_victims(&mut pods);
        let names: Vec<&str> = pods.iter().map(|pod| name(pod)).collect();
        assert_eq!(names, ["unbound", "unready", "cheap", "crowded", "crowded-too", "young", "old"]);
    }
}
