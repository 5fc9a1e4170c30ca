//! Strategic merge patch: maps merge, lists merge by the key their type declares, and directives (`$patch`,
//! `$retainKeys`, `$setElementOrder/…`, `$deleteFromPrimitiveList/…`) say the rest.

use serde_json::{Map, Value};

/// How a list merges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListKind {
    /// As one value.
    Atomic,
    /// Element by element, by this field.
    Keyed(&'static str),
    /// As a set of plain values.
    Set,
}

/// The merge rule of the list `field` inside `parent` (the `patchStrategy` and `patchMergeKey` tags of the API types).
/// Tolerations and taints have none: they are replaced as a whole.
pub(super) fn list_kind(parent: &str, field: &str) -> ListKind {
    match (parent, field) {
        (
            _,
            "containers"
            | "initContainers"
            | "ephemeralContainers"
            | "env"
            | "volumes"
            | "imagePullSecrets"
            | "resourceClaims"
            | "drivers",
        )
        | ("", "secrets") => ListKind::Keyed("name"),
        (_, "volumeMounts") => ListKind::Keyed("mountPath"),
        (_, "volumeDevices") => ListKind::Keyed("devicePath"),
        ("containers" | "initContainers" | "ephemeralContainers", "ports") => {
            ListKind::Keyed("containerPort")
        }
        ("spec", "ports") => ListKind::Keyed("port"),
        (_, "hostAliases" | "podIPs" | "hostIPs") => ListKind::Keyed("ip"),
        (_, "topologySpreadConstraints") => ListKind::Keyed("topologyKey"),
        (_, "conditions") | ("status", "addresses") => ListKind::Keyed("type"),
        (_, "ownerReferences") => ListKind::Keyed("uid"),
        ("metadata", "finalizers") | (_, "podCIDRs") => ListKind::Set,
        _ => ListKind::Atomic,
    }
}

const DIRECTIVE: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const ORDER: &str = "$setElementOrder/";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";

/// Applies a patch to an object; an error is the server's text.
pub(super) fn merge(target: &mut Value, patch: &Value) -> Result<(), String> {
    let Some(patch) = patch.as_object() else {
        return Err("cannot unmarshal patch: not an object".to_owned());
    };
    merge_map(map_of(target), patch, "")
}

fn map_of(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("made an object above"),
    }
}

fn merge_map(target: &mut Map<String, Value>, patch: &Map<String, Value>, name: &str) -> Result<(), String> {
    match patch.get(DIRECTIVE).and_then(Value::as_str) {
        None | Some("merge") => {}
        Some("replace") => {
            *target =
                patch.iter().filter(|(k, _)| *k != DIRECTIVE).map(|(k, v)| (k.clone(), plain(v))).collect();
            return Ok(());
        }
        Some("delete") => {
            target.clear();
            return Ok(());
        }
        Some(other) => return Err(format!("Unknown patch type found: {other}")),
    }
    if let Some(kept) = patch.get(RETAIN).and_then(Value::as_array) {
        target.retain(|key, _| kept.iter().any(|k| k == key));
    }
    for (key, value) in patch {
        if key == DIRECTIVE || key == RETAIN || key.starts_with(ORDER) {
            continue;
        }
        if let Some(field) = key.strip_prefix(DELETE_FROM) {
            let gone = value.as_array().map(Vec::as_slice).unwrap_or_default();
            if let Some(list) = target.get_mut(field).and_then(Value::as_array_mut) {
                list.retain(|element| !gone.contains(element));
            }
            continue;
        }
        match value {
            Value::Null => {
                target.remove(key);
            }
            Value::Object(inner) => {
                let slot = target.entry(key.clone()).or_insert(Value::Null);
                merge_map(map_of(slot), inner, key)?;
            }
            Value::Array(inner) => {
                let old = target.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
                let order = patch.get(&format!("{ORDER}{key}")).and_then(Value::as_array);
                let merged = merge_list(&old, inner, name, key, order)?;
                target.insert(key.clone(), Value::Array(merged));
            }
            other => {
                target.insert(key.clone(), other.clone());
            }
        }
    }
    reorder(target, patch, name);
    Ok(())
}

