//! Rolling many nodes: order, how many are away at a time, what happens when one does not go well, and what is put back.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "roll/left.rs"]
mod left;
#[path = "scenarios/stage.rs"]
#[expect(dead_code, reason = "shared with the stories")]
mod stage;
#[path = "scenarios/story.rs"]
mod story;
#[path = "roll/turns.rs"]
mod turns;
#[path = "roll/watch.rs"]
mod watch;

use pitstop::domain::config::Policy;
use pitstop::domain::guard::{Assent, Errand, Request, World, grant, grant_for};
use pitstop::domain::ids::{NodeName, OpId};
use pitstop::domain::plan::{Kind, StepKind};
use pitstop::domain::roll::{Role, RollAction, RollOptions};
use pitstop::domain::run::{Outcome, RunChange, RunCommand, RunEvent, RunState, RunView, StepState};
use pitstop::engine::{Facts, Run, journal, may_take_over, plan, resume, start};
use stage::Stage;
use stage::witness::Witness;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use watch::Watch;

/// A roll under way, looked at from the server's side.
struct Rolling {
    run: Run,
    view: Option<RunView>,
    stop: CancellationToken,
    watch: tokio::task::JoinHandle<Watch>,
}

fn flag() -> Assent {
    Assent::Flag { context: None }
}

impl Rolling {
    async fn start(stage: &Stage, nodes: &[&str], options: RollOptions, given: Assent) -> Self {
        let facts = Facts::read(&stage.backends).await.expect("facts");
        let request = Request {
            roll: Some(Box::new(options)),
            ..Request::new(Kind::Roll, nodes.iter().map(|name| NodeName::from(*name)).collect())
        };
        let world = World { nodes: Some(&facts.nodes), etcd: facts.etcd.as_ref(), lock: None };
        let permit = grant(&Policy::default(), &request, world, given).expect("a permit");
        let stop = CancellationToken::new();
        let watch = Watch::new(stage.sim.store()).look(stop.clone());
        let run = start(stage.backends.clone(), plan(&request, &facts), permit, OpId(1), true);
        Self { run, view: None, stop, watch }
    }

    async fn next(&mut self) -> Option<RunEvent> {
        let limit = Duration::from_hours(12);
        let event = tokio::time::timeout(limit, self.run.events.recv()).await;
        let event = event.unwrap_or_else(|_| panic!("the roll hangs: {}", told(self.view())))?;
        match &mut self.view {
            Some(view) => view.apply(&event),
            None => self.view = RunView::begin(&event),
        }
        // the steps of an abort are confirmed one by one
        if matches!(event.change, RunChange::State { state: RunState::Waiting, .. })
            && let Some(index) = self.view().current()
            && self.view().steps[index].is_undo
        {
            self.tell(RunCommand::Confirm(index)).await;
        }
        Some(event)
    }

    async fn tell(&self, order: RunCommand) {
        self.run.commands.send(order).await.expect("it listens");
    }

    fn view(&self) -> &RunView {
        self.view.as_ref().expect("a plan")
    }

    async fn until(&mut self, wanted: impl Fn(&RunChange) -> bool) -> RunEvent {
        loop {
            let event = self.next().await.unwrap_or_else(|| panic!("never told: {}", told(self.view())));
            if wanted(&event.change) {
                return event;
            }
        }
    }

    /// Brings it to its end; nobody decides anything when it stops on the way.
    async fn end(mut self) -> (RunView, Watch) {
        while let Some(event) = self.next().await {
            let is_undoing = self.view().steps.iter().any(|step| step.is_undo);
            if matches!(event.change, RunChange::State { state: RunState::Failed | RunState::Waiting, .. })
                && !is_undoing
            {
                self.run.commands = tokio::sync::mpsc::channel(1).0;
            }
        }
        self.stop.cancel();
        let watch = self.watch.await.expect("the watch");
        (self.view.expect("a plan"), watch)
    }
}

fn told(view: &RunView) -> String {
    let step = |step: &pitstop::domain::run::StepView| {
        let node = step.step.node.as_ref().map_or("", NodeName::as_str);
        let state = match &step.state {
            StepState::Ended(Outcome::Failed(report), _) => format!("failed {report}"),
            other => format!("{other:?}"),
        };
        format!("{} {node}: {state}", step.step.kind.name())
    };
    let roll = view.roll.as_ref().map(|roll| (&roll.paced, &roll.queue));
    let steps: Vec<String> = view.steps.iter().map(step).collect();
    format!("{:?} {roll:?} held {:?}\n{}", view.state, view.held, steps.join("\n"))
}

