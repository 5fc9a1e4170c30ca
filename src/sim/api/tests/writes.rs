//! create, update, patch, delete: what is written, and what is refused in which words.

use http::Method;
use serde_json::{Value, json};

use super::Bench;
use crate::sim::store::resources::{DEPLOYMENTS, LEASES, NAMESPACES, NODES, PODS};
use crate::sim::store::{Deletion, meta};

const PODS_PATH: &str = "/api/v1/namespaces/a/pods";

fn new_pod(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": { "containers": [{ "name": "c", "image": "i" }] } })
}

fn deployment(name: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name, "namespace": "a" },
        "spec": { "selector": { "matchLabels": { "app": "web" } }, "template": {
            "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [{ "name": "c", "image": "i" }] } } },
    })
}

#[tokio::test]
async fn create_completes_and_answers_201() {
    let bench = Bench::new();
    let made = bench.send_json(Method::POST, PODS_PATH, &new_pod("x")).await;
    assert_eq!(made.code, 201, "{}", made.text);
    assert_eq!(made.body["spec"]["terminationGracePeriodSeconds"], 30);
    assert_eq!(made.body["status"]["phase"], "Pending");
    let entry = &made.body["metadata"]["managedFields"][0];
    assert_eq!(entry["manager"], "tester");
    assert!(entry["fieldsV1"].get("f:status").is_none());
    let twin = bench.send_json(Method::POST, PODS_PATH, &new_pod("x")).await;
    assert_eq!((twin.code, twin.body["reason"].as_str()), (409, Some("AlreadyExists")));
    let mut generated = new_pod("");
    generated["metadata"] = json!({ "generateName": "job-" });
    let made = bench.send_json(Method::POST, PODS_PATH, &generated).await;
    assert!(meta::name(&made.body).starts_with("job-"));
    let dry = bench.send_json(Method::POST, &format!("{PODS_PATH}?dryRun=All"), &new_pod("dry")).await;
    assert_eq!(dry.code, 201);
    assert!(bench.store.get(&PODS, "a", "dry").is_none());
}

#[tokio::test]
async fn create_refuses_with_real_statuses() {
    let bench = Bench::new();
    let post = async |path: &str, body: &Value| bench.send_json(Method::POST, path, body).await;
    let absent = post("/api/v1/namespaces/none/pods", &new_pod("x")).await;
    assert_eq!((absent.code, absent.body["message"].as_str()), (404, Some("namespaces \"none\" not found")));
    assert_eq!(absent.body["details"]["kind"], "namespaces");
    let mut elsewhere = new_pod("x");
    elsewhere["metadata"]["namespace"] = json!("default");
    let answer = post(PODS_PATH, &elsewhere).await;
    assert_eq!(answer.code, 400);
    assert!(
        answer.body["message"].as_str().unwrap().contains("does not match the namespace sent on the request")
    );
    assert_eq!(post(PODS_PATH, &deployment("x")).await.code, 400);
    let invalid = post(PODS_PATH, &new_pod("Not_A_Name")).await;
    assert_eq!((invalid.code, invalid.body["reason"].as_str()), (422, Some("Invalid")));
    assert_eq!(invalid.body["details"]["causes"][0]["field"], "metadata.name");
    let empty = json!({ "metadata": { "name": "x" }, "spec": {} });
    assert_eq!(post(PODS_PATH, &empty).await.body["details"]["causes"][0]["field"], "spec.containers");
    let mistyped = json!({ "metadata": { "name": "x" }, "spec": { "containers": "none" } });
    assert_eq!(post(PODS_PATH, &mistyped).await.code, 400);
    assert_eq!(post(&format!("{PODS_PATH}?dryRun=Some"), &new_pod("x")).await.code, 422);
    assert_eq!(post("/api/v1/pods", &new_pod("x")).await.code, 405);
    assert_eq!(bench.send_as(Method::POST, PODS_PATH, "text/plain", &json!({})).await.code, 415);
    let garbage = http::Request::post(PODS_PATH).body(axum::body::Body::from("{")).unwrap();
    assert_eq!(bench.send(garbage).await.code, 400);
    bench.store.modify(&NAMESPACES, "", "a", |ns| ns["status"]["phase"] = json!("Terminating")).unwrap();
    let ending = post(PODS_PATH, &new_pod("x")).await;
    assert_eq!(
        (ending.code, &ending.body["details"]["causes"][0]["reason"]),
        (403, &json!("NamespaceTerminating"))
    );
}

