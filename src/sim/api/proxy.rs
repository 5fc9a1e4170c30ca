//! `services/NAME/proxy`: an HTTP service behind the API server, answered by the pods that are ready.
//!
//! Errors are worded as the API server words them (`pkg/registry/core/service/storage/storage.go`, `ResourceLocation`, and
//! apimachinery's `pkg/util/proxy/transport.go`).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::response::Response;
use serde_json::Value;

use super::request::Call;
use super::{Api, answer};
use crate::sim::store::resources::{ENDPOINT_SLICES, SERVICES};
use crate::sim::store::{Object, Status};

/// How long a pod takes to answer when nothing is wrong: this, and up to as much again from one request to the next.
const USUAL: Duration = Duration::from_millis(4);
/// How long it takes until the network gives up looking for a node that is off.
const NO_ROUTE: Duration = Duration::from_secs(3);

/// A Service as a proxy path names it: `NAME`, `NAME:PORT`, `SCHEME:NAME:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proxied {
    pub(super) namespace: String,
    pub(super) service: String,
    /// Name or number of the port; empty when the Service has only one.
    pub(super) port: String,
    /// What follows `/proxy`.
    pub(super) path: String,
}

impl Proxied {
    /// Reads the name of a proxy path; none when it is not one (`SplitSchemeNamePort`).
    pub(super) fn read(namespace: &str, name: &str, path: &[&str]) -> Option<Proxied> {
        let parts: Vec<&str> = name.split(':').collect();
        let (scheme, service, port) = match parts.as_slice() {
            [service] => ("", *service, ""),
            [service, port] => ("", *service, *port),
            [scheme, service, port] => (*scheme, *service, *port),
            _ => return None,
        };
        let is_sound = !service.is_empty() && matches!(scheme, "" | "http" | "https");
        is_sound.then(|| Proxied {
            namespace: namespace.to_owned(),
            service: service.to_owned(),
            port: port.to_owned(),
            path: format!("/{}", path.join("/")),
        })
    }
}

/// Whether a node is reached over the network; and how fast this world goes.
#[derive(Clone)]
pub struct Network {
    reaches: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    pace: crate::sim::pace::Pace,
    turn: Arc<AtomicUsize>,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Network")
    }
}

impl Default for Network {
    fn default() -> Self {
        Self::new(|_| true, crate::sim::pace::Pace::default())
    }
}

impl Network {
    /// A network that leads to the nodes of which `reaches` is true.
    pub fn new(reaches: impl Fn(&str) -> bool + Send + Sync + 'static, pace: crate::sim::pace::Pace) -> Self {
        Self { reaches: Arc::new(reaches), pace, turn: Arc::default() }
    }

    /// Whether it leads to a node now.
    pub(super) fn reaches(&self, node: &str) -> bool {
        (self.reaches)(node)
    }
}

/// Answers as one of the ready pods does.
pub(super) async fn answer(api: &Api, call: &Call, to: &Proxied) -> Result<Response, Status> {
    let service = api
        .store
        .get(&SERVICES, &to.namespace, &to.service)
        .ok_or_else(|| Status::not_found(&SERVICES, &to.service))?;
    if !has_port(&service, &to.port) {
        return Err(unavailable(format!("no service port {:?} found for service {:?}", to.port, to.service)));
    }
    let endpoints = ready_endpoints(api, to);
    let network = &api.options.network;
    let turn = network.turn.fetch_add(1, Ordering::Relaxed);
    let Some(endpoint) = endpoints.get(turn % endpoints.len().max(1)) else {
        return Err(unavailable(format!("no endpoints available for service {:?}", to.service)));
    };
    let (node, address) = (text(endpoint, "/nodeName"), text(endpoint, "/addresses/0"));
    if !(network.reaches)(node) {
        tokio::time::sleep(network.pace.of(NO_ROUTE)).await;
        let port = service["spec"]["ports"][0]["port"].as_u64().unwrap_or(80);
        return Err(unavailable(format!(
            "error trying to reach service: dial tcp {address}:{port}: connect: no route to host"
        )));
    }
    let ailment = api.faults.ailment(&to.namespace, &to.service);
    // a spread that looks like a network's and is the same in every run
    let spread = u32::try_from(turn.wrapping_mul(7919) % 100).unwrap_or_default();
    let latency = network.pace.of(USUAL + USUAL * spread / 100) + ailment.latency;
    tokio::time::sleep(latency).await;
    let unlucky = u32::try_from(turn.wrapping_mul(37) % 100).unwrap_or_default();
    if unlucky < ailment.failing {
        return Ok(answer::text(ailment.code, format!("{} fails\n", text(endpoint, "/targetRef/name"))));
    }
    let body = if call.method == http::Method::HEAD {
        String::new()
    } else {
        format!("{} on {node} answers {}\n", text(endpoint, "/targetRef/name"), to.path)
    };
    Ok(answer::text(200, body))
}

fn unavailable(message: String) -> Status {
    Status::new(503, "ServiceUnavailable", message)
}

fn has_port(service: &Value, wanted: &str) -> bool {
    let ports = service["spec"]["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
    match wanted {
        "" => ports.len() == 1,
        _ => ports.iter().any(|port| port["name"] == wanted || is_number(&port["port"], wanted)),
    }
}

fn is_number(port: &Value, wanted: &str) -> bool {
    wanted.parse::<u64>().is_ok_and(|wanted| port.as_u64() == Some(wanted))
}

fn ready_endpoints(api: &Api, to: &Proxied) -> Vec<Value> {
    let is_of =
        |slice: &&Object| slice["metadata"]["labels"]["kubernetes.io/service-name"] == to.service.as_str();
    let slices = api.store.list(&ENDPOINT_SLICES, Some(&to.namespace));
    let all = slices.iter().filter(is_of).filter_map(|slice| slice["endpoints"].as_array().cloned());
    all.flatten().filter(|endpoint| endpoint["conditions"]["ready"] == true).collect()
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_a_scheme_and_a_port() {
        let read = |name: &str| Proxied::read("shop", name, &["healthz"]).map(|to| (to.service, to.port));
        assert_eq!(read("web"), Some(("web".into(), String::new())));
        assert_eq!(read("web:8080"), Some(("web".into(), "8080".into())));
        assert_eq!(read("https:web:main"), Some(("web".into(), "main".into())));
        assert_eq!(read("ftp:web:21"), None);
        assert_eq!(read(":"), None);
    }
}
