//! Kubelets: one per machine. They start, ready, crash, restart and stop pods, and report their node.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::desk::{Desk, is_serving};
use super::read::{
    Key, int, is_deleting, is_mirror, is_ready, is_terminal, items, node_of, phase, text, uid,
};
use super::{Change, Controller, node_status, nodes, pods};
use crate::sim::machine::Machine;
use crate::sim::store::resources::{NODES, PODS};
use crate::sim::store::{ChangeKind, Object};

const COMPONENT: &str = "kubelet";
/// How long a crashing container runs.
const CRASH_AFTER: Duration = Duration::from_secs(2);
/// The longest wait between two starts of a crashing container.
const LONGEST_BACK_OFF: Duration = Duration::from_mins(5);

/// All kubelets. A key without a namespace names a node, one with a namespace a pod.
#[derive(Default)]
pub struct Kubelets {
    starting: HashMap<String, Instant>,
    pods: HashMap<String, Local>,
}

/// What a kubelet knows of a pod and no object says.
#[derive(Default)]
struct Local {
    start_at: Option<Instant>,
    ready_at: Option<Instant>,
    end_at: Option<Instant>,
    crash_at: Option<Instant>,
    stop_at: Option<Instant>,
    /// The containers are gone (a reboot) and are to be started again.
    is_interrupted: bool,
}

impl Controller for Kubelets {
    fn name(&self) -> &'static str {
        "kubelet"
    }

    fn begin(&mut self, desk: &mut Desk) {
        for node in desk.kubelets.clone() {
            desk.mark(Key::cluster(&node));
        }
    }

    fn observe(&mut self, change: &Change, desk: &mut Desk) {
        if *change.resource == NODES {
            if desk.kubelets.contains(text(&change.object, "/metadata/name")) {
                node_status::tell_of_cordon(desk, change);
            }
        } else if *change.resource == PODS {
            if change.kind == ChangeKind::Deleted {
                self.pods.remove(uid(&change.object));
            } else if !node_of(&change.object).is_empty() {
                desk.mark(Key::of(&change.object));
            }
        }
    }

    fn power(&mut self, machine: &Machine, desk: &mut Desk) {
        let name = machine.name().to_owned();
        desk.kubelets.remove(&name);
        self.starting.remove(&name);
        if is_serving(machine) {
            let at = desk.moment(desk.timings.kubelet_start);
            self.starting.insert(name.clone(), at);
            desk.mark_at(Key::cluster(&name), at);
        }
    }

    fn sync(&mut self, key: &Key, desk: &mut Desk) {
        if key.namespace.is_empty() {
            self.sync_node(&key.name, desk);
        } else if let Some(pod) =
            desk.index.pod(key).filter(|pod| desk.kubelets.contains(node_of(pod))).cloned()
        {
            self.sync_pod(key, &pod, desk);
        }
    }
}

impl Kubelets {
    fn sync_node(&mut self, name: &str, desk: &mut Desk) {
        if let Some(at) = self.starting.get(name).copied() {
            if at > Instant::now() {
                desk.mark_at(Key::cluster(name), at);
                return;
            }
            self.starting.remove(name);
            desk.kubelets.insert(name.to_owned());
            let silence = node_status::start(desk, name);
            self.find_containers_gone(name, desk);
            if let Some(silence) = silence {
                desk.mark_after(Key::cluster(name), silence);
                return;
            }
        }
        if desk.kubelets.contains(name) {
            node_status::beat(desk, name);
            desk.mark_every(Key::cluster(name), desk.timings.lease_renew);
        }
    }

