//! Owners, autoscalers and field managers, as the API sends them.

use super::*;
use crate::domain::budget::Demand;
use serde_json::json;

#[test]
fn a_budget_keeps_what_is_written_apart_from_what_is_meant() {
    let object = json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "7"},
        "spec": {"minAvailable": "100%", "selector": {}}, "status": {},
    });
    let found = detail(&object).unwrap();
    assert_eq!(
        found.spec,
        BudgetSpec { demand: Demand::MinAvailable(Amount::Percent(100)), unhealthy: None }
    );
    assert_eq!((found.version.as_str(), found.row.unhealthy), ("7", UnhealthyPolicy::IfHealthyBudget));
    let mut object = object;
    object["spec"]["unhealthyPodEvictionPolicy"] = "IfHealthyBudget".into();
    assert_eq!(detail(&object).unwrap().spec.unhealthy, Some(UnhealthyPolicy::IfHealthyBudget));
}

#[test]
fn writers_are_kept_by_field() {
    let object = json!({"metadata": {
        "annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/web"},
        "ownerReferences": [{"apiVersion": "x/v1", "kind": "App", "name": "web", "uid": "a", "controller": true}],
        "managedFields": [
            {"manager": "argocd-controller", "fieldsV1": {"f:spec": {"f:replicas": {}, "f:template": {"f:spec": {}}}}},
            {"manager": "kubectl-rollout", "fieldsV1": {"f:spec": {"f:template": {"f:metadata": {"f:annotations":
                {"f:kubectl.kubernetes.io/restartedAt": {}}}}}}},
        ],
    }});
    let found = keepers(&object);
    assert_eq!(found.managers["spec.replicas"], ["argocd-controller"]);
    assert_eq!(found.managers["spec.template"], ["kubectl-rollout"], "only whoever writes the annotation");
    assert_eq!(found.trackers[&Tool::ArgoCd], "shop");
    assert_eq!(found.operator().unwrap().kind, "App");
}

#[test]
fn an_autoscaler_is_found_by_its_target() {
    let hpa = |api_version: &str, kind: &str, name: &str| {
        json!({"metadata": {"name": "hpa", "uid": "h"}, "spec": {"minReplicas": 2, "maxReplicas": 4,
               "scaleTargetRef": {"apiVersion": api_version, "kind": kind, "name": name}}})
    };
    let of = ObjectKey {
        api_version: "apps/v1".into(),
        kind: "Deployment".into(),
        namespace: "shop".into(),
        name: "web".into(),
        uid: "u".into(),
    };
    let found = autoscaler(&hpa("apps/v1", "Deployment", "web"), &of).unwrap();
    assert_eq!((found.min, found.max, found.key.name.as_str()), (Some(2), 4, "hpa"));
    assert!(autoscaler(&hpa("apps/v1beta2", "Deployment", "web"), &of).is_some(), "the group decides");
    assert!(autoscaler(&hpa("apps/v1", "Deployment", "api"), &of).is_none());
    assert!(autoscaler(&hpa("apps/v1", "StatefulSet", "web"), &of).is_none());
}

#[test]
fn a_workload_says_how_it_replaces_its_pods() {
    let key = |kind: &str| ObjectKey {
        api_version: "apps/v1".into(),
        kind: kind.into(),
        namespace: "shop".into(),
        name: "web".into(),
        uid: "u".into(),
    };
    let object = json!({
        "metadata": {"generation": 3},
        "spec": {"replicas": 2, "template": {"spec": {
            "containers": [{"name": "a", "readinessProbe": {"httpGet": {}}}, {"name": "b"}],
            "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}}},
        "status": {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 1,
                   "conditions": [{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}]},
    });
    let of = |kind: &str| workload(key(kind), &object, Keepers::default(), Ok(None), Vec::new());
    let web = of("Deployment");
    let quarter = Amount::Percent(25);
    assert_eq!(web.strategy, Strategy::Rolling { surge: quarter, unavailable: quarter });
    assert!(web.claims && !web.has_probe && web.is_scalable);
    assert_eq!((web.rollout.available, web.rollout.failure.as_deref()), (1, Some("exceeded quota")));
    assert_eq!((of("StatefulSet").strategy, of("StatefulSet").is_scalable), (Strategy::InPlace, false));
}
