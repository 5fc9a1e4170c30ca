//! The maintenance lock between consoles: real client code on one simulated API server, in memory.

use super::stage::Stage;
use pitstop::backend::kube::{Cluster, LeaseClaim, LeaseHeld, LeaseRefused};
use pitstop::domain::config::Policy;
use pitstop::domain::guard::{Assent, Permit, Request, World, grant};
use pitstop::domain::ids::OpId;
use pitstop::domain::plan::{Kind, StepKind};
use pitstop::domain::run::{Outcome, RunChange, RunCommand, RunState, RunView, StepState};
use pitstop::engine::{Backends, Facts, plan, start};
use pitstop::sim::{self, Pace, Scenario};
use std::time::Duration;

const NAMESPACE: &str = "kube-system";
const ROUNDS: usize = 100;

fn clusters() -> (sim::Cluster, Cluster, Cluster) {
    let sim = sim::Cluster::start(Scenario::load("minimal").expect("a scenario"), Pace::default());
    let sim = sim.expect("a cluster");
    let connect = || Cluster::from_client(kube::Client::new(sim.endpoint(), "default"), "sim");
    let (ann, bob) = (connect(), connect());
    (sim, ann, bob)
}

fn claim(holder: &str, round: usize) -> LeaseClaim {
    LeaseClaim {
        namespace: NAMESPACE.to_owned(),
        holder: format!("{holder}@desk"),
        run: format!("reboot-{holder}-{round}").as_str().into(),
        step: "lock".to_owned(),
        node: None,
        lasts: Duration::from_secs(30),
        adopt: false,
        watched: None,
    }
}

fn permit() -> Permit {
    let request = Request::new(Kind::Reboot, vec!["cp-1".into()]);
    let world = World { nodes: None, etcd: None, lock: None };
    grant(&Policy::default(), &request, world, Assent::Flag { context: None }).expect("a permit")
}

type Taken = Result<LeaseHeld, LeaseRefused>;

/// Exactly one has it, the other is told who.
async fn one_winner(api: &Cluster, answers: [Taken; 2], round: usize) -> LeaseHeld {
    let row = api.lease_read(NAMESPACE).await.expect("an answer").expect("a holder");
    let mut winner = None;
    for answer in answers {
        match answer {
            Ok(held) => {
                assert!(winner.is_none(), "round {round}: two winners");
                assert_eq!(row.holder, held.claim.holder, "round {round}");
                winner = Some(held);
            }
            Err(LeaseRefused::Held(other)) => assert_eq!(other.holder, row.holder, "round {round}"),
            Err(LeaseRefused::Failed(error)) => panic!("round {round}: {error}"),
        }
    }
    winner.unwrap_or_else(|| panic!("round {round}: no winner"))
}

