//! Pods: how they are made of a template, and what their status says at each stage of their life.

use std::time::Duration;

use serde_json::{Value, json};

use super::desk::{Desk, owner_reference};
use super::read::{Key, annotation, items, set_condition, text};
use crate::sim::scenario::Span;
use crate::sim::store::resources::{PRIORITY_CLASSES, Resource};

/// Prefix of the annotations by which a pod says how it behaves in the simulated world: `start`, `ready`, `stop`, `runs`
/// (lengths of time), `crash` (`true`), `restarts` (a number to begin with).
pub const BEHAVIOUR: &str = "sim.pitstop.dev/";

/// How long a stage of a pod takes, when the pod says so.
pub fn span(pod: &Value, stage: &str) -> Option<Duration> {
    Span::parse(annotation(pod, &format!("{BEHAVIOUR}{stage}"))).map(Duration::from)
}

/// Whether the pod's containers crash again and again.
pub fn crashes(pod: &Value) -> bool {
    annotation(pod, &format!("{BEHAVIOUR}crash")) == "true"
}

/// A pod as a controller makes it of its template; `name` ends in `-` when the server is to complete it.
pub fn from_template(desk: &Desk, resource: &Resource, owner: &Value, name: &str) -> Value {
    let template = &owner["spec"]["template"];
    let mut metadata = json!({
        "namespace": owner["metadata"]["namespace"], "ownerReferences": owner_reference(resource, owner),
    });
    if name.ends_with('-') {
        metadata["generateName"] = name.into();
    } else {
        metadata["name"] = name.into();
    }
    for field in ["labels", "annotations", "finalizers"] {
        if !template["metadata"][field].is_null() {
            metadata[field] = template["metadata"][field].clone();
        }
    }
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"],
        "status": { "phase": "Pending", "qosClass": "BestEffort" },
    });
    complete_spec(desk, &mut pod["spec"]);
    pod
}

/// Fills in what the server's defaults and admission plugins would.
pub fn complete_spec(desk: &Desk, spec: &mut Value) {
    for (field, value) in [
        ("restartPolicy", json!("Always")),
        ("terminationGracePeriodSeconds", json!(30)),
        ("dnsPolicy", json!("ClusterFirst")),
        ("schedulerName", json!("default-scheduler")),
        ("serviceAccountName", json!("default")),
        ("serviceAccount", json!("default")),
        ("enableServiceLinks", json!(true)),
        ("preemptionPolicy", json!("PreemptLowerPriority")),
        ("securityContext", json!({})),
    ] {
        if spec[field].is_null() {
            spec[field] = value;
        }
    }
    let class = spec["priorityClassName"].as_str().unwrap_or_default();
    if spec["priority"].is_null() {
        let found = desk.get(&PRIORITY_CLASSES, &Key::cluster(class));
        spec["priority"] = found.map_or(0.into(), |class| class["value"].clone());
    }
    for condition in ["not-ready", "unreachable"] {
        let key = format!("node.kubernetes.io/{condition}");
        let taint = json!({ "key": key, "effect": "NoExecute" });
        if !super::select::tolerates(items(spec, "/tolerations"), &taint) {
            let own =
                json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 });
            match spec["tolerations"].as_array_mut() {
                Some(all) => all.push(own),
                None => spec["tolerations"] = json!([own]),
            }
        }
    }
}

/// The containers run: phase Running, not Ready yet.
pub fn run(pod: &mut Value, host: &str, address: &str, now: &str) {
    let restarts = restarts(pod);
    let statuses: Vec<Value> = items(pod, "/spec/containers")
        .iter()
        .map(|container| {
            let mut status =
                container_status(container, restarts, &json!({ "running": { "startedAt": now } }));
            status["started"] = true.into();
            status
        })
        .collect();
    carry_last_state(pod, statuses);
    let status = &mut pod["status"];
    status["phase"] = "Running".into();
    status["hostIP"] = host.into();
    status["hostIPs"] = json!([{ "ip": host }]);
    status["podIP"] = address.into();
    status["podIPs"] = json!([{ "ip": address }]);
    if status["startTime"].is_null() {
        status["startTime"] = now.into();
    }
    for kind in ["PodReadyToStartContainers", "Initialized", "PodScheduled"] {
        set_condition(pod, json!({ "type": kind, "status": "True" }), now);
    }
    set_ready(pod, false, now);
}

