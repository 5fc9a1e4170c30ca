//! The API server fails in every way during the reboot of a control-plane node: the run waits or stops with a reason, takes
//! no silence for success, and goes on to its end when the server has healed. In memory, on a paused clock.

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
use pitstop::domain::plan::{Kind, StepKind};
use pitstop::domain::report::FailureKind;
use pitstop::domain::run::{Outcome, RunChange, RunCommand, RunEvent, RunState, RunView};
use pitstop::domain::time::Stamp;
use pitstop::engine::{Facts, Run, plan, start};
use pitstop::sim::api::faults::{Connection, Effect, Faults, Matching, Rule};
use pitstop::sim::store::resources::LEASES;
use serde_json::json;
use stage::Stage;
use std::collections::BTreeMap;
use std::time::Duration;

const NODE: &str = "cp-1";

/// A way to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// No connection comes about.
    Refused,
    /// Nothing is answered for ten seconds.
    Silent,
    /// Nothing is answered for longer than any request waits.
    Mute,
    /// What is open breaks, and so does every answer.
    Reset,
    /// Watches are too old, again and again.
    WatchesGone,
    /// 429 with `Retry-After`.
    Throttled,
    /// 500.
    Broken,
    /// 401.
    TokenExpired,
}

/// When the server fails, each time anew: all but the steps that only wait, and what comes before anything is asked.
const STEPS: [StepKind; 15] = [
    StepKind::Preflight,
    StepKind::Lock,
    StepKind::Backup,
    StepKind::Predict,
    StepKind::Cordon,
    StepKind::MoveLeader,
    StepKind::Drain,
    StepKind::Residual,
    StepKind::Recheck,
    StepKind::Reboot,
    StepKind::Down,
    StepKind::Back,
    StepKind::Verify,
    StepKind::Uncordon,
    StepKind::Unlock,
];

impl Trouble {
    /// How long the server fails.
    fn lasts(self) -> Duration {
        Duration::from_secs(if self == Self::Silent { 10 } else { 45 })
    }

    fn begin(self, faults: &Faults) {
        let lasts = self.lasts();
        let watches = Matching { verbs: vec!["watch".to_owned()], ..Matching::default() };
        let rule = |matching, effect| faults.add(Rule { matching, effect, times: None, lasts: Some(lasts) });
        let all = Matching::default();
        match self {
            Self::Refused => faults.set_connection_for(Connection::Down, lasts),
            Self::Silent | Self::Mute => faults.set_connection_for(Connection::Hanging, lasts),
            Self::Reset => {
                faults.set_connection_for(Connection::Down, Duration::from_millis(1));
                rule(all, Effect::Drop);
            }
            Self::WatchesGone => {
                faults.set_connection_for(Connection::Down, Duration::from_millis(1));
                rule(watches, Effect::Fail(410));
            }
            Self::Throttled => rule(all, Effect::Throttle(5)),
            Self::Broken => rule(all, Effect::Fail(500)),
            Self::TokenExpired => rule(all, Effect::Fail(401)),
        }
    }

    /// Whether nothing at all can be read while it lasts.
    fn is_total(self) -> bool {
        self != Self::WatchesGone
    }

    /// Whether the run only waits: what passes by itself is no failure.
    fn passes(self) -> bool {
        !matches!(self, Self::Broken | Self::TokenExpired)
    }
}

async fn reboot(stage: &Stage) -> Run {
    let backends = stage.backends.clone();
    let facts = Facts::read(&backends).await.expect("facts");
    let nodes = vec![NodeName::from(NODE)];
    let drain = DrainOptions::default();
    let request = Request { drain, ..Request::new(Kind::Reboot, nodes) };
    let world = World { nodes: Some(&facts.nodes), etcd: facts.etcd.as_ref(), lock: None };
    let given = Assent::Typed(NODE.to_owned());
    let permit = grant(&Policy::default(), &request, world, given).expect("a permit");
    start(backends, plan(&request, &facts), permit, OpId(1), false)
}

/// Steps that cannot end well without a word of the API server.
fn reads(kind: StepKind) -> bool {
    matches!(
        kind,
        StepKind::Preflight
            | StepKind::Lock
            | StepKind::Cordon
            | StepKind::Drain
            | StepKind::Residual
            | StepKind::Recheck
            | StepKind::Reboot
            | StepKind::Back
            | StepKind::Verify
            | StepKind::Uncordon
            | StepKind::Unlock
    )
}

/// A run in trouble.
struct Ordeal {
    trouble: Trouble,
    stage: Stage,
    run: Run,
    view: Option<RunView>,
    /// The steps at which the server has failed by now.
    struck: Vec<StepKind>,
    /// When that began last, and when it ends.
    span: (Stamp, Stamp),
    /// When the step under way began.
    began: Stamp,
    retries: usize,
}

impl Ordeal {
    /// Strictly: what began in the same moment may have read before.
    fn is_within(&self, at: Stamp) -> bool {
        at.0 > self.span.0.0 && at.0 < self.span.1.0 - 1_000
    }

    /// Lets the trouble begin, once for each step.
    fn begin(&mut self, step: StepKind, from: Stamp) {
        if STEPS.contains(&step) && !self.struck.contains(&step) {
            self.struck.push(step);
            self.retries = 0;
            self.span = (from, now().plus(self.trouble.lasts()));
            self.trouble.begin(self.stage.sim.faults());
        }
    }

