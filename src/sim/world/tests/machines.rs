//! Machines go down and come up; nodes, pods, leases and the control plane follow.

use super::*;
use crate::sim::machine::{BOOT, SHUTDOWN};
use crate::sim::scenario::Action;
use crate::sim::store::resources::{ENDPOINT_SLICES, LEASES, VOLUME_ATTACHMENTS};
use crate::sim::world::pods::restarts;
use crate::sim::world::read::{is_deleting, items, node_of, phase, uid};

const WEB: &str = "[[workload]]\nkind = \"Deployment\"\nnamespace = \"a\"\nname = \"web\"\nreplicas = 2\n";

fn on<'a>(pods: &'a [Object], node: &str) -> &'a Object {
    pods.iter().find(|pod| node_of(pod) == node).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_fast_reboot_changes_the_boot_id_and_never_shows_not_ready() {
    let bench = small(WEB);
    let machine = bench.machine("worker-1").clone();
    let pods = bench.pods("a", "web");
    let (before, pod) = (machine.boot_id(), on(&pods, "worker-1").clone());
    let mut changes = bench.store.subscribe(None).unwrap();
    machine.reboot();
    let info = |b: &Bench| b.node("worker-1")["status"]["nodeInfo"]["bootID"].as_str().unwrap().to_owned();
    let began = Instant::now();
    while info(&bench) == before {
        let change = changes.next().await.unwrap();
        if *change.resource == NODES {
            assert_eq!(ready_status(&change.object), "True");
        }
    }
    assert_eq!(info(&bench), machine.boot_id());
    assert_eq!(began.elapsed(), SHUTDOWN + BOOT + Duration::from_secs(4));
    assert_eq!(bench.events("Rebooted")[0]["involvedObject"]["name"], "worker-1");
    let again = bench.get(&PODS, "a", super::name(&pod));
    assert_eq!((restarts(&again), is_ready(&again), phase(&again)), (1, false, "Running"));
    bench.until("ready again", |b| is_ready(&b.get(&PODS, "a", super::name(&pod)))).await;
    assert_eq!(uid(&bench.get(&PODS, "a", super::name(&pod))), uid(&pod));
}

#[tokio::test(start_paused = true)]
async fn a_lost_machine_is_unknown_after_the_grace_period_and_evicted_after_the_tolerance() {
    let bench = small(WEB);
    bench.machine("worker-1").power_off();
    let took = bench.until("unknown", |b| ready_status(&b.node("worker-1")) == "Unknown").await;
    assert!(took > Duration::from_secs(29) && took <= Duration::from_secs(41), "{took:?}");
    bench.until("tainted", |b| items(&b.node("worker-1"), "/spec/taints").len() == 2).await;
    let pods = bench.pods("a", "web");
    assert!(!is_ready(on(&pods, "worker-1")));
    let took = bench.until("evicted", |b| b.pods("a", "web").iter().any(|pod| is_deleting(pod))).await;
    assert!((295..=305).contains(&took.as_secs()), "{took:?}");
    bench.until("replaced", |b| b.ready("a", "web") == 2).await;
    bench.pass(600).await;
    assert_eq!(bench.pods("a", "web").len(), 3, "the old one cannot end while its machine is off");
    bench.machine("worker-1").power_on();
    bench.until("ready", |b| ready_status(&b.node("worker-1")) == "True").await;
    bench.until("untainted", |b| items(&b.node("worker-1"), "/spec/taints").is_empty()).await;
    bench.until("the old one has ended", |b| b.pods("a", "web").len() == 2).await;
}

