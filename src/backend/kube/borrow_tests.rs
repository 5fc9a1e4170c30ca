//! Changes for a while, against a scripted server.

use super::*;
use crate::backend::kube::testing::{answer, cluster, failure, permit, pod};
use crate::domain::budget::{Amount, Demand};
use crate::domain::ids::BudgetKey;
use crate::domain::plan::Kind;
use crate::domain::remedy::Remedy;

fn budget(min: &Value) -> Value {
    json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "u1", "resourceVersion": "7"},
        "spec": {"minAvailable": min, "selector": {}}, "status": {},
    })
}

fn key() -> BudgetKey {
    BudgetKey { namespace: "shop".into(), name: "web".into() }
}

#[tokio::test(start_paused = true)]
async fn a_budget_is_changed_only_as_it_was_read() {
    let (cluster, journal) = cluster(|seen| async move {
        let min =
            if seen.method == "PATCH" { seen.body["spec"]["minAvailable"].clone() } else { json!("100%") };
        answer(200, &budget(&min))
    });
    let was = cluster.budget(&key()).await.unwrap();
    let ours = BudgetSpec { demand: Demand::MinAvailable(Amount::Pods(2)), unhealthy: None };
    let permit = super::super::testing::resolve_permit(key(), Remedy::Relax);
    let wrong = Change::Borrow(&was.row.key, Remedy::Surge);
    assert_eq!(
        cluster.patch_budget(&was, &ours, &wrong, &permit).await.unwrap_err().kind,
        FailureKind::Denied
    );
    let right = Change::Borrow(&was.row.key, Remedy::Relax);
    assert_eq!(cluster.patch_budget(&was, &ours, &right, &permit).await.unwrap().spec, ours);
    let seen = journal.all();
    assert_eq!(seen.len(), 2, "what is denied is not sent");
    assert_eq!(seen[1].uri, "/apis/policy/v1/namespaces/shop/poddisruptionbudgets/web?fieldManager=pitstop");
    assert_eq!(
        seen[1].body,
        json!({"metadata": {"uid": "u1", "resourceVersion": "7"}, "spec": {"minAvailable": 2}})
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_show_the_change_is_an_error() {
    let (cluster, _) = cluster(|_| async { answer(200, &budget(&json!(3))) });
    let was = cluster.budget(&key()).await.unwrap();
    let ours = BudgetSpec { demand: Demand::MinAvailable(Amount::Pods(2)), unhealthy: None };
    let permit = super::super::testing::resolve_permit(key(), Remedy::Relax);
    let change = Change::Borrow(&was.row.key, Remedy::Relax);
    let error = cluster.patch_budget(&was, &ours, &change, &permit).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Unexpected);
}

#[tokio::test(start_paused = true)]
async fn a_scale_is_guarded_by_its_version() {
    let owner = ObjectKey {
        api_version: "apps/v1".into(),
        kind: "Deployment".into(),
        namespace: "shop".into(),
        name: "web".into(),
        uid: "u2".into(),
    };
    let (cluster, journal) = cluster(|seen| async move {
        let replicas = seen.body["spec"]["replicas"].as_i64().unwrap_or(1);
        answer(
            200,
            &json!({"metadata": {"uid": "u2", "resourceVersion": "9"}, "spec": {"replicas": replicas}}),
        )
    });
    let was = cluster.scale(&owner).await.unwrap();
    let permit = super::super::testing::resolve_permit(key(), Remedy::Surge);
    let after =
        cluster.set_scale(&owner, &was, 2, &Change::Borrow(&key(), Remedy::Surge), &permit).await.unwrap();
    assert_eq!((was.replicas, after.replicas), (1, 2));
    let patch = journal.all().pop().unwrap();
    assert_eq!(patch.uri, "/apis/apps/v1/namespaces/shop/deployments/web/scale?fieldManager=pitstop");
    assert_eq!(
        patch.body,
        json!({"metadata": {"uid": "u2", "resourceVersion": "9"}, "spec": {"replicas": 2}})
    );
    let crd = ObjectKey { api_version: "x/v1".into(), ..owner };
    assert!(cluster.scale(&crd).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_deleted_only_as_it_was_seen() {
    let (cluster, journal) = cluster(|seen| async move {
        if seen.method == "DELETE" {
            return failure(409, "Conflict", "the object has been modified");
        }
        answer(200, &json!({"metadata": {"name": "web-1", "namespace": "shop", "uid": "p1"}}))
    });
    let permit = permit(Kind::Drain, "w1");
    let pod = pod("web-1", "p1");
    let error = cluster.delete_pod_as_seen(&pod, "41", &"w1".into(), &permit).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Conflict);
    assert_eq!(journal.all()[0].body["preconditions"], json!({"uid": "p1", "resourceVersion": "41"}));
}
