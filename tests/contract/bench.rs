//! The bench of a rule: a cluster, a namespace, a node, and plain requests whose answers are seen as they are.

use futures::StreamExt as _;
use futures::stream::BoxStream;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use pitstop::backend::kube::{Cluster, KubeOptions};
use pitstop::domain::config::{DrainOptions, Policy};
use pitstop::domain::guard::{Assent, Permit, Request, World, grant};
use pitstop::domain::ids::{NodeName, PodKey};
use pitstop::domain::plan::Kind;
use pitstop::domain::pod::PodRow;
use pitstop::sim;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

/// How long anything may take that the server does by itself.
pub const SOON: Duration = Duration::from_secs(10);

/// Everything that a rule works with.
pub struct Bench {
    pub client: Client,
    pub cluster: Cluster,
    pub namespace: String,
    /// A Node object of our own: nothing runs on it.
    pub node: String,
    pub is_real: bool,
    _sim: Option<sim::Cluster>,
}

/// An answer as it came.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    pub retry_after: Option<String>,
    pub body: Value,
    pub text: String,
}

/// Runs a rule. On the simulated cluster time is paused, so that waiting costs nothing.
pub fn rule<F, Fut>(test: F)
where
    F: FnOnce(std::sync::Arc<Bench>) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let real = std::env::var_os("PITSTOP_TEST_KUBECONFIG").map(PathBuf::from);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(real.is_none())
        .build()
        .unwrap();
    runtime.block_on(async {
        let bench = std::sync::Arc::new(Bench::start(real).await);
        let ours = bench.clone();
        let outcome = tokio::spawn(async move {
            ours.lay_out().await;
            test(ours).await;
        })
        .await;
        bench.clear_away().await;
        if let Err(failed) = outcome {
            std::panic::resume_unwind(failed.into_panic());
        }
    });
}

impl Bench {
    async fn start(real: Option<PathBuf>) -> Self {
        let tag = format!("{:08x}", rand::random::<u32>());
        let (namespace, node) = (format!("pitstop-test-{tag}"), format!("pitstop-test-{tag}"));
        let Some(file) = real else {
            let scenario = sim::scenario::Scenario::named("minimal").unwrap();
            let sim = sim::Cluster::start(scenario, sim::pace::Pace::new(1.0)).unwrap();
            let client = Client::new(sim.router(), "default");
            let cluster = Cluster::from_client(client.clone(), "simulated");
            return Self { client, cluster, namespace, node, is_real: false, _sim: Some(sim) };
        };
        let options = KubeOptions { kubeconfig: Some(file.clone()), ..KubeOptions::default() };
        let cluster = Cluster::connect(&options).await.unwrap();
        let kubeconfig = Kubeconfig::read_from(&file).unwrap();
        let mut config =
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        config.default_retry = false;
        if matches!(config.cluster_url.host(), Some("127.0.0.1" | "localhost" | "[::1]")) {
            config.proxy_url = None;
        }
        let client = Client::try_from(config).unwrap();
        Self { client, cluster, namespace, node, is_real: true, _sim: None }
    }

    async fn lay_out(&self) {
        let name = json!({"metadata": {"name": self.namespace}});
        self.post("/api/v1/namespaces", &name).await.expect(201);
        // the ServiceAccount admission wants one; where a controller makes it, ours comes second
        let account = json!({"metadata": {"name": "default"}});
        let made = self.post(&self.core("serviceaccounts"), &account).await;
        assert!(matches!(made.code, 201 | 404 | 409), "{made:?}");
        self.node_object(&self.node).await;
    }

    /// Creates a Node object that rules may cordon.
    pub async fn node_object(&self, name: &str) {
        let node = json!({"metadata": {"name": name, "labels": {"pitstop.dev/test": "true"}}});
        self.post("/api/v1/nodes", &node).await.expect(201);
    }

