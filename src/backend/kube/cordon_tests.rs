//! Cordon and uncordon: one guarded patch, compared with what the engineer saw, its answer checked.

use super::*;
use crate::backend::kube::testing::{Journal, Seen, answer, cluster, failure, permit};
use crate::domain::plan::Kind;
use axum::response::Response;
use std::sync::{Arc, Mutex};

/// A server with one node, which it patches as a merge patch would; `conflicts` patches are refused first.
fn server(node: Value, conflicts: u32) -> (Cluster, Journal) {
    let state = Arc::new(Mutex::new((node, conflicts)));
    cluster(move |seen: Seen| {
        let state = state.clone();
        async move { serve(&mut state.lock().unwrap(), &seen) }
    })
}

fn serve((node, conflicts): &mut (Value, u32), seen: &Seen) -> Response {
    if seen.method == "PATCH" {
        if *conflicts > 0 {
            *conflicts -= 1;
            node["metadata"]["resourceVersion"] = json!("8");
            return failure(409, "Conflict", "the object has been modified");
        }
        assert_eq!(seen.body["metadata"]["resourceVersion"], node["metadata"]["resourceVersion"]);
        json_patch::merge(node, &seen.body);
        node["metadata"]["resourceVersion"] = json!("9");
    }
    answer(200, node)
}

fn node() -> Value {
    json!({"metadata": {"name": "w", "uid": "u1", "resourceVersion": "7"}, "spec": {}})
}

fn row(node: Value) -> NodeRow {
    serde_json::from_value::<NodeWire>(node).unwrap().row().unwrap()
}

fn mark() -> CordonNote {
    CordonNote {
        run: Some("reboot-w".into()),
        holder: "ann@desk".into(),
        since: clock::parse("2026-01-02T03:04:05Z"),
        reason: None,
        prior_cordoned: Some(false),
    }
}

#[tokio::test]
async fn one_patch_cordons_and_notes_who() {
    let (api, journal) = server(node(), 0);
    let after = api
        .cordon(&row(node()), &mark(), &permit(Kind::Cordon, "w"), &CancellationToken::new())
        .await
        .unwrap();
    assert!(after.cordoned);
    assert_eq!(after.cordon, Some(mark()));
    let patches: Vec<Seen> = journal.all().into_iter().filter(|seen| seen.method == "PATCH").collect();
    let [patch] = &patches[..] else { panic!("{patches:?}") };
    assert_eq!(patch.uri, "/api/v1/nodes/w?fieldManager=pitstop");
    assert_eq!(patch.kind, "application/merge-patch+json");
    assert_eq!(
        patch.body,
        json!({
            "metadata": {"uid": "u1", "resourceVersion": "7", "annotations": {
                "pitstop.dev/run": "reboot-w", "pitstop.dev/holder": "ann@desk", "pitstop.dev/reason": null,
                "pitstop.dev/since": "2026-01-02T03:04:05Z", "pitstop.dev/prior": "schedulable"}},
            "spec": {"unschedulable": true}
        })
    );
}

#[tokio::test]
async fn uncordon_leaves_no_trace() {
    let (api, _) = server(node(), 0);
    let permit = permit(Kind::Reboot, "w");
    let cordoned = api.cordon(&row(node()), &mark(), &permit, &CancellationToken::new()).await.unwrap();
    let after = api.uncordon(&cordoned, &permit, &CancellationToken::new()).await.unwrap();
    assert!(!after.cordoned && after.cordon.is_none());
    assert_eq!(
        api.uncordon(&after, &permit, &CancellationToken::new()).await.unwrap(),
        after,
        "nothing left to do"
    );
}

#[tokio::test]
async fn a_change_of_something_else_is_read_and_tried_again() {
    let (api, journal) = server(node(), 2);
    assert!(
        api.cordon(&row(node()), &mark(), &permit(Kind::Cordon, "w"), &CancellationToken::new())
            .await
            .unwrap()
            .cordoned
    );
    assert_eq!(journal.count("PATCH", "/nodes/w"), 3);
    let (api, journal) = server(node(), 99);
    let error = api
        .cordon(&row(node()), &mark(), &permit(Kind::Cordon, "w"), &CancellationToken::new())
        .await
        .unwrap_err();
    assert_eq!((error.kind, journal.count("PATCH", "/nodes/w")), (FailureKind::Conflict, 4));
}

#[tokio::test]
async fn what_was_not_seen_is_not_touched() {
    let mut other = node();
    other["metadata"]["uid"] = json!("u2");
    let mut taken = node();
    taken["spec"]["unschedulable"] = json!(true);
    taken["metadata"]["managedFields"] =
        json!([{"manager": "kubectl-cordon", "fieldsV1": {"f:spec": {"f:unschedulable": {}}}}]);
    for (there, words) in [(other, "another node"), (taken, "kubectl-cordon cordoned it meanwhile")] {
        let (api, journal) = server(there, 0);
        let error = api
            .cordon(&row(node()), &mark(), &permit(Kind::Cordon, "w"), &CancellationToken::new())
            .await
            .unwrap_err();
        assert_eq!(error.kind, FailureKind::Conflict);
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(journal.count("PATCH", ""), 0);
    }
}

#[tokio::test]
async fn a_cordon_of_another_run_is_not_undone() {
    let notes = |run: &str| {
        let mut node = node();
        node["spec"]["unschedulable"] = json!(true);
        node["metadata"]["annotations"] = json!({"pitstop.dev/run": run, "pitstop.dev/holder": "bob@desk"});
        node
    };
    let (api, journal) = server(notes("theirs"), 0);
    let error = api
        .uncordon(&row(notes("ours")), &permit(Kind::Uncordon, "w"), &CancellationToken::new())
        .await
        .unwrap_err();
    assert_eq!(error.kind, FailureKind::Conflict);
    assert_eq!(journal.count("PATCH", ""), 0);
}

#[tokio::test]
async fn an_answer_that_shows_no_change_is_an_error() {
    let (api, _) = cluster(|_| async { answer(200, &node()) });
    let error = api
        .cordon(&row(node()), &mark(), &permit(Kind::Cordon, "w"), &CancellationToken::new())
        .await
        .unwrap_err();
    assert_eq!(error.kind, FailureKind::Unexpected);
}
