//! The world in memory, with tokio's paused clock.

mod budgets;
mod evictions;
mod machines;
mod owners;
mod placement;
mod populated;

use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::read::{Key, is_active, is_ready, name, text};
use super::{World, start};
use crate::sim::machine::Machine;
use crate::sim::pace::Pace;
use crate::sim::scenario::{Scenario, populate};
use crate::sim::store::resources::{NODES, POD_DISRUPTION_BUDGETS, PODS, Resource};
use crate::sim::store::{Object, Store};

/// A populated, running world.
pub struct Bench {
    pub store: Store,
    pub machines: Vec<Machine>,
    pub world: World,
    pub quorum: watch::Sender<bool>,
    _end: DropGuard,
}

/// One control plane, two workers, and what `text` adds.
pub fn small(text: &str) -> Bench {
    bench(&Scenario::parse(&format!("[size]\ncontrol_planes = 1\nworkers = 2\n{text}")).unwrap(), 1.0)
}

pub fn bench(scenario: &Scenario, speed: f64) -> Bench {
    let (pace, cancel) = (Pace::new(speed), CancellationToken::new());
    let machines: Vec<Machine> =
        scenario.machines().into_iter().map(|spec| Machine::new(spec, pace, cancel.clone())).collect();
    let store = Store::new();
    populate(&store, scenario, &machines);
    let (quorum, receiver) = watch::channel(true);
    let faults = crate::sim::api::faults::Faults::new();
    let world = start(store.clone(), &machines, scenario, pace, receiver, faults.clone(), cancel.clone());
    Bench { store, machines, world, quorum, _end: cancel.drop_guard() }
}

impl Bench {
    pub fn machine(&self, name: &str) -> &Machine {
        self.machines.iter().find(|machine| machine.name() == name).unwrap()
    }

    pub fn get(&self, resource: &'static Resource, namespace: &str, name: &str) -> Object {
        self.store
            .get(resource, namespace, name)
            .unwrap_or_else(|| panic!("no {} {namespace}/{name}", resource.kind))
    }

    pub fn node(&self, name: &str) -> Object {
        self.get(&NODES, "", name)
    }

    pub fn budget(&self, namespace: &str, name: &str) -> Object {
        self.get(&POD_DISRUPTION_BUDGETS, namespace, name)
    }

    pub fn allowed(&self, namespace: &str, name: &str) -> i64 {
        self.budget(namespace, name)["status"]["disruptionsAllowed"].as_i64().unwrap()
    }

    /// Pods of a namespace with that value of the label `app`.
    pub fn pods(&self, namespace: &str, app: &str) -> Vec<Object> {
        let mut pods = self.store.list(&PODS, Some(namespace));
        pods.retain(|pod| pod["metadata"]["labels"]["app"] == app);
        pods
    }

    pub fn active(&self, namespace: &str, app: &str) -> Vec<Object> {
        self.pods(namespace, app).into_iter().filter(|pod| is_active(pod)).collect()
    }

    pub fn ready(&self, namespace: &str, app: &str) -> usize {
        self.active(namespace, app).iter().filter(|pod| is_ready(pod)).count()
    }

    pub fn change(
        &self,
        resource: &'static Resource,
        namespace: &str,
        name: &str,
        change: impl FnOnce(&mut Value),
    ) {
        self.store.modify(resource, namespace, name, change).unwrap();
    }

    pub fn delete_pod(&self, pod: &Object) {
        let key = Key::of(pod);
        self.store.delete(&PODS, &key.namespace, &key.name, &crate::sim::store::Deletion::default()).unwrap();
    }

    /// Waits until the store says so; how long that took.
    pub async fn until(&self, what: &str, holds: impl Fn(&Bench) -> bool) -> Duration {
        let began = Instant::now();
        let mut changes = self.store.subscribe(None).unwrap();
        let wait = async {
            while !holds(self) {
                changes.next().await;
            }
        };
        assert!(timeout(Duration::from_hours(1), wait).await.is_ok(), "never: {what}");
        began.elapsed()
    }

    /// Lets time pass.
    pub async fn pass(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    pub fn events(&self, reason: &str) -> Vec<Object> {
        let mut events = self.store.list(&crate::sim::store::resources::EVENTS, None);
        events.retain(|event| event["reason"] == reason);
        events
    }
}

pub fn names(pods: &[Object]) -> Vec<String> {
    pods.iter().map(|pod| name(pod).to_owned()).collect()
}

pub fn ready_status(node: &Value) -> &str {
    super::read::condition(node, "Ready").map_or("", |ready| text(ready, "/status"))
}
