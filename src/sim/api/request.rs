//! A request as the API understands it: who, which verb, which object, with which options.

use std::sync::{Mutex, PoisonError};

use axum::extract::Request;
use bytes::Bytes;
use http::{HeaderMap, Method, header};
use hyper::upgrade::OnUpgrade;
use serde_json::Value;

use super::forward::Held;
use super::protobuf;
use super::proxy::Proxied;
use crate::sim::store::resources::{self, EVENTS, EVENTS_V1};
use crate::sim::store::{Resource, Status};

/// Content type of protobuf bodies.
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
/// Largest body the server reads, as the real one.
const LARGEST_BODY: usize = 3 * 1024 * 1024;

/// Who asks; put into the request's extensions by a listener that has seen a client certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserInfo {
    /// User name (a certificate's common name).
    pub name: String,
    /// Groups (a certificate's organisations).
    pub groups: Vec<String>,
}

impl Default for UserInfo {
    fn default() -> UserInfo {
        UserInfo {
            name: "kubernetes-admin".to_owned(),
            groups: vec!["kubeadm:cluster-admins".to_owned(), "system:authenticated".to_owned()],
        }
    }
}

/// The object or collection a path names.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// The kind as the client sees it.
    pub(super) served: &'static Resource,
    /// The kind as it is stored (differs for `events.k8s.io`).
    pub(super) stored: &'static Resource,
    /// Namespace of the path; none when cluster-scoped or across namespaces.
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
    pub(super) subresource: Option<String>,
}

impl Target {
    /// Name of the path, empty for collections.
    pub(super) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// Namespace of the path, empty when there is none.
    pub(super) fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or_default()
    }
}

/// What a path leads to.
#[derive(Debug, Clone)]
pub(super) enum Place {
    Objects(Target),
    Discovery,
    OpenApi(String),
    Health(String),
    Review(String),
    /// A Service behind the server.
    Proxy(Proxied),
    Control(String),
    /// A group or version that exists without such a kind.
    NoResource,
    Unknown,
}

/// A request, read completely.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) verb: &'static str,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) raw_query: String,
    query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) user: UserInfo,
    pub(super) place: Place,
    upgrade: Mutex<Option<(OnUpgrade, Option<Held>)>>,
}

