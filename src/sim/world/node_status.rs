//! What a kubelet says about its node: registration, heartbeats, reboots, cordons.

use std::time::Duration;

use serde_json::{Value, json};

use super::desk::Desk;
use super::nodes::{self, LEASE_NAMESPACE};
use super::read::{Key, condition, int, is_ready, set_condition, text};
use super::static_pods;
use crate::sim::scenario::NodeSpec;
use crate::sim::store::resources::{LEASES, NODES, PODS};
use crate::sim::store::{ChangeKind, Object, clock};

const COMPONENT: &str = "kubelet";
/// How often a kubelet reports a status that has not changed (`nodeStatusReportFrequency`).
const REPORT: Duration = Duration::from_mins(5);
/// From the first start of a kubelet that joins until its node has a network.
const JOINS: Duration = Duration::from_secs(8);

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

/// A kubelet that cannot reach its container runtime: the node is not ready, nor are its pods.
pub fn falter(desk: &mut Desk, name: &str) {
    let Some(node) = desk.get(&NODES, &Key::cluster(name)) else { return };
    desk.kubelets.remove(name);
    let now = desk.stamp("");
    let state = json!({
        "type": "Ready", "status": "False", "reason": "KubeletNotReady", "lastHeartbeatTime": now,
        "message": "[container runtime is down, PLEG is not healthy: pleg was last seen active 3m2s ago; threshold is 3m0s]",
    });
    desk.modify(&NODES, &Key::cluster(name), |node| set_condition(node, state, &now));
    desk.tell(&node, "NodeNotReady", &format!("Node {name} status is now: NodeNotReady"), COMPONENT);
    let pods: Vec<Key> =
        desk.index.pods_on(name).filter(|pod| is_ready(pod)).map(|pod| Key::of(pod)).collect();
    for pod in pods {
        desk.modify(&PODS, &pod, |pod| {
            set_condition(pod, json!({ "type": "Ready", "status": "False" }), &now);
        });
    }
}

/// A kubelet has started after a boot or anew: it registers the node if need be, reports its boot and its software, and
/// says so. Returns how long it is until it can report more: a node that has just joined has no network yet.
pub fn start(desk: &mut Desk, name: &str) -> Option<Duration> {
    let machine = desk.machines.get(name).cloned()?;
    let boot_id = machine.boot_id();
    let known = desk.get(&NODES, &Key::cluster(name));
    let joins = known.is_none() && desk.specs.get(name).is_some_and(NodeSpec::is_spare);
    let node = match known {
        Some(node) => node,
        None => register(desk, name)?,
    };
    desk.tell(&node, "Starting", "Starting kubelet.", COMPONENT);
    let has_booted = joins || text(&node, "/status/nodeInfo/bootID") != boot_id;
    if has_booted && let Some(unsteady) = desk.specs.get_mut(name).and_then(|spec| spec.unsteady.take()) {
        desk.unsteady.push((name.to_owned(), unsteady));
    }
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
    report_software(desk, &node);
    for (reason, what) in [
        ("NodeHasSufficientMemory", "NodeHasSufficientMemory"),
        ("NodeHasNoDiskPressure", "NodeHasNoDiskPressure"),
        ("NodeHasSufficientPID", "NodeHasSufficientPID"),
    ] {
        desk.tell(&node, reason, &format!("Node {name} status is now: {what}"), COMPONENT);
    }
    if joins {
        return Some(JOINS);
    }
    report(desk, &node);
    None
}

/// The Ready condition of a node that has just joined.
fn no_network(now: &str) -> Value {
    json!({
        "type": "Ready", "status": "False", "reason": "KubeletNotReady", "lastHeartbeatTime": now,
        "message": "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady \
                    message:Network plugin returns error: cni plugin not initialized",
    })
}

/// Versions as the node has them now; static pods of another version are made anew.
fn report_software(desk: &mut Desk, node: &Object) {
    let name = text(node, "/metadata/name");
    let Some(spec) = desk.specs.get(name) else { return };
    let facts = [
        ("kubeletVersion", spec.version.clone().unwrap_or_else(|| desk.cluster.version.clone())),
        ("kernelVersion", spec.kernel.clone().unwrap_or_else(|| desk.cluster.kernel.clone())),
        ("osImage", spec.os.clone().unwrap_or_else(|| desk.cluster.os.clone())),
    ];
    let is_known = |(field, value): &(&str, String)| node["status"]["nodeInfo"][*field] == value.as_str();
    if facts.iter().all(is_known) {
        return;
    }
    let is_upgraded = !is_known(&facts[0]);
    desk.modify(&NODES, &Key::of(node), |node| {
        for (field, value) in facts {
            node["status"]["nodeInfo"][field] = value.into();
        }
    });
    if is_upgraded {
        static_pods::renew(desk, name);
    }
}

/// Creates the Node object.
fn register(desk: &mut Desk, name: &str) -> Option<Object> {
    let (spec, machine) = (desk.specs.get(name)?, desk.machines.get(name)?);
    let now = desk.stamp("");
    let fresh = NodeSpec { cordoned: false, ..spec.clone() };
    let mut object = nodes::object(&fresh, machine, &desk.cluster, place(desk, name), &now);
    if spec.is_spare() {
        set_condition(&mut object, no_network(&now), &now);
    }
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
