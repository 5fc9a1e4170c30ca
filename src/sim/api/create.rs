//! `create`.

use axum::response::Response;
use serde_json::{Value, json};

use super::fields::{self, Writer};
use super::request::{Call, Target};
use super::{Api, admission, apply, events, read, typed, validation};
use crate::sim::store::resources::NODES;
use crate::sim::store::{Object, Status, meta};

/// `create` of an object from the request's body.
pub(super) fn create(api: &Api, call: &Call, target: &Target) -> Result<Response, Status> {
    if target.served.namespaced && target.namespace.is_none() {
        return Err(super::method_not_allowed());
    }
    let object = decode(call, target, call.json()?)?;
    let writer = Writer::of(call, None, api.store.now());
    let made = make(api, call, target, object, &writer)?;
    Ok(read::object_answer(api, call, target, 201, &made))
}

/// Checks that a body is an object of the kind its URL names, and gives it the stored shape.
pub(super) fn decode(call: &Call, target: &Target, body: Value) -> Result<Value, Status> {
    let r = target.served;
    if !body.is_object() {
        return Err(Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {}): couldn't get version/kind; json parse error",
            r.kind
        )));
    }
    let kind = body["kind"].as_str().unwrap_or(r.kind);
    let version = body["apiVersion"].as_str().map_or_else(|| r.api_version(), str::to_owned);
    if kind != r.kind || version != r.api_version() {
        let (group, v) = version.split_once('/').unwrap_or(("", &version));
        let place = if group.is_empty() { "v1".to_owned() } else { format!("{group}/{v}") };
        return Err(Status::bad_request(format!(
            "{kind} in version {v:?} cannot be handled as a {}: no kind {kind:?} is registered for version {place:?} \
             here",
            r.kind
        )));
    }
    let object = events::stored(target, body);
    typed::check(call, target.stored, &object)?;
    Ok(object)
}

/// Completes, checks and stores a new object; `writer` is noted in `managedFields`.
pub(super) fn make(
    api: &Api,
    call: &Call,
    target: &Target,
    mut object: Value,
    writer: &Writer,
) -> Result<Object, Status> {
    let r = target.stored;
    place(target, &mut object)?;
    if !meta::text(&object, "resourceVersion").is_empty() {
        return Err(Status::new(500, "", "resourceVersion should not be set on objects to be created"));
    }
    if r.namespaced {
        admission::check_namespace(api, target, meta::namespace(&object), meta::name(&object))?;
    }
    clear_system_fields(&mut object);
    // The status of a new object is the server's, except a node's, which its kubelet brings.
    if r.status
        && *r != NODES
        && let Some(map) = object.as_object_mut()
    {
        map.remove("status");
    }
    let dry_run = call.dry_run("CreateOptions")?;
    admission::complete(&api.store, r, &mut object)?;
    admission::omit_empty(&mut object);
    api.faults.review(call)?;
    validation::check_new(r, &object)?;
    let mut tracked = if writer.operation == "Apply" {
        apply::created(r, &object, writer)
    } else {
        let mut tracked = object.clone();
        meta::metadata_mut(&mut tracked).remove("managedFields");
        fields::track(r, &json!({}), &mut tracked, writer);
        tracked
    };
    if tracked["status"].is_null() && r.status && !matches!(r.kind, "Lease" | "Event") {
        tracked["status"] = initial_status(r.kind);
    }
    if dry_run { api.store.preview_create(r, tracked).map(Object::new) } else { api.store.create(r, tracked) }
}

fn initial_status(kind: &str) -> Value {
    match kind {
        "PodDisruptionBudget" => {
            json!({ "currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0 })
        }
        "DaemonSet" => json!({
            "currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0,
        }),
        "ReplicaSet" | "StatefulSet" => json!({ "replicas": 0 }),
        _ => json!({}),
    }
}

/// Gives the object its namespace; 400 when it names another than the URL.
fn place(target: &Target, object: &mut Value) -> Result<(), Status> {
    let Some(namespace) = &target.namespace else {
        meta::metadata_mut(object).remove("namespace");
        return Ok(());
    };
    let named = meta::namespace(object);
    if !named.is_empty() && named != namespace {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    meta::metadata_mut(object).insert("namespace".into(), json!(namespace));
    Ok(())
}

fn clear_system_fields(object: &mut Value) {
    let metadata = meta::metadata_mut(object);
    for field in [
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "selfLink",
    ] {
        metadata.remove(field);
    }
    metadata.insert("uid".into(), json!(meta::new_uid()));
}