impl Call {
    pub(super) async fn read(request: Request) -> Result<Call, Status> {
        let (mut parts, body) = request.into_parts();
        let held = parts.extensions.remove::<Held>();
        let upgrade = parts.extensions.remove::<OnUpgrade>().map(|upgrade| (upgrade, held));
        let path = parts.uri.path().to_owned();
        let raw_query = parts.uri.query().unwrap_or_default().to_owned();
        let query = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|error| Status::bad_request(error.to_string()))?
            .0;
        let body = axum::body::to_bytes(body, LARGEST_BODY).await.map_err(|_| {
            Status::new(
                413,
                "RequestEntityTooLarge",
                format!("Request entity too large: limit is {LARGEST_BODY}"),
            )
        })?;
        let mut user: UserInfo = parts.extensions.get().cloned().unwrap_or_default();
        if let Some(name) = header(&parts.headers, "impersonate-user") {
            let groups = parts.headers.get_all("impersonate-group").iter();
            let groups = groups.filter_map(|g| g.to_str().ok()).map(str::to_owned).collect();
            user = UserInfo { name: name.to_owned(), groups };
        }
        let place = locate(&path);
        let mut call = Call {
            verb: "",
            method: parts.method,
            path,
            raw_query,
            query,
            headers: parts.headers,
            body,
            user,
            place,
            upgrade: Mutex::new(upgrade),
        };
        call.verb = call.verb_of()?;
        Ok(call)
    }

    /// The connection under the request, once; none when it cannot be taken over.
    pub(super) fn take_upgrade(&self) -> Option<(OnUpgrade, Option<Held>)> {
        self.upgrade.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn verb_of(&self) -> Result<&'static str, Status> {
        if let Place::Proxy(_) = &self.place {
            return Ok(match self.method {
                Method::POST => "create",
                Method::PUT => "update",
                Method::PATCH => "patch",
                Method::DELETE => "delete",
                _ => "get",
            });
        }
        let Place::Objects(target) = &self.place else { return Ok("get") };
        Ok(match (&self.method, &target.name) {
            (&Method::GET | &Method::HEAD, _) if self.flag("watch") => "watch",
            (&Method::GET | &Method::HEAD, Some(_)) => "get",
            (&Method::GET | &Method::HEAD, None) => "list",
            (&Method::POST, None) => "create",
            (&Method::POST, Some(_)) if target.subresource.is_some() => "create",
            (&Method::PUT, Some(_)) => "update",
            (&Method::PATCH, Some(_)) => "patch",
            (&Method::DELETE, Some(_)) => "delete",
            (&Method::DELETE, None) => "deletecollection",
            _ => return Err(super::method_not_allowed()),
        })
    }

    /// The last value of a query parameter, if it is not empty.
    pub(super) fn param(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .filter(|v| !v.is_empty())
    }

    /// Whether a query parameter is there at all.
    pub(super) fn has_param(&self, name: &str) -> bool {
        self.query.iter().any(|(key, _)| key == name)
    }

    /// A query parameter as a boolean: `watch=1`, `watch=true` and a bare `watch` are true.
    pub(super) fn flag(&self, name: &str) -> bool {
        let found = self.query.iter().rev().find(|(key, _)| key == name);
        found.is_some_and(|(_, value)| {
            !matches!(value.as_str(), "0" | "false" | "f" | "False" | "F" | "FALSE")
        })
    }

    pub(super) fn is_watch(&self) -> bool {
        self.verb == "watch"
    }

    /// Whether the watch cache answers, so that etcd is not asked.
    pub(super) fn reads_from_cache(&self) -> bool {
        matches!(self.verb, "get" | "list") && self.param("resourceVersion") == Some("0")
    }

    /// Whether the request wants to change an object.
    pub(super) fn changes_something(&self) -> bool {
        matches!(self.place, Place::Objects(_))
            && matches!(self.verb, "create" | "update" | "patch" | "delete" | "deletecollection")
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// `User-Agent`, empty when absent.
    pub(super) fn agent(&self) -> &str {
        self.header("user-agent").unwrap_or_default()
    }

    /// Field manager: the parameter, else the agent's name before the slash.
    pub(super) fn manager(&self) -> String {
        let agent = self.agent().split('/').next().unwrap_or_default();
        let manager = self.param("fieldManager").unwrap_or(agent);
        if manager.is_empty() { "unknown".to_owned() } else { manager.chars().take(128).collect() }
    }

    /// Whether the query asks for a dry run; any value but `All` is refused.
    pub(super) fn dry_run(&self, options: &str) -> Result<bool, Status> {
        match self.param("dryRun") {
            None => Ok(false),
            Some("All") => Ok(true),
            Some(other) => Err(unsupported_dry_run(options, other)),
        }
    }

    /// Content type of the body without parameters; JSON when not given.
    pub(super) fn content_type(&self) -> &str {
        let given = self.header(header::CONTENT_TYPE.as_str()).unwrap_or_default();
        match given.split(';').next().map(str::trim) {
            None | Some("") => "application/json",
            Some(kind) => kind,
        }
    }

    /// The body for the audit, null when it cannot be read.
    pub(super) fn logged_body(&self) -> Value {
        let read = if self.content_type() == PROTOBUF { self.json().ok() } else { parse(&self.body).ok() };
        read.unwrap_or_default()
    }

    /// The body as an object, sent as JSON or as protobuf; 415 for another form, 400 for malformed text.
    pub(super) fn json(&self) -> Result<Value, Status> {
        if self.content_type() == PROTOBUF {
            return protobuf::decode(&self.body).map_err(|why| {
                Status::new(415, "UnsupportedMediaType", format!("the body could not be read: {why}"))
            });
        }
        if self.content_type() != "application/json" {
            return Err(unsupported_media(self.content_type()));
        }
        parse(&self.body)
    }
}

/// Reads JSON; 400 otherwise.
pub(super) fn parse(body: &[u8]) -> Result<Value, Status> {
    serde_json::from_slice(body).map_err(|error| {
        Status::bad_request(format!(
            "the object provided is unrecognized (must be of type Object): couldn't get version/kind; json parse \
             error: {error}"
        ))
    })
}

fn unsupported_media(given: &str) -> Status {
    Status::new(
        415,
        "UnsupportedMediaType",
        format!(
            "the body of the request was in an unknown format - accepted media types include: application/json (got \
             {given})"
        ),
    )
}

