//! What each actor leaves in the history: every node once, in order, budgets obeyed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, timeout};

use crate::sim::store::Audit;
use crate::sim::store::resources::{DAEMON_SETS, DEPLOYMENTS, NODES, PODS};
use crate::sim::world::Key;
use crate::sim::world::pods::restarts;
use crate::sim::world::read::{annotation, is_ready, items, name, text};
use crate::sim::{Cluster, Pace, Scenario};

fn start(scenario: &str) -> Cluster {
    Cluster::start(Scenario::parse(scenario).unwrap(), Pace::default()).unwrap()
}

fn named(scenario: &str) -> Cluster {
    Cluster::start(Scenario::named(scenario).unwrap(), Pace::default()).unwrap()
}

fn nodes(cluster: &Cluster) -> Vec<Value> {
    cluster.store().list(&NODES, None).iter().map(|node| (**node).clone()).collect()
}

fn is_cordoned(node: &Value) -> bool {
    node["spec"]["unschedulable"] == true
}

/// What was away at most at one time, while something was waited for.
#[derive(Debug, Default)]
struct Worst {
    control_planes: usize,
    workers: usize,
}

/// Waits until the nodes are so; how long that took, and what was away meanwhile.
async fn until(cluster: &Cluster, what: &str, holds: impl Fn(&[Value]) -> bool) -> (Duration, Worst) {
    let began = Instant::now();
    let mut worst = Worst::default();
    let mut changes = cluster.store().subscribe(None).unwrap();
    let wait = async {
        loop {
            let now = nodes(cluster);
            if holds(&now) {
                return;
            }
            let away =
                |is_of: &dyn Fn(&Value) -> bool| now.iter().filter(|n| is_of(n) && !is_ready(n)).count();
            worst.control_planes = worst.control_planes.max(away(&is_control_plane));
            worst.workers = worst.workers.max(away(&|node| !is_control_plane(node)));
            assert!(cluster.ensemble().has_quorum());
            assert_eq!(broken_budgets(cluster), Vec::<String>::new(), "while waiting for: {what}");
            while let Some(change) = changes.next().await {
                if *change.resource == NODES || *change.resource == DEPLOYMENTS {
                    break;
                }
            }
        }
    };
    assert!(timeout(Duration::from_hours(3), wait).await.is_ok(), "never: {what}");
    (began.elapsed(), worst)
}

fn is_control_plane(node: &Value) -> bool {
    !node["metadata"]["labels"]["node-role.kubernetes.io/control-plane"].is_null()
}

/// Deployments of which more pods are away than their budget lets go. (Losses of a node itself do not count here: in these
/// scenarios no application pod is on a node when it goes down.)
fn broken_budgets(cluster: &Cluster) -> Vec<String> {
    let mut broken = Vec::new();
    for (name, most) in [("web", 0), ("frontend", 1), ("checkout", 2)] {
        let key = Key::new("shop", name);
        let Some(found) = cluster.store().get(&DEPLOYMENTS, &key.namespace, &key.name) else { continue };
        let wanted = found["spec"]["replicas"].as_i64().unwrap_or_default();
        let ready = found["status"]["readyReplicas"].as_i64().unwrap_or_default();
        let wanted = if name == "web" { 3 } else { wanted };
        if ready < wanted - most {
            broken.push(format!("{key}: {ready} of {wanted}"));
        }
    }
    broken
}

/// Names of the nodes that were cordoned through the API, in order.
fn cordoned(history: &[Audit]) -> Vec<String> {
    let is_cordon = |entry: &&Audit| entry.verb == "patch" && entry.body["spec"]["unschedulable"] == true;
    let name = |entry: &Audit| entry.path.rsplit('/').next().unwrap_or_default().to_owned();
    history.iter().filter(is_cordon).map(name).collect()
}

fn version(node: &Value) -> &str {
    text(node, "/status/nodeInfo/kubeletVersion")
}

fn kernel(node: &Value) -> &str {
    text(node, "/status/nodeInfo/kernelVersion")
}

fn names(cluster: &Cluster) -> BTreeSet<String> {
    nodes(cluster).iter().map(|node| name(node).to_owned()).collect()
}

fn refusals(history: &[Audit]) -> usize {
    history.iter().filter(|entry| entry.path.ends_with("/eviction") && entry.code == 429).count()
}

