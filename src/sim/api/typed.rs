//! Type checks: a body must decode as its kind, and in strict mode hold no field that the kind lacks.

use k8s_openapi::api::{
    apps::v1 as apps, autoscaling::v2 as autoscaling, batch::v1 as batch, coordination::v1 as coordination,
    core::v1 as core, discovery::v1 as discovery, policy::v1 as policy, scheduling::v1 as scheduling,
    storage::v1 as storage,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::request::Call;
use crate::sim::store::{Resource, Status};

type Check = fn(&Value) -> Result<Value, serde_json::Error>;

fn read_back<T: DeserializeOwned + Serialize>(value: &Value) -> Result<Value, serde_json::Error> {
    serde_json::to_value(T::deserialize(value)?)
}

fn check_of(kind: &str) -> Option<Check> {
    Some(match kind {
        "Node" => read_back::<core::Node>,
        "Pod" => read_back::<core::Pod>,
        "Namespace" => read_back::<core::Namespace>,
        "ServiceAccount" => read_back::<core::ServiceAccount>,
        "ConfigMap" => read_back::<core::ConfigMap>,
        "Service" => read_back::<core::Service>,
        "Event" => read_back::<core::Event>,
        "Deployment" => read_back::<apps::Deployment>,
        "ReplicaSet" => read_back::<apps::ReplicaSet>,
        "StatefulSet" => read_back::<apps::StatefulSet>,
        "DaemonSet" => read_back::<apps::DaemonSet>,
        "Job" => read_back::<batch::Job>,
        "CronJob" => read_back::<batch::CronJob>,
        "PodDisruptionBudget" => read_back::<policy::PodDisruptionBudget>,
        "Lease" => read_back::<coordination::Lease>,
        "HorizontalPodAutoscaler" => read_back::<autoscaling::HorizontalPodAutoscaler>,
        "VolumeAttachment" => read_back::<storage::VolumeAttachment>,
        "PriorityClass" => read_back::<scheduling::PriorityClass>,
        "EndpointSlice" => read_back::<discovery::EndpointSlice>,
        _ => return None,
    })
}

/// 400 when an object does not decode as its kind, or strictly when it has unknown fields.
pub(super) fn check(call: &Call, r: &Resource, object: &Value) -> Result<(), Status> {
    let Some(check) = check_of(r.kind) else { return Ok(()) };
    let known = check(object).map_err(|error| {
        Status::bad_request(format!(
            "{kind} in version {:?} cannot be handled as a {kind}: json: {error}",
            r.version,
            kind = r.kind
        ))
    })?;
    if call.param("fieldValidation") != Some("Strict") {
        return Ok(());
    }
    let mut unknown = Vec::new();
    lost(object, &known, "", &mut unknown);
    if unknown.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = unknown.iter().map(|field| format!("unknown field {field:?}")).collect();
    Err(Status::bad_request(format!(
        "{kind} in version {:?} cannot be handled as a {kind}: strict decoding error: {}",
        r.version,
        list.join(", "),
        kind = r.kind
    )))
}

/// Paths that decoding lost. Empty values may be lost: types leave them out.
fn lost(given: &Value, known: &Value, path: &str, unknown: &mut Vec<String>) {
    match (given, known) {
        (Value::Object(given), Value::Object(known)) => {
            for (field, value) in given {
                let path = if path.is_empty() { field.clone() } else { format!("{path}.{field}") };
                match known.get(field) {
                    Some(inner) => lost(value, inner, &path, unknown),
                    None if is_empty(value) => {}
                    None => unknown.push(path),
                }
            }
        }
        (Value::Array(given), Value::Array(known)) => {
            for (at, (value, inner)) in given.iter().zip(known).enumerate() {
                lost(value, inner, &format!("{path}[{at}]"), unknown);
            }
        }
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}
