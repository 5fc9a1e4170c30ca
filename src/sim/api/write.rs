//! `update` and `patch` of objects and of their status.

use axum::response::Response;
use serde_json::{Value, json};

use super::fields::{self, Writer};
use super::patch::{PatchKind, patched};
use super::request::{Call, Target};
use super::{Api, admission, apply, create, events, read, typed, validation};
use crate::sim::store::{FieldError, Object, Resource, Status, meta};

/// `update`: the body replaces the object.
pub(super) fn update(api: &Api, call: &Call, target: &Target) -> Result<Response, Status> {
    let r = target.stored;
    let body = create::decode(call, target, call.json()?)?;
    check_name(target, &body)?;
    let dry_run = call.dry_run("UpdateOptions")?;
    let absent = api.store.get(r, target.namespace(), target.name()).is_none();
    if absent && target.subresource.is_none() && validation::creates_on_update(r) {
        let writer = Writer::of(call, None, api.store.now());
        let made = create::make(api, call, target, body, &writer)?;
        return Ok(read::object_answer(api, call, target, 201, &made));
    }
    if meta::text(&body, "resourceVersion").is_empty() && validation::needs_version(r) {
        let error = FieldError {
            reason: "FieldValueInvalid",
            field: "metadata.resourceVersion".to_owned(),
            message: "Invalid value: 0x0: must be specified for an update".to_owned(),
        };
        return Err(Status::invalid(r, target.name(), &[error]));
    }
    api.faults.review(call)?;
    let writer = Writer::of(call, target.subresource.as_deref(), api.store.now());
    let written = commit(api, target, dry_run, |current| {
        let next = settled(target, current, body)?;
        Ok(tracked(r, current, next, &writer))
    })?;
    Ok(read::object_answer(api, call, target, 200, &written))
}

/// `patch` of any kind.
pub(super) fn patch(api: &Api, call: &Call, target: &Target) -> Result<Response, Status> {
    let kind = PatchKind::of(call)?;
    let dry_run = call.dry_run("PatchOptions")?;
    if kind == PatchKind::Apply {
        return server_side_apply(api, call, target, dry_run);
    }
    let r = target.stored;
    api.faults.review(call)?;
    let writer = Writer::of(call, target.subresource.as_deref(), api.store.now());
    let written = commit(api, target, dry_run, |current| {
        let shown = events::shown(target, current);
        let next = events::stored(target, patched(kind, target.served, &shown, &call.body)?);
        check_name(target, &next)?;
        typed::check(call, r, &next)?;
        let next = settled(target, current, next)?;
        Ok(tracked(r, current, next, &writer))
    })?;
    Ok(read::object_answer(api, call, target, 200, &written))
}

