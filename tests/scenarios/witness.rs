//! Looks over the shoulder of the simulated server: what must hold for every eviction of every story.
//!
//! - It is for a pod of a node of the run, and pinned to that pod's uid; no name is evicted under two uids.
//! - Nothing is sent before the node is unschedulable.
//! - No Ready pod goes when fewer healthy pods than `desiredHealthy` would be left.

use pitstop::sim::store::feed::{Change, ChangeKind, Subscription};
use pitstop::sim::store::resources::{NODES, POD_DISRUPTION_BUDGETS, PODS};
use pitstop::sim::{api::selector::object_accepts, store::Store};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

type Key = (String, String);

/// Where a pod of a uid was.
#[derive(Debug, Clone)]
struct Home {
    key: Key,
    node: String,
}

/// Everything that was written since it began.
pub struct Witness {
    store: Store,
    changes: Subscription,
    pods: BTreeMap<Key, Arc<Value>>,
    budgets: BTreeMap<Key, Arc<Value>>,
    homes: BTreeMap<String, Home>,
    violations: Vec<String>,
}

fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    object.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

fn key(object: &Value) -> Key {
    (text(object, "/metadata/namespace").to_owned(), text(object, "/metadata/name").to_owned())
}

fn condition(object: &Value, kind: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    conditions.iter().any(|condition| condition["type"] == kind && condition["status"] == "True")
}

fn is_deleting(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

impl Witness {
    /// Begins to look.
    pub fn new(store: &Store) -> Self {
        let (revision, pods) = store.list_at(&PODS, None);
        let changes = store.subscribe(Some(revision)).expect("a fresh revision");
        let by_key =
            |objects: Vec<Arc<Value>>| objects.into_iter().map(|object| (key(&object), object)).collect();
        let mut witness = Self {
            changes,
            pods: by_key(pods),
            budgets: by_key(store.list(&POD_DISRUPTION_BUDGETS, None)),
            homes: BTreeMap::new(),
            violations: Vec::new(),
            store: store.clone(),
        };
        for pod in witness.pods.clone().into_values() {
            witness.at_home(&pod);
        }
        witness
    }

    fn at_home(&mut self, pod: &Value) {
        let node = text(pod, "/spec/nodeName").to_owned();
        if !node.is_empty() {
            self.homes.insert(text(pod, "/metadata/uid").to_owned(), Home { key: key(pod), node });
        }
    }

    /// Looks until it is told to stop; what it saw comes back.
    pub fn look(mut self, stop: CancellationToken) -> JoinHandle<Self> {
        tokio::spawn(async move {
            while let Some(Some(change)) = stop.run_until_cancelled(self.changes.next()).await {
                self.take(&change);
            }
            while let Some(change) = self.changes.try_next().expect("a window that is long enough") {
                self.take(&change);
            }
            self
        })
    }

    fn take(&mut self, change: &Change) {
        let table = if *change.resource == PODS {
            self.at_home(&change.object);
            self.judge(change);
            &mut self.pods
        } else if *change.resource == POD_DISRUPTION_BUDGETS {
            &mut self.budgets
        } else {
            return;
        };
        match change.kind {
            ChangeKind::Deleted => drop(table.remove(&key(&change.object))),
            _ => drop(table.insert(key(&change.object), change.object.clone())),
        }
    }

    /// A Ready pod that begins to go by an eviction must leave enough healthy ones.
    fn judge(&mut self, change: &Change) {
        let pod = &change.object;
        let begins = change.previous.as_ref().is_some_and(|before| !is_deleting(before))
            && (is_deleting(pod) || change.kind == ChangeKind::Deleted);
        let is_evicted = condition(pod, "DisruptionTarget");
        let is_running = text(pod, "/status/phase") == "Running";
        if !(begins && is_evicted && is_running && condition(pod, "Ready")) {
            return;
        }
        let (namespace, name) = key(pod);
        let node = self.store.get(&NODES, "", text(pod, "/spec/nodeName"));
        if node.is_some_and(|node| node["spec"]["unschedulable"] != json!(true)) {
            self.violations.push(format!("{namespace}/{name} was evicted from a node that is schedulable"));
        }
        let covers = |budget: &Value, pod: &Value| {
            object_accepts(&budget["spec"]["selector"], &pod["metadata"]["labels"]).unwrap_or(false)
        };
        for ((home, budget), object) in &self.budgets {
            if *home != namespace || !covers(object, pod) {
                continue;
            }
            let left = self.pods.values().filter(|other| {
                text(other, "/metadata/namespace") == namespace
                    && text(other, "/metadata/name") != name
                    && !is_deleting(other)
                    && condition(other, "Ready")
                    && covers(object, other)
            });
            let (left, desired) = (left.count(), object["status"]["desiredHealthy"].as_u64().unwrap_or(0));
            if u64::try_from(left).expect("a count") < desired {
                let words = format!(
                    "{namespace}/{name} was evicted although budget {budget} needs {desired}, and {left} are left"
                );
                self.violations.push(words);
            }
        }
    }

    /// What was asked of the server, held against what was there. Where nodes are drained one after the other, a pod with a
    /// name of its own may move again.
    pub fn verify(mut self, name: &str, nodes: &[String], may_move_again: bool) {
        let mut uids: BTreeMap<String, String> = BTreeMap::new();
        for line in self.store.history() {
            if !line.path.ends_with("/eviction") {
                continue;
            }
            let options = &line.body["deleteOptions"];
            let uid = text(options, "/preconditions/uid");
            let Some(home) = self.homes.get(uid) else {
                self.violations
                    .push(format!("{} is not pinned to a pod that was there: {options}", line.path));
                continue;
            };
            let path = format!("/api/v1/namespaces/{}/pods/{}/eviction", home.key.0, home.key.1);
            if line.path != path {
                self.violations.push(format!("{} with the uid of {path}", line.path));
            }
            if !nodes.contains(&home.node) {
                self.violations.push(format!("{path}, although that pod is on {}", home.node));
            }
            let is_another = uids.insert(path.clone(), uid.to_owned()).is_some_and(|other| other != uid);
            if is_another && !may_move_again {
                self.violations.push(format!("{path} under two uids"));
            }
        }
        assert!(self.violations.is_empty(), "{name}:\n{}", self.violations.join("\n"));
    }
}
