//! What every controller works with: the store, the index, the queue, the machines, the clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::events::{self, Events};
use super::index::Index;
use super::read::{Key, fingerprint, is_deleting};
use super::work::Work;
use crate::sim::api::faults::Faults;
use crate::sim::machine::Machine;
use crate::sim::pace::Pace;
use crate::sim::scenario::{ClusterSpec, NodeSpec, Scenario, Timings, Unsteady};
use crate::sim::store::resources::{self, Resource};
use crate::sim::store::{Change, Deletion, Object, Store, clock};

/// The desk. Writes to the store come back as changes before the next item of work is done.
pub struct Desk {
    /// Every object.
    pub store: Store,
    /// Pods by namespace, node and owner.
    pub index: Index,
    /// The computers by node name.
    pub machines: BTreeMap<String, Machine>,
    /// What the nodes are, as their kubelets would register them.
    pub specs: BTreeMap<String, NodeSpec>,
    /// Versions.
    pub cluster: ClusterSpec,
    /// How long things take at speed 1.
    pub timings: Timings,
    /// Nodes whose kubelet works.
    pub kubelets: BTreeSet<String>,
    /// The disruption controller does nothing.
    pub is_disruption_stalled: bool,
    /// Nodes whose kubelet and containers start again while the machine runs on.
    pub starting_anew: BTreeSet<String>,
    /// Nodes whose kubelet falters from now on.
    pub unsteady: Vec<(String, Unsteady)>,
    /// Components whose leader hangs.
    pub stalled_leaders: BTreeSet<String>,
    /// Trouble that the API server gives.
    pub faults: Faults,
    /// No API server answers, by a fault.
    pub is_api_down: bool,
    /// The quorum of etcd holds.
    pub has_quorum: bool,
    pub(super) work: Work,
    pub(super) current: usize,
    pub(super) wants_resume: bool,
    pub(super) events: Events,
    pace: Pace,
    /// Time stands still: every delay is zero, recurring work is not done (while a scenario is populated).
    is_settling: bool,
}

impl Desk {
    /// A desk with everything that the store holds already indexed.
    pub fn new(store: Store, machines: &[Machine], scenario: &Scenario, pace: Pace) -> Self {
        let mut desk = Self {
            store,
            index: Index::default(),
            machines: machines.iter().map(|m| (m.name().to_owned(), m.clone())).collect(),
            specs: scenario.node_specs().into_iter().map(|spec| (spec.name.clone(), spec)).collect(),
            cluster: scenario.cluster.clone(),
            timings: scenario.timings.clone(),
            kubelets: BTreeSet::new(),
            is_disruption_stalled: false,
            starting_anew: BTreeSet::new(),
            unsteady: Vec::new(),
            stalled_leaders: BTreeSet::new(),
            faults: Faults::new(),
            is_api_down: false,
            has_quorum: true,
            work: Work::default(),
            current: 0,
            wants_resume: false,
            events: Events::default(),
            pace,
            is_settling: false,
        };
        desk.read_all();
        desk
    }

    /// The same desk, with time standing still.
    #[must_use]
    pub fn settling(mut self) -> Self {
        self.is_settling = true;
        self
    }

    /// Reads every object anew (at the start, and after the window of history was missed).
    pub fn read_all(&mut self) {
        self.index = Index::default();
        for resource in resources::ALL {
            for object in self.store.list(resource, None) {
                self.index.take(resource, &object);
            }
        }
    }

    /// Takes a change into the index.
    pub fn fold(&mut self, change: &Change) {
        self.index.fold(change);
    }

    /// Whether time stands still.
    pub fn is_settling(&self) -> bool {
        self.is_settling
    }

    /// How long `duration` takes in this world.
    pub fn delay(&self, duration: impl Into<Duration>) -> Duration {
        if self.is_settling { Duration::ZERO } else { self.pace.of(duration.into()) }
    }

    /// The moment after `duration` of this world.
    pub fn moment(&self, duration: impl Into<Duration>) -> Instant {
        Instant::now() + self.delay(duration)
    }

    /// How long ago a time of an object was, in wall-clock time; zero when it is in the future or not a time.
    pub fn age(&self, time: &str) -> Duration {
        let Some(then) = clock::parse(time) else { return Duration::ZERO };
        self.store.clock().timestamp().duration_since(then).try_into().unwrap_or_default()
    }

    /// The running controller looks at `key` again now.
    pub fn mark(&mut self, key: Key) {
        self.work.push((self.current, key));
    }

    /// The running controller looks at `key` again at `at` (at once when it has come).
    pub fn mark_at(&mut self, key: Key, at: Instant) {
        if at <= Instant::now() {
            self.mark(key);
        } else {
            self.work.push_at((self.current, key), at);
        }
    }

    /// The running controller looks at `key` again after a delay.
    pub fn mark_after(&mut self, key: Key, duration: impl Into<Duration>) {
        let at = self.moment(duration);
        self.mark_at(key, at);
    }

