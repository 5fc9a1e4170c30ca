//! Plays a story: builds the cluster, starts the run, lets things happen, and looks at the world afterwards.

#[path = "foretold.rs"]
mod foretold;
#[path = "witness.rs"]
pub mod witness;

use super::story::{Deed, Story, World as Expected};
use pitstop::backend::dial::{Dialer, Stream};
use pitstop::backend::etcd::{Access, Etcd, EtcdOptions};
use pitstop::backend::host::{Hosts, SshOptions};
use pitstop::backend::kube::Cluster;
use pitstop::domain::config::{DrainOptions, Policy};
use pitstop::domain::guard::{Assent, Request, World, grant};
use pitstop::domain::ids::{NodeName, OpId};
use pitstop::domain::plan::StepKind;
use pitstop::domain::run::{Outcome, RunChange, RunCommand, RunState, RunView, StepState, StepView};
use pitstop::domain::time::parse_span;
use pitstop::engine::drain::Reserved;
use pitstop::engine::foretell::foretell;
use pitstop::engine::{Backends, Facts, Run, Settings, Timing, plan, start};
use pitstop::sim::api::faults::Connection;
use pitstop::sim::scenario::event::is_match;
use pitstop::sim::store::resources::{LEASES, NAMESPACES, NODES, POD_DISRUPTION_BUDGETS, PODS};
use pitstop::sim::{self, Pace, Scenario};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use witness::Witness;

pub const HOLDER: &str = "ann@desk";

/// A cluster and the back ends that reach it.
pub struct Stage {
    pub sim: Arc<sim::Cluster>,
    pub backends: Backends,
    pub dir: tempfile::TempDir,
}

impl Stage {
    pub fn new(scenario: &str) -> Self {
        Self::acting(scenario, None)
    }

    /// The same, with requests to the API by another user.
    pub fn acting(scenario: &str, user: Option<&str>) -> Self {
        Self::paced(scenario, user, Pace::default())
    }

    /// The same, faster than life.
    pub fn paced(scenario: &str, user: Option<&str>, pace: Pace) -> Self {
        let scenario = if scenario.contains('\n') || scenario.is_empty() {
            Scenario::parse(scenario).expect("a scenario")
        } else {
            Scenario::load(scenario).expect("a built-in scenario")
        };
        let sim = Arc::new(sim::Cluster::start(scenario, pace).expect("a cluster"));
        let dir = tempfile::tempdir().expect("a directory");
        let backends = backends(&sim, dir.path(), user);
        Self { sim, backends, dir }
    }

    pub fn nodes(&self) -> Vec<Arc<Value>> {
        self.sim.store().list(&NODES, None)
    }
}

fn backends(sim: &Arc<sim::Cluster>, dir: &Path, user: Option<&str>) -> Backends {
    let endpoint = user.map_or_else(|| sim.endpoint(), |user| sim.endpoint().as_user(user));
    let client = kube::Client::new(endpoint, "default");
    let dialer = {
        let sim = sim.clone();
        Dialer::new(move |address| {
            let sim = sim.clone();
            Box::pin(async move { Ok(Box::new(sim.dial(&address).await?) as Stream) })
        })
    };
    let credentials = sim.credentials();
    let write = |name: &str, text: &str| {
        let path = dir.join(name);
        std::fs::write(&path, text).expect("a file");
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, private).expect("private");
        path
    };
    let hosts = sim.machines().iter().map(|machine| (machine.name(), machine.address().to_owned()));
    let known = credentials.known_hosts(hosts).expect("host keys");
    let ssh = SshOptions {
        user: Some("ops".into()),
        identity_files: vec![write("id_ed25519", &credentials.ssh_key)],
        known_hosts: vec![write("known_hosts", &known)],
        agent: false,
        record: Some(dir.join("state/known_hosts")),
        ..SshOptions::default()
    };
    let hosts = Hosts::new(ssh, dialer.clone());
    let etcd = EtcdOptions {
        access: Access::Direct,
        ca: Some(write("ca.crt", credentials.etcd_ca())),
        cert: Some(write("client.crt", &credentials.etcd_client.cert)),
        key: Some(write("client.key", &credentials.etcd_client.key)),
        server_name: Some("127.0.0.1".into()),
        ..EtcdOptions::default()
    };
    let settings = Settings {
        context: "sim".into(),
        holder: HOLDER.into(),
        lease_namespace: "kube-system".into(),
        snapshot_dir: dir.join("snapshots"),
        backup: pitstop::engine::settings::Backup::default(),
        state_dir: dir.join("state"),
        timing: Timing::default(),
        service: pitstop::engine::service::Service::default(),
        components: Vec::new(),
    };
    Backends {
        cluster: Cluster::from_client(client, "sim"),
        etcd: Some(Etcd::new(etcd, dialer, Some(hosts.clone()))),
        hosts: Some(hosts),
        reserved: Reserved::default(),
        watchman: pitstop::engine::probe::Watchman::default(),
        settings,
    }
}

