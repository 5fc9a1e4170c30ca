//! `managedFields`: which client last set which field. Field sets are the tree form of `FieldsV1` itself.

use serde_json::{Map, Value, json};

use super::request::Call;
use super::strategic::{ListKind, list_kind};
use crate::sim::store::{Resource, meta};

/// Metadata that no client owns.
const SYSTEM: &[&str] = &[
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "managedFields",
    "selfLink",
];

/// Who writes: one entry of `managedFields`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Writer {
    pub(super) manager: String,
    /// `Update` or `Apply`.
    pub(super) operation: &'static str,
    pub(super) subresource: String,
    pub(super) time: String,
}

impl Writer {
    /// The writer of a request that is not an apply.
    pub(super) fn of(call: &Call, subresource: Option<&str>, time: String) -> Writer {
        let subresource = subresource.unwrap_or_default().to_owned();
        Writer { manager: call.manager(), operation: "Update", subresource, time }
    }

    pub(super) fn owns(&self, entry: &Value) -> bool {
        entry["manager"] == self.manager.as_str()
            && entry["operation"] == self.operation
            && entry["subresource"].as_str().unwrap_or_default() == self.subresource
    }

    fn entry(&self, r: &Resource, fields: &Value) -> Value {
        let mut entry = json!({
            "manager": self.manager, "operation": self.operation, "apiVersion": r.api_version(), "time": self.time,
            "fieldsType": "FieldsV1", "fieldsV1": fields,
        });
        if !self.subresource.is_empty() {
            entry["subresource"] = json!(self.subresource);
        }
        entry
    }
}

fn is_system(depth: usize, parent: &str, field: &str) -> bool {
    (depth == 0 && matches!(field, "apiVersion" | "kind"))
        || (depth == 1 && parent == "metadata" && SYSTEM.contains(&field))
}

fn element_name(key: &str, element: &Value) -> String {
    format!("k:{}", json!({ key: element.get(key).cloned().unwrap_or_default() }))
}

/// All fields of a value. `depth` counts from the object's root.
fn set_at(value: &Value, depth: usize, parent: &str, name: &str) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(field, _)| !is_system(depth, name, field))
            .map(|(field, inner)| (format!("f:{field}"), set_at(inner, depth + 1, name, field)))
            .collect(),
        Value::Array(list) => match list_kind(parent, name) {
            ListKind::Keyed(key) => list
                .iter()
                .map(|element| {
                    let mut fields = set_at(element, depth + 1, name, name);
                    fields["."] = json!({});
                    (element_name(key, element), fields)
                })
                .collect(),
            ListKind::Set => list.iter().map(|element| (format!("v:{element}"), json!({}))).collect(),
            ListKind::Atomic => json!({}),
        },
        _ => json!({}),
    }
}

/// All fields of an object.
pub(super) fn all_of(object: &Value) -> Value {
    without_empty_metadata(set_at(object, 0, "", ""))
}

fn without_empty_metadata(mut set: Value) -> Value {
    if let Some(map) = set.as_object_mut() {
        map.retain(|name, inner| name != "f:metadata" || inner.as_object().is_some_and(|m| !m.is_empty()));
    }
    set
}