fn server_side_apply(api: &Api, call: &Call, target: &Target, dry_run: bool) -> Result<Response, Status> {
    let r = target.stored;
    let Some(manager) = call.param("fieldManager") else {
        let error = FieldError::required("fieldManager", "is required for apply patch");
        return Err(Status {
            details: Some(json!({ "group": "meta.k8s.io", "kind": "PatchOptions",
                "causes": [{ "reason": error.reason, "message": error.message, "field": error.field }] })),
            ..Status::new(
                422,
                "Invalid",
                "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
            )
        });
    };
    let body: Value = serde_json::from_slice(&call.body).map_err(|error| {
        Status::bad_request(format!("error decoding YAML: {error} (this server reads JSON only)"))
    })?;
    let body = create::decode(call, target, body)?;
    check_name(target, &body)?;
    if !body["metadata"]["managedFields"].is_null() {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    let subresource = target.subresource.clone().unwrap_or_default();
    let writer =
        Writer { manager: manager.to_owned(), operation: "Apply", subresource, time: api.store.now() };
    if api.store.get(r, target.namespace(), target.name()).is_none() {
        if target.subresource.is_some() {
            return Err(Status::not_found(target.served, target.name()));
        }
        if !meta::uid(&body).is_empty() {
            let why = format!(
                "uid mismatch: the provided object specified uid {}, and no existing object was found",
                meta::uid(&body)
            );
            return Err(Status::conflict(r, target.name(), &why));
        }
        let mut body = body;
        meta::metadata_mut(&mut body).insert("name".into(), json!(target.name()));
        let made = create::make(api, call, target, body, &writer)?;
        return Ok(read::object_answer(api, call, target, 201, &made));
    }
    api.faults.review(call)?;
    let force = call.flag("force");
    let written = commit(api, target, dry_run, |current| {
        let next = apply::applied(r, current, &body, &writer, force)?;
        let owners = next["metadata"]["managedFields"].clone();
        let mut next = settled(target, current, next)?;
        meta::metadata_mut(&mut next).insert("managedFields".into(), owners);
        Ok(next)
    })?;
    Ok(read::object_answer(api, call, target, 200, &written))
}

/// Reads, changes and writes the object of `target` in one step, or only computes it.
pub(super) fn commit(
    api: &Api,
    target: &Target,
    dry_run: bool,
    change: impl FnOnce(&Value) -> Result<Value, Status>,
) -> Result<Object, Status> {
    let step = |object: &mut Value| {
        *object = change(object)?;
        Ok(())
    };
    let (r, namespace, name) = (target.stored, target.namespace(), target.name());
    if dry_run {
        api.store.preview_modify(r, namespace, name, step).map(Object::new)
    } else {
        api.store.try_modify(r, namespace, name, step)
    }
}

/// Notes the writer of what changed.
pub(super) fn tracked(r: &Resource, current: &Value, mut next: Value, writer: &Writer) -> Value {
    fields::track(r, current, &mut next, writer);
    next
}

/// 400 when the body's name or namespace is not the URL's.
fn check_name(target: &Target, body: &Value) -> Result<(), Status> {
    let (name, namespace) = (meta::name(body), meta::namespace(body));
    if !name.is_empty() && name != target.name() {
        return Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            target.name()
        )));
    }
    if !namespace.is_empty() && target.namespace.as_deref().is_some_and(|ns| ns != namespace) {
        return Err(Status::bad_request(format!(
            "the namespace of the object ({namespace}) does not match the namespace on the URL ({})",
            target.namespace()
        )));
    }
    Ok(())
}

/// The object a write leads to: version and uid checked, the part that the path may not write taken from `current`.
pub(super) fn settled(target: &Target, current: &Value, wanted: Value) -> Result<Value, Status> {
    let r = target.stored;
    let (name, version) = (meta::name(current), meta::text(&wanted, "resourceVersion"));
    if !version.is_empty() && version != meta::text(current, "resourceVersion") {
        return Err(Status::modified(target.served, name));
    }
    let uid = meta::uid(&wanted);
    if !uid.is_empty() && uid != meta::uid(current) {
        let why = format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            meta::uid(current)
        );
        return Err(Status::conflict(target.served, name, &why));
    }
    let mut next = if target.subresource.as_deref() == Some("status") {
        status_only(current, &wanted)
    } else {
        let mut next = wanted;
        if r.status {
            keep(&mut next, current, "status");
        }
        next
    };
    admission::omit_empty(&mut next);
    let metadata = meta::metadata_mut(&mut next);
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
        match current["metadata"].get(field) {
            Some(value) => metadata.insert(field.to_owned(), value.clone()),
            None => metadata.remove(field),
        };
    }
    if metadata.get("managedFields").is_none()
        && let Some(managed) = current["metadata"].get("managedFields")
    {
        metadata.insert("managedFields".into(), managed.clone());
    }
    if target.subresource.is_none() {
        validation::check_update(r, current, &next)?;
    }
    Ok(next)
}

fn keep(next: &mut Value, current: &Value, field: &str) {
    let Some(map) = next.as_object_mut() else { return };
    match current.get(field) {
        Some(value) => map.insert(field.to_owned(), value.clone()),
        None => map.remove(field),
    };
}

/// A write to `/status`: status, labels and annotations, nothing else.
fn status_only(current: &Value, wanted: &Value) -> Value {
    let mut next = current.clone();
    keep(&mut next, wanted, "status");
    let metadata = meta::metadata_mut(&mut next);
    for field in ["labels", "annotations", "managedFields"] {
        match wanted["metadata"].get(field) {
            Some(value) => metadata.insert(field.to_owned(), value.clone()),
            None if field == "managedFields" => None,
            None => metadata.remove(field),
        };
    }
    next
}
