//! The eviction table: one test for each rule of `pods/eviction`.

use http::Method;
use serde_json::{Value, json};

use super::{Answer, Bench, pod};
use crate::sim::api::faults::{Matching, Webhook};
use crate::sim::store::resources::{NAMESPACES, POD_DISRUPTION_BUDGETS, PODS};
use crate::sim::store::{Deletion, meta};

const PATH: &str = "/api/v1/namespaces/a/pods/x/eviction";

async fn evict_with(bench: &Bench, options: Value) -> Answer {
    let body = json!({
        "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": "x", "namespace": "a" },
        "deleteOptions": options,
    });
    bench.send_json(Method::POST, PATH, &body).await
}

async fn evict(bench: &Bench) -> Answer {
    evict_with(bench, Value::Null).await
}

fn healthy(allowed: i64) -> Value {
    json!({ "observedGeneration": 1, "disruptionsAllowed": allowed, "currentHealthy": 2, "desiredHealthy": 2 - allowed,
        "expectedPods": 2 })
}

fn cause(answer: &Answer) -> (&str, &str) {
    let cause = &answer.body["details"]["causes"][0];
    (cause["reason"].as_str().unwrap_or_default(), cause["message"].as_str().unwrap_or_default())
}

fn is_marked(bench: &Bench) -> bool {
    bench.store.get(&PODS, "a", "x").is_none_or(|pod| meta::is_deleting(&pod))
}

fn unready(bench: &Bench) {
    bench
        .store
        .modify(&PODS, "a", "x", |pod| pod["status"]["conditions"][0]["status"] = json!("False"))
        .unwrap();
}

fn budget(bench: &Bench) -> crate::sim::store::Object {
    bench.store.get(&POD_DISRUPTION_BUDGETS, "a", "b").unwrap()
}

#[tokio::test]
async fn rule_1_the_body_must_be_an_eviction_of_this_pod() {
    let bench = Bench::new();
    bench.pod("x");
    let other = json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": "y" } });
    let answer = bench.send_json(Method::POST, PATH, &other).await;
    assert_eq!((answer.code, answer.body["reason"].as_str()), (400, Some("BadRequest")));
    assert_eq!(answer.body["message"], "name in URL does not match name in Eviction object");
    let wrong = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "x" } });
    assert_eq!(bench.send_json(Method::POST, PATH, &wrong).await.code, 400);
    let body = json!({ "metadata": { "name": "x" }, "deleteOptions": { "dryRun": ["Other"] } });
    let answer = bench.send_json(Method::POST, &format!("{PATH}?dryRun=All"), &body).await;
    assert_eq!(answer.code, 500);
    assert_eq!(
        answer.body["message"],
        "Non-matching dry-run options in request and content: [All] and [Other]"
    );
    assert!(!is_marked(&bench));
}

#[tokio::test]
async fn rule_2_a_terminating_namespace_refuses() {
    let bench = Bench::new();
    bench.pod("x");
    bench.store.modify(&NAMESPACES, "", "a", |ns| ns["status"]["phase"] = json!("Terminating")).unwrap();
    let answer = evict(&bench).await;
    assert_eq!((answer.code, answer.body["reason"].as_str()), (403, Some("Forbidden")));
    assert_eq!(cause(&answer).0, "NamespaceTerminating");
    assert_eq!(answer.body["details"]["causes"][0]["field"], "metadata.namespace");
    let message = answer.body["message"].as_str().unwrap();
    assert!(message.contains("unable to create new content in namespace a because it is being terminated"));
}

#[tokio::test]
async fn rule_2_a_webhook_may_deny_with_any_code() {
    let bench = Bench::new();
    bench.pod("x");
    bench.api.faults().deny(Webhook {
        name: "drain-cleaner.strimzi.io".into(),
        matching: Matching { namespace: Some("a*".into()), ..Matching::default() },
        message: "The pod will be rolled by the operator".into(),
        code: 500,
        times: Some(1),
    });
    let answer = evict(&bench).await;
    assert_eq!(answer.code, 500);
    assert_eq!(
        answer.body["message"],
        "admission webhook \"drain-cleaner.strimzi.io\" denied the request: The pod will be rolled by the operator"
    );
    assert_eq!(evict(&bench).await.code, 201);
}

#[tokio::test]
async fn rule_3_an_absent_pod_is_not_found() {
    let answer = evict(&Bench::new()).await;
    assert_eq!(answer.code, 404);
    assert_eq!(answer.body["details"], json!({ "name": "x", "kind": "pods" }));
}

#[tokio::test]
async fn rule_4_pods_that_run_nothing_need_no_budget() {
    for phase in ["Pending", "Succeeded", "Failed"] {
        let bench = Bench::new();
        bench.pod("x");
        bench.budget("b", &healthy(0));
        bench.store.modify(&PODS, "a", "x", |pod| pod["status"]["phase"] = json!(phase)).unwrap();
        assert_eq!(evict(&bench).await.code, 201, "{phase}");
        assert!(is_marked(&bench), "{phase}");
        assert_eq!(budget(&bench)["status"], healthy(0));
    }
    let bench = Bench::new();
    bench.pod("x");
    bench.budget("b", &healthy(0));
    bench.store.delete(&PODS, "a", "x", &Deletion::default()).unwrap();
    assert_eq!(evict(&bench).await.code, 201);
}

