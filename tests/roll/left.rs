//! Rolls that were left in the middle of a node, that are told to stop there, or whose node is not green at the end.

use super::*;
use pitstop::backend::clock::now;
use pitstop::domain::time::Stamp;
use pitstop::domain::window::{Window, Windows};
use pitstop::engine::Backends;
use pitstop::engine::journal::Record;
use pitstop::sim::api::faults::{Effect, Matching, Rule};
use std::path::PathBuf;

/// Of the plan of a node's run.
const DRAIN: usize = 6;

fn begins(wanted: usize) -> impl Fn(&RunChange) -> bool {
    move |change| {
        matches!(change, RunChange::Child { child, .. }
            if matches!(child.change, RunChange::StepStarted { step, .. } if step == wanted))
    }
}

fn has_asked(change: &RunChange) -> bool {
    matches!(change, RunChange::Child { child, .. } if matches!(child.change, RunChange::Asked { .. }))
}

fn is_held(change: &RunChange) -> bool {
    matches!(change, RunChange::Held { .. })
}

fn is_turn(view: &RunView, step: usize) -> bool {
    view.steps[step].step.kind == StepKind::Turn && !view.steps[step].is_undo
}

/// Stops it where it is; its journal.
async fn left(stage: &Stage, roll: Rolling) -> Record {
    roll.run.cancel.cancel();
    let (view, _) = roll.end().await;
    record(stage, &view)
}

fn path(stage: &Stage, run: &str) -> PathBuf {
    journal::directory(&stage.backends.settings.state_dir).join(format!("{run}.jsonl"))
}

fn record(stage: &Stage, view: &RunView) -> Record {
    journal::read(&path(stage, view.id.as_str())).expect("its journal")
}

fn go_on(stage: &Stage, backends: &Backends, record: &Record, is_automatic: bool) -> Rolling {
    let world = World { nodes: None, etcd: None, lock: None };
    let errand = Errand::GoOn { has_asked: record.has_asked() };
    let permit = grant_for(errand, &Policy::default(), &record.request(), world, flag()).expect("a permit");
    let stop = CancellationToken::new();
    let watch = Watch::new(stage.sim.store()).look(stop.clone());
    let run = resume(backends.clone(), record, permit, OpId(2), is_automatic).expect("gone on with");
    Rolling { run, view: None, stop, watch }
}

/// The same in a window that is closed for hours.
fn outside(stage: &Stage) -> Backends {
    let clock = |at: i64| {
        let minutes = at.div_euclid(60_000).rem_euclid(24 * 60);
        format!("{:02}:{:02}", minutes / 60, minutes % 60)
    };
    let Stamp(at) = now();
    let (from, to) = (clock(at + 6 * 3_600_000), clock(at + 7 * 3_600_000));
    let mut backends = stage.backends.clone();
    backends.settings.timing.windows = Windows(vec![Window::new(&[], &from, &to, "UTC").expect("a window")]);
    backends
}

#[tokio::test(start_paused = true)]
async fn what_was_confirmed_beforehand_is_held_outside_of_the_window_when_it_is_resumed() {
    for is_asked in [false, true] {
        let stage = Stage::new("default");
        let mut roll = Rolling::start(&stage, &WORKERS, options(), flag()).await;
        if is_asked {
            roll.until(has_asked).await;
        } else {
            roll.until(begins(DRAIN)).await;
        }
        let record = left(&stage, roll).await;
        let mut roll = go_on(&stage, &outside(&stage), &record, is_asked);
        let held = roll.until(is_held).await;
        assert!(format!("{held:?}").contains("window closed"), "{held:?}");
        let (view, watch) = roll.end().await;
        assert_ne!(view.state, RunState::Done, "{}", told(&view));
        assert_eq!(watch.reboots("worker-2") + watch.reboots("worker-3"), 0, "no other node is touched");
        assert!(watch.unsettled().contains(&"worker-1"), "it is not even made schedulable");
    }
}

#[tokio::test(start_paused = true)]
async fn a_turn_whose_run_had_not_begun_comes_again() {
    let stage = Stage::new("default");
    let mut roll = Rolling::start(&stage, &WORKERS, options(), flag()).await;
    loop {
        let event = roll.next().await.expect("a turn begins");
        if matches!(event.change, RunChange::StepStarted { step, .. } if is_turn(roll.view(), step)) {
            break;
        }
    }
    let record = left(&stage, roll).await;
    let queue = &record.view.as_ref().and_then(|view| view.roll.as_ref()).expect("a roll").queue;
    assert_eq!(queue.len(), 2, "the first has begun");
    let (view, watch) = go_on(&stage, &stage.backends, &record, true).end().await;
    assert_eq!(view.state, RunState::Done, "{}", told(&view));
    assert_eq!(watch.order, WORKERS);
    assert!(WORKERS.iter().all(|node| watch.reboots(node) == 1));
}

