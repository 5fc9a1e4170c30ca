//! The world and the API together: a node is emptied by evictions, rebooted, and everything is well again.

use axum::body::Body;
use http::{Method, Request};
use serde_json::json;
use tower::ServiceExt;

use super::*;
use crate::sim::Cluster;
use crate::sim::scenario::Action;
use crate::sim::world::read::{controller_of, is_deleting, is_mirror, node_of};

async fn evict(cluster: &Cluster, pod: &Value) -> u16 {
    let key = Key::of(pod);
    let path = format!("/api/v1/namespaces/{}/pods/{}/eviction", key.namespace, key.name);
    let body = json!({ "apiVersion": "policy/v1", "kind": "Eviction",
                       "metadata": { "name": key.name, "namespace": key.namespace } });
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap();
    cluster.router().oneshot(request).await.unwrap().status().as_u16()
}

fn to_be_moved(cluster: &Cluster, node: &str) -> Vec<Object> {
    let mut pods = cluster.store().list(&PODS, None);
    pods.retain(|pod| {
        let is_daemon = controller_of(pod).is_some_and(|owner| owner["kind"] == "DaemonSet");
        node_of(pod) == node && !is_daemon && !is_mirror(pod)
    });
    pods
}

fn all_ready(cluster: &Cluster) -> bool {
    let pods = cluster.store().list(&PODS, None);
    pods.iter().all(|pod| is_ready(pod) || super::super::read::is_terminal(pod))
}

#[tokio::test(start_paused = true)]
async fn a_drained_and_rebooted_worker_leaves_everything_well() {
    let cluster = Cluster::start(Scenario::named("default").unwrap(), Pace::default()).unwrap();
    cluster.world().act(Action::Cordon { node: "worker-1".into() }).await;
    assert!(!to_be_moved(&cluster, "worker-1").is_empty());
    let mut refusals = 0;
    for _ in 0..600 {
        let left = to_be_moved(&cluster, "worker-1");
        if left.is_empty() {
            break;
        }
        for pod in left.iter().filter(|pod| !is_deleting(pod)) {
            match evict(&cluster, pod).await {
                201 => {}
                429 => refusals += 1,
                other => panic!("{other} for {}", Key::of(pod)),
            }
        }
        for budget in cluster.store().list(&POD_DISRUPTION_BUDGETS, None) {
            let status = &budget["status"];
            assert!(status["currentHealthy"].as_i64() >= status["desiredHealthy"].as_i64(), "{status}");
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(to_be_moved(&cluster, "worker-1").is_empty());
    let machine = cluster.machine("worker-1").unwrap().clone();
    let before = machine.boot_id();
    machine.reboot();
    tokio::time::sleep(Duration::from_mins(1)).await;
    let node = cluster.store().get(&NODES, "", "worker-1").unwrap();
    assert_eq!(node["status"]["nodeInfo"]["bootID"], machine.boot_id().as_str());
    assert_ne!(machine.boot_id(), before);
    cluster.world().act(Action::Uncordon { node: "worker-1".into() }).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(all_ready(&cluster), "{refusals} refusals on the way");
}

#[tokio::test(start_paused = true)]
async fn blocked_pods_are_refused_as_the_server_refuses_them() {
    let cluster = Cluster::start(Scenario::named("tight-budgets").unwrap(), Pace::default()).unwrap();
    for (namespace, app, code) in [
        ("billing", "invoice-api", 429),
        ("billing", "ledger", 429),
        ("search", "indexer", 500),
        ("search", "ranker", 429),
        ("search", "suggest", 201),
        ("default", "debug-shell", 201),
        ("data", "kafka", 201),
        ("ingress-nginx", "ingress-nginx-controller", 429),
    ] {
        let mut pods = cluster.store().list(&PODS, Some(namespace));
        pods.retain(|pod| pod["metadata"]["labels"]["app"] == app);
        assert_eq!(evict(&cluster, &pods[0]).await, code, "{app}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_scenario_scripts_faults_of_the_api() {
    let text = "[size]\ncontrol_planes = 1\nworkers = 1\n[[workload]]\nkind = \"Pod\"\nnamespace = \"a\"\nname = \"x\"\n\
                [[event]]\nat = \"10s\"\naction = { do = \"webhook\", name = \"drain.example.net\", message = \"later\" }\n\
                [[event]]\nat = \"20s\"\naction = { do = \"clear-faults\" }\n\
                [[event]]\nat = \"20s\"\naction = { do = \"api-fault\", effect = { throttle = 1 }, times = 1 }\n";
    let cluster = Cluster::start(Scenario::parse(text).unwrap(), Pace::default()).unwrap();
    let pod = cluster.store().get(&PODS, "a", "x").unwrap();
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(evict(&cluster, &pod).await, 403);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(evict(&cluster, &pod).await, 429);
    assert_eq!(evict(&cluster, &pod).await, 201);
}
