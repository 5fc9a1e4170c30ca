//! Runs that were left and are taken up again, or put back: in memory, on the paused clock.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "scenarios/stage.rs"]
#[expect(dead_code, reason = "shared with the stories")]
mod stage;
#[path = "scenarios/story.rs"]
mod story;

use pitstop::domain::config::{DrainOptions, Policy};
use pitstop::domain::found::Difference;
use pitstop::domain::guard::{Assent, Errand, Permit, Request, World, grant, grant_for};
use pitstop::domain::ids::OpId;
use pitstop::domain::plan::{Kind, StepKind};
use pitstop::domain::report::Report;
use pitstop::domain::run::{Outcome, RunChange, RunEvent, RunState, RunView, StepState};
use pitstop::engine::account::{Account, markdown};
use pitstop::engine::journal::{self, Record};
use pitstop::engine::{Backends, Facts, Run, plan, put_back, resume, start};
use pitstop::sim::store::resources::NODES;
use serde_json::json;
use stage::Stage;
use std::time::Duration;

const NODE: &str = "worker-1";

fn request() -> Request {
    Request::new(Kind::Reboot, vec![NODE.into()])
}

async fn begin(backends: &Backends) -> Run {
    let facts = Facts::read(backends).await.expect("facts");
    let world = World { nodes: Some(&facts.nodes), etcd: facts.etcd.as_ref(), lock: None };
    let permit = grant(&Policy::default(), &request(), world, Assent::Flag { context: None });
    start(backends.clone(), plan(&request(), &facts), permit.expect("a permit"), OpId(1), true)
}

/// Keeps what a run tells.
#[derive(Default)]
struct Told {
    view: Option<RunView>,
    warnings: Vec<String>,
}

impl Told {
    fn hear(&mut self, event: &RunEvent) {
        match &mut self.view {
            Some(view) => view.apply(event),
            None => self.view = RunView::begin(event),
        }
        if let RunChange::Noted { text, warn: true, .. } = &event.change {
            self.warnings.push(text.clone());
        }
    }

    fn view(&self) -> &RunView {
        self.view.as_ref().expect("a plan")
    }
}

/// Begins a reboot and stops it when a step of this kind begins.
async fn left_at(stage: &Stage, kind: StepKind) -> Record {
    let mut run = begin(&stage.backends).await;
    let mut told = Told::default();
    while let Some(event) = run.events.recv().await {
        told.hear(&event);
        if let RunChange::StepStarted { step, .. } = event.change
            && told.view().steps[step].step.kind == kind
        {
            run.cancel.cancel();
        }
    }
    assert_eq!(told.view().state, RunState::Interrupted);
    record(stage).await
}

