//! Tests of the store: revisions, conflicts, deletion, collection, subscriptions.

use serde_json::json;

use super::resources::{DEPLOYMENTS, EVENTS, NAMESPACES, NODES, PODS, REPLICA_SETS};
use super::*;

fn pod(name: &str) -> Value {
    json!({
        "metadata": { "name": name, "namespace": "a" },
        "spec": { "nodeName": "n", "terminationGracePeriodSeconds": 30 },
        "status": { "phase": "Running" },
    })
}

fn owned(name: &str, owner: &Object) -> Value {
    let mut object = pod(name);
    object["metadata"]["ownerReferences"] =
        json!([{ "kind": owner["kind"], "name": meta::name(owner), "uid": meta::uid(owner) }]);
    object
}

#[test]
fn create_fills_identity_and_refuses_twins() {
    let store = Store::new();
    let made = store.create(&PODS, pod("x")).unwrap();
    assert_eq!(made["metadata"]["resourceVersion"], "2");
    assert_eq!(made["apiVersion"], "v1");
    assert_eq!(meta::uid(&made).len(), 36);
    let twin = store.create(&PODS, pod("x")).unwrap_err();
    assert_eq!((twin.code, twin.reason), (409, "AlreadyExists"));
    assert_eq!(twin.message, "pods \"x\" already exists");
    let named = json!({ "metadata": { "generateName": "x-", "namespace": "a" } });
    assert_eq!(meta::name(&store.create(&PODS, named).unwrap()).len(), 7);
}

#[test]
fn replace_checks_the_version_and_counts_generations() {
    let store = Store::new();
    let object = json!({ "metadata": { "name": "d", "namespace": "a" }, "spec": { "replicas": 1 } });
    let first = store.create(&DEPLOYMENTS, object).unwrap();
    assert_eq!(first["metadata"]["generation"], 1);
    let mut next = Value::clone(&first);
    next["spec"]["replicas"] = json!(2);
    let second = store.replace(&DEPLOYMENTS, next.clone()).unwrap();
    assert_eq!(second["metadata"]["generation"], 2);
    let stale = store.replace(&DEPLOYMENTS, next).unwrap_err();
    assert_eq!((stale.code, stale.reason), (409, "Conflict"));
    let status = store.modify(&DEPLOYMENTS, "a", "d", |d| d["status"] = json!({ "replicas": 2 })).unwrap();
    assert_eq!(status["metadata"]["generation"], 2);
    let before = store.revision();
    store.modify(&DEPLOYMENTS, "a", "d", |_| {}).unwrap();
    assert_eq!(store.revision(), before);
}

#[test]
fn pods_get_grace_which_only_shrinks() {
    let store = Store::new();
    store.create(&PODS, pod("x")).unwrap();
    let (marked, gone) = store.delete_reporting(&PODS, "a", "x", &Deletion::default()).unwrap();
    assert!(!gone);
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 30);
    let longer = Deletion { grace: Some(60), ..Deletion::default() };
    let same = store.delete(&PODS, "a", "x", &longer).unwrap();
    assert_eq!(same["metadata"]["deletionGracePeriodSeconds"], 30);
    let shorter = Deletion { grace: Some(5), ..Deletion::default() };
    let cut = store.delete(&PODS, "a", "x", &shorter).unwrap();
    assert_eq!(cut["metadata"]["deletionGracePeriodSeconds"], 5);
    assert!(store.delete_reporting(&PODS, "a", "x", &Deletion::now()).unwrap().1);
    assert!(store.get(&PODS, "a", "x").is_none());
}

#[test]
fn pods_that_run_nowhere_go_at_once() {
    let store = Store::new();
    let mut pending = pod("x");
    pending["spec"]["nodeName"] = json!("");
    store.create(&PODS, pending).unwrap();
    assert!(store.delete_reporting(&PODS, "a", "x", &Deletion::default()).unwrap().1);
}

#[test]
fn finalizers_hold_an_object() {
    let store = Store::new();
    let mut held = pod("x");
    held["metadata"]["finalizers"] = json!(["keep"]);
    store.create(&PODS, held).unwrap();
    assert!(!store.delete_reporting(&PODS, "a", "x", &Deletion::now()).unwrap().1);
    store.modify(&PODS, "a", "x", |p| meta::set_finalizers(p, &[])).unwrap();
    assert!(store.get(&PODS, "a", "x").is_none());
}

