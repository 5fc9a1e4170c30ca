//! A run in automatic mode at the end of its maintenance window, on a paused clock.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "scenarios/stage.rs"]
#[expect(dead_code, reason = "shared with the stories")]
mod stage;
#[path = "scenarios/story.rs"]
mod story;

use pitstop::backend::clock::now;
use pitstop::domain::config::{DrainOptions, Policy};
use pitstop::domain::guard::{Assent, Request, World, grant};
use pitstop::domain::ids::{NodeName, OpId};
use pitstop::domain::plan::Kind;
use pitstop::domain::run::{RunChange, RunCommand, RunEvent, RunState, RunView};
use pitstop::domain::time::Stamp;
use pitstop::domain::window::{Opening, Window, Windows};
use pitstop::engine::{Facts, Run, plan, start};
use stage::Stage;
use std::time::Duration;

const HOUR: Duration = Duration::from_hours(1);

/// A moment on a full minute, `left` from now: waits until the clock shows it so.
async fn in_time(left: Duration) -> Stamp {
    let goal = i64::try_from(left.as_millis()).expect("a span of a test");
    let rest = (-(now().0 + goal)).rem_euclid(60_000);
    tokio::time::sleep(Duration::from_millis(rest.unsigned_abs())).await;
    let at = now().0 + goal;
    Stamp((at + 30_000) / 60_000 * 60_000)
}