#[tokio::test(start_paused = true)]
async fn rule_4_a_conflict_there_is_tried_again_for_ten_seconds() {
    let bench = Bench::new();
    bench.pod("x");
    bench.store.modify(&PODS, "a", "x", |pod| pod["status"]["phase"] = json!("Pending")).unwrap();
    let started = tokio::time::Instant::now();
    let answer = evict_with(&bench, json!({ "preconditions": { "uid": "other" } })).await;
    assert_eq!(answer.code, 409);
    assert!(started.elapsed().as_secs() >= 9);
    let started = tokio::time::Instant::now();
    let options = json!({ "preconditions": { "uid": "other", "resourceVersion": "1" } });
    assert_eq!(evict_with(&bench, options).await.code, 409);
    assert_eq!(started.elapsed().as_secs(), 0);
}

#[tokio::test]
async fn rule_5_two_budgets_are_an_error_even_with_room() {
    let bench = Bench::new();
    bench.pod("x");
    bench.budget("b", &healthy(1));
    bench.budget("c", &healthy(1));
    let answer = evict(&bench).await;
    assert_eq!(answer.code, 500);
    assert_eq!(
        answer.body["message"],
        "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
    );
    assert!(answer.headers.get("retry-after").is_none());
    assert!(answer.body.get("details").is_none());
}

#[tokio::test]
async fn rule_5_selectors_none_matches_nothing_and_empty_matches_all() {
    for (selector, code) in [(Value::Null, 201), (json!({}), 429)] {
        let bench = Bench::new();
        bench.pod("x");
        bench.budget("b", &healthy(0));
        bench
            .store
            .modify(&POD_DISRUPTION_BUDGETS, "a", "b", |budget| {
                budget["spec"]["selector"] = selector.clone();
                budget["status"]["observedGeneration"] = json!(2);
            })
            .unwrap();
        assert_eq!(evict(&bench).await.code, code);
    }
}