/// The fields of `new` that `old` has not, or has otherwise.
fn changed_at(old: &Value, new: &Value, depth: usize, parent: &str, name: &str) -> Map<String, Value> {
    let mut set = Map::new();
    let mut compare = |label: String, before: Option<&Value>, after: &Value, parent: &str, field: &str| {
        let Some(before) = before.filter(|before| !before.is_null()) else {
            set.insert(label, set_at(after, depth + 1, parent, field));
            return;
        };
        if before == after {
            return;
        }
        let inner = changed_at(before, after, depth + 1, parent, field);
        let leaf = !splits(before, after, parent, field);
        if leaf || !inner.is_empty() {
            set.insert(label, Value::Object(inner));
        }
    };
    match (old, new) {
        (Value::Object(before), Value::Object(after)) => {
            for (field, value) in after.iter().filter(|(field, _)| !is_system(depth, name, field)) {
                compare(format!("f:{field}"), before.get(field), value, name, field);
            }
        }
        (Value::Array(before), Value::Array(after)) => match list_kind(parent, name) {
            ListKind::Keyed(key) => {
                for element in after {
                    let twin = before.iter().find(|b| b.get(key) == element.get(key));
                    compare(element_name(key, element), twin, element, name, name);
                }
            }
            ListKind::Set => {
                for element in after.iter().filter(|element| !before.contains(element)) {
                    set.insert(format!("v:{element}"), json!({}));
                }
            }
            ListKind::Atomic => {}
        },
        _ => {}
    }
    set
}

/// Whether a difference between two values is looked for inside them.
fn splits(before: &Value, after: &Value, parent: &str, field: &str) -> bool {
    match (before, after) {
        (Value::Object(_), Value::Object(_)) => true,
        (Value::Array(_), Value::Array(_)) => list_kind(parent, field) != ListKind::Atomic,
        _ => false,
    }
}

/// The fields a write changed.
pub(super) fn changed(old: &Value, new: &Value) -> Value {
    Value::Object(changed_at(old, new, 0, "", ""))
}

/// Both sets together.
pub(super) fn union(a: &Value, b: &Value) -> Value {
    let (Some(left), Some(right)) = (a.as_object(), b.as_object()) else { return json!({}) };
    let mut all = left.clone();
    for (name, inner) in right {
        let merged = all.get(name).map_or_else(|| inner.clone(), |own| union(own, inner));
        all.insert(name.clone(), merged);
    }
    Value::Object(all)
}

/// The fields of `a` that are not in `b`; what is in both with deeper fields loses only those.
pub(super) fn minus(a: &Value, b: &Value) -> Value {
    let (Some(left), Some(right)) = (a.as_object(), b.as_object()) else { return a.clone() };
    left.iter()
        .filter_map(|(name, inner)| {
            let Some(other) = right.get(name) else { return Some((name.clone(), inner.clone())) };
            let rest = minus(inner, other);
            let left_over = rest.as_object().is_some_and(|map| !map.is_empty());
            left_over.then(|| (name.clone(), rest))
        })
        .collect()
}

/// The fields in both sets.
pub(super) fn common(a: &Value, b: &Value) -> Value {
    let (Some(left), Some(right)) = (a.as_object(), b.as_object()) else { return json!({}) };
    left.iter()
        .filter_map(|(name, inner)| {
            let other = right.get(name)?;
            let shared = common(inner, other);
            let leaf = is_leaf(inner) || is_leaf(other);
            let some = shared.as_object().is_some_and(|map| !map.is_empty());
            (leaf || some).then(|| (name.clone(), shared))
        })
        .collect()
}

fn is_leaf(set: &Value) -> bool {
    set.as_object().is_none_or(Map::is_empty)
}

/// Writes `managedFields` of `new` after a write that is not an apply: the writer owns what it changed.
pub(super) fn track(r: &Resource, old: &Value, new: &mut Value, writer: &Writer) {
    let kept = old["metadata"]["managedFields"].clone();
    let reset = new["metadata"]["managedFields"].as_array().is_some_and(|all| {
        !kept.is_null() && (all.is_empty() || all.iter().all(|e| e.as_object().is_some_and(Map::is_empty)))
    });
    let mut entries = if reset { Vec::new() } else { kept.as_array().cloned().unwrap_or_default() };
    let mut mine = changed(old, new);
    if r.status
        && writer.subresource.is_empty()
        && let Some(fields) = mine.as_object_mut()
    {
        // Status belongs to who writes `/status`, also when the server gave the first one.
        fields.remove("f:status");
    }
    if !is_leaf(&mine) && !reset {
        let before = entries.iter().find(|entry| writer.owns(entry)).map(|entry| entry["fieldsV1"].clone());
        let owned = before.map_or_else(|| mine.clone(), |before| union(&before, &mine));
        entries.retain(|entry| !writer.owns(entry));
        for entry in &mut entries {
            entry["fieldsV1"] = minus(&entry["fieldsV1"], &mine);
        }
        entries.push(writer.entry(r, &owned));
    }
    store(new, entries);
}

