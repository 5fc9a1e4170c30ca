//! get and list: forms, selectors, revisions, chunks, discovery.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use super::Bench;
use crate::sim::store::resources::{EVENTS, PODS};

const PODS_PATH: &str = "/api/v1/namespaces/a/pods";

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|o| o["metadata"]["name"].as_str().unwrap()).collect()
}

async fn table(bench: &Bench, path: &str) -> Value {
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    bench.send(Request::get(path).header("accept", accept).body(Body::empty()).unwrap()).await.body
}

#[tokio::test]
async fn lists_select_and_leave_out_type_meta() {
    let bench = Bench::new();
    for name in ["x", "y"] {
        bench.pod(name);
    }
    bench.store.modify(&PODS, "a", "y", |pod| pod["spec"]["nodeName"] = json!("m")).unwrap();
    let all = bench.get("/api/v1/pods").await.body;
    assert_eq!(names(&all), ["x", "y"]);
    assert!(all["items"][0].get("kind").is_none());
    assert_eq!(all["metadata"]["resourceVersion"], bench.store.revision().to_string());
    let on_m = bench
        .get("/api/v1/pods?fieldSelector=spec.nodeName%3Dm&labelSelector=app%20in%20(web,db)")
        .await
        .body;
    assert_eq!(names(&on_m), ["y"]);
    let refused = bench.get("/api/v1/pods?fieldSelector=spec.foo%3Dm").await;
    assert_eq!(
        (refused.code, refused.body["message"].as_str()),
        (400, Some("field label not supported: spec.foo"))
    );
    assert_eq!(bench.get("/api/v1/pods?labelSelector=a%20b").await.code, 400);
    assert_eq!(names(&bench.get("/api/v1/namespaces/none/pods").await.body), Vec::<&str>::new());
}

#[tokio::test]
async fn unknown_things_are_not_found() {
    let bench = Bench::new();
    let pod = bench.get(&format!("{PODS_PATH}/x")).await;
    assert_eq!((pod.code, pod.body["message"].as_str()), (404, Some("pods \"x\" not found")));
    let kind = bench.get("/api/v1/things").await;
    assert_eq!(kind.body["message"], "the server could not find the requested resource");
    assert_eq!(bench.get("/nothing").await.text, "404 page not found\n");
    assert_eq!(bench.get("/metrics").await.code, 404);
}

