//! How a run is driven: confirmations, pauses, retries, interruption, breakdowns, and the journal it leaves.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "runs/aborts.rs"]
mod aborts;
#[path = "scenarios/stage.rs"]
#[expect(dead_code, reason = "shared with the stories")]
mod stage;
#[path = "scenarios/story.rs"]
mod story;

use pitstop::backend::dial::Dialer;
use pitstop::backend::host::{Hosts, SshOptions};
use pitstop::domain::config::Policy;
use pitstop::domain::gate::Verdict;
use pitstop::domain::guard::{Assent, Request, World, grant};
use pitstop::domain::ids::{NodeName, OpId};
use pitstop::domain::plan::{Kind, StepKind};
use pitstop::domain::run::{Outcome, RunChange, RunCommand, RunEvent, RunState, RunView, StepState};
use pitstop::engine::{Backends, Facts, Run, journal, plan, start};
use pitstop::sim::api::faults::{Effect, Matching, Rule};
use pitstop::sim::store::resources::{LEASES, NODES};
use serde_json::json;
use stage::Stage;
use std::time::Duration;

/// A run, and what it told so far.
struct Driven {
    run: Run,
    view: Option<RunView>,
}

impl Driven {
    async fn start(stage: &Stage, kind: Kind, node: &str, is_automatic: bool) -> Self {
        Self::start_with(stage.backends.clone(), kind, node, is_automatic).await
    }

    async fn start_with(backends: Backends, kind: Kind, node: &str, is_automatic: bool) -> Self {
        let facts = Facts::read(&backends).await.expect("facts");
        let nodes = vec![NodeName::from(node)];
        let request = Request::new(kind, nodes);
        let world = World { nodes: Some(&facts.nodes), etcd: facts.etcd.as_ref(), lock: None };
        let permit = grant(&Policy::default(), &request, world, Assent::Flag { context: None });
        let run = start(backends, plan(&request, &facts), permit.expect("a permit"), OpId(1), is_automatic);
        Self { run, view: None }
    }

    async fn next(&mut self) -> Option<RunEvent> {
        let limit = Duration::from_hours(1);
        let event = tokio::time::timeout(limit, self.run.events.recv()).await.expect("the run hangs")?;
        match &mut self.view {
            Some(view) => view.apply(&event),
            None => self.view = RunView::begin(&event),
        }
        // the steps of an abort are confirmed one by one
        if matches!(event.change, RunChange::State { state: RunState::Waiting, .. })
            && let Some(index) = self.view.as_ref().and_then(RunView::current)
            && self.view().steps[index].is_undo
        {
            self.tell(RunCommand::Confirm(index)).await;
        }
        Some(event)
    }

    /// Goes on until something is told.
    async fn until(&mut self, wanted: impl Fn(&RunChange) -> bool) -> RunEvent {
        loop {
            let event = self.next().await.expect("it was never told");
            if wanted(&event.change) {
                return event;
            }
        }
    }

    async fn until_state(&mut self, wanted: RunState) -> RunEvent {
        self.until(|change| matches!(change, RunChange::State { state, .. } if *state == wanted)).await
    }

    async fn until_step(&mut self, kind: StepKind) {
        loop {
            let event = self.next().await.expect("the step never began");
            if let RunChange::StepStarted { step, .. } = event.change
                && self.view().steps[step].step.kind == kind
            {
                return;
            }
        }
    }

    async fn end(&mut self) -> RunState {
        while self.next().await.is_some() {}
        self.view().state
    }

    async fn tell(&self, command: RunCommand) {
        self.run.commands.send(command).await.expect("it listens");
    }

    fn view(&self) -> &RunView {
        self.view.as_ref().expect("a plan")
    }

    fn current(&self) -> StepKind {
        let index = self.view().current().expect("a step");
        self.view().steps[index].step.kind
    }