fn options() -> RollOptions {
    RollOptions { canary: false, ..RollOptions::default() }
}

#[tokio::test(start_paused = true)]
async fn two_workers_one_after_the_other() {
    let stage = Stage::new("default");
    let roll = Rolling::start(&stage, &["worker-2", "worker-1"], options(), flag()).await;
    let (view, watch) = roll.end().await;
    assert_eq!(view.state, RunState::Done, "{}", told(&view));
    assert_eq!((watch.masters, watch.workers), (0, 1));
    assert_eq!(watch.order, ["worker-1", "worker-2"]);
    for node in ["worker-1", "worker-2"] {
        assert_eq!(watch.reboots(node), 1, "{node}");
    }
    assert_eq!(watch.unsettled(), Vec::<&str>::new());
    assert!(view.left.is_empty() && view.debts.is_empty(), "{:?}", view.left);
    assert!(view.has_done(StepKind::Components));
}

/// Every node of a cluster of fifty, once.
#[tokio::test(start_paused = true)]
async fn a_fleet_is_rolled_without_ever_taking_too_much_away() {
    let stage = Stage::new("fleet");
    let mut nodes: Vec<String> = (1..=3).map(|number| format!("cp-{number}")).collect();
    nodes.extend((1..=47).map(|number| format!("worker-{number}")));
    let names: Vec<&str> = nodes.iter().map(String::as_str).collect();
    let options = RollOptions { max_unavailable: "3".parse().expect("a quota"), ..RollOptions::default() };
    let stop = CancellationToken::new();
    let witness = Witness::new(stage.sim.store()).look(stop.clone());
    let roll = Rolling::start(&stage, &names, options, flag()).await;
    let (view, watch) = roll.end().await;
    stop.cancel();
    assert_eq!(view.state, RunState::Done, "{}", told(&view));
    witness.await.expect("the witness").verify("fleet", &nodes, true);
    for node in &nodes {
        assert_eq!(watch.reboots(node), 1, "{node}");
    }
    assert_eq!((watch.masters, watch.workers, watch.of_zone), (1, 3, 1));
    assert!(!watch.mixed, "no worker goes while the control plane is serviced");
    let first: Vec<&str> = watch.order.iter().take(4).map(String::as_str).collect();
    assert_eq!(first, ["cp-2", "cp-3", "cp-1", "worker-1"], "the leader is the last of its group");
    assert_eq!(watch.unsettled(), Vec::<&str>::new());
}

fn ended<'v>(view: &'v RunView, node: &str) -> &'v Outcome {
    let of = |step: &&pitstop::domain::run::StepView| {
        step.step.kind == StepKind::Turn
            && !step.is_undo
            && step.step.node.as_ref().is_some_and(|on| on.as_str() == node)
    };
    match &view.steps.iter().find(of).expect("a turn").state {
        StepState::Ended(outcome, _) => outcome,
        other => panic!("{node} is {other:?}: {}", told(view)),
    }
}

/// A cluster whose second worker does not come back.
const LOST: &str = r#"
description = "worker-2 never returns"
[[node]]
name = "worker-2"
reboot = "never-returns"
"#;

const WORKERS: [&str; 3] = ["worker-1", "worker-2", "worker-3"];

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_return_stops_the_roll() {
    let stage = Stage::new(LOST);
    let (view, watch) = Rolling::start(&stage, &WORKERS, options(), flag()).await.end().await;
    assert_eq!(view.state, RunState::Failed, "{}", told(&view));
    assert!(matches!(ended(&view, "worker-1"), Outcome::Done(_)));
    assert!(
        matches!(ended(&view, "worker-2"), Outcome::Failed(report) if report.message.contains("boot id and Ready"))
    );
    assert_eq!(watch.order, ["worker-1", "worker-2"], "the third is not touched");
    assert!(view.left.iter().any(|left| left.contains("worker-2 is cordoned")), "{:?}", view.left);
    assert!(view.left.iter().any(|left| left.contains("pitstop.dev/scheduled")), "{:?}", view.left);
    assert!(view.left.iter().any(|left| left.contains("lock")), "{:?}", view.left);
}

#[tokio::test(start_paused = true)]
async fn with_keep_going_the_others_are_still_rolled_as_far_as_there_is_room() {
    let stage = Stage::new(LOST);
    let options = RollOptions { keep_going: true, max_unavailable: "2".parse().expect("two"), ..options() };
    let (view, watch) = Rolling::start(&stage, &WORKERS, options, flag()).await.end().await;
    assert_eq!(view.state, RunState::Failed, "{}", told(&view));
    assert_eq!((watch.reboots("worker-1"), watch.reboots("worker-2"), watch.reboots("worker-3")), (1, 0, 1));
    assert_eq!(watch.workers, 2, "the one that is lost counts");
    assert_eq!(watch.unsettled(), ["worker-2"]);
}

