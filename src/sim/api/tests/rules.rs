//! Health, etcd without quorum, scripted faults, access reviews, the control paths; a real client on the router.

use std::time::Duration;

use axum::body::Body;
use http::{Method, Request};
use serde_json::json;
use tokio::time::Instant;

use super::Bench;
use crate::sim::api::faults::{Effect, Matching, Rule};
use crate::sim::api::{Options, UserInfo};

fn on(resource: &str) -> Matching {
    Matching { resource: Some(resource.to_owned()), ..Matching::default() }
}

#[tokio::test(start_paused = true)]
async fn without_quorum_requests_fail_late_and_readiness_names_etcd() {
    let (quorum, receiver) = tokio::sync::watch::channel(true);
    let bench = Bench::with(Options { quorum: Some(receiver), ..Options::default() });
    bench.node("n");
    assert_eq!(bench.get("/readyz").await.text, "ok");
    let verbose = bench.get("/readyz?verbose").await;
    assert!(verbose.text.starts_with("[+]ping ok\n[+]log ok\n[+]etcd ok\n"));
    assert!(verbose.text.ends_with("readyz check passed\n"));
    quorum.send(false).unwrap();
    let started = Instant::now();
    let failed = bench.get("/api/v1/nodes").await;
    assert_eq!((failed.code, failed.body["message"].as_str()), (500, Some("etcdserver: request timed out")));
    assert_eq!(started.elapsed().as_secs(), 7);
    assert_eq!(bench.get("/api/v1/nodes?resourceVersion=0").await.code, 200, "the watch cache still answers");
    let unready = bench.get("/readyz").await;
    assert_eq!(unready.code, 500);
    assert!(unready.text.contains("[-]etcd failed: reason withheld\n"));
    assert!(unready.text.ends_with("readyz check failed\n"));
    assert_eq!(bench.get("/livez/ping").await.text, "ok");
    assert_eq!(bench.get("/readyz/etcd").await.code, 500);
    assert_eq!(bench.get("/readyz?exclude=etcd").await.code, 500, "etcd-readiness fails too");
}

#[tokio::test(start_paused = true)]
async fn scripted_trouble() {
    let bench = Bench::new();
    bench.node("n");
    let faults = bench.api.faults();
    let once = |effect| Rule { times: Some(1), ..Rule::always(on("nodes"), effect) };
    faults.add(once(Effect::Throttle(3)));
    let throttled = bench.get("/api/v1/nodes").await;
    assert_eq!((throttled.code, throttled.headers["retry-after"].to_str().unwrap()), (429, "3"));
    assert!(throttled.headers.contains_key("x-kubernetes-pf-flowschema-uid"));
    assert_eq!(throttled.text, "Too many requests, please try again later.\n");
    faults.add(once(Effect::Fail(401)));
    assert_eq!(bench.get("/api/v1/nodes").await.body["reason"], "Unauthorized");
    faults.add(once(Effect::DelayMs(1500)));
    let started = Instant::now();
    assert_eq!(bench.get("/api/v1/nodes").await.code, 200);
    assert_eq!(started.elapsed().as_millis(), 1500);
    faults.add(once(Effect::Hang));
    assert!(tokio::time::timeout(Duration::from_mins(1), bench.get("/api/v1/nodes")).await.is_err());
    assert_eq!(bench.get("/api/v1/nodes").await.code, 200);
}

