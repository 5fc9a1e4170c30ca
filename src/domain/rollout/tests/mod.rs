//! Rolls as they look from outside, told row by row.

mod blind;
mod ends;
mod properties;
mod stories;

use super::world::World;
use super::*;
use crate::domain::budget::{Amount, Demand};
use crate::domain::feed::{Delta, Liveness, Observation};
use crate::domain::ids::BudgetKey;
use crate::domain::node::{CordonNote, Readiness, sample};
use crate::domain::selector::Selector;

/// When stories begin.
pub(super) const BEGIN: Stamp = Stamp(1_795_144_364_000);
pub(super) const OLD: &str = "v1.34.2";
pub(super) const NEW: &str = "v1.35.1";

/// A cluster that is changed step by step, and the roll that is read off it.
pub(super) struct Story {
    pub(super) world: World,
    pub(super) rollout: Rollout,
    pub(super) now: Stamp,
    boots: u32,
}

pub(super) fn node(name: &str) -> NodeRow {
    let role = if name.starts_with("cp-") { "control-plane" } else { "worker" };
    NodeRow {
        name: name.into(),
        uid: format!("uid-{name}"),
        roles: vec![role.to_owned()],
        version: OLD.into(),
        kernel: "6.1.0-40".into(),
        os_image: "Debian 12".into(),
        boot_id: format!("boot-{name}"),
        created: Some(Stamp(BEGIN.0 - 86_400_000)),
        ready_since: Some(Stamp(BEGIN.0 - 86_000_000)),
        ..sample()
    }
}

impl Story {
    /// So many control planes and workers, each worker with three pods of `shop/web` in one budget that has room.
    pub(super) fn new(control_planes: usize, workers: usize) -> Self {
        let names = (1..=control_planes)
            .map(|number| format!("cp-{number}"))
            .chain((1..=workers).map(|number| format!("worker-{number}")));
        Self::of(names.map(|name| node(&name)).collect(), Wish::default())
    }

    pub(super) fn of(nodes: Vec<NodeRow>, wish: Wish) -> Self {
        let mut story = Self { world: World::default(), rollout: Rollout::new(wish), now: BEGIN, boots: 0 };
        for row in &nodes {
            let pods = (0..3).map(|number| web(row.name.as_str(), number)).map(Delta::Upsert).collect();
            story.world.see(Observation::Pods(pods));
        }
        story.world.see(Observation::Nodes(Delta::Reset(nodes)));
        story.world.see(Observation::Budgets(Delta::Upsert(budget(3, 2, 1))));
        story.world.see(Observation::Liveness(Liveness::Live(BEGIN)));
        story.look();
        story
    }

    pub(super) fn look(&mut self) {
        self.rollout.observe(self.now, &self.world.snapshot());
    }

    /// Time passes, second by second.
    pub(super) fn wait(&mut self, secs: u64) {
        for _ in 0..secs {
            self.now = self.now.plus(Duration::from_secs(1));
            self.look();
        }
    }

    pub(super) fn change(&mut self, name: &str, change: impl FnOnce(&mut NodeRow)) {
        let mut row = self.world.nodes.get(&NodeName::from(name)).cloned().unwrap();
        change(&mut row);
        self.world.see(Observation::Nodes(Delta::Upsert(row)));
        self.look();
    }

    pub(super) fn cordon(&mut self, name: &str, by: &str) {
        let since = Some(self.now);
        let holder = by.to_owned();
        self.change(name, |row| {
            row.cordoned = true;
            row.cordon = Some(CordonNote { run: None, holder, since, reason: None, prior_cordoned: None });
        });
    }

    pub(super) fn uncordon(&mut self, name: &str) {
        self.change(name, |row| (row.cordoned, row.cordon) = (false, None));
    }

    /// All pods leave within `secs`.
    pub(super) fn drain(&mut self, name: &str, secs: u64) {
        let keys = self.pods_on(name);
        for key in &keys {
            let mut pod = self.world.pods[key].clone();
            pod.deleting = Some(self.now.plus(Duration::from_secs(30)));
            self.world.see(Observation::Pods(vec![Delta::Upsert(pod)]));
        }
        self.wait(secs);
        for key in keys {
            let pod = self.world.pods[&key].clone();
            self.world.see(Observation::Pods(vec![Delta::Remove(pod)]));
        }
        self.look();
    }

