//! The kinds of patch, told apart by content type, applied to an object.

use serde_json::{Value, json};

use super::request::Call;
use super::strategic;
use crate::sim::store::resources::POD_DISRUPTION_BUDGETS;
use crate::sim::store::{Resource, Status};

/// A kind of patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PatchKind {
    Json,
    Merge,
    Strategic,
    Apply,
}

impl PatchKind {
    /// The kind a request's content type names; 415 for another.
    pub(super) fn of(call: &Call) -> Result<PatchKind, Status> {
        match call.content_type() {
            "application/json-patch+json" => Ok(PatchKind::Json),
            "application/merge-patch+json" => Ok(PatchKind::Merge),
            "application/strategic-merge-patch+json" => Ok(PatchKind::Strategic),
            "application/apply-patch+yaml" => Ok(PatchKind::Apply),
            _ => Err(Status::new(
                415,
                "UnsupportedMediaType",
                "the body of the request was in an unknown format - accepted media types include: \
                 application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, \
                 application/apply-patch+yaml",
            )),
        }
    }
}

/// The object after a patch (not for server-side apply).
pub(super) fn patched(kind: PatchKind, r: &Resource, current: &Value, body: &[u8]) -> Result<Value, Status> {
    let bad = |error: &dyn std::fmt::Display| Status::bad_request(format!("error decoding patch: {error}"));
    let patch: Value = serde_json::from_slice(body).map_err(|error| bad(&error))?;
    let mut next = current.clone();
    match kind {
        PatchKind::Json => {
            let operations: json_patch::Patch = serde_json::from_value(patch).map_err(|error| bad(&error))?;
            json_patch::patch(&mut next, &operations)
                .map_err(|error| rejected(r, current, &error.to_string()))?;
        }
        PatchKind::Merge | PatchKind::Apply => {
            if !patch.is_object() {
                return Err(bad(&"not an object"));
            }
            json_patch::merge(&mut next, &patch);
        }
        PatchKind::Strategic => {
            strategic::merge(&mut next, &patch).map_err(Status::bad_request)?;
            // The only map with `patchStrategy: replace`.
            if *r == POD_DISRUPTION_BUDGETS && patch["spec"]["selector"].is_object() {
                next["spec"]["selector"] = strategic::plain(&patch["spec"]["selector"]);
            }
        }
    }
    if next.is_object() { Ok(next) } else { Err(Status::bad_request("the patched object is not an object")) }
}

/// 422 for a JSON patch that does not fit, a failed `test` among them (`patch.go`, `NewGenericServerResponse`).
fn rejected(r: &Resource, current: &Value, why: &str) -> Status {
    let details = json!({
        "group": r.group, "kind": r.plural, "name": current["metadata"]["name"],
        "causes": [{ "reason": "UnexpectedServerResponse", "message": why }],
    });
    Status {
        details: Some(details),
        ..Status::new(422, "Invalid", "the server rejected our request due to an error in our request")
    }
}
