//! What a killed program leaves behind, and how it is put back from its journal.

use crate::bench::{Bench, assert_done, follow, outcome};
use pitstop::domain::config::DrainOptions;
use pitstop::domain::config::Policy;
use pitstop::domain::debt::Debt;
use pitstop::domain::found::Difference;
use pitstop::domain::guard::{Assent, Errand, Request, World, grant_for};
use pitstop::domain::ids::OpId;
use pitstop::domain::lock::LockChoice;
use pitstop::domain::plan::{Kind, Plan, StepKind};
use pitstop::domain::remedy::Remedy;
use pitstop::domain::run::{Outcome, RunChange, RunState, RunView};
use pitstop::domain::standing::Standing;
use pitstop::domain::undo::undo;
use pitstop::engine::{journal, resume, standing, start};
use pitstop::sim::api::faults::Connection;
use pitstop::sim::scenario::Span;
use serde_json::json;
use std::time::Duration;

/// What a killed program leaves: the API is away when the run is stopped, so that nothing can be put back.
async fn left_behind(bench: &Bench, budget: &str, remedy: Remedy) -> journal::Record {
    left_while_stalled(bench, budget, remedy, None).await
}

/// The same, with a disruption controller that stalls for so long.
async fn left_while_stalled(
    bench: &Bench,
    budget: &str,
    remedy: Remedy,
    length: Option<Span>,
) -> journal::Record {
    bench.stage.sim.act(pitstop::sim::scenario::Action::StallDisruptionController { length }).await;
    let run = bench.start(budget, remedy).await;
    let cancel = run.cancel.clone();
    let faults = bench.stage.sim.faults().clone();
    let view = follow(run, |change| {
        if matches!(change, RunChange::Owes { debts } if !debts.is_empty()) {
            let (faults, cancel) = (faults.clone(), cancel.clone());
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(3)).await;
                faults.set_connection(Connection::Down);
                cancel.cancel();
            });
        }
    })
    .await;
    assert_eq!(view.state, RunState::Interrupted);
    assert_eq!(view.left.len(), 1, "{:?}", view.left);
    bench.stage.sim.faults().set_connection(Connection::Open);
    let records = journal::list(&bench.stage.backends.settings.state_dir);
    records.into_iter().next().expect("a journal").expect("readable")
}

/// Puts back what a journal says, as an abort does.
async fn put_back(bench: &Bench, record: &journal::Record) -> RunView {
    let view = record.view.clone().expect("a view");
    let steps = undo(&view).steps;
    assert_eq!(steps.iter().map(|step| step.kind).collect::<Vec<_>>(), [StepKind::Restore]);
    let chosen = view.resolve.clone();
    let request = Request { resolve: chosen.clone(), ..Request::new(Kind::Resolve, view.nodes.clone()) };
    let (_, permit) = bench.permit(&request).await;
    let plan = Plan {
        kind: Kind::Resolve,
        nodes: view.nodes,
        steps,
        drain: DrainOptions::default(),
        lock: LockChoice::Take,
        resolve: chosen,
        parent: None,
        roll: None,
    };
    follow(start(bench.stage.backends.clone(), plan, permit, OpId(3), true), |_| {}).await
}

#[tokio::test(start_paused = true)]
async fn a_relaxed_budget_that_was_left_behind_is_restored_from_the_journal() {
    let bench = Bench::new();
    bench.cordon("billing", "ledger");
    let spec = bench.budget("billing/ledger");
    let record = left_behind(&bench, "billing/ledger", Remedy::Relax).await;
    assert_eq!(bench.budget("billing/ledger")["maxUnavailable"], 1, "it is still relaxed");
    assert!(
        record.left()[0].starts_with("budget billing/ledger asks for max unavailable 1"),
        "{:?}",
        record.left()
    );
    let view = put_back(&bench, &record).await;
    assert_eq!(view.state, RunState::Done, "{view:#?}");
    assert_eq!(bench.budget("billing/ledger"), spec);
}

