//! A control-plane reboot whose process is killed with SIGKILL, at every step's end and in the middle of every step, and
//! resumed each time: the cluster, which another process serves, must not notice.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "support/served.rs"]
mod served;

use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::Value;
use served::Served;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

/// The steps of a reboot.
const STEPS: usize = 16;

/// The cluster on which a run is killed again and again.
struct Stage {
    served: Served,
}

impl Stage {
    fn start() -> Self {
        let served = Served::start("default");
        // a host that was asked is gone within 2 s here, as the cluster is that much faster than life
        let config = served.sim().join("config.toml");
        let text = std::fs::read_to_string(&config).expect("its configuration");
        let text = text.replace("settle = ", "gone = \"3s\"\nsettle = ");
        std::fs::write(&config, text).expect("its configuration");
        Self { served }
    }

    /// Runs it until it ends or the hook kills it; whether it was killed.
    fn run(&self, args: &[&str], die_at: Option<&str>) -> bool {
        let mut command = self.served.command();
        command.args(args);
        if let Some(text) = die_at {
            command.env("PITSTOP_DIE_AT", text);
        }
        let output = command.output().expect("pitstop runs");
        let killed = is_killed(output.status);
        assert!(
            killed || output.status.success(),
            "{args:?} dying at {die_at:?}: {:?}\n{}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        killed
    }

    /// Runs it and kills it from outside as soon as it tells of progress in a step.
    fn run_until_progress(&self, args: &[&str], step: usize) -> bool {
        let mut child = self
            .served
            .command()
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it runs");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut told = Vec::new();
        for line in lines {
            let Ok(line) = line else { break };
            told.push(line.clone());
            let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
            if event["event"] == "progressed" && event["step"] == step {
                child.kill().expect("killed");
                break;
            }
        }
        let status = child.wait().expect("its end");
        assert!(is_killed(status), "{status:?} before any progress in step {step}: {}", told.join("\n"));
        true
    }

    fn journal(&self) -> PathBuf {
        let runs = self.served.home().join("state/pitstop/runs");
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(runs).expect("journals").map(|entry| entry.expect("one").path()).collect();
        assert_eq!(files.len(), 1, "one run, one journal: {files:?}");
        files.remove(0)
    }

    async fn get(&self, path: &str) -> Value {
        let text = std::fs::read_to_string(self.served.home().join("sim/kubeconfig")).expect("a kubeconfig");
        let config = Kubeconfig::from_yaml(&text).expect("a kubeconfig");
        let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default())
            .await
            .expect("usable");
        let client = kube::Client::try_from(config).expect("a client");
        let request = http::Request::get(path).body(Vec::new()).expect("a request");
        client.request(request).await.expect("an answer")
    }

    async fn boot_id(&self, node: &str) -> String {
        let node = self.get(&format!("/api/v1/nodes/{node}")).await;
        node["status"]["nodeInfo"]["bootID"].as_str().expect("a boot id").to_owned()
    }
}

fn is_killed(status: std::process::ExitStatus) -> bool {
    std::os::unix::process::ExitStatusExt::signal(&status) == Some(9)
}

/// Where a process is killed.
#[derive(Debug, Clone)]
enum Death {
    /// When this text is on the disk.
    At(String),
    /// From outside, when it tells of progress in this step.
    InProgressOf(usize),
}

/// One run, killed at each of the points in turn and resumed by the next process; the last one brings it to its end.
async fn killed_again_and_again(node: &str, deaths: &[Death]) {
    let served = Stage::start();
    let before = served.boot_id(node).await;
    let mut kills = Vec::new();
    for (count, death) in deaths.iter().chain([&Death::At(String::new())]).enumerate() {
        let run = id(&served, count);
        let args: Vec<&str> = match &run {
            None => vec!["run", "reboot", node, "--yes", "-o", "json"],
            Some(id) => vec!["runs", "resume", id, "--yes", "-o", "json"],
        };
        let is_killed = match death {
            Death::At(text) if text.is_empty() => served.run(&args, None),
            Death::At(text) => served.run(&args, Some(text)),
            Death::InProgressOf(step) => served.run_until_progress(&args, *step),
        };
        kills.push((death.clone(), is_killed));
        let is_over = !is_killed;
        assert!(!is_over || count == deaths.len(), "it ended before it was killed: {kills:?}");
    }
    untouched(&served, node, &before).await;
    accounted_for(&served, deaths.len());
}

