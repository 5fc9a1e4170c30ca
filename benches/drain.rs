//! Draining a node, beside kubectl: wall time of the whole command, requests and refused evictions, case by case.
//!
//! ```text
//! cargo bench --bench drain                  # release builds
//! cargo bench --profile dev --bench drain    # without waiting for one
//! cargo bench --bench drain -- 100 1.2s      # only the cases whose names hold one of the words
//! ```
//!
//! For each case and each client a simulated cluster of its own is served over its socket, so that both begin alike;
//! what the server answered is read from its `/sim/requests` afterwards.

use pitstop::backend::kube::KubeOptions;
use serde::Deserialize;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tokio::time::Instant;

const PITSTOP: &str = env!("CARGO_BIN_EXE_pitstop");
const NODE: &str = "worker-1";

/// One case.
struct Case {
    name: String,
    scenario: String,
    /// Seconds that nobody can be faster than.
    ideal: f64,
}

/// All pods begin on one worker; the other is there for their replacements.
fn cluster(pods: u32, stop: &str, workloads: &str) -> String {
    format!(
        "[size]\ncontrol_planes = 1\nworkers = 2\n[timings]\npod_stop = \"{stop}\"\ndisruption_lag = \"50ms\"\n\
         [[node]]\nname = \"worker-1\"\npods = {room}\n[[node]]\nname = \"worker-2\"\npods = {room}\ncordoned = true\n\
         [[event]]\nat = \"1ms\"\naction = {{ do = \"uncordon\", node = \"worker-2\" }}\n{workloads}",
        room = pods + 20
    )
}

fn free(pods: u32) -> Case {
    let workloads: String = (0..pods.div_ceil(10))
        .map(|number| {
            format!(
                "[[workload]]\nkind = \"Deployment\"\nnamespace = \"load\"\nname = \"app-{number:02}\"\nreplicas = 10\n"
            )
        })
        .collect();
    let name = format!("{pods} pods, stop in 5 s");
    Case { name, scenario: cluster(pods, "5s", &workloads), ideal: 5.0 }
}

/// Ten pods under a budget of one; after an eviction the budget has room again `room` milliseconds later: when the
/// replacement has started, is Ready, and the disruption controller has seen it.
fn one_at_a_time(room: u32) -> Case {
    let (start, ready) = ((room - 50) / 2, (room - 50).div_ceil(2));
    let workload = format!(
        "[[workload]]\nkind = \"Deployment\"\nnamespace = \"shop\"\nname = \"web\"\nreplicas = 10\n\
         start = \"{start}ms\"\nready = \"{ready}ms\"\nbudget = {{ max_unavailable = 1 }}\n"
    );
    let seconds = f64::from(room) / 1000.0;
    let name = format!("10 pods, one at a time, room back after {seconds} s");
    Case { name, scenario: cluster(10, "1s", &workload), ideal: 9.0 * seconds + 1.0 }
}

fn cases() -> Vec<Case> {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let all =
        [10, 30, 100, 250].into_iter().map(free).chain([1200, 3000, 5200].into_iter().map(one_at_a_time));
    all.filter(|case| wanted.is_empty() || wanted.iter().any(|word| case.name.contains(word.as_str())))
        .collect()
}

/// A served cluster; its process ends with it.
struct Served {
    process: Child,
    kubeconfig: PathBuf,
    config: PathBuf,
    dir: tempfile::TempDir,
}

impl Served {
    fn start(case: &Case) -> std::io::Result<Self> {
        let dir = tempfile::tempdir()?;
        let scenario = dir.path().join("scenario.toml");
        std::fs::write(&scenario, &case.scenario)?;
        let home = dir.path().join("sim");
        let mut process = Command::new(PITSTOP)
            .args(["sim", "--dir"])
            .arg(&home)
            .arg("--scenario")
            .arg(&scenario)
            .env("XDG_STATE_HOME", dir.path().join("sim-state"))
            .stdout(Stdio::piped())
            .spawn()?;
        let out = process.stdout.take().ok_or_else(|| std::io::Error::other("no output"))?;
        let mut lines = BufReader::new(out).lines();
        let is_up = lines.by_ref().map_while(Result::ok).any(|line| line.contains("Ctrl-C"));
        if !is_up {
            let _ = process.wait();
            return Err(std::io::Error::other("the simulated cluster does not start"));
        }
        Ok(Self { process, kubeconfig: home.join("kubeconfig"), config: home.join("config.toml"), dir })
    }