/// Both had begun and failed before their reboots: they are tried again one after the other.
#[tokio::test(start_paused = true)]
async fn control_planes_that_had_failed_are_resumed_one_after_the_other() {
    let stage = Stage::new("default");
    let options = RollOptions { keep_going: true, ..options() };
    let nodes = ["cp-1", "cp-2", "cp-3"];
    let mut roll = Rolling::start(&stage, &nodes, options, flag()).await;
    roll.until(|change| matches!(change, RunChange::StepEnded { step: 4, .. })).await;
    let cordon = Matching {
        verbs: vec!["patch".to_owned()],
        resource: Some("nodes".to_owned()),
        ..Matching::default()
    };
    stage.sim.faults().forbid(cordon);
    let (view, _) = roll.end().await;
    assert_eq!(view.state, RunState::Failed, "{}", told(&view));
    assert!(nodes.iter().all(|node| matches!(ended(&view, node), Outcome::Failed(_))));
    stage.sim.faults().clear();
    let record = record(&stage, &view);
    let (view, watch) = go_on(&stage, &stage.backends, &record, true).end().await;
    assert_eq!(view.state, RunState::Done, "{}", told(&view));
    assert_eq!(watch.masters, 1, "one after the other");
    assert!(nodes.iter().all(|node| watch.reboots(node) == 1));
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_is_not_green_at_the_end_stops_the_roll() {
    let mut stage = Stage::new("default");
    stage.backends.settings.timing.settle = Duration::from_mins(3);
    let options = RollOptions { max_unavailable: "3".parse().expect("three"), ..RollOptions::default() };
    let mut roll = Rolling::start(&stage, &WORKERS, options, flag()).await;
    roll.until(begins(14)).await;
    stage.sim.machine("worker-3").expect("a machine").power_off();
    let held = roll.until(is_held).await;
    assert!(format!("{held:?}").contains("worker-1 was not green at its last look"), "{held:?}");
    let (view, watch) = roll.end().await;
    assert_eq!(view.state, RunState::Interrupted, "{}", told(&view));
    assert!(matches!(ended(&view, "worker-1"), Outcome::Warned(words) if words.contains("worker-3")));
    assert_eq!(watch.reboots("worker-2"), 0, "the canary is not released");
    let record = record(&stage, &view);
    let mut roll = go_on(&stage, &stage.backends, &record, true);
    let held = roll.until(is_held).await;
    assert!(format!("{held:?}").contains("was not green at its last look"), "{held:?}");
}

/// A node is put off in its drain, and cannot be made schedulable again.
#[tokio::test(start_paused = true)]
async fn a_node_that_could_not_be_put_back_is_not_called_put_back() {
    let stage = Stage::new("default");
    let mut roll = Rolling::start(&stage, &WORKERS, options(), flag()).await;
    roll.until(begins(DRAIN)).await;
    let matching = Matching {
        verbs: vec!["patch".to_owned()],
        resource: Some("nodes".to_owned()),
        ..Matching::default()
    };
    let rule = Rule { matching, effect: Effect::Fail(500), times: None, lasts: Some(Duration::from_mins(5)) };
    stage.sim.faults().add(rule);
    let step = roll.view().steps.iter().position(|step| step.step.kind == StepKind::Turn).expect("a turn");
    roll.tell(RunCommand::Postpone(step)).await;
    let (view, watch) = roll.end().await;
    assert_eq!(view.state, RunState::Failed, "{}", told(&view));
    assert!(
        matches!(ended(&view, "worker-1"), Outcome::Failed(report) if report.message.contains("could not be put back")),
        "{}",
        told(&view)
    );
    assert_eq!(watch.order, ["worker-1"]);
    assert!(view.left.iter().any(|left| left.contains("worker-1 is cordoned")), "{:?}", view.left);
    // it is put back first, and comes again as if it had not been touched
    tokio::time::sleep(Duration::from_mins(5)).await;
    let record = record(&stage, &view);
    let (view, watch) = go_on(&stage, &stage.backends, &record, true).end().await;
    assert_eq!(view.state, RunState::Done, "{}", told(&view));
    assert!(WORKERS.iter().all(|node| watch.reboots(node) == 1));
    assert_eq!(watch.unsettled(), Vec::<&str>::new());
}

#[tokio::test(start_paused = true)]
async fn a_roll_that_was_left_while_a_node_is_put_back_is_gone_on_with() {
    for leaves_out in [false, true] {
        let stage = Stage::new("default");
        let mut roll = Rolling::start(&stage, &WORKERS, options(), flag()).await;
        roll.until(begins(DRAIN)).await;
        let step =
            roll.view().steps.iter().position(|step| step.step.kind == StepKind::Turn).expect("a turn");
        let abort = RunCommand::Turn { step, order: Box::new(RunCommand::Abort) };
        roll.tell(if leaves_out { abort } else { RunCommand::Postpone(step) }).await;
        roll.until(|change| {
            matches!(change, RunChange::Child { child, .. } if matches!(child.change, RunChange::Undoing { .. }))
        })
        .await;
        let record = left(&stage, roll).await;
        let (view, watch) = go_on(&stage, &stage.backends, &record, true).end().await;
        assert_eq!(view.state, RunState::Done, "{}", told(&view));
        assert_eq!(watch.reboots("worker-1"), usize::from(!leaves_out), "{}", told(&view));
        assert_eq!(watch.reboots("worker-2") + watch.reboots("worker-3"), 2);
        assert_eq!(watch.unsettled(), Vec::<&str>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_journal_cannot_be_read_is_not_serviced_again() {
    let stage = Stage::new("default");
    let mut roll = Rolling::start(&stage, &WORKERS, options(), flag()).await;
    roll.until(has_asked).await;
    let record = left(&stage, roll).await;
    let turn = &record.view.as_ref().and_then(|view| view.roll.as_ref()).expect("a roll").turns[0];
    let path = path(&stage, turn.run.as_ref().expect("its run").as_str());
    let text = std::fs::read_to_string(&path).expect("its journal");
    std::fs::write(&path, text.replacen("\"line\":\"event\"", "\"line\":\"evemt\"", 1)).expect("damaged");
    let damaged = journal::read(&record.path).expect("the roll's is whole");
    assert!(damaged.has_asked(), "nothing tells that it was not");
    let (view, watch) = go_on(&stage, &stage.backends, &damaged, true).end().await;
    assert_eq!(view.state, RunState::Failed, "{}", told(&view));
    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(matches!(ended(&view, "worker-1"), Outcome::Failed(report) if report.message.contains(&name)));
    assert!(WORKERS[1..].iter().all(|node| watch.reboots(node) == 0));
}

#[tokio::test(start_paused = true)]
async fn an_order_is_heard_before_the_run_of_a_node_begins() {
    let stage = Stage::new("default");
    let mut roll = Rolling::start(&stage, &WORKERS, options(), flag()).await;
    roll.until(|change| matches!(change, RunChange::StepEnded { step: 4, .. })).await;
    let matching = Matching {
        verbs: vec!["list".to_owned()],
        resource: Some("nodes".to_owned()),
        ..Matching::default()
    };
    stage.sim.faults().add(Rule::always(matching, Effect::DelayMs(5_000)));
    loop {
        let event = roll.next().await.expect("a turn begins");
        if matches!(event.change, RunChange::StepStarted { step, .. } if is_turn(roll.view(), step)) {
            break;
        }
    }
    roll.tell(RunCommand::Abort).await;
    loop {
        let Some(event) = roll.next().await else { break };
        assert!(!matches!(event.change, RunChange::TurnBegan { .. }), "{}", told(roll.view()));
    }
    assert_eq!(roll.view().state, RunState::Aborted, "{}", told(roll.view()));
}

/// Whoever aborts a roll that goes on by itself is asked before each step of putting it back.
#[tokio::test(start_paused = true)]
async fn an_abort_ends_the_automatic_mode() {
    let stage = Stage::new("default");
    let given = Assent::Typed("worker-1".to_owned());
    let mut roll = Rolling::start(&stage, &WORKERS, options(), given).await;
    roll.until(begins(DRAIN)).await;
    roll.tell(RunCommand::Abort).await;
    roll.until(|change| matches!(change, RunChange::State { state: RunState::Waiting, automatic: false }))
        .await;
    let view = roll.view();
    assert!(view.steps[view.current().expect("a step")].is_undo, "{}", told(view));
    let (view, watch) = roll.end().await;
    assert_eq!(view.state, RunState::Aborted, "{}", told(&view));
    assert_eq!(watch.unsettled(), Vec::<&str>::new());
}
