//! Cordoning: one patch with its notes, who is named for it, and what guards it.

use crate::bench::{Bench, rule};
use pitstop::domain::node::{CordonNote, NodeRow};
use pitstop::domain::plan::Kind;
use pitstop::domain::report::FailureKind;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

fn mark() -> CordonNote {
    CordonNote {
        run: Some("contract-run".into()),
        holder: "contract@test".into(),
        since: None,
        reason: Some("contract".into()),
        prior_cordoned: None,
    }
}

async fn row(bench: &Bench) -> NodeRow {
    bench.cluster.node(&bench.node_name()).await.unwrap()
}

async fn raw(bench: &Bench) -> Value {
    bench.get(&format!("/api/v1/nodes/{}", bench.node)).await.expect(200).body
}

#[test]
fn a_cordon_is_noted_and_its_undoing_leaves_no_trace() {
    rule(|bench| async move {
        let before = row(&bench).await;
        assert!(!before.cordoned);
        let permit = bench.permit(Kind::Reboot);
        let after = bench.cluster.cordon(&before, &mark(), &permit, &CancellationToken::new()).await.unwrap();
        let note = after.cordon.clone().unwrap();
        assert_eq!((note.run, note.prior_cordoned), (Some("contract-run".into()), Some(false)));
        let there = raw(&bench).await;
        assert_eq!(there["spec"]["unschedulable"], true);
        assert_eq!(there["metadata"]["annotations"]["pitstop.dev/holder"], "contract@test");
        let back = bench.cluster.uncordon(&after, &permit, &CancellationToken::new()).await.unwrap();
        assert!(!back.cordoned && back.cordon.is_none());
        let there = raw(&bench).await;
        assert!(there["spec"].get("unschedulable").is_none());
        assert!(!there["metadata"]["annotations"].to_string().contains("pitstop.dev/"), "{there}");
    });
}

#[test]
fn who_else_cordoned_is_known_by_the_field_manager() {
    rule(|bench| async move {
        let path = format!("/api/v1/nodes/{}?fieldManager=kubectl-cordon", bench.node);
        bench
            .send(
                "PATCH",
                &path,
                "application/strategic-merge-patch+json",
                Some(&json!({"spec": {"unschedulable": true}})),
            )
            .await
            .expect(200);
        let note = row(&bench).await.cordon.unwrap();
        assert_eq!((note.holder.as_str(), note.run), ("kubectl-cordon", None));
        assert!(note.since.is_some());
    });
}

#[test]
fn a_cordon_that_was_not_seen_is_respected() {
    rule(|bench| async move {
        let before = row(&bench).await;
        let path = format!("/api/v1/nodes/{}?fieldManager=kubectl-cordon", bench.node);
        bench.merge(&path, &json!({"spec": {"unschedulable": true}})).await.expect(200);
        let error = bench
            .cluster
            .cordon(&before, &mark(), &bench.permit(Kind::Cordon), &CancellationToken::new())
            .await
            .unwrap_err();
        assert_eq!(error.kind, FailureKind::Conflict, "{error}");
        assert!(error.to_string().contains("kubectl-cordon"), "{error}");
    });
}

#[test]
fn a_node_of_the_same_name_is_another_node() {
    rule(|bench| async move {
        let before = row(&bench).await;
        bench.delete(&format!("/api/v1/nodes/{}", bench.node), &json!({})).await.expect(200);
        bench.node_object(&bench.node).await;
        let error = bench
            .cluster
            .cordon(&before, &mark(), &bench.permit(Kind::Cordon), &CancellationToken::new())
            .await
            .unwrap_err();
        assert_eq!(error.kind, FailureKind::Conflict, "{error}");
        assert!(raw(&bench).await["spec"].get("unschedulable").is_none());
    });
}

#[test]
fn a_cordon_over_a_cordon_remembers_that_it_was_one() {
    rule(|bench| async move {
        let path = format!("/api/v1/nodes/{}?fieldManager=kubectl-cordon", bench.node);
        bench.merge(&path, &json!({"spec": {"unschedulable": true}})).await.expect(200);
        let before = row(&bench).await;
        let after = bench
            .cluster
            .cordon(&before, &mark(), &bench.permit(Kind::Cordon), &CancellationToken::new())
            .await
            .unwrap();
        let note = after.cordon.unwrap();
        assert_eq!((note.holder.as_str(), note.prior_cordoned), ("contract@test", Some(true)));
    });
}
