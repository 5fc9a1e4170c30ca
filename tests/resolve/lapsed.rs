//! What was chosen does not hold any more, takes too long, or is told to a drain: remedies that look again before they act.

use crate::bench::{Bench, assert_done, follow, outcome};
use crate::stage::Stage;
use pitstop::domain::guard::Request;
use pitstop::domain::ids::{NodeName, OpId};
use pitstop::domain::plan::{Kind, StepKind};
use pitstop::domain::remedy::Remedy;
use pitstop::domain::run::{Outcome, RunState};
use pitstop::engine::{Run, plan, start};
use serde_json::json;
use std::time::Duration;

fn bench(workload: &str) -> Bench {
    let size = "[size]\ncontrol_planes = 1\nworkers = 3\n[[workload]]\nkind = \"Deployment\"\nnamespace = \"a\"\nname = \"x\"\n";
    Bench { stage: Stage::new(&format!("{size}{workload}\n")) }
}

fn is_ready(pod: &serde_json::Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions.is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"))
}

#[tokio::test(start_paused = true)]
async fn the_replacement_is_ready_before_it_is_said_so() {
    let bench = bench("replicas = 1\nready = \"40s\"\nstop = \"3s\"\nbudget = { min_available = 1 }");
    let node = bench.cordon("a", "x");
    let view = bench.carry_out("a/x", Remedy::DeleteHealthy).await;
    assert_done(&view);
    let pods = bench.pods("a", "x");
    assert!(pods.len() == 1 && pods[0]["spec"]["nodeName"] != node.as_str());
    assert!(is_ready(&pods[0]), "{:?}", outcome(&view, StepKind::Aftermath));
}

/// A budget that blocked when the remedy was chosen, and has room when it is carried out.
async fn eased(remedy: Remedy) -> (Bench, pitstop::domain::run::RunView) {
    let bench = bench("replicas = 3\nbudget = { max_unavailable = 0 }");
    bench.cordon("a", "x");
    let chosen = bench.choose("a/x", remedy).await;
    bench.set_budget("a/x", |budget| budget["spec"]["maxUnavailable"] = json!(1));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let run = bench.begin(chosen).await;
    let view = follow(run, |_| {}).await;
    (bench, view)
}

#[tokio::test(start_paused = true)]
async fn what_has_room_by_now_is_evicted_and_not_deleted() {
    let (bench, view) = eased(Remedy::DeleteHealthy).await;
    assert_done(&view);
    assert_eq!(bench.asked(), ["create eviction"]);
}

#[tokio::test(start_paused = true)]
async fn what_blocks_no_more_is_neither_restarted_nor_deleted_past_budgets() {
    for (remedy, kind) in [(Remedy::Restart, StepKind::Remedy), (Remedy::DisableEviction, StepKind::Drain)] {
        let (bench, view) = eased(remedy).await;
        assert_done(&view);
        let Outcome::Skipped(words) = outcome(&view, kind) else { panic!("{remedy}: {view:#?}") };
        assert!(words.contains("blocks nothing now"), "{words}");
        assert!(bench.asked().is_empty(), "{remedy}: {:?}", bench.asked());
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_lost_since_the_confirmation_stops_the_deletion() {
    for (remedy, kind) in
        [(Remedy::DeleteHealthy, StepKind::Remedy), (Remedy::DisableEviction, StepKind::Drain)]
    {
        let bench = bench("replicas = 3\nbudget = { min_available = 3 }");
        let node = bench.cordon("a", "x");
        let chosen = bench.choose("a/x", remedy).await;
        let pods = bench.pods("a", "x");
        let other = pods.iter().find(|pod| pod["spec"]["nodeName"] != node.as_str()).expect("another");
        let name = other["metadata"]["name"].as_str().expect("a name").to_owned();
        let crash = json!({ "do": "crash", "namespace": "a", "name": name });
        bench.stage.sim.act(serde_json::from_value(crash).expect("an action")).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        let view = follow(bench.begin(chosen).await, |_| {}).await;
        assert_eq!(view.state, RunState::Failed, "{remedy}");
        let Outcome::Failed(report) = outcome(&view, kind) else { panic!("{remedy}: {view:#?}") };
        assert!(report.to_string().contains("when the deletion was confirmed"), "{report}");
        assert!(bench.asked().is_empty(), "{remedy}: {:?}", bench.asked());
    }
}

#[tokio::test(start_paused = true)]
async fn a_surge_that_takes_too_long_is_taken_back_all_the_same() {
    let bench = bench(
        "replicas = 1\nport = 8080\nready = \"6m\"\nfinalizer = \"example.net/holds\"\nbudget = { min_available = 1 }",
    );
    bench.cordon("a", "x");
    let view = bench.carry_out("a/x", Remedy::Surge).await;
    assert_eq!(view.state, RunState::Failed);
    let Outcome::Failed(report) = outcome(&view, StepKind::Remedy) else { panic!("{view:#?}") };
    assert!(report.to_string().contains("within 13m"), "{report}");
    assert_eq!(bench.replicas("a/x"), 1, "{:?}", bench.asked());
    assert!(view.debts.is_empty(), "{:?}", view.left);
}

async fn drain(bench: &Bench, node: &str, op: u64) -> Run {
    let request = Request { blocked: true, ..Request::new(Kind::Drain, vec![NodeName::from(node)]) };
    let (facts, permit) = bench.permit(&request).await;
    start(bench.stage.backends.clone(), plan(&request, &facts), permit, OpId(op), true)
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_left_by_the_drain_that_waits_for_it_and_by_no_later_one() {
    let bench = bench("replicas = 1\nbudget = { max_unavailable = 0 }");
    let node = bench.cordon("a", "x");
    let alone = bench.carry_out("a/x", Remedy::SkipPod).await;
    assert_eq!(alone.state, RunState::Failed, "there is no drain to tell");
    let first = drain(&bench, &node, 2).await;
    let drained = tokio::spawn(follow(first, |_| {}));
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_done(&bench.carry_out("a/x", Remedy::SkipPod).await);
    let view = drained.await.expect("the drain ends");
    assert_eq!(view.state, RunState::Done);
    let Outcome::Warned(words) = outcome(&view, StepKind::Drain) else { panic!("{view:#?}") };
    assert!(words.contains("left by the engineer's word: a/x-"), "{words}");
    let second = drain(&bench, &node, 3).await;
    let cancel = second.cancel.clone();
    let drained = tokio::spawn(follow(second, |_| {}));
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(!drained.is_finished(), "the word was for the first drain");
    cancel.cancel();
    drained.await.expect("the drain ends");
}