async fn race(one: &Cluster, two: &Cluster, claims: [LeaseClaim; 2], permit: &Permit) -> [Taken; 2] {
    let [first, second] = claims;
    let (first, second) = tokio::join!(one.lease_take(&first, permit), two.lease_take(&second, permit));
    [first, second]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_races_have_one_winner_each() {
    let (_sim, ann, bob) = clusters();
    let permit = permit();
    let mut winners = std::collections::BTreeMap::<String, usize>::new();
    for round in 0..ROUNDS {
        // who asks first changes, and every other lease is left marked and adopted instead of given back
        let mut claims = [claim("ann", round), claim("bob", round)];
        let adopts = round % 2 == 1;
        for claim in &mut claims {
            claim.adopt = adopts;
        }
        let answers = if round % 4 < 2 {
            race(&ann, &bob, claims, &permit).await
        } else {
            claims.reverse();
            race(&bob, &ann, claims, &permit).await
        };
        let held = one_winner(&ann, answers, round).await;
        *winners.entry(held.claim.holder.clone()).or_default() += 1;
        let tombstone = (round % 2 == 0).then_some("drain failed");
        ann.lease_release(&held, tombstone, &permit).await.expect("it is ours");
    }
    assert_eq!(winners.values().sum::<usize>(), ROUNDS);
}

#[tokio::test(start_paused = true)]
async fn of_two_that_watched_a_frozen_lock_one_takes_it_over() {
    let (_sim, ann, bob) = clusters();
    let permit = permit();
    let frozen = ann.lease_take(&claim("carl", 0), &permit).await.expect("free");
    for round in 1..=ROUNDS {
        let seen = ann.lease_read(NAMESPACE).await.expect("an answer").expect("a holder");
        let adopting = |holder: &str| LeaseClaim {
            adopt: true,
            watched: Some(Box::new(seen.clone())),
            ..claim(holder, round)
        };
        let silent = [claim("ann", round), claim("bob", round)];
        for answer in race(&ann, &bob, silent, &permit).await {
            assert!(matches!(answer, Err(LeaseRefused::Held(_))), "round {round}: taken over silently");
        }
        let answers = race(&ann, &bob, [adopting("ann"), adopting("bob")], &permit).await;
        one_winner(&ann, answers, round).await;
        tokio::time::advance(Duration::from_secs(31)).await;
    }
    let lost = ann.lease_renew(&mut frozen.clone(), "drain", &permit).await;
    assert!(matches!(lost, Err(LeaseRefused::Held(_))), "{lost:?}");
}

/// A reboot as another process would start it; it is stopped once it has the lock. What it told, and whether it got there.
async fn reboot_until_locked(mut backends: Backends, holder: &str, node: &str) -> RunView {
    backends.settings.state_dir = backends.settings.state_dir.join(holder);
    backends.settings.holder = format!("{holder}@desk");
    let facts = Facts::read(&backends).await.expect("facts");
    let request = Request::new(Kind::Reboot, vec![node.into()]);
    let world = World { nodes: Some(&facts.nodes), etcd: facts.etcd.as_ref(), lock: None };
    let given = Assent::Flag { context: None };
    let permit = grant(&Policy::default(), &request, world, given).expect("a permit");
    let mut run = start(backends, plan(&request, &facts), permit, OpId(1), false);
    let mut view: Option<RunView> = None;
    while let Some(event) = run.events.recv().await {
        match &mut view {
            Some(view) => view.apply(&event),
            None => view = RunView::begin(&event),
        }
        let known = view.as_ref().expect("the plan is told first");
        match &event.change {
            RunChange::StepEnded { step, outcome: Outcome::Done(_), .. }
                if known.steps[*step].step.kind == StepKind::Lock =>
            {
                // it is held long enough for the other one to run into it
                tokio::time::sleep(Duration::from_secs(2)).await;
                run.cancel.cancel();
            }
            RunChange::State { state: RunState::Waiting, .. } => {
                let step = known.current().expect("a step waits");
                if matches!(known.steps[step].step.kind, StepKind::Preflight | StepKind::Lock) {
                    run.commands.send(RunCommand::Confirm(step)).await.expect("it listens");
                }
            }
            RunChange::State { state: RunState::Failed, .. } => {
                run.commands = tokio::sync::mpsc::channel(1).0;
            }
            _ => {}
        }
    }
    view.expect("a run")
}

/// Two consoles begin a reboot of two control-plane nodes in the same moment: with both past their gates, one gets the lock,
/// and the other has changed nothing.
#[test]
fn of_two_runs_that_begin_together_one_goes_on() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let stage = Stage::new("default");
        let mut winners = std::collections::BTreeSet::new();
        for round in 0..20 {
            let (first, second) = if round % 2 == 0 { ("ann", "bob") } else { ("bob", "ann") };
            let run = |holder: &'static str| {
                let node = if holder == "ann" { "cp-1" } else { "cp-2" };
                reboot_until_locked(stage.backends.clone(), holder, node)
            };
            let (one, two) = tokio::join!(run(first), run(second));
            let has_lock = |view: &RunView| view.has_done(StepKind::Lock);
            assert!(has_lock(&one) != has_lock(&two), "round {round}: {one:#?} {two:#?}");
            let (winner, loser) = if has_lock(&one) { (&one, &two) } else { (&two, &one) };
            winners.insert(winner.nodes[0].to_string());
            assert_eq!(loser.state, RunState::Failed, "round {round}");
            let failed = loser.steps.iter().find_map(|view| match &view.state {
                StepState::Ended(Outcome::Failed(report), _) => Some((view.step.kind, report.line())),
                _ => None,
            });
            let (kind, words) = failed.expect("it says why");
            assert!(matches!(kind, StepKind::Preflight | StepKind::Lock), "round {round}: {kind:?} {words}");
            assert!(words.contains(&format!("on {}", winner.nodes[0])), "round {round}: {words}");
            assert!(loser.left.is_empty() && winner.left.is_empty(), "round {round}: {:?}", loser.left);
        }
        let history = stage.sim.store().history();
        assert!(history.iter().all(|line| !line.path.starts_with("/api/v1/nodes/cp")), "no node was touched");
        assert!(!winners.is_empty());
    });
}