#[tokio::test(start_paused = true)]
async fn speed_shortens_everything() {
    let text = format!("[size]\ncontrol_planes = 1\nworkers = 2\n{WEB}");
    let bench = bench(&Scenario::parse(&text).unwrap(), 10.0);
    let boot = bench.machine("worker-1").boot_id();
    bench.machine("worker-1").reboot();
    let took = bench
        .until("rebooted", |b| b.node("worker-1")["status"]["nodeInfo"]["bootID"] != boot.as_str())
        .await;
    assert_eq!(took.as_secs(), 3);
    bench.machine("worker-2").power_off();
    let took = bench.until("unknown", |b| ready_status(&b.node("worker-2")) == "Unknown").await;
    assert!(took <= Duration::from_millis(4100), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn cordons_become_taints_and_events() {
    let bench = small("");
    bench.world.act(Action::Cordon { node: "worker-1".into() }).await;
    bench
        .until("tainted", |b| {
            items(&b.node("worker-1"), "/spec/taints")
                .iter()
                .any(|t| t["key"] == "node.kubernetes.io/unschedulable")
        })
        .await;
    assert_eq!(bench.events("NodeNotSchedulable").len(), 1);
    bench.world.act(Action::Uncordon { node: "worker-1".into() }).await;
    bench.until("untainted", |b| items(&b.node("worker-1"), "/spec/taints").is_empty()).await;
    bench.until("told", |b| b.events("NodeSchedulable").len() == 1).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_happens_without_quorum_and_everything_after_it() {
    let bench = small(WEB);
    bench.quorum.send(false).unwrap();
    bench.pass(1).await;
    let revision = bench.store.revision();
    bench.pass(300).await;
    assert_eq!(bench.store.revision(), revision);
    bench.quorum.send(true).unwrap();
    bench.pass(30).await;
    assert!(bench.store.revision() > revision);
    for node in bench.store.list(&NODES, None) {
        assert_eq!(ready_status(&node), "True", "an absence of the control plane is no fault of a node");
    }
}

#[tokio::test(start_paused = true)]
async fn the_only_control_plane_takes_the_controllers_with_it() {
    let bench = small(WEB);
    bench.machine("cp-1").power_off();
    bench.pass(1).await;
    let revision = bench.store.revision();
    bench.pass(120).await;
    assert_eq!(bench.store.revision(), revision);
    bench.machine("cp-1").power_on();
    bench
        .until("it is back", |b| {
            b.node("cp-1")["status"]["nodeInfo"]["bootID"] == bench.machine("cp-1").boot_id().as_str()
        })
        .await;
    bench
        .until("its pods too", |b| {
            let etcd = b.get(&PODS, "kube-system", "etcd-cp-1");
            is_ready(&etcd) && restarts(&etcd) == 1
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_fault_takes_the_api_away_for_a_while() {
    let bench = small("[[event]]\nat = \"30s\"\naction = { do = \"api-down\", for = \"20s\" }");
    let mut down = bench.world.api_down();
    let began = Instant::now();
    down.wait_for(|down| *down).await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 30);
    down.wait_for(|down| !*down).await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 50);
}

#[tokio::test(start_paused = true)]
async fn leaders_and_endpoints_move_with_the_machines() {
    let bench = bench(&Scenario::named("default").unwrap(), 1.0);
    let holder = |b: &Bench, lease: &str| {
        let lease = b.get(&LEASES, "kube-system", lease);
        text(&lease, "/spec/holderIdentity").split('_').next().unwrap().to_owned()
    };
    let old = holder(&bench, "kube-controller-manager");
    bench.machine(&old).power_off();
    bench
        .until("another address set", |b| {
            items(&b.get(&ENDPOINT_SLICES, "default", "kubernetes"), "/endpoints").len() == 2
        })
        .await;
    let took = bench.until("another leader", |b| holder(b, "kube-controller-manager") != old).await;
    assert!(took.as_secs() <= 16 && took.as_secs() >= 12, "{took:?}");
    let lease = bench.get(&LEASES, "kube-system", "kube-controller-manager");
    assert_eq!(lease["spec"]["leaseTransitions"], 1);
}

#[tokio::test(start_paused = true)]
async fn volumes_are_detached_some_time_after_their_pod_is_gone() {
    let bench =
        small("[[workload]]\nkind = \"StatefulSet\"\nnamespace = \"a\"\nname = \"db\"\nclaim = true\n");
    let attached = |b: &Bench| {
        let all = b.store.list(&VOLUME_ATTACHMENTS, None);
        all.iter().map(|a| text(a, "/spec/nodeName").to_owned()).collect::<Vec<_>>()
    };
    let pod = bench.get(&PODS, "a", "db-0");
    let node = node_of(&pod).to_owned();
    assert_eq!(attached(&bench), std::slice::from_ref(&node));
    bench.world.act(Action::Cordon { node: node.clone() }).await;
    bench.delete_pod(&pod);
    let gone =
        bench.until("gone", |b| b.store.get(&PODS, "a", "db-0").is_none_or(|p| uid(&p) != uid(&pod))).await;
    assert_eq!(gone.as_secs(), 3);
    assert!(attached(&bench).contains(&node));
    let took = bench.until("detached", |b| !attached(b).contains(&node)).await;
    assert_eq!(took.as_secs(), 2);
}

#[tokio::test(start_paused = true)]
async fn pods_of_a_deleted_node_are_removed_and_a_boot_registers_it_again() {
    let bench = small(WEB);
    bench.machine("worker-1").power_off();
    bench.world.act(Action::DeleteNode { node: "worker-1".into() }).await;
    bench
        .until("no pod of it", |b| b.store.list(&PODS, None).iter().all(|pod| node_of(pod) != "worker-1"))
        .await;
    bench.until("replaced", |b| b.ready("a", "web") == 2).await;
    bench.machine("worker-1").power_on();
    bench
        .until("registered", |b| {
            b.store.get(&NODES, "", "worker-1").is_some_and(|n| ready_status(&n) == "True")
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn crashing_pods_restart_and_are_never_ready() {
    let bench = small(&format!("{WEB}crash = true"));
    let count = |b: &Bench| restarts(&b.pods("a", "web")[0]);
    let before = count(&bench);
    bench
        .until("two restarts more", |b| {
            assert_eq!(b.ready("a", "web"), 0);
            count(b) >= before + 2
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_big_cluster_only_renews_leases() {
    let bench = bench(&Scenario::named("big:workers=40,pods=200").unwrap(), 1.0);
    bench.pass(5).await;
    let before = bench.store.revision();
    bench.pass(60).await;
    let writes = bench.store.revision() - before;
    // 43 kubelets every 10 s, two leaders every 2 s
    assert!(writes <= 43 * 7 + 2 * 31, "{writes} writes a minute");
}
