//! The scenario's own hand: what happens at a moment, and what somebody lets happen now.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::desk::{Desk, is_serving};
use super::node_status;
use super::pods::BEHAVIOUR;
use super::read::{Key, name, uid};
use crate::sim::api::faults::{Ailment, Rule};
use crate::sim::scenario::event::is_match;
use crate::sim::scenario::{Action, Event, Scenario, Span};
use crate::sim::store::clock;
use crate::sim::store::resources::{DEPLOYMENTS, NODES, PODS, STATEFUL_SETS};

/// One thing to do.
#[derive(Clone, Debug)]
enum Deed {
    /// What a scenario can write.
    Act(Action),
    /// The API servers answer again.
    ApiUp,
    /// The disruption controller works again.
    Unstall,
    /// A node's kubelet is no longer ready.
    Falter { node: String, every: Span, left: Option<u32> },
    /// It starts again, and its containers with it.
    Recover(String),
}

/// What is yet to happen, by the moment.
pub struct Script {
    events: Vec<Event>,
    deeds: BTreeMap<(Instant, usize), Deed>,
    count: usize,
}

impl Script {
    /// The events of a scenario; their clock starts with the first look.
    pub fn new(scenario: &Scenario) -> Self {
        Self { events: scenario.events.clone(), deeds: BTreeMap::new(), count: 0 }
    }

    /// When the next deed is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.deeds.first_key_value().map(|((at, _), _)| *at)
    }

    /// Does what is due.
    pub fn run_due(&mut self, desk: &mut Desk) {
        for event in std::mem::take(&mut self.events) {
            self.later(desk, event.at.0, Deed::Act(event.action));
        }
        for (node, unsteady) in std::mem::take(&mut desk.unsteady) {
            let deed = Deed::Falter { node, every: unsteady.every, left: unsteady.times };
            self.later(desk, unsteady.every.0 / 2, deed);
        }
        while let Some(entry) = self.deeds.first_entry() {
            if entry.key().0 > Instant::now() {
                return;
            }
            match entry.remove() {
                Deed::Act(action) => self.act(&action, desk),
                Deed::ApiUp => desk.is_api_down = false,
                Deed::Falter { node, every, left } => self.falter(node, every, left, desk),
                Deed::Recover(node) => {
                    desk.starting_anew.insert(node);
                }
                Deed::Unstall => {
                    desk.is_disruption_stalled = false;
                    desk.resume();
                }
            }
        }
    }

    fn later(&mut self, desk: &Desk, after: Duration, deed: Deed) {
        self.count += 1;
        self.deeds.insert((desk.moment(after), self.count), deed);
    }

    /// One loss of readiness, its end, and the next loss.
    fn falter(&mut self, node: String, every: Span, left: Option<u32>, desk: &mut Desk) {
        if left == Some(0) || !desk.machines.get(&node).is_some_and(is_serving) {
            return;
        }
        node_status::falter(desk, &node);
        self.later(desk, every.0 / 2, Deed::Recover(node.clone()));
        let left = left.map(|left| left - 1);
        self.later(desk, every.0, Deed::Falter { node, every, left });
    }

    /// Does something now.
    pub fn act(&mut self, action: &Action, desk: &mut Desk) {
        match action {
            Action::ApiDown { length } => {
                desk.is_api_down = true;
                if let Some(length) = length {
                    self.later(desk, length.0, Deed::ApiUp);
                }
            }
            Action::StallDisruptionController { length } => {
                desk.is_disruption_stalled = true;
                if let Some(length) = length {
                    self.later(desk, length.0, Deed::Unstall);
                }
            }
            Action::StallLeader { component } => {
                desk.stalled_leaders.insert(component.clone());
            }
            Action::DisruptionLag { lag } => desk.timings.disruption_lag = *lag,
            Action::Flap { node, times, every } => {
                for turn in 0..*times {
                    let start = every.0 * turn;
                    self.later(desk, start, Deed::Act(Action::MachineOff { node: node.clone() }));
                    self.later(
                        desk,
                        start + every.0 / 2,
                        Deed::Act(Action::MachineOn { node: node.clone() }),
                    );
                }
            }
            Action::MachineOff { node } | Action::MachineOn { node } | Action::Reboot { node } => {
                if let Some(machine) = desk.machines.get(node) {
                    match action {
                        Action::MachineOff { .. } => machine.power_off(),
                        Action::MachineOn { .. } => machine.power_on(),
                        _ => machine.reboot(),
                    }
                }
            }
            Action::ApiFault { matching, effect, times, length } => desk.faults.add(Rule {
                matching: matching.clone(),
                effect: effect.clone(),
                times: *times,
                lasts: length.map(|length| desk.delay(length)),
            }),
            Action::Webhook(webhook) => desk.faults.deny(webhook.clone()),
            Action::ClearFaults => desk.faults.clear(),
            Action::Unsteady { node, every, times } => self.falter(node.clone(), *every, *times, desk),
            Action::Service { namespace, name, latency, failing, code, length } => {
                let lasts = length.map(|length| desk.delay(length));
                let ailment = Ailment {
                    latency: latency.map(|latency| desk.delay(latency)).unwrap_or_default(),
                    failing: *failing,
                    code: code.unwrap_or(500),
                };
                desk.faults.ail(namespace, name, ailment, lasts);
            }
            other => change_objects(other, desk),
        }
    }
}