#[tokio::test]
async fn update_checks_version_uid_and_name() {
    let bench = Bench::new();
    bench.node("n");
    let mut node = bench.get("/api/v1/nodes/n").await.body;
    node["spec"]["unschedulable"] = json!(true);
    node["status"] = json!({ "phase": "ignored" });
    let put = async |node: &Value| bench.send_json(Method::PUT, "/api/v1/nodes/n", node).await;
    let written = put(&node).await;
    assert_eq!(written.code, 200, "{}", written.text);
    assert_eq!(written.body["status"]["conditions"][0]["type"], "Ready");
    let stale = put(&node).await;
    assert_eq!((stale.code, stale.body["reason"].as_str()), (409, Some("Conflict")));
    assert_eq!(
        stale.body["message"],
        "Operation cannot be fulfilled on nodes \"n\": the object has been modified; please apply your changes to \
         the latest version and try again"
    );
    let mut other = written.body.clone();
    other["metadata"]["uid"] = json!("other");
    assert_eq!(put(&other).await.code, 409);
    let mut renamed = written.body.clone();
    renamed["metadata"]["name"] = json!("m");
    let refused = put(&renamed).await;
    assert_eq!(refused.code, 400);
    assert_eq!(refused.body["message"], "the name of the object (m) does not match the name on the URL (n)");
    assert_eq!(
        bench
            .send_json(Method::PUT, "/api/v1/nodes/none", &json!({ "metadata": { "name": "none" } }))
            .await
            .code,
        404
    );
}

#[tokio::test]
async fn leases_need_a_version_and_are_created_by_update() {
    let bench = Bench::new();
    let path = "/apis/coordination.k8s.io/v1/namespaces/a/leases/l";
    let lease = json!({ "metadata": { "name": "l", "namespace": "a" }, "spec": { "holderIdentity": "me" } });
    assert_eq!(bench.send_json(Method::PUT, path, &lease).await.code, 201);
    let blind = bench.send_json(Method::PUT, path, &lease).await;
    assert_eq!((blind.code, blind.body["reason"].as_str()), (422, Some("Invalid")));
    let current = Value::clone(&bench.store.get(&LEASES, "a", "l").unwrap());
    assert_eq!(bench.send_json(Method::PUT, path, &current).await.code, 200);
}

