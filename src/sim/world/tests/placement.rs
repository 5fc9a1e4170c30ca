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
async fn pods_of_one_owner_spread_over_zones_before_nodes_fill() {
    let text = "[size]\ncontrol_planes = 1\nworkers = 7\nzones = 3\n[[workload]]\nkind = \"Deployment\"\n\
                namespace = \"a\"\nname = \"web\"\nreplicas = 6\n";
    let bench = bench(&Scenario::parse(text).unwrap(), 1.0);
    let mut zones = std::collections::BTreeMap::<String, usize>::new();
    for pod in bench.pods("a", "web") {
        let zone = bench.node(node_of(&pod))["metadata"]["labels"]["topology.kubernetes.io/zone"].clone();
        *zones.entry(zone.as_str().unwrap().to_owned()).or_default() += 1;
    }
    assert_eq!(zones.into_values().collect::<Vec<_>>(), [2, 2, 2]);
}

#[tokio::test(start_paused = true)]
async fn an_unsteady_node_is_lost_and_found_and_its_containers_start_again() {
    let bench =
        small("[[workload]]\nkind = \"Deployment\"\nnamespace = \"a\"\nname = \"web\"\nreplicas = 2\n");
    let every = crate::sim::scenario::Span(Duration::from_secs(30));
    bench.world.act(Action::Unsteady { node: "worker-1".into(), every, times: Some(2) }).await;
    for _ in 0..2 {
        bench.until("not ready", |b| ready_status(&b.node("worker-1")) == "False").await;
        assert_eq!(bench.ready("a", "web"), 1);
        bench.until("ready", |b| ready_status(&b.node("worker-1")) == "True").await;
        bench.until("its pod too", |b| b.ready("a", "web") == 2).await;
    }
    bench.pass(120).await;
    assert_eq!(ready_status(&bench.node("worker-1")), "True");
    let pods = bench.pods("a", "web");
    let restarts: Vec<i64> = pods.iter().map(|pod| crate::sim::world::pods::restarts(pod)).collect();
    assert_eq!(restarts.iter().sum::<i64>(), 2);
    assert!(bench.machine("worker-1").reboots() == 0);
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

/// Why the one pending pod of `a/web` is not bound.
async fn refusal(bench: &Bench) -> String {
    let pending = |b: &Bench| {
        let pods = b.pods("a", "web");
        let pod = pods.into_iter().find(|pod| node_of(pod).is_empty())?;
        Some(condition(&pod, "PodScheduled")?["message"].as_str()?.to_owned())
    };
    bench.until("refused", |b| pending(b).is_some()).await;
    pending(bench).unwrap()
}

const WEB: &str = "[[workload]]\nkind = \"Deployment\"\nnamespace = \"a\"\nname = \"web\"\n";

#[tokio::test(start_paused = true)]
async fn requests_are_held_against_what_nodes_have() {
    let nodes =
        "[[node]]\nname = \"worker-1\"\ncpu = \"1\"\n[[node]]\nname = \"worker-2\"\nmemory = \"1Gi\"\n";
    let bench = small(&format!("{nodes}{WEB}replicas = 3\ncpu = \"600m\"\nmemory = \"700Mi\"\n"));
    let message = refusal(&bench).await;
    assert!(message.contains("1 Insufficient cpu") && message.contains("1 Insufficient memory"), "{message}");
    assert_eq!(bench.ready("a", "web"), 2);
}

#[tokio::test(start_paused = true)]
async fn affinity_spread_and_tolerations_decide() {
    let label =
        |node: &str, zone: &str| format!("[[node]]\nname = \"{node}\"\nlabels = {{ zone = \"{zone}\" }}\n");
    let nodes = format!("{}{}", label("worker-1", "1"), label("worker-2", "2"));
    let bench = small(&format!("{nodes}{WEB}replicas = 2\naffinity = {{ zone = [\"2\", \"3\"] }}\n"));
    assert!(bench.pods("a", "web").iter().all(|pod| node_of(pod) == "worker-2"));
    let bench = small(&format!("{nodes}{WEB}replicas = 2\nspread_over = \"zone\"\n"));
    bench.world.act(Action::Cordon { node: "worker-2".into() }).await;
    bench.until("tainted", |b| b.node("worker-2")["spec"]["taints"].is_array()).await;
    let away = bench.pods("a", "web").into_iter().find(|pod| node_of(pod) == "worker-2").unwrap();
    bench.delete_pod(&away);
    let message = refusal(&bench).await;
    assert!(message.contains("1 node(s) didn't match pod topology spread constraints"), "{message}");
    let bench = small(&format!("{WEB}replicas = 3\nspread = true\ntolerates = [\"*\"]\n"));
    assert_eq!(bench.ready("a", "web"), 3, "the control plane is open to it");
}

#[tokio::test(start_paused = true)]
async fn a_local_volume_holds_its_pod_on_its_node() {
    let bench = small(
        "[[workload]]\nkind = \"StatefulSet\"\nnamespace = \"a\"\nname = \"web\"\nclaim = true\nlocal = true\n",
    );
    let home = node_of(&bench.get(&PODS, "a", "web-0")).to_owned();
    bench.world.act(Action::Cordon { node: home.clone() }).await;
    bench.until("tainted", |b| b.node(&home)["spec"]["taints"].is_array()).await;
    bench.delete_pod(&bench.get(&PODS, "a", "web-0"));
    let message = refusal(&bench).await;
    assert!(message.contains("1 node(s) had volume node affinity conflict"), "{message}");
    bench.world.act(Action::Uncordon { node: home.clone() }).await;
    bench.until("back", |b| b.ready("a", "web") == 1).await;
    assert_eq!(node_of(&bench.get(&PODS, "a", "web-0")), home);
}