/// What somebody does through the API.
fn change_objects(action: &Action, desk: &mut Desk) {
    match action {
        Action::Cordon { node } => {
            desk.modify(&NODES, &Key::cluster(node), |node| node["spec"]["unschedulable"] = true.into());
        }
        Action::Uncordon { node } => {
            desk.modify(&NODES, &Key::cluster(node), |node| {
                if let Some(spec) = node["spec"].as_object_mut() {
                    spec.remove("unschedulable");
                }
            });
        }
        Action::DeleteNode { node } => {
            if let Some(found) = desk.get(&NODES, &Key::cluster(node)) {
                desk.delete(&NODES, &Key::cluster(node), uid(&found));
            }
        }
        Action::DeletePod { namespace, name } => {
            for (key, uid) in matching_pods(desk, namespace, name) {
                desk.delete(&PODS, &key, &uid);
            }
        }
        Action::Crash { namespace, name } => {
            let crash = format!("{BEHAVIOUR}crash");
            for (key, _) in matching_pods(desk, namespace, name) {
                desk.modify(&PODS, &key, |pod| pod["metadata"]["annotations"][&crash] = "true".into());
            }
        }
        Action::Scale { namespace, name, replicas } => {
            for resource in [&DEPLOYMENTS, &STATEFUL_SETS] {
                desk.modify(resource, &Key::new(namespace, name), |owner| {
                    owner["spec"]["replicas"] = (*replicas).into();
                });
            }
        }
        Action::Restart { namespace, name } => {
            let now = clock::seconds(desk.store.clock().timestamp());
            for resource in [&DEPLOYMENTS, &STATEFUL_SETS] {
                desk.modify(resource, &Key::new(namespace, name), |owner| {
                    owner["spec"]["template"]["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"] =
                        now.clone().into();
                });
            }
        }
        Action::Software { .. } => change_software(action, desk),
        _ => {}
    }
}

/// Another version, kernel or system from the kubelet's next start on, or at once.
fn change_software(action: &Action, desk: &mut Desk) {
    let Action::Software { node, version, kernel, os, restart } = action else { return };
    if let Some(spec) = desk.specs.get_mut(node) {
        for (slot, value) in [(&mut spec.version, version), (&mut spec.kernel, kernel), (&mut spec.os, os)] {
            if value.is_some() {
                slot.clone_from(value);
            }
        }
    }
    if *restart && desk.kubelets.contains(node) {
        node_status::start(desk, node);
    }
}

fn matching_pods(desk: &Desk, namespace: &str, pattern: &str) -> Vec<(Key, String)> {
    desk.index
        .pods_in(namespace)
        .filter(|pod| is_match(pattern, name(pod)))
        .map(|pod| (Key::of(pod), uid(pod).to_owned()))
        .collect()
}
