//! The real kubectl against the API over plain HTTP on loopback. Says so and passes when kubectl is not installed.

use serde_json::{Value, json};
use tokio::process::Command;

use super::Bench;
use crate::sim::store::resources::{DEPLOYMENTS, EVENTS, LEASES, NAMESPACES, POD_DISRUPTION_BUDGETS, PODS};
use crate::sim::store::{ChangeKind, Deletion, Store, meta};

struct Kubectl {
    server: String,
    home: tempfile::TempDir,
}

impl Kubectl {
    /// Runs kubectl; gives its output. Panics when it fails.
    async fn run(&self, args: &str) -> String {
        let output = Command::new("kubectl")
            .args(["--kubeconfig=/dev/null", &format!("--server={}", self.server)])
            .args(args.split(' '))
            .env("HOME", self.home.path())
            .output()
            .await
            .unwrap();
        let text =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "kubectl {args}: {text}");
        text
    }
}

fn fill(bench: &Bench) {
    for name in ["n", "m"] {
        bench.node(name);
        let lease = json!({ "metadata": { "name": name, "namespace": "kube-node-lease" },
            "spec": { "holderIdentity": name, "renewTime": bench.store.now_micro() } });
        bench.store.create(&LEASES, lease).unwrap();
    }
    let controlled = json!([{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "u", "controller": true }]);
    for name in ["x", "y"] {
        bench.pod(name);
        bench
            .store
            .modify(&PODS, "a", name, |p| p["metadata"]["ownerReferences"] = controlled.clone())
            .unwrap();
    }
    let template = json!({ "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [{ "name": "c", "image": "i" }] } });
    let spec =
        json!({ "replicas": 2, "selector": { "matchLabels": { "app": "web" } }, "template": template });
    bench
        .store
        .create(&DEPLOYMENTS, json!({ "metadata": { "name": "web", "namespace": "a" }, "spec": spec }))
        .unwrap();
    bench.budget("b", &json!({ "observedGeneration": 1, "disruptionsAllowed": 2, "currentHealthy": 2, "desiredHealthy": 0, "expectedPods": 2 }),
    );
    let event = json!({
        "metadata": { "name": "n.1", "namespace": "default" }, "reason": "Rebooted", "message": "Node n has been rebooted",
        "type": "Warning", "involvedObject": { "kind": "Node", "name": "n", "uid": "n" }, "count": 1,
        "lastTimestamp": bench.store.now(), "firstTimestamp": bench.store.now(),
    });
    bench.store.create(&EVENTS, event).unwrap();
}

/// Ends deleted pods at once, as a kubelet does later.
async fn kubelet(store: Store) {
    let mut feed = store.subscribe(None).unwrap();
    while let Some(change) = feed.next().await {
        let pod = &change.object;
        if *change.resource == PODS && change.kind == ChangeKind::Modified && meta::is_deleting(pod) {
            let _ = store.delete(&PODS, meta::namespace(pod), meta::name(pod), &Deletion::now());
        }
    }
}

fn contains_all(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_reads_and_maintains() {
    if Command::new("kubectl").args(["version", "--client"]).output().await.is_err() {
        println!("skipped: kubectl is not installed");
        return;
    }
    let bench = Bench::new();
    fill(&bench);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let router = bench.api.router();
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let ending = tokio::spawn(kubelet(bench.store.clone()));
    let kubectl = Kubectl { server, home: tempfile::tempdir().unwrap() };

    contains_all(
        &kubectl.run("get nodes,pods,pdb -A -o wide").await,
        &["node/n", "Ready", "pod/x", "Running", "b"],
    );
    contains_all(
        &kubectl.run("describe node n").await,
        &["HolderIdentity:  n", "Rebooted", "has been rebooted"],
    );
    contains_all(&kubectl.run("describe pdb b -n a").await, &["Allowed disruptions:  2"]);
    contains_all(&kubectl.run("describe pod x -n a").await, &["Node:", "app=web"]);
    contains_all(&kubectl.run("describe deploy web -n a").await, &["Replicas:", "2 desired"]);
    contains_all(&kubectl.run("get pods -n a -w --request-timeout=1s").await, &["NAME", "x", "y"]);
    kubectl.run("cordon m").await;
    contains_all(&kubectl.run("get node m").await, &["Ready,SchedulingDisabled"]);
    kubectl.run("uncordon m").await;
    contains_all(
        &kubectl.run("drain n --ignore-daemonsets --timeout=30s").await,
        &["pod/x evicted", "node/n drained"],
    );
    assert!(bench.store.list(&PODS, Some("a")).is_empty());
    kubectl.run("scale deploy/web -n a --replicas=5").await;
    kubectl.run("rollout restart deploy/web -n a").await;
    let deployment = bench.store.get(&DEPLOYMENTS, "a", "web").unwrap();
    assert_eq!(deployment["spec"]["replicas"], 5);
    let annotations = &deployment["spec"]["template"]["metadata"]["annotations"];
    assert_ne!(annotations["kubectl.kubernetes.io/restartedAt"], Value::Null);
    kubectl.run("delete pdb b -n a").await;
    assert!(bench.store.get(&POD_DISRUPTION_BUDGETS, "a", "b").is_none());
    kubectl.run("create pdb c -n a --selector=app=web --min-available=1").await;
    kubectl.run("create deploy d -n a --image=i --replicas=2").await;
    contains_all(&kubectl.run("auth can-i patch nodes").await, &["yes"]);
    contains_all(&kubectl.run("auth whoami").await, &["kubernetes-admin"]);
    kubectl.run("delete ns a").await;
    assert!(bench.store.get(&NAMESPACES, "", "a").is_none());
    contains_all(&kubectl.run("get --raw /readyz?verbose").await, &["[+]etcd ok", "readyz check passed"]);
    contains_all(&kubectl.run("get --raw /sim/history").await, &["/api/v1/nodes/n", "eviction"]);
    serving.abort();
    ending.abort();
}
