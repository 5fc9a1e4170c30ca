//! Watching: order, resuming, bookmarks, forgotten versions, and the product's own feeds over them.

use crate::bench::{SOON, rule, unchecked};
use futures::StreamExt as _;
use pitstop::backend::kube::{Eviction, observe};
use pitstop::domain::feed::{Delta, Liveness, Observation};
use pitstop::domain::ids::Generation;
use pitstop::domain::plan::Kind;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

#[test]
fn a_watch_tells_every_change_after_its_version_in_order() {
    rule(|bench| async move {
        bench.pod("before", "Pending", false).await;
        let list = bench.get(&bench.core("pods")).await.expect(200);
        let version = list.body["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
        bench.pod("a", "Running", true).await;
        bench
            .delete(&format!("{}/a", bench.core("pods")), &json!({"gracePeriodSeconds": 0}))
            .await
            .expect(200);
        let query = format!("{}?watch=true&resourceVersion={version}&timeoutSeconds=30", bench.core("pods"));
        let mut events = bench.watch(&query).await;
        let mut kinds = Vec::new();
        let mut seen = version.parse::<u64>().unwrap();
        loop {
            let (kind, object) = timeout(SOON, events.next()).await.unwrap().unwrap();
            assert_eq!(name(&object), "a", "the pod that was there before is not told again");
            let next = object["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap();
            assert!(next > seen, "{next} after {seen}");
            seen = next;
            kinds.push(kind.clone());
            if kind == "DELETED" {
                break;
            }
        }
        assert_eq!(kinds.first().map(String::as_str), Some("ADDED"));
        assert!(kinds.iter().any(|kind| kind == "MODIFIED"), "{kinds:?}");
    });
}

#[test]
fn a_selecting_watch_tells_of_leaving_the_selection() {
    rule(|bench| async move {
        bench.pod("a", "Pending", false).await;
        let list = bench.get(&bench.core("pods")).await.expect(200);
        let version = list.body["metadata"]["resourceVersion"].as_str().unwrap();
        let query = format!(
            "{}?watch=true&labelSelector=name%3Da&resourceVersion={version}&timeoutSeconds=30",
            bench.core("pods")
        );
        let mut events = bench.watch(&query).await;
        let relabel = json!({"metadata": {"labels": {"name": "z"}}});
        bench.merge(&format!("{}/a", bench.core("pods")), &relabel).await.expect(200);
        let (kind, object) = timeout(SOON, events.next()).await.unwrap().unwrap();
        assert_eq!((kind.as_str(), name(&object)), ("DELETED", "a"));
    });
}

#[test]
fn a_watch_ends_at_its_timeout_and_its_bookmarks_carry_a_version() {
    rule(|bench| async move {
        let list = bench.get(&bench.core("pods")).await.expect(200);
        let version = list.body["metadata"]["resourceVersion"].as_str().unwrap();
        let query = format!(
            "{}?watch=true&allowWatchBookmarks=true&resourceVersion={version}&timeoutSeconds=4",
            bench.core("pods")
        );
        let events = bench.watch(&query).await;
        let all: Vec<(String, Value)> = timeout(Duration::from_secs(30), events.collect()).await.unwrap();
        for (kind, object) in &all {
            assert_eq!(kind, "BOOKMARK", "nothing happened meanwhile");
            assert!(object["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().is_ok());
        }
        if all.is_empty() {
            unchecked("a bookmark (none came within 4 s)");
        }
    });
}

#[test]
fn a_version_of_long_ago_is_either_remembered_or_gone() {
    rule(|bench| async move {
        bench.pod("a", "Pending", false).await;
        let path = format!("{}?watch=true&resourceVersion=1&timeoutSeconds=2", bench.core("pods"));
        let request = http::Request::get(&path).body(kube::client::Body::empty()).unwrap();
        let head = bench.client.send(request).await.unwrap().status().as_u16();
        if head == 410 {
            bench.get(&path).await.expect_failure(410, "Expired");
            return;
        }
        assert_eq!(head, 200);
        let mut events = bench.watch(&path).await;
        match timeout(SOON, events.next()).await.unwrap() {
            Some((kind, object)) if kind == "ERROR" => assert_eq!(object["code"], 410, "{object}"),
            Some((kind, object)) => assert_eq!((kind.as_str(), name(&object)), ("ADDED", "a")),
            None => panic!("neither an event nor a refusal"),
        }
    });
}

#[test]
fn the_pods_of_a_node_are_followed_until_they_are_gone() {
    rule(|bench| async move {
        let key = bench.pod("a", "Running", true).await;
        let node = bench.node_name();
        let mut feed = bench.cluster.watch_node_pods(&node);
        let first = timeout(SOON, feed.next()).await.unwrap().unwrap().unwrap();
        let Delta::Reset(pods) = first else { panic!("{first:?}") };
        assert_eq!(bench.ours(pods).len(), 1);
        let news = feed.filter_map(async |word| match word.unwrap() {
            Delta::Upsert(pod) => (pod.key == key).then_some((pod, true)),
            Delta::Remove(pod) => (pod.key == key).then_some((pod, false)),
            Delta::Reset(_) => None,
        });
        let mut news = std::pin::pin!(news);
        let done = bench.cluster.evict(&key, &node, Some(5), &bench.permit(Kind::Drain)).await;
        assert_eq!(done, Ok(Eviction::Accepted));
        loop {
            let (pod, is_there) = timeout(SOON, news.next()).await.unwrap().unwrap();
            assert!(is_there, "nobody ended it");
            if pod.deleting.is_some() {
                assert_eq!(pod.grace_secs, 5);
                break;
            }
        }
        bench.delete(&format!("{}/a", bench.core("pods")), &json!({"gracePeriodSeconds": 0})).await;
        while timeout(SOON, news.next()).await.unwrap().unwrap().1 {}
    });
}

#[test]
fn the_observer_tells_of_everything_at_once() {
    rule(|bench| async move {
        bench.pod("a", "Running", true).await;
        let mut from = observe(&bench.cluster, Generation(1), CancellationToken::new());
        let (mut nodes, mut pods, mut budgets, mut lock, mut version, mut live) =
            (false, false, false, false, false, false);
        let all = async {
            while !(nodes && pods && budgets && lock && version && live) {
                match from.recv().await.unwrap() {
                    Observation::Nodes(Delta::Reset(rows)) => {
                        nodes = rows.iter().any(|row| row.name.0 == bench.node);
                    }
                    Observation::Pods(batch) => {
                        pods |= batch.iter().any(|delta| match delta {
                            Delta::Reset(rows) => rows.iter().any(|row| row.key.namespace == bench.namespace),
                            _ => false,
                        });
                    }
                    Observation::Budgets(Delta::Reset(_)) => budgets = true,
                    Observation::Lock(_) => lock = true,
                    Observation::Version(_) => version = true,
                    Observation::Liveness(Liveness::Live(_)) => live = true,
                    _ => {}
                }
            }
        };
        timeout(SOON, all).await.unwrap();
    });
}