    /// After a boot no container runs: what was there is to be started again, what was ending has ended.
    fn find_containers_gone(&mut self, node: &str, desk: &mut Desk) {
        let now = desk.stamp("");
        let pods: Vec<Object> = desk.index.pods_on(node).filter(|pod| !is_terminal(pod)).cloned().collect();
        for pod in pods {
            let local = self.pods.entry(uid(&pod).to_owned()).or_default();
            *local = Local::default();
            if is_deleting(&pod) {
                local.stop_at = Some(Instant::now());
            } else if phase(&pod) == "Running" {
                let fails = text(&pod, "/spec/restartPolicy") == "Never";
                local.is_interrupted = !fails;
                let key = Key::of(&pod);
                desk.modify(&PODS, &key, |pod| {
                    if fails { pods::finish(pod, false, &now) } else { pods::interrupt(pod, &now) }
                });
                if !fails {
                    let message = "Pod sandbox changed, it will be killed and re-created.";
                    desk.tell(&pod, "SandboxChanged", message, COMPONENT);
                }
            }
            desk.mark(Key::of(&pod));
        }
    }

    fn sync_pod(&mut self, key: &Key, pod: &Object, desk: &mut Desk) {
        let local = self.pods.entry(uid(pod).to_owned()).or_default();
        if is_deleting(pod) {
            stop(desk, key, pod, local);
        } else if is_terminal(pod) {
        } else if phase(pod) == "Running" && !local.is_interrupted {
            if pods::crashes(pod) {
                crash(desk, key, pod, local);
            } else if is_ready(pod) {
                end(desk, key, pod, local);
            } else {
                make_ready(desk, key, pod, local);
            }
        } else {
            start(desk, key, pod, local);
        }
    }
}

/// Whether the moment has come; otherwise the pod is looked at then.
fn is_due(desk: &mut Desk, key: &Key, slot: &mut Option<Instant>, after: Duration) -> bool {
    let at = *slot.get_or_insert_with(|| desk.moment(after));
    if at > Instant::now() {
        desk.mark_at(key.clone(), at);
        return false;
    }
    *slot = None;
    true
}

fn start(desk: &mut Desk, key: &Key, pod: &Object, local: &mut Local) {
    let after = pods::span(pod, "start").unwrap_or(desk.timings.pod_start.0);
    if !is_due(desk, key, &mut local.start_at, after) {
        return;
    }
    local.is_interrupted = false;
    let node = node_of(pod);
    let host = desk.machines.get(node).map(|m| m.address().to_owned()).unwrap_or_default();
    let is_host_network = pod["spec"]["hostNetwork"] == true;
    let address = if is_host_network { host.clone() } else { free_address(desk, node, pod) };
    let now = stamp(desk, pod);
    let at_once = desk.is_settling() && !pods::crashes(pod);
    desk.modify(&PODS, key, |pod| {
        pods::run(pod, &host, &address, &now);
        if at_once {
            pods::set_ready(pod, true, &now);
        }
    });
    for container in items(pod, "/spec/containers") {
        let (name, image) = (text(container, "/name"), text(container, "/image"));
        let pulled = format!("Container image {image:?} already present on machine");
        desk.tell(pod, "Pulled", &pulled, COMPONENT);
        desk.tell(pod, "Created", &format!("Created container: {name}"), COMPONENT);
        desk.tell(pod, "Started", &format!("Started container {name}"), COMPONENT);
    }
}

/// While time stands still a pod started when it was made.
fn stamp(desk: &Desk, pod: &Value) -> String {
    if desk.is_settling() { text(pod, "/metadata/creationTimestamp").to_owned() } else { desk.stamp("") }
}

/// An address of the node's pod network that no pod of the node has; a pod keeps the one it has.
fn free_address(desk: &Desk, node: &str, pod: &Value) -> String {
    let own = text(pod, "/status/podIP");
    if !own.is_empty() {
        return own.to_owned();
    }
    let used: std::collections::HashSet<&str> =
        desk.index.pods_on(node).map(|pod| text(pod, "/status/podIP")).collect();
    let prefix = nodes::pod_prefix(node_status::place(desk, node));
    (2..=254)
        .map(|last| format!("{prefix}.{last}"))
        .find(|ip| !used.contains(ip.as_str()))
        .unwrap_or_default()
}