fn id(served: &Stage, count: usize) -> Option<String> {
    (count > 0).then(|| served.journal().file_stem().expect("a name").to_string_lossy().into_owned())
}

/// What the server saw: one reboot, no pod evicted twice, the lock free, the node as it was found.
async fn untouched(served: &Stage, node: &str, before: &str) {
    assert_ne!(served.boot_id(node).await, before, "it has rebooted");
    let events = served.get("/api/v1/events").await;
    let reboots: u64 = events["items"]
        .as_array()
        .expect("events")
        .iter()
        .filter(|event| event["reason"] == "Rebooted" && event["involvedObject"]["name"] == *node)
        .map(|event| event["count"].as_u64().unwrap_or(1))
        .sum();
    assert_eq!(reboots, 1, "{events}");

    let history = served.get("/sim/history").await;
    let history = history.as_array().expect("a history");
    let mut evicted: BTreeMap<String, usize> = BTreeMap::new();
    for entry in
        history.iter().filter(|entry| entry["path"].as_str().is_some_and(|path| path.ends_with("/eviction")))
    {
        let uid = entry["body"]["deleteOptions"]["preconditions"]["uid"].as_str().expect("pinned to its uid");
        if entry["code"] == 201 {
            *evicted.entry(uid.to_owned()).or_default() += 1;
        }
    }
    assert!(!evicted.is_empty() && evicted.values().all(|times| *times == 1), "{evicted:?}");
    let cordons = history.iter().filter(|entry| {
        entry["path"] == format!("/api/v1/nodes/{node}")
            && entry["code"] == 200
            && entry["body"]["spec"]["unschedulable"] == true
    });
    assert_eq!(cordons.count(), 1, "cordoned once");

    let lease = served.get("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/pitstop").await;
    assert!(lease["spec"]["holderIdentity"].is_null(), "{lease}");
    let found = served.get(&format!("/api/v1/nodes/{node}")).await;
    assert!(found["spec"]["unschedulable"].as_bool() != Some(true), "{}", found["spec"]);
    let notes = found["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
    assert!(!notes.keys().any(|key| key.starts_with("pitstop.dev/")), "{notes:?}");
}

/// The journal and the report tell of every process, every step and every change.
fn accounted_for(served: &Stage, kills: usize) {
    let text = std::fs::read_to_string(served.journal()).expect("the journal");
    let headers = text.lines().filter(|line| line.starts_with("{\"line\":\"header\"")).count();
    assert_eq!(headers, kills + 1, "every process wrote its header");
    let output = served.served.command().args(["runs", "report", "-o", "json"]).output().expect("a report");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["state"], "done", "{report}");
    assert_eq!(report["sessions"].as_array().expect("processes").len(), kills + 1);
    let steps = report["steps"].as_array().expect("steps");
    assert!(steps.len() == STEPS && steps.iter().all(|step| !step["outcome"].is_null()), "{steps:?}");
    let changes = report["changes"].as_array().expect("changes");
    let is_done = |what: &str| {
        let known = |change: &&Value| change["change"].as_str().is_some_and(|text| text.starts_with(what));
        changes.iter().filter(known).any(|change| change["done"] != false)
    };
    for what in ["take the maintenance lock", "cordon ", "evict ", "reboot ", "uncordon ", "give the"] {
        assert!(is_done(what), "{what}: {changes:?}");
    }
    let predictions = report["predictions"].as_array().expect("predictions");
    assert!(predictions.iter().any(|one| one["asked"] != 0), "{predictions:?}");
    assert!(report["decisions"].as_array().is_some_and(|list| !list.is_empty()));
    assert!(report["compared"].as_array().is_some_and(|list| !list.is_empty()));
    assert_eq!(report["left"], serde_json::json!([]));
}

fn ended(step: usize) -> Death {
    Death::At(format!("\"event\":\"step_ended\",\"step\":{step},"))
}

