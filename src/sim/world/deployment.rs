//! Deployments: one ReplicaSet per template, replaced by Recreate or RollingUpdate.

use serde_json::{Value, json};

use super::desk::{Desk, owner_reference};
use super::read::{
    Key, annotation, generation, int, is_deleting, letters, name, replicas, set_condition, text, uid,
};
use super::replicaset::{is_owned_by, mark_owner_of};
use super::rollout::{self, Set};
use super::{Change, Controller};
use crate::sim::store::Object;
use crate::sim::store::resources::{DEPLOYMENTS, REPLICA_SETS};

const COMPONENT: &str = "deployment-controller";
const REVISION: &str = "deployment.kubernetes.io/revision";
/// Label and selector that tell the ReplicaSets of a Deployment apart.
const HASH: &str = "pod-template-hash";

/// The controller. A key names a Deployment.
pub struct Deployments;

impl Controller for Deployments {
    fn name(&self) -> &'static str {
        "deployment"
    }

    fn observe(&mut self, change: &Change, desk: &mut Desk) {
        if *change.resource == DEPLOYMENTS {
            desk.mark(Key::of(&change.object));
        } else if *change.resource == REPLICA_SETS {
            mark_owner_of(&change.object, desk, DEPLOYMENTS.kind);
        }
    }

    fn sync(&mut self, key: &Key, desk: &mut Desk) {
        let Some(deployment) = desk.get(&DEPLOYMENTS, key) else { return };
        if is_deleting(&deployment) {
            return;
        }
        let mut sets = desk.store.list(&REPLICA_SETS, Some(&key.namespace));
        sets.retain(|set| is_owned_by(set, &deployment));
        let place = sets.iter().position(|set| is_same_template(set, &deployment));
        let paused = deployment["spec"]["paused"] == true;
        let new = match place {
            Some(place) => Some(sets.remove(place)),
            None if paused => None,
            None => create_set(desk, &deployment, &sets),
        };
        if !paused && let Some(new) = &new {
            keep_revision(desk, &deployment, new, &sets);
            replace(desk, &deployment, new, &sets);
            clean_up(desk, &deployment, &sets);
        }
        write_status(desk, key, &deployment, new.as_ref(), &sets);
    }
}

/// Whether a ReplicaSet runs the Deployment's present template (`EqualIgnoreHash`).
fn is_same_template(set: &Value, deployment: &Value) -> bool {
    let mut template = set["spec"]["template"].clone();
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        labels.remove(HASH);
    }
    strip(&template) == strip(&deployment["spec"]["template"])
}

/// A template without its empty fields.
fn strip(template: &Value) -> Value {
    let mut template = template.clone();
    if let Some(metadata) = template["metadata"].as_object_mut() {
        metadata.retain(|_, value| !value.is_null() && value.as_object().is_none_or(|map| !map.is_empty()));
    }
    template
}

fn create_set(desk: &mut Desk, deployment: &Object, others: &[Object]) -> Option<Object> {
    let template = strip(&deployment["spec"]["template"]);
    let hash = letters(&template.to_string(), 10);
    let mut template = template;
    template["metadata"]["labels"][HASH] = hash.clone().into();
    let mut selector = deployment["spec"]["selector"].clone();
    selector["matchLabels"][HASH] = hash.clone().into();
    let revision = others.iter().map(|set| revision(set)).max().unwrap_or_default() + 1;
    let set = json!({
        "metadata": {
            "name": format!("{}-{hash}", name(deployment)), "namespace": deployment["metadata"]["namespace"],
            "labels": template["metadata"]["labels"], "annotations": { REVISION: revision.to_string() },
            "ownerReferences": owner_reference(&DEPLOYMENTS, deployment),
        },
        "spec": {
            "replicas": 0, "selector": selector, "template": template,
            "minReadySeconds": deployment["spec"]["minReadySeconds"].as_i64().unwrap_or_default(),
        },
        "status": { "replicas": 0 },
    });
    desk.create(&REPLICA_SETS, set)
}

fn revision(set: &Value) -> i64 {
    annotation(set, REVISION).parse().unwrap_or_default()
}

/// The present ReplicaSet has the highest revision; the Deployment shows it.
fn keep_revision(desk: &Desk, deployment: &Object, new: &Object, old: &[Object]) {
    let highest = old.iter().map(|set| revision(set)).max().unwrap_or_default();
    let number = if revision(new) > highest { revision(new) } else { highest + 1 };
    let put = |object: &mut Value| object["metadata"]["annotations"][REVISION] = number.to_string().into();
    if revision(new) != number {
        desk.modify(&REPLICA_SETS, &Key::of(new), put);
    }
    if annotation(deployment, REVISION) != number.to_string() {
        desk.modify(&DEPLOYMENTS, &Key::of(deployment), put);
    }
}