/// The journal, once the run's task has let go of it.
async fn record(stage: &Stage) -> Record {
    loop {
        let record = journal::find(&stage.backends.settings.state_dir, None).expect("a journal");
        if !record.is_alive {
            return record;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn permit(backends: &Backends, errand: Errand) -> Permit {
    let nodes = backends.cluster.nodes().await.expect("nodes").into_iter().map(|row| (row.name.clone(), row));
    let nodes = nodes.collect();
    let nodes = (errand != Errand::PutBack).then_some(&nodes);
    let world = World { nodes, etcd: None, lock: None };
    let given = Assent::Flag { context: None };
    grant_for(errand, &Policy::default(), &request(), world, given).expect("a permit")
}

async fn go_on(stage: &Stage, record: &Record) -> Result<Told, Report> {
    let errand = Errand::GoOn { has_asked: record.has_asked() };
    let permit = permit(&stage.backends, errand).await;
    Ok(to_its_end(resume(stage.backends.clone(), record, permit, OpId(2), true)?).await)
}

/// Until it is over; nobody decides about a failure.
async fn to_its_end(run: Run) -> Told {
    let Run { commands, mut events, .. } = run;
    drop(commands);
    let mut told = Told::default();
    let limit = Duration::from_hours(1);
    while let Some(event) = tokio::time::timeout(limit, events.recv()).await.expect("the run hangs") {
        told.hear(&event);
    }
    told
}

async fn is_lock_free(stage: &Stage) -> bool {
    let namespace = &stage.backends.settings.lease_namespace;
    stage.backends.cluster.lease_read(namespace).await.expect("readable").is_none()
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_left_goes_on_to_its_end() {
    for kind in [StepKind::Cordon, StepKind::Drain, StepKind::Recheck, StepKind::Back, StepKind::Verify] {
        let stage = Stage::new("default");
        let record = left_at(&stage, kind).await;
        let told = go_on(&stage, &record).await.expect("taken up");
        assert_eq!(told.view().state, RunState::Done, "{kind:?}: {:?}", told.view());
        assert!(told.view().left.is_empty() && is_lock_free(&stage).await, "{kind:?}");
        assert_eq!(stage.sim.machine(NODE).expect("a machine").reboots(), 1, "{kind:?}");
        let node = stage.backends.cluster.node(&NODE.into()).await.expect("the node");
        assert!(!node.cordoned && node.cordon.is_none(), "{kind:?}");
        let record = self::record(&stage).await;
        assert!(!record.is_unsettled() && resume_again(&stage, &record).await.contains("it is done"));
        assert!(markdown(&Account::new(&record)).contains("taken up again by"));
    }
}

async fn resume_again(stage: &Stage, record: &Record) -> String {
    match go_on(stage, record).await {
        Ok(told) => panic!("it was taken up: {:?}", told.view()),
        Err(report) => report.message,
    }
}

#[tokio::test(start_paused = true)]
async fn a_living_run_another_machine_s_and_another_context_s_are_refused() {
    let stage = Stage::new("default");
    let mut run = begin(&stage.backends).await;
    run.events.recv().await.expect("its plan");
    let living = journal::find(&stage.backends.settings.state_dir, None).expect("a journal");
    assert!(resume_again(&stage, &living).await.contains("under way in another process"));
    run.cancel.cancel();
    let record = record(&stage).await;
    let mut elsewhere = stage.backends.clone();
    elsewhere.settings.holder = "bob@far-away".into();
    let permit = || permit(&stage.backends, Errand::GoOn { has_asked: false });
    let refused = resume(elsewhere, &record, permit().await, OpId(2), true).expect_err("another machine");
    assert!(refused.message.contains(&stage.backends.settings.holder), "{refused}");
    let mut other = stage.backends.clone();
    other.settings.context = "another".into();
    let refused = resume(other, &record, permit().await, OpId(2), true).expect_err("another context");
    assert!(refused.message.contains("belongs to context"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_gone_or_another_one_stops_it_with_a_sentence() {
    for is_replaced in [false, true] {
        let stage = Stage::new("default");
        let record = left_at(&stage, StepKind::Drain).await;
        let permit = permit(&stage.backends, Errand::GoOn { has_asked: false }).await;
        let store = stage.sim.store();
        let nodes = store.list(&NODES, None);
        let found = nodes.iter().find(|node| node["metadata"]["name"] == NODE).expect("the node");
        let mut fresh = (**found).clone();
        store.remove(&NODES, "", NODE);
        if is_replaced {
            let metadata = fresh["metadata"].as_object_mut().expect("metadata");
            for field in ["uid", "resourceVersion", "creationTimestamp"] {
                metadata.remove(field);
            }
            store.create(&NODES, fresh).expect("a new node of that name");
        }
        let run = resume(stage.backends.clone(), &record, permit, OpId(2), true).expect("taken up");
        let told = to_its_end(run).await;
        let words = if is_replaced { "another one under the same name" } else { "is gone" };
        assert!(told.warnings.iter().any(|text| text.contains(words)), "{words}: {:?}", told.warnings);
        assert_eq!(told.view().state, RunState::Failed);
        assert_eq!(stage.sim.machine(NODE).expect("a machine").reboots(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_somebody_uncordoned_meanwhile_is_not_cordoned_in_silence() {
    let stage = Stage::new("default");
    let record = left_at(&stage, StepKind::Drain).await;
    let open = |node: &mut serde_json::Value| node["spec"]["unschedulable"] = json!(false);
    stage.sim.store().modify(&NODES, "", NODE, open).expect("the node");
    let told = go_on(&stage, &record).await.expect("taken up");
    let cordon = told.view().steps.iter().find(|view| view.step.kind == StepKind::Cordon).expect("a step");
    let StepState::Ended(Outcome::Failed(report), _) = &cordon.state else { panic!("{cordon:?}") };
    assert!(report.message.contains("somebody uncordoned it"), "{report}");
    // a second time is the engineer's word
    let record = self::record(&stage).await;
    assert_eq!(go_on(&stage, &record).await.expect("taken up").view().state, RunState::Done);
}

#[tokio::test(start_paused = true)]
async fn what_was_left_is_put_back_and_held_against_what_was_found() {
    let stage = Stage::new("default");
    let record = left_at(&stage, StepKind::Residual).await;
    assert!(record.left().iter().any(|words| words.contains("is cordoned by this run")));
    let permit = permit(&stage.backends, Errand::PutBack).await;
    let run = put_back(stage.backends.clone(), &record, permit, OpId(2), true).expect("taken up");
    let told = to_its_end(run).await;
    assert_eq!(told.view().state, RunState::Aborted);
    assert!(is_lock_free(&stage).await);
    let node = stage.backends.cluster.node(&NODE.into()).await.expect("the node");
    assert!(!node.cordoned);
    let differing: Vec<&str> = told
        .view()
        .compared
        .iter()
        .filter(|one| !one.is_same())
        .map(|one: &Difference| one.what.as_str())
        .collect();
    assert_eq!(differing, ["worker-1 pods"], "{:?}", told.view().compared);
    let record = self::record(&stage).await;
    assert!(resume_again(&stage, &record).await.contains("it was aborted"));
}

async fn put_back_of(stage: &Stage, record: &Record) -> Told {
    let world = World { nodes: None, etcd: None, lock: None };
    let given = Assent::Flag { context: None };
    let permit = grant_for(Errand::PutBack, &Policy::default(), &record.request(), world, given);
    let run = put_back(stage.backends.clone(), record, permit.expect("a permit"), OpId(2), true);
    to_its_end(run.expect("taken up")).await
}

fn drain_of(nodes: &[&str], parallel: usize) -> Request {
    Request {
        kind: Kind::Drain,
        nodes: nodes.iter().map(|name| (*name).into()).collect(),
        drain: DrainOptions { parallel, ..DrainOptions::default() },
        ..request()
    }
}

/// Starts a drain and ends its process, as it were, once so many pods were let go.
async fn killed_after(stage: &Stage, request: &Request, evictions: usize) -> Record {
    let facts = Facts::read(&stage.backends).await.expect("facts");
    let world = World { nodes: Some(&facts.nodes), etcd: facts.etcd.as_ref(), lock: None };
    let permit = grant(&Policy::default(), request, world, Assent::Flag { context: None });
    let mut run =
        start(stage.backends.clone(), plan(request, &facts), permit.expect("a permit"), OpId(1), true);
    while run.events.recv().await.is_some() {
        if evicted(stage).len() >= evictions {
            run.cancel.cancel();
        }
    }
    record(stage).await
}

/// The pods that the server let go, in order.
fn evicted(stage: &Stage) -> Vec<String> {
    let history = stage.sim.store().history();
    let gone = history.iter().filter(|line| line.path.ends_with("/eviction") && line.code < 300);
    gone.map(|line| line.path.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_drain_of_several_nodes_goes_on_where_it_stopped() {
    for parallel in [1, 2] {
        for evictions in [1, 4, 7] {
            let stage = Stage::new("default");
            let request = drain_of(&["worker-1", "worker-2"], parallel);
            let record = killed_after(&stage, &request, evictions).await;
            let name = format!("parallel {parallel}, killed after {evictions}");
            assert_eq!(record.state(), RunState::Interrupted, "{name}");
            assert!(record.left().iter().any(|left| left.contains("is cordoned by this run")), "{name}");
            let facts = Facts::read(&stage.backends).await.expect("facts");
            let world = World { nodes: Some(&facts.nodes), etcd: facts.etcd.as_ref(), lock: None };
            let errand = Errand::GoOn { has_asked: record.has_asked() };
            let given = Assent::Flag { context: None };
            let permit = grant_for(errand, &Policy::default(), &request, world, given).expect("a permit");
            let run = resume(stage.backends.clone(), &record, permit, OpId(2), true).expect("taken up");
            let told = to_its_end(run).await;
            assert_eq!(told.view().state, RunState::Done, "{name}: {:#?}", told.view());
            let all = evicted(&stage);
            let once: std::collections::BTreeSet<&String> = all.iter().collect();
            assert_eq!(once.len(), all.len(), "{name}: a pod was evicted twice: {all:?}");
            let moved = told.view().steps.iter().filter_map(|view| view.progress.as_ref()?.moved);
            assert_eq!(moved.sum::<u64>(), all.len() as u64, "{name}: each counts once");
            for node in ["worker-1", "worker-2"] {
                let row = stage.backends.cluster.node(&node.into()).await.expect("the node");
                assert!(row.cordoned, "{name}: {node}");
                let pods = stage.backends.cluster.pods_on(&node.into()).await.expect("pods");
                let left: Vec<_> = pods
                    .iter()
                    .filter(|pod| pod.owner.as_ref().is_none_or(|of| of.kind != "DaemonSet"))
                    .collect();
                assert!(left.is_empty(), "{name}: left on {node}: {left:?}");
            }
            let cordons = stage.sim.store().history();
            let cordons = cordons.iter().filter(|line| line.body["spec"]["unschedulable"] == json!(true));
            assert_eq!(cordons.count(), 2, "{name}: each node is cordoned once");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_of_several_nodes_that_was_left_is_put_back_on_all_of_them() {
    let stage = Stage::new("default");
    let record = killed_after(&stage, &drain_of(&["worker-1", "worker-2"], 1), 3).await;
    let told = put_back_of(&stage, &record).await;
    assert_eq!(told.view().state, RunState::Aborted, "{:#?}", told.view());
    for node in ["worker-1", "worker-2"] {
        let row = stage.backends.cluster.node(&node.into()).await.expect("the node");
        assert!(!row.cordoned && row.cordon.is_none(), "{node}");
    }
    assert!(told.view().compared.iter().any(|one| one.what == "worker-2 scheduling" && one.is_same()));
}