fn started(step: usize) -> Death {
    Death::At(format!("\"event\":\"step_started\",\"step\":{step},"))
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_end_of_every_step() {
    let deaths: Vec<Death> = (0..STEPS).map(ended).collect();
    killed_again_and_again("cp-1", &deaths).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_beginning_of_every_step() {
    let deaths: Vec<Death> = (0..STEPS).map(started).collect();
    killed_again_and_again("cp-2", &deaths).await;
}

/// Right before and right after each request that changes something.
#[tokio::test(flavor = "multi_thread")]
async fn around_every_change() {
    let node = "cp-3";
    let changes = [
        "take the maintenance lock".to_owned(),
        "store an etcd snapshot".to_owned(),
        format!("archive /etc/kubernetes of {node}"),
        format!("cordon {node}"),
        "evict ".to_owned(),
        format!("reboot {node}"),
        format!("uncordon {node}"),
        "give the maintenance lock back".to_owned(),
    ];
    let lines = |change: &String| {
        let of = |line: &str| Death::At(format!("\"line\":\"{line}\"&\"change\":\"{change}"));
        // what was asked for in vain is asked for again, so that each has an answer
        [of("intent"), of("result")]
    };
    let mut deaths: Vec<Death> = changes.iter().flat_map(lines).collect();
    // noted as asked for, and not yet announced
    let noted = Death::At("\"line\":\"memory\"&\"reboot_requested\":1".to_owned());
    deaths.insert(10, noted);
    killed_again_and_again(node, &deaths).await;
}

/// From outside, while it waits for something. (A host that goes down at once is not waited for.)
#[tokio::test(flavor = "multi_thread")]
async fn while_a_step_waits() {
    let deaths: Vec<Death> = [0, 2, 6, 8, 11, 12, 14].map(Death::InProgressOf).to_vec();
    killed_again_and_again("cp-1", &deaths).await;
}

/// What `runs list` tells of the one run, before and after it was put back.
fn listed(stage: &Stage) -> Value {
    let output = stage.served.command().args(["runs", "list", "-o", "json"]).output().expect("a list");
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("one run")
}

/// A run that was killed is put back by another process: the account tells of both, and the codes are those of the manual.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_is_put_back_and_accounted_for() {
    let stage = Stage::start();
    let args = ["run", "reboot", "worker-1", "--yes", "-o", "json"];
    let Death::At(text) = started(8) else { return };
    assert!(stage.run(&args, Some(&text)), "it was killed");
    let found = listed(&stage);
    let left = found["leftovers"].as_array().expect("what it left");
    let now: Vec<&Value> = left.iter().map(|one| &one["now"]).filter(|now| !now.is_null()).collect();
    assert_eq!(now, ["still_so", "still_so"], "the cordon and the lock: {left:?}");

    let id = id(&stage, 1).expect("a run");
    let run = |args: &[&str]| stage.served.command().args(args).output().expect("pitstop runs").status.code();
    assert_eq!(run(&["runs", "abort", &id]), Some(1), "nobody can be asked, and nothing was confirmed");
    assert_eq!(run(&["runs", "abort", &id, "--yes", "-o", "json"]), Some(0));
    assert_eq!(run(&["runs", "abort", &id, "--yes"]), Some(2), "it is over: denied");
    assert_eq!(run(&["runs", "resume", &id, "--yes"]), Some(2), "it is over: denied");
    assert_eq!(run(&["runs", "resume", "no-such-run", "--yes"]), Some(1));
    assert!(listed(&stage)["leftovers"].is_null(), "it is settled");

    let output = stage.served.command().args(["runs", "report", "-o", "json"]).output().expect("a report");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["state"], "aborted", "{report}");
    assert_eq!(report["sessions"].as_array().map(Vec::len), Some(2));
    let undone: Vec<&Value> = report["steps"].as_array().expect("steps")[STEPS..].iter().collect();
    assert_eq!(undone.len(), 2, "uncordon and unlock: {undone:?}");
    assert!(undone.iter().all(|step| step["outcome"]["done"].is_string()), "{undone:?}");
    let compared = report["compared"].as_array().expect("what differs");
    let is_same = |what: &str| compared.iter().any(|one| one["what"] == what && one["found"] == one["left"]);
    for what in ["worker-1 scheduling", "worker-1 boot", "maintenance lock"] {
        assert!(is_same(what), "{what}: {compared:?}");
    }
    let left = report["left"].as_array().expect("what stays");
    assert!(left.iter().all(|one| one.as_str().is_some_and(|text| text.contains("moved away"))), "{left:?}");
    let markdown = stage.served.command().args(["runs", "report"]).output().expect("a report").stdout;
    let markdown = String::from_utf8(markdown).expect("text");
    assert!(markdown.contains("puts back what it left, in another process"), "{markdown}");
}
