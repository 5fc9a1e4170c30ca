//! Who may do what: the attributes of a request, refusals in the server's words, self access reviews.

use axum::response::Response;
use serde_json::{Value, json};

use super::request::{Call, Place};
use super::{Api, answer, roles};
use crate::sim::store::Status;

/// What access rules look at.
#[derive(Debug, Clone, Default)]
pub(super) struct Attributes {
    pub(super) verb: String,
    pub(super) group: String,
    pub(super) plural: String,
    pub(super) subresource: String,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) user: String,
    /// Path, when it does not lead to objects.
    pub(super) path: String,
}

impl Attributes {
    pub(super) fn of(call: &Call) -> Attributes {
        let user = call.user.name.clone();
        if let Place::Proxy(to) = &call.place {
            return Attributes {
                verb: call.verb.to_owned(),
                plural: "services".to_owned(),
                subresource: "proxy".to_owned(),
                namespace: to.namespace.clone(),
                name: to.service.clone(),
                user,
                ..Attributes::default()
            };
        }
        let Place::Objects(target) = &call.place else {
            return Attributes {
                verb: call.verb.to_owned(),
                user,
                path: call.path.clone(),
                ..Attributes::default()
            };
        };
        Attributes {
            verb: call.verb.to_owned(),
            group: target.served.group.to_owned(),
            plural: target.served.plural.to_owned(),
            subresource: target.subresource.clone().unwrap_or_default(),
            namespace: target.namespace().to_owned(),
            name: target.name().to_owned(),
            user,
            path: String::new(),
        }
    }

    /// `pods`, `pods/eviction`.
    pub(super) fn resource(&self) -> String {
        if self.subresource.is_empty() {
            self.plural.clone()
        } else {
            format!("{}/{}", self.plural, self.subresource)
        }
    }

    /// 403 as the authorizer words it (`responsewriters/errors.go`).
    pub(super) fn forbidden(&self) -> Status {
        let qualified = if self.group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.group)
        };
        let what = if self.name.is_empty() { qualified } else { format!("{qualified} {:?}", self.name) };
        let place = if self.namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace {:?}", self.namespace)
        };
        let mut details = json!({ "kind": self.plural });
        if !self.name.is_empty() {
            details["name"] = json!(self.name);
        }
        if !self.group.is_empty() {
            details["group"] = json!(self.group);
        }
        let message = if self.plural.is_empty() {
            format!("forbidden: User {:?} cannot {} path {:?}", self.user, self.verb, self.path)
        } else {
            format!(
                "{what} is forbidden: User {:?} cannot {} resource {:?} in API group {:?} {place}",
                self.user,
                self.verb,
                self.resource(),
                self.group
            )
        };
        Status { details: Some(details), ..Status::new(403, "Forbidden", message) }
    }
}

/// Answers `selfsubjectaccessreviews`, `selfsubjectrulesreviews` and `selfsubjectreviews`.
pub(super) fn review(api: &Api, call: &Call, kind: &str) -> Result<Response, Status> {
    if call.method != http::Method::POST {
        return Err(super::method_not_allowed());
    }
    let mut body = call.json()?;
    if !body.is_object() {
        return Err(Status::bad_request("the body is not an object"));
    }
    match kind {
        "selfsubjectaccessreviews" => {
            let asked = asked(call, &body["spec"]);
            let forbidden = roles::forbid(&asked) || api.faults.forbids(&asked);
            body["kind"] = json!("SelfSubjectAccessReview");
            body["apiVersion"] = json!("authorization.k8s.io/v1");
            body["status"] = if forbidden {
                json!({ "allowed": false })
            } else {
                json!({ "allowed": true, "reason": "RBAC: allowed by ClusterRoleBinding \"kubeadm:cluster-admins\" of ClusterRole \"cluster-admin\" to Group \"kubeadm:cluster-admins\"" })
            };
        }
        "selfsubjectrulesreviews" => {
            body["kind"] = json!("SelfSubjectRulesReview");
            body["apiVersion"] = json!("authorization.k8s.io/v1");
            body["status"] = json!({
                "resourceRules": [{ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] }],
                "nonResourceRules": [{ "verbs": ["*"], "nonResourceURLs": ["*"] }],
                "incomplete": false,
            });
        }
        "selfsubjectreviews" => {
            body["kind"] = json!("SelfSubjectReview");
            body["apiVersion"] = json!("authentication.k8s.io/v1");
            body["status"] =
                json!({ "userInfo": { "username": call.user.name, "groups": call.user.groups } });
        }
        _ => return Err(Status::no_such_path()),
    }
    Ok(answer::json(201, &body))
}

fn asked(call: &Call, spec: &Value) -> Attributes {
    let about = &spec["resourceAttributes"];
    let text = |field: &str| about[field].as_str().unwrap_or_default().to_owned();
    Attributes {
        verb: text("verb"),
        group: text("group"),
        plural: text("resource"),
        subresource: text("subresource"),
        namespace: text("namespace"),
        name: text("name"),
        user: call.user.name.clone(),
        path: spec["nonResourceAttributes"]["path"].as_str().unwrap_or_default().to_owned(),
    }
}