#[tokio::test(start_paused = true)]
async fn kops_replaces_every_node_once_control_planes_first() {
    let cluster = named("foreign-roll");
    let old = names(&cluster);
    let (took, worst) = until(&cluster, "every node is new", |nodes| {
        nodes.len() == 12 && nodes.iter().all(|node| is_ready(node) && version(node) == "v1.35.1")
    })
    .await;
    assert!((1200..2400).contains(&took.as_secs()), "one to two minutes at speed 20: {took:?}");
    assert_eq!((worst.control_planes, worst.workers), (1, 1));
    let history = cluster.store().history();
    let order = cordoned(&history);
    assert_eq!(order.iter().cloned().collect::<BTreeSet<_>>(), old);
    assert_eq!(order.len(), old.len(), "each once: {order:?}");
    assert!(order[..3].iter().all(|name| name.starts_with("cp-")), "{order:?}");
    assert!(nodes(&cluster).iter().all(|node| !old.contains(name(node)) && !is_cordoned(node)));
    assert!(
        (20..60).contains(&refusals(&history)),
        "the budget blocks for two minutes: {}",
        refusals(&history)
    );
    let agents: BTreeSet<&str> = history.iter().map(|entry| entry.agent.as_str()).collect();
    assert_eq!(agents, BTreeSet::from(["kops/v1.34.0"]));
    let members: BTreeSet<String> = cluster.ensemble().nodes().into_iter().collect();
    assert!(members.len() == 3 && members.is_disjoint(&old), "{members:?}");
    for control_plane in &members {
        for port in [2379, 6443, 22] {
            assert!(cluster.dial(&format!("{control_plane}:{port}")).await.is_ok(), "{control_plane}:{port}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_is_marked_before_and_nothing_is_left_of_it() {
    let cluster = named("foreign-roll");
    let is_tainted = |node: &Value| {
        items(node, "/spec/taints").iter().any(|taint| taint["key"] == "kops.k8s.io/scheduled-for-update")
    };
    until(&cluster, "the control planes are marked", |nodes| nodes.iter().any(is_cordoned)).await;
    for node in nodes(&cluster) {
        assert_eq!(is_tainted(&node), is_control_plane(&node), "the workers are not due yet");
        assert!(node["metadata"]["annotations"]["kops.k8s.io/needs-update"].is_string());
    }
    until(&cluster, "a worker has its turn", |nodes| {
        nodes.iter().any(|node| is_cordoned(node) && !is_control_plane(node))
    })
    .await;
    assert_eq!(nodes(&cluster).iter().filter(|node| is_tainted(node)).count(), 9);
    until(&cluster, "the end", |nodes| nodes.iter().all(|node| version(node) == "v1.35.1")).await;
    assert!(!nodes(&cluster).iter().any(is_tainted));
}

#[tokio::test(start_paused = true)]
async fn a_block_that_nobody_resolves_stays() {
    let cluster = named("roll-stuck");
    until(&cluster, "a worker of the pool has its turn", |nodes| {
        nodes.iter().any(|node| is_cordoned(node) && name(node) == "worker-4")
    })
    .await;
    tokio::time::sleep(Duration::from_mins(30)).await;
    assert_eq!(nodes(&cluster).iter().filter(|node| version(node) == "v1.34.2").count(), 6);
    assert!(nodes(&cluster).iter().any(|node| name(node) == "worker-4" && is_cordoned(node)));
    assert!(refusals(&cluster.store().history()) > 300);
}

/// Who holds kured's lock.
fn holder(cluster: &Cluster) -> Option<String> {
    let agent = cluster.store().get(&DAEMON_SETS, "kube-system", "kured")?;
    let lock: Value = serde_json::from_str(annotation(&agent, "weave.works/kured-node-lock")).ok()?;
    lock["nodeID"].as_str().map(str::to_owned)
}

#[tokio::test(start_paused = true)]
async fn kured_reboots_every_node_once_under_its_lock() {
    let cluster = named("kured-roll");
    let before = names(&cluster);
    assert_eq!(holder(&cluster), None);
    until(&cluster, "the first node is cordoned", |nodes| nodes.iter().any(is_cordoned)).await;
    let first = holder(&cluster).unwrap();
    let node = cluster.store().get(&NODES, "", &first).unwrap();
    assert!(!annotation(&node, "weave.works/kured-reboot-in-progress").is_empty());
    let (_, worst) = until(&cluster, "every node has the new kernel", |nodes| {
        nodes.iter().all(|node| kernel(node) == "6.8.0-101-generic" && is_ready(node) && !is_cordoned(node))
    })
    .await;
    assert!(worst.control_planes + worst.workers <= 2, "{worst:?}");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!((holder(&cluster), names(&cluster)), (None, before.clone()));
    assert!(cluster.machines().iter().all(|machine| machine.reboots() == 1));
    let order = cordoned(&cluster.store().history());
    assert_eq!((order.len(), order.into_iter().collect::<BTreeSet<_>>()), (9, before));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_return_keeps_the_lock() {
    let cluster = named("roll-lost");
    until(&cluster, "worker-5 is lost", |nodes| {
        nodes.iter().any(|node| name(node) == "worker-5" && !is_ready(node))
    })
    .await;
    tokio::time::sleep(Duration::from_mins(20)).await;
    assert_eq!(holder(&cluster).as_deref(), Some("worker-5"));
    let reboots: u32 = cluster.machines().iter().map(crate::sim::machine::Machine::reboots).sum();
    assert_eq!(reboots, 2);
    assert!(cluster.machine("worker-5").is_some_and(|machine| !machine.is_on()));
}

#[tokio::test(start_paused = true)]
async fn by_hand_every_node_is_drained_rebooted_and_given_back() {
    let cluster = named("hand-roll");
    until(&cluster, "a node is cordoned", |nodes| nodes.iter().any(is_cordoned)).await;
    let node = nodes(&cluster).into_iter().find(is_cordoned).unwrap();
    let managers = items(&node, "/metadata/managedFields").iter().map(|entry| entry["manager"].clone());
    assert!(managers.into_iter().any(|manager| manager == "kubectl-cordon"));
    until(&cluster, "every node has the new kernel", |nodes| {
        nodes.iter().all(|node| kernel(node) == "6.8.0-101-generic" && is_ready(node) && !is_cordoned(node))
    })
    .await;
    assert!(cluster.machines().iter().all(|machine| machine.reboots() == 1));
    let order = cordoned(&cluster.store().history());
    assert_eq!(order[..4], ["cp-1", "cp-2", "cp-3", "worker-1"]);
}

#[tokio::test(start_paused = true)]
async fn a_kubelet_is_upgraded_by_hand_without_a_reboot() {
    let scenario = "[size]\ncontrol_planes = 1\nworkers = 1\n[[actor]]\nkind = \"hand\"\nwork = \"upgrade\"\n\
                version = \"v1.35.1\"";
    let cluster = start(scenario);
    until(&cluster, "both are upgraded", |nodes| nodes.iter().all(|node| version(node) == "v1.35.1")).await;
    assert!(cluster.machines().iter().all(|machine| machine.reboots() == 0));
    let image = |component: &str| {
        let pod = cluster.store().get(&PODS, "kube-system", &format!("{component}-cp-1"));
        pod.map(|pod| text(&pod, "/spec/containers/0/image").to_owned())
    };
    assert_eq!(image("kube-apiserver").as_deref(), Some("registry.k8s.io/kube-apiserver:v1.35.1"));
    assert_eq!(image("etcd").as_deref(), Some("registry.k8s.io/etcd:3.6.5-0"));
}

#[tokio::test(start_paused = true)]
async fn a_flapping_node_holds_a_roll_up_until_it_is_steady() {
    let cluster = named("roll-flapping");
    let mut changes = cluster.store().subscribe(None).unwrap();
    until(&cluster, "every node is new and ready", |nodes| {
        nodes.len() == 9 && nodes.iter().all(|node| is_ready(node) && version(node) == "v1.35.1")
    })
    .await;
    let mut losses: BTreeMap<String, u32> = BTreeMap::new();
    while let Ok(Some(change)) = changes.try_next() {
        let Some(before) = &change.previous else { continue };
        if *change.resource == NODES && is_ready(before) && !is_ready(&change.object) {
            *losses.entry(name(&change.object).to_owned()).or_default() += 1;
        }
    }
    let pods = cluster.store().list(&PODS, None);
    let of_flapping = pods.iter().filter(|pod| losses.contains_key(text(pod, "/spec/nodeName")));
    assert_eq!(
        (losses.values().copied().collect(), of_flapping.map(|pod| restarts(pod)).max()),
        (vec![6], Some(6))
    );
}

#[tokio::test(start_paused = true)]
async fn cluster_api_brings_the_new_worker_before_the_old_one_goes() {
    let scenario = "[size]\ncontrol_planes = 1\nworkers = 2\nzones = 2\n[[actor]]\nkind = \"cluster-api\"\n\
                version = \"v1.35.1\"\nnodes = [\"worker-1\", \"worker-2\"]";
    let cluster = start(scenario);
    let (_, worst) =
        until(&cluster, "a new one", |nodes| nodes.len() == 4 && nodes.iter().all(is_ready)).await;
    assert!(nodes(&cluster).iter().all(|node| !is_cordoned(node)), "the old one is still there: {worst:?}");
    let is_done = |nodes: &[Value]| {
        nodes.iter().filter(|node| version(node) == "v1.35.1" && is_ready(node)).count() == 2
    };
    until(&cluster, "two new ones", |nodes| is_done(nodes) && nodes.len() == 3).await;
    let zones: BTreeSet<String> = nodes(&cluster)
        .iter()
        .map(|node| text(node, "/metadata/labels/topology.kubernetes.io~1zone").to_owned())
        .collect();
    assert_eq!(zones.into_iter().collect::<Vec<_>>(), ["zone-a", "zone-b"]);
}