    fn outcome(&self, kind: StepKind) -> &Outcome {
        let step = self.view().steps.iter().find(|view| view.step.kind == kind).expect("a step");
        match &step.state {
            StepState::Ended(outcome, _) => outcome,
            other => panic!("{kind:?} is {other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_key_cannot_confirm_another_step() {
    let stage = Stage::new("default");
    let mut driven = Driven::start(&stage, Kind::Reboot, "worker-1", false).await;
    driven.until_state(RunState::Waiting).await;
    driven.tell(RunCommand::Confirm(1)).await;
    driven.tell(RunCommand::Confirm(5)).await;
    let told = tokio::time::timeout(Duration::from_mins(5), driven.next()).await;
    assert!(told.is_err(), "nothing began: {told:?}");
    driven.tell(RunCommand::Confirm(0)).await;
    driven.until_step(StepKind::Preflight).await;
}

#[tokio::test(start_paused = true)]
async fn automatic_stops_when_something_is_not_green() {
    let stage = Stage::new("tight-budgets");
    let pods = stage.backends.cluster.pods().await.expect("pods");
    let pod = pods.iter().find(|pod| pod.key.name.starts_with("ledger")).expect("a blocked pod");
    let node = pod.node.clone().expect("placed");
    let mut driven = Driven::start(&stage, Kind::Reboot, node.as_str(), true).await;
    loop {
        let event = driven.next().await.expect("told");
        match event.change {
            RunChange::State { state: RunState::Waiting, automatic } => {
                assert!(!automatic);
                assert_eq!(driven.current(), StepKind::Cordon);
                assert!(matches!(driven.outcome(StepKind::Predict), Outcome::Warned(_)));
                break;
            }
            // a pod that is refused outright ends the forecast earlier, which is as good a stop
            RunChange::State { state: RunState::Failed, .. } => {
                assert_eq!(driven.current(), StepKind::Predict);
                break;
            }
            _ => {}
        }
    }
    assert!(stage.sim.store().history().iter().all(|line| !line.path.ends_with("/eviction")));
}

#[tokio::test(start_paused = true)]
async fn a_pause_takes_hold_after_the_present_step() {
    let stage = Stage::new("default");
    let mut driven = Driven::start(&stage, Kind::Reboot, "worker-1", true).await;
    driven.until_step(StepKind::Lock).await;
    driven.tell(RunCommand::Pause).await;
    driven.until_state(RunState::Paused).await;
    assert!(matches!(driven.outcome(StepKind::Lock), Outcome::Done(_)));
    driven.tell(RunCommand::Abort).await;
    assert_eq!(driven.end().await, RunState::Aborted);
    assert!(driven.view().left.is_empty(), "{:?}", driven.view().left);
}

#[tokio::test(start_paused = true)]
async fn a_step_is_left_out_only_where_the_plan_allows() {
    let stage = Stage::new("default");
    let mut driven = Driven::start(&stage, Kind::Reboot, "worker-1", false).await;
    driven.until_state(RunState::Waiting).await;
    driven.tell(RunCommand::Skip).await;
    let refused = driven.until(|change| matches!(change, RunChange::Noted { .. })).await;
    assert!(matches!(refused.change, RunChange::Noted { warn: true, .. }));
    assert_eq!(driven.current(), StepKind::Preflight);
}

#[tokio::test(start_paused = true)]
async fn a_failed_step_is_tried_again_when_the_world_has_changed() {
    let stage = Stage::new("default");
    let store = stage.sim.store();
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": { "name": "pitstop", "namespace": "kube-system" },
        "spec": { "holderIdentity": "bob", "leaseDurationSeconds": 3600, "renewTime": store.now_micro() },
    });
    store.create(&LEASES, lease).expect("a lease");
    let mut driven = Driven::start(&stage, Kind::Reboot, "worker-1", true).await;
    driven.until_state(RunState::Failed).await;
    assert!(matches!(driven.outcome(StepKind::Preflight), Outcome::Failed(_)));
    store.remove(&LEASES, "kube-system", "pitstop");
    driven.tell(RunCommand::Retry).await;
    driven.until_state(RunState::Waiting).await;
    assert_eq!(driven.current(), StepKind::Lock);
    assert_eq!(driven.view().steps[0].attempts, 2);
    // a decision after a failure is made step by step
    driven.tell(RunCommand::Automatic).await;
    assert_eq!(driven.end().await, RunState::Done);
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_drain_sends_nothing_more() {
    let stage = Stage::new("default");
    let evictions =
        || stage.sim.store().history().iter().filter(|line| line.path.ends_with("/eviction")).count();
    let mut driven = Driven::start(&stage, Kind::Drain, "worker-1", true).await;
    driven.until_step(StepKind::Drain).await;
    driven.until(|change| matches!(change, RunChange::Noted { .. })).await;
    let began = tokio::time::Instant::now();
    driven.run.cancel.cancel();
    let at_cancel = evictions();
    assert_eq!(driven.end().await, RunState::Interrupted);
    assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert_eq!(evictions(), at_cancel);
    assert!(driven.view().left[0].contains("worker-1 is cordoned by this run"));
}

#[tokio::test(start_paused = true)]
async fn the_journal_tells_the_same_story() {
    let stage = Stage::new("default");
    let mut driven = Driven::start(&stage, Kind::Reboot, "worker-1", true).await;
    driven.until_step(StepKind::Cordon).await;
    let records = journal::list(&stage.backends.settings.state_dir);
    let living = records.first().expect("a journal").as_ref().expect("readable");
    assert!(living.is_alive && !living.is_orphan());
    assert_eq!(driven.end().await, RunState::Done);
    drop(driven.run.commands);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let records = journal::list(&stage.backends.settings.state_dir);
    let record = records.first().expect("a journal").as_ref().expect("readable");
    assert_eq!((record.state(), record.is_alive), (RunState::Done, false));
    assert!(record.unanswered.is_empty(), "{:?}", record.unanswered);
    assert!(record.left().is_empty());
    let ends = |view: &RunView| view.steps.iter().map(|step| step.state.clone()).collect::<Vec<_>>();
    assert_eq!(ends(record.view.as_ref().expect("a view")), ends(driven.view.as_ref().expect("a view")));
}

#[tokio::test(start_paused = true)]
async fn without_a_journal_nothing_is_changed() {
    let stage = Stage::new("default");
    let mut backends = stage.backends.clone();
    backends.settings.state_dir = "/proc/nowhere".into();
    let mut driven = Driven::start_with(backends, Kind::Cordon, "worker-1", true).await;
    assert_eq!(driven.end().await, RunState::Failed);
    let Outcome::Failed(report) = driven.outcome(StepKind::Cordon) else { panic!("{:?}", driven.view()) };
    assert!(report.message.contains("journal"), "{report}");
    let node = stage.backends.cluster.node(&"worker-1".into()).await.expect("the node");
    assert!(!node.cordoned);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_breaks_down_is_a_failed_step() {
    let stage = Stage::new("default");
    let broken = Hosts::new(SshOptions::default(), Dialer::new(|_| panic!("a defect")));
    let backends = Backends { hosts: Some(broken), ..stage.backends.clone() };
    let mut driven = Driven::start_with(backends, Kind::Reboot, "worker-1", true).await;
    driven.until_state(RunState::Failed).await;
    let Outcome::Failed(report) = driven.outcome(StepKind::Preflight) else { panic!("{:?}", driven.view()) };
    assert!(report.line().contains("broke down: a defect"), "{report}");
    driven.tell(RunCommand::Abort).await;
    assert_eq!(driven.end().await, RunState::Aborted);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_said_no_and_rebooted_is_not_asked_again() {
    let stage = Stage::new("default");
    stage.sim.host("worker-1").expect("a host").change_faults(|faults| faults.reboot_denied_in_vain = true);
    let mut driven = Driven::start(&stage, Kind::Reboot, "worker-1", true).await;
    driven.until_state(RunState::Failed).await;
    assert_eq!(driven.current(), StepKind::Reboot);
    tokio::time::sleep(Duration::from_mins(5)).await;
    driven.tell(RunCommand::Retry).await;
    driven.until_state(RunState::Waiting).await;
    let Outcome::Done(words) = driven.outcome(StepKind::Reboot) else { panic!("{:?}", driven.view()) };
    assert!(words.contains("has rebooted already"), "{words}");
    driven.tell(RunCommand::Automatic).await;
    assert_eq!(driven.end().await, RunState::Done);
    assert_eq!(stage.sim.machine("worker-1").expect("a machine").reboots(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_refuses_logins_is_going_down() {
    let stage = Stage::new("default");
    let host = stage.sim.host("worker-1").expect("a host");
    host.change_faults(|faults| faults.no_logins_while_stopping = true);
    let mut driven = Driven::start(&stage, Kind::Reboot, "worker-1", true).await;
    let refused = |change: &RunChange| matches!(change, RunChange::Progressed { progress, .. } if progress.text.contains("refuses logins"));
    driven.until(refused).await;
    assert_eq!(driven.end().await, RunState::Done);
}

#[tokio::test(start_paused = true)]
async fn a_cordon_that_is_stopped_while_it_reads_sends_no_patch() {
    for aborts in [false, true] {
        let stage = Stage::new("default");
        let reads =
            Matching { verbs: vec!["get".into()], resource: Some("nodes".into()), ..Matching::default() };
        let slow = Rule::always(reads, Effect::DelayMs(400));
        let mut driven = Driven::start(&stage, Kind::Cordon, "worker-1", true).await;
        stage.sim.faults().add(slow);
        driven.until_step(StepKind::Cordon).await;
        // the step reads, then the change itself reads once more
        tokio::time::sleep(Duration::from_millis(600)).await;
        if aborts {
            driven.tell(RunCommand::Abort).await;
        } else {
            driven.run.cancel.cancel();
        }
        driven.end().await;
        tokio::time::sleep(Duration::from_mins(1)).await;
        let patches = stage.sim.store().history();
        let patches: Vec<_> = patches.iter().filter(|line| line.path.ends_with("/nodes/worker-1")).collect();
        assert!(patches.is_empty(), "{patches:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cordon_that_somebody_else_made_meanwhile_stays_theirs() {
    let stage = Stage::new("default");
    let patches =
        Matching { verbs: vec!["patch".into()], resource: Some("nodes".into()), ..Matching::default() };
    let busy = Rule { times: Some(1), ..Rule::always(patches, Effect::Throttle(5)) };
    stage.sim.faults().add(busy);
    let mut driven = Driven::start(&stage, Kind::Reboot, "worker-1", true).await;
    driven.until_step(StepKind::Cordon).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let cordon = |node: &mut serde_json::Value| node["spec"]["unschedulable"] = json!(true);
    stage.sim.store().modify(&NODES, "", "worker-1", cordon).expect("the node");
    assert_eq!(driven.end().await, RunState::Done);
    let Outcome::Skipped(words) = driven.outcome(StepKind::Cordon) else { panic!("{:?}", driven.view()) };
    assert!(words.contains("cordoned meanwhile"), "{words}");
    let node = stage.backends.cluster.node(&"worker-1".into()).await.expect("the node");
    assert!(node.cordoned && node.cordon.is_none_or(|note| note.run.is_none()));
}

#[tokio::test(start_paused = true)]
async fn a_reboot_that_failed_before_it_asked_leaves_nothing_behind() {
    let stage = Stage::new("default");
    let mut driven = Driven::start(&stage, Kind::Reboot, "worker-1", true).await;
    driven.until_step(StepKind::Reboot).await;
    stage.sim.host("worker-1").expect("a host").change_faults(|faults| faults.hang = true);
    let machine = stage.sim.machine("worker-1").expect("a machine");
    let boot = machine.boot_id();
    driven.run.cancel.cancel();
    assert_eq!(driven.end().await, RunState::Interrupted);
    assert_eq!((machine.boot_id(), machine.reboots()), (boot, 0));
    assert!(
        driven.view().left.iter().all(|line| !line.contains("asked to reboot")),
        "{:?}",
        driven.view().left
    );
}

#[tokio::test(start_paused = true)]
async fn a_second_abort_does_not_stop_what_is_put_back() {
    let stage = Stage::new("default");
    let mut driven = Driven::start(&stage, Kind::Reboot, "worker-1", true).await;
    driven.until_step(StepKind::Drain).await;
    let reads = Matching { verbs: vec!["get".into()], resource: Some("nodes".into()), ..Matching::default() };
    stage.sim.faults().add(Rule::always(reads, Effect::DelayMs(400)));
    for _ in 0..3 {
        driven.tell(RunCommand::Abort).await;
    }
    driven.until(|change| matches!(change, RunChange::Undoing { .. })).await;
    driven.until_step(StepKind::Uncordon).await;
    driven.tell(RunCommand::Abort).await;
    assert_eq!(driven.end().await, RunState::Aborted);
    let node = stage.backends.cluster.node(&"worker-1".into()).await.expect("the node");
    assert!(!node.cordoned, "{:?}", driven.view().left);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_waits_says_so_again_after_each_answer() {
    let stage = Stage::new("default");
    let mut driven = Driven::start(&stage, Kind::Reboot, "worker-1", false).await;
    driven.until_state(RunState::Waiting).await;
    driven.tell(RunCommand::Skip).await;
    driven.until_state(RunState::Waiting).await;
    let mut is_left_out = false;
    while !is_left_out {
        let index = driven.view().current().expect("a step");
        is_left_out = driven.view().steps[index].step.may_skip;
        driven.tell(if is_left_out { RunCommand::Skip } else { RunCommand::Confirm(index) }).await;
        driven.until_state(RunState::Waiting).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_try_takes_over_what_the_first_left_behind() {
    let stage = Stage::new("default");
    let mut first = Driven::start(&stage, Kind::Reboot, "worker-1", true).await;
    first.until_step(StepKind::Recheck).await;
    first.run.cancel.cancel();
    assert_eq!(first.end().await, RunState::Interrupted);
    let node = stage.sim.store().get(&NODES, "", "worker-1").expect("a node");
    assert_eq!(node["spec"]["unschedulable"], json!(true));

    let mut second = Driven::start(&stage, Kind::Reboot, "worker-1", true).await;
    assert_eq!(second.end().await, RunState::Done);
    assert!(second.view().left.is_empty(), "{:?}", second.view().left);
    let node = stage.sim.store().get(&NODES, "", "worker-1").expect("a node");
    assert_ne!(node["spec"]["unschedulable"], json!(true), "{}", node["metadata"]["annotations"]);
}

#[tokio::test(start_paused = true)]
async fn a_gate_is_accepted_only_with_a_reason_and_never_what_makes_a_reboot_unsafe() {
    let stage = Stage::new("default");
    // a right that this run does not come to use: it creates the lease
    let updates =
        Matching { verbs: vec!["update".into()], resource: Some("leases".into()), ..Matching::default() };
    stage.sim.faults().add(Rule::always(updates, Effect::Forbid));
    let mut driven = Driven::start(&stage, Kind::Reboot, "worker-1", true).await;
    driven.until_state(RunState::Failed).await;
    let accept = |gate: &str, reason: &str| RunCommand::Accept {
        step: 0,
        gate: gate.to_owned(),
        reason: reason.to_owned(),
    };
    for (gate, reason) in
        [("permissions", " "), ("api", "it is open"), ("locks", "it passed"), ("host-identity", "sure")]
    {
        driven.tell(accept(gate, reason)).await;
        let refused = driven.until(|change| matches!(change, RunChange::Noted { .. })).await;
        assert!(matches!(refused.change, RunChange::Noted { warn: true, .. }));
    }
    driven.tell(accept("permissions", "read the role")).await;
    let decided = driven.until(|change| matches!(change, RunChange::Decided { .. })).await;
    let RunChange::Decided { order: RunCommand::Accept { reason, .. }, by, .. } = decided.change else {
        panic!("another decision");
    };
    assert_eq!((reason.as_str(), by), ("read the role", stage.backends.settings.holder.clone()));
    driven.tell(RunCommand::Retry).await;
    driven.until_state(RunState::Waiting).await;
    let read = |driven: &Driven, step: usize| {
        let gates = &driven.view().steps[step].gates;
        gates.iter().find(|gate| gate.name == "permissions").map(|gate| gate.verdict.clone())
    };
    let accepted = Some(Verdict::Accepted("read the role".into()));
    assert_eq!(read(&driven, 0), accepted);
    driven.tell(RunCommand::Automatic).await;
    assert_eq!(driven.end().await, RunState::Done);
    let again = driven.view().steps.iter().position(|view| view.step.kind == StepKind::Recheck);
    assert_eq!(read(&driven, again.expect("a step")), accepted, "for the whole run");
}

#[tokio::test(start_paused = true)]
async fn the_quiet_time_is_changed_while_it_runs() {
    let stage = Stage::new("default");
    let mut driven = Driven::start(&stage, Kind::Reboot, "worker-1", true).await;
    driven.until_step(StepKind::Settle).await;
    let began = tokio::time::Instant::now();
    driven.tell(RunCommand::Settle(Duration::from_hours(2))).await;
    driven.until(|change| matches!(change, RunChange::Decided { .. })).await;
    tokio::time::sleep(Duration::from_mins(90)).await;
    driven.tell(RunCommand::Settle(Duration::from_mins(100))).await;
    assert_eq!(driven.end().await, RunState::Done);
    let took = began.elapsed();
    assert!(took >= Duration::from_mins(100) && took < Duration::from_mins(103), "{took:?}");
}
