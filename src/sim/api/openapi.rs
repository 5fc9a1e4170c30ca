//! Just enough of `/openapi/v3` for kubectl to learn that `dryRun` and `fieldValidation` are supported. There are no
//! schemas in it; `/openapi/v2` is absent.

use axum::response::Response;
use serde_json::{Map, Value, json};

use super::answer;
use super::request::Call;
use crate::sim::store::resources::ALL;
use crate::sim::store::{Resource, Status};

fn document_of(r: &Resource) -> String {
    if r.group.is_empty() { format!("api/{}", r.version) } else { format!("apis/{}/{}", r.group, r.version) }
}

/// Answers a path below `/openapi/`.
pub(super) fn answer(rest: &str, call: &Call) -> Result<Response, Status> {
    let accept = call.header("accept").unwrap_or_default();
    // A client that takes only protobuf gets the real server's answer for a form it lacks.
    if accept.contains("protobuf") && !accept.contains("json") && !accept.contains("*/*") {
        return Err(Status::new(
            406,
            "NotAcceptable",
            "only the following media types are accepted: application/json",
        ));
    }
    match rest.trim_end_matches('/') {
        "v3" => {
            let paths: Map<String, Value> = ALL
                .iter()
                .map(|r| {
                    let name = document_of(r);
                    let url = format!("/openapi/v3/{name}?hash=0");
                    (name, json!({ "serverRelativeURL": url }))
                })
                .collect();
            Ok(answer::json(200, &json!({ "paths": paths })))
        }
        other => {
            let name = other.strip_prefix("v3/").ok_or_else(Status::no_such_path)?;
            document(name).map(|document| answer::json(200, &document))
        }
    }
}

fn document(name: &str) -> Result<Value, Status> {
    let mut paths = Map::new();
    for r in ALL.iter().filter(|r| document_of(r) == name) {
        let parameter = |name: &str| json!({ "name": name, "in": "query", "schema": { "type": "string", "uniqueItems": true } });
        let operation = |verb: &str| {
            json!({
                "operationId": format!("{verb}{}", r.kind),
                "parameters": [parameter("dryRun"), parameter("fieldManager"), parameter("fieldValidation")],
                "responses": { "200": { "description": "OK" } },
                "x-kubernetes-action": verb,
                "x-kubernetes-group-version-kind": { "group": r.group, "version": r.version, "kind": r.kind },
            })
        };
        paths.insert(
            r.path("{namespace}", "{name}"),
            json!({ "patch": operation("patch"), "put": operation("put") }),
        );
    }
    if paths.is_empty() {
        return Err(Status::no_such_path());
    }
    Ok(json!({
        "openapi": "3.0.0", "info": { "title": "Kubernetes", "version": "unversioned" }, "paths": paths,
        "components": { "schemas": {} },
    }))
}
