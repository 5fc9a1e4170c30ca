//! Evictions under budgets: what is allowed, what is refused and how it is said, what the controller counts.

use crate::bench::{Answer, Bench, SOON, found_controllers, has_controllers, rule, unchecked};
use pitstop::backend::kube::Refusal;
use pitstop::domain::ids::{BudgetKey, PodKey};
use pitstop::domain::plan::Kind;
use pitstop::domain::report::FailureKind;
use serde_json::{Value, json};
use std::time::Duration;

/// A budget over all pods of the bench with `minAvailable`.
async fn budget(bench: &Bench, name: &str, min: i32, more: &Value) -> Answer {
    let mut spec = json!({"minAvailable": min, "selector": {"matchLabels": {"app": "contract"}}});
    json_patch::merge(&mut spec, more);
    bench.post(&bench.policy(), &json!({"metadata": {"name": name}, "spec": spec})).await.expect(201)
}

/// Waits until the budget's status says this; writes it where no controller does.
async fn settle(bench: &Bench, name: &str, healthy: i32, desired: i32, expected: i32) {
    let path = format!("{}/{name}", bench.policy());
    let generation = bench.get(&path).await.body["metadata"]["generation"].clone();
    let is_so = |status: &Value| {
        status["observedGeneration"] == generation
            && status["currentHealthy"] == healthy
            && status["desiredHealthy"] == desired
            && status["expectedPods"] == expected
    };
    if has_controllers() != Some(false) {
        let by_name = format!("metadata.name={name}");
        let test = |found: Option<&Value>| found.is_some_and(|budget| is_so(&budget["status"]));
        let came = bench.until(&bench.policy(), &by_name, SOON, test).await;
        let observed = bench.get(&path).await.body["status"]["observedGeneration"].as_i64().unwrap_or(0);
        found_controllers(observed > 0);
        if came {
            return;
        }
        assert_eq!(observed, 0, "the controller counts otherwise: {}", bench.get(&path).await.text);
    }
    unchecked("how the disruption controller counts (there is none: the status is written by this test)");
    let status = json!({"status": {
        "observedGeneration": generation, "currentHealthy": healthy, "desiredHealthy": desired,
        "expectedPods": expected, "disruptionsAllowed": (healthy - desired).max(0),
    }});
    bench.merge(&format!("{path}/status"), &status).await.expect(200);
}

async fn status(bench: &Bench, name: &str) -> Value {
    bench.get(&format!("{}/{name}", bench.policy())).await.expect(200).body["status"].clone()
}

async fn refusal(bench: &Bench, pod: &PodKey) -> (Refusal, FailureKind, Option<Duration>) {
    let permit = bench.permit(Kind::Drain);
    let error = bench.cluster.evict(pod, &bench.node_name(), None, &permit).await.unwrap_err();
    (error.refusal.clone().unwrap(), error.kind, error.retry_after)
}

#[test]
fn a_full_budget_answers_429_with_its_figures_and_no_time() {
    rule(|bench| async move {
        let key = bench.pod("a", "Running", true).await;
        budget(&bench, "web", 1, &json!({})).await;
        settle(&bench, "web", 1, 1, 1).await;
        let answer = bench.evict("a", &json!({})).await;
        answer.expect_failure(429, "TooManyRequests");
        assert_eq!(answer.retry_after, None);
        let causes = answer.causes();
        let [(kind, words)] = &causes[..] else { panic!("{}", answer.text) };
        assert_eq!(kind, "DisruptionBudget");
        assert_eq!(words, "The disruption budget web needs 1 healthy pods and has 1 currently");
        let full = Refusal::BudgetFull {
            budget: Some(BudgetKey { namespace: bench.namespace.clone(), name: "web".into() }),
            needs: Some(1),
            has: Some(1),
        };
        assert_eq!(refusal(&bench, &key).await, (full, FailureKind::Refused, None));
        assert!(bench.read_pod("a").await.body["metadata"]["deletionTimestamp"].is_null());
    });
}