/// Sets the entries, without fields that are gone and without empty entries.
fn store(object: &mut Value, mut entries: Vec<Value>) {
    let existing = all_of(object);
    for entry in &mut entries {
        let fields = common(&entry["fieldsV1"], &existing);
        entry["fieldsV1"] = fields;
    }
    entries.retain(|entry| !is_leaf(&entry["fieldsV1"]));
    let metadata = meta::metadata_mut(object);
    if entries.is_empty() {
        metadata.remove("managedFields");
    } else {
        metadata.insert("managedFields".to_owned(), Value::Array(entries));
    }
}

/// Writes `managedFields` after an apply: the writer owns exactly `applied`, and what was forced from others.
pub(super) fn track_apply(
    r: &Resource,
    old: &Value,
    new: &mut Value,
    writer: &Writer,
    applied: &Value,
    forced: &Value,
) {
    let mut entries = old["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let same = entries.iter().any(|entry| writer.owns(entry) && entry["fieldsV1"] == *applied);
    for entry in entries.iter_mut().filter(|entry| !writer.owns(entry)) {
        entry["fieldsV1"] = minus(&entry["fieldsV1"], forced);
    }
    if !same || changed(old, new) != json!({}) {
        entries.retain(|entry| !writer.owns(entry));
        entries.push(writer.entry(r, applied));
    }
    store(new, entries);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::store::resources::NODES;

    fn writer(manager: &str) -> Writer {
        Writer {
            manager: manager.into(),
            operation: "Update",
            subresource: String::new(),
            time: "2026-01-01T00:00:00Z".into(),
        }
    }

    #[test]
    fn a_change_is_owned_by_its_writer() {
        let old = json!({ "metadata": { "name": "n" }, "spec": { "podCIDR": "x" } });
        let mut new = old.clone();
        new["spec"]["unschedulable"] = json!(true);
        track(&NODES, &old, &mut new, &writer("kubectl"));
        let entry = &new["metadata"]["managedFields"][0];
        assert_eq!(entry["manager"], "kubectl");
        assert_eq!(entry["fieldsV1"], json!({ "f:spec": { "f:unschedulable": {} } }));

        let mut again = new.clone();
        again["spec"]["unschedulable"] = json!(false);
        track(&NODES, &new, &mut again, &writer("pitstop"));
        let entries = again["metadata"]["managedFields"].as_array().unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0]["manager"], "pitstop");
    }

    #[test]
    fn keyed_lists_are_owned_by_element() {
        let old = json!({ "status": { "conditions": [{ "type": "A", "status": "x" }, { "type": "B", "status": "x" }] } });
        let mut new = old.clone();
        new["status"]["conditions"][1]["status"] = json!("y");
        let set = changed(&old, &new);
        assert_eq!(
            set,
            json!({ "f:status": { "f:conditions": { "k:{\"type\":\"B\"}": { "f:status": {} } } } })
        );
    }

    #[test]
    fn sets_add_and_subtract() {
        let a = json!({ "f:x": {}, "f:y": { "f:z": {}, "f:w": {} } });
        let b = json!({ "f:y": { "f:z": {} } });
        assert_eq!(minus(&a, &b), json!({ "f:x": {}, "f:y": { "f:w": {} } }));
        assert_eq!(common(&a, &b), b);
        assert_eq!(union(&b, &json!({ "f:x": {}, "f:y": { "f:w": {} } })), a);
    }
}
