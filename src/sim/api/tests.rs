//! Tests of the API through its router, and the bench they share.

mod evictions;
mod kubectl;
mod reads;
mod rules;
mod watches;
mod writes;

use axum::body::Body;
use futures::StreamExt;
use http::{HeaderMap, Method, Request};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{Api, Faults, Options};
use crate::sim::store::resources::{self, NAMESPACES, NODES, POD_DISRUPTION_BUDGETS, PODS};
use crate::sim::store::{Store, meta};

/// An API server over a store with the namespaces `a` and `default`.
pub(super) struct Bench {
    pub(super) api: Api,
    pub(super) store: Store,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) code: u16,
    pub(super) body: Value,
    pub(super) text: String,
    pub(super) headers: HeaderMap,
}

impl Bench {
    pub(super) fn new() -> Bench {
        Bench::with(Options::default())
    }

    pub(super) fn with(options: Options) -> Bench {
        let store = Store::new();
        for name in ["a", "default", "kube-system"] {
            let namespace = json!({ "metadata": { "name": name }, "status": { "phase": "Active" } });
            store.create(&NAMESPACES, namespace).unwrap();
        }
        let api = Api::new(store.clone(), Faults::new(), options);
        Bench { api, store }
    }

    pub(super) fn node(&self, name: &str) {
        let node = json!({ "metadata": { "name": name, "labels": { "host": name } }, "spec": {}, "status": {
            "conditions": [{ "type": "Ready", "status": "True" }] } });
        self.store.create(&NODES, node).unwrap();
    }

    /// A running, ready pod with the label `app=web` in namespace `a`.
    pub(super) fn pod(&self, name: &str) {
        self.store.create(&PODS, pod(name)).unwrap();
    }

    /// A budget over `app=web` in namespace `a` with this status.
    pub(super) fn budget(&self, name: &str, status: &Value) {
        let budget = json!({
            "metadata": { "name": name, "namespace": "a" },
            "spec": { "minAvailable": 1, "selector": { "matchLabels": { "app": "web" } } }, "status": status,
        });
        self.store.create(&POD_DISRUPTION_BUDGETS, budget).unwrap();
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.api.router().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let body = serde_json::from_str(&text).unwrap_or_default();
        Answer { code: parts.status.as_u16(), body, text, headers: parts.headers }
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub(super) async fn send_json(&self, method: Method, path: &str, body: &Value) -> Answer {
        self.send_as(method, path, "application/json", body).await
    }

    pub(super) async fn send_as(&self, method: Method, path: &str, kind: &str, body: &Value) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", kind)
            .header("user-agent", "tester/1.0")
            .body(Body::from(body.to_string()))
            .unwrap();
        self.send(request).await
    }

    pub(super) async fn patch(&self, path: &str, kind: &str, body: &Value) -> Answer {
        self.send_as(Method::PATCH, path, &format!("application/{kind}"), body).await
    }

    /// Opens a watch and gives its events as they come.
    pub(super) async fn watch(&self, path: &str) -> Watching {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = self.api.router().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        Watching { body: response.into_body().into_data_stream() }
    }
}

/// An open watch; each frame is one event.
pub(super) struct Watching {
    body: axum::body::BodyDataStream,
}

impl Watching {
    /// The next event; none at the end.
    pub(super) async fn next(&mut self) -> Option<Value> {
        let frame = self.body.next().await?.ok()?;
        Some(serde_json::from_slice(&frame).unwrap())
    }

    /// Type and object name of the next event.
    pub(super) async fn brief(&mut self) -> (String, String) {
        let event = self.next().await.unwrap();
        (event["type"].as_str().unwrap().to_owned(), meta::name(&event["object"]).to_owned())
    }
}

pub(super) fn pod(name: &str) -> Value {
    json!({
        "metadata": { "name": name, "namespace": "a", "labels": { "app": "web" } },
        "spec": { "nodeName": "n", "terminationGracePeriodSeconds": 30, "containers": [{ "name": "c", "image": "i" }] },
        "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] },
    })
}

/// Every kind is reachable by the path it names.
#[tokio::test]
async fn every_kind_can_be_listed() {
    let bench = Bench::new();
    for r in resources::ALL {
        let path = r.path("a", "x");
        let collection = path.rsplit_once('/').unwrap().0;
        let answer = bench.get(collection).await;
        assert_eq!(answer.code, 200, "{collection}");
        assert_eq!(answer.body["kind"], format!("{}List", r.kind));
        assert_eq!(bench.get(&path).await.code, 404, "{path}");
    }
}
