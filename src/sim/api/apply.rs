//! Server-side apply: the client's object merged into the live one, with ownership of fields and conflicts.
//!
//! Lists merge as in a strategic merge patch; the composite keys of the real schema (`containerPort` with `protocol`)
//! are reduced to their first field.

use serde_json::{Value, json};

use super::fields::{self, Writer};
use super::strategic;
use crate::sim::store::{Resource, Status, meta};

/// The live object after an apply by `writer`, with its `managedFields`.
pub(super) fn applied(
    r: &Resource,
    live: &Value,
    intent: &Value,
    writer: &Writer,
    force: bool,
) -> Result<Value, Status> {
    let mine = fields::all_of(intent);
    let entries = live["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let before = entries.iter().find(|e| writer.owns(e)).map(|e| e["fieldsV1"].clone()).unwrap_or(json!({}));

    let mut next = live.clone();
    strategic::merge(&mut next, intent).map_err(Status::bad_request)?;
    let touched = fields::changed(live, &next);

    let mut contested = json!({});
    let mut causes = Vec::new();
    for entry in entries.iter().filter(|entry| !writer.owns(entry)) {
        let clash = fields::common(&touched, &entry["fieldsV1"]);
        for path in leaves(&clash, "") {
            causes.push(json!({
                "reason": "FieldManagerConflict",
                "message": format!("conflict with {}", describe(entry)),
                "field": path,
            }));
        }
        contested = fields::union(&contested, &clash);
    }
    if !causes.is_empty() && !force {
        return Err(conflict(&causes));
    }

    // What this manager applied before and leaves out now goes, unless another manager holds it.
    let mut dropped = fields::minus(&before, &mine);
    for entry in entries.iter().filter(|entry| !writer.owns(entry)) {
        dropped = fields::minus(&dropped, &entry["fieldsV1"]);
    }
    remove(&mut next, &dropped);
    fields::track_apply(r, live, &mut next, writer, &mine, &contested);
    Ok(next)
}

/// The object that an apply creates.
pub(super) fn created(r: &Resource, intent: &Value, writer: &Writer) -> Value {
    let mut object = intent.clone();
    meta::metadata_mut(&mut object).remove("managedFields");
    let mine = fields::all_of(&object);
    fields::track_apply(r, &json!({}), &mut object, writer, &mine, &json!({}));
    object
}

fn describe(entry: &Value) -> String {
    let manager = entry["manager"].as_str().unwrap_or_default();
    let version = entry["apiVersion"].as_str().unwrap_or_default();
    let sub = entry["subresource"].as_str().map(|s| format!(" with subresource {s:?}")).unwrap_or_default();
    if entry["operation"] == "Update" {
        format!("{manager:?}{sub} using {version}")
    } else {
        format!("{manager:?}{sub}")
    }
}

fn conflict(causes: &[Value]) -> Status {
    let who = causes[0]["message"].as_str().unwrap_or_default();
    let all_same = causes.iter().all(|cause| cause["message"] == who);
    let paths: Vec<&str> = causes.iter().filter_map(|cause| cause["field"].as_str()).collect();
    let count = causes.len();
    let message = match (count, all_same) {
        (1, _) => format!("Apply failed with 1 conflict: {who}: {}", paths[0]),
        (_, true) => {
            let list: Vec<String> = paths.iter().map(|path| format!("- {path}")).collect();
            format!(
                "Apply failed with {count} conflicts: {}:\n{}",
                who.replacen("conflict", "conflicts", 1),
                list.join("\n")
            )
        }
        _ => {
            let list: Vec<String> = causes
                .iter()
                .map(|c| {
                    format!(
                        "{}:\n- {}",
                        c["message"].as_str().unwrap_or_default(),
                        c["field"].as_str().unwrap_or_default()
                    )
                })
                .collect();
            format!("Apply failed with {count} conflicts: {}", list.join("\n"))
        }
    };
    Status { details: Some(json!({ "causes": causes })), ..Status::new(409, "Conflict", message) }
}

/// Paths of the leaves of a field set: `.spec.replicas`, `.spec.containers[name="a"].image`.
fn leaves(set: &Value, path: &str) -> Vec<String> {
    let Some(map) = set.as_object() else { return Vec::new() };
    if map.is_empty() {
        return if path.is_empty() { Vec::new() } else { vec![path.to_owned()] };
    }
    map.iter()
        .filter(|(name, _)| *name != ".")
        .flat_map(|(name, inner)| {
            let step = match name.split_once(':') {
                Some(("f", field)) => format!("{path}.{field}"),
                Some(("k", key)) => format!("{path}{}", key_text(key)),
                Some((_, value)) => format!("{path}[={value}]"),
                None => path.to_owned(),
            };
            leaves(inner, &step)
        })
        .collect()
}

fn key_text(key: &str) -> String {
    let key: Value = serde_json::from_str(key).unwrap_or_default();
    let parts: Vec<String> =
        key.as_object().into_iter().flatten().map(|(field, value)| format!("{field}={value}")).collect();
    format!("[{}]", parts.join(","))
}

/// Takes the leaves of a field set out of a value.
fn remove(value: &mut Value, set: &Value) {
    for (name, inner) in set.as_object().into_iter().flatten() {
        let is_leaf = inner.as_object().is_none_or(|map| map.is_empty() || map.contains_key("."));
        match name.split_once(':') {
            Some(("f", field)) => {
                let Some(map) = value.as_object_mut() else { continue };
                if is_leaf {
                    map.remove(field);
                } else if let Some(child) = map.get_mut(field) {
                    remove(child, inner);
                    if child.as_object().is_some_and(serde_json::Map::is_empty) {
                        map.remove(field);
                    }
                }
            }
            Some(("k", key)) => {
                let key: Value = serde_json::from_str(key).unwrap_or_default();
                let fits = |element: &Value| {
                    key.as_object()
                        .into_iter()
                        .flatten()
                        .all(|(field, wanted)| element.get(field) == Some(wanted))
                };
                let Some(list) = value.as_array_mut() else { continue };
                if is_leaf {
                    list.retain(|element| !fits(element));
                } else if let Some(element) = list.iter_mut().find(|element| fits(element)) {
                    remove(element, inner);
                }
            }
            Some((_, text)) => {
                let gone: Value = serde_json::from_str(text).unwrap_or_default();
                if let Some(list) = value.as_array_mut() {
                    list.retain(|element| *element != gone);
                }
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::store::resources::DEPLOYMENTS;

    fn writer(manager: &str) -> Writer {
        Writer { manager: manager.into(), operation: "Apply", subresource: String::new(), time: "t".into() }
    }

    #[test]
    fn apply_owns_conflicts_forces_and_drops() {
        let first = json!({ "metadata": { "name": "d", "labels": { "a": "1" } }, "spec": { "replicas": 1 } });
        let live = created(&DEPLOYMENTS, &first, &writer("one"));
        let other = json!({ "metadata": { "name": "d" }, "spec": { "replicas": 2 } });
        let refused = applied(&DEPLOYMENTS, &live, &other, &writer("two"), false).unwrap_err();
        assert_eq!((refused.code, refused.reason), (409, "Conflict"));
        assert_eq!(refused.message, "Apply failed with 1 conflict: conflict with \"one\": .spec.replicas");
        let forced = applied(&DEPLOYMENTS, &live, &other, &writer("two"), true).unwrap();
        assert_eq!(forced["spec"]["replicas"], 2);
        let without = json!({ "metadata": { "name": "d" }, "spec": {} });
        let dropped = applied(&DEPLOYMENTS, &forced, &without, &writer("one"), false).unwrap();
        assert!(dropped["metadata"].get("labels").is_none());
        assert_eq!(dropped["spec"]["replicas"], 2);
    }

    #[test]
    fn applying_the_same_again_changes_nothing() {
        let intent = json!({ "metadata": { "name": "d" }, "spec": { "replicas": 1 } });
        let live = created(&DEPLOYMENTS, &intent, &writer("one"));
        let later = Writer { time: "later".into(), ..writer("one") };
        assert_eq!(applied(&DEPLOYMENTS, &live, &intent, &later, false).unwrap(), live);
    }
}
