//! The real binary without a screen, against a simulated cluster that another process of it serves on loopback.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/served.rs"]
mod served;

use serde_json::Value;
use served::{Served, pitstop};
use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

/// Runs the binary on a served cluster.
fn run(served: &Served, args: &[&str]) -> Output {
    served.command().args(args).output().expect("pitstop runs")
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("{output:?}"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn objects(output: &Output) -> Vec<Value> {
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn a_reboot_is_told_as_one_event_a_line() {
    let served = Served::start("default");
    let output = run(&served, &["run", "reboot", "cp-2", "--yes", "-o", "json"]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let events = objects(&output);
    assert_eq!(events.first().expect("events")["event"], "planned");
    let last = events.last().expect("events");
    assert_eq!((&last["event"], &last["state"]), (&"finished".into(), &"done".into()));
    assert!(events.iter().all(|event| event["run"].is_string() && event["at"].is_i64()));
    let runs = objects(&run(&served, &["runs", "list", "-o", "json"]));
    assert_eq!((&runs[0]["state"], &runs[0]["kind"]), (&"done".into(), &"reboot".into()));
    assert_eq!(code(&run(&served, &["check"])), 0);
    let shown = run(&served, &["runs", "show"]);
    assert!(text(&shown.stdout).contains("verified snapshot"), "{}", text(&shown.stdout));
}

#[test]
fn a_denied_run_says_why_and_a_finding_is_code_two() {
    let served = Served::start("one-member-down");
    let output = run(&served, &["run", "reboot", "cp-1", "--yes"]);
    assert_eq!(code(&output), 2);
    let words = text(&output.stderr);
    assert!(words.contains("without cp-1 1 would be left, below the quorum of 2"), "{words}");
    let check = run(&served, &["check"]);
    assert_eq!(code(&check), 2);
    assert!(text(&check.stdout).contains("cp-3"), "{}", text(&check.stdout));
    let plan = run(&served, &["plan", "reboot", "cp-1", "-o", "json"]);
    assert_eq!(code(&plan), 2);
    assert!(objects(&plan)[0]["denied"]["message"].is_string());
}

#[test]
fn nothing_starts_without_being_confirmed() {
    let served = Served::start("minimal");
    let output = run(&served, &["run", "cordon", "worker-1"]);
    assert_eq!(code(&output), 1);
    assert!(text(&output.stderr).contains("give --yes"), "{}", text(&output.stderr));
    assert!(objects(&run(&served, &["runs", "list", "-o", "json"])).is_empty());
    assert_eq!(code(&run(&served, &["run", "cordon", "worker-1", "--yes"])), 0);
    assert_eq!(code(&run(&served, &["run", "uncordon", "worker-1", "--yes"])), 0);
    assert_eq!(code(&run(&served, &["run", "drain", "worker-1", "--dry-run"])), 0);
}

#[test]
fn an_interrupted_run_says_what_is_left() {
    for name in ["-INT", "-HUP"] {
        ends_in_good_order(name);
    }
}

fn ends_in_good_order(name: &str) {
    let served = Served::start("default");
    let mut child = served
        .command()
        .args(["run", "reboot", "worker-1", "--yes"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("pitstop runs");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let cordoned = lines.by_ref().any(|line| line.expect("a line").contains("is unschedulable"));
    assert!(cordoned, "the run did not come to the cordon");
    let killed = Command::new("kill").args([name, &child.id().to_string()]).status().expect("kill");
    assert!(killed.success());
    let rest: Vec<String> = lines.map(|line| line.expect("a line")).collect();
    assert_eq!(child.wait().expect("an end").code(), Some(130));
    assert!(rest.iter().any(|line| line.contains("left: worker-1 is cordoned by this run")), "{rest:#?}");
}

#[test]
fn a_run_whose_output_nobody_reads_stops_and_says_what_is_left() {
    let served = Served::start("default");
    let mut child = served
        .command()
        .args(["run", "reboot", "worker-1", "--yes"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("pitstop runs");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    assert!(lines.by_ref().any(|line| line.expect("a line").contains("is unschedulable")));
    drop(lines);
    let output = child.wait_with_output().expect("an end");
    let told = text(&output.stderr);
    assert_eq!(code(&output), 1, "{told}");
    assert!(told.contains("left: worker-1 is cordoned by this run"), "{told}");
    assert!(told.contains("standard output cannot be written"), "{told}");
    let runs = objects(&run(&served, &["runs", "list", "-o", "json"]));
    assert_eq!(runs[0]["state"], "interrupted");
}

#[test]
fn yes_stops_at_what_is_not_green() {
    let dir = tempfile::tempdir().expect("a directory");
    let scenario = dir.path().join("away.toml");
    let text_of = "[size]\ncontrol_planes = 3\nworkers = 3\n\n[[node]]\nname = \"worker-3\"\noff = true\n";
    std::fs::write(&scenario, text_of).expect("a file");
    let served = Served::start(scenario.to_str().expect("a path"));
    let output = run(&served, &["run", "reboot", "worker-1", "--yes"]);
    let told = text(&output.stderr);
    assert_eq!(code(&output), 2, "{} {told}", text(&output.stdout));
    assert!(told.contains("preflight was not green") && told.contains("worker-3"), "{told}");
    assert!(told.contains("without --yes"), "{told}");
    assert!(!text(&output.stdout).contains("lock              begins"), "{}", text(&output.stdout));
}

#[test]
fn errors_are_one_sentence_and_code_one() {
    let home = tempfile::tempdir().expect("a directory");
    let fails = |args: &[&str], words: &str| {
        let output = pitstop(home.path()).args(args).output().expect("pitstop runs");
        assert_eq!(code(&output), 1, "{args:?}");
        let told = text(&output.stderr);
        assert!(told.starts_with("error: ") && told.contains(words), "{args:?}: {told}");
        assert!(!told.contains("panicked") && output.stdout.is_empty(), "{told}");
    };
    let config = home.path().join("wrong.toml");
    std::fs::write(&config, "protectd = []\n").expect("a file");
    fails(&["--kubeconfig", "/nowhere/kubeconfig", "check"], "/nowhere/kubeconfig");
    fails(&["check"], "kubeconfig");
    fails(&["--config", config.to_str().expect("a path"), "check"], "wrong.toml:1: unknown field `protectd`");
    fails(&["--log-level", "loud", "info"], "--log-level");
    fails(&["runs", "show"], "there is no run");
    fails(&["sim", "--dir", "/proc/nowhere"], "/proc/nowhere");
    fails(&["sim", "--dir", "d", "--scenario", "no-such"], "no-such");
    fails(&[], "interactive terminal");
}

#[test]
fn an_unreachable_server_and_a_refused_token_are_told_apart() {
    let served = Served::start("minimal");
    let original = std::fs::read_to_string(served.home().join("sim/kubeconfig")).expect("a kubeconfig");
    let fails = |kubeconfig: String, words: &str| {
        let path = served.home().join("other");
        std::fs::write(&path, kubeconfig).expect("a file");
        let output = pitstop(served.home()).arg("--kubeconfig").arg(&path).arg("check").output();
        let output = output.expect("pitstop runs");
        assert_eq!(code(&output), 1);
        assert!(text(&output.stderr).contains(words), "{}", text(&output.stderr));
    };
    let value = |key: &str| {
        let line = original.lines().find_map(|line| line.trim().strip_prefix(key)).expect("a value");
        line.trim().to_owned()
    };
    let (endpoint, authority) = (value("server:"), value("certificate-authority-data:"));
    let with = |server: &str| {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
             clusters: [{{name: c, cluster: {{server: {server}, certificate-authority-data: {authority}}}}}]\n\
             users: [{{name: ann, user: {{token: wrong}}}}]\n\
             contexts: [{{name: c, context: {{cluster: c, user: ann}}}}]\n"
        )
    };
    fails(with("https://127.0.0.1:1"), "refuses connections");
    fails(with(endpoint.trim_matches('"')), "ann");
}

#[test]
fn texts_that_need_no_cluster() {
    let home = tempfile::tempdir().expect("a directory");
    let says = |args: &[&str], words: &str| {
        let output = pitstop(home.path()).args(args).output().expect("pitstop runs");
        assert_eq!(code(&output), 0, "{args:?}: {}", text(&output.stderr));
        assert!(text(&output.stdout).contains(words), "{args:?}");
    };
    says(&["completions", "bash"], "_pitstop");
    says(&["man"], ".TH pitstop");
    says(&["info", "--sample-config"], "maintenance_namespace");
    says(&["info"], "journals");
    says(&["runs", "list"], "no runs in");
    says(&["--version"], env!("CARGO_PKG_VERSION"));
}

/// A place that takes posts: each request's body as it comes.
fn chat_room() -> (String, std::sync::mpsc::Receiver<String>) {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}/hooks/topsecret", listener.local_addr().expect("its address"));
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut heard = String::new();
            let mut piece = [0; 4096];
            while !heard.ends_with("\"}") {
                let count = stream.read(&mut piece).expect("a request");
                heard.push_str(&String::from_utf8_lossy(&piece[..count]));
            }
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                .expect("sent");
            let body = heard.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned();
            if tell.send(body).is_err() {
                return;
            }
        }
    });
    (address, told)
}

#[test]
fn a_chat_room_is_told_of_the_end_and_the_address_is_shown_nowhere() {
    let served = Served::start("minimal");
    let (address, told) = chat_room();
    let output = served
        .command()
        .args(["run", "drain", "worker-1", "--yes"])
        .env("PITSTOP_WEBHOOK", &address)
        .output();
    let output = output.expect("pitstop runs");
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let body = told.recv_timeout(std::time::Duration::from_secs(10)).expect("a post");
    let body: Value = serde_json::from_str(&body).expect("JSON");
    let said = body["text"].as_str().expect("a text");
    assert!(said.starts_with("pitstop: pitstop-sim: drain worker-1 done"), "{said}");
    assert!(said.contains("nothing is left changed beyond its purpose"), "{said}");
    assert_eq!(body.as_object().map(serde_json::Map::len), Some(1));
    let dead = served
        .command()
        .args(["run", "drain", "worker-1", "--yes"])
        .env("PITSTOP_WEBHOOK", "http://127.0.0.1:9/topsecret")
        .output()
        .expect("pitstop runs");
    assert_eq!(code(&dead), 0, "a webhook that is away changes nothing: {}", text(&dead.stderr));
    assert!(text(&dead.stderr).contains("the webhook at 127.0.0.1 cannot be connected to"));
    let mut shown = [output.stdout, output.stderr, dead.stdout, dead.stderr].concat();
    for file in std::fs::read_dir(served.home().join("state/pitstop")).expect("the state").flatten() {
        shown.extend(std::fs::read(file.path()).unwrap_or_default());
    }
    assert!(!text(&shown).contains("topsecret"));
    assert!(!text(&shown).contains('\x07'), "no escapes into a pipe");
}

#[test]
fn what_is_confirmed_beforehand_is_not_begun_outside_of_the_window() {
    let served = Served::start("minimal");
    let config = served.home().join("sim/config.toml");
    let mut text_of = std::fs::read_to_string(&config).expect("the configuration");
    // the one hour that is farthest from now
    let hour =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time").as_secs() / 3600;
    let (from, to) = ((hour + 11) % 24, (hour + 12) % 24);
    text_of.push_str(&format!(
        "\n[[cluster.pitstop-sim.window]]\nfrom = \"{from:02}:00\"\nto = \"{to:02}:00\"\nzone = \"UTC\"\n"
    ));
    std::fs::write(&config, text_of).expect("the configuration");
    let output = run(&served, &["run", "drain", "worker-1", "--yes"]);
    assert_eq!(code(&output), 2);
    let words = text(&output.stderr);
    assert!(words.contains(&format!("drain is denied: window closed at {to:02}:00 UTC")), "{words}");
    assert!(words.contains(&format!("it opens at {from:02}:00 UTC, in ")), "{words}");
    assert!(objects(&run(&served, &["runs", "list", "-o", "json"])).is_empty(), "nothing was begun");
    assert_eq!(code(&run(&served, &["run", "cordon", "worker-1", "--yes"])), 0, "a single action is no run");
}

#[test]
fn a_full_disk_stops_a_run_before_the_change() {
    let served = Served::start("default");
    let command = served.command();
    let words: Vec<String> = command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
    // no file of this process may grow beyond a block, as on a disk that is full
    let script = format!(
        "trap '' XFSZ; ulimit -f 1; exec {} {} run cordon worker-1 --yes",
        env!("CARGO_BIN_EXE_pitstop"),
        words.join(" ")
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).env_clear().env("HOME", served.home()).env("USER", "ann");
    shell.env("XDG_STATE_HOME", served.home().join("full"));
    let output = shell.output().expect("a shell");
    assert_eq!(code(&output), 1, "{output:?}");
    let told = text(&output.stdout);
    assert!(told.contains("FAILED") && told.contains("journal"), "{told}");
    assert!(told.contains("cannot be written"), "{told}");
    let checked = run(&served, &["run", "cordon", "worker-1", "--yes", "-o", "json"]);
    let skipped = objects(&checked).into_iter().any(|event| event["outcome"]["skipped"].is_string());
    assert!(!skipped, "the node was cordoned without a journal: {}", text(&checked.stdout));
}

#[test]
fn with_json_an_error_is_one_object_and_what_is_written_is_private() {
    let home = tempfile::tempdir().expect("a directory");
    let output =
        pitstop(home.path()).args(["runs", "show", "nothing", "-o", "json"]).output().expect("it runs");
    assert_eq!(code(&output), 1);
    let error: Value = serde_json::from_slice(&output.stderr).expect("JSON");
    assert_eq!(error["error"]["kind"], "not-found", "{error}");
    assert!(error["error"]["message"].as_str().is_some_and(|words| words.contains("no run")), "{error}");
    let state = home.path().join("state/pitstop");
    for entry in std::fs::read_dir(&state).expect("a state directory") {
        let entry = entry.expect("an entry");
        let mode = std::os::unix::fs::PermissionsExt::mode(&entry.metadata().expect("of it").permissions());
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", entry.path().display());
    }
}

#[test]
fn a_plan_foretells_the_drain() {
    let served = Served::start("tight-budgets");
    let unknown = run(&served, &["plan", "drain", "nosuch"]);
    assert_eq!((code(&unknown), text(&unknown.stdout).as_str()), (1, ""));
    assert!(text(&unknown.stderr).starts_with("error: there is no node named nosuch"), "{unknown:?}");

    let refused = run(&served, &["plan", "drain", "worker-1", "worker-2", "worker-3"]);
    assert_eq!(code(&refused), 2);
    let lines = text(&refused.stdout);
    assert!(lines.lines().nth(1).is_some_and(|line| line.starts_with("verdict: will not finish")), "{lines}");
    let long = lines.lines().find(|line| line.chars().count() > 80 && !line.contains("command"));
    assert_eq!(long, None);

    let options = ["--force", "--delete-emptydir-data", "--timeout", "90s", "-o", "json"];
    let nodes = ["plan", "drain", "worker-1", "worker-2", "worker-3"];
    let plan = run(&served, &[&nodes[..], &options[..]].concat());
    assert_eq!(code(&plan), 2);
    let page = &objects(&plan)[0];
    assert_eq!(page["plan"]["drain"]["timeout_seconds"], 90);
    assert_eq!(page["forecast"]["verdict"], "blocked");
    let blocks = page["forecast"]["blocks"].as_array().expect("blocks");
    for budget in ["billing/invoice-api", "billing/ledger", "search/indexer"] {
        let block = blocks.iter().find(|block| block["budget"].as_str().is_some_and(|key| key == budget));
        let block =
            block.or_else(|| blocks.iter().find(|block| block["why"].to_string().contains("more than one")));
        let block = block.unwrap_or_else(|| panic!("{budget} in {page}"));
        assert!(block["waiting_helps"] == false && block["pod"].is_string(), "{block}");
    }
}
