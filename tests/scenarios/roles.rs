//! The shipped roles against what the program really asks for: the simulated API server enforces them.

use super::stage::Stage;
use pitstop::domain::config::Policy;
use pitstop::domain::gate::Verdict;
use pitstop::domain::guard::{Assent, Request, World, grant};
use pitstop::domain::ids::{Generation, OpId};
use pitstop::domain::lock::LockChoice;
use pitstop::domain::plan::Kind;
use pitstop::domain::report::FailureKind;
use pitstop::domain::run::{RunChange, RunState};
use pitstop::engine::gate::{Purpose, Scene, judge};
use pitstop::engine::{Facts, plan, start};
use std::time::Duration;

fn on_paused_clock(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(work);
}

/// What was refused for want of a right, apart from what was refused on purpose.
fn refused(stage: &Stage) -> Vec<String> {
    let lines = stage.sim.tally();
    lines
        .into_iter()
        .filter(|line| line.code == 403)
        .map(|line| format!("{} {}", line.verb, line.resource))
        .collect()
}

fn request(kind: Kind, node: &str) -> Request {
    let nodes = if node.is_empty() { Vec::new() } else { vec![node.into()] };
    Request::new(kind, nodes)
}

/// A whole run under the roles.
async fn run(stage: &Stage, kind: Kind, node: &str) -> RunState {
    let facts = Facts::read(&stage.backends).await.expect("facts");
    let request = request(kind, node);
    let world = World { nodes: Some(&facts.nodes), etcd: facts.etcd.as_ref(), lock: None };
    let permit =
        grant(&Policy::default(), &request, world, Assent::Flag { context: None }).expect("a permit");
    let mut run = start(stage.backends.clone(), plan(&request, &facts), permit, OpId(1), true);
    while let Some(event) = run.events.recv().await {
        match event.change {
            RunChange::Finished { state, .. } => return state,
            RunChange::State { state: state @ (RunState::Failed | RunState::Waiting), .. } => {
                return state;
            }
            _ => {}
        }
    }
    panic!("the run ends with an event")
}

/// What the console watches, for a while.
async fn observe(stage: &Stage) {
    let cancel = tokio_util::sync::CancellationToken::new();
    let mut seen = pitstop::backend::kube::observe(&stage.backends.cluster, Generation(1), cancel.clone());
    let end = tokio::time::Instant::now() + Duration::from_secs(90);
    while let Ok(Some(_)) = tokio::time::timeout_at(end, seen.recv()).await {}
    cancel.cancel();
}

#[test]
fn an_operator_needs_nothing_beyond_the_roles() {
    on_paused_clock(async {
        let stage = Stage::acting("default", Some("operator"));
        observe(&stage).await;
        assert_eq!(run(&stage, Kind::Reboot, "cp-2").await, RunState::Done, "{:?}", refused(&stage));
        assert_eq!(run(&stage, Kind::Drain, "worker-1").await, RunState::Done);
        assert_eq!(run(&stage, Kind::Uncordon, "worker-1").await, RunState::Done);
        assert_eq!(refused(&stage), Vec::<String>::new());
    });
}

#[test]
fn a_viewer_sees_everything_and_changes_nothing() {
    on_paused_clock(async {
        let stage = Stage::acting("default", Some("viewer"));
        observe(&stage).await;
        let scene = Scene::read(&stage.backends, None, Purpose::Check).await;
        let unknown: Vec<_> =
            judge(&scene).into_iter().filter(|gate| gate.verdict == Verdict::Unknown).collect();
        assert!(unknown.is_empty(), "{unknown:#?}");
        assert_eq!(refused(&stage), Vec::<String>::new());
        assert_eq!(run(&stage, Kind::Cordon, "worker-1").await, RunState::Failed);
        assert_eq!(refused(&stage), ["patch nodes"]);
        let right = pitstop::domain::access::needed(Kind::Cordon, LockChoice::Take);
        let answers = stage.backends.cluster.answers(right).await.expect("answers");
        let why = pitstop::domain::access::missing(&answers, Kind::Cordon).expect("not allowed");
        assert!(why.contains("may not patch nodes"), "{why}");
    });
}

/// `--read-only` refuses twice: no permit is granted, and the client sends nothing that changes something even with one.
#[test]
fn read_only_refuses_at_the_ladder_and_at_the_client() {
    on_paused_clock(async {
        let mut stage = Stage::new("minimal");
        let facts = Facts::read(&stage.backends).await.expect("facts");
        let world = World { nodes: Some(&facts.nodes), etcd: facts.etcd.as_ref(), lock: None };
        let request = request(Kind::Cordon, "worker-1");
        let flag = || Assent::Flag { context: None };
        let policy = Policy { read_only: true, ..Policy::default() };
        let denied = grant(&policy, &request, world, flag()).expect_err("no permit");
        assert!(denied.message.contains("read-only"), "{denied}");
        // a permit that slipped through changes nothing
        stage.backends.cluster = stage.backends.cluster.read_only();
        let permit = grant(&Policy::default(), &request, world, flag()).expect("a permit");
        let row = stage.backends.cluster.node(&"worker-1".into()).await.expect("reading is allowed");
        let note = pitstop::domain::node::CordonNote {
            run: None,
            holder: "ann@desk".into(),
            since: None,
            reason: None,
            prior_cordoned: None,
        };
        let stop = tokio_util::sync::CancellationToken::new();
        let error = stage.backends.cluster.cordon(&row, &note, &permit, &stop).await.expect_err("refused");
        assert_eq!(error.kind, FailureKind::Denied);
        assert!(error.to_string().contains("read-only"), "{error}");
        assert!(
            stage.backends.cluster.answers(pitstop::domain::access::all()).await.is_ok(),
            "asking is no change"
        );
    });
}