pub fn request(story: &Story) -> Request {
    let usual = DrainOptions::default();
    Request {
        drain: DrainOptions {
            force: story.drain.force,
            delete_emptydir_data: story.drain.delete_emptydir_data,
            timeout: story.drain.timeout.as_deref().map_or(usual.timeout, span),
            disable_eviction: story.drain.disable_eviction,
            parallel: story.drain.parallel.unwrap_or(1),
            ..usual
        },
        lock: story.lock,
        ..Request::new(story.kind, story.nodes.iter().map(|name| NodeName::from(name.as_str())).collect())
    }
}

fn span(text: &str) -> Duration {
    parse_span(text).expect("a duration")
}

/// Plays one story to its end.
pub async fn play(name: &str, story: &Story) {
    let stage = Stage::new(&story.sim);
    for deed in &story.before {
        act(&stage, None, deed).await;
    }
    let facts = Facts::read(&stage.backends).await.expect("facts");
    let request = request(story);
    let world = World { nodes: Some(&facts.nodes), etcd: facts.etcd.as_ref(), lock: None };
    let granted = grant(&Policy::default(), &request, world, Assent::Flag { context: None });
    let permit = match (granted, &story.denied) {
        (Ok(permit), None) => permit,
        (Err(report), Some(words)) => {
            assert!(report.line().contains(words.as_str()), "{name}: {report}");
            return check_world(name, story, &stage);
        }
        (Ok(_), Some(_)) => panic!("{name}: was not denied"),
        (Err(report), None) => panic!("{name}: {report}"),
    };
    if let Some(verdict) = &story.verdict {
        let told =
            foretell(&stage.backends.cluster, &request.nodes, &request.drain).await.expect("a forecast");
        let found = format!("{:?}", told.verdict()).to_lowercase();
        assert!(found.starts_with(verdict.as_str()), "{name}: foretold {found}, not {verdict}");
    }
    let stop = CancellationToken::new();
    let witness = Witness::new(stage.sim.store()).look(stop.clone());
    let told = foretold::before(&stage, &request).await;
    let run = start(stage.backends.clone(), plan(&request, &facts), permit, OpId(1), !story.step_by_step);
    let view = follow(name, story, &stage, run).await;
    stop.cancel();
    witness.await.expect("the witness").verify(name, &story.nodes, false);
    check_run(name, story, &view);
    foretold::after(name, told.as_ref(), &view, !story.during.is_empty());
    check_world(name, story, &stage);
}