#[tokio::test]
async fn missing_rights_are_refused_and_reviewed() {
    let bench = Bench::new();
    bench.node("n");
    let matching = Matching { verbs: vec!["patch".into()], user: Some("jane".into()), ..on("nodes") };
    bench.api.faults().forbid(matching);
    let request = |user: &str| {
        let mut request = Request::patch("/api/v1/nodes/n")
            .header("content-type", "application/merge-patch+json")
            .body(Body::from("{}"))
            .unwrap();
        request.extensions_mut().insert(UserInfo { name: user.into(), groups: vec![] });
        request
    };
    let refused = bench.send(request("jane")).await;
    assert_eq!((refused.code, refused.body["reason"].as_str()), (403, Some("Forbidden")));
    assert_eq!(
        refused.body["message"],
        "nodes \"n\" is forbidden: User \"jane\" cannot patch resource \"nodes\" in API group \"\" at the cluster scope"
    );
    assert_eq!(bench.send(request("joe")).await.code, 200);
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let ask = async |user: &str| {
        let body = json!({ "spec": { "resourceAttributes": { "verb": "patch", "resource": "nodes" } } });
        let mut request = Request::post(path)
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()))
            .unwrap();
        request.extensions_mut().insert(UserInfo { name: user.into(), groups: vec![] });
        bench.send(request).await
    };
    assert_eq!(ask("jane").await.body["status"]["allowed"], false);
    let allowed = ask("joe").await;
    assert_eq!((allowed.code, &allowed.body["status"]["allowed"]), (201, &json!(true)));
    let me =
        bench.send_json(Method::POST, "/apis/authentication.k8s.io/v1/selfsubjectreviews", &json!({})).await;
    assert_eq!(me.body["status"]["userInfo"]["username"], "kubernetes-admin");
    let users: Vec<String> = bench.store.history().into_iter().map(|audit| audit.user).collect();
    assert_eq!(users, ["jane", "joe"]);
}

#[tokio::test(start_paused = true)]
async fn the_control_path_sets_faults_and_shows_history() {
    let bench = Bench::new();
    let post = async |body| bench.send_json(Method::POST, "/sim/faults", &body).await;
    assert_eq!(post(json!({ "api": "throttle", "retry_after": 2, "seconds": 5 })).await.code, 200);
    assert_eq!(bench.get("/api/v1/nodes").await.code, 429);
    tokio::time::advance(Duration::from_secs(6)).await;
    assert_eq!(bench.get("/api/v1/nodes").await.code, 200);
    assert_eq!(post(json!({ "api": "down" })).await.code, 400, "nobody could end it");
    assert_eq!(post(json!({ "api": "up", "unknown": 1 })).await.code, 400);
    assert_eq!(post(json!({ "webhook": { "name": "w", "code": 403 } })).await.code, 200);
    bench.pod("x");
    let eviction = json!({ "metadata": { "name": "x" } });
    let path = "/api/v1/namespaces/a/pods/x/eviction";
    assert_eq!(bench.send_json(Method::POST, path, &eviction).await.code, 403);
    let history = bench.get("/sim/history").await.body;
    assert_eq!((&history[0]["path"], &history[0]["code"]), (&json!(path), &json!(403)));
    assert_eq!(post(json!({ "clear": true })).await.code, 200);
    assert_eq!(bench.send_json(Method::POST, path, &eviction).await.code, 201);
}

#[tokio::test]
async fn a_kube_client_works_on_the_router_and_on_the_endpoint() {
    use k8s_openapi::api::core::v1::{Node, Pod};
    use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};

    let bench = Bench::new();
    bench.node("n");
    bench.pod("x");
    for client in
        [kube::Client::new(bench.api.router(), "default"), kube::Client::new(bench.api.endpoint(), "default")]
    {
        let nodes: Api<Node> = Api::all(client.clone());
        let cordon = Patch::Strategic(json!({ "spec": { "unschedulable": true } }));
        let node = nodes.patch("n", &PatchParams::default(), &cordon).await.unwrap();
        assert_eq!(node.spec.unwrap().unschedulable, Some(true));
        let pods: Api<Pod> = Api::namespaced(client, "a");
        assert_eq!(pods.list(&ListParams::default().limit(1)).await.unwrap().items.len(), 1);
        let missing = pods.delete("none", &DeleteParams::default()).await.unwrap_err();
        assert!(matches!(missing, kube::Error::Api(status) if status.code == 404));
    }
}