    async fn hear(&mut self, event: &RunEvent) {
        match &mut self.view {
            Some(view) => view.apply(event),
            None => self.view = RunView::begin(event),
        }
        let known = self.view.clone().expect("the plan is told first");
        let trouble = self.trouble;
        match &event.change {
            RunChange::StepStarted { step, .. } => {
                self.began = event.at;
                // one that was not asked for before it began
                self.begin(known.steps[*step].step.kind, now());
            }
            RunChange::StepEnded { step, outcome: Outcome::Done(words) | Outcome::Warned(words), .. } => {
                let kind = known.steps[*step].step.kind;
                let is_within = self.is_within(self.began) && self.is_within(event.at);
                assert!(
                    !(trouble.is_total() && reads(kind) && is_within),
                    "{trouble:?}: {kind:?} ended well while nothing could be read: {words}"
                );
            }
            RunChange::StepEnded { step, outcome: Outcome::Failed(report), .. } => {
                let line = report.line();
                let kind = known.steps[*step].step.kind;
                assert!(line.len() > 30, "{trouble:?}: no reason: {line}");
                // gates that cannot be read are not passed; whatever else passes by itself is waited for
                let is_gate = report.kind == FailureKind::Denied;
                assert!(
                    !trouble.passes() || is_gate || kind == StepKind::Backup,
                    "{trouble:?}: {kind:?} gave up: {line}"
                );
                if trouble == Trouble::TokenExpired {
                    assert!(
                        line.contains("401") || line.contains("Unauthorized"),
                        "{trouble:?}: {kind:?}: {line}"
                    );
                }
            }
            RunChange::State { state: RunState::Failed, .. } => {
                self.retries += 1;
                assert!(self.retries < 4, "{trouble:?}: it does not go on: {known:#?}");
                tokio::time::sleep(trouble.lasts()).await;
                self.run.commands.send(RunCommand::Retry).await.expect("the run listens");
            }
            RunChange::State { state: RunState::Waiting, .. } => {
                let step = known.current().expect("a step waits");
                self.begin(known.steps[step].step.kind, Stamp(now().0 - 1));
                self.run.commands.send(RunCommand::Confirm(step)).await.expect("the run listens");
            }
            _ => {}
        }
    }

    /// What the server saw: one reboot, no pod evicted twice, and everything as it was found.
    fn judge(&self) {
        let name = format!("{:?}", self.trouble);
        let view = self.view.as_ref().expect("a run");
        assert_eq!(self.struck, STEPS, "{name}: it did not fail at every step");
        assert_eq!(view.state, RunState::Done, "{name}: {view:#?}");
        assert!(view.left.is_empty(), "{name}: {:?}", view.left);
        for machine in self.stage.sim.machines() {
            assert_eq!(machine.reboots(), u32::from(machine.name() == NODE), "{name}: {}", machine.name());
        }
        let mut evicted: BTreeMap<String, usize> = BTreeMap::new();
        for entry in self.stage.sim.store().history().iter().filter(|entry| entry.path.ends_with("/eviction"))
        {
            if entry.code < 300 {
                *evicted.entry(entry.path.clone()).or_default() += 1;
            }
        }
        assert!(!evicted.is_empty() && evicted.values().all(|times| *times == 1), "{name}: {evicted:?}");
        let lease = self.stage.sim.store().get(&LEASES, "kube-system", "pitstop");
        let holder = lease.as_ref().map(|lease| lease["spec"]["holderIdentity"].clone());
        assert!(holder.is_none_or(|holder| holder.is_null() || holder == json!("")), "{name}: {lease:?}");
        for node in self.stage.nodes() {
            let is_cordoned = node["spec"]["unschedulable"] == json!(true);
            assert!(!is_cordoned && !node.to_string().contains("pitstop.dev/"), "{name}: {node}");
        }
    }
}

/// Lets the server fail at each step in turn, and sees the run through.
async fn endure(trouble: Trouble) {
    let stage = Stage::new("default");
    let run = reboot(&stage).await;
    let mut ordeal = Ordeal {
        trouble,
        stage,
        run,
        view: None,
        struck: Vec::new(),
        span: (Stamp(0), Stamp(0)),
        began: Stamp(0),
        retries: 0,
    };
    loop {
        let event = tokio::time::timeout(Duration::from_hours(2), ordeal.run.events.recv()).await;
        let event = event.unwrap_or_else(|_| panic!("{trouble:?}: the run hangs: {:#?}", ordeal.view));
        let Some(event) = event else { break };
        ordeal.hear(&event).await;
    }
    ordeal.judge();
}

macro_rules! endures {
    ($($name:ident: $trouble:expr;)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $name() {
            endure($trouble).await;
        }
    )*};
}

endures! {
    connections_are_refused: Trouble::Refused;
    ten_seconds_of_silence: Trouble::Silent;
    silence_for_longer_than_requests_wait: Trouble::Mute;
    connections_are_reset: Trouble::Reset;
    watches_are_too_old: Trouble::WatchesGone;
    requests_are_throttled: Trouble::Throttled;
    the_server_breaks_down: Trouble::Broken;
    the_token_is_refused: Trouble::TokenExpired;
}