#[test]
fn an_accepted_eviction_spends_the_budget() {
    rule(|bench| async move {
        bench.pod("a", "Running", true).await;
        bench.pod("b", "Running", true).await;
        budget(&bench, "web", 1, &json!({})).await;
        settle(&bench, "web", 2, 1, 2).await;
        assert_eq!(status(&bench, "web").await["disruptionsAllowed"], 1);
        bench.evict("a", &json!({})).await.expect(201);
        let after = status(&bench, "web").await;
        assert_eq!(after["disruptionsAllowed"], 0, "{after}");
        bench.evict("b", &json!({})).await.expect_failure(429, "TooManyRequests");
    });
}

#[test]
fn a_dry_run_spends_nothing() {
    rule(|bench| async move {
        bench.pod("a", "Running", true).await;
        bench.pod("b", "Running", true).await;
        budget(&bench, "web", 1, &json!({})).await;
        settle(&bench, "web", 2, 1, 2).await;
        for name in ["a", "b"] {
            bench.evict(name, &json!({"dryRun": ["All"]})).await.expect(201);
        }
        assert_eq!(status(&bench, "web").await["disruptionsAllowed"], 1);
    });
}

#[test]
fn a_status_older_than_the_spec_asks_to_come_back() {
    rule(|bench| async move {
        let key = bench.pod("a", "Running", true).await;
        budget(&bench, "web", 0, &json!({})).await;
        let answer = bench.evict("a", &json!({"dryRun": ["All"]})).await;
        if answer.code == 201 {
            unchecked("a budget whose status lags (the controller was faster)");
            return;
        }
        answer.expect_failure(429, "TooManyRequests");
        let causes = answer.causes();
        assert_eq!(causes[0].0, "DisruptionBudget");
        assert_eq!(causes[0].1, "The disruption budget web is still being processed by the server.");
        assert_eq!(answer.retry_after.as_deref(), Some("10"));
        assert_eq!(answer.body["details"]["retryAfterSeconds"], 10);
        let permit = bench.permit(Kind::Drain);
        match bench.cluster.evict(&key, &bench.node_name(), None, &permit).await {
            Ok(_) => unchecked("the product's view of a lagging status (the controller was faster)"),
            Err(error) => {
                assert!(matches!(error.refusal, Some(Refusal::BudgetStale { budget: Some(_) })), "{error}");
                assert_eq!(error.retry_after, Some(Duration::from_secs(10)));
            }
        }
    });
}

#[test]
fn two_budgets_are_a_500_without_reason_even_with_room() {
    rule(|bench| async move {
        let key = bench.pod("a", "Running", true).await;
        for name in ["one", "two"] {
            budget(&bench, name, 0, &json!({})).await;
            settle(&bench, name, 1, 0, 1).await;
        }
        let answer = bench.evict("a", &json!({})).await;
        answer.expect_ref(500);
        assert_eq!(answer.body["reason"].as_str().unwrap_or_default(), "", "{}", answer.text);
        assert_eq!(answer.retry_after, None);
        assert_eq!(refusal(&bench, &key).await, (Refusal::TwoBudgets, FailureKind::Refused, None));
    });
}

#[test]
fn pods_that_run_nothing_need_no_budget() {
    rule(|bench| async move {
        for (name, phase) in [("pending", "Pending"), ("done", "Succeeded"), ("failed", "Failed")] {
            bench.pod(name, phase, false).await;
        }
        budget(&bench, "web", 3, &json!({})).await;
        settle(&bench, "web", 0, 3, 3).await;
        for name in ["pending", "done", "failed"] {
            bench.evict(name, &json!({})).await.expect(201);
        }
    });
}

#[test]
fn a_terminating_pod_needs_no_budget() {
    rule(|bench| async move {
        bench.pod("a", "Running", true).await;
        budget(&bench, "web", 1, &json!({})).await;
        settle(&bench, "web", 1, 1, 1).await;
        let path = format!("{}/a", bench.core("pods"));
        bench.delete(&path, &json!({"gracePeriodSeconds": 30})).await.expect(200);
        bench.evict("a", &json!({})).await.expect(201);
    });
}

