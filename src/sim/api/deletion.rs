//! `delete` and `deletecollection`.

use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::paging::{self, Page};
use super::request::{Call, Target, unsupported_dry_run};
use super::selector::Selection;
use super::{Api, answer, read};
use crate::sim::store::resources::{
    NAMESPACES, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, SERVICE_ACCOUNTS,
};
use crate::sim::store::{Deletion, FieldError, Propagation, Status, meta};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Options {
    kind: Option<String>,
    grace_period_seconds: Option<i64>,
    preconditions: Option<Preconditions>,
    propagation_policy: Option<String>,
    orphan_dependents: Option<bool>,
    dry_run: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Preconditions {
    uid: Option<String>,
    resource_version: Option<String>,
}

impl Options {
    fn of(call: &Call) -> Result<Options, Status> {
        if !call.body.is_empty() {
            return Options::from_value(call.json()?);
        }
        let number = |name: &str| {
            let text = call.param(name);
            text.map(|t| t.parse::<i64>().map_err(|_| Status::bad_request(format!("{name}: not a number"))))
                .transpose()
        };
        Ok(Options {
            grace_period_seconds: number("gracePeriodSeconds")?,
            propagation_policy: call.param("propagationPolicy").map(str::to_owned),
            orphan_dependents: call.has_param("orphanDependents").then(|| call.flag("orphanDependents")),
            dry_run: call.param("dryRun").map(|value| vec![value.to_owned()]),
            ..Options::default()
        })
    }

    fn from_value(value: Value) -> Result<Options, Status> {
        let options: Options =
            serde_json::from_value(value).map_err(|error| Status::bad_request(error.to_string()))?;
        match options.kind.as_deref() {
            None | Some("DeleteOptions") => Ok(options),
            Some(other) => Err(Status::bad_request(format!("expected DeleteOptions, got {other}"))),
        }
    }

    /// As the options of a delete request, where `dryRun` can only be `All`.
    fn into_deletion(self) -> Result<Deletion, Status> {
        if let Some(other) = self.dry_run.iter().flatten().find(|value| *value != "All") {
            return Err(unsupported_dry_run("DeleteOptions", other));
        }
        self.unchecked()
    }

    fn unchecked(self) -> Result<Deletion, Status> {
        let propagation = match (self.propagation_policy.as_deref(), self.orphan_dependents) {
            (None, Some(true)) | (Some("Orphan"), None) => Propagation::Orphan,
            (Some("Foreground"), None) => Propagation::Foreground,
            (None, _) | (Some("Background"), None) => Propagation::Background,
            (Some(other), _) => return Err(bad_policy(other)),
        };
        let Preconditions { uid, resource_version } = self.preconditions.unwrap_or_default();
        Ok(Deletion {
            grace: self.grace_period_seconds,
            uid,
            resource_version,
            propagation,
            dry_run: self.dry_run.is_some_and(|values| !values.is_empty()),
        })
    }
}

fn bad_policy(given: &str) -> Status {
    let error = FieldError::invalid(
        "propagationPolicy",
        &json!(given),
        "must be one of Foreground, Background, Orphan, and orphanDependents must not be set with it",
    );
    Status {
        details: Some(json!({ "group": "meta.k8s.io", "kind": "DeleteOptions",
            "causes": [{ "reason": error.reason, "message": error.message, "field": error.field }] })),
        ..Status::new(
            422,
            "Invalid",
            format!("DeleteOptions.meta.k8s.io \"\" is invalid: {}: {}", error.field, error.message),
        )
    }
}

/// The `deleteOptions` of an eviction, with the values of its `dryRun`, which the server does not check there.
pub(super) fn from_eviction(options: &Value) -> Result<(Deletion, Vec<String>), Status> {
    if options.is_null() {
        return Ok((Deletion::default(), Vec::new()));
    }
    let options = Options::from_value(options.clone())?;
    let dry_run = options.dry_run.clone().unwrap_or_default();
    Ok((options.unchecked()?, dry_run))
}

/// `delete` of one object.
pub(super) fn delete(api: &Api, call: &Call, target: &Target) -> Result<Response, Status> {
    let how = Options::of(call)?.into_deletion()?;
    if *target.stored == NAMESPACES && matches!(target.name(), "default" | "kube-system" | "kube-public") {
        return Err(Status::forbidden(&NAMESPACES, target.name(), "this namespace may not be deleted"));
    }
    api.faults.review(call)?;
    let (object, gone) =
        api.store.delete_reporting(target.stored, target.namespace(), target.name(), &how)?;
    let r = target.stored;
    let gives_object =
        [&PODS, &NAMESPACES, &PERSISTENT_VOLUMES, &PERSISTENT_VOLUME_CLAIMS, &SERVICE_ACCOUNTS]
            .iter()
            .any(|k| **k == *r);
    if !gone && how.propagation == Propagation::Foreground {
        return Ok(read::object_answer(api, call, target, 202, &object));
    }
    if !gone || gives_object {
        return Ok(read::object_answer(api, call, target, 200, &object));
    }
    let mut details = json!({ "name": target.name(), "kind": r.plural, "uid": meta::uid(&object) });
    if !r.group.is_empty() {
        details["group"] = json!(r.group);
    }
    Ok(answer::success(200, Some(details)))
}

/// `deletecollection`: everything the selectors take.
pub(super) fn delete_collection(api: &Api, call: &Call, target: &Target) -> Result<Response, Status> {
    if target.served.namespaced && target.namespace.is_none() {
        return Err(super::method_not_allowed());
    }
    let how = Options::of(call)?.into_deletion()?;
    let selection = Selection::new(call.param("labelSelector"), call.param("fieldSelector"), target)?;
    api.faults.review(call)?;
    let page = paging::page(api, call, target, &selection)?;
    for object in &page.items {
        let _ = api.store.delete(target.stored, meta::namespace(object), meta::name(object), &how);
    }
    let page = Page { revision: api.store.revision(), ..page };
    Ok(read::list_answer(api, call, target, &page))
}