#[tokio::test]
async fn status_and_spec_have_their_own_paths() {
    let bench = Bench::new();
    bench.node("n");
    let patch = json!({ "spec": { "unschedulable": true }, "status": { "phase": "x" }, "metadata": { "labels": { "l": "1" } } });
    let main = bench.patch("/api/v1/nodes/n", "merge-patch+json", &patch).await.body;
    assert_eq!((&main["spec"]["unschedulable"], &main["status"]["phase"]), (&json!(true), &Value::Null));
    let patch = json!({ "spec": { "unschedulable": false }, "status": { "phase": "Running" }, "metadata": { "annotations": { "b": "2" } } });
    let status = bench.patch("/api/v1/nodes/n/status", "merge-patch+json", &patch).await.body;
    assert_eq!(
        (&status["spec"]["unschedulable"], &status["status"]["phase"]),
        (&json!(true), &json!("Running"))
    );
    assert_eq!(status["metadata"]["annotations"]["b"], "2");
    let fields = status["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(fields[0]["fieldsV1"]["f:spec"], json!({ "f:unschedulable": {} }));
    assert_eq!(fields[1]["subresource"], "status");
}

#[tokio::test]
async fn the_kinds_of_patch() {
    let bench = Bench::new();
    bench.node("n");
    let path = "/api/v1/nodes/n?fieldManager=pitstop";
    let cordon = json!({ "spec": { "unschedulable": true } });
    let cordoned = bench.patch(path, "strategic-merge-patch+json", &cordon).await;
    assert_eq!(cordoned.body["metadata"]["managedFields"][0]["manager"], "pitstop");
    let again = bench.patch(path, "strategic-merge-patch+json", &cordon).await;
    assert_eq!(again.body, cordoned.body, "a patch of nothing writes nothing");
    let test = json!([{ "op": "test", "path": "/spec/unschedulable", "value": false }]);
    let refused = bench.patch(path, "json-patch+json", &test).await;
    assert_eq!((refused.code, refused.body["reason"].as_str()), (422, Some("Invalid")));
    let pass = json!([{ "op": "test", "path": "/spec/unschedulable", "value": true },
        { "op": "remove", "path": "/spec/unschedulable" }]);
    assert!(bench.patch(path, "json-patch+json", &pass).await.body["spec"].get("unschedulable").is_none());
    let stale = json!({ "metadata": { "resourceVersion": "1" }, "spec": { "unschedulable": true } });
    assert_eq!(bench.patch(path, "merge-patch+json", &stale).await.code, 409);
    let renamed = json!({ "metadata": { "name": "m" } });
    assert_eq!(bench.patch(path, "merge-patch+json", &renamed).await.code, 400);
    assert_eq!(bench.patch(path, "json", &cordon).await.code, 415);
    assert_eq!(
        bench.patch(path, "merge-patch+json", &json!({ "spec": { "unschedulable": "yes" } })).await.code,
        400
    );
    assert_eq!(bench.patch("/api/v1/nodes/none", "merge-patch+json", &cordon).await.code, 404);
    let dry = bench.patch("/api/v1/nodes/n?dryRun=All", "merge-patch+json", &cordon).await;
    assert_eq!(dry.body["spec"]["unschedulable"], true);
    assert!(bench.store.get(&NODES, "", "n").unwrap()["spec"].get("unschedulable").is_none());
}

#[tokio::test]
async fn server_side_apply_creates_and_merges() {
    let bench = Bench::new();
    let path = "/apis/apps/v1/namespaces/a/deployments/d?fieldManager=one";
    let made = bench.patch(path, "apply-patch+yaml", &deployment("d")).await;
    assert_eq!(made.code, 201, "{}", made.text);
    assert_eq!(made.body["metadata"]["managedFields"][0]["operation"], "Apply");
    let mut next = deployment("d");
    next["spec"]["replicas"] = json!(3);
    let merged = bench.patch(path, "apply-patch+yaml", &next).await;
    assert_eq!((merged.code, &merged.body["metadata"]["generation"]), (200, &json!(2)));
    next["spec"]["replicas"] = json!(4);
    let other = path.replace("one", "two");
    let conflict = bench.patch(&other, "apply-patch+yaml", &next).await;
    assert_eq!(conflict.code, 409);
    assert_eq!(conflict.body["details"]["causes"][0]["reason"], "FieldManagerConflict");
    assert_eq!(conflict.body["details"]["causes"][0]["field"], ".spec.replicas");
    let forced = bench.patch(&format!("{other}&force=true"), "apply-patch+yaml", &next).await;
    assert_eq!(forced.body["spec"]["replicas"], 4);
    let unnamed = bench.patch("/apis/apps/v1/namespaces/a/deployments/d", "apply-patch+yaml", &next).await;
    assert_eq!(unnamed.code, 422);
}

#[tokio::test]
async fn scale_reads_and_writes_replicas() {
    let bench = Bench::new();
    bench.store.create(&DEPLOYMENTS, deployment("d")).unwrap();
    let path = "/apis/apps/v1/namespaces/a/deployments/d/scale";
    let mut scale = bench.get(path).await.body;
    assert_eq!((&scale["kind"], &scale["status"]["selector"]), (&json!("Scale"), &json!("app=web")));
    scale["spec"]["replicas"] = json!(5);
    let written = bench.send_json(Method::PUT, path, &scale).await;
    assert_eq!(written.body["spec"]["replicas"], 5);
    assert_eq!(bench.send_json(Method::PUT, path, &scale).await.code, 409);
    let two = json!({ "spec": { "replicas": 2 } });
    assert_eq!(bench.patch(path, "merge-patch+json", &two).await.body["spec"]["replicas"], 2);
    assert_eq!(bench.patch(path, "merge-patch+json", &json!({ "spec": { "replicas": -1 } })).await.code, 422);
    assert_eq!(bench.store.get(&DEPLOYMENTS, "a", "d").unwrap()["metadata"]["generation"], 3);
}

#[tokio::test]
async fn delete_with_grace_preconditions_and_dry_run() {
    let bench = Bench::new();
    bench.pod("x");
    let path = "/api/v1/namespaces/a/pods/x";
    let delete = async |body: Value| bench.send_json(Method::DELETE, path, &body).await;
    assert_eq!(delete(json!({ "preconditions": { "uid": "other" } })).await.code, 409);
    assert_eq!(delete(json!({ "dryRun": ["All"] })).await.code, 200);
    assert!(!meta::is_deleting(&bench.store.get(&PODS, "a", "x").unwrap()));
    assert_eq!(delete(json!({ "dryRun": ["Some"] })).await.code, 422);
    assert_eq!(delete(json!({ "propagationPolicy": "Maybe" })).await.code, 422);
    let marked = delete(json!({ "gracePeriodSeconds": 5 })).await;
    assert_eq!((marked.code, &marked.body["metadata"]["deletionGracePeriodSeconds"]), (200, &json!(5)));
    let ended = bench
        .send(
            http::Request::delete(format!("{path}?gracePeriodSeconds=0"))
                .body(axum::body::Body::empty())
                .unwrap(),
        )
        .await;
    assert_eq!(ended.code, 200);
    assert_eq!(delete(json!({})).await.code, 404);
    bench.node("n");
    let node = bench.send_json(Method::DELETE, "/api/v1/nodes/n", &json!({})).await;
    assert_eq!((&node.body["status"], &node.body["details"]["kind"]), (&json!("Success"), &json!("nodes")));
}

#[tokio::test]
async fn delete_collection_takes_what_is_selected() {
    let bench = Bench::new();
    for name in ["x", "y"] {
        bench.pod(name);
    }
    bench.store.modify(&PODS, "a", "y", |pod| pod["metadata"]["labels"]["keep"] = json!("1")).unwrap();
    let path = format!("{PODS_PATH}?labelSelector=!keep");
    let answer = bench.send_json(Method::DELETE, &path, &json!({ "gracePeriodSeconds": 0 })).await;
    assert_eq!(answer.body["items"].as_array().unwrap().len(), 1);
    assert_eq!(bench.store.list(&PODS, Some("a")).len(), 1);
}

#[tokio::test]
async fn finalizers_may_only_go_while_deleting() {
    let bench = Bench::new();
    bench.pod("x");
    bench.store.modify(&PODS, "a", "x", |pod| pod["metadata"]["finalizers"] = json!(["f/x"])).unwrap();
    bench.store.delete(&PODS, "a", "x", &Deletion::now()).unwrap();
    let path = "/api/v1/namespaces/a/pods/x";
    let add =
        bench.patch(path, "merge-patch+json", &json!({ "metadata": { "finalizers": ["f/x", "f/y"] } })).await;
    assert_eq!(add.code, 422);
    let clear = bench.patch(path, "merge-patch+json", &json!({ "metadata": { "finalizers": null } })).await;
    assert_eq!(clear.code, 200);
    assert!(bench.store.get(&PODS, "a", "x").is_none());
}

#[tokio::test]
async fn immutable_fields_are_kept() {
    let bench = Bench::new();
    bench.pod("x");
    let moved = bench
        .patch("/api/v1/namespaces/a/pods/x", "merge-patch+json", &json!({ "spec": { "nodeName": "m" } }))
        .await;
    assert_eq!(moved.code, 422);
    assert!(moved.body["message"].as_str().unwrap().contains("pod updates may not change fields other than"));
    bench.store.create(&DEPLOYMENTS, deployment("d")).unwrap();
    let patch = json!({ "spec": { "selector": { "matchLabels": { "app": "db" } }, "template": { "metadata": { "labels": { "app": "db" } } } } });
    let selector = bench.patch("/apis/apps/v1/namespaces/a/deployments/d", "merge-patch+json", &patch).await;
    assert!(selector.body["message"].as_str().unwrap().contains("field is immutable"), "{}", selector.text);
}
