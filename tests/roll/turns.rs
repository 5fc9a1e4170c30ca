//! What stands between two nodes: the validation after each action, the window, pauses, and nodes that were put off.

use super::*;
use pitstop::backend::clock::now;
use pitstop::domain::time::Stamp;
use pitstop::domain::window::{Window, Windows};
use pitstop::engine::service::Patch;
use pitstop::sim::scenario::{Action, Span};

fn drain_only() -> RollOptions {
    RollOptions { action: RollAction::DrainOnly, ..options() }
}

/// The run of a node that has begun a step of this kind.
fn has_begun(change: &RunChange, view: &RunView, kind: StepKind) -> bool {
    let RunChange::Child { step, child } = change else { return false };
    let RunChange::StepStarted { step: at, .. } = child.change else { return false };
    let turn = view.roll.as_ref().and_then(|roll| roll.turn(*step));
    turn.and_then(|turn| turn.child.as_ref()).is_some_and(|child| child.steps[at].step.kind == kind)
}

impl Rolling {
    /// Goes on until the run of some node begins a step of this kind.
    async fn until_step(&mut self, kind: StepKind) {
        loop {
            let event = self.next().await.unwrap_or_else(|| panic!("never begun: {}", told(self.view())));
            if has_begun(&event.change, self.view(), kind) {
                return;
            }
        }
    }
}

/// The runs of the nodes, by their journals.
fn turns_of(stage: &Stage) -> Vec<journal::Record> {
    let all = journal::list_all(&stage.backends.settings.state_dir).into_iter().flatten();
    all.filter(|record| record.header.parent.is_some()).collect()
}

fn outcome(record: &journal::Record, kind: StepKind) -> Option<Outcome> {
    let steps = record.view.iter().flat_map(|view| &view.steps);
    steps.filter(|step| step.step.kind == kind).find_map(|step| match &step.state {
        StepState::Ended(outcome, _) => Some(outcome.clone()),
        _ => None,
    })
}

fn crash(namespace: &str, name: &str) -> Action {
    Action::Crash { namespace: namespace.to_owned(), name: name.to_owned() }
}

