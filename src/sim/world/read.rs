//! Reading Kubernetes objects that are plain JSON: one name per question, so that controllers read like prose.

use std::fmt;

use serde_json::Value;

pub use crate::sim::store::meta::{finalizers, is_deleting, name, namespace, uid};

/// Namespace and name of an object; the namespace is empty for cluster-scoped kinds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Key {
    /// A key from its parts.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// The key of an object.
    pub fn of(object: &Value) -> Self {
        Self::new(namespace(object), name(object))
    }

    /// The key of a cluster-scoped object.
    pub fn cluster(name: &str) -> Self {
        Self::new("", name)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// Text at a JSON pointer, empty when absent.
pub fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Whole number at a JSON pointer.
pub fn int(object: &Value, pointer: &str) -> Option<i64> {
    object.pointer(pointer).and_then(Value::as_i64)
}

/// Array at a JSON pointer, empty when absent.
pub fn items<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// An annotation, empty when absent.
pub fn annotation<'a>(object: &'a Value, key: &str) -> &'a str {
    object["metadata"]["annotations"][key].as_str().unwrap_or_default()
}

/// The owner that controls the object.
pub fn controller_of(object: &Value) -> Option<&Value> {
    items(object, "/metadata/ownerReferences").iter().find(|owner| owner["controller"] == Value::Bool(true))
}

/// The uid of the owner that controls the object, empty when there is none.
pub fn controller_uid(object: &Value) -> &str {
    controller_of(object).map_or("", |owner| text(owner, "/uid"))
}

/// A condition of the status by its type.
pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    items(object, "/status/conditions").iter().find(|condition| condition["type"] == kind)
}

/// Whether a condition is True.
pub fn has_condition(object: &Value, kind: &str) -> bool {
    condition(object, kind).is_some_and(|condition| condition["status"] == "True")
}

/// Whether a pod or node is Ready.
pub fn is_ready(object: &Value) -> bool {
    has_condition(object, "Ready")
}

/// Phase of a pod.
pub fn phase(pod: &Value) -> &str {
    text(pod, "/status/phase")
}

/// Whether a pod has ended: Succeeded or Failed.
pub fn is_terminal(pod: &Value) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// Neither ended nor being deleted.
pub fn is_active(pod: &Value) -> bool {
    !is_terminal(pod) && !is_deleting(pod)
}

/// Node that a pod is bound to, empty when to none.
pub fn node_of(pod: &Value) -> &str {
    text(pod, "/spec/nodeName")
}

/// Whether a pod mirrors a static one.
pub fn is_mirror(pod: &Value) -> bool {
    !annotation(pod, "kubernetes.io/config.mirror").is_empty()
}

/// `spec.replicas`, 1 when absent.
pub fn replicas(object: &Value) -> i64 {
    int(object, "/spec/replicas").unwrap_or(1)
}

/// `metadata.generation`, 0 when absent.
pub fn generation(object: &Value) -> i64 {
    int(object, "/metadata/generation").unwrap_or_default()
}

/// Sets a condition of the status as `meta.SetStatusCondition` does: the time of transition moves with the status only.
pub fn set_condition(object: &mut Value, mut condition: Value, now: &str) {
    let kind = condition["type"].clone();
    let status = &mut object["status"];
    if !status.is_object() {
        *status = serde_json::json!({});
    }
    let conditions = &mut status["conditions"];
    if !conditions.is_array() {
        *conditions = serde_json::json!([]);
    }
    let Some(conditions) = conditions.as_array_mut() else { return };
    if let Some(present) = conditions.iter_mut().find(|present| present["type"] == kind) {
        let moved = present["status"] != condition["status"];
        let since = if moved { Value::from(now) } else { present["lastTransitionTime"].clone() };
        condition["lastTransitionTime"] = since;
        let Some(fields) = condition.as_object() else { return };
        for (field, value) in fields {
            present[field] = value.clone();
        }
    } else {
        condition["lastTransitionTime"] = now.into();
        conditions.push(condition);
    }
}

/// A number or percentage of `total`, rounded up or down as `intstr.GetScaledValueFromIntOrPercent` does.
pub fn scaled(amount: &Value, total: i64, up: bool) -> Result<i64, String> {
    if let Some(count) = amount.as_i64() {
        return Ok(count);
    }
    let invalid = || format!("invalid value for IntOrString: {amount}");
    let percent: i64 =
        amount.as_str().and_then(|t| t.strip_suffix('%')).and_then(|t| t.parse().ok()).ok_or_else(invalid)?;
    let product = percent * total;
    Ok(if up { (product + 99).div_euclid(100) } else { product.div_euclid(100) })
}

/// A number that depends on the text only, for choices that look random and repeat.
pub fn fingerprint(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Letters that depend on the text only, as in the hashes that controllers add to names.
pub fn letters(text: &str, count: usize) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut number = (u64::from(fingerprint(text)) << 32) | u64::from(fingerprint(&format!("{text}.")));
    (0..count)
        .map(|_| {
            let letter = LETTERS[usize::try_from(number % 27).unwrap_or_default()];
            number /= 27;
            char::from(letter)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn scales_percentages_both_ways() {
        assert_eq!(scaled(&json!("30%"), 7, true), Ok(3));
        assert_eq!(scaled(&json!("30%"), 7, false), Ok(2));
        assert_eq!(scaled(&json!(4), 7, true), Ok(4));
        assert!(scaled(&json!("x"), 7, true).is_err());
    }

    #[test]
    fn a_transition_moves_the_time_and_nothing_else_does() {
        let mut pod = json!({});
        set_condition(&mut pod, json!({"type": "Ready", "status": "False"}), "t1");
        set_condition(&mut pod, json!({"type": "Ready", "status": "False", "reason": "x"}), "t2");
        assert_eq!(condition(&pod, "Ready").unwrap()["lastTransitionTime"], "t1");
        assert_eq!(condition(&pod, "Ready").unwrap()["reason"], "x");
        set_condition(&mut pod, json!({"type": "Ready", "status": "True"}), "t3");
        assert_eq!(condition(&pod, "Ready").unwrap()["lastTransitionTime"], "t3");
    }
}