/// A budget that never lets its only pod go, until its owner adds one.
fn blocked(relief: &str) -> String {
    format!(
        r#"
description = "a budget blocks one worker"
[[workload]]
kind = "Deployment"
namespace = "shop"
name = "ledger"
replicas = 1
budget = {{ min_available = 1 }}
{relief}
"#
    )
}

async fn home_of(stage: &Stage, name: &str) -> String {
    let pods = stage.backends.cluster.pods().await.expect("pods");
    let pod = pods.iter().find(|pod| pod.key.name.starts_with(name)).expect("the pod");
    pod.node.clone().expect("placed").0
}

#[tokio::test(start_paused = true)]
async fn a_blocked_node_comes_last_and_is_done_once_its_budget_allows_it() {
    let relief = r#"
[[event]]
at = "7m"
action = { do = "scale", namespace = "shop", name = "ledger", replicas = 2 }
"#;
    let stage = Stage::new(&blocked(relief));
    let home = home_of(&stage, "ledger").await;
    let (view, watch) = Rolling::start(&stage, &WORKERS, options(), flag()).await.end().await;
    assert_eq!(view.state, RunState::Done, "{}", told(&view));
    let roll = view.roll.as_ref().expect("a roll");
    let turn = roll.turns.iter().find(|turn| turn.node.as_str() == home).expect("its turn");
    assert_eq!(turn.postponed, 1, "{home}");
    assert_eq!(watch.order.last(), Some(&home), "{:?}", watch.order);
    assert!(WORKERS.iter().all(|node| watch.reboots(node) == 1));
    assert_eq!(watch.unsettled(), Vec::<&str>::new());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stays_blocked_is_not_touched() {
    let stage = Stage::new(&blocked(""));
    let home = home_of(&stage, "ledger").await;
    let (view, watch) = Rolling::start(&stage, &WORKERS, options(), flag()).await.end().await;
    assert_eq!(view.state, RunState::Failed, "{}", told(&view));
    assert!(matches!(ended(&view, &home), Outcome::Failed(report) if report.message.contains("shop/ledger")));
    let done = WORKERS.iter().filter(|node| watch.reboots(node) == 1).count();
    assert_eq!((done, watch.reboots(&home)), (2, 0), "the others are done");
    assert!(!watch.order.contains(&home), "it is not even cordoned");
}

#[tokio::test(start_paused = true)]
async fn an_abort_puts_back_the_node_in_work_and_all_marks() {
    let stage = Stage::new("default");
    let mut roll = Rolling::start(&stage, &WORKERS, options(), flag()).await;
    roll.until(|change| {
        matches!(change, RunChange::Child { child, .. } if matches!(child.change,
        RunChange::StepStarted { step: 6, .. }))
    })
    .await;
    roll.tell(RunCommand::Abort).await;
    let (view, watch) = roll.end().await;
    assert_eq!(view.state, RunState::Aborted, "{}", told(&view));
    assert_eq!(watch.order, ["worker-1"]);
    assert!(WORKERS.iter().all(|node| watch.reboots(node) == 0));
    assert_eq!(watch.unsettled(), Vec::<&str>::new());
    assert_eq!(view.left.iter().filter(|left| !left.contains("moved away")).count(), 0, "{:?}", view.left);
}

#[tokio::test(start_paused = true)]
async fn a_roll_of_drains_leaves_its_nodes_cordoned_and_an_abort_lets_them_go() {
    let stage = Stage::new("default");
    let options = RollOptions { action: RollAction::DrainOnly, ..options() };
    let mut roll = Rolling::start(&stage, &["worker-1", "worker-2"], options.clone(), flag()).await;
    roll.until(|change| {
        matches!(change, RunChange::StepEnded { outcome: Outcome::Done(words), .. }
        if words.starts_with("drained"))
    })
    .await;
    roll.tell(RunCommand::Abort).await;
    let (view, watch) = roll.end().await;
    assert_eq!(view.state, RunState::Aborted, "{}", told(&view));
    assert_eq!(watch.unsettled(), Vec::<&str>::new());

    let (view, watch) = Rolling::start(&stage, &["worker-1", "worker-2"], options, flag()).await.end().await;
    assert_eq!(view.state, RunState::Done, "{}", told(&view));
    assert_eq!(watch.unsettled(), ["worker-1", "worker-2"]);
    assert!(watch.reboots("worker-1") + watch.reboots("worker-2") == 0);
}

#[tokio::test(start_paused = true)]
async fn whoever_sits_there_looks_at_the_canary_first() {
    let stage = Stage::new("default");
    let given = Assent::Typed("worker-1".to_owned());
    let mut roll = Rolling::start(&stage, &WORKERS, RollOptions::default(), given).await;
    let held = roll.until(|change| matches!(change, RunChange::Held { .. })).await;
    assert!(matches!(held.change, RunChange::Held { why, .. } if why.contains("canary worker-1")));
    roll.until(|change| matches!(change, RunChange::State { state: RunState::Waiting, .. })).await;
    let told = tokio::time::timeout(Duration::from_mins(10), roll.next()).await;
    assert!(told.is_err(), "nothing begins: {told:?}");
    roll.tell(RunCommand::Automatic).await;
    let (view, watch) = roll.end().await;
    assert_eq!(view.state, RunState::Done, "{}", self::told(&view));
    assert_eq!(watch.order, WORKERS);
}

#[tokio::test(start_paused = true)]
async fn the_pause_can_be_changed_while_the_roll_goes() {
    let stage = Stage::new("default");
    let options = RollOptions { node_interval: Duration::from_hours(5), ..options() };
    let mut roll = Rolling::start(&stage, &WORKERS, options, flag()).await;
    roll.until(|change| matches!(change, RunChange::Paced { until: Some(_), .. })).await;
    let before = tokio::time::Instant::now();
    roll.tell(RunCommand::Interval { role: Role::Worker, quiet: Duration::from_secs(7) }).await;
    let (view, watch) = roll.end().await;
    assert_eq!(view.state, RunState::Done, "{}", told(&view));
    assert!(before.elapsed() < Duration::from_hours(1), "{:?}", before.elapsed());
    assert_eq!(watch.order.len(), 3);
    let roll = view.roll.expect("a roll");
    assert_eq!(roll.options.node_interval, Duration::from_secs(7));
}

/// A process ends in the middle; another one goes on with the roll, and with the run of the node that was in work.
#[tokio::test(start_paused = true)]
async fn a_roll_that_was_left_is_gone_on_with() {
    let stage = Stage::new("default");
    let nodes = ["cp-1", "cp-2", "cp-3", "worker-1", "worker-2", "worker-3"];
    let mut roll = Rolling::start(&stage, &nodes, RollOptions::default(), flag()).await;
    // the second node was asked to reboot
    let mut asked = 0;
    while asked < 2 {
        let event = roll.next().await.expect("told");
        asked += usize::from(matches!(&event.change, RunChange::Child { child, .. }
            if matches!(child.change, RunChange::Asked { .. })));
    }
    roll.run.cancel.cancel();
    let (view, _) = roll.end().await;
    assert_eq!(view.state, RunState::Interrupted, "{}", told(&view));
    assert!(view.left.iter().any(|left| left.contains("cp-3")), "{:?}", view.left);

    let path = journal::directory(&stage.backends.settings.state_dir).join(format!("{}.jsonl", view.id));
    let record = journal::read(&path).expect("its journal");
    assert!(record.has_asked());
    let world = World { nodes: None, etcd: None, lock: None };
    let errand = Errand::GoOn { has_asked: true };
    let permit = grant_for(errand, &Policy::default(), &record.request(), world, flag()).expect("a permit");
    let stop = CancellationToken::new();
    let watch = Watch::new(stage.sim.store()).look(stop.clone());
    let run = resume(stage.backends.clone(), &record, permit, OpId(2), true).expect("gone on with");
    let (view, watch) = Rolling { run, view: None, stop, watch }.end().await;
    assert_eq!(view.state, RunState::Done, "{}", told(&view));
    assert_eq!((watch.masters, watch.workers, watch.mixed), (1, 1, false));
    let reboots = |node: &str| watch.reboots(node);
    assert_eq!(reboots("cp-2"), 0, "it was done before");
    assert!(reboots("cp-3") <= 1, "the one in work was asked already");
    for node in ["cp-1", "worker-1", "worker-2", "worker-3"] {
        assert_eq!(reboots(node), 1, "{node}");
    }
    assert_eq!(watch.unsettled(), Vec::<&str>::new());
    // the run of a node is not gone on with alone
    let child = journal::list_all(&stage.backends.settings.state_dir)
        .into_iter()
        .flatten()
        .find(|record| record.header.parent.is_some())
        .expect("a run of a node");
    let refused = may_take_over(&child, &stage.backends.settings, false).expect_err("refused");
    assert!(refused.message.contains("is a part of roll-"), "{refused}");
}
