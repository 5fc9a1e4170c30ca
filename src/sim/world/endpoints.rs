//! Endpoint slices: which pods stand behind a Service, and which API servers behind `kubernetes`.

use serde_json::{Value, json};

use super::desk::{Desk, owner_reference};
use super::read::{Key, is_deleting, is_ready, is_terminal, items, letters, name, node_of, text, uid};
use super::select::{contains, labels};
use super::{Change, Controller};
use crate::sim::machine::Machine;
use crate::sim::store::Object;
use crate::sim::store::resources::{ENDPOINT_SLICES, ENDPOINTS, PODS, SERVICES};

/// The controller. A key names a Service.
pub struct Endpoints;

impl Controller for Endpoints {
    fn name(&self) -> &'static str {
        "endpointslice"
    }

    fn observe(&mut self, change: &Change, desk: &mut Desk) {
        if *change.resource == SERVICES {
            desk.mark(Key::of(&change.object));
        } else if *change.resource == PODS {
            let pod = &change.object;
            for service in desk.store.list(&SERVICES, Some(text(pod, "/metadata/namespace"))) {
                let selector = &service["spec"]["selector"];
                if selector.is_object() && contains(labels(pod), selector) {
                    desk.mark(Key::of(&service));
                }
            }
        }
    }

    fn power(&mut self, machine: &Machine, desk: &mut Desk) {
        if machine.is_control_plane() {
            desk.mark(kubernetes());
        }
    }

    fn resume(&mut self, desk: &mut Desk) {
        desk.mark(kubernetes());
    }

    fn sync(&mut self, key: &Key, desk: &mut Desk) {
        let Some(service) = desk.get(&SERVICES, key) else { return };
        if *key == kubernetes() {
            write_kubernetes(desk, key);
        } else if service["spec"]["selector"].is_object() {
            write_slice(desk, &service);
        }
    }
}

fn kubernetes() -> Key {
    Key::new("default", "kubernetes")
}

/// The addresses of the API servers that are up; the old ones when none is (nobody could write it then).
fn write_kubernetes(desk: &Desk, key: &Key) {
    let addresses: Vec<String> = desk.api_servers().map(|machine| machine.address().to_owned()).collect();
    let slice = json!({
        "metadata": { "name": key.name, "namespace": key.namespace,
                      "labels": { "kubernetes.io/service-name": key.name } },
        "addressType": "IPv4",
        "endpoints": addresses.iter()
            .map(|ip| json!({ "addresses": [ip], "conditions": { "ready": true } })).collect::<Vec<_>>(),
        "ports": [{ "name": "https", "port": 6443, "protocol": "TCP" }],
    });
    put(desk, key, slice);
    let subsets = json!([{
        "addresses": addresses.iter().map(|ip| json!({ "ip": ip })).collect::<Vec<_>>(),
        "ports": [{ "name": "https", "port": 6443, "protocol": "TCP" }],
    }]);
    let written = desk.modify(&ENDPOINTS, key, |endpoints| endpoints["subsets"] = subsets.clone());
    if written.is_none() {
        let metadata = json!({ "name": key.name, "namespace": key.namespace });
        desk.create(&ENDPOINTS, json!({ "metadata": metadata, "subsets": subsets }));
    }
}

fn write_slice(desk: &Desk, service: &Object) {
    let selector = &service["spec"]["selector"];
    let mut pods: Vec<&Object> = desk
        .index
        .pods_in(text(service, "/metadata/namespace"))
        .filter(|pod| {
            contains(labels(pod), selector) && !is_terminal(pod) && !text(pod, "/status/podIP").is_empty()
        })
        .collect();
    pods.sort_by_key(|pod| name(pod).to_owned());
    let ports: Vec<Value> = items(service, "/spec/ports")
        .iter()
        .map(|port| {
            let target = if port["targetPort"].is_number() { &port["targetPort"] } else { &port["port"] };
            json!({ "name": text(port, "/name"), "port": target, "protocol": "TCP" })
        })
        .collect();
    let key = Key::new(
        text(service, "/metadata/namespace"),
        &format!("{}-{}", name(service), letters(uid(service), 5)),
    );
    let slice = json!({
        "metadata": {
            "name": key.name, "namespace": key.namespace,
            "labels": {
                "kubernetes.io/service-name": name(service),
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            },
            "ownerReferences": owner_reference(&SERVICES, service),
        },
        "addressType": "IPv4", "ports": ports,
        "endpoints": pods.iter().map(|pod| endpoint(pod)).collect::<Vec<_>>(),
    });
    put(desk, &key, slice);
}

/// A pod that is being deleted is not ready, but serves as long as it is Ready.
fn endpoint(pod: &Value) -> Value {
    let (serving, terminating) = (is_ready(pod), is_deleting(pod));
    json!({
        "addresses": [text(pod, "/status/podIP")],
        "conditions": { "ready": serving && !terminating, "serving": serving, "terminating": terminating },
        "nodeName": node_of(pod),
        "targetRef": { "kind": "Pod", "namespace": pod["metadata"]["namespace"], "name": name(pod), "uid": uid(pod) },
    })
}

fn put(desk: &Desk, key: &Key, slice: Value) {
    let (endpoints, ports) = (slice["endpoints"].clone(), slice["ports"].clone());
    let written = desk.modify(&ENDPOINT_SLICES, key, |present| {
        present["endpoints"] = endpoints;
        present["ports"] = ports;
    });
    if written.is_none() {
        desk.create(&ENDPOINT_SLICES, slice);
    }
}
