//! Evictions without budgets: the answer, what it does to the pod, its preconditions, and who needs no budget.

use crate::bench::{SOON, rule};
use pitstop::backend::kube::{Eviction, Refusal};
use pitstop::domain::ids::PodKey;
use pitstop::domain::plan::Kind;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

#[test]
fn an_eviction_is_answered_with_201_and_marks_the_pod() {
    rule(|bench| async move {
        let key = bench.pod("a", "Running", true).await;
        let answer =
            bench.evict("a", &json!({"gracePeriodSeconds": 7, "preconditions": {"uid": key.uid}})).await;
        answer.expect_ref(201);
        assert_eq!((&answer.body["kind"], &answer.body["status"]), (&json!("Status"), &json!("Success")));
        let pod = bench.read_pod("a").await.expect(200).body;
        assert!(pod["metadata"]["deletionTimestamp"].is_string());
        assert_eq!(pod["metadata"]["deletionGracePeriodSeconds"], 7);
        let conditions = pod["status"]["conditions"].as_array().unwrap();
        let target = conditions.iter().find(|condition| condition["type"] == "DisruptionTarget").unwrap();
        assert_eq!((&target["status"], &target["reason"]), (&json!("True"), &json!("EvictionByEvictionAPI")));
    });
}

#[test]
fn a_dry_run_changes_nothing() {
    rule(|bench| async move {
        bench.pod("a", "Running", true).await;
        let before = bench.read_pod("a").await.body;
        bench.evict("a", &json!({"dryRun": ["All"]})).await.expect(201);
        let after = bench.read_pod("a").await.body;
        assert_eq!(before["metadata"]["resourceVersion"], after["metadata"]["resourceVersion"]);
        assert!(after["metadata"]["deletionTimestamp"].is_null());
    });
}

#[test]
fn a_pod_of_another_uid_is_not_evicted() {
    rule(|bench| async move {
        let key = bench.pod("a", "Running", true).await;
        let stranger = PodKey { uid: "00000000-0000-0000-0000-000000000000".into(), ..key };
        let answer = bench.evict("a", &json!({"preconditions": {"uid": stranger.uid}})).await;
        answer.expect_failure(409, "Conflict");
        assert!(bench.read_pod("a").await.body["metadata"]["deletionTimestamp"].is_null());
        let permit = bench.permit(Kind::Drain);
        let error = bench.cluster.evict(&stranger, &bench.node_name(), None, &permit).await.unwrap_err();
        assert_eq!(error.refusal, Some(Refusal::Replaced), "{error}");
    });
}

#[test]
fn an_absent_pod_is_gone() {
    rule(|bench| async move {
        let answer = bench.evict("nobody", &json!({})).await;
        answer.expect_failure(404, "NotFound");
        let key = PodKey { namespace: bench.namespace.clone(), name: "nobody".into(), uid: "u".into() };
        let done = bench.cluster.evict(&key, &bench.node_name(), None, &bench.permit(Kind::Drain)).await;
        assert_eq!(done, Ok(Eviction::Gone));
    });
}

#[test]
fn a_body_for_another_pod_is_refused() {
    rule(|bench| async move {
        bench.pod("a", "Running", true).await;
        let body = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "b"}});
        let answer = bench.post(&format!("{}/a/eviction", bench.core("pods")), &body).await;
        answer.expect_failure(400, "BadRequest");
    });
}

#[test]
fn deletion_past_budgets_goes_the_same_way() {
    rule(|bench| async move {
        let key = bench.pod("a", "Running", true).await;
        let (node, permit) = (bench.node_name(), bench.permit(Kind::Drain));
        assert_eq!(bench.cluster.delete_pod(&key, &node, Some(9), &permit).await, Ok(Eviction::Accepted));
        assert_eq!(bench.read_pod("a").await.body["metadata"]["deletionGracePeriodSeconds"], 9);
        assert_eq!(bench.cluster.delete_pod(&key, &node, Some(0), &permit).await, Ok(Eviction::Accepted));
        assert_eq!(bench.cluster.delete_pod(&key, &node, None, &permit).await, Ok(Eviction::Gone));
    });
}

#[test]
fn nothing_is_evicted_into_a_terminating_namespace() {
    rule(|bench| async move {
        let key = bench.pod("a", "Running", true).await;
        bench.delete(&format!("/api/v1/namespaces/{}", bench.namespace), &json!({})).await;
        // admission learns of it a moment later; dry runs do no harm meanwhile
        let begun = Instant::now();
        let refused = loop {
            let answer = bench.evict("a", &json!({"dryRun": ["All"]})).await;
            if answer.code == 403 || begun.elapsed() > SOON {
                break answer;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        refused.expect_failure(403, "Forbidden");
        assert!(refused.causes().iter().any(|(kind, _)| kind == "NamespaceTerminating"), "{}", refused.text);
        let permit = bench.permit(Kind::Drain);
        let error = bench.cluster.evict(&key, &bench.node_name(), None, &permit).await.unwrap_err();
        assert_eq!(error.refusal, Some(Refusal::NamespaceTerminating), "{error}");
    });
}
