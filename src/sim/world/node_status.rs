//! What a kubelet says about its node: registration, heartbeats, reboots, cordons.

use std::time::Duration;

use serde_json::{Value, json};

use super::desk::Desk;
use super::nodes::{self, LEASE_NAMESPACE};
use super::read::{Key, condition, int, is_ready, set_condition, text};
use crate::sim::store::resources::{LEASES, NODES};
use crate::sim::store::{ChangeKind, Object, clock};

const COMPONENT: &str = "kubelet";
/// How often a kubelet reports a status that has not changed (`nodeStatusReportFrequency`).
const REPORT: Duration = Duration::from_mins(5);

/// Renews the lease of a node; reports its status when that is due. Nothing when the Node object is gone: a kubelet
/// registers only when it starts.
pub fn beat(desk: &mut Desk, name: &str) {
    let Some(node) = desk.get(&NODES, &Key::cluster(name)) else { return };
    let ahead =
        desk.specs.get(name).and_then(|spec| spec.clock_ahead).map_or(Duration::ZERO, |ahead| ahead.0);
    let renewed = clock::micros(desk.store.clock().timestamp() + ahead);
    let lease = Key::new(LEASE_NAMESPACE, name);
    let written = desk.modify(&LEASES, &lease, |lease| lease["spec"]["renewTime"] = renewed.clone().into());
    if written.is_none() {
        let lease = nodes::lease(&node, &renewed);
        desk.create(&LEASES, lease);
    }
    let reported = condition(&node, "Ready").map_or("", |ready| text(ready, "/lastHeartbeatTime"));
    if !is_ready(&node) || (!desk.is_settling() && desk.age(reported) >= desk.delay(REPORT)) {
        report(desk, &node);
    }
}

/// Posts healthy conditions.
fn report(desk: &mut Desk, node: &Object) {
    let now = desk.stamp("");
    let was_ready = is_ready(node);
    desk.modify(&NODES, &Key::of(node), |node| {
        for state in super::read::items(&json!({ "all": nodes::healthy_conditions(&now) }), "/all") {
            set_condition(node, state.clone(), &now);
        }
    });
    if !was_ready {
        let name = text(node, "/metadata/name");
        desk.tell(node, "NodeReady", &format!("Node {name} status is now: NodeReady"), COMPONENT);
    }
}

/// A kubelet has started after a boot: it registers the node if need be, reports its boot, and says so.
pub fn start(desk: &mut Desk, name: &str) {
    let Some(machine) = desk.machines.get(name).cloned() else { return };
    let boot_id = machine.boot_id();
    let node = match desk.get(&NODES, &Key::cluster(name)) {
        Some(node) => node,
        None => match register(desk, name) {
            Some(node) => node,
            None => return,
        },
    };
    desk.tell(&node, "Starting", "Starting kubelet.", COMPONENT);
    if text(&node, "/status/nodeInfo/bootID") != boot_id {
        desk.modify(&NODES, &Key::cluster(name), |node| {
            node["status"]["nodeInfo"]["bootID"] = boot_id.clone().into();
        });
        desk.warn(
            &node,
            "Rebooted",
            &format!("Node {name} has been rebooted, boot id: {boot_id}"),
            COMPONENT,
        );
    }
    for (reason, what) in [
        ("NodeHasSufficientMemory", "NodeHasSufficientMemory"),
        ("NodeHasNoDiskPressure", "NodeHasNoDiskPressure"),
        ("NodeHasSufficientPID", "NodeHasSufficientPID"),
    ] {
        desk.tell(&node, reason, &format!("Node {name} status is now: {what}"), COMPONENT);
    }
    report(desk, &node);
}

fn register(desk: &mut Desk, name: &str) -> Option<Object> {
    let (spec, machine) = (desk.specs.get(name)?, desk.machines.get(name)?);
    let now = desk.stamp("");
    let fresh = crate::sim::scenario::NodeSpec { cordoned: false, ..spec.clone() };
    let object = nodes::object(&fresh, machine, &desk.cluster, place(desk, name), &now);
    desk.create(&NODES, object)
}

/// The place of a node among all, which gives its pod network.
pub fn place(desk: &Desk, name: &str) -> usize {
    desk.specs.keys().position(|known| known == name).unwrap_or_default()
}

/// Says that a node was cordoned or uncordoned.
pub fn tell_of_cordon(desk: &mut Desk, change: &super::Change) {
    let cordoned = |node: &Value| node["spec"]["unschedulable"] == true;
    let Some(previous) = &change.previous else { return };
    let (before, after) = (cordoned(previous), cordoned(&change.object));
    if change.kind != ChangeKind::Modified || before == after {
        return;
    }
    let reason = if after { "NodeNotSchedulable" } else { "NodeSchedulable" };
    let message = format!("Node {} status is now: {reason}", text(&change.object, "/metadata/name"));
    desk.tell(&change.object, reason, &message, COMPONENT);
}

/// How many pods fit on a node.
pub fn capacity(node: &Value) -> usize {
    let pods = &node["status"]["allocatable"]["pods"];
    let count = pods.as_str().and_then(|text| text.parse().ok()).or_else(|| int(pods, ""));
    count.and_then(|count| usize::try_from(count).ok()).unwrap_or(110)
}