    pub(super) fn pods_on(&self, name: &str) -> Vec<PodKey> {
        let on = |pod: &&PodRow| pod.node.as_ref().is_some_and(|node| node.as_str() == name);
        self.world.pods.values().filter(on).map(|pod| pod.key.clone()).collect()
    }

    pub(super) fn away(&mut self, name: &str) {
        let now = self.now;
        self.change(name, |row| (row.readiness, row.ready_since) = (Readiness::Unknown, Some(now)));
    }

    pub(super) fn ready(&mut self, name: &str) {
        let now = self.now;
        self.change(name, |row| (row.readiness, row.ready_since) = (Readiness::Ready, Some(now)));
    }

    pub(super) fn boot(&mut self, name: &str) {
        self.boots += 1;
        let boot_id = format!("boot-{name}-{}", self.boots);
        self.change(name, |row| row.boot_id = boot_id);
    }

    pub(super) fn remove(&mut self, name: &str) {
        let row = self.world.nodes[&NodeName::from(name)].clone();
        self.world.see(Observation::Nodes(Delta::Remove(row)));
        self.look();
    }

    /// A new node, not Ready yet.
    pub(super) fn add(&mut self, name: &str) {
        self.boots += 1;
        let row = NodeRow {
            uid: format!("uid-{name}-{}", self.boots),
            boot_id: format!("boot-{name}-{}", self.boots),
            version: NEW.into(),
            readiness: Readiness::NotReady,
            created: Some(self.now),
            ready_since: Some(self.now),
            ..node(name)
        };
        self.world.see(Observation::Nodes(Delta::Upsert(row)));
        self.look();
    }

    /// Cordon, drain, reboot, uncordon.
    pub(super) fn reboot(&mut self, name: &str, by: &str) {
        self.cordon(name, by);
        self.wait(2);
        self.drain(name, 10);
        self.away(name);
        self.wait(30);
        self.boot(name);
        self.wait(5);
        self.ready(name);
        self.wait(3);
        self.uncordon(name);
    }

    pub(super) fn phase(&self, name: &str) -> Phase {
        self.rollout.track(&NodeName::from(name)).unwrap().phase
    }

    pub(super) fn waits(&self, name: &str) -> String {
        let track = self.rollout.track(&NodeName::from(name)).unwrap();
        self.rollout.waits_for(track, self.now)
    }

    /// The kinds of what was told of a node.
    pub(super) fn told(&self, name: &str) -> Vec<Event> {
        let of = |line: &&Happening| line.node.as_ref().is_some_and(|node| node.as_str() == name);
        self.rollout.timeline.iter().filter(of).map(|line| line.event).collect()
    }

    pub(super) fn how(&self) -> Option<How> {
        match self.rollout.stage {
            Stage::Ended { how, .. } => Some(how),
            _ => None,
        }
    }

    pub(super) fn budget(&mut self, healthy: i32, desired: i32, allowed: i32) {
        self.world.see(Observation::Budgets(Delta::Upsert(budget(healthy, desired, allowed))));
        self.look();
    }
}

fn web(node: &str, number: usize) -> PodRow {
    let mut pod = crate::domain::pod::sample("shop", &format!("web-{node}-{number}"));
    pod.labels.insert("app".into(), "web".into());
    pod.node = Some(node.into());
    pod
}

/// `shop/web`: at least `desired` of the pods; `healthy` there are.
fn budget(healthy: i32, desired: i32, allowed: i32) -> BudgetRow {
    let labels = [("app".to_owned(), "web".to_owned())].into();
    BudgetRow {
        key: BudgetKey { namespace: "shop".into(), name: "web".into() },
        uid: "uid".into(),
        demand: Demand::MinAvailable(Amount::Pods(desired)),
        selector: Selector { labels, ..Selector::default() },
        unhealthy: crate::domain::budget::UnhealthyPolicy::default(),
        allowed,
        healthy,
        desired,
        expected: 3,
        generation: 1,
        observed: 1,
        disrupted: Vec::new(),
        sync_failed: None,
    }
}
