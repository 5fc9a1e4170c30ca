//! The `scale` subresource: `autoscaling/v1` Scale over `spec.replicas`.

use axum::response::Response;
use serde_json::{Value, json};

use super::fields::Writer;
use super::patch::{PatchKind, patched};
use super::request::{Call, Target};
use super::{Api, answer, selector, write};
use crate::sim::store::{FieldError, Object, Status, meta};

/// `get`, `update` or `patch` of a scale.
pub(super) fn answer(api: &Api, call: &Call, target: &Target) -> Result<Response, Status> {
    let read = || {
        api.store
            .get(target.stored, target.namespace(), target.name())
            .ok_or_else(|| Status::not_found(target.served, target.name()))
    };
    let written = match call.verb {
        "get" => read()?,
        "update" => {
            let body = call.json()?;
            change(api, call, target, |_| Ok(body))?
        }
        _ => {
            let kind = PatchKind::of(call)?;
            change(api, call, target, |current| patched(kind, target.served, &scale_of(current), &call.body))?
        }
    };
    Ok(answer::json(200, &scale_of(&written)))
}

fn change(
    api: &Api,
    call: &Call,
    target: &Target,
    next: impl FnOnce(&Value) -> Result<Value, Status>,
) -> Result<Object, Status> {
    let dry_run = call.dry_run("UpdateOptions")?;
    api.faults.review(call)?;
    let writer = Writer::of(call, Some("scale"), api.store.now());
    write::commit(api, target, dry_run, |current| {
        let scale = next(current)?;
        let (version, name) = (meta::text(&scale, "resourceVersion"), target.name());
        if !version.is_empty() && version != meta::text(current, "resourceVersion") {
            return Err(Status::modified(target.served, name));
        }
        let replicas = &scale["spec"]["replicas"];
        let wanted = match replicas {
            Value::Null => 0,
            other => other.as_i64().ok_or_else(|| {
                Status::bad_request(format!(
                    "Scale in version \"v1\" cannot be handled as a Scale: spec.replicas: {other} is not an integer"
                ))
            })?,
        };
        if wanted < 0 {
            let error = FieldError::invalid("spec.replicas", replicas, "must be greater than or equal to 0");
            return Err(Status::invalid(target.served, name, &[error]));
        }
        let mut object = current.clone();
        object["spec"]["replicas"] = json!(wanted);
        Ok(write::tracked(target.stored, current, object, &writer))
    })
}

fn scale_of(object: &Value) -> Value {
    let selector = &object["spec"]["selector"];
    // A replication controller's selector is the map itself.
    let selector = if selector["matchLabels"].is_null() && selector["matchExpressions"].is_null() {
        selector::object_text(&json!({ "matchLabels": selector }))
    } else {
        selector::object_text(selector)
    };
    let metadata = &object["metadata"];
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"], "creationTimestamp": metadata["creationTimestamp"],
        },
        "spec": { "replicas": object["spec"]["replicas"].as_i64().unwrap_or(1) },
        "status": { "replicas": object["status"]["replicas"].as_i64().unwrap_or(0), "selector": selector },
    })
}
