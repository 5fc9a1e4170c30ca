//! The tools' objects, as their controllers write them.

use super::*;
use crate::domain::report::FailureKind;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

fn answer(code: u16, body: &Value) -> Response {
    (http::StatusCode::from_u16(code).unwrap(), body.to_string()).into_response()
}

fn group(name: &str, version: &str) -> Value {
    json!({"name": name, "preferredVersion": {"groupVersion": format!("{name}/{version}"), "version": version}})
}

fn object(uri: &http::Uri) -> Option<Value> {
    let now = "2026-01-02T03:04:05Z";
    Some(match uri.path() {
        "/apis" => json!({"kind": "APIGroupList", "groups": [
            group("upgrade.cattle.io", "v1"), group("cluster.x-k8s.io", "v1beta2"),
            group("nodemaintenance.medik8s.io", "v1beta1"),
        ]}),
        "/apis/upgrade.cattle.io/v1/plans" => json!({"items": [
            {"metadata": {"name": "k3s-server", "namespace": "system-upgrade"}, "status": {"applying": ["worker-1"]}},
            {"metadata": {"name": "idle", "namespace": "system-upgrade"}, "status": {"applying": null}},
        ]}),
        "/apis/batch/v1/jobs" => json!({"items": [
            {"metadata": {"name": "apply-k3s", "namespace": "system-upgrade",
                          "labels": {"upgrade.cattle.io/node": "worker-1"}},
             "status": {"active": 1, "startTime": now}},
            {"metadata": {"name": "over", "namespace": "system-upgrade"}, "status": {"succeeded": 1}},
        ]}),
        "/apis/cluster.x-k8s.io/v1beta2/machines" => json!({"items": [
            {"metadata": {"name": "m-1", "namespace": "capi", "deletionTimestamp": now},
             "status": {"nodeRef": {"name": "worker-2"}}},
            {"metadata": {"name": "m-2", "namespace": "capi"}, "status": {}},
        ]}),
        "/apis/coordination.k8s.io/v1/namespaces/medik8s-leases/leases" => json!({"items": [
            {"metadata": {"name": "node-worker-3"},
             "spec": {"holderIdentity": "node-maintenance", "leaseDurationSeconds": 3600, "renewTime": now}},
            {"metadata": {"name": "node-old"},
             "spec": {"holderIdentity": "node-maintenance", "leaseDurationSeconds": 10, "renewTime": now}},
        ]}),
        _ => return None,
    })
}

#[tokio::test]
async fn each_tool_is_named_with_its_node_and_silence_is_no_proof() {
    let router = axum::Router::new().fallback(|uri: http::Uri| async move {
        if uri.path().contains("nodemaintenances") {
            let body = json!({"kind": "Status", "status": "Failure", "code": 403, "message": "no"});
            return answer(403, &body);
        }
        object(&uri).map_or_else(|| answer(404, &json!({})), |body| answer(200, &body))
    });
    let api = Cluster::from_client(::kube::Client::new(router, "default"), "test");
    let at = crate::backend::clock::parse("2026-01-02T03:10:00Z").unwrap();
    let seen = api.others(at).await;
    let mut told: Vec<(String, String)> = seen
        .iter()
        .filter_map(|sighting| sighting.as_ref().ok())
        .flatten()
        .map(|actor| (actor.tool.clone(), actor.node.as_ref().map(ToString::to_string).unwrap_or_default()))
        .collect();
    told.sort();
    let pair = |tool: &str, node: &str| (tool.to_owned(), node.to_owned());
    let upgrade = pair("system-upgrade-controller", "worker-1");
    assert_eq!(
        told,
        [
            pair("Cluster API", "worker-2"),
            pair("node-maintenance lease", "worker-3"),
            upgrade.clone(),
            upgrade
        ]
    );
    let failed: Vec<FailureKind> =
        seen.iter().filter_map(|sighting| sighting.as_ref().err()).map(|error| error.kind).collect();
    assert_eq!(failed, [FailureKind::Forbidden]);
}