/// Orders without changes to the list itself.
fn reorder(target: &mut Map<String, Value>, patch: &Map<String, Value>, name: &str) {
    for (key, order) in patch {
        let Some(field) = key.strip_prefix(ORDER).filter(|field| !patch.contains_key(*field)) else {
            continue;
        };
        if let (Some(list), Some(order)) =
            (target.get_mut(field).and_then(Value::as_array_mut), order.as_array())
        {
            let before = list.clone();
            *list = ordered(std::mem::take(list), &before, order, list_kind(name, field));
        }
    }
}

fn merge_list(
    old: &[Value],
    patch: &[Value],
    parent: &str,
    field: &str,
    order: Option<&Vec<Value>>,
) -> Result<Vec<Value>, String> {
    let kind = list_kind(parent, field);
    let replaces = |element: &&Value| element.get(DIRECTIVE).is_some_and(|d| d == "replace");
    if patch.iter().any(|element| replaces(&element)) {
        return Ok(patch.iter().filter(|element| !replaces(element)).map(plain).collect());
    }
    let mut list = old.to_vec();
    match kind {
        ListKind::Atomic => return Ok(patch.iter().map(plain).collect()),
        ListKind::Set => {
            for element in patch {
                if !list.contains(element) {
                    list.push(element.clone());
                }
            }
        }
        ListKind::Keyed(key) => {
            for element in patch {
                merge_element(&mut list, element, key, field)?;
            }
        }
    }
    Ok(match order {
        Some(order) => ordered(list, old, order, kind),
        None => list,
    })
}

fn merge_element(list: &mut Vec<Value>, element: &Value, key: &str, field: &str) -> Result<(), String> {
    let Some(map) = element.as_object() else {
        return Err(format!("expected a map in list {field}, got {element}"));
    };
    let Some(id) = map.get(key) else {
        return Err(format!("map: {element} does not contain declared merge key: {key}"));
    };
    if map.get(DIRECTIVE).is_some_and(|d| d == "delete") {
        list.retain(|existing| existing.get(key) != Some(id));
        return Ok(());
    }
    if let Some(existing) = list.iter_mut().find(|existing| existing.get(key) == Some(id)) {
        return merge_map(map_of(existing), map, field);
    }
    let mut fresh = Map::new();
    merge_map(&mut fresh, map, field)?;
    list.push(Value::Object(fresh));
    Ok(())
}

/// Puts the named elements into the given order; the others keep their place relative to their old neighbours.
fn ordered(list: Vec<Value>, before: &[Value], order: &[Value], kind: ListKind) -> Vec<Value> {
    let id = |element: &Value| match kind {
        ListKind::Keyed(key) => element.get(key).cloned().unwrap_or_default(),
        ListKind::Atomic | ListKind::Set => element.clone(),
    };
    let wanted: Vec<Value> = order.iter().map(id).collect();
    let rank = |element: &Value| wanted.iter().position(|w| *w == id(element));
    let old_place = |element: &Value| before.iter().position(|b| id(b) == id(element));
    let (mut named, others): (Vec<Value>, Vec<Value>) = list.into_iter().partition(|e| rank(e).is_some());
    named.sort_by_key(|element| rank(element));
    let mut result = Vec::with_capacity(named.len() + others.len());
    let mut others = others.into_iter().peekable();
    for element in named {
        if let Some(place) = old_place(&element) {
            while let Some(other) = others.next_if(|o| old_place(o).is_some_and(|p| p < place)) {
                result.push(other);
            }
        }
        result.push(element);
    }
    result.extend(others);
    result
}