    async fn clear_away(&self) {
        if !self.is_real {
            return;
        }
        let at_once = json!({"gracePeriodSeconds": 0});
        for collection in [self.core("pods"), self.policy(), self.leases(), self.core("events")] {
            let found = self.get(&collection).await;
            for item in found.body["items"].as_array().into_iter().flatten() {
                let path = format!("{collection}/{}", item["metadata"]["name"].as_str().unwrap());
                self.send("DELETE", &path, "application/json", Some(&at_once)).await;
            }
        }
        self.send("DELETE", &format!("/api/v1/nodes/{}", self.node), "application/json", None).await;
        let namespace = format!("/api/v1/namespaces/{}", self.namespace);
        self.send("DELETE", &namespace, "application/json", None).await;
        let by_name = format!("metadata.name={}", self.namespace);
        if self.has_manager().await {
            let is_gone = |found: Option<&Value>| found.is_none();
            if !self.until("/api/v1/namespaces", &by_name, Duration::from_mins(1), is_gone).await {
                println!("namespace {} is still being deleted", self.namespace);
            }
            return;
        }
        // nothing finalises namespaces here; everything in it is gone already
        self.send("DELETE", &self.core("serviceaccounts/default"), "application/json", None).await;
        let mut left = self.get(&namespace).await.body;
        if left["spec"]["finalizers"].is_array() {
            left["spec"]["finalizers"] = json!([]);
            self.send("PUT", &format!("{namespace}/finalize"), "application/json", Some(&left)).await;
        }
    }

    /// Whether a controller manager lives here, which empties and finalises namespaces.
    async fn has_manager(&self) -> bool {
        let lease = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-controller-manager";
        let published = self.get(&self.core("configmaps")).await.body["items"].as_array().map_or(0, Vec::len);
        published > 0 || self.get(lease).await.code == 200
    }

    /// A collection of the core group in our namespace.
    pub fn core(&self, plural: &str) -> String {
        format!("/api/v1/namespaces/{}/{plural}", self.namespace)
    }

    /// Our budgets.
    pub fn policy(&self) -> String {
        format!("/apis/policy/v1/namespaces/{}/poddisruptionbudgets", self.namespace)
    }

    /// Our leases.
    pub fn leases(&self) -> String {
        format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", self.namespace)
    }

    /// One request, sent once.
    pub async fn send(&self, method: &str, path: &str, kind: &str, body: Option<&Value>) -> Answer {
        let bytes = body.map(|body| serde_json::to_vec(body).unwrap()).unwrap_or_default();
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("Accept", "application/json")
            .header("Content-Type", kind)
            .body(Body::from(bytes))
            .unwrap();
        self.answer(request).await
    }

    /// A prepared request.
    pub async fn answer(&self, request: http::Request<Body>) -> Answer {
        let response = self.client.send(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(axum::body::Body::new(body), 64 << 20).await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Answer {
            code: parts.status.as_u16(),
            retry_after: parts.headers.get("retry-after").map(|value| value.to_str().unwrap().to_owned()),
            body: serde_json::from_str(&text).unwrap_or(Value::Null),
            text,
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "application/json", None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, "application/json", Some(body)).await
    }

    pub async fn merge(&self, path: &str, body: &Value) -> Answer {
        self.send("PATCH", path, "application/merge-patch+json", Some(body)).await
    }

    pub async fn delete(&self, path: &str, options: &Value) -> Answer {
        self.send("DELETE", path, "application/json", Some(options)).await
    }

    /// A watch as a stream of `(TYPE, object)`; ends when the server closes it.
    pub async fn watch(&self, path_and_query: &str) -> BoxStream<'static, (String, Value)> {
        let request = http::Request::get(path_and_query).body(Body::empty()).unwrap();
        let response = self.client.send(request).await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        let chunks = axum::body::Body::new(response.into_body()).into_data_stream();
        Box::pin(futures::stream::unfold((chunks, Vec::new()), next_event))
    }

    /// Follows one object of a collection until a test holds (given `None` when it is not there); `false` = not in time.
    pub async fn until(
        &self,
        collection: &str,
        fields: &str,
        within: Duration,
        test: impl Fn(Option<&Value>) -> bool,
    ) -> bool {
        let list = self.get(&format!("{collection}?fieldSelector={fields}")).await;
        list.expect_ref(200);
        if test(list.body["items"].as_array().and_then(|items| items.first())) {
            return true;
        }
        let version = list.body["metadata"]["resourceVersion"].as_str().unwrap();
        let query = format!(
            "{collection}?fieldSelector={fields}&watch=true&resourceVersion={version}&timeoutSeconds=300"
        );
        let mut events = self.watch(&query).await;
        let follow = async {
            while let Some((kind, object)) = events.next().await {
                let is_there = kind != "DELETED";
                if matches!(kind.as_str(), "ADDED" | "MODIFIED" | "DELETED")
                    && test(is_there.then_some(&object))
                {
                    return true;
                }
            }
            false
        };
        tokio::time::timeout(within, follow).await.unwrap_or(false)
    }