#[tokio::test(start_paused = true)]
async fn a_surge_that_was_left_behind_is_scaled_back_from_the_journal() {
    let bench = Bench::new();
    bench.cordon("billing", "invoice-api");
    let record = left_behind(&bench, "billing/invoice-api", Remedy::Surge).await;
    assert!(matches!(&record.memory.debts[..], [Debt::OwnerScaled { before: 1, ours: 2, .. }]));
    assert_eq!(bench.replicas("billing/invoice-api"), 2);
    put_back(&bench, &record).await;
    assert_eq!(bench.replicas("billing/invoice-api"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_surge_that_is_gone_on_with_begins_from_how_it_was_found() {
    let bench = Bench::new();
    bench.cordon("billing", "invoice-api");
    let record = left_behind(&bench, "billing/invoice-api", Remedy::Surge).await;
    assert_eq!(bench.replicas("billing/invoice-api"), 2);
    let soon = Some(pitstop::sim::scenario::Span(Duration::from_secs(1)));
    bench.stage.sim.act(pitstop::sim::scenario::Action::StallDisruptionController { length: soon }).await;
    let (_, permit) = bench.permit(&record.request()).await;
    let run =
        resume(bench.stage.backends.clone(), &record, permit, OpId(2), true).expect("it is gone on with");
    let mut most = 0;
    let view = follow(run, |change| {
        if let RunChange::Owes { debts } = change {
            most = most.max(debts.len());
            let is_sound = |debt: &Debt| matches!(debt, Debt::OwnerScaled { before: 1, ours: 2, .. });
            assert!(debts.iter().all(is_sound), "{debts:?}");
        }
    })
    .await;
    assert_done(&view);
    assert_eq!((most, bench.replicas("billing/invoice-api")), (1, json!(1)));
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_set_meanwhile_stays() {
    let bench = Bench::new();
    bench.cordon("billing", "ledger");
    let record = left_behind(&bench, "billing/ledger", Remedy::Relax).await;
    bench.set_budget("billing/ledger", |budget| budget["spec"]["maxUnavailable"] = json!(2));
    let view = put_back(&bench, &record).await;
    assert_eq!(bench.budget("billing/ledger")["maxUnavailable"], 2);
    let Outcome::Done(words) = outcome(&view, StepKind::Restore) else { panic!("{view:#?}") };
    assert!(words.contains("left alone"), "{words}");
}

/// As another process does it, in the journal of the one that was killed.
async fn taken_up(bench: &Bench, record: &journal::Record, errand: Errand) -> RunView {
    let request = record.request();
    let world = World { nodes: None, etcd: None, lock: None };
    let given = Assent::Flag { context: None };
    let permit = grant_for(errand, &Policy::default(), &request, world, given).expect("a permit");
    let backends = bench.stage.backends.clone();
    let run = if errand == Errand::PutBack {
        pitstop::engine::put_back(backends, record, permit, OpId(2), true)
    } else {
        pitstop::engine::resume(backends, record, permit, OpId(2), true)
    };
    follow(run.expect("taken up"), |_| {}).await
}

async fn stands(bench: &Bench, record: &journal::Record) -> Vec<Standing> {
    let backends = &bench.stage.backends;
    let left = standing::verify(&backends.cluster, &backends.settings.lease_namespace, record).await;
    left.into_iter().filter_map(|one| one.now).collect()
}

fn difference<'a>(view: &'a RunView, what: &str) -> &'a Difference {
    let found = view.compared.iter().find(|one| one.what == what);
    found.unwrap_or_else(|| panic!("{what} is not in {:?}", view.compared))
}

#[tokio::test(start_paused = true)]
async fn an_abort_ends_with_budgets_and_owners_held_against_what_was_found() {
    for (budget, remedy, what, found) in [
        ("billing/ledger", Remedy::Relax, "budget billing/ledger", "max unavailable 0"),
        ("billing/invoice-api", Remedy::Surge, "Deployment billing/invoice-api replicas", "1"),
    ] {
        let bench = Bench::new();
        bench.cordon("billing", budget.split_once('/').expect("two parts").1);
        let record = left_behind(&bench, budget, remedy).await;
        assert_eq!(stands(&bench, &record).await, [Standing::Still], "{budget}");
        let view = taken_up(&bench, &record, Errand::PutBack).await;
        assert_eq!(view.state, RunState::Aborted, "{view:#?}");
        let one = difference(&view, what);
        assert!(one.is_same() && one.found == found, "{one:?}");
        let records = journal::list(&bench.stage.backends.settings.state_dir);
        let record = records.into_iter().flatten().next().expect("a journal");
        assert!(!record.is_unsettled() && record.left().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_set_is_a_difference_and_what_cannot_be_read_is_not_known() {
    let bench = Bench::new();
    bench.cordon("billing", "ledger");
    let record = left_behind(&bench, "billing/ledger", Remedy::Relax).await;
    bench.set_budget("billing/ledger", |budget| budget["spec"]["maxUnavailable"] = json!(2));
    assert!(matches!(&stands(&bench, &record).await[..], [Standing::Changed(words)] if words.contains('2')));
    let view = taken_up(&bench, &record, Errand::PutBack).await;
    assert_eq!(difference(&view, "budget billing/ledger").left, "max unavailable 2");
    bench.set_budget("billing/ledger", |budget| budget["spec"]["maxUnavailable"] = json!(0));
    assert_eq!(stands(&bench, &record).await, [Standing::PutBack]);
    bench.stage.sim.faults().set_connection(Connection::Down);
    assert!(matches!(&stands(&bench, &record).await[..], [Standing::Unknown(_)]));
}

#[tokio::test(start_paused = true)]
async fn a_resolution_that_was_killed_in_the_middle_goes_on_and_puts_back_what_it_borrowed() {
    for (budget, remedy) in [("billing/ledger", Remedy::Relax), ("billing/invoice-api", Remedy::Surge)] {
        let bench = Bench::new();
        let app = budget.split_once('/').expect("two parts").1;
        let node = bench.cordon("billing", app);
        let (spec, replicas) = (bench.budget(budget), bench.replicas(budget));
        let stalled = Some(Span(Duration::from_secs(20)));
        let record = left_while_stalled(&bench, budget, remedy, stalled).await;
        let view = taken_up(&bench, &record, Errand::GoOn { has_asked: false }).await;
        assert_eq!(view.state, RunState::Done, "{budget}: {view:#?}");
        assert!(view.left.is_empty() && view.debts.is_empty(), "{budget}: {:?}", view.left);
        assert_eq!((bench.budget(budget), bench.replicas(budget)), (spec, replicas), "{budget}");
        let moved = bench.asked().into_iter().filter(|change| change == "create eviction").count();
        assert_eq!(moved, 1, "{budget}: {:?}", bench.asked());
        assert!(
            bench.pods("billing", app).iter().all(|pod| pod["spec"]["nodeName"] != node.as_str()),
            "{budget}"
        );
        assert!(view.compared.iter().all(|one| !one.what.contains("billing") || one.is_same()));
    }
}
