//! Label selectors, node selectors, taints: what fits what.

use serde_json::Value;

use super::read::{items, text};

/// Whether a `LabelSelector` matches the labels of an object. An absent selector matches nothing, `{}` everything; an
/// unknown operator makes the selector invalid, which matches nothing.
pub fn matches(selector: &Value, labels: &Value) -> bool {
    let Some(selector) = selector.as_object() else { return false };
    let by_label = selector
        .get("matchLabels")
        .and_then(Value::as_object)
        .is_none_or(|wanted| wanted.iter().all(|(key, value)| labels.get(key) == Some(value)));
    by_label
        && selector
            .get("matchExpressions")
            .and_then(Value::as_array)
            .is_none_or(|all| all.iter().all(|expression| expression_holds(expression, labels)))
}

/// Labels of an object, null when it has none.
pub fn labels(object: &Value) -> &Value {
    &object["metadata"]["labels"]
}

/// Whether the labels contain every pair of a plain selector such as `nodeSelector` or a Service's selector.
pub fn contains(labels: &Value, wanted: &Value) -> bool {
    wanted.as_object().is_none_or(|wanted| wanted.iter().all(|(key, value)| labels.get(key) == Some(value)))
}

fn expression_holds(expression: &Value, labels: &Value) -> bool {
    let value = labels.get(text(expression, "/key"));
    let listed = || value.is_some_and(|value| items(expression, "/values").contains(value));
    match text(expression, "/operator") {
        "In" => listed(),
        "NotIn" => !listed(),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compare(value, expression).is_some_and(|(have, limit)| have > limit),
        "Lt" => compare(value, expression).is_some_and(|(have, limit)| have < limit),
        _ => false,
    }
}

fn compare(value: Option<&Value>, expression: &Value) -> Option<(i64, i64)> {
    let have = value?.as_str()?.parse().ok()?;
    let limit = items(expression, "/values").first()?.as_str()?.parse().ok()?;
    Some((have, limit))
}

/// Whether a pod's `nodeSelector` and required node affinity accept a node.
pub fn accepts_node(pod_spec: &Value, node: &Value) -> bool {
    if !contains(labels(node), &pod_spec["nodeSelector"]) {
        return false;
    }
    let required = &pod_spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
    required.as_array().is_none_or(|terms| terms.iter().any(|term| term_accepts(term, node)))
}

fn term_accepts(term: &Value, node: &Value) -> bool {
    let (expressions, fields) = (items(term, "/matchExpressions"), items(term, "/matchFields"));
    let own = serde_json::json!({ "metadata.name": node["metadata"]["name"] });
    !(expressions.is_empty() && fields.is_empty())
        && expressions.iter().all(|expression| expression_holds(expression, labels(node)))
        && fields.iter().all(|field| expression_holds(field, &own))
}

/// Whether one of the tolerations tolerates the taint.
pub fn tolerates(tolerations: &[Value], taint: &Value) -> bool {
    tolerations.iter().any(|toleration| toleration_covers(toleration, taint))
}

/// Whether a toleration tolerates a taint (an empty effect or key covers every one).
pub fn toleration_covers(toleration: &Value, taint: &Value) -> bool {
    let covers = |field: &str| {
        let wanted = toleration[field].as_str().unwrap_or_default();
        wanted.is_empty() || wanted == taint[field].as_str().unwrap_or_default()
    };
    let exists = text(toleration, "/operator") == "Exists";
    let value =
        toleration["value"].as_str().unwrap_or_default() == taint["value"].as_str().unwrap_or_default();
    covers("effect") && covers("key") && (exists || value)
}

/// The first taint of a node that keeps the pod away: effect NoSchedule or NoExecute and not tolerated.
pub fn repelling_taint<'a>(pod_spec: &Value, node: &'a Value) -> Option<&'a Value> {
    items(node, "/spec/taints")
        .iter()
        .filter(|taint| matches!(text(taint, "/effect"), "NoSchedule" | "NoExecute"))
        .find(|taint| !tolerates(items(pod_spec, "/tolerations"), taint))
}

/// How many taints of a node only make others preferable: effect PreferNoSchedule and not tolerated.
pub fn soft_taints(pod_spec: &Value, node: &Value) -> usize {
    items(node, "/spec/taints")
        .iter()
        .filter(|taint| text(taint, "/effect") == "PreferNoSchedule")
        .filter(|taint| !tolerates(items(pod_spec, "/tolerations"), taint))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn selectors_match_labels() {
        let labels = json!({ "app": "web", "tier": "front" });
        for (selector, expected) in [
            (json!({}), true),
            (json!(null), false),
            (json!({ "matchLabels": { "app": "web" } }), true),
            (json!({ "matchLabels": { "app": "db" } }), false),
            (
                json!({ "matchExpressions": [{ "key": "app", "operator": "In", "values": ["db", "web"] }] }),
                true,
            ),
            (
                json!({ "matchExpressions": [{ "key": "app", "operator": "NotIn", "values": ["web"] }] }),
                false,
            ),
            (
                json!({ "matchExpressions": [{ "key": "gone", "operator": "NotIn", "values": ["web"] }] }),
                true,
            ),
            (json!({ "matchExpressions": [{ "key": "tier", "operator": "Exists" }] }), true),
            (json!({ "matchExpressions": [{ "key": "tier", "operator": "DoesNotExist" }] }), false),
            (json!({ "matchExpressions": [{ "key": "tier", "operator": "Unheard" }] }), false),
        ] {
            assert_eq!(matches(&selector, &labels), expected, "{selector}");
        }
    }

    #[test]
    fn node_affinity_by_field_and_label() {
        let node = json!({ "metadata": { "name": "w1", "labels": { "disk": "ssd" } } });
        let affinity = |terms: Value| {
            json!({ "affinity": { "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms } } } })
        };
        let field =
            json!([{ "matchFields": [{ "key": "metadata.name", "operator": "In", "values": ["w1"] }] }]);
        assert!(accepts_node(&affinity(field), &node));
        let label = json!([{ "matchExpressions": [{ "key": "disk", "operator": "In", "values": ["hdd"] }] }]);
        assert!(!accepts_node(&affinity(label), &node));
        assert!(!accepts_node(&json!({ "nodeSelector": { "disk": "hdd" } }), &node));
    }

    #[test]
    fn tolerations_cover_taints() {
        let taint = json!({ "key": "k", "value": "v", "effect": "NoSchedule" });
        for (toleration, expected) in [
            (json!({ "operator": "Exists" }), true),
            (json!({ "key": "k", "operator": "Exists" }), true),
            (json!({ "key": "k", "value": "v" }), true),
            (json!({ "key": "k", "value": "other" }), false),
            (json!({ "key": "k", "operator": "Exists", "effect": "NoExecute" }), false),
        ] {
            assert_eq!(toleration_covers(&toleration, &taint), expected, "{toleration}");
        }
    }
}
