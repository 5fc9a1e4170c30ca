//! StatefulSets: pods with fixed names, one after the other; a name is used again only when its old pod is gone.

use serde_json::{Value, json};

use super::desk::Desk;
use super::read::{
    Key, generation, int, is_deleting, is_ready, is_terminal, items, letters, name, replicas, text, uid,
};
use super::replicaset::{available, mark_owner};
use super::{Change, Controller, pods};
use crate::sim::store::Object;
use crate::sim::store::resources::{PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS};

const COMPONENT: &str = "statefulset-controller";
const REVISION: &str = "controller-revision-hash";

/// The controller. A key names a StatefulSet.
pub struct StatefulSets;

impl Controller for StatefulSets {
    fn name(&self) -> &'static str {
        "statefulset"
    }

    fn observe(&mut self, change: &Change, desk: &mut Desk) {
        mark_owner(change, desk, &STATEFUL_SETS);
    }

    fn sync(&mut self, key: &Key, desk: &mut Desk) {
        let Some(set) = desk.get(&STATEFUL_SETS, key) else { return };
        let pods: Vec<Object> = desk.index.pods_of(uid(&set)).cloned().collect();
        if !is_deleting(&set) {
            step(desk, &set, &pods);
        }
        write_status(desk, key, &set);
    }
}

/// The name of the template's revision.
fn revision(set: &Value) -> String {
    format!("{}-{}", name(set), letters(&set["spec"]["template"].to_string(), 10))
}

fn ordinal(set: &Value, pod: &Value) -> Option<i64> {
    name(pod).strip_prefix(name(set))?.strip_prefix('-')?.parse().ok()
}

/// One step towards what is wanted: in order and one at a time, unless the set is Parallel.
fn step(desk: &mut Desk, set: &Object, pods: &[Object]) {
    let first = int(set, "/spec/ordinals/start").unwrap_or_default();
    let last = first + replicas(set);
    let is_parallel = text(set, "/spec/podManagementPolicy") == "Parallel";
    let mut is_settled = true;
    for number in first..last {
        let present = pods.iter().find(|pod| ordinal(set, pod) == Some(number));
        match present {
            None => {
                create(desk, set, number);
                is_settled = false;
            }
            Some(pod) if is_terminal(pod) && !is_deleting(pod) => {
                let message = format!("StatefulSet {} is recreating failed Pod {}", Key::of(set), name(pod));
                desk.warn(set, "RecreatingFailedPod", &message, COMPONENT);
                desk.delete(&PODS, &Key::of(pod), uid(pod));
                is_settled = false;
            }
            Some(pod) if is_deleting(pod) || !is_ready(pod) => is_settled = false,
            Some(_) => {}
        }
        if !is_settled && !is_parallel {
            return;
        }
    }
    let mut condemned: Vec<&Object> =
        pods.iter().filter(|pod| ordinal(set, pod).is_none_or(|n| n < first || n >= last)).collect();
    condemned.sort_by_key(|pod| std::cmp::Reverse(ordinal(set, pod)));
    for pod in condemned {
        if !is_deleting(pod) {
            delete(desk, set, pod);
        }
        if !is_parallel {
            return;
        }
    }
    if is_settled || is_parallel {
        update(desk, set, pods, first, last);
    }
}

/// Replaces one pod of an old revision, from the highest number down to the partition.
fn update(desk: &mut Desk, set: &Object, pods: &[Object], first: i64, last: i64) {
    if text(set, "/spec/updateStrategy/type") == "OnDelete" {
        return;
    }
    let partition = int(set, "/spec/updateStrategy/rollingUpdate/partition").unwrap_or_default().max(first);
    let revision = revision(set);
    for number in (partition..last).rev() {
        let Some(pod) = pods.iter().find(|pod| ordinal(set, pod) == Some(number)) else { return };
        if pod["metadata"]["labels"][REVISION] != revision.as_str() {
            if !is_deleting(pod) {
                delete(desk, set, pod);
            }
            return;
        }
        if is_deleting(pod) || !is_ready(pod) {
            return;
        }
    }
}

fn create(desk: &mut Desk, set: &Object, number: i64) {
    let pod_name = format!("{}-{number}", name(set));
    let mut pod = pods::from_template(desk, &STATEFUL_SETS, set, &pod_name);
    let labels = &mut pod["metadata"]["labels"];
    labels[REVISION] = revision(set).into();
    labels["statefulset.kubernetes.io/pod-name"] = pod_name.clone().into();
    labels["apps.kubernetes.io/pod-index"] = number.to_string().into();
    pod["spec"]["hostname"] = pod_name.clone().into();
    pod["spec"]["subdomain"] = set["spec"]["serviceName"].clone();
    for template in items(set, "/spec/volumeClaimTemplates") {
        claim(desk, set, &mut pod, template, &pod_name);
    }
    if desk.create(&PODS, pod).is_some() {
        let message = format!("create Pod {pod_name} in StatefulSet {} successful", name(set));
        desk.tell(set, "SuccessfulCreate", &message, COMPONENT);
    }
}

/// The claim of a pod: made once, found again by each later pod of the name.
fn claim(desk: &Desk, set: &Object, pod: &mut Value, template: &Value, pod_name: &str) {
    let volume = name(template);
    let claim_name = format!("{volume}-{pod_name}");
    let claim =
        super::attachments::bound_claim(text(set, "/metadata/namespace"), &claim_name, &template["spec"]);
    desk.create(&PERSISTENT_VOLUME_CLAIMS, claim);
    let source = json!({ "name": volume, "persistentVolumeClaim": { "claimName": claim_name } });
    match pod["spec"]["volumes"].as_array_mut() {
        Some(volumes) => volumes.push(source),
        None => pod["spec"]["volumes"] = json!([source]),
    }
}

fn delete(desk: &mut Desk, set: &Object, pod: &Object) {
    desk.delete(&PODS, &Key::of(pod), uid(pod));
    let message = format!("delete Pod {} in StatefulSet {} successful", name(pod), name(set));
    desk.tell(set, "SuccessfulDelete", &message, COMPONENT);
}

fn write_status(desk: &mut Desk, key: &Key, set: &Object) {
    let pods: Vec<Object> = desk.index.pods_of(uid(set)).filter(|pod| !is_terminal(pod)).cloned().collect();
    let living: Vec<Object> = pods.iter().filter(|pod| !is_deleting(pod)).cloned().collect();
    let ready = living.iter().filter(|pod| is_ready(pod)).count();
    let available = available(desk, key, set, &living);
    let revision = revision(set);
    let is_new = |pod: &&Object| pod["metadata"]["labels"][REVISION] == revision.as_str();
    let updated = living.iter().filter(is_new).count();
    let observed = generation(set);
    let is_complete = updated == usize::try_from(replicas(set)).unwrap_or_default() && ready == updated;
    desk.modify(&STATEFUL_SETS, key, |set| {
        let before = text(set, "/status/currentRevision").to_owned();
        let current = if is_complete || before.is_empty() { revision.clone() } else { before };
        let on_current = if current == revision { updated } else { pods.len() - updated };
        set["status"] = json!({
            "observedGeneration": observed, "replicas": pods.len(), "readyReplicas": ready,
            "availableReplicas": available, "currentReplicas": on_current, "updatedReplicas": updated,
            "currentRevision": current, "updateRevision": revision, "collisionCount": 0,
        });
    });
}
