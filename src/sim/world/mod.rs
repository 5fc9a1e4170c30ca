//! The clocked part of the simulated cluster: controllers, kubelets, scheduler, and the scenario's own script.
//!
//! One task runs all of them. It takes every change of the store into an index, hands it to each controller, which
//! marks what it wants to look at (now or at a moment), and then lets the controllers look, one object at a time. So a
//! controller's own writes are always in the index before anything else is decided, nothing polls, and a test with
//! tokio's paused clock is repeatable. While the control plane is away (no quorum, no API server) nothing is looked at;
//! what was marked is looked at afterwards.

pub mod attachments;
mod autoscaler;
mod daemonset;
mod deployment;
pub mod desk;
mod disruption;
mod endpoints;
mod events;
mod fit;
mod index;
mod job;
mod kubelet;
mod leadership;
mod lifecycle;
mod node_status;
pub mod nodes;
pub mod pods;
pub mod read;
mod replicaset;
mod rollout;
mod scale;
mod scheduler;
mod script;
pub mod select;
mod statefulset;
mod static_pods;
#[cfg(test)]
mod tests;
mod work;

use std::collections::BTreeSet;
use std::pin::Pin;

use futures::{Stream, StreamExt, stream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::CancellationToken;

use self::desk::Desk;
pub use self::read::{Key, fingerprint, letters};
use super::api::faults::Faults;
use super::machine::Machine;
use super::pace::Pace;
use super::scenario::{Action, NodeSpec, Scenario};
use super::store::{Change, ChangeKind, Store, Subscription, resources};

/// Part of the world that reacts to changes and to the clock.
pub trait Controller: Send {
    /// A word for logs.
    fn name(&self) -> &'static str;
    /// Marks what a change makes worth a look.
    fn observe(&mut self, change: &Change, desk: &mut Desk);
    /// Looks at what was marked and acts.
    fn sync(&mut self, key: &Key, desk: &mut Desk);
    /// Marks everything that does not follow from the objects of the store: called once, before anything else.
    fn begin(&mut self, _desk: &mut Desk) {}
    /// A machine went down or up. Called also while the control plane is away.
    fn power(&mut self, _machine: &Machine, _desk: &mut Desk) {}
    /// The control plane is back, or a fault has ended.
    fn resume(&mut self, _desk: &mut Desk) {}
}

/// A running world. Dropping the handle does not end it; its cancellation token does.
#[derive(Clone)]
pub struct World {
    actions: mpsc::Sender<Action>,
    api_down: watch::Receiver<bool>,
}

impl World {
    /// Lets something happen now, as an event of the scenario would.
    pub async fn act(&self, action: Action) {
        let _ = self.actions.send(action).await;
    }

    /// Whether a fault keeps every API server from answering.
    pub fn api_down(&self) -> watch::Receiver<bool> {
        self.api_down.clone()
    }
}

/// Starts the controllers over the objects of `store` on the current tokio runtime. Faults of the API that the
/// scenario's events ask for go into `faults`.
pub fn start(
    store: Store,
    machines: &[Machine],
    scenario: &Scenario,
    pace: Pace,
    quorum: watch::Receiver<bool>,
    faults: Faults,
    cancel: CancellationToken,
) -> World {
    let (actions, inbox) = mpsc::channel(64);
    let (api_down_sender, api_down) = watch::channel(false);
    let mut desk = Desk::new(store, machines, scenario, pace);
    desk.faults = faults;
    desk.has_quorum = *quorum.borrow();
    desk.kubelets =
        desk.machines.values().filter(|m| desk::is_serving(m)).map(|m| m.name().to_owned()).collect();
    let engine = Engine::new(desk, scenario);
    let quorum = Box::pin(WatchStream::new(quorum).chain(stream::pending()));
    let outside =
        Outside { power: power_changes(machines), quorum, actions: inbox, api_down: api_down_sender };
    tokio::spawn(async move {
        cancel.run_until_cancelled(engine.run(outside)).await;
    });
    World { actions, api_down }
}

/// Runs the controllers with time standing still until nothing more happens: what a store holds becomes a cluster
/// that has been up for long, and some machines of which have been off for long.
pub fn settle(store: &Store, machines: &[Machine], scenario: &Scenario) {
    let is_off = |name: &String| machines.iter().any(|machine| machine.name() == name && !machine.is_on());
    let spares: BTreeSet<String> =
        scenario.node_specs().into_iter().filter(NodeSpec::is_spare).map(|spec| spec.name).collect();
    let all: BTreeSet<String> = machines
        .iter()
        .map(|machine| machine.name().to_owned())
        .filter(|name| !spares.contains(name))
        .collect();
    let on: BTreeSet<String> = all.iter().filter(|name| !is_off(name)).cloned().collect();
    let mut stages = vec![all];
    if on != stages[0] {
        stages.push(on);
    }
    for kubelets in stages {
        let mut desk = Desk::new(store.clone(), machines, scenario, Pace::default()).settling();
        desk.kubelets = kubelets;
        Engine::new(desk, scenario).settle();
    }
}

type PowerChanges = Pin<Box<dyn Stream<Item = String> + Send>>;

/// What reaches the world from outside the store.
struct Outside {
    power: PowerChanges,
    quorum: Pin<Box<dyn Stream<Item = bool> + Send>>,
    actions: mpsc::Receiver<Action>,
    api_down: watch::Sender<bool>,
}

fn power_changes(machines: &[Machine]) -> PowerChanges {
    let all = machines.iter().map(|machine| {
        let name = machine.name().to_owned();
        WatchStream::from_changes(machine.power()).map(move |_| name.clone()).boxed()
    });
    Box::pin(stream::select_all(all).chain(stream::pending()))
}

struct Engine {
    desk: Desk,
    controllers: Vec<Box<dyn Controller>>,
    script: script::Script,
    changes: Option<Subscription>,
    was_up: bool,
}

impl Engine {
    fn new(desk: Desk, scenario: &Scenario) -> Self {
        let controllers: Vec<Box<dyn Controller>> = vec![
            Box::new(static_pods::StaticPods),
            Box::new(kubelet::Kubelets::default()),
            Box::new(lifecycle::Lifecycle::default()),
            Box::new(deployment::Deployments),
            Box::new(replicaset::ReplicaSets),
            Box::new(statefulset::StatefulSets),
            Box::new(daemonset::DaemonSets),
            Box::new(job::Jobs),
            Box::new(scheduler::Scheduler::default()),
            Box::new(disruption::Disruption::default()),
            Box::new(endpoints::Endpoints),
            Box::new(attachments::Attachments::default()),
            Box::new(autoscaler::Autoscaler),
            Box::new(leadership::Leadership::default()),
        ];
        let script = script::Script::new(scenario);
        let mut engine = Self { desk, controllers, script, changes: None, was_up: true };
        engine.begin();
        engine
    }

    /// Every controller looks at everything once, as after a restart.
    fn begin(&mut self) {
        for (place, controller) in self.controllers.iter_mut().enumerate() {
            self.desk.current = place;
            controller.begin(&mut self.desk);
        }
        self.read_again();
    }

    fn read_again(&mut self) {
        let revision = self.desk.store.revision();
        self.desk.read_all();
        self.changes = self.desk.store.subscribe(Some(revision)).ok();
        for resource in resources::ALL {
            for object in self.desk.store.list(resource, None) {
                let change = Change { revision, kind: ChangeKind::Added, resource, object, previous: None };
                self.announce(&change);
            }
        }
    }

    fn announce(&mut self, change: &Change) {
        for (place, controller) in self.controllers.iter_mut().enumerate() {
            self.desk.current = place;
            controller.observe(change, &mut self.desk);
        }
    }

    /// Takes every change in that there is.
    fn catch_up(&mut self) {
        loop {
            match self.changes.as_mut().map(Subscription::try_next) {
                Some(Ok(Some(change))) => self.take(&change),
                Some(Ok(None)) => return,
                Some(Err(_)) | None => self.read_again(),
            }
        }
    }

    fn take(&mut self, change: &Change) {
        self.desk.fold(change);
        self.announce(change);
    }

    /// Lets one controller look at one object.
    fn step(&mut self) {
        let Some((place, key)) = self.desk.work.pop() else { return };
        self.desk.current = place;
        self.controllers[place].sync(&key, &mut self.desk);
    }

    fn settle(mut self) {
        loop {
            self.catch_up();
            if !self.desk.work.is_ready() {
                return;
            }
            self.step();
        }
    }

    async fn run(mut self, mut outside: Outside) {
        loop {
            self.catch_up();
            self.look_at_control_plane();
            self.script.run_due(&mut self.desk);
            self.start_kubelets_anew();
            self.desk.work.wake(Instant::now());
            if self.was_up && self.desk.work.is_ready() {
                self.step();
                // lets other tasks of the runtime in between two looks
                tokio::task::consume_budget().await;
                continue;
            }
            outside.api_down.send_if_modified(|down| std::mem::replace(down, self.desk.is_api_down) != *down);
            self.wait(&mut outside).await;
        }
    }

    /// Sleeps until something reaches the world.
    async fn wait(&mut self, outside: &mut Outside) {
        let work_due = self.desk.work.next_due().filter(|_| self.was_up);
        let due = [work_due, self.script.next_due()].into_iter().flatten().min();
        let Some(changes) = self.changes.as_mut() else { return };
        tokio::select! {
            biased;
            change = changes.next() => match change {
                Some(change) => self.take(&change),
                None => self.read_again(),
            },
            Some(node) = outside.power.next() => self.power_changed(&node),
            Some(action) = outside.actions.recv() => self.script.act(&action, &mut self.desk),
            Some(has_quorum) = outside.quorum.next() => self.desk.has_quorum = has_quorum,
            () = sleep_until(due) => {}
        }
    }

    /// Kubelets that are to start again while their machine runs on.
    fn start_kubelets_anew(&mut self) {
        for node in std::mem::take(&mut self.desk.starting_anew) {
            self.power_changed(&node);
        }
    }

    fn power_changed(&mut self, node: &str) {
        let Some(machine) = self.desk.machines.get(node).cloned() else { return };
        for (place, controller) in self.controllers.iter_mut().enumerate() {
            self.desk.current = place;
            controller.power(&machine, &mut self.desk);
        }
    }

    fn look_at_control_plane(&mut self) {
        let is_up = self.desk.is_control_plane_up();
        let returned = is_up && !self.was_up;
        self.was_up = is_up;
        if returned || (is_up && std::mem::take(&mut self.desk.wants_resume)) {
            for (place, controller) in self.controllers.iter_mut().enumerate() {
                self.desk.current = place;
                controller.resume(&mut self.desk);
            }
        }
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
