//! Events as objects: repeated ones count up, old ones go.

use std::collections::{HashMap, VecDeque};

use serde_json::{Value, json};

use super::read::{fingerprint, name, namespace, text, uid};
use crate::sim::store::resources::{EVENTS, NODES, find_kind};
use crate::sim::store::{Store, clock, meta};

/// How many events are kept; the oldest go first (a real server keeps them for an hour).
const KEPT: usize = 2000;

/// What happened to an object.
pub struct Note<'a> {
    /// `Normal` or `Warning`.
    pub kind: &'a str,
    /// A word for machines.
    pub reason: &'a str,
    /// A sentence for people.
    pub message: &'a str,
    /// Who says so: `kubelet`, `default-scheduler`, ...
    pub component: &'a str,
}

/// The recorder.
#[derive(Default)]
pub struct Events {
    names: HashMap<String, (String, String)>,
    order: VecDeque<String>,
}

impl Events {
    /// Records a note about an object: a new event, or one more on the count of the same one.
    pub fn record(&mut self, store: &Store, about: &Value, note: &Note<'_>) {
        let involved = reference(about);
        let id = format!("{}|{}|{}|{}", text(&involved, "/uid"), note.reason, note.message, note.component);
        let now = clock::seconds(store.clock().timestamp());
        if let Some((namespace, name)) = self.names.get(&id) {
            let counted = store.modify(&EVENTS, namespace, name, |event| {
                event["count"] = (event["count"].as_i64().unwrap_or(1) + 1).into();
                event["lastTimestamp"] = now.clone().into();
            });
            if counted.is_ok() {
                return;
            }
        }
        self.add(store, id, &involved, note, &now);
    }

    fn add(&mut self, store: &Store, id: String, involved: &Value, note: &Note<'_>, now: &str) {
        let home = match text(involved, "/namespace") {
            "" => "default",
            namespace => namespace,
        };
        let name = format!("{}.{:08x}{}", text(involved, "/name"), fingerprint(&id), &meta::new_uid()[..8]);
        let mut source = json!({ "component": note.component });
        if note.component == "kubelet" && involved["kind"] == "Node" {
            source["host"] = involved["name"].clone();
        }
        let event = json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": { "name": name, "namespace": home },
            "involvedObject": involved, "type": note.kind, "reason": note.reason, "message": note.message,
            "source": source, "firstTimestamp": now, "lastTimestamp": now, "count": 1, "eventTime": null,
            "reportingComponent": note.component, "reportingInstance": source["host"].as_str().unwrap_or_default(),
        });
        if store.create(&EVENTS, event).is_err() {
            return;
        }
        self.names.insert(id.clone(), (home.to_owned(), name));
        self.order.push_back(id);
        if self.order.len() > KEPT
            && let Some((namespace, name)) =
                self.order.pop_front().and_then(|oldest| self.names.remove(&oldest))
        {
            store.remove(&EVENTS, &namespace, &name);
        }
    }
}

/// The `involvedObject` of an event about an object. Nodes are named by their name where a uid stands, as kubelets do.
fn reference(object: &Value) -> Value {
    let kind = text(object, "/kind");
    let mut involved = json!({
        "apiVersion": object["apiVersion"], "kind": kind, "name": name(object), "uid": uid(object),
        "resourceVersion": object["metadata"]["resourceVersion"],
    });
    if kind == NODES.kind {
        involved["uid"] = name(object).into();
    }
    if find_kind(text(object, "/apiVersion"), kind).is_some_and(|resource| resource.namespaced) {
        involved["namespace"] = namespace(object).into();
    }
    involved
}