fn make_ready(desk: &mut Desk, key: &Key, pod: &Object, local: &mut Local) {
    let after = pods::span(pod, "ready").unwrap_or(desk.timings.pod_ready.0);
    if is_due(desk, key, &mut local.ready_at, after) {
        let now = stamp(desk, pod);
        desk.modify(&PODS, key, |pod| pods::set_ready(pod, true, &now));
    }
}

/// Ends a pod whose work is done.
fn end(desk: &mut Desk, key: &Key, pod: &Object, local: &mut Local) {
    let Some(length) = pods::span(pod, "runs") else { return };
    if is_due(desk, key, &mut local.end_at, length) {
        let now = stamp(desk, pod);
        desk.modify(&PODS, key, |pod| pods::finish(pod, true, &now));
    }
}

/// A crashing pod: two seconds up, then down until the back-off is over.
fn crash(desk: &mut Desk, key: &Key, pod: &Object, local: &mut Local) {
    let count = pods::restarts(pod);
    let back_off = back_off(count);
    let now = stamp(desk, pod);
    let is_waiting = !pod["status"]["containerStatuses"][0]["state"]["waiting"].is_null();
    if is_waiting {
        if desk.is_settling() {
            return;
        }
        if is_due(desk, key, &mut local.crash_at, back_off) {
            let (host, address) =
                (text(pod, "/status/hostIP").to_owned(), text(pod, "/status/podIP").to_owned());
            desk.modify(&PODS, key, |pod| {
                for status in pod["status"]["containerStatuses"].as_array_mut().into_iter().flatten() {
                    status["restartCount"] = (count + 1).into();
                }
                pods::run(pod, &host, &address, &now);
            });
        }
    } else if is_due(desk, key, &mut local.crash_at, CRASH_AFTER) {
        desk.modify(&PODS, key, |pod| pods::crash(pod, count, back_off, &now));
        let container = text(pod, "/spec/containers/0/name");
        let message = format!(
            "Back-off restarting failed container {container} in pod {}_{}({})",
            key.name,
            key.namespace,
            uid(pod)
        );
        desk.warn(pod, "BackOff", &message, COMPONENT);
    }
}

/// 10 s, doubled with each restart, five minutes at most.
fn back_off(restarts: i64) -> Duration {
    let doublings = u32::try_from(restarts.clamp(0, 5)).unwrap_or_default();
    (Duration::from_secs(10) * 2_u32.pow(doublings)).min(LONGEST_BACK_OFF)
}

/// Ends a pod that is being deleted, after its containers have stopped or the grace period is over, whichever is first.
fn stop(desk: &mut Desk, key: &Key, pod: &Object, local: &mut Local) {
    let grace = int(pod, "/metadata/deletionGracePeriodSeconds").unwrap_or_default();
    let grace = Duration::from_secs(u64::try_from(grace).unwrap_or_default());
    let usual = pods::span(pod, "stop").unwrap_or(desk.timings.pod_stop.0);
    let runs = !is_mirror(pod) && phase(pod) == "Running";
    let until = desk.moment(if runs { usual.min(grace) } else { Duration::ZERO });
    let at = local.stop_at.map_or(until, |at| at.min(until));
    if local.stop_at.is_none() && runs {
        for container in items(pod, "/spec/containers") {
            let message = format!("Stopping container {}", text(container, "/name"));
            desk.tell(pod, "Killing", &message, COMPONENT);
        }
    }
    local.stop_at = Some(at);
    if at > Instant::now() {
        desk.mark_at(key.clone(), at);
        return;
    }
    if !super::read::finalizers(pod).is_empty() && !is_terminal(pod) {
        let now = desk.stamp("");
        desk.modify(&PODS, key, |pod| pods::finish(pod, true, &now));
    }
    desk.delete_now(key, uid(pod));
}