/// 422 for a `dryRun` that is not `All`.
pub(super) fn unsupported_dry_run(options: &str, value: &str) -> Status {
    Status {
        details: Some(serde_json::json!({
            "group": "meta.k8s.io", "kind": options,
            "causes": [{ "reason": "FieldValueNotSupported", "field": "dryRun",
                "message": format!("Unsupported value: {value:?}: supported values: \"All\"") }],
        })),
        ..Status::new(
            422,
            "Invalid",
            format!(
                "{options}.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: {value:?}: supported values: \
                 \"All\""
            ),
        )
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn locate(path: &str) -> Place {
    let trimmed = path.trim_matches('/');
    let segments: Vec<&str> = trimmed.split('/').collect();
    match segments.as_slice() {
        ["version" | "api" | "apis"] | ["api", "v1"] | ["apis", _] | ["apis", _, _] => Place::Discovery,
        ["healthz" | "livez" | "readyz", ..] => Place::Health(trimmed.to_owned()),
        ["openapi", rest @ ..] => Place::OpenApi(rest.join("/")),
        ["sim", rest @ ..] => Place::Control(rest.join("/")),
        ["apis", "authorization.k8s.io" | "authentication.k8s.io", "v1", kind] => {
            Place::Review((*kind).to_owned())
        }
        ["api", "v1", "namespaces", namespace, "services", name, "proxy", rest @ ..] => {
            Proxied::read(namespace, name, rest).map_or(Place::NoResource, Place::Proxy)
        }
        ["api", version, rest @ ..] => locate_object("", version, rest),
        ["apis", group, version, rest @ ..] => locate_object(group, version, rest),
        _ => Place::Unknown,
    }
}

fn locate_object(group: &str, version: &str, rest: &[&str]) -> Place {
    let known = resources::ALL.iter().any(|r| r.group == group && r.version == version);
    if !known {
        return Place::Unknown;
    }
    let (namespace, rest) = match rest {
        ["namespaces", namespace, plural, rest @ ..] if !matches!(*plural, "status" | "finalize") => {
            (Some((*namespace).to_owned()), [&[*plural], rest].concat())
        }
        all => (None, all.to_vec()),
    };
    let (plural, name, subresource) = match rest.as_slice() {
        [plural] => (*plural, None, None),
        [plural, name] => (*plural, Some((*name).to_owned()), None),
        [plural, name, sub] => (*plural, Some((*name).to_owned()), Some((*sub).to_owned())),
        _ => return Place::NoResource,
    };
    let Some(served) = resources::find(group, version, plural) else { return Place::NoResource };
    let misplaced =
        if served.namespaced { name.is_some() && namespace.is_none() } else { namespace.is_some() };
    let known_sub = match subresource.as_deref() {
        None => true,
        Some("status") => served.status,
        Some("scale") => served.scale,
        Some("eviction" | "portforward") => *served == resources::PODS,
        Some(_) => false,
    };
    if misplaced || !known_sub {
        return Place::NoResource;
    }
    let stored = if *served == EVENTS_V1 { &EVENTS } else { served };
    Place::Objects(Target { served, stored, namespace, name, subresource })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(path: &str) -> Target {
        match locate(path) {
            Place::Objects(target) => target,
            other => panic!("{path} leads to {other:?}"),
        }
    }

    #[test]
    fn paths_lead_to_objects() {
        let pod = target("/api/v1/namespaces/a/pods/x/eviction");
        assert_eq!((pod.namespace(), pod.name()), ("a", "x"));
        assert_eq!(pod.subresource.as_deref(), Some("eviction"));
        assert_eq!(target("/api/v1/namespaces/a").served.kind, "Namespace");
        assert_eq!(target("/api/v1/namespaces/a/status").subresource.as_deref(), Some("status"));
        assert_eq!(target("/apis/apps/v1/deployments").namespace, None);
        assert_eq!(target("/apis/events.k8s.io/v1/events").stored, &EVENTS);
    }

    #[test]
    fn other_paths_are_told_apart() {
        assert!(matches!(locate("/api/v1/nothing"), Place::NoResource));
        assert!(matches!(locate("/api/v1/pods/x"), Place::NoResource));
        assert!(matches!(locate("/api/v1/nodes/x/scale"), Place::NoResource));
        assert!(matches!(locate("/apis/no.such/v1/things"), Place::Unknown));
        assert!(matches!(locate("/api/v1"), Place::Discovery));
        assert!(matches!(locate("/readyz/etcd"), Place::Health(_)));
        assert!(matches!(locate("/sim/faults"), Place::Control(_)));
        assert!(matches!(locate("/api/v1/namespaces/a/services/web:80/proxy/"), Place::Proxy(_)));
        assert!(matches!(locate("/api/v1/namespaces/a/services/a:b:c:d/proxy"), Place::NoResource));
    }
}
