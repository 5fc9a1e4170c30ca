//! Rolling many nodes: order, how many are away at a time, what happens when one does not go well, and what is put back.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "scenarios/stage.rs"]
#[expect(dead_code, reason = "shared with the stories")]
mod stage;
#[path = "scenarios/story.rs"]
mod story;
#[path = "roll/watch.rs"]
mod watch;

use pitstop::domain::config::{DrainOptions, Policy};
use pitstop::domain::guard::{Assent, Request, World, grant};
use pitstop::domain::ids::{NodeName, OpId};
use pitstop::domain::lock::LockChoice;
use pitstop::domain::plan::{Kind, StepKind};
use pitstop::domain::roll::RollOptions;
use pitstop::domain::run::{Outcome, RunChange, RunEvent, RunState, RunView, StepState};
use pitstop::engine::{Facts, Run, plan, start};
use stage::Stage;
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
            kind: Kind::Roll,
            nodes: nodes.iter().map(|name| NodeName::from(*name)).collect(),
            drain: DrainOptions::default(),
            blocked: false,
            lock: LockChoice::Take,
            resolve: None,
            roll: Some(Box::new(options)),
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
        Some(event)
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
            if let RunChange::State { state: RunState::Failed | RunState::Waiting, .. } = event.change {
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