/// A value without directives and nulls.
pub(super) fn plain(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(key, value)| !key.starts_with('$') && !value.is_null())
            .map(|(key, value)| (key.clone(), plain(value)))
            .collect(),
        Value::Array(list) => list.iter().map(plain).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merged(mut target: Value, patch: &Value) -> Value {
        merge(&mut target, patch).unwrap();
        target
    }

    #[test]
    fn maps_merge_and_nulls_delete() {
        let node = json!({ "spec": { "unschedulable": true, "podCIDR": "x" }, "metadata": { "labels": { "a": "1" } } });
        let patch = json!({ "spec": { "unschedulable": null }, "metadata": { "labels": { "b": "2" } } });
        assert_eq!(
            merged(node, &patch),
            json!({ "spec": { "podCIDR": "x" }, "metadata": { "labels": { "a": "1", "b": "2" } } })
        );
    }

    #[test]
    fn keyed_lists_merge_by_key_and_atomic_ones_are_replaced() {
        let pod = json!({ "spec": {
            "containers": [{ "name": "a", "image": "1", "env": [{ "name": "X", "value": "1" }] }, { "name": "b" }],
            "tolerations": [{ "key": "old" }],
        } });
        let patch = json!({ "spec": {
            "containers": [{ "name": "a", "image": "2", "env": [{ "name": "Y", "value": "2" }] }, { "name": "c" }],
            "tolerations": [{ "key": "new" }],
        } });
        let spec = &merged(pod, &patch)["spec"];
        assert_eq!(spec["containers"][0]["image"], "2");
        assert_eq!(spec["containers"][0]["env"].as_array().unwrap().len(), 2);
        assert_eq!(spec["containers"][2]["name"], "c");
        assert_eq!(spec["tolerations"], json!([{ "key": "new" }]));
    }

    #[test]
    fn conditions_and_owners_merge() {
        let node = json!({ "status": { "conditions": [{ "type": "Ready", "status": "True" }, { "type": "Disk" }] } });
        let patch = json!({ "status": { "conditions": [{ "type": "Ready", "status": "False" }] } });
        let conditions = merged(node, &patch)["status"]["conditions"].clone();
        assert_eq!(conditions, json!([{ "type": "Ready", "status": "False" }, { "type": "Disk" }]));
        let pod = json!({ "metadata": { "ownerReferences": [{ "uid": "1" }], "finalizers": ["x"] } });
        let patch = json!({ "metadata": { "ownerReferences": [{ "uid": "2" }], "finalizers": ["y"] } });
        let metadata = merged(pod, &patch)["metadata"].clone();
        assert_eq!(
            metadata,
            json!({ "ownerReferences": [{ "uid": "1" }, { "uid": "2" }], "finalizers": ["x", "y"] })
        );
    }

    #[test]
    fn directives() {
        let base = json!({ "spec": {
            "containers": [{ "name": "a" }, { "name": "b" }, { "name": "c" }], "strategy": { "type": "R", "rolling": 1 },
        }, "metadata": { "finalizers": ["x", "y"] } });
        let delete = json!({ "spec": { "containers": [{ "name": "a", "$patch": "delete" }] } });
        assert_eq!(merged(base.clone(), &delete)["spec"]["containers"].as_array().unwrap().len(), 2);
        let replace = json!({ "spec": { "containers": [{ "$patch": "replace" }, { "name": "z" }] } });
        assert_eq!(merged(base.clone(), &replace)["spec"]["containers"], json!([{ "name": "z" }]));
        let retain = json!({ "spec": { "strategy": { "$retainKeys": ["type"], "type": "Recreate" } } });
        assert_eq!(merged(base.clone(), &retain)["spec"]["strategy"], json!({ "type": "Recreate" }));
        let map = json!({ "spec": { "strategy": { "$patch": "replace", "type": "Q" } } });
        assert_eq!(merged(base.clone(), &map)["spec"]["strategy"], json!({ "type": "Q" }));
        let primitive = json!({ "metadata": { "$deleteFromPrimitiveList/finalizers": ["x"] } });
        assert_eq!(merged(base.clone(), &primitive)["metadata"]["finalizers"], json!(["y"]));
        let order = json!({ "spec": {
            "$setElementOrder/containers": [{ "name": "c" }, { "name": "n" }, { "name": "a" }],
            "containers": [{ "name": "n" }],
        } });
        let names: Vec<Value> = merged(base, &order)["spec"]["containers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["name"].clone())
            .collect();
        assert_eq!(names, ["b", "c", "n", "a"]);
    }

    #[test]
    fn a_missing_merge_key_is_an_error() {
        let mut pod = json!({ "spec": { "containers": [] } });
        let patch = json!({ "spec": { "containers": [{ "image": "x" }] } });
        assert!(merge(&mut pod, &patch).unwrap_err().contains("does not contain declared merge key: name"));
    }
}