/// Follows a run, confirms its steps, and lets things happen, until it is over.
pub async fn follow(name: &str, story: &Story, stage: &Stage, mut run: Run) -> RunView {
    let mut view: Option<RunView> = None;
    let mut pending: Vec<_> = story.during.iter().collect();
    let limit = tokio::time::Instant::now() + Duration::from_hours(3);
    loop {
        let event = tokio::time::timeout_at(limit, run.events.recv()).await;
        let event = event.unwrap_or_else(|_| panic!("{name}: the run hangs: {view:#?}"));
        let Some(event) = event else { break };
        match &mut view {
            Some(view) => view.apply(&event),
            None => view = RunView::begin(&event),
        }
        let known = view.as_ref().expect("the plan is told first");
        let (kind, failed) = match &event.change {
            RunChange::StepStarted { step, .. } => (Some(known.steps[*step].step.kind), false),
            RunChange::State { state: RunState::Failed, .. } => {
                (known.current().map(|index| known.steps[index].step.kind), true)
            }
            RunChange::State { state: RunState::Waiting, .. } => {
                let index = known.current().expect("a step waits");
                let _ = run.commands.send(RunCommand::Confirm(index)).await;
                (None, false)
            }
            _ => (None, false),
        };
        let Some(kind) = kind else { continue };
        let (due, rest): (Vec<_>, Vec<_>) =
            pending.into_iter().partition(|item| item.at == kind && item.failed == failed);
        pending = rest;
        if failed && due.is_empty() {
            // nobody decides: the run is left as it failed
            run.commands = tokio::sync::mpsc::channel(1).0;
        }
        for item in due {
            if let Some(after) = &item.after {
                tokio::time::sleep(span(after)).await;
            }
            act(stage, Some(&run), &item.deed).await;
        }
    }
    assert!(pending.is_empty(), "{name}: did not happen: {pending:?}");
    view.expect("a run")
}

async fn act(stage: &Stage, run: Option<&Run>, deed: &Deed) {
    let store = stage.sim.store();
    let machine = |node: &str| stage.sim.machine(node).expect("a machine").clone();
    let order = async |command: RunCommand| {
        let run = run.expect("a run");
        run.commands.send(command).await.expect("the run listens");
    };
    let set_cordon = |node: &str, cordoned: bool| {
        let changed = store.modify(&NODES, "", node, |node| node["spec"]["unschedulable"] = json!(cordoned));
        changed.expect("the node");
    };
    match deed {
        Deed::Abort => order(RunCommand::Abort).await,
        Deed::Retry => order(RunCommand::Retry).await,
        Deed::Interrupt => run.expect("a run").cancel.cancel(),
        Deed::Uncordon { node } => set_cordon(node, false),
        Deed::Cordon { node } => set_cordon(node, true),
        Deed::DeleteNode { node } => {
            stage.sim.act(sim::scenario::Action::DeleteNode { node: node.clone() }).await;
        }
        Deed::Annotate { node, key, value } => {
            let changed =
                store.modify(&NODES, "", node, |node| node["metadata"]["annotations"][key] = json!(value));
            changed.expect("the node");
        }
        Deed::ApiDown { lasts } => stage.sim.faults().set_connection_for(Connection::Down, span(lasts)),
        Deed::Lock { holder, lasts } => {
            let lasts = lasts.as_deref().map_or(3600, |lasts| span(lasts).as_secs());
            let now = store.now_micro();
            let lease = json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": { "name": "pitstop", "namespace": "kube-system" },
                "spec": { "holderIdentity": holder, "leaseDurationSeconds": lasts, "renewTime": now, "acquireTime": now },
            });
            store.create(&LEASES, lease).expect("a lease");
        }
        // a file stands where the directory should be
        Deed::NoRoom => std::fs::write(stage.dir.path().join("snapshots"), "").expect("a file"),
        Deed::PowerOff { node } => machine(node).power_off(),
        Deed::PowerOn { node } => machine(node).power_on(),
        Deed::Sim { action } => stage.sim.act(action.clone()).await,
        Deed::Wait { lasts } => tokio::time::sleep(span(lasts)).await,
        other => tamper(stage, other),
    }
}