#[tokio::test(start_paused = true)]
async fn every_drained_node_is_followed_by_two_readings_of_the_gates() {
    let stage = Stage::new("default");
    // what is not well before the roll is kept apart
    stage.sim.act(crash("kube-system", "kube-proxy-*")).await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    let (view, _) = Rolling::start(&stage, &["worker-1", "worker-2"], drain_only(), flag()).await.end().await;
    assert_eq!(view.state, RunState::Done, "{}", told(&view));
    let turns = turns_of(&stage);
    assert_eq!(turns.len(), 2);
    for turn in &turns {
        let words = match outcome(turn, StepKind::Components) {
            Some(Outcome::Done(words)) => words,
            other => panic!("{other:?}"),
        };
        assert!(words.contains("passed twice, 1") && words.ends_with("stays cordoned"), "{words}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_goes_wrong_while_a_node_is_drained_stops_the_roll_and_is_named() {
    let stage = Stage::new("default");
    let mut roll = Rolling::start(&stage, &["worker-1", "worker-2"], drain_only(), flag()).await;
    roll.until_step(StepKind::Components).await;
    stage.sim.act(crash("kube-system", "kube-proxy-*")).await;
    let (view, watch) = roll.end().await;
    assert_eq!(view.state, RunState::Failed, "{}", told(&view));
    let Outcome::Failed(report) = ended(&view, "worker-1") else { panic!("{}", told(&view)) };
    let words = report.line();
    assert!(words.contains("critical-pods") && words.contains("kube-proxy"), "{words}");
    assert_eq!(watch.order, ["worker-1"], "the second is not touched");
    assert!(view.left.iter().any(|left| left.contains("worker-1 is cordoned")), "{:?}", view.left);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_comes_and_goes_beside_a_drained_one_does_not_pass() {
    let stage = Stage::new("default");
    let mut roll = Rolling::start(&stage, &["worker-1", "worker-2"], drain_only(), flag()).await;
    roll.until_step(StepKind::Components).await;
    let every = Span::parse("20s").expect("a span");
    stage.sim.act(Action::Unsteady { node: "worker-3".to_owned(), every, times: None }).await;
    let (view, watch) = roll.end().await;
    let Outcome::Failed(report) = ended(&view, "worker-1") else { panic!("{}", told(&view)) };
    assert!(report.line().contains("worker-3"), "{report}");
    assert_eq!((view.state, watch.order.first().map(String::as_str)), (RunState::Failed, Some("worker-1")));
}

#[tokio::test(start_paused = true)]
async fn a_flapping_node_stops_our_own_roll_by_its_name() {
    let stage = Stage::new(
        "description = \"worker-2 comes and goes after its reboot\"\n[[node]]\nname = \"worker-2\"\nunsteady = { every = \"40s\" }\n",
    );
    let (view, watch) = Rolling::start(&stage, &WORKERS, options(), flag()).await.end().await;
    assert_eq!(view.state, RunState::Failed, "{}", told(&view));
    let Outcome::Failed(report) = ended(&view, "worker-2") else { panic!("{}", told(&view)) };
    assert!(report.line().contains("worker-2") && report.line().contains("gates twice"), "{report}");
    assert_eq!(watch.reboots("worker-3"), 0, "the next one is not touched");
    assert!(view.left.iter().any(|left| left.contains("worker-2 is cordoned")), "{:?}", view.left);
}

/// A cluster with a command that ends at once.
fn with_command(toml: &str) -> (Stage, RollOptions) {
    let mut stage = Stage::new(toml);
    // the clock of a test runs while the program does
    let command = Patch { argv: vec!["true".to_owned()], limit: Duration::from_hours(1000) };
    stage.backends.settings.service.commands.insert("patch".to_owned(), command);
    (stage, RollOptions { action: RollAction::Command("patch".to_owned()), ..options() })
}

#[tokio::test(start_paused = true)]
async fn a_command_is_followed_by_what_it_changed() {
    let (stage, options) = with_command("default");
    let mut roll = Rolling::start(&stage, &["worker-1", "worker-2"], options, flag()).await;
    // what the command does to the first of them: its kubelet is another one soon after
    roll.until_step(StepKind::Verify).await;
    let software = Action::Software {
        node: "worker-1".to_owned(),
        version: Some("v1.36.0".to_owned()),
        kernel: None,
        os: None,
        restart: true,
    };
    stage.sim.act(software).await;
    let (view, watch) = roll.end().await;
    assert_eq!(view.state, RunState::Done, "{}", told(&view));
    let words = |node| match ended(&view, node) {
        Outcome::Done(words) => words.clone(),
        other => panic!("{other:?}"),
    };
    assert!(words("worker-1").ends_with("→ v1.36.0"), "{}", words("worker-1"));
    assert!(words("worker-2").contains("nothing visible changed"), "{}", words("worker-2"));
    assert!(turns_of(&stage).iter().all(|turn| matches!(outcome(turn, StepKind::Verify),
        Some(Outcome::Done(words)) if words.contains("passed twice"))));
    assert_eq!(watch.unsettled(), Vec::<&str>::new());
}

/// A window that closes in so long, on a full minute.
async fn closes_in(left: Duration) -> (Windows, Stamp) {
    let goal = i64::try_from(left.as_millis()).expect("a span of a test");
    let rest = (-(now().0 + goal)).rem_euclid(60_000);
    tokio::time::sleep(Duration::from_millis(rest.unsigned_abs())).await;
    let closes = Stamp((now().0 + goal + 30_000) / 60_000 * 60_000);
    let clock = |at: i64| {
        let minutes = at.div_euclid(60_000).rem_euclid(24 * 60);
        format!("{:02}:{:02}", minutes / 60, minutes % 60)
    };
    let from = clock(closes.0 - 3_600_000);
    let window = Window::new(&[], &from, &clock(closes.0), "UTC").expect("a window");
    (Windows(vec![window]), closes)
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_would_not_end_in_the_window_does_not_begin() {
    let mut stage = Stage::new("default");
    // a worker is assumed to take five minutes, and takes about one and a half; a quarter more is allowed for
    let (windows, closes) = closes_in(Duration::from_secs(400)).await;
    stage.backends.settings.timing.windows = windows;
    let options = RollOptions { node_interval: Duration::from_mins(1), ..options() };
    let mut roll = Rolling::start(&stage, &WORKERS, options, flag()).await;
    let held = roll.until(|change| matches!(change, RunChange::Held { .. })).await;
    let RunChange::Held { why, .. } = &held.change else { panic!("{held:?}") };
    assert!(why.contains("would not end in the maintenance window") && why.contains("in this roll"), "{why}");
    assert!(held.at < closes);
    let (view, watch) = roll.end().await;
    assert_eq!(view.state, RunState::Interrupted, "{}", told(&view));
    assert!((1..3).contains(&watch.order.len()), "some were done, not all: {:?}", watch.order);
    let ended = view.roll.iter().flat_map(|roll| &roll.turns).filter_map(|turn| turn.ended);
    assert!(ended.into_iter().all(|at| at <= closes), "what was begun ended in the window");
}

#[tokio::test(start_paused = true)]
async fn a_roll_that_cannot_begin_a_turn_in_the_window_touches_no_node() {
    let mut stage = Stage::new("default");
    // a worker is assumed to take five minutes
    stage.backends.settings.timing.windows = closes_in(Duration::from_mins(3)).await.0;
    let (view, watch) = Rolling::start(&stage, &WORKERS, options(), flag()).await.end().await;
    assert_eq!(view.state, RunState::Interrupted, "{}", told(&view));
    assert!(view.held.as_ref().is_some_and(|why| why.contains("assumed")), "{:?}", view.held);
    assert!(watch.order.is_empty(), "{:?}", watch.order);
}

#[tokio::test(start_paused = true)]
async fn a_blocked_node_is_tried_again_as_soon_as_its_block_is_gone() {
    let stage = Stage::new(&blocked(""));
    let home = home_of(&stage, "ledger").await;
    let mut roll = Rolling::start(&stage, &[&home], options(), flag()).await;
    roll.until(|change| matches!(change, RunChange::Queued { postponed: Some(_), .. })).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let scale = Action::Scale { namespace: "shop".to_owned(), name: "ledger".to_owned(), replicas: 2 };
    stage.sim.act(scale).await;
    let relieved = now();
    let began = roll.until(|change| matches!(change, RunChange::TurnBegan { .. })).await;
    assert!(began.at.since(relieved) < Duration::from_secs(30), "{:?}", began.at.since(relieved));
    let (view, watch) = roll.end().await;
    assert_eq!(view.state, RunState::Done, "{}", told(&view));
    assert_eq!(watch.reboots(&home), 1);
}

#[tokio::test(start_paused = true)]
async fn the_canary_is_followed_by_a_pause_of_its_own() {
    let stage = Stage::new("default");
    let canary_pause = Duration::from_mins(4);
    let options = RollOptions { canary_pause, ..RollOptions::default() };
    let (view, _) = Rolling::start(&stage, &WORKERS, options, flag()).await.end().await;
    assert_eq!(view.state, RunState::Done, "{}", told(&view));
    let roll = view.roll.as_ref().expect("a roll");
    let at =
        |number: usize| (roll.turns[number].began.expect("begun"), roll.turns[number].ended.expect("over"));
    let (first, second, third) = (at(0), at(1), at(2));
    // stamps are whole milliseconds
    let rest = second.0.since(first.1) + Duration::from_millis(1);
    assert!(rest >= canary_pause, "{rest:?}");
    assert!(third.0.since(second.1) < canary_pause, "the others have their own");
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_of_the_control_plane_no_worker_is_touched() {
    let stage = Stage::new(
        "description = \"cp-2 never returns\"\n[[node]]\nname = \"cp-2\"\nreboot = \"never-returns\"\n",
    );
    let nodes = ["cp-1", "cp-2", "cp-3", "worker-1"];
    let (view, watch) = Rolling::start(&stage, &nodes, options(), flag()).await.end().await;
    assert_eq!(view.state, RunState::Failed, "{}", told(&view));
    assert!(watch.order.iter().all(|node| node.starts_with("cp-")), "{:?}", watch.order);
    assert_eq!((watch.masters, watch.reboots("worker-1")), (1, 0));
}
