//! A scripted API server in memory, for tests of what the client does with each answer.

use super::Cluster;
use crate::domain::config::Policy;
use crate::domain::guard::{Assent, Permit, Request, World, grant};
use crate::domain::ids::PodKey;
use crate::domain::plan::Kind;
use axum::body::Body;
use axum::response::Response;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// A request as the server saw it.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub method: String,
    /// Path and query.
    pub uri: String,
    /// `Content-Type`.
    pub kind: String,
    pub body: Value,
}

/// All requests so far.
#[derive(Clone, Default)]
pub(super) struct Journal(Arc<Mutex<Vec<Seen>>>);

impl Journal {
    pub(super) fn all(&self) -> Vec<Seen> {
        self.0.lock().unwrap().clone()
    }

    /// How many requests had this method and a path with this part.
    pub(super) fn count(&self, method: &str, part: &str) -> usize {
        self.all().iter().filter(|seen| seen.method == method && seen.uri.contains(part)).count()
    }
}

/// A cluster whose API server answers as `answer` says; and what it was asked.
pub(super) fn cluster<F, Fut>(answer: F) -> (Cluster, Journal)
where
    F: Fn(Seen) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Response> + Send + 'static,
{
    let journal = Journal::default();
    let kept = journal.clone();
    let router = axum::Router::new().fallback(move |request: axum::extract::Request| {
        let (answer, kept) = (answer.clone(), kept.clone());
        async move {
            let (parts, body) = request.into_parts();
            let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
            let seen = Seen {
                method: parts.method.to_string(),
                uri: parts.uri.to_string(),
                kind: parts
                    .headers
                    .get("content-type")
                    .map(|v| v.to_str().unwrap().to_owned())
                    .unwrap_or_default(),
                body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            };
            kept.0.lock().unwrap().push(seen.clone());
            answer(seen).await
        }
    });
    (Cluster::from_client(::kube::Client::new(router, "default"), "test"), journal)
}

/// An answer in JSON.
pub(super) fn answer(code: u16, body: &Value) -> Response {
    Response::builder().status(code).body(Body::from(body.to_string())).unwrap()
}

/// A failure `Status`.
pub(super) fn failure(code: u16, reason: &str, message: &str) -> Response {
    answer(code, &status(code, reason, message))
}

/// The body of a failure.
pub(super) fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message})
}

/// Leave for a run on a node, given as the ladder gives it.
pub(super) fn permit(kind: Kind, node: &str) -> Permit {
    let request = Request::new(kind, vec![node.into()]);
    let world = World { nodes: None, etcd: None, lock: None };
    grant(&Policy::default(), &request, world, Assent::Flag { context: None }).unwrap()
}

/// A pod's key.
pub(super) fn pod(name: &str, uid: &str) -> PodKey {
    PodKey { namespace: "shop".into(), name: name.into(), uid: uid.into() }
}

/// Leave for a remedy.
pub(super) fn resolve_permit(
    budget: crate::domain::ids::BudgetKey,
    remedy: crate::domain::remedy::Remedy,
) -> Permit {
    let targets = Vec::new();
    let chosen =
        crate::domain::remedy::Resolution { budget, remedy, targets, is_unsure: false, healthy: None };
    let request = Request { resolve: Some(chosen), ..Request::new(Kind::Resolve, Vec::new()) };
    let world = World { nodes: None, etcd: None, lock: None };
    grant(&Policy::default(), &request, world, Assent::Flag { context: None }).unwrap()
}