fn replace(desk: &mut Desk, deployment: &Object, new: &Object, old: &[Object]) {
    let wanted = replicas(deployment);
    let strategy = &deployment["spec"]["strategy"];
    if text(strategy, "/type") == "Recreate" {
        for set in old {
            scale(desk, deployment, set, 0);
        }
        let is_gone = |set: &Object| int(set, "/status/replicas").unwrap_or_default() == 0;
        let lingers = old.iter().any(|set| desk.index.pods_of(uid(set)).next().is_some());
        if old.iter().all(is_gone) && !lingers {
            scale(desk, deployment, new, wanted);
        }
        return;
    }
    let room = rollout::room(strategy, wanted);
    let old_sets: Vec<Set> = old.iter().map(as_set).collect();
    let total = replicas(new) + old_sets.iter().map(|set| set.wanted).sum::<i64>();
    let grown = rollout::grow(wanted, room, &as_set(new), total);
    if grown != replicas(new) {
        scale(desk, deployment, new, grown);
        return; // the next step when this one is seen
    }
    for (set, target) in old.iter().zip(rollout::shrink(wanted, room, &as_set(new), &old_sets)) {
        scale(desk, deployment, set, target);
    }
}

fn as_set(set: &Object) -> Set {
    Set { wanted: replicas(set), available: int(set, "/status/availableReplicas").unwrap_or_default() }
}

fn scale(desk: &mut Desk, deployment: &Object, set: &Object, to: i64) {
    let from = replicas(set);
    if from == to {
        return;
    }
    let wanted = replicas(deployment);
    desk.modify(&REPLICA_SETS, &Key::of(set), |set| {
        set["spec"]["replicas"] = to.into();
        set["metadata"]["annotations"]["deployment.kubernetes.io/desired-replicas"] =
            wanted.to_string().into();
    });
    let way = if to > from { "up" } else { "down" };
    let message = format!("Scaled {way} replica set {} from {from} to {to}", name(set));
    desk.tell(deployment, "ScalingReplicaSet", &message, COMPONENT);
}

/// Deletes the oldest empty ReplicaSets beyond `revisionHistoryLimit`.
fn clean_up(desk: &Desk, deployment: &Object, old: &[Object]) {
    let kept = int(deployment, "/spec/revisionHistoryLimit").unwrap_or(10);
    let mut empty: Vec<&Object> =
        old.iter().filter(|set| replicas(set) == 0 && int(set, "/status/replicas") == Some(0)).collect();
    empty.sort_by_key(|set| revision(set));
    let excess = empty.len().saturating_sub(usize::try_from(kept).unwrap_or_default());
    for set in &empty[..excess] {
        desk.delete(&REPLICA_SETS, &Key::of(set), uid(set));
    }
}

fn write_status(desk: &mut Desk, key: &Key, deployment: &Object, new: Option<&Object>, old: &[Object]) {
    let wanted = replicas(deployment);
    let room = rollout::room(&deployment["spec"]["strategy"], wanted);
    let of = |set: &Object, field: &str| int(set, &format!("/status/{field}")).unwrap_or_default();
    let sum = |field: &str| new.into_iter().chain(old).map(|set| of(set, field)).sum::<i64>();
    let (total, ready, available) = (sum("replicas"), sum("readyReplicas"), sum("availableReplicas"));
    let updated = new.map_or(0, |set| of(set, "replicas"));
    let observed = generation(deployment);
    let now = desk.stamp(&key.name);
    let is_available = available >= wanted - room.unavailable;
    let is_complete = updated == wanted && total == wanted && available == wanted;
    let set_name = new.map_or("", |set| name(set)).to_owned();
    desk.modify(&DEPLOYMENTS, key, |deployment| {
        let conditions = deployment["status"]["conditions"].take();
        let mut status = json!({ "observedGeneration": observed });
        for (field, count) in [
            ("replicas", total),
            ("updatedReplicas", updated),
            ("readyReplicas", ready),
            ("availableReplicas", available),
            ("unavailableReplicas", (wanted.max(total) - available).max(0)),
        ] {
            if count > 0 {
                status[field] = count.into();
            }
        }
        status["conditions"] = if conditions.is_null() { json!([]) } else { conditions };
        deployment["status"] = status;
        set_condition(deployment, availability(is_available), &now);
        set_condition(deployment, progress(is_complete, &set_name), &now);
    });
}

fn availability(is_available: bool) -> Value {
    if is_available {
        json!({ "type": "Available", "status": "True", "reason": "MinimumReplicasAvailable",
                "message": "Deployment has minimum availability." })
    } else {
        json!({ "type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable",
                "message": "Deployment does not have minimum availability." })
    }
}

fn progress(is_complete: bool, set: &str) -> Value {
    let (reason, message) = if is_complete {
        ("NewReplicaSetAvailable", format!("ReplicaSet {set:?} has successfully progressed."))
    } else {
        ("ReplicaSetUpdated", format!("ReplicaSet {set:?} is progressing."))
    };
    json!({ "type": "Progressing", "status": "True", "reason": reason, "message": message })
}
