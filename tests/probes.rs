//! Runs with a probe beside them, on a paused clock: a bad turn ends the automatic mode, a healthy one ends with figures.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "scenarios/stage.rs"]
#[expect(dead_code, reason = "shared with the stories")]
mod stage;
#[path = "scenarios/story.rs"]
mod story;

use pitstop::backend::probe::Asker;
use pitstop::domain::config::Policy;
use pitstop::domain::guard::{Assent, Request, World, grant};
use pitstop::domain::ids::{NodeName, OpId};
use pitstop::domain::plan::{Kind, StepKind};
use pitstop::domain::probe::{Moment, ProbeSpec, Target, Verdict};
use pitstop::domain::run::{RunChange, RunCommand, RunEvent, RunState, RunView};
use pitstop::engine::account::{Account, markdown};
use pitstop::engine::probe::Watchman;
use pitstop::engine::{Facts, Run, journal, plan, start};
use stage::Stage;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const HOUR: Duration = Duration::from_hours(1);

/// An application that answers within 20 ms, until it is ill: then late, and half of the time not at all.
#[derive(Clone, Default)]
struct App {
    is_ill: Arc<AtomicBool>,
    is_odd: Arc<AtomicBool>,
}

impl App {
    fn ail(&self, is_ill: bool) {
        self.is_ill.store(is_ill, Ordering::Relaxed);
    }

    fn watchman(&self) -> Watchman {
        let spec =
            ProbeSpec::new(Target::parse("http://web.example.org/ok?key=topsecret").expect("a target"));
        let app = self.clone();
        let asker = Asker::given(spec.pace.timeout, move || {
            let app = app.clone();
            Box::pin(async move {
                let is_ill = app.is_ill.load(Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(if is_ill { 400 } else { 20 })).await;
                let is_odd = app.is_odd.fetch_xor(true, Ordering::Relaxed);
                if is_ill && is_odd { Err("answered 503".to_owned()) } else { Ok(()) }
            })
        });
        Watchman::over(vec![(spec, asker)])
    }
}

struct Driven {
    run: Run,
    view: Option<RunView>,
    events: Vec<RunEvent>,
}

impl Driven {
    async fn start(stage: &Stage, app: &App, node: &str, given: Assent, is_automatic: bool) -> Self {
        let mut backends = stage.backends.clone();
        backends.watchman = app.watchman();
        let facts = Facts::read(&backends).await.expect("facts");
        let request = Request::new(Kind::Reboot, vec![NodeName::from(node)]);
        let world = World { nodes: Some(&facts.nodes), etcd: facts.etcd.as_ref(), lock: None };
        let permit = grant(&Policy::default(), &request, world, given).expect("a permit");
        let run = start(backends, plan(&request, &facts), permit, OpId(1), is_automatic);
        Self { run, view: None, events: Vec::new() }
    }

    async fn next(&mut self) -> Option<RunEvent> {
        let event = tokio::time::timeout(HOUR, self.run.events.recv()).await.expect("the run hangs")?;
        match &mut self.view {
            Some(view) => view.apply(&event),
            None => self.view = RunView::begin(&event),
        }
        self.events.push(event.clone());
        Some(event)
    }