/// `HH:MM` in UTC.
fn clock(at: Stamp) -> String {
    let minutes = at.0.div_euclid(60_000).rem_euclid(24 * 60);
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

fn window(from: Stamp, to: Stamp) -> Windows {
    Windows(vec![Window::new(&[], &clock(from), &clock(to), "UTC").expect("a window")])
}

struct Driven {
    run: Run,
    view: Option<RunView>,
}

impl Driven {
    async fn start(stage: &Stage, kind: Kind, nodes: &[&str], windows: Windows, given: Assent) -> Self {
        let mut backends = stage.backends.clone();
        backends.settings.timing.windows = windows;
        let facts = Facts::read(&backends).await.expect("facts");
        let nodes = nodes.iter().map(|node| NodeName::from(*node)).collect();
        let drain = DrainOptions::default();
        let request = Request { drain, ..Request::new(kind, nodes) };
        let world = World { nodes: Some(&facts.nodes), etcd: facts.etcd.as_ref(), lock: None };
        let permit = grant(&Policy::default(), &request, world, given).expect("a permit");
        Self { run: start(backends, plan(&request, &facts), permit, OpId(1), true), view: None }
    }

    async fn next(&mut self) -> Option<RunEvent> {
        let event = tokio::time::timeout(HOUR, self.run.events.recv()).await.expect("the run hangs")?;
        match &mut self.view {
            Some(view) => view.apply(&event),
            None => self.view = RunView::begin(&event),
        }
        Some(event)
    }

    /// The event that is wanted; the steps that began before it, with whether each changes something.
    async fn until(&mut self, wanted: impl Fn(&RunChange) -> bool) -> (RunEvent, Vec<(Stamp, bool)>) {
        let mut begun = Vec::new();
        loop {
            let event = self.next().await.expect("it was never told");
            if let RunChange::StepStarted { step, .. } = event.change {
                begun.push((event.at, self.view().steps[step].step.kind.changes()));
            }
            if wanted(&event.change) {
                return (event, begun);
            }
        }
    }

    fn view(&self) -> &RunView {
        self.view.as_ref().expect("the plan is told first")
    }

    async fn order(&self, command: RunCommand) {
        self.run.commands.send(command).await.expect("the run listens");
    }
}

fn is_held(change: &RunChange) -> bool {
    matches!(change, RunChange::Held { .. })
}

fn is_state(wanted: RunState) -> impl Fn(&RunChange) -> bool {
    move |change| matches!(change, RunChange::State { state, .. } if *state == wanted)
}

#[tokio::test(start_paused = true)]
async fn nothing_that_changes_begins_by_itself_after_the_end_of_the_window() {
    let stage = Stage::new("default");
    // before the drain of the node can be over
    let closes = in_time(Duration::from_mins(1)).await;
    let opens = Stamp(closes.0 - 3_600_000);
    let mut run =
        Driven::start(&stage, Kind::Reboot, &["cp-1"], window(opens, closes), Assent::Typed("cp-1".into()))
            .await;
    let (held, begun) = run.until(is_held).await;
    let RunChange::Held { why, .. } = &held.change else { panic!("{held:?}") };
    assert_eq!(*why, format!("window closed at {} UTC; N goes on by hand", clock(closes)));
    assert!(held.at >= closes, "{held:?}");
    assert!(begun.iter().all(|(at, changes)| !changes || *at < closes), "{begun:?}");
    assert!(begun.len() > 2, "it went on by itself before: {begun:?}");
    assert!(matches!(run.view().window, Opening::Closed { .. }), "{:?}", run.view().window);
    run.until(is_state(RunState::Waiting)).await;
    assert_eq!(run.view().held.as_ref(), Some(why));

    // by itself it does not go on, and says so again
    run.order(RunCommand::Automatic).await;
    let (noted, begun) = run.until(|change| matches!(change, RunChange::Noted { warn: true, .. })).await;
    assert!(format!("{noted:?}").contains("window closed"), "{noted:?}");
    assert!(begun.is_empty());

    // by hand it goes on to its end, each step confirmed
    loop {
        let Some(event) = run.next().await else { break };
        if let RunChange::State { state: RunState::Waiting, automatic } = event.change {
            assert!(!automatic);
            let step = run.view().current().expect("a step waits");
            run.order(RunCommand::Confirm(step)).await;
        }
    }
    assert_eq!(run.view().state, RunState::Done);
    assert_eq!(stage.sim.machine("cp-1").expect("a machine").reboots(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_window_that_opens_again_lets_it_go_on_by_itself() {
    let stage = Stage::new("default");
    let closes = in_time(Duration::from_mins(1)).await;
    let opens = Stamp(closes.0 - 3_600_000);
    let again = Stamp(closes.0 + 600_000);
    let mut windows = window(opens, closes);
    windows.0.extend(window(again, Stamp(again.0 + 3_600_000)).0);
    let mut run =
        Driven::start(&stage, Kind::Reboot, &["worker-1"], windows, Assent::Typed("worker-1".into())).await;
    run.until(is_held).await;
    tokio::time::sleep(Duration::from_mins(10)).await;
    run.order(RunCommand::Automatic).await;
    run.until(|change| matches!(change, RunChange::Finished { state: RunState::Done, .. })).await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_of_several_nodes_stops_between_them() {
    let stage = Stage::new("default");
    let closes = in_time(Duration::from_secs(5)).await;
    let opens = Stamp(closes.0 - 3_600_000);
    let given = Assent::Flag { context: None };
    let nodes = ["worker-1", "worker-2"];
    let mut run = Driven::start(&stage, Kind::Drain, &nodes, window(opens, closes), given).await;
    let (held, begun) = run.until(is_held).await;
    assert!(begun.iter().all(|(at, changes)| !changes || *at < closes), "{begun:?}");
    run.until(is_state(RunState::Paused)).await;
    assert!(held.at >= closes);
    // nobody is there: it is left as it is
    run.run.commands = tokio::sync::mpsc::channel(1).0;
    run.until(|change| matches!(change, RunChange::Finished { state: RunState::Interrupted, .. })).await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_a_person_confirms_outside_of_the_windows_is_by_hand() {
    let stage = Stage::new("default");
    let far = Stamp(now().0 + 6 * 3_600_000);
    let windows = window(far, Stamp(far.0 + 3_600_000));
    let mut run = Driven::start(&stage, Kind::Drain, &["worker-1"], windows, Assent::Key).await;
    run.until(|change| matches!(change, RunChange::Finished { state: RunState::Done, .. })).await;
}
