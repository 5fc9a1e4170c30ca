//! Ways out of a blocked eviction, each against the simulated cluster: what was asked of the server, in which order, and
//! that the former state is back.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "resolve/bench.rs"]
mod bench;
#[path = "resolve/lapsed.rs"]
mod lapsed;
#[path = "resolve/left.rs"]
mod left;
#[path = "scenarios/stage.rs"]
#[expect(dead_code, reason = "shared with the stories")]
mod stage;
#[path = "scenarios/story.rs"]
mod story;

use bench::{Bench, assert_done, follow, outcome};
use pitstop::domain::config::DrainOptions;
use pitstop::domain::guard::Request;
use pitstop::domain::ids::{NodeName, OpId};
use pitstop::domain::plan::{Kind, StepKind};
use pitstop::domain::remedy::{Class, Remedy};
use pitstop::domain::run::{Outcome, RunChange, RunState};
use pitstop::engine::{plan, start};
use pitstop::sim::store::resources::{DEPLOYMENTS, HORIZONTAL_POD_AUTOSCALERS, NODES, PODS};
use serde_json::{Value, json};
use stage::Stage;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn each_block_of_the_scenario_has_its_class() {
    let bench = Bench::new();
    for (budget, class, app) in [
        ("billing/invoice-api", Class::StructuralZero, "invoice-api"),
        ("billing/ledger", Class::StructuralZero, "ledger"),
        ("billing/receipts", Class::StructuralZero, "receipts"),
        ("search/ranker", Class::AppUnhealthy, "ranker"),
        ("search/shards", Class::NoCapacity, "shards"),
        ("search/indexer", Class::Overlap, "indexer"),
        ("default/proxy", Class::Uncomputed, "proxy"),
        ("data/orders-primary", Class::OperatorOwned, "orders-1"),
        ("media/render", Class::WideSelector, "compositor"),
        ("data/licences", Class::PinnedPod, "licences"),
        ("ingress-nginx/ingress-nginx-controller", Class::StructuralZero, "ingress-nginx-controller"),
    ] {
        let analysis = bench.look(budget).await;
        let classes: Vec<Class> = analysis.findings.iter().map(|finding| finding.class).collect();
        assert!(classes.contains(&class), "{budget} ({app}): {classes:?}");
        assert!(analysis.summary.starts_with('D'), "{budget}: {}", analysis.summary);
    }
    assert!(!bench.look("data/kafka").await.is_blocked);
    assert!(bench.asked().is_empty(), "a diagnosis changes nothing: {:?}", bench.asked());
}