#[tokio::test]
async fn chunks_are_one_snapshot() {
    let bench = Bench::new();
    for name in ["p1", "p2", "p3"] {
        bench.pod(name);
    }
    let first = bench.get(&format!("{PODS_PATH}?limit=2")).await.body;
    assert_eq!(names(&first), ["p1", "p2"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 1);
    bench.pod("p4");
    let token = first["metadata"]["continue"].as_str().unwrap();
    let path = format!("{PODS_PATH}?limit=2&continue={token}");
    let second = bench.get(&path).await.body;
    assert_eq!(names(&second), ["p3"]);
    assert_eq!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    assert!(second["metadata"].get("continue").is_none());
    bench.store.compact();
    let expired = bench.get(&path).await;
    assert_eq!((expired.code, expired.body["reason"].as_str()), (410, Some("Expired")));
    let fresh = expired.body["metadata"]["continue"].as_str().unwrap();
    assert_eq!(names(&bench.get(&format!("{PODS_PATH}?continue={fresh}")).await.body), ["p3", "p4"]);
    assert_eq!(bench.get(&format!("{PODS_PATH}?limit=2&continue=xx!")).await.code, 400);
    assert_eq!(names(&bench.get(&format!("{PODS_PATH}?limit=2&resourceVersion=0")).await.body).len(), 4);
}

#[tokio::test]
async fn revisions_are_any_exact_or_not_older() {
    let bench = Bench::new();
    bench.pod("p1");
    let old = bench.store.revision();
    bench.pod("p2");
    let exact = format!("{PODS_PATH}?resourceVersion={old}&resourceVersionMatch=Exact");
    assert_eq!(names(&bench.get(&exact).await.body), ["p1"]);
    let newer = format!("{PODS_PATH}?resourceVersion={old}&resourceVersionMatch=NotOlderThan");
    assert_eq!(names(&bench.get(&newer).await.body), ["p1", "p2"]);
    let future = bench.get(&format!("{PODS_PATH}?resourceVersion=9999")).await;
    assert_eq!((future.code, future.headers["retry-after"].to_str().unwrap()), (504, "1"));
    bench.store.compact();
    assert_eq!(bench.get(&exact).await.code, 410);
    assert_eq!(bench.get(&format!("{PODS_PATH}?resourceVersionMatch=Exact")).await.code, 422);
}

#[tokio::test]
async fn tables_have_the_columns_of_the_server() {
    let bench = Bench::new();
    bench.pod("x");
    let table = table(&bench, PODS_PATH).await;
    assert_eq!(table["kind"], "Table");
    let columns: Vec<&str> =
        table["columnDefinitions"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(columns[..5], ["Name", "Ready", "Status", "Restarts", "Age"]);
    assert_eq!(table["rows"][0]["cells"][2], "Running");
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
}

#[tokio::test]
async fn partial_metadata_is_only_metadata() {
    let bench = Bench::new();
    bench.pod("x");
    let accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let list =
        bench.send(Request::get(PODS_PATH).header("accept", accept).body(Body::empty()).unwrap()).await.body;
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert!(list["items"][0].get("spec").is_none());
}

#[tokio::test]
async fn events_are_served_in_both_groups() {
    let bench = Bench::new();
    let event = json!({ "metadata": { "name": "e", "namespace": "a" }, "message": "m", "reason": "R",
        "involvedObject": { "kind": "Pod", "name": "x", "namespace": "a" } });
    bench.store.create(&EVENTS, event).unwrap();
    let new = bench.get("/apis/events.k8s.io/v1/namespaces/a/events/e").await.body;
    assert_eq!((&new["note"], &new["regarding"]["name"]), (&json!("m"), &json!("x")));
    let path = "/api/v1/events?fieldSelector=involvedObject.kind%3DPod,involvedObject.name%3Dx";
    assert_eq!(names(&bench.get(path).await.body), ["e"]);
    let fresh = json!({ "metadata": { "name": "f" }, "eventTime": "2026-01-01T00:00:00.000000Z", "note": "n", "action": "A",
        "reason": "R", "regarding": { "kind": "Pod", "name": "x", "namespace": "a" }, "reportingController": "c",
        "reportingInstance": "i", "type": "Normal" });
    let made =
        bench.send_json(http::Method::POST, "/apis/events.k8s.io/v1/namespaces/a/events", &fresh).await;
    assert_eq!(made.code, 201, "{}", made.text);
    assert_eq!(bench.store.get(&EVENTS, "a", "f").unwrap()["message"], "n");
}

#[tokio::test]
async fn discovery_lists_groups_kinds_and_subresources() {
    let bench = Bench::new();
    let core = bench.get("/api/v1").await.body;
    let find = |name: &str| {
        core["resources"].as_array().unwrap().iter().find(|r| r["name"] == name).unwrap().clone()
    };
    assert_eq!(find("pods/eviction")["group"], "policy");
    assert_eq!(find("pods/eviction")["version"], "v1");
    assert_eq!(find("pods")["shortNames"], json!(["po"]));
    assert_eq!(find("nodes")["namespaced"], false);
    let apps = bench.get("/apis/apps/v1").await.body;
    let scale =
        apps["resources"].as_array().unwrap().iter().find(|r| r["name"] == "deployments/scale").unwrap();
    assert_eq!((&scale["kind"], &scale["group"]), (&json!("Scale"), &json!("autoscaling")));
    assert_eq!(bench.get("/apis").await.body["groups"][0]["name"], "apps");
    assert_eq!(bench.get("/apis/policy").await.body["preferredVersion"]["groupVersion"], "policy/v1");
    assert_eq!(bench.get("/apis/none").await.code, 404);
    assert_eq!(bench.get("/version").await.body["gitVersion"], "v1.33.4");
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let all = bench.send(Request::get("/apis").header("accept", accept).body(Body::empty()).unwrap()).await;
    assert_eq!(all.headers["content-type"], accept);
    assert_eq!(all.body["items"][0]["versions"][0]["resources"][0]["resource"], "deployments");
}
