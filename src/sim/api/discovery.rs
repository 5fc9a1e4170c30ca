//! Discovery: `/version`, `/api`, `/apis` and the lists below them, also in the aggregated form.

use axum::body::Body;
use axum::response::Response;
use http::header;
use serde_json::{Value, json};

use super::request::Call;
use super::{Api, answer};
use crate::sim::store::resources::{ALL, PODS};
use crate::sim::store::{Resource, Status};

const VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// Kinds that are answered without being stored.
const REVIEWS: &[(&str, &str, &str)] = &[
    ("authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview"),
    ("authorization.k8s.io", "selfsubjectaccessreviews", "SelfSubjectAccessReview"),
    ("authorization.k8s.io", "selfsubjectrulesreviews", "SelfSubjectRulesReview"),
];

/// A subresource: its name, kind, group and version of the kind, verbs.
struct Sub {
    name: &'static str,
    kind: &'static str,
    /// Group and version when they differ from the resource's.
    of: Option<(&'static str, &'static str)>,
    verbs: &'static [&'static str],
}

fn subresources(r: &'static Resource) -> Vec<Sub> {
    let mut all = Vec::new();
    if *r == PODS {
        all.push(Sub { name: "eviction", kind: "Eviction", of: Some(("policy", "v1")), verbs: &["create"] });
    }
    let verbs = &["get", "patch", "update"];
    if r.scale {
        all.push(Sub { name: "scale", kind: "Scale", of: Some(("autoscaling", "v1")), verbs });
    }
    if r.status {
        all.push(Sub { name: "status", kind: r.kind, of: None, verbs });
    }
    all
}

/// Answers a discovery path.
pub(super) fn answer(api: &Api, call: &Call) -> Result<Response, Status> {
    let accept = call.header(header::ACCEPT.as_str()).unwrap_or_default();
    let aggregated = accept.split(',').any(|choice| {
        choice.contains("g=apidiscovery.k8s.io")
            && choice.contains("as=APIGroupDiscoveryList")
            && choice.split(';').any(|p| p.trim() == "v=v2")
    });
    let segments: Vec<&str> = call.path.trim_matches('/').split('/').collect();
    let body = match segments.as_slice() {
        ["version"] => version(&api.options.version),
        ["api"] if aggregated => return Ok(aggregate(&[""])),
        ["apis"] if aggregated => return Ok(aggregate(&groups())),
        ["api"] => json!({
            "kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [{ "clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1:6443" }],
        }),
        ["apis"] => {
            let groups: Vec<Value> = groups().into_iter().map(group).collect();
            json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })
        }
        ["apis", name] if groups().contains(name) => {
            let mut found = group(name);
            found["kind"] = json!("APIGroup");
            found["apiVersion"] = json!("v1");
            found
        }
        ["api", version] => resource_list("", version)?,
        ["apis", name, version] => resource_list(name, version)?,
        _ => return Ok(answer::text(404, "404 page not found\n")),
    };
    Ok(answer::json(200, &body))
}

fn version(git: &str) -> Value {
    let mut parts = git.trim_start_matches('v').split('.');
    json!({
        "major": parts.next().unwrap_or_default(), "minor": parts.next().unwrap_or_default(), "gitVersion": git,
        "gitCommit": "0000000000000000000000000000000000000000", "gitTreeState": "clean",
        "buildDate": "2026-01-01T00:00:00Z", "goVersion": "go1.24", "compiler": "gc", "platform": "linux/amd64",
    })
}

/// Named groups in the order of the kinds.
fn groups() -> Vec<&'static str> {
    let stored = ALL.iter().map(|r| r.group).filter(|group| !group.is_empty());
    let mut all: Vec<&str> = Vec::new();
    for group in stored.chain(REVIEWS.iter().map(|review| review.0)) {
        if !all.contains(&group) {
            all.push(group);
        }
    }
    all
}

fn version_of(group: &str) -> &'static str {
    ALL.iter().find(|r| r.group == group).map_or("v1", |r| r.version)
}

fn group(name: &str) -> Value {
    let version = version_of(name);
    let entry = json!({ "groupVersion": format!("{name}/{version}"), "version": version });
    json!({ "name": name, "versions": [entry], "preferredVersion": entry })
}

fn resource_list(group: &str, version: &str) -> Result<Value, Status> {
    let mut resources = Vec::new();
    for r in ALL.iter().filter(|r| r.group == group && r.version == version) {
        let mut entry = json!({
            "name": r.plural, "singularName": r.singular, "namespaced": r.namespaced, "kind": r.kind, "verbs": VERBS,
        });
        if !r.short_names.is_empty() {
            entry["shortNames"] = json!(r.short_names);
        }
        if !r.categories.is_empty() {
            entry["categories"] = json!(r.categories);
        }
        resources.push(entry);
        for sub in subresources(r) {
            let mut entry = json!({
                "name": format!("{}/{}", r.plural, sub.name), "singularName": "", "namespaced": r.namespaced,
                "kind": sub.kind, "verbs": sub.verbs,
            });
            if let Some((group, version)) = sub.of {
                entry["group"] = json!(group);
                entry["version"] = json!(version);
            }
            resources.push(entry);
        }
    }
    if version == "v1" {
        for (_, plural, kind) in REVIEWS.iter().filter(|review| review.0 == group) {
            resources.push(json!({
                "name": plural, "singularName": kind.to_lowercase(), "namespaced": false, "kind": kind,
                "verbs": ["create"],
            }));
        }
    }
    if resources.is_empty() {
        return Err(Status::no_such_path());
    }
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    Ok(json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources,
    }))
}

fn aggregate(groups: &[&str]) -> Response {
    let items: Vec<Value> = groups
        .iter()
        .map(|group| {
            let version = version_of(group);
            let resources: Vec<Value> = discovered(group);
            json!({
                "metadata": { "name": group, "creationTimestamp": null },
                "versions": [{ "version": version, "freshness": "Current", "resources": resources }],
            })
        })
        .collect();
    let body = json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items,
    });
    answer::build(200, AGGREGATED, Body::from(body.to_string()))
}

fn discovered(group: &str) -> Vec<Value> {
    let scope = |namespaced: bool| if namespaced { "Namespaced" } else { "Cluster" };
    let mut all = Vec::new();
    for r in ALL.iter().filter(|r| r.group == group) {
        let mut entry = json!({
            "resource": r.plural, "scope": scope(r.namespaced), "singularResource": r.singular, "verbs": VERBS,
            "responseKind": { "group": r.group, "version": r.version, "kind": r.kind },
        });
        if !r.short_names.is_empty() {
            entry["shortNames"] = json!(r.short_names);
        }
        if !r.categories.is_empty() {
            entry["categories"] = json!(r.categories);
        }
        let subs: Vec<Value> = subresources(r)
            .into_iter()
            .map(|sub| {
                let (group, version) = sub.of.unwrap_or((r.group, r.version));
                json!({
                    "subresource": sub.name, "verbs": sub.verbs,
                    "responseKind": { "group": group, "version": version, "kind": sub.kind },
                })
            })
            .collect();
        if !subs.is_empty() {
            entry["subresources"] = json!(subs);
        }
        all.push(entry);
    }
    for (_, plural, kind) in REVIEWS.iter().filter(|review| review.0 == group) {
        all.push(json!({
            "resource": plural, "scope": "Cluster", "singularResource": kind.to_lowercase(), "verbs": ["create"],
            "responseKind": { "group": group, "version": "v1", "kind": kind },
        }));
    }
    all
}