    /// The running controller looks at `key` every so often: not while time stands still.
    pub fn mark_every(&mut self, key: Key, duration: impl Into<Duration>) {
        if !self.is_settling {
            self.mark_after(key, duration);
        }
    }

    /// Every controller looks at everything it put off.
    pub fn resume(&mut self) {
        self.wants_resume = true;
    }

    /// The time for `lastTransitionTime` and the like. While time stands still: some time ago, the same for the same
    /// `key`.
    pub fn stamp(&self, key: &str) -> String {
        clock::seconds(self.stamp_at(key))
    }

    fn stamp_at(&self, key: &str) -> jiff::Timestamp {
        let now = self.store.clock().timestamp();
        if self.is_settling { self.ago(fingerprint(key) % 400 + 100) } else { now }
    }

    /// So many thousandths of the cluster's age ago.
    fn ago(&self, share: u32) -> jiff::Timestamp {
        let age = i64::try_from(self.cluster.age.0.as_secs()).unwrap_or_default();
        clock::shifted(self.store.clock().timestamp(), -(age * i64::from(share) / 1000))
    }

    /// An object of a kind.
    pub fn get(&self, resource: &'static Resource, key: &Key) -> Option<Object> {
        self.store.get(resource, &key.namespace, &key.name)
    }

    /// Creates an object; nothing when the name is taken or the namespace is being deleted.
    pub fn create(&self, resource: &'static Resource, mut object: Value) -> Option<Object> {
        let home = object["metadata"]["namespace"].as_str().unwrap_or_default();
        if self.store.get(&resources::NAMESPACES, "", home).is_some_and(|home| is_deleting(&home)) {
            return None;
        }
        if object["apiVersion"].is_null() {
            object["apiVersion"] = resource.api_version().into();
            object["kind"] = resource.kind.into();
        }
        if self.is_settling {
            let name = object["metadata"]["name"].as_str().or(object["metadata"]["generateName"].as_str());
            let share = share_of_age(resource, name.unwrap_or_default());
            object["metadata"]["creationTimestamp"] = clock::seconds(self.ago(share)).into();
        }
        self.store.create(resource, object).ok()
    }

    /// Changes an object in place; nothing when it is gone.
    pub fn modify(
        &self,
        resource: &'static Resource,
        key: &Key,
        change: impl FnOnce(&mut Value),
    ) -> Option<Object> {
        self.store.modify(resource, &key.namespace, &key.name, change).ok()
    }

    /// Deletes the object with that uid as a client would.
    pub fn delete(&self, resource: &'static Resource, key: &Key, uid: &str) {
        let how = Deletion { uid: Some(uid.to_owned()), ..Deletion::default() };
        let _ = self.store.delete(resource, &key.namespace, &key.name, &how);
    }

    /// Deletes the pod with that uid without grace: it is gone, unless finalizers hold it.
    pub fn delete_now(&self, key: &Key, uid: &str) {
        let how = Deletion { uid: Some(uid.to_owned()), grace: Some(0), ..Deletion::default() };
        let _ = self.store.delete(&resources::PODS, &key.namespace, &key.name, &how);
    }

    /// Records a Normal event about an object; not while time stands still.
    pub fn tell(&mut self, about: &Value, reason: &str, message: &str, component: &str) {
        self.record("Normal", about, reason, message, component);
    }

    /// Records a Warning event about an object; not while time stands still.
    pub fn warn(&mut self, about: &Value, reason: &str, message: &str, component: &str) {
        self.record("Warning", about, reason, message, component);
    }

    fn record(&mut self, kind: &str, about: &Value, reason: &str, message: &str, component: &str) {
        if !self.is_settling {
            let note = events::Note { kind, reason, message, component };
            self.events.record(&self.store, about, &note);
        }
    }

    /// Whether the control plane works: an API server is up and etcd has its quorum.
    pub fn is_control_plane_up(&self) -> bool {
        self.has_quorum && !self.is_api_down && self.api_servers().next().is_some()
    }

    /// Control planes whose API server is up.
    pub fn api_servers(&self) -> impl Iterator<Item = &Machine> {
        self.machines.values().filter(|machine| machine.is_control_plane() && is_serving(machine))
    }
}

/// How old an object is, in thousandths of the cluster's age: nodes and namespaces are the oldest, pods the youngest.
fn share_of_age(resource: &Resource, name: &str) -> u32 {
    if !resource.namespaced {
        1000
    } else if *resource == resources::PODS {
        fingerprint(name) % 400 + 100
    } else {
        fingerprint(name) % 400 + 550
    }
}

/// Whether the machine is on and not shutting down.
pub fn is_serving(machine: &Machine) -> bool {
    machine.power().borrow().is_serving()
}

/// A reference to an owner that controls what it makes.
pub fn owner_reference(resource: &Resource, owner: &Value) -> Value {
    json!([{
        "apiVersion": resource.api_version(), "kind": resource.kind,
        "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
        "controller": true, "blockOwnerDeletion": true,
    }])
}
