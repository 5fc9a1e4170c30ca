//! A Kubernetes client of an actor: JSON over the API in memory, patient with a server that is away.

use std::time::Duration;

use axum::body::Body;
use http::{Method, Request, header};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::sim::api::Endpoint;
use crate::sim::pace::Pace;
use crate::sim::scenario::ActorKind;
use crate::sim::store::resources::{PODS, Resource};
use crate::sim::world::Key;

/// Between two tries while nobody answers.
const AGAIN: Duration = Duration::from_secs(1);
/// Largest answer that is read.
const LARGEST: usize = 64 << 20;

/// Why a request was refused.
#[derive(Debug)]
pub struct Refusal {
    /// HTTP code; 0 when nobody answered.
    pub code: u16,
}

impl Refusal {
    /// Nobody could answer: the same request may pass later.
    fn passes(&self) -> bool {
        self.code == 0 || self.code == 429 || self.code >= 500
    }
}

/// The client; it writes under its own user agent.
pub struct Client {
    endpoint: Endpoint,
    agent: &'static str,
    pace: Pace,
}

impl Client {
    /// The client of a tool.
    pub fn new(endpoint: Endpoint, kind: ActorKind, pace: Pace) -> Self {
        let (user, agent) = match kind {
            ActorKind::Kops => ("kubecfg-admin", "kops/v1.34.0"),
            ActorKind::ClusterApi => ("system:serviceaccount:capi-system:capi-manager", "manager/v1.11.3"),
            ActorKind::Kured => ("system:serviceaccount:kube-system:kured", "kured/1.20.0"),
            ActorKind::Hand => ("kubernetes-admin", "kubectl/v1.34.2"),
        };
        Self { endpoint: endpoint.as_user(user), agent, pace }
    }

    async fn send(&self, method: Method, path: &str, kind: &str, body: &Value) -> Result<Value, Refusal> {
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::USER_AGENT, self.agent)
            .header(header::CONTENT_TYPE, kind)
            .body(body)
            .map_err(|_| Refusal { code: 400 })?;
        let response = self.endpoint.clone().oneshot(request).await.map_err(|_| Refusal { code: 0 })?;
        let code = response.status().as_u16();
        let bytes =
            axum::body::to_bytes(response.into_body(), LARGEST).await.map_err(|_| Refusal { code: 0 })?;
        if code >= 300 {
            return Err(Refusal { code });
        }
        Ok(serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// The same request again and again until somebody answers.
    async fn ask(&self, method: Method, path: &str, kind: &str, body: &Value) -> Result<Value, Refusal> {
        loop {
            match self.send(method.clone(), path, kind, body).await {
                Err(refusal) if refusal.passes() => tokio::time::sleep(self.pace.of(AGAIN)).await,
                answer => return answer,
            }
        }
    }

    /// An object; none when it is not there.
    pub async fn get(&self, resource: &Resource, key: &Key) -> Option<Value> {
        let path = resource.path(&key.namespace, &key.name);
        self.ask(Method::GET, &path, "application/json", &Value::Null).await.ok()
    }

    /// All objects of a kind that a field selector accepts (all when empty).
    pub async fn list(&self, resource: &Resource, field_selector: &str) -> Vec<Value> {
        let root =
            if resource.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", resource.group) };
        let query = if field_selector.is_empty() {
            String::new()
        } else {
            format!("?fieldSelector={field_selector}")
        };
        let path = format!("{root}/{}/{}{query}", resource.version, resource.plural);
        let answer = self.ask(Method::GET, &path, "application/json", &Value::Null).await.unwrap_or_default();
        answer["items"].as_array().cloned().unwrap_or_default()
    }

    /// Changes an object by a merge patch, as `manager` where that is not the agent's name.
    pub async fn patch(&self, resource: &Resource, key: &Key, patch: &Value, manager: &str) {
        let query = if manager.is_empty() { String::new() } else { format!("?fieldManager={manager}") };
        let path = format!("{}{query}", resource.path(&key.namespace, &key.name));
        let _ = self.ask(Method::PATCH, &path, "application/merge-patch+json", patch).await;
    }

    /// Deletes an object.
    pub async fn delete(&self, resource: &Resource, key: &Key) {
        let path = resource.path(&key.namespace, &key.name);
        let _ = self.ask(Method::DELETE, &path, "application/json", &Value::Null).await;
    }

    /// Evicts a pod, once. True when it was taken, or is gone.
    pub async fn evict(&self, pod: &Key) -> bool {
        let path = format!("{}/eviction", PODS.path(&pod.namespace, &pod.name));
        let body = json!({
            "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": { "namespace": pod.namespace, "name": pod.name },
        });
        match self.send(Method::POST, &path, "application/json", &body).await {
            Ok(_) => true,
            Err(refusal) => refusal.code == 404,
        }
    }
}