    fn ours(&self) -> Command {
        let mut command = Command::new(PITSTOP);
        command.arg("--config").arg(&self.config).args(["run", "drain", NODE, "--yes"]);
        command
    }

    fn kubectl() -> Command {
        let mut command = Command::new("kubectl");
        command.arg("drain").arg(NODE).arg("--ignore-daemonsets");
        command
    }

    /// Runs a command against this cluster: seconds, and whether it ended well.
    fn time(&self, mut command: Command) -> std::io::Result<(f64, bool)> {
        let begun = Instant::now();
        let output = command
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .env("XDG_STATE_HOME", self.dir.path().join("state"))
            .env("HOME", self.dir.path())
            .stdin(Stdio::null())
            .output()?;
        let seconds = begun.elapsed().as_secs_f64();
        if !output.status.success() {
            let _ = std::io::stderr().write_all(&output.stdout);
            let _ = std::io::stderr().write_all(&output.stderr);
        }
        Ok((seconds, output.status.success()))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A line of `/sim/requests`.
#[derive(Deserialize)]
struct Counted {
    verb: String,
    resource: String,
    code: u16,
    count: u64,
}

async fn requests(kubeconfig: &Path) -> Result<Vec<Counted>, Box<dyn std::error::Error>> {
    // installs the process's TLS provider
    let options = KubeOptions { kubeconfig: Some(kubeconfig.to_owned()), ..KubeOptions::default() };
    drop(pitstop::backend::kube::Cluster::connect(&options).await);
    let file = kube::config::Kubeconfig::read_from(kubeconfig)?;
    let mut config =
        kube::Config::from_custom_kubeconfig(file, &kube::config::KubeConfigOptions::default()).await?;
    config.proxy_url = None;
    let client = kube::Client::try_from(config)?;
    let ask = http::Request::get("/sim/requests").body(Vec::new())?;
    Ok(client.request(ask).await?)
}

/// What came of one command.
struct Figures {
    seconds: f64,
    is_done: bool,
    requests: u64,
    refused: u64,
    lines: Vec<Counted>,
}

async fn measure(
    case: &Case,
    command: fn(&Served) -> Command,
) -> Result<Figures, Box<dyn std::error::Error>> {
    let served = Served::start(case)?;
    // the scenario opens the second worker right after the start
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let (seconds, is_done) = served.time(command(&served))?;
    let lines = requests(&served.kubeconfig).await?;
    let refused = lines.iter().filter(|line| line.resource == "pods/eviction" && line.code == 429);
    Ok(Figures {
        seconds,
        is_done,
        requests: lines.iter().map(|line| line.count).sum(),
        refused: refused.map(|line| line.count).sum(),
        lines,
    })
}

fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

fn row(case: &Case, who: &str, figures: &Figures) {
    let end = if figures.is_done { "" } else { "  FAILED" };
    print(&format!(
        "{:<46} {who:<8} {:>7.2} {:>7.2} {:>8} {:>8}{end}",
        case.name, figures.seconds, case.ideal, figures.requests, figures.refused
    ));
    if std::env::var_os("BENCH_REQUESTS").is_some() {
        for line in &figures.lines {
            print(&format!("    {:>5} {} {} {}", line.count, line.verb, line.resource, line.code));
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let has_kubectl = Command::new("kubectl").args(["version", "--client"]).output().is_ok();
    if !has_kubectl {
        print("kubectl is not installed: only pitstop is measured");
    }
    print(&format!(
        "{:<46} {:<8} {:>7} {:>7} {:>8} {:>8}",
        "case", "client", "wall s", "ideal", "requests", "refused"
    ));
    for case in cases() {
        if has_kubectl {
            row(&case, "kubectl", &measure(&case, |_| Served::kubectl()).await?);
        }
        let ours = measure(&case, Served::ours).await?;
        row(&case, "pitstop", &ours);
        let evicted: u64 =
            ours.lines.iter().filter(|line| line.resource == "pods/eviction").map(|line| line.count).sum();
        // among the others are two lists of the pods: for the forecast, and once the node is cordoned
        if ours.requests > evicted + 16 {
            print(&format!("    more requests than one for each of {evicted} evictions and 16"));
        }
    }
    Ok(())
}
