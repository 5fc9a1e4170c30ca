//! Owners respawn, replace and scale their pods.

use super::*;
use crate::sim::scenario::Action;
use crate::sim::store::resources::{
    DAEMON_SETS, DEPLOYMENTS, ENDPOINT_SLICES, HORIZONTAL_POD_AUTOSCALERS, JOBS, REPLICA_SETS, STATEFUL_SETS,
};
use crate::sim::world::read::{is_deleting, items, node_of, phase, uid};

const WEB: &str =
    "[[workload]]\nkind = \"Deployment\"\nnamespace = \"a\"\nname = \"web\"\nreplicas = 3\nport = 80\n";
const DB: &str =
    "[[workload]]\nkind = \"StatefulSet\"\nnamespace = \"a\"\nname = \"db\"\nreplicas = 2\nclaim = true\n";

#[tokio::test(start_paused = true)]
async fn a_deployment_replaces_a_deleted_pod_at_once_under_another_name() {
    let bench = small(WEB);
    let before = names(&bench.pods("a", "web"));
    let victim = bench.pods("a", "web")[0].clone();
    bench.delete_pod(&victim);
    bench.until("a fourth pod beside the ending one", |b| b.pods("a", "web").len() == 4).await;
    assert!(is_deleting(&bench.get(&PODS, "a", super::name(&victim))));
    let took =
        bench.until("three ready", |b| b.pods("a", "web").len() == 3 && b.ready("a", "web") == 3).await;
    assert!(took >= Duration::from_secs(4) && took <= Duration::from_secs(6), "{took:?}");
    let after = names(&bench.pods("a", "web"));
    assert_eq!(after.iter().filter(|name| before.contains(name)).count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stateful_pod_comes_back_under_its_name_only_after_it_is_gone() {
    let bench = small(DB);
    let old = bench.get(&PODS, "a", "db-0");
    bench.delete_pod(&old);
    let took = bench
        .until("db-0 anew", |b| b.store.get(&PODS, "a", "db-0").is_some_and(|p| uid(&p) != uid(&old)))
        .await;
    assert!(took >= Duration::from_secs(3), "{took:?}");
    bench.until("both ready", |b| b.ready("a", "db") == 2).await;
    let status = bench.get(&STATEFUL_SETS, "a", "db")["status"].clone();
    assert_eq!((&status["replicas"], &status["readyReplicas"]), (&2.into(), &2.into()));
}

#[tokio::test(start_paused = true)]
async fn a_rollout_restart_replaces_every_pod_and_keeps_enough() {
    let bench = small(WEB);
    let before = names(&bench.pods("a", "web"));
    bench.world.act(Action::Restart { namespace: "a".into(), name: "web".into() }).await;
    let is_done = |b: &Bench| {
        let deployment = b.get(&DEPLOYMENTS, "a", "web");
        let status = &deployment["status"];
        status["observedGeneration"] == deployment["metadata"]["generation"]
            && status["updatedReplicas"] == 3
            && status["replicas"] == 3
            && status["availableReplicas"] == 3
    };
    let mut changes = bench.store.subscribe(None).unwrap();
    bench.until("the rollout has begun", |b| b.store.list(&REPLICA_SETS, Some("a")).len() == 2).await;
    while !is_done(&bench) {
        assert!(bench.ready("a", "web") >= 3, "25 % of 3, rounded down, may be unavailable: none");
        changes.next().await;
    }
    assert!(bench.active("a", "web").iter().all(|pod| !before.contains(&super::name(pod).to_owned())));
}

#[tokio::test(start_paused = true)]
async fn a_stateful_rollout_goes_from_the_last_to_the_first() {
    let bench = small(DB);
    let first = bench.get(&PODS, "a", "db-0");
    let second = bench.get(&PODS, "a", "db-1");
    bench.world.act(Action::Restart { namespace: "a".into(), name: "db".into() }).await;
    let is_new = |b: &Bench, old: &Object| {
        b.store.get(&PODS, "a", super::name(old)).is_some_and(|pod| uid(&pod) != uid(old) && is_ready(&pod))
    };
    bench.until("db-1 anew", |b| is_new(b, &second)).await;
    assert_eq!(uid(&bench.get(&PODS, "a", "db-0")), uid(&first));
    bench.until("db-0 anew", |b| is_new(b, &first)).await;
    bench
        .until("the revision is current", |b| {
            let status = b.get(&STATEFUL_SETS, "a", "db")["status"].clone();
            status["currentRevision"] == status["updateRevision"] && status["updatedReplicas"] == 2
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn scaling_goes_both_ways_and_the_autoscaler_has_its_say() {
    let bench = small(&format!("{WEB}autoscale = {{ min = 2, max = 4 }}"));
    let scale = |replicas| Action::Scale { namespace: "a".into(), name: "web".into(), replicas };
    bench.world.act(scale(4)).await;
    bench.until("four", |b| b.ready("a", "web") == 4).await;
    bench.world.act(scale(1)).await;
    bench.until("one", |b| b.active("a", "web").len() == 1).await;
    bench.until("as many as the load asks for", |b| b.ready("a", "web") == 3).await;
    bench
        .until("the scaler says so", |b| {
            b.get(&HORIZONTAL_POD_AUTOSCALERS, "a", "web")["status"]["desiredReplicas"] == 3
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_daemon_runs_on_every_node_cordoned_or_not() {
    let bench = small("");
    let daemons = |b: &Bench| b.active("kube-system", "kube-proxy");
    assert_eq!(daemons(&bench).len(), 3);
    bench.world.act(Action::Cordon { node: "worker-1".into() }).await;
    let victim = daemons(&bench).into_iter().find(|pod| node_of(pod) == "worker-1").unwrap();
    bench.delete_pod(&victim);
    bench
        .until("it is back", |b| {
            daemons(b)
                .iter()
                .any(|pod| node_of(pod) == "worker-1" && is_ready(pod) && uid(pod) != uid(&victim))
        })
        .await;
    assert_eq!(bench.get(&DAEMON_SETS, "kube-system", "kube-proxy")["status"]["desiredNumberScheduled"], 3);
}

#[tokio::test(start_paused = true)]
async fn a_job_ends_when_its_pods_have_succeeded() {
    let bench = small("");
    bench
        .store
        .create(
            &JOBS,
            serde_json::json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "once", "namespace": "default" },
            "spec": { "template": {
                "metadata": { "labels": { "app": "once" }, "annotations": { "sim.pitstop.dev/runs": "20s" } },
                "spec": { "containers": [{ "name": "c", "image": "i" }], "restartPolicy": "Never" } } } }),
        )
        .unwrap();
    bench
        .until("complete", |b| {
            super::super::read::has_condition(&b.get(&JOBS, "default", "once"), "Complete")
        })
        .await;
    let pods = bench.pods("default", "once");
    assert_eq!((pods.len(), phase(&pods[0])), (1, "Succeeded"));
}

#[tokio::test(start_paused = true)]
async fn endpoint_slices_follow_ready_pods() {
    let bench = small(WEB);
    let serving = |b: &Bench| {
        let slices = b.store.list(&ENDPOINT_SLICES, Some("a"));
        items(&slices[0], "/endpoints").iter().filter(|e| e["conditions"]["ready"] == true).count()
    };
    assert_eq!(serving(&bench), 3);
    let victim = bench.pods("a", "web")[0].clone();
    bench.delete_pod(&victim);
    bench.until("two serve", |b| serving(b) == 2).await;
    bench.until("three serve", |b| serving(b) == 3).await;
}

#[tokio::test(start_paused = true)]
async fn dependents_go_with_their_owner() {
    let bench = small(WEB);
    bench.store.delete(&DEPLOYMENTS, "a", "web", &crate::sim::store::Deletion::default()).unwrap();
    bench.until("all gone", |b| b.pods("a", "web").is_empty()).await;
    assert!(bench.store.list(&REPLICA_SETS, Some("a")).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_finalizer_holds_a_pod_that_has_ended() {
    let bench = small(&format!("{WEB}finalizer = \"example.net/hold\""));
    let victim = bench.pods("a", "web")[0].clone();
    let name = super::name(&victim).to_owned();
    bench.delete_pod(&victim);
    bench.pass(60).await;
    let held = bench.get(&PODS, "a", &name);
    assert!(is_deleting(&held) && phase(&held) == "Succeeded", "{}", held["status"]);
    assert_eq!(bench.ready("a", "web"), 3);
}