#[test]
fn preconditions_refuse_another_object() {
    let store = Store::new();
    store.create(&PODS, pod("x")).unwrap();
    let other = Deletion { uid: Some("u".into()), ..Deletion::default() };
    let refused = store.delete(&PODS, "a", "x", &other).unwrap_err();
    assert_eq!(refused.code, 409);
    assert!(
        refused.message.contains("the UID in the precondition (u) does not match"),
        "{}",
        refused.message
    );
}

#[test]
fn dependents_follow_their_owner() {
    let store = Store::new();
    let set = store.create(&REPLICA_SETS, json!({ "metadata": { "name": "r", "namespace": "a" } })).unwrap();
    store.create(&PODS, owned("x", &set)).unwrap();
    store.delete(&REPLICA_SETS, "a", "r", &Deletion::default()).unwrap();
    assert!(meta::is_deleting(&store.get(&PODS, "a", "x").unwrap()));
}

#[test]
fn foreground_waits_and_orphan_lets_go() {
    let store = Store::new();
    let set = store.create(&REPLICA_SETS, json!({ "metadata": { "name": "r", "namespace": "a" } })).unwrap();
    store.create(&PODS, owned("x", &set)).unwrap();
    let foreground = Deletion { propagation: Propagation::Foreground, ..Deletion::default() };
    assert!(!store.delete_reporting(&REPLICA_SETS, "a", "r", &foreground).unwrap().1);
    store.remove(&PODS, "a", "x");
    assert!(store.get(&REPLICA_SETS, "a", "r").is_none());

    let set = store.create(&REPLICA_SETS, json!({ "metadata": { "name": "s", "namespace": "a" } })).unwrap();
    store.create(&PODS, owned("y", &set)).unwrap();
    let orphan = Deletion { propagation: Propagation::Orphan, ..Deletion::default() };
    store.delete(&REPLICA_SETS, "a", "s", &orphan).unwrap();
    let left = store.get(&PODS, "a", "y").unwrap();
    assert!(!meta::is_deleting(&left) && meta::owner_uids(&left).is_empty());
}

#[test]
fn a_namespace_goes_when_it_is_empty() {
    let store = Store::new();
    store.create(&NAMESPACES, json!({ "metadata": { "name": "a" } })).unwrap();
    store.create(&PODS, pod("x")).unwrap();
    let (left, gone) = store.delete_reporting(&NAMESPACES, "", "a", &Deletion::default()).unwrap();
    assert!(!gone);
    assert_eq!(left["status"]["phase"], "Terminating");
    // told while the pod stops; it keeps nothing alive
    store.create(&EVENTS, json!({ "metadata": { "name": "killing", "namespace": "a" } })).unwrap();
    store.remove(&PODS, "a", "x");
    assert!(store.get(&NAMESPACES, "", "a").is_none());
    assert!(store.get(&EVENTS, "a", "killing").is_none());
}

#[tokio::test]
async fn subscriptions_see_every_change_in_order() {
    let store = Store::new();
    let mut feed = store.subscribe(None).unwrap();
    store.create(&NODES, json!({ "metadata": { "name": "n" } })).unwrap();
    store.modify(&NODES, "", "n", |n| n["spec"]["unschedulable"] = json!(true)).unwrap();
    store.remove(&NODES, "", "n");
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(feed.next().await.unwrap());
    }
    let kinds: Vec<ChangeKind> = seen.iter().map(|c| c.kind).collect();
    assert_eq!(kinds, [ChangeKind::Added, ChangeKind::Modified, ChangeKind::Deleted]);
    assert!(seen[1].previous.as_ref().unwrap()["spec"]["unschedulable"].is_null());
    assert_eq!(seen[2].object["metadata"]["resourceVersion"], seen[2].revision.to_string());
    let mut replay = store.subscribe(Some(seen[0].revision)).unwrap();
    assert_eq!(replay.next().await.unwrap().revision, seen[1].revision);
    store.compact();
    assert!(store.subscribe(Some(seen[0].revision)).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_waiting_subscription_wakes() {
    let store = Store::new();
    let mut feed = store.subscribe(None).unwrap();
    let waiting = tokio::spawn(async move { feed.next().await.map(|c| c.kind) });
    tokio::task::yield_now().await;
    store.create(&NODES, json!({ "metadata": { "name": "n" } })).unwrap();
    assert_eq!(waiting.await.unwrap(), Some(ChangeKind::Added));
}
