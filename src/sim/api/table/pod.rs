//! The row of a pod, whose status is the most intricate of all (`printPod`).

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Column, age, human, items, number, text_or};
use crate::sim::store::{clock, meta};

pub(super) const COLUMNS: &[Column] = &[
    ("Name", "string", 0),
    ("Ready", "string", 0),
    ("Status", "string", 0),
    ("Restarts", "string", 0),
    ("Age", "string", 0),
    ("IP", "string", 1),
    ("Node", "string", 1),
    ("Nominated Node", "string", 1),
    ("Readiness Gates", "string", 1),
];

/// What the containers of a pod amount to.
struct Sum {
    reason: String,
    ready: usize,
    restarts: i64,
    restarted: Option<Timestamp>,
}

fn restart_time(status: &Value) -> Option<Timestamp> {
    status["lastState"]["terminated"]["finishedAt"].as_str().and_then(clock::parse)
}

fn ended(prefix: &str, terminated: &Value) -> String {
    if let Some(reason) = terminated["reason"].as_str().filter(|reason| !reason.is_empty()) {
        return format!("{prefix}{reason}");
    }
    match terminated["signal"].as_i64() {
        Some(signal) if signal != 0 => format!("{prefix}Signal:{signal}"),
        _ => format!("{prefix}ExitCode:{}", number(&terminated["exitCode"])),
    }
}

/// The reason while init containers run.
fn initializing(pod: &Value, sum: &mut Sum) -> bool {
    let total = items(&pod["spec"]["initContainers"]).len();
    for (at, status) in items(&pod["status"]["initContainerStatuses"]).iter().enumerate() {
        sum.restarts += number(&status["restartCount"]);
        let state = &status["state"];
        let sidecar = items(&pod["spec"]["initContainers"])
            .iter()
            .any(|c| c["name"] == status["name"] && c["restartPolicy"] == "Always");
        if state["terminated"]["exitCode"] == 0 || (sidecar && status["started"] == true) {
            continue;
        }
        let waiting = state["waiting"]["reason"].as_str().unwrap_or_default();
        sum.reason = if state["terminated"].is_object() {
            ended("Init:", &state["terminated"])
        } else if !waiting.is_empty() && waiting != "PodInitializing" {
            format!("Init:{waiting}")
        } else {
            format!("Init:{at}/{total}")
        };
        return true;
    }
    false
}

fn running(pod: &Value, sum: &mut Sum) {
    sum.restarts = 0;
    let mut some_running = false;
    for status in items(&pod["status"]["containerStatuses"]).iter().rev() {
        sum.restarts += number(&status["restartCount"]);
        sum.restarted = sum.restarted.max(restart_time(status));
        let state = &status["state"];
        if let Some(reason) = state["waiting"]["reason"].as_str().filter(|reason| !reason.is_empty()) {
            reason.clone_into(&mut sum.reason);
        } else if state["terminated"].is_object() {
            sum.reason = ended("", &state["terminated"]);
        } else if status["ready"] == true && state["running"].is_object() {
            some_running = true;
            sum.ready += 1;
        }
    }
    if sum.reason == "Completed" && some_running {
        let ready =
            items(&pod["status"]["conditions"]).iter().any(|c| c["type"] == "Ready" && c["status"] == "True");
        if ready { "Running" } else { "NotReady" }.clone_into(&mut sum.reason);
    }
}

fn summed(pod: &Value) -> Sum {
    let phase = pod["status"]["phase"].as_str().unwrap_or_default();
    let own = pod["status"]["reason"].as_str().unwrap_or_default();
    let reason = if own.is_empty() { phase } else { own }.to_owned();
    let mut sum = Sum { reason, ready: 0, restarts: 0, restarted: None };
    let gated = items(&pod["status"]["conditions"])
        .iter()
        .any(|c| c["type"] == "PodScheduled" && c["reason"] == "SchedulingGated");
    if gated {
        "SchedulingGated".clone_into(&mut sum.reason);
    }
    if !initializing(pod, &mut sum) {
        running(pod, &mut sum);
    }
    if meta::is_deleting(pod) {
        if own == "NodeLost" {
            "Unknown".clone_into(&mut sum.reason);
        } else if !matches!(phase, "Succeeded" | "Failed") {
            "Terminating".clone_into(&mut sum.reason);
        }
    }
    sum
}

pub(super) fn cells(pod: &Value, now: Timestamp) -> Vec<Value> {
    let sum = summed(pod);
    let restarts = match sum.restarted {
        Some(at) if sum.restarts > 0 => {
            format!("{} ({} ago)", sum.restarts, human(now.duration_since(at).as_secs()))
        }
        _ => sum.restarts.to_string(),
    };
    let gates = items(&pod["spec"]["readinessGates"]);
    let open = gates
        .iter()
        .filter(|gate| {
            items(&pod["status"]["conditions"])
                .iter()
                .any(|c| c["type"] == gate["conditionType"] && c["status"] == "True")
        })
        .count();
    let gates = if gates.is_empty() { "<none>".to_owned() } else { format!("{open}/{}", gates.len()) };
    vec![
        json!(meta::name(pod)),
        json!(format!("{}/{}", sum.ready, items(&pod["spec"]["containers"]).len())),
        json!(sum.reason),
        json!(restarts),
        age(pod, now),
        text_or(&pod["status"]["podIP"], "<none>"),
        text_or(&pod["spec"]["nodeName"], "<none>"),
        text_or(&pod["status"]["nominatedNodeName"], "<none>"),
        json!(gates),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(pod: &Value) -> (String, String) {
        let cells = cells(pod, Timestamp::UNIX_EPOCH);
        (cells[1].as_str().unwrap().to_owned(), cells[2].as_str().unwrap().to_owned())
    }

    #[test]
    fn the_status_of_a_pod() {
        let mut pod = json!({
            "metadata": { "name": "x" }, "spec": { "containers": [{ "name": "a" }] },
            "status": { "phase": "Running", "containerStatuses": [
                { "name": "a", "ready": true, "restartCount": 0, "state": { "running": {} } }] },
        });
        assert_eq!(status(&pod), ("1/1".into(), "Running".into()));
        pod["status"]["containerStatuses"][0] = json!({ "name": "a", "restartCount": 3, "state": { "waiting": { "reason": "CrashLoopBackOff" } } });
        assert_eq!(status(&pod), ("0/1".into(), "CrashLoopBackOff".into()));
        pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(status(&pod).1, "Terminating");
        let init = json!({
            "spec": { "initContainers": [{ "name": "i" }], "containers": [{}] },
            "status": { "phase": "Pending", "initContainerStatuses": [{ "name": "i", "state": { "running": {} } }] },
        });
        assert_eq!(status(&init).1, "Init:0/1");
    }
}