#[tokio::test(start_paused = true)]
async fn a_surge_goes_up_moves_the_pod_and_comes_back() {
    let bench = Bench::new();
    let node = bench.cordon("billing", "invoice-api");
    let before = bench.pods("billing", "invoice-api");
    let view = bench.carry_out("billing/invoice-api", Remedy::Surge).await;
    assert_done(&view);
    assert_eq!(
        bench.asked(),
        [r#"patch scale {"replicas":2}"#, "create eviction", r#"patch scale {"replicas":1}"#]
    );
    assert_eq!(bench.replicas("billing/invoice-api"), 1);
    let after = bench.pods("billing", "invoice-api");
    assert!(after.iter().all(|pod| pod["spec"]["nodeName"] != node.as_str()), "{after:?}");
    assert_ne!(before[0]["metadata"]["uid"], after[0]["metadata"]["uid"]);
}

#[tokio::test(start_paused = true)]
async fn a_share_that_rounds_up_takes_two_more() {
    let bench = Bench::new();
    bench.cordon("billing", "receipts");
    assert_eq!(bench.look("billing/receipts").await.offer(Remedy::Surge).expect("offered").surge, Some(2));
    assert!(bench.look("billing/ledger").await.offer(Remedy::Surge).is_none(), "no number helps");
}

#[tokio::test(start_paused = true)]
async fn an_autoscaler_is_raised_and_lowered_again() {
    let bench = Bench::new();
    let name = "ingress-nginx/ingress-nginx-controller";
    bench.cordon("ingress-nginx", "ingress-nginx-controller");
    let view = bench.carry_out(name, Remedy::Surge).await;
    assert_done(&view);
    assert_eq!(
        bench.asked(),
        [
            r#"patch horizontalpodautoscalers {"minReplicas":3}"#,
            "create eviction",
            r#"patch horizontalpodautoscalers {"minReplicas":2}"#
        ]
    );
    assert_eq!(bench.object(&HORIZONTAL_POD_AUTOSCALERS, name)["spec"]["minReplicas"], 2);
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(bench.replicas(name), 2, "the autoscaler goes back by itself");
}

#[tokio::test(start_paused = true)]
async fn a_restarted_rollout_leaves_the_node() {
    let bench = Bench::new();
    let node = bench.cordon("billing", "ledger");
    let spec = bench.budget("billing/ledger");
    let view = bench.carry_out("billing/ledger", Remedy::Restart).await;
    assert_done(&view);
    let asked = bench.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(asked[0].contains("restartedAt"), "{asked:?}");
    assert!(bench.pods("billing", "ledger").iter().all(|pod| pod["spec"]["nodeName"] != node.as_str()));
    assert_eq!(bench.budget("billing/ledger"), spec);
}

#[tokio::test(start_paused = true)]
async fn a_budget_is_relaxed_for_one_eviction_and_restored_at_once() {
    let bench = Bench::new();
    bench.cordon("billing", "ledger");
    let spec = bench.budget("billing/ledger");
    let view = bench.carry_out("billing/ledger", Remedy::Relax).await;
    assert_done(&view);
    assert_eq!(
        bench.asked(),
        [
            r#"patch poddisruptionbudgets {"maxUnavailable":1}"#,
            "create eviction",
            r#"patch poddisruptionbudgets {"maxUnavailable":0}"#
        ]
    );
    assert_eq!(bench.budget("billing/ledger"), spec);
    assert_eq!(bench.pods("billing", "ledger").len(), 3);
}

#[tokio::test(start_paused = true)]
async fn pods_that_are_not_ready_go_under_another_policy() {
    let bench = Bench::new();
    bench.cordon("search", "ranker");
    let spec = bench.budget("search/ranker");
    let view = bench.carry_out("search/ranker", Remedy::AllowUnhealthy).await;
    assert_done(&view);
    assert_eq!(
        bench.asked(),
        [
            r#"patch poddisruptionbudgets {"unhealthyPodEvictionPolicy":"AlwaysAllow"}"#,
            "create eviction",
            r#"patch poddisruptionbudgets {"unhealthyPodEvictionPolicy":null}"#
        ]
    );
    assert_eq!(bench.budget("search/ranker"), spec, "the field was not set before, and is not now");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_not_ready_is_deleted_as_it_was_seen() {
    let bench = Bench::new();
    bench.cordon("search", "ranker");
    let view = bench.carry_out("search/ranker", Remedy::DeleteUnready).await;
    assert_done(&view);
    let history = bench.stage.sim.store().history();
    let delete = history.iter().find(|line| line.verb == "delete").expect("deleted");
    assert!(delete.body["preconditions"]["uid"].is_string());
    assert!(delete.body["preconditions"]["resourceVersion"].is_string());
    assert_eq!(history.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_healthy_pod_is_deleted_by_uid_and_comes_back() {
    let bench = Bench::new();
    let node = bench.cordon("billing", "invoice-api");
    let view = bench.carry_out("billing/invoice-api", Remedy::DeleteHealthy).await;
    assert_done(&view);
    let pods = bench.pods("billing", "invoice-api");
    assert!(pods.len() == 1 && pods[0]["spec"]["nodeName"] != node.as_str());
    assert_eq!(bench.asked(), ["delete pods"]);
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_a_node_is_deleted_past_its_budgets() {
    let stage = Stage::new(
        "[size]\ncontrol_planes = 1\nworkers = 2\n[[workload]]\nkind = \"Deployment\"\nnamespace = \"a\"\nname = \"x\"\n\
         replicas = 2\nbudget = { max_unavailable = 0 }\n",
    );
    let bench = Bench { stage };
    let node = bench.cordon("a", "x");
    let view = bench.carry_out("a/x", Remedy::DisableEviction).await;
    assert_done(&view);
    assert!(bench.pods("a", "x").iter().all(|pod| pod["spec"]["nodeName"] != node.as_str()));
    assert!(bench.asked().iter().all(|line| line == "delete pods"), "{:?}", bench.asked());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_left_for_now_is_schedulable_again() {
    let bench = Bench::new();
    let node = bench.cordon("billing", "ledger");
    let view = bench.carry_out("billing/ledger", Remedy::SkipNode).await;
    assert_done(&view);
    let node = bench.stage.sim.store().get(&NODES, "", &node).expect("the node");
    assert_ne!(node["spec"]["unschedulable"], true);
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_when_there_is_room() {
    let bench = Bench::new();
    bench.cordon("data", "kafka");
    let pod = bench.pods("data", "kafka").pop().expect("a pod");
    let name = pod["metadata"]["name"].as_str().expect("a name");
    let store = bench.stage.sim.store();
    store.delete(&PODS, "data", name, &pitstop::sim::store::Deletion::default()).expect("deleted");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let analysis = bench.look("data/kafka").await;
    assert!(analysis.is_blocked, "{}", analysis.summary);
    let view = bench.carry_out("data/kafka", Remedy::Wait).await;
    assert_done(&view);
    assert!(bench.asked().is_empty(), "{:?}", bench.asked());
}

#[tokio::test(start_paused = true)]
async fn a_refused_eviction_leaves_no_relaxed_budget() {
    let bench = Bench::new();
    bench.cordon("billing", "ledger");
    let spec = bench.budget("billing/ledger");
    let webhook = json!({ "name": "guard.example.net", "message": "not now" });
    let webhook = serde_json::from_value(webhook).expect("a webhook");
    bench.stage.sim.act(pitstop::sim::scenario::Action::Webhook(webhook)).await;
    let view = bench.carry_out("billing/ledger", Remedy::Relax).await;
    assert_eq!(view.state, RunState::Failed);
    let Outcome::Failed(report) = outcome(&view, StepKind::Remedy) else { panic!("{view:#?}") };
    assert!(report.to_string().contains("asks for max unavailable 0 again"), "{report}");
    assert_eq!(bench.budget("billing/ledger"), spec);
    assert!(view.left.is_empty(), "{:?}", view.left);
}

#[tokio::test(start_paused = true)]
async fn somebody_who_takes_the_surge_back_is_not_fought() {
    let bench = Bench::new();
    bench.cordon("billing", "invoice-api");
    let run = bench.start("billing/invoice-api", Remedy::Surge).await;
    let store = bench.stage.sim.store().clone();
    let view = follow(run, |change| {
        if matches!(change, RunChange::Owes { debts } if !debts.is_empty()) {
            let store = store.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                let set = |object: &mut Value| object["spec"]["replicas"] = json!(1);
                store.modify(&DEPLOYMENTS, "billing", "invoice-api", set).expect("the owner");
            });
        }
    })
    .await;
    assert_eq!(view.state, RunState::Failed);
    let Outcome::Failed(report) = outcome(&view, StepKind::Remedy) else { panic!("{view:#?}") };
    assert!(report.to_string().contains("to 1 meanwhile"), "{report}");
    let scales = bench.asked().iter().filter(|line| line.starts_with("patch scale")).count();
    assert_eq!(scales, 1, "scaled once, and not again: {:?}", bench.asked());
}

#[tokio::test(start_paused = true)]
async fn a_drain_of_the_same_process_does_not_spend_the_room() {
    let bench = Bench::new();
    let node = bench.cordon("billing", "ledger");
    let drain = Request {
        drain: DrainOptions { force: true, delete_emptydir_data: true, ..DrainOptions::default() },
        blocked: true,
        ..Request::new(Kind::Drain, vec![NodeName::from(node.as_str())])
    };
    let (facts, permit) = bench.permit(&drain).await;
    let drain = start(bench.stage.backends.clone(), plan(&drain, &facts), permit, OpId(2), true);
    let cancel = drain.cancel.clone();
    let drained = tokio::spawn(follow(drain, |_| {}));
    tokio::time::sleep(Duration::from_secs(20)).await;
    let view = bench.carry_out("billing/ledger", Remedy::Relax).await;
    assert_done(&view);
    let history = bench.stage.sim.store().history();
    let of_ledger = |line: &&pitstop::sim::store::Audit| line.path.contains("/ledger") && line.code < 300;
    let changes: Vec<(&str, bool)> = history
        .iter()
        .filter(of_ledger)
        .map(|line| (line.verb.as_str(), line.path.ends_with("/eviction")))
        .collect();
    assert_eq!(
        changes,
        [("patch", false), ("create", true), ("patch", false)],
        "one eviction, between the patches"
    );
    cancel.cancel();
    drained.await.expect("the drain ends");
}