/// The containers become Ready or cease to be.
pub fn set_ready(pod: &mut Value, is_ready: bool, now: &str) {
    for status in pod["status"]["containerStatuses"].as_array_mut().into_iter().flatten() {
        status["ready"] = is_ready.into();
    }
    for kind in ["ContainersReady", "Ready"] {
        let mut state = json!({ "type": kind, "status": if is_ready { "True" } else { "False" } });
        if is_ready {
            state["reason"] = Value::Null;
            state["message"] = Value::Null;
        } else {
            let names: Vec<&str> = items(pod, "/spec/containers").iter().map(|c| text(c, "/name")).collect();
            state["reason"] = "ContainersNotReady".into();
            state["message"] = format!("containers with unready status: [{}]", names.join(" ")).into();
        }
        set_condition(pod, state, now);
    }
    drop_nulls(pod);
}

/// Conditions of a Ready pod have no reason and no message.
fn drop_nulls(pod: &mut Value) {
    for condition in pod["status"]["conditions"].as_array_mut().into_iter().flatten() {
        if let Some(fields) = condition.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
    }
}

/// The containers were ended from outside (a reboot): they are to be made anew, one restart more.
pub fn interrupt(pod: &mut Value, now: &str) {
    let count = restarts(pod) + 1;
    let ended = json!({ "terminated": {
        "exitCode": 255, "reason": "Unknown", "startedAt": text(pod, "/status/startTime"), "finishedAt": now } });
    wait_as(pod, count, &ended, &json!({ "reason": "ContainerCreating" }));
    set_ready(pod, false, now);
}

/// A container has crashed; the kubelet waits for `back_off` before it starts it again.
pub fn crash(pod: &mut Value, count: i64, back_off: Duration, now: &str) {
    let (minutes, seconds) = (back_off.as_secs() / 60, back_off.as_secs() % 60);
    let length = if minutes > 0 { format!("{minutes}m{seconds}s") } else { format!("{seconds}s") };
    let container = text(pod, "/spec/containers/0/name").to_owned();
    let message = format!(
        "back-off {length} restarting failed container={container} pod={}_{}({})",
        text(pod, "/metadata/name"),
        text(pod, "/metadata/namespace"),
        text(pod, "/metadata/uid")
    );
    let ended =
        json!({ "terminated": { "exitCode": 1, "reason": "Error", "startedAt": now, "finishedAt": now } });
    wait_as(pod, count, &ended, &json!({ "reason": "CrashLoopBackOff", "message": message }));
    set_ready(pod, false, now);
}

fn wait_as(pod: &mut Value, count: i64, ended: &Value, waiting: &Value) {
    let statuses: Vec<Value> = items(pod, "/spec/containers")
        .iter()
        .map(|container| {
            let mut status = container_status(container, count, &json!({ "waiting": waiting }));
            status["lastState"] = ended.clone();
            status
        })
        .collect();
    pod["status"]["containerStatuses"] = statuses.into();
}

/// The containers have ended for good: phase Succeeded or Failed.
pub fn finish(pod: &mut Value, succeeded: bool, now: &str) {
    let count = restarts(pod);
    let started = text(pod, "/status/startTime").to_owned();
    let (code, reason) = if succeeded { (0, "Completed") } else { (255, "Unknown") };
    let ended = json!({ "terminated": {
        "exitCode": code, "reason": reason, "startedAt": started, "finishedAt": now } });
    let statuses: Vec<Value> = items(pod, "/spec/containers")
        .iter()
        .map(|container| container_status(container, count, &ended))
        .collect();
    pod["status"]["containerStatuses"] = statuses.into();
    set_ready(pod, false, now);
    pod["status"]["phase"] = if succeeded { "Succeeded" } else { "Failed" }.into();
    for state in pod["status"]["conditions"].as_array_mut().into_iter().flatten() {
        if succeeded && matches!(text(state, "/type"), "Ready" | "ContainersReady") {
            state["reason"] = "PodCompleted".into();
        }
    }
}

/// How often the containers were restarted.
pub fn restarts(pod: &Value) -> i64 {
    items(pod, "/status/containerStatuses")
        .iter()
        .filter_map(|status| status["restartCount"].as_i64())
        .max()
        .unwrap_or_else(|| annotation(pod, &format!("{BEHAVIOUR}restarts")).parse().unwrap_or_default())
}

fn container_status(container: &Value, restarts: i64, state: &Value) -> Value {
    let image = text(container, "/image");
    let id = format!("{:08x}", super::read::fingerprint(&format!("{image}{restarts}")));
    json!({
        "name": container["name"], "image": image, "imageID": format!("{image}@sha256:{}", id.repeat(8)),
        "containerID": format!("containerd://{}", id.repeat(8)),
        "ready": false, "started": false, "restartCount": restarts, "state": state, "lastState": {},
    })
}

fn carry_last_state(pod: &mut Value, mut statuses: Vec<Value>) {
    for (next, before) in statuses.iter_mut().zip(items(pod, "/status/containerStatuses")) {
        next["lastState"] = before["lastState"].clone();
    }
    pod["status"]["containerStatuses"] = statuses.into();
}