#[tokio::test]
async fn rule_6_unready_pods_and_their_policies() {
    let bench = Bench::new();
    bench.pod("x");
    unready(&bench);
    bench.budget("b", &healthy(0));
    assert_eq!(evict(&bench).await.code, 201, "healthy budget: the unready pod costs nothing");
    assert_eq!(budget(&bench)["status"], healthy(0));

    let short =
        json!({ "observedGeneration": 1, "disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 2 });
    let bench = Bench::new();
    bench.pod("x");
    unready(&bench);
    bench.budget("b", &short);
    assert_eq!(evict(&bench).await.code, 429, "IfHealthyBudget with too few healthy");
    bench
        .store
        .modify(&POD_DISRUPTION_BUDGETS, "a", "b", |b| {
            b["spec"]["unhealthyPodEvictionPolicy"] = json!("AlwaysAllow");
        })
        .unwrap();
    assert_eq!(evict(&bench).await.code, 201, "AlwaysAllow");
}

#[tokio::test]
async fn rule_6_a_zero_desired_budget_is_not_healthy() {
    let bench = Bench::new();
    bench.pod("x");
    unready(&bench);
    bench.budget("b", &json!({ "observedGeneration": 1, "disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0 }),
    );
    assert_eq!(evict(&bench).await.code, 429);
}

#[tokio::test]
async fn rule_6_a_conflict_there_reads_as_still_being_processed() {
    let bench = Bench::new();
    bench.pod("x");
    unready(&bench);
    bench.budget("b", &healthy(0));
    let answer = evict_with(&bench, json!({ "preconditions": { "uid": "other" } })).await;
    assert_eq!(answer.code, 429);
    assert_eq!(answer.headers["retry-after"], "10");
}

#[tokio::test]
async fn rule_7_a_stale_budget_asks_for_ten_seconds() {
    let bench = Bench::new();
    bench.pod("x");
    bench.budget("b", &json!({ "disruptionsAllowed": 5 }));
    let answer = evict(&bench).await;
    assert_eq!((answer.code, answer.body["reason"].as_str()), (429, Some("TooManyRequests")));
    assert_eq!(answer.headers["retry-after"], "10");
    assert_eq!(answer.body["details"]["retryAfterSeconds"], 10);
    assert_eq!(
        cause(&answer),
        ("DisruptionBudget", "The disruption budget b is still being processed by the server.")
    );
}

#[tokio::test]
async fn rule_7_a_full_budget_sends_no_retry_after() {
    let bench = Bench::new();
    bench.pod("x");
    bench.budget("b", &healthy(0));
    let answer = evict(&bench).await;
    assert_eq!(answer.code, 429);
    assert_eq!(
        answer.body,
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "TooManyRequests",
            "code": 429, "message": "Cannot evict pod as it would violate the pod's disruption budget.",
            "details": { "causes": [{ "reason": "DisruptionBudget",
                "message": "The disruption budget b needs 2 healthy pods and has 2 currently" }] },
        })
    );
    assert!(answer.headers.get("retry-after").is_none());
    assert!(answer.headers.get("x-kubernetes-pf-flowschema-uid").is_none());
}

#[tokio::test]
async fn rule_7_broken_budgets_forbid() {
    let many: Value = (0..2001).map(|i| (format!("p{i}"), json!("2026-01-01T00:00:00Z"))).collect();
    for (status, part) in [
        (json!({ "observedGeneration": 1, "disruptionsAllowed": -1 }), "pdb disruptions allowed is negative"),
        (
            json!({ "observedGeneration": 1, "disruptionsAllowed": 1, "disruptedPods": many }),
            "DisruptedPods map too big",
        ),
    ] {
        let bench = Bench::new();
        bench.pod("x");
        bench.budget("b", &status);
        let answer = evict(&bench).await;
        assert_eq!(answer.code, 403);
        assert!(answer.body["message"].as_str().unwrap().contains(part), "{}", answer.text);
    }
}

#[tokio::test]
async fn rule_7_a_failed_sync_is_named() {
    let bench = Bench::new();
    bench.pod("x");
    let mut status = healthy(0);
    status["conditions"] = json!([
        { "type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed", "message": "no scale" }]);
    bench.budget("b", &status);
    let answer = evict(&bench).await;
    assert!(cause(&answer).1.ends_with("because it failed sync: no scale"), "{}", answer.text);
}

#[tokio::test]
async fn rule_7_a_disruption_is_taken() {
    let bench = Bench::new();
    bench.pod("x");
    bench.budget("b", &healthy(1));
    assert_eq!(evict(&bench).await.code, 201);
    let status = &budget(&bench)["status"];
    assert_eq!(status["disruptionsAllowed"], 0);
    assert!(status["disruptedPods"]["x"].is_string());
    assert_eq!(status["conditions"][0]["reason"], "InsufficientPods");
    assert_eq!(budget(&bench)["metadata"]["generation"], 1);
}

#[tokio::test]
async fn rule_7_a_dry_run_takes_and_deletes_nothing() {
    let bench = Bench::new();
    bench.pod("x");
    bench.budget("b", &healthy(1));
    let answer = evict_with(&bench, json!({ "dryRun": ["All"] })).await;
    assert_eq!(answer.code, 201);
    assert_eq!(budget(&bench)["status"], healthy(1));
    assert!(!is_marked(&bench));
    let none = Bench::new();
    none.pod("x");
    none.budget("b", &healthy(0));
    assert_eq!(evict_with(&none, json!({ "dryRun": ["All"] })).await.code, 429);
}

#[tokio::test]
async fn rule_8_the_pod_is_marked_and_deleted_with_its_grace() {
    let bench = Bench::new();
    bench.pod("x");
    assert_eq!(evict_with(&bench, json!({ "gracePeriodSeconds": 7 })).await.code, 201);
    let pod = bench.store.get(&PODS, "a", "x").unwrap();
    assert_eq!(pod["metadata"]["deletionGracePeriodSeconds"], 7);
    let target = &pod["status"]["conditions"][1];
    assert_eq!(target["type"], "DisruptionTarget");
    assert_eq!(target["status"], "True");
    assert_eq!(target["reason"], "EvictionByEvictionAPI");
    assert_eq!(target["message"], "Eviction API: evicting");
}

#[tokio::test]
async fn rule_8_preconditions_are_checked_after_the_budget_was_taken() {
    let bench = Bench::new();
    bench.pod("x");
    bench.budget("b", &healthy(1));
    let answer = evict_with(&bench, json!({ "preconditions": { "uid": "other" } })).await;
    assert_eq!((answer.code, answer.body["reason"].as_str()), (409, Some("Conflict")));
    assert_eq!(budget(&bench)["status"]["disruptionsAllowed"], 0);
    assert!(!is_marked(&bench));
    let uid = meta::uid(&bench.store.get(&PODS, "a", "x").unwrap()).to_owned();
    bench
        .store
        .modify(&POD_DISRUPTION_BUDGETS, "a", "b", |b| b["status"]["disruptionsAllowed"] = json!(1))
        .unwrap();
    assert_eq!(evict_with(&bench, json!({ "preconditions": { "uid": uid } })).await.code, 201);
}

#[tokio::test]
async fn rule_8_grace_is_cut_for_pods_that_run_nowhere() {
    let bench = Bench::new();
    let mut nowhere = pod("x");
    nowhere["spec"]["nodeName"] = json!("");
    bench.store.create(&PODS, nowhere).unwrap();
    assert_eq!(evict(&bench).await.code, 201);
    assert!(bench.store.get(&PODS, "a", "x").is_none());
}

#[tokio::test]
async fn rule_9_success_is_201_in_header_and_body() {
    let bench = Bench::new();
    bench.pod("x");
    let answer = evict(&bench).await;
    assert_eq!(answer.code, 201);
    assert_eq!(
        answer.body,
        json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201 })
    );
    let audit = bench.store.history();
    assert_eq!((audit[0].verb.as_str(), audit[0].path.as_str(), audit[0].code), ("create", PATH, 201));
    assert_eq!(audit[0].agent, "tester/1.0");
}