#[test]
fn an_unready_pod_may_go_while_the_budget_is_met() {
    rule(|bench| async move {
        bench.pod("good", "Running", true).await;
        bench.pod("bad", "Running", false).await;
        budget(&bench, "web", 1, &json!({})).await;
        settle(&bench, "web", 1, 1, 2).await;
        bench.evict("good", &json!({})).await.expect_failure(429, "TooManyRequests");
        bench.evict("bad", &json!({})).await.expect(201);
        assert_eq!(
            status(&bench, "web").await["disruptedPods"].as_object().map_or(0, serde_json::Map::len),
            0
        );
    });
}

#[test]
fn an_unready_pod_stays_while_the_budget_is_not_met() {
    rule(|bench| async move {
        bench.pod("good", "Running", true).await;
        bench.pod("bad", "Running", false).await;
        budget(&bench, "web", 2, &json!({"unhealthyPodEvictionPolicy": "IfHealthyBudget"})).await;
        settle(&bench, "web", 1, 2, 2).await;
        bench.evict("bad", &json!({})).await.expect_failure(429, "TooManyRequests");
    });
}

#[test]
fn an_unready_pod_always_goes_when_the_budget_says_so() {
    rule(|bench| async move {
        bench.pod("good", "Running", true).await;
        bench.pod("bad", "Running", false).await;
        budget(&bench, "web", 2, &json!({"unhealthyPodEvictionPolicy": "AlwaysAllow"})).await;
        settle(&bench, "web", 1, 2, 2).await;
        bench.evict("good", &json!({})).await.expect_failure(429, "TooManyRequests");
        bench.evict("bad", &json!({})).await.expect(201);
    });
}

#[test]
fn an_empty_selector_covers_every_pod_and_none_covers_none() {
    rule(|bench| async move {
        bench.pod("a", "Running", true).await;
        let none = json!({"metadata": {"name": "none"}, "spec": {"minAvailable": 1}});
        bench.post(&bench.policy(), &none).await.expect(201);
        settle(&bench, "none", 0, 1, 0).await;
        bench.evict("a", &json!({"dryRun": ["All"]})).await.expect(201);
        let every = json!({"metadata": {"name": "every"}, "spec": {"minAvailable": 1, "selector": {}}});
        bench.post(&bench.policy(), &every).await.expect(201);
        settle(&bench, "every", 1, 1, 1).await;
        bench.evict("a", &json!({"dryRun": ["All"]})).await.expect_failure(429, "TooManyRequests");
        let rows = bench.cluster.budgets().await.unwrap();
        let absent = |name: &str| {
            rows.iter()
                .find(|row| row.key.namespace == bench.namespace && row.key.name == name)
                .unwrap()
                .selector
                .absent
        };
        assert!(absent("none") && !absent("every"));
    });
}

#[test]
fn a_refused_precondition_leaves_the_pod() {
    rule(|bench| async move {
        bench.pod("a", "Running", true).await;
        budget(&bench, "web", 0, &json!({})).await;
        settle(&bench, "web", 1, 0, 1).await;
        let wrong = json!({"preconditions": {"uid": "00000000-0000-0000-0000-000000000000"}});
        bench.evict("a", &wrong).await.expect_failure(409, "Conflict");
        assert!(bench.read_pod("a").await.body["metadata"]["deletionTimestamp"].is_null());
    });
}

#[test]
fn the_controller_follows_the_pods() {
    rule(|bench| async move {
        bench.pod("a", "Running", true).await;
        bench.pod("b", "Running", false).await;
        budget(&bench, "web", 1, &json!({})).await;
        settle(&bench, "web", 1, 1, 2).await;
        if has_controllers() == Some(false) {
            return;
        }
        bench.set_pod("b", "Running", true).await;
        settle(&bench, "web", 2, 1, 2).await;
        let row = bench.cluster.budgets().await.unwrap();
        let row = row.into_iter().find(|row| row.key.namespace == bench.namespace).unwrap();
        assert_eq!((row.allowed, row.healthy, row.desired, row.expected), (1, 2, 1, 2));
        assert!(row.is_current() && row.never_allows().is_none());
        bench
            .delete(&format!("{}/b", bench.core("pods")), &json!({"gracePeriodSeconds": 0}))
            .await
            .expect(200);
        settle(&bench, "web", 1, 1, 1).await;
        bench.set_pod("a", "Running", false).await;
        settle(&bench, "web", 0, 1, 1).await;
    });
}