    /// Creates a pod on our node and gives it a phase and a readiness.
    pub async fn pod(&self, name: &str, phase: &str, ready: bool) -> PodKey {
        let pod = json!({
            "metadata": {"name": name, "labels": {"app": "contract", "name": name}},
            "spec": {
                "nodeName": self.node, "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 30,
                "containers": [{"name": "main", "image": "registry.k8s.io/pause:3.10"}],
            },
        });
        let made = self.post(&self.core("pods"), &pod).await;
        made.expect_ref(201);
        if phase != "Pending" {
            self.set_pod(name, phase, ready).await;
        }
        let uid = made.body["metadata"]["uid"].as_str().unwrap().to_owned();
        PodKey { namespace: self.namespace.clone(), name: name.to_owned(), uid }
    }

    /// Writes a pod's status as a kubelet would.
    pub async fn set_pod(&self, name: &str, phase: &str, ready: bool) {
        let ready = if ready { "True" } else { "False" };
        let status = json!({"status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]}});
        self.merge(&format!("{}/{name}/status", self.core("pods")), &status).await.expect(200);
    }

    pub async fn read_pod(&self, name: &str) -> Answer {
        self.get(&format!("{}/{name}", self.core("pods"))).await
    }

    /// Posts an eviction with these delete options.
    pub async fn evict(&self, name: &str, options: &Value) -> Answer {
        let body = json!({
            "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"name": name, "namespace": self.namespace}, "deleteOptions": options,
        });
        self.post(&format!("{}/{name}/eviction", self.core("pods")), &body).await
    }

    /// The pods of our namespace: daemons of the cluster may come to our node as well.
    pub fn ours(&self, mut pods: Vec<PodRow>) -> Vec<PodRow> {
        pods.retain(|pod| pod.key.namespace == self.namespace);
        pods
    }

    /// Our node's name as the product has it.
    pub fn node_name(&self) -> NodeName {
        self.node.as_str().into()
    }

    /// Leave for changes of our node, given as the ladder gives it.
    pub fn permit(&self, kind: Kind) -> Permit {
        let drain = DrainOptions::default();
        let request = Request { drain, ..Request::new(kind, vec![self.node_name()]) };
        let world = World { nodes: None, etcd: None, lock: None };
        grant(&Policy::default(), &request, world, Assent::Flag { context: None }).unwrap()
    }
}

impl Answer {
    /// Panics unless it has this code.
    pub fn expect(self, code: u16) -> Self {
        self.expect_ref(code);
        self
    }

    /// The same, without taking it.
    pub fn expect_ref(&self, code: u16) {
        assert_eq!(self.code, code, "{}", self.text);
    }

    /// Panics unless it is a failure `Status` of this code and reason.
    pub fn expect_failure(&self, code: u16, reason: &str) {
        self.expect_ref(code);
        assert_eq!(self.body["kind"], "Status", "{}", self.text);
        assert_eq!(self.body["status"], "Failure", "{}", self.text);
        assert_eq!(self.body["code"], code, "{}", self.text);
        assert_eq!(self.body["reason"].as_str().unwrap_or_default(), reason, "{}", self.text);
        assert!(self.body["message"].as_str().is_some_and(|text| !text.is_empty()), "{}", self.text);
    }

    /// The causes, as `(reason, message)`.
    pub fn causes(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let causes = self.body["details"]["causes"].as_array();
        causes.into_iter().flatten().map(|cause| (text(&cause["reason"]), text(&cause["message"]))).collect()
    }
}

/// The next line of a watch.
async fn next_event(
    (mut chunks, mut bytes): (axum::body::BodyDataStream, Vec<u8>),
) -> Option<((String, Value), (axum::body::BodyDataStream, Vec<u8>))> {
    loop {
        if let Some(at) = bytes.iter().position(|byte| *byte == b'\n') {
            let rest = bytes.split_off(at + 1);
            let event: Value = serde_json::from_slice(&bytes).unwrap();
            let kind = event["type"].as_str().unwrap().to_owned();
            return Some(((kind, event["object"].clone()), (chunks, rest)));
        }
        bytes.extend_from_slice(&chunks.next().await?.unwrap());
    }
}

static CONTROLLERS: OnceLock<bool> = OnceLock::new();

/// Whether the disruption controller was found to live; `None` = nobody needed to know yet.
pub fn has_controllers() -> Option<bool> {
    CONTROLLERS.get().copied()
}

/// Notes whether it does.
pub fn found_controllers(live: bool) {
    let _ = CONTROLLERS.set(live);
}

/// Says which part of a rule this server does not let us check.
pub fn unchecked(what: &str) {
    println!("not checked here: {what}");
}
