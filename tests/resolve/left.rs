//! What a killed program leaves behind, and how it is put back from its journal.

use crate::bench::{Bench, assert_done, follow, outcome};
use pitstop::domain::config::DrainOptions;
use pitstop::domain::debt::Debt;
use pitstop::domain::guard::Request;
use pitstop::domain::ids::OpId;
use pitstop::domain::lock::LockChoice;
use pitstop::domain::plan::{Kind, Plan, StepKind};
use pitstop::domain::remedy::Remedy;
use pitstop::domain::run::{Outcome, RunChange, RunState, RunView};
use pitstop::domain::undo::undo;
use pitstop::engine::{journal, resume, start};
use pitstop::sim::api::faults::Connection;
use serde_json::json;
use std::time::Duration;

/// What a killed program leaves: the API is away when the run is stopped, so that nothing can be put back.
async fn left_behind(bench: &Bench, budget: &str, remedy: Remedy) -> journal::Record {
    bench.stage.sim.act(pitstop::sim::scenario::Action::StallDisruptionController { length: None }).await;
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
    let request = Request {
        kind: Kind::Resolve,
        nodes: view.nodes.clone(),
        drain: DrainOptions::default(),
        blocked: false,
        lock: LockChoice::Take,
        resolve: chosen.clone(),
        roll: None,
    };
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
