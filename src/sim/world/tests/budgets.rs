//! The disruption controller against the table of its rules.

use serde_json::json;

use super::*;
use crate::sim::scenario::Action;
use crate::sim::store::clock;
use crate::sim::world::read::{condition, generation};

fn web(replicas: u32, budget: &str) -> String {
    format!(
        "[[workload]]\nkind = \"Deployment\"\nnamespace = \"a\"\nname = \"web\"\nreplicas = {replicas}\nbudget = {{ {budget} }}\n"
    )
}

#[tokio::test(start_paused = true)]
async fn expected_and_desired_follow_the_table() {
    for (replicas, budget, expected, desired, allowed) in [
        (7, "max_unavailable = 2", 7, 5, 2),
        (7, "max_unavailable = 9", 7, 0, 7),
        (7, "max_unavailable = 0", 7, 7, 0),
        (7, "max_unavailable = \"30%\"", 7, 4, 3),
        (7, "max_unavailable = \"100%\"", 7, 0, 7),
        (7, "min_available = 2", 7, 2, 5),
        (7, "min_available = 9", 7, 9, 0),
        (7, "min_available = \"30%\"", 7, 3, 4),
        (7, "min_available = \"100%\"", 7, 7, 0),
        (1, "min_available = \"50%\"", 1, 1, 0),
        (7, "", 0, 0, 0),
    ] {
        let status = small(&web(replicas, budget)).budget("a", "web")["status"].clone();
        let seen = (&status["expectedPods"], &status["desiredHealthy"], &status["disruptionsAllowed"]);
        assert_eq!(seen, (&expected.into(), &desired.into(), &allowed.into()), "{budget} of {replicas}");
        assert_eq!(status["currentHealthy"], replicas);
        let (state, reason) =
            if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
        let condition = &status["conditions"][0];
        assert_eq!((&condition["status"], &condition["reason"]), (&state.into(), &reason.into()), "{budget}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_terminating_pod_counts_for_min_available_but_is_not_healthy() {
    let bench = small(&web(2, "min_available = 1"));
    assert_eq!(bench.allowed("a", "web"), 1);
    bench.delete_pod(&bench.pods("a", "web")[0].clone());
    let took = bench.until("none allowed", |b| b.allowed("a", "web") == 0).await;
    assert_eq!(took, Duration::from_millis(100));
    bench.until("counted", |b| b.budget("a", "web")["status"]["expectedPods"] == 3).await;
    bench.until("one allowed", |b| b.allowed("a", "web") == 1).await;
    bench.until("two again", |b| b.budget("a", "web")["status"]["expectedPods"] == 2).await;
}

#[tokio::test(start_paused = true)]
async fn unmanaged_pods_count_as_healthy_and_are_told_of() {
    let bench = small(
        "[[workload]]\nkind = \"Pod\"\nnamespace = \"a\"\nname = \"lone\"\nbudget = { max_unavailable = 1 }\n",
    );
    let status = bench.budget("a", "lone")["status"].clone();
    assert_eq!((&status["expectedPods"], &status["currentHealthy"]), (&0.into(), &1.into()));
    assert_eq!(status["disruptionsAllowed"], 0);
    bench.until("told", |b| !b.events("UnmanagedPods").is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn an_owner_without_scale_fails_safe() {
    let bench = small(
        "[[budget]]\nnamespace = \"kube-system\"\nname = \"proxies\"\nselector = { app = \"kube-proxy\" }\nmax_unavailable = 1\n",
    );
    let budget = bench.budget("kube-system", "proxies");
    let state = condition(&budget, "DisruptionAllowed").unwrap();
    assert_eq!((&state["status"], &state["reason"]), (&"False".into(), &"SyncFailed".into()));
    assert_eq!(state["message"], "daemonsets.apps does not implement the scale subresource");
    assert_eq!(budget["status"]["disruptionsAllowed"], 0);
}

#[tokio::test(start_paused = true)]
async fn an_empty_selector_selects_all_and_several_budgets_are_told_of() {
    let text = format!(
        "{}[[budget]]\nnamespace = \"a\"\nname = \"all\"\nmin_available = 1\n",
        web(2, "max_unavailable = 1")
    );
    let bench = small(&text);
    assert_eq!(bench.budget("a", "all")["status"]["expectedPods"], 2);
    bench.until("told", |b| !b.events("MultiplePodDisruptionBudgets").is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn an_eviction_that_does_not_happen_is_forgotten_after_two_minutes() {
    let bench = small(&web(3, "max_unavailable = 1"));
    let pod = super::name(&bench.pods("a", "web")[0]).to_owned();
    let now = clock::seconds(bench.store.clock().timestamp());
    bench.change(&POD_DISRUPTION_BUDGETS, "a", "web", |budget| {
        budget["status"]["disruptionsAllowed"] = 0.into();
        budget["status"]["disruptedPods"] = json!({ pod.as_str(): now });
    });
    bench.pass(110).await;
    assert_eq!(
        (bench.allowed("a", "web"), &bench.budget("a", "web")["status"]["currentHealthy"]),
        (0, &2.into())
    );
    let took = bench.until("forgotten", |b| b.allowed("a", "web") == 1).await;
    assert!(took.as_secs() <= 12, "{took:?}");
    assert!(bench.budget("a", "web")["status"]["disruptedPods"].is_null());
    assert_eq!(bench.events("NotDeleted").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stale_disruption_target_is_reset_after_two_minutes() {
    let bench = small(&web(2, "max_unavailable = 1"));
    let pod = super::name(&bench.pods("a", "web")[0]).to_owned();
    let now = clock::seconds(bench.store.clock().timestamp());
    bench.change(&PODS, "a", &pod, |pod| {
        let state =
            json!({ "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI" });
        crate::sim::world::read::set_condition(pod, state, &now);
    });
    let is_target =
        |b: &Bench| crate::sim::world::read::has_condition(&b.get(&PODS, "a", &pod), "DisruptionTarget");
    bench.pass(110).await;
    assert!(is_target(&bench));
    bench.until("reset", |b| !is_target(b)).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_when_nothing_has_changed() {
    let bench = small(&web(2, "max_unavailable = 1"));
    let before = bench.budget("a", "web")["metadata"]["resourceVersion"].clone();
    let pod = super::name(&bench.pods("a", "web")[0]).to_owned();
    bench.change(&PODS, "a", &pod, |pod| pod["metadata"]["annotations"]["x"] = "y".into());
    bench.pass(10).await;
    assert_eq!(bench.budget("a", "web")["metadata"]["resourceVersion"], before);
}

#[tokio::test(start_paused = true)]
async fn a_stalled_controller_leaves_the_generation_behind() {
    let bench = small(&web(2, "max_unavailable = 1"));
    bench.world.act(Action::StallDisruptionController { length: None }).await;
    bench.pass(1).await;
    bench.change(&POD_DISRUPTION_BUDGETS, "a", "web", |budget| budget["spec"]["maxUnavailable"] = 2.into());
    bench
        .store
        .replace(&POD_DISRUPTION_BUDGETS, {
            let mut budget = (*bench.budget("a", "web")).clone();
            budget["spec"]["maxUnavailable"] = 0.into();
            budget
        })
        .unwrap();
    bench.pass(60).await;
    let budget = bench.budget("a", "web");
    assert!(budget["status"]["observedGeneration"].as_i64().unwrap() < generation(&budget));
}

#[tokio::test(start_paused = true)]
async fn a_stall_ends_and_what_was_put_off_is_done() {
    let bench = small(&format!(
        "{}[[event]]\nat = \"1s\"\naction = {{ do = \"stall-disruption-controller\", for = \"30s\" }}\n",
        web(2, "max_unavailable = 1")
    ));
    bench.pass(2).await;
    bench.delete_pod(&bench.pods("a", "web")[0].clone());
    bench.pass(20).await;
    assert_eq!(bench.allowed("a", "web"), 1, "stale");
    bench.world.act(Action::Scale { namespace: "a".into(), name: "web".into(), replicas: 4 }).await;
    bench.pass(20).await;
    assert_eq!(bench.budget("a", "web")["status"]["expectedPods"], 4);
}
