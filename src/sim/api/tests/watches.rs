//! watch: initial state, changes, selections, bookmarks, expiry, ends.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use serde_json::json;
use tokio::time::Instant;
use tower::ServiceExt;

use super::{Bench, pod};
use crate::sim::api::Options;
use crate::sim::api::faults::Connection;
use crate::sim::store::resources::PODS;

const PATH: &str = "/api/v1/namespaces/a/pods?watch=1";

fn event(kind: &str, name: &str) -> (String, String) {
    (kind.to_owned(), name.to_owned())
}

#[tokio::test(start_paused = true)]
async fn changes_come_in_order_after_the_state() {
    let bench = Bench::new();
    bench.pod("x");
    let mut watch = bench.watch(PATH).await;
    assert_eq!(watch.brief().await, event("ADDED", "x"));
    bench.pod("y");
    bench.store.modify(&PODS, "a", "x", |p| p["status"]["phase"] = json!("Failed")).unwrap();
    bench.store.remove(&PODS, "a", "x");
    assert_eq!(watch.brief().await, event("ADDED", "y"));
    assert_eq!(watch.brief().await, event("MODIFIED", "x"));
    let gone = watch.next().await.unwrap();
    assert_eq!(gone["type"], "DELETED");
    assert_eq!(gone["object"]["status"]["phase"], "Failed");
    assert_eq!(gone["object"]["metadata"]["resourceVersion"], bench.store.revision().to_string());
}

#[tokio::test(start_paused = true)]
async fn a_revision_starts_after_it_and_too_old_is_an_error_event() {
    let bench = Bench::new();
    bench.pod("x");
    let revision = bench.store.revision();
    bench.pod("y");
    let path = format!("{PATH}&resourceVersion={revision}");
    assert_eq!(bench.watch(&path).await.brief().await, event("ADDED", "y"));
    bench.store.compact();
    let mut old = bench.watch(&path).await;
    let error = old.next().await.unwrap();
    assert_eq!(error["type"], "ERROR");
    assert_eq!((&error["object"]["code"], &error["object"]["reason"]), (&json!(410), &json!("Expired")));
    assert!(error["object"]["message"].as_str().unwrap().starts_with("too old resource version"));
    assert!(old.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn objects_enter_and_leave_a_selection() {
    let bench = Bench::new();
    bench.pod("x");
    let mut watch =
        bench.watch(&format!("{PATH}&labelSelector=app%3Dweb&fieldSelector=spec.nodeName%3Dn")).await;
    assert_eq!(watch.brief().await, event("ADDED", "x"));
    bench.store.modify(&PODS, "a", "x", |p| p["metadata"]["labels"]["app"] = json!("db")).unwrap();
    let left = watch.next().await.unwrap();
    assert_eq!(left["type"], "DELETED");
    assert_eq!(left["object"]["metadata"]["labels"]["app"], "web", "the last state that was selected");
    bench.store.modify(&PODS, "a", "x", |p| p["metadata"]["labels"]["app"] = json!("web")).unwrap();
    assert_eq!(watch.brief().await, event("ADDED", "x"));
    let mut other = pod("z");
    other["spec"]["nodeName"] = json!("m");
    bench.store.create(&PODS, other).unwrap();
    bench.pod("w");
    assert_eq!(watch.brief().await, event("ADDED", "w"));
}

#[tokio::test(start_paused = true)]
async fn initial_events_end_with_a_marked_bookmark() {
    let bench = Bench::new();
    bench.pod("x");
    let path =
        format!("{PATH}&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true");
    let mut watch = bench.watch(&path).await;
    assert_eq!(watch.brief().await, event("ADDED", "x"));
    let bookmark = watch.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(bookmark["object"]["kind"], "Pod");
    assert_eq!(bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    bench.pod("y");
    assert_eq!(watch.brief().await, event("ADDED", "y"));
    for bad in [
        "sendInitialEvents=true",
        "resourceVersionMatch=NotOlderThan",
        "sendInitialEvents=true&resourceVersionMatch=Exact",
    ] {
        assert_eq!(bench.get(&format!("{PATH}&{bad}")).await.code, 422, "{bad}");
    }
}

#[tokio::test(start_paused = true)]
async fn bookmarks_come_with_time_and_the_time_limit_ends() {
    let bench = Bench::new();
    let mut watch = bench.watch(&format!("{PATH}&allowWatchBookmarks=true&timeoutSeconds=90")).await;
    let started = Instant::now();
    let first = watch.next().await.unwrap();
    assert_eq!(first["type"], "BOOKMARK");
    assert_eq!(started.elapsed().as_secs(), 60);
    assert_eq!(watch.next().await.unwrap()["type"], "BOOKMARK");
    assert!(watch.next().await.is_none());
    assert_eq!(started.elapsed().as_secs(), 90);
}

#[tokio::test(start_paused = true)]
async fn a_watch_breaks_with_the_server_and_is_silent_without_quorum() {
    let (quorum, receiver) = tokio::sync::watch::channel(true);
    let bench = Bench::with(Options { quorum: Some(receiver), ..Options::default() });
    let mut watch = bench.watch(PATH).await;
    quorum.send(false).unwrap();
    bench.pod("x");
    assert!(tokio::time::timeout(Duration::from_secs(30), watch.next()).await.is_err(), "silent");
    quorum.send(true).unwrap();
    assert_eq!(watch.brief().await, event("ADDED", "x"));
    bench.api.faults().set_connection(Connection::Down);
    assert!(watch.next().await.is_none());
    let down =
        bench.api.endpoint().oneshot(Request::get(PATH).body(Body::empty()).unwrap()).await.unwrap_err();
    assert_eq!(down.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[tokio::test(start_paused = true)]
async fn tables_can_be_watched() {
    let bench = Bench::new();
    for name in ["x", "y"] {
        bench.pod(name);
    }
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let request = Request::get(format!("{PATH}&timeoutSeconds=1"))
        .header("accept", accept)
        .body(Body::empty())
        .unwrap();
    let text = bench.send(request).await.text;
    let events: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 2);
    assert_eq!(events[0]["object"]["kind"], "Table");
    assert_eq!(events[0]["object"]["rows"][0]["cells"][0], "x");
    assert!(!events[0]["object"]["columnDefinitions"].as_array().unwrap().is_empty());
    assert!(events[1]["object"]["columnDefinitions"].as_array().unwrap().is_empty());
}
