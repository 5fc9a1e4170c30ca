//! Volumes of claims: attached to the node while one of its pods uses them, detached some time after the last is gone.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::desk::Desk;
use super::read::{Key, annotation, fingerprint, is_terminal, items, node_of, text};
use super::{Change, Controller};
use crate::sim::store::resources::{PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, VOLUME_ATTACHMENTS};

/// The storage driver of simulated volumes.
pub const DRIVER: &str = "csi.sim.pitstop.dev";

/// The controller. A key names a node.
#[derive(Default)]
pub struct Attachments {
    unused_since: HashMap<String, Instant>,
}

impl Controller for Attachments {
    fn name(&self) -> &'static str {
        "attachdetach"
    }

    fn observe(&mut self, change: &Change, desk: &mut Desk) {
        if *change.resource == PODS && has_claims(&change.object) && !node_of(&change.object).is_empty() {
            desk.mark(Key::cluster(node_of(&change.object)));
        }
    }

    fn sync(&mut self, key: &Key, desk: &mut Desk) {
        let wanted = wanted(desk, &key.name);
        let present: BTreeSet<String> = desk
            .store
            .list(&VOLUME_ATTACHMENTS, None)
            .iter()
            .filter(|attachment| text(attachment, "/spec/nodeName") == key.name)
            .map(|attachment| text(attachment, "/spec/source/persistentVolumeName").to_owned())
            .collect();
        for volume in wanted.difference(&present) {
            attach(desk, &key.name, volume);
        }
        for volume in present.difference(&wanted) {
            let place = attachment_name(&key.name, volume);
            let due =
                *self.unused_since.entry(place.clone()).or_insert_with(|| desk.moment(desk.timings.detach));
            if due > Instant::now() {
                desk.mark_at(key.clone(), due);
            } else {
                self.unused_since.remove(&place);
                desk.store.remove(&VOLUME_ATTACHMENTS, "", &place);
            }
        }
        for volume in &wanted {
            self.unused_since.remove(&attachment_name(&key.name, volume));
        }
    }
}

fn has_claims(pod: &Value) -> bool {
    items(pod, "/spec/volumes").iter().any(|volume| volume["persistentVolumeClaim"].is_object())
}

/// Volumes that the pods of a node use. A pod that has ended uses none.
fn wanted(desk: &Desk, node: &str) -> BTreeSet<String> {
    let mut volumes = BTreeSet::new();
    for pod in desk.index.pods_on(node).filter(|pod| !is_terminal(pod)) {
        for volume in items(pod, "/spec/volumes") {
            let claim = text(volume, "/persistentVolumeClaim/claimName");
            let key = Key::new(text(pod, "/metadata/namespace"), claim);
            if let Some(claim) = desk.get(&PERSISTENT_VOLUME_CLAIMS, &key) {
                volumes.insert(text(&claim, "/spec/volumeName").to_owned());
            }
        }
    }
    volumes.remove("");
    volumes
}

fn attachment_name(node: &str, volume: &str) -> String {
    let id = format!("{DRIVER}/{volume}/{node}");
    let parts: Vec<String> = (0..8).map(|n| format!("{:08x}", fingerprint(&format!("{n}{id}")))).collect();
    format!("csi-{}", parts.concat())
}

fn attach(desk: &Desk, node: &str, volume: &str) {
    let attachment = json!({
        "metadata": { "name": attachment_name(node, volume) },
        "spec": { "attacher": DRIVER, "nodeName": node, "source": { "persistentVolumeName": volume } },
        "status": { "attached": true },
    });
    desk.create(&VOLUME_ATTACHMENTS, attachment);
}

/// The annotation of pods whose volumes are local to the node on which they first start.
pub const LOCAL: &str = "sim.pitstop.dev/local";

/// Makes the local volumes of a pod on its first node.
pub fn provision(desk: &Desk, pod: &Value, node: &str) {
    if annotation(pod, LOCAL) != "true" {
        return;
    }
    for volume in items(pod, "/spec/volumes") {
        let name = text(volume, "/persistentVolumeClaim/claimName");
        let key = Key::new(text(pod, "/metadata/namespace"), name);
        let Some(claim) = desk.get(&PERSISTENT_VOLUME_CLAIMS, &key) else { continue };
        // one that is there already stays where it is
        desk.create(&PERSISTENT_VOLUMES, json!({
            "metadata": { "name": claim["spec"]["volumeName"] },
            "spec": {
                "accessModes": ["ReadWriteOnce"], "persistentVolumeReclaimPolicy": "Delete",
                "storageClassName": claim["spec"]["storageClassName"], "capacity": claim["status"]["capacity"],
                "claimRef": { "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": key.namespace,
                              "name": key.name, "uid": claim["metadata"]["uid"] },
                "local": { "path": format!("/var/lib/volumes/{name}") },
                "nodeAffinity": { "required": { "nodeSelectorTerms": [{ "matchExpressions": [
                    { "key": "kubernetes.io/hostname", "operator": "In", "values": [node] } ] }] } },
            },
            "status": { "phase": "Bound" },
        }));
    }
}

/// A claim that has its volume already.
pub fn bound_claim(namespace: &str, name: &str, spec: &Value) -> Value {
    let volume = format!("pvc-{:08x}-{:08x}", fingerprint(namespace), fingerprint(name));
    let mut spec = if spec.is_object() { spec.clone() } else { json!({}) };
    spec["volumeName"] = volume.into();
    if spec["storageClassName"].is_null() {
        spec["storageClassName"] = "standard".into();
    }
    let size = spec["resources"]["requests"]["storage"].clone();
    json!({
        "metadata": { "name": name, "namespace": namespace }, "spec": spec,
        "status": { "phase": "Bound", "capacity": { "storage": size }, "accessModes": ["ReadWriteOnce"] },
    })
}
