//! Evictions: the bytes that are sent, that nothing is sent twice, and what each answer means.

use super::*;
use crate::backend::kube::testing::{answer, cluster, failure, permit, pod, status};
use crate::domain::plan::Kind;
use axum::response::Response;
use serde_json::json;
use std::time::Duration;

#[test]
fn the_eviction_carries_its_delete_options() {
    let key = pod("web-1", "0b0c");
    let bytes = serde_json::to_string(&EvictionBody::new(&key, Some(7))).unwrap();
    assert_eq!(
        bytes,
        r#"{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"web-1","namespace":"shop"},"deleteOptions":{"apiVersion":"v1","kind":"DeleteOptions","gracePeriodSeconds":7,"preconditions":{"uid":"0b0c"}}}"#
    );
    let typed: k8s_openapi::api::policy::v1::Eviction = serde_json::from_str(&bytes).unwrap();
    let options = typed.delete_options.unwrap();
    assert_eq!(options.grace_period_seconds, Some(7));
    assert_eq!(options.preconditions.unwrap().uid.as_deref(), Some("0b0c"));
    let own = serde_json::to_value(EvictionBody::new(&key, Some(-1))).unwrap();
    assert!(own["deleteOptions"].get("gracePeriodSeconds").is_none());
}

#[tokio::test]
async fn both_200_and_201_are_accepted() {
    for code in [200, 201] {
        let (api, journal) =
            cluster(move |_| async move { answer(code, &json!({"kind": "Status", "status": "Success"})) });
        let done = api.evict(&pod("web-1", "u"), &"w".into(), None, &permit(Kind::Drain, "w")).await;
        assert_eq!(done, Ok(Eviction::Accepted), "{code}");
        assert_eq!(journal.count("POST", "/api/v1/namespaces/shop/pods/web-1/eviction"), 1);
    }
}

#[tokio::test]
async fn without_a_permit_nothing_is_sent() {
    let (api, journal) = cluster(|_| async { answer(201, &json!({})) });
    for permit in [permit(Kind::Cordon, "w"), permit(Kind::Drain, "other")] {
        let refused = api.evict(&pod("web-1", "u"), &"w".into(), None, &permit).await.unwrap_err();
        assert_eq!(refused.kind, FailureKind::Denied);
        assert!(api.delete_pod(&pod("web-1", "u"), &"w".into(), None, &permit).await.is_err());
    }
    assert!(journal.all().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_429_is_reported_at_once_and_not_repeated() {
    let (api, journal) = cluster(|_| async {
        Response::builder()
            .status(429)
            .header("Retry-After", "10")
            .body("Too many requests, please try again later.".into())
            .unwrap()
    });
    let begun = tokio::time::Instant::now();
    let error =
        api.evict(&pod("web-1", "u"), &"w".into(), None, &permit(Kind::Drain, "w")).await.unwrap_err();
    assert_eq!((error.refusal, error.retry_after), (Some(Refusal::Throttled), Some(Duration::from_secs(10))));
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert_eq!(journal.all().len(), 1);
}

#[tokio::test]
async fn gone_and_replaced_are_told_by_looking() {
    let evict = |code: u16, found: Option<&'static str>| async move {
        let (api, _) = cluster(move |seen| async move {
            match (seen.method.as_str(), found) {
                ("GET", Some(uid)) => answer(200, &json!({"metadata": {"uid": uid}})),
                ("GET", None) => failure(404, "NotFound", "pods \"web-1\" not found"),
                _ => failure(code, if code == 409 { "Conflict" } else { "NotFound" }, "no"),
            }
        });
        api.evict(&pod("web-1", "u"), &"w".into(), None, &permit(Kind::Drain, "w")).await
    };
    assert_eq!(evict(404, None).await, Ok(Eviction::Gone));
    assert_eq!(evict(409, None).await, Ok(Eviction::Gone));
    assert_eq!(evict(409, Some("another")).await.unwrap_err().refusal, Some(Refusal::Replaced));
    assert_eq!(evict(409, Some("u")).await.unwrap_err().refusal, Some(Refusal::Conflict));
    // a server without the subresource says 404 for a pod that is there
    assert_eq!(evict(404, Some("u")).await.unwrap_err().kind, FailureKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_is_left_after_its_deadline() {
    let (api, journal) = cluster(|_| std::future::pending());
    let error =
        api.evict(&pod("web-1", "u"), &"w".into(), None, &permit(Kind::Drain, "w")).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Timeout);
    assert!(error.to_string().contains("not known whether"), "{error}");
    assert_eq!(journal.all().len(), 1);
}

#[tokio::test]
async fn refusals_of_reads_name_the_cause() {
    let (api, _) = cluster(|_| async { failure(401, "Unauthorized", "Unauthorized") });
    let error = api.nodes().await.unwrap_err();
    assert_eq!((error.kind, error.code), (FailureKind::Unauthorized, Some(401)));
    let (api, _) =
        cluster(|_| async { failure(403, "Forbidden", "nodes is forbidden: User \"ann\" cannot list") });
    let error = api.nodes().await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Forbidden);
    assert!(error.to_string().contains("ann") && error.hint.is_some());
    let (api, _) = cluster(|_| async { Response::new("<html>login</html>".into()) });
    assert_eq!(api.nodes().await.unwrap_err().kind, FailureKind::Unexpected);
    let (api, _) = cluster(|_| async { answer(500, &status(500, "", "etcdserver: leader changed")) });
    assert!(api.nodes().await.unwrap_err().kind.is_passing());
}

#[tokio::test]
async fn deletion_past_the_budget_keeps_the_precondition() {
    let (api, journal) = cluster(|_| async { answer(200, &json!({})) });
    let done = api.delete_pod(&pod("web-1", "u"), &"w".into(), Some(0), &permit(Kind::Drain, "w")).await;
    assert_eq!(done, Ok(Eviction::Accepted));
    let sent = &journal.all()[0];
    assert_eq!((sent.method.as_str(), sent.uri.as_str()), ("DELETE", "/api/v1/namespaces/shop/pods/web-1"));
    assert_eq!(
        (&sent.body["preconditions"]["uid"], &sent.body["gracePeriodSeconds"]),
        (&json!("u"), &json!(0))
    );
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_is_not_allowed_names_its_right() {
    let (api, _) = cluster(|_| async { failure(403, "Forbidden", "pods is forbidden") });
    let permit = permit(Kind::Drain, "w");
    let error = api.delete_pod(&pod("web-1", "u"), &"w".into(), None, &permit).await.unwrap_err();
    assert_eq!(error.refusal, Some(Refusal::Forbidden("delete pods in namespace shop".into())));
    assert!(error.hint.is_some_and(|hint| hint.contains("verbs: [\"delete\"]")));
}
