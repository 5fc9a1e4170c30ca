//! A roll over a whole cluster whose process is killed with SIGKILL again and again, and resumed each time: every node reboots
//! exactly once, and never more are away than allowed. The cluster is served by another process, which keeps the history.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "support/served.rs"]
mod served;

use serde_json::Value;
use served::Served;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;

const NODES: [&str; 6] = ["cp-1", "cp-2", "cp-3", "worker-1", "worker-2", "worker-3"];

/// Runs it until it ends or the hook kills it; whether it was killed.
fn run(served: &Served, args: &[&str], die_at: Option<&str>) -> bool {
    let mut command = served.command();
    command.args(args);
    if let Some(text) = die_at {
        command.env("PITSTOP_DIE_AT", text);
    }
    let output = command.output().expect("pitstop runs");
    let killed = output.status.signal() == Some(9);
    assert!(
        killed || output.status.success(),
        "{args:?} dying at {die_at:?}: {:?}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    killed
}

/// The id of the roll, by its journal.
fn roll(served: &Served) -> String {
    let runs = served.home().join("state/pitstop/runs");
    let names = std::fs::read_dir(runs).expect("journals").map(|entry| entry.expect("one").file_name());
    let mut rolls: Vec<String> = names
        .filter_map(|name| name.to_string_lossy().strip_suffix(".jsonl").map(str::to_owned))
        .filter(|name| name.starts_with("roll-"))
        .collect();
    assert_eq!(rolls.len(), 1, "one roll, whatever became of its processes: {rolls:?}");
    rolls.remove(0)
}

async fn get(served: &Served, path: &str) -> Value {
    use kube::config::{KubeConfigOptions, Kubeconfig};
    let text = std::fs::read_to_string(served.sim().join("kubeconfig")).expect("a kubeconfig");
    let config = Kubeconfig::from_yaml(&text).expect("a kubeconfig");
    let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await;
    let client = kube::Client::try_from(config.expect("usable")).expect("a client");
    let request = http::Request::get(path).body(Vec::new()).expect("a request");
    client.request(request).await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_roll_survives_every_death() {
    let served = Served::start("default");
    let config = served.sim().join("config.toml");
    let text = std::fs::read_to_string(&config).expect("its configuration");
    // a host that was asked is gone within 2 s here, as the cluster is that much faster than life
    std::fs::write(&config, text.replace("settle = ", "gone = \"3s\"\nsettle = ")).expect("written");

    let deaths = [
        // a turn has begun, its run has not
        "\"run\":\"roll-&\"event\":\"step_started\",\"step\":5",
        "\"event\":\"turn_began\"",
        "\"line\":\"header\"&\"parent\":",
        "\"line\":\"intent\"&\"change\":\"reboot ",
        "\"line\":\"result\"&\"change\":\"reboot ",
        "\"line\":\"intent\"&\"change\":\"unmark ",
        "\"event\":\"finished\",\"state\":\"done\"",
        "\"line\":\"intent\"&\"change\":\"evict ",
        "\"line\":\"result\"&\"change\":\"uncordon ",
        "\"line\":\"intent\"&\"change\":\"cordon worker",
    ];
    let first = [
        "run",
        "roll",
        "--all",
        "--max-unavailable",
        "2",
        "--control-plane-interval",
        "0",
        "--node-interval",
        "0",
        "--canary-pause",
        "0",
        "--yes",
    ];
    for (count, death) in deaths.iter().map(|death| Some(*death)).chain([None]).enumerate() {
        let id = (count > 0).then(|| roll(&served));
        let again = id.as_deref().map(|id| ["runs", "resume", id, "--yes"]);
        let args = again.as_ref().map_or(&first[..], |again| &again[..]);
        let is_killed = run(&served, args, death);
        assert_eq!(is_killed, death.is_some(), "process {count} at {death:?}");
    }
    whole(&served).await;
    bounds(&served).await;
}

/// Every node rebooted once and is as it was; nothing is left.
async fn whole(served: &Served) {
    let events = get(served, "/api/v1/events").await;
    let mut reboots: BTreeMap<String, u64> = BTreeMap::new();
    for event in
        events["items"].as_array().expect("events").iter().filter(|event| event["reason"] == "Rebooted")
    {
        let node = event["involvedObject"]["name"].as_str().expect("a node").to_owned();
        *reboots.entry(node).or_default() += event["count"].as_u64().unwrap_or(1);
    }
    let once: BTreeMap<String, u64> = NODES.iter().map(|node| ((*node).to_owned(), 1)).collect();
    assert_eq!(reboots, once);
    let nodes = get(served, "/api/v1/nodes").await;
    for node in nodes["items"].as_array().expect("nodes") {
        assert!(node["spec"]["unschedulable"] != true, "{node}");
        let taints = node["spec"]["taints"].to_string();
        assert!(!taints.contains("pitstop.dev"), "{taints}");
        let notes = node["metadata"]["annotations"].to_string();
        assert!(!notes.contains("pitstop.dev/"), "{notes}");
    }
    let lease = get(served, "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/pitstop").await;
    assert!(lease["spec"]["holderIdentity"].is_null(), "{lease}");
    let output = served.command().args(["runs", "list"]).output().expect("a list");
    let list = String::from_utf8_lossy(&output.stdout);
    assert_eq!(list.lines().count(), 1, "the runs of the nodes are a part of the roll: {list}");
    let output = served.command().args(["runs", "report", "-o", "json"]).output().expect("a report");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["state"], "done");
    assert_eq!(report["turns"].as_array().expect("turns").len(), NODES.len());
}

/// By the server's history: who was cordoned at the same time, and no pod was evicted twice.
async fn bounds(served: &Served) {
    let history = get(served, "/sim/history").await;
    let (mut away, mut evicted): (BTreeSet<String>, BTreeMap<String, usize>) = Default::default();
    for entry in history.as_array().expect("a history") {
        let path = entry["path"].as_str().unwrap_or_default();
        if path.ends_with("/eviction") && entry["code"] == 201 {
            let uid = entry["body"]["deleteOptions"]["preconditions"]["uid"].as_str().expect("pinned");
            *evicted.entry(uid.to_owned()).or_default() += 1;
        }
        let Some(node) = path.strip_prefix("/api/v1/nodes/").filter(|_| entry["code"] == 200) else {
            continue;
        };
        match &entry["body"]["spec"]["unschedulable"] {
            Value::Bool(true) => away.insert(node.to_owned()),
            Value::Null if !entry["body"]["spec"].is_null() && entry["body"]["spec"]["taints"].is_null() => {
                away.remove(node)
            }
            _ => continue,
        };
        let masters = away.iter().filter(|node| node.starts_with("cp-")).count();
        let workers = away.len() - masters;
        assert!(masters <= 1 && workers <= 2 && (masters == 0 || workers == 0), "{away:?}");
    }
    assert!(away.is_empty(), "{away:?}");
    assert!(evicted.values().all(|times| *times == 1), "{evicted:?}");
}