    async fn until(&mut self, wanted: impl Fn(&RunChange, &RunView) -> bool) -> RunEvent {
        loop {
            let event = self.next().await.expect("it was never told");
            if wanted(&event.change, self.view()) {
                return event;
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

fn begins(kind: StepKind) -> impl Fn(&RunChange, &RunView) -> bool {
    move |change, view| match change {
        RunChange::StepStarted { step, .. } => view.steps[*step].step.kind == kind,
        _ => false,
    }
}

fn is_state(wanted: RunState) -> impl Fn(&RunChange, &RunView) -> bool {
    move |change, _| matches!(change, RunChange::State { state, .. } if *state == wanted)
}

fn typed() -> Assent {
    Assent::Typed("worker-1".into())
}

#[tokio::test(start_paused = true)]
async fn a_bad_turn_ends_the_automatic_mode_and_says_why() {
    let (stage, app) = (Stage::new("default"), App::default());
    let mut run = Driven::start(&stage, &app, "worker-1", typed(), true).await;
    run.until(begins(StepKind::Reboot)).await;
    app.ail(true);
    let held = run.until(|change, _| matches!(change, RunChange::Held { .. })).await;
    let RunChange::Held { why, .. } = &held.change else { panic!("{held:?}") };
    let is_told = |why: &str| {
        why.starts_with("probe web.example.org: ")
            && why.contains(" in the last 10s")
            && why.ends_with("N goes on by hand")
    };
    assert!(is_told(why), "{why}");
    // the steps that wait for the reboot go on, the next one waits and still says why
    run.until(is_state(RunState::Waiting)).await;
    assert!(!run.view().automatic);
    let at = run.view().current().expect("a step");
    assert_eq!(run.view().steps[at].step.kind, StepKind::Verify);
    assert!(run.view().held.as_deref().is_some_and(is_told), "{:?}", run.view().held);
    // as long as it lasts there is no automatic mode, by hand it goes on
    run.order(RunCommand::Automatic).await;
    let no = run.until(|change, _| matches!(change, RunChange::Noted { warn: true, .. })).await;
    assert!(matches!(&no.change, RunChange::Noted { text, .. } if is_told(text)), "{no:?}");
    run.order(RunCommand::Confirm(at)).await;
    run.until(begins(StepKind::Verify)).await;
    app.ail(false);
    tokio::time::sleep(Duration::from_secs(15)).await;
    run.until(is_state(RunState::Waiting)).await;
    run.order(RunCommand::Automatic).await;
    while run.next().await.is_some() {}
    assert_eq!(run.view().state, RunState::Done);
    let record = journal::find(&stage.backends.settings.state_dir, None).expect("a journal");
    let page = markdown(&Account::new(&record));
    assert!(page.contains("error budget spent") && page.contains("answered 503"), "{page}");
    assert!(!page.contains("topsecret"), "{page}");
}

#[tokio::test(start_paused = true)]
async fn a_healthy_run_ends_as_the_baseline_with_the_figures() {
    let (stage, app) = (Stage::new("default"), App::default());
    let mut run = Driven::start(&stage, &app, "worker-1", typed(), true).await;
    while run.next().await.is_some() {}
    let view = run.view();
    assert_eq!((view.state, view.held.as_deref()), (RunState::Done, None));
    let probe = view.watched.ended.first().expect("a last word");
    assert_eq!(probe.verdict, Verdict::AsBaseline);
    assert!(
        probe.words.contains("0 failed, p50 20 ms, p95 20 ms, p99 20 ms; baseline of 100: 0 failed")
            && probe.words.starts_with("as the baseline: "),
        "{}",
        probe.words
    );
    assert!(view.watched.probes[0].bars.len() > 10, "bars of the last minute");
    let record = journal::find(&stage.backends.settings.state_dir, None).expect("a journal");
    let kept = |wanted: Moment| {
        let is_it = |event: &&RunEvent| matches!(&event.change, RunChange::Measured { moment, .. } if *moment == wanted);
        record.events.iter().filter(is_it).count()
    };
    assert_eq!((kept(Moment::Baseline), kept(Moment::Spent), kept(Moment::End)), (1, 0, 1));
    assert!(!record.events.iter().any(|event| matches!(event.change, RunChange::Probed { .. })));
    let page = markdown(&Account::new(&record));
    assert!(page.contains("as the baseline"), "{page}");
}

#[tokio::test(start_paused = true)]
async fn what_fails_before_anything_is_touched_stops_a_run_that_nobody_watches() {
    let (stage, app) = (Stage::new("default"), App::default());
    app.ail(true);
    let mut run = Driven::start(&stage, &app, "worker-1", Assent::Flag { context: None }, false).await;
    let held = run.until(|change, _| matches!(change, RunChange::Held { .. })).await;
    let RunChange::Held { step: 0, why } = &held.change else { panic!("{held:?}") };
    assert!(why.starts_with("probe web.example.org fails already: "), "{why}");
    run.until(is_state(RunState::Waiting)).await;
    run.run.cancel.cancel();
    while run.next().await.is_some() {}
    assert!(!run.events.iter().any(|event| matches!(event.change, RunChange::StepStarted { .. })));
}