/// Deeds on objects that no client does.
fn tamper(stage: &Stage, deed: &Deed) {
    let store = stage.sim.store();
    match deed {
        Deed::Budget { namespace, name, allowed, disrupted, touched } => {
            let changed = store.modify(&POD_DISRUPTION_BUDGETS, namespace, name, |budget| {
                if *touched {
                    budget["spec"]["maxUnavailable"] = json!(2);
                }
                if let Some(allowed) = allowed {
                    budget["status"]["disruptionsAllowed"] = json!(allowed);
                }
                for number in 0..*disrupted {
                    budget["status"]["disruptedPods"][format!("ghost-{number}")] =
                        json!("2026-01-01T00:00:00Z");
                }
            });
            changed.expect("the budget");
        }
        Deed::Ending { namespace } => {
            let changed = store.modify(&NAMESPACES, "", namespace, |namespace| {
                namespace["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
                namespace["status"]["phase"] = json!("Terminating");
            });
            changed.expect("the namespace");
        }
        Deed::Remove { namespace, name } => {
            for pod in store.list(&PODS, Some(namespace)) {
                let found = pod["metadata"]["name"].as_str().expect("a name");
                if is_match(name, found) {
                    store.remove(&PODS, namespace, found);
                }
            }
        }
        _ => {}
    }
}

fn word(view: &StepView) -> (&'static str, String) {
    match &view.state {
        StepState::Pending => ("pending", String::new()),
        StepState::Running(_) => ("running", String::new()),
        StepState::Ended(Outcome::Done(words), _) => ("done", words.clone()),
        StepState::Ended(Outcome::Warned(words), _) => ("warned", words.clone()),
        StepState::Ended(Outcome::Skipped(words), _) => ("skipped", words.clone()),
        StepState::Ended(Outcome::Failed(report), _) => ("failed", report.line()),
        StepState::Ended(Outcome::Aborted, _) => ("aborted", String::new()),
    }
}

fn check_run(name: &str, story: &Story, view: &RunView) {
    let told: Vec<String> =
        view.steps.iter().map(|step| format!("{} {:?}", step.step.kind.name(), word(step))).collect();
    let told = told.join("\n");
    assert_eq!(Some(view.state), story.end, "{name}:\n{told}");
    let parts = [(false, &story.steps), (true, &story.undo)];
    for (is_undo, expected) in parts {
        for (kind, want) in expected {
            let (want, words) = want.split_once(':').unwrap_or((want, ""));
            let of_kind = |step: &&StepView| step.step.kind == *kind && step.is_undo == is_undo;
            let found: Vec<&StepView> = view.steps.iter().filter(of_kind).collect();
            assert!(!found.is_empty(), "{name}: no step {kind:?}:\n{told}");
            for step in found {
                let (have, text) = word(step);
                assert_eq!(have, want, "{name}: {kind:?} {text}\n{told}");
                assert!(text.contains(words.trim()), "{name}: {kind:?} says {text:?}\n{told}");
            }
        }
        if is_undo {
            let kinds: Vec<StepKind> =
                view.steps.iter().filter(|step| step.is_undo).map(|step| step.step.kind).collect();
            assert_eq!(kinds.len(), expected.len(), "{name}: undo {kinds:?}");
        }
    }
    assert_eq!(view.left.len(), story.left.len(), "{name}: left {:?}", view.left);
    for (have, want) in view.left.iter().zip(&story.left) {
        assert!(have.contains(want.as_str()), "{name}: left {have:?}, not {want:?}");
    }
}

fn check_world(name: &str, story: &Story, stage: &Stage) {
    let world = &story.world;
    for machine in stage.sim.machines() {
        let want = world.reboots.get(machine.name()).copied().unwrap_or(0);
        assert_eq!(machine.reboots(), want, "{name}: reboots of {}", machine.name());
    }
    for node in stage.nodes() {
        let of = node["metadata"]["name"].as_str().expect("a name").to_owned();
        let is_cordoned = node["spec"]["unschedulable"] == json!(true);
        assert_eq!(is_cordoned, world.cordoned.contains(&of), "{name}: cordon of {of}");
        let is_noted = node["metadata"]["annotations"]
            .as_object()
            .is_some_and(|notes| notes.keys().any(|key| key.starts_with("pitstop.dev/")));
        assert_eq!(is_noted, world.noted.contains(&of), "{name}: notes on {of}");
        if let Some(machine) = stage.sim.machine(&of).filter(|machine| machine.reboots() > 0) {
            let reported = node["status"]["nodeInfo"]["bootID"].as_str();
            assert!(
                story.end != Some(RunState::Done) || reported == Some(machine.boot_id().as_str()),
                "{name}: {of} reports an old boot"
            );
        }
    }
    check_lease(name, world.lease.as_deref(), stage);
    for node in &world.drained {
        let left: Vec<String> = stage
            .sim
            .store()
            .list(&PODS, None)
            .iter()
            .filter(|pod| moves(pod, node))
            .map(|pod| pod["metadata"]["name"].to_string())
            .collect();
        assert!(left.is_empty(), "{name}: left on {node}: {left:?}");
    }
    let files = std::fs::read_dir(stage.dir.path().join("snapshots")).into_iter().flatten().flatten();
    let snapshots = files.filter(|file| file.path().extension().is_some_and(|kind| kind == "db")).count();
    assert_eq!(snapshots, world.snapshots, "{name}: snapshots");
    check_evictions(name, world, stage);
    if let Some(most) = world.refused_evictions {
        let audit = stage.sim.store().history();
        let refused =
            audit.iter().filter(|line| line.path.ends_with("/eviction") && line.code >= 400).count();
        assert!(refused <= most, "{name}: {refused} refused evictions, more than {most}");
    }
}

/// What was asked to be evicted, in order; only the last try of each pod.
fn check_evictions(name: &str, world: &Expected, stage: &Stage) {
    let audit = stage.sim.store().history();
    let asked: Vec<(&str, u16)> = audit
        .iter()
        .filter_map(|line| Some((line.path.strip_suffix("/eviction")?, line.code)))
        .filter_map(|(path, code)| Some((path.rsplit_once('/')?.1, code)))
        .collect();
    if let Some(want) = &world.refusals {
        let have: BTreeSet<u16> = asked.iter().map(|(_, code)| *code).filter(|code| *code >= 400).collect();
        assert_eq!(have, want.iter().copied().collect(), "{name}: refusals {asked:?}");
    }
    if let Some(most) = world.evictions {
        assert!(asked.len() <= most, "{name}: {} evictions, more than {most}: {asked:?}", asked.len());
    }
    let mut rest = asked.iter().filter(|(_, code)| *code < 400);
    for pattern in &world.order {
        assert!(
            rest.any(|(pod, _)| is_match(pattern, pod)),
            "{name}: {pattern} does not come in the order {:?}: {asked:?}",
            world.order
        );
    }
}

fn moves(pod: &Value, node: &str) -> bool {
    let is_daemon = pod["metadata"]["ownerReferences"][0]["kind"] == json!("DaemonSet");
    let is_mirror = !pod["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_null();
    pod["spec"]["nodeName"] == json!(node) && !is_daemon && !is_mirror
}

fn check_lease(name: &str, want: Option<&str>, stage: &Stage) {
    let lease = stage.sim.store().get(&LEASES, "kube-system", "pitstop");
    match want.unwrap_or("absent") {
        "absent" => {
            let holder = lease.as_ref().map(|lease| lease["spec"]["holderIdentity"].clone());
            assert!(holder.is_none_or(|holder| holder.is_null() || holder == json!("")), "{name}: {lease:?}");
        }
        "tombstone" => {
            let lease = lease.unwrap_or_else(|| panic!("{name}: no lease"));
            assert!(
                lease.to_string().contains("failed at") || lease.to_string().contains("interrupted at"),
                "{name}: {lease}"
            );
        }
        "foreign" => {
            let lease = lease.unwrap_or_else(|| panic!("{name}: no lease"));
            assert_ne!(lease["spec"]["holderIdentity"], json!(HOLDER), "{name}");
        }
        other => panic!("{name}: lease {other:?}"),
    }
}
