//! The scheduler: where pods go, and what it says when they go nowhere.

use super::*;
use crate::sim::scenario::Action;
use crate::sim::world::read::{condition, node_of};

#[tokio::test(start_paused = true)]
async fn pods_spread_over_the_nodes_and_avoid_control_planes() {
    let bench =
        small("[[workload]]\nkind = \"Deployment\"\nnamespace = \"a\"\nname = \"web\"\nreplicas = 6\n");
    let count = |node: &str| bench.pods("a", "web").iter().filter(|pod| node_of(pod) == node).count();
    assert_eq!((count("cp-1"), count("worker-1"), count("worker-2")), (0, 3, 3));
}

#[tokio::test(start_paused = true)]
async fn an_unschedulable_pod_says_why_and_is_bound_by_an_uncordon() {
    let bench =
        small("[[workload]]\nkind = \"Deployment\"\nnamespace = \"a\"\nname = \"web\"\nreplicas = 2\n");
    for node in ["worker-1", "worker-2"] {
        bench.world.act(Action::Cordon { node: node.into() }).await;
    }
    bench.until("tainted", |b| b.node("worker-2")["spec"]["taints"].is_array()).await;
    bench.world.act(Action::Scale { namespace: "a".into(), name: "web".into(), replicas: 3 }).await;
    let pending = |b: &Bench| {
        let pods = b.pods("a", "web");
        pods.iter()
            .find(|pod| node_of(pod).is_empty())
            .and_then(|pod| condition(pod, "PodScheduled").cloned())
    };
    bench.until("refused", |b| pending(b).is_some()).await;
    let state = pending(&bench).unwrap();
    assert_eq!((&state["status"], &state["reason"]), (&"False".into(), &"Unschedulable".into()));
    assert_eq!(
        state["message"],
        "0/3 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, \
         2 node(s) were unschedulable. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
    );
    assert_eq!(bench.events("FailedScheduling").len(), 1);
    bench.world.act(Action::Uncordon { node: "worker-2".into() }).await;
    bench.until("bound", |b| b.ready("a", "web") == 3).await;
}

#[tokio::test(start_paused = true)]
async fn capacity_and_anti_affinity_hold() {
    let bench = small(
        "[[node]]\nname = \"worker-1\"\npods = 2\n[[workload]]\nkind = \"Deployment\"\nnamespace = \"a\"\nname = \"web\"\n\
         replicas = 4\n[[workload]]\nkind = \"StatefulSet\"\nnamespace = \"a\"\nname = \"db\"\nreplicas = 1\nspread = true\n",
    );
    let on_first = bench.store.list(&PODS, None).iter().filter(|pod| node_of(pod) == "worker-1").count();
    assert_eq!(on_first, 2);
    bench.world.act(Action::Scale { namespace: "a".into(), name: "db".into(), replicas: 2 }).await;
    bench
        .until("refused", |b| {
            b.store.get(&PODS, "a", "db-1").is_some_and(|p| condition(&p, "PodScheduled").is_some())
        })
        .await;
    let message = condition(&bench.get(&PODS, "a", "db-1"), "PodScheduled").unwrap()["message"].clone();
    let message = message.as_str().unwrap();
    assert!(
        message.contains("1 Too many pods") && message.contains("didn't match pod anti-affinity rules"),
        "{message}"
    );
}
