//! What the server refuses with 422: names, required and immutable fields of the kinds that a console meets.

use serde_json::{Value, json};

use super::selector;
use crate::sim::store::resources::{
    DAEMON_SETS, DEPLOYMENTS, EVENTS, JOBS, LEASES, NAMESPACES, POD_DISRUPTION_BUDGETS, PODS, REPLICA_SETS,
    SERVICES, STATEFUL_SETS, VOLUME_ATTACHMENTS,
};
use crate::sim::store::{FieldError, Resource, Status, meta};

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or \
    '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
    start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

fn is_label(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.chars().all(fits) && !text.starts_with('-') && !text.ends_with('-')
}

fn name_errors(r: &Resource, name: &str, generate: &str) -> Vec<FieldError> {
    if name.is_empty() && generate.is_empty() {
        return vec![FieldError::required("metadata.name", "name or generateName is required")];
    }
    if name.is_empty() {
        return Vec::new();
    }
    let wants_label = [&NAMESPACES, &SERVICES].iter().any(|k| **k == *r);
    let fits = if wants_label {
        is_label(name) && name.len() <= 63
    } else {
        name.len() <= 253 && name.split('.').all(is_label)
    };
    let why = if wants_label { LABEL } else { SUBDOMAIN };
    if fits { Vec::new() } else { vec![FieldError::invalid("metadata.name", &json!(name), why)] }
}

fn template_errors(object: &Value) -> Vec<FieldError> {
    let spec = &object["spec"];
    let labels = &spec["template"]["metadata"]["labels"];
    if spec["selector"].is_null() {
        return vec![FieldError::required("spec.selector", "")];
    }
    let mut errors = Vec::new();
    if selector::object_accepts(&spec["selector"], labels) != Ok(true) {
        let why = "`selector` does not match template `labels`";
        errors.push(FieldError::invalid("spec.template.metadata.labels", labels, why));
    }
    errors.extend(container_errors(&spec["template"]["spec"], "spec.template.spec"));
    errors.extend(replica_errors(spec));
    errors
}

fn replica_errors(spec: &Value) -> Option<FieldError> {
    let negative = spec["replicas"].as_i64().is_some_and(|replicas| replicas < 0);
    negative.then(|| {
        FieldError::invalid("spec.replicas", &spec["replicas"], "must be greater than or equal to 0")
    })
}

fn container_errors(spec: &Value, path: &str) -> Vec<FieldError> {
    let containers = spec["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
    if containers.is_empty() {
        return vec![FieldError::required(&format!("{path}.containers"), "")];
    }
    let mut errors = Vec::new();
    for (at, container) in containers.iter().enumerate() {
        for field in ["name", "image"] {
            if container[field].as_str().unwrap_or_default().is_empty() {
                errors.push(FieldError::required(&format!("{path}.containers[{at}].{field}"), ""));
            }
        }
    }
    errors
}

fn budget_errors(spec: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if !spec["minAvailable"].is_null() && !spec["maxUnavailable"].is_null() {
        errors.push(FieldError::invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set"));
    }
    for field in ["minAvailable", "maxUnavailable"] {
        let path = format!("spec.{field}");
        match &spec[field] {
            Value::Number(n) if n.as_i64().is_some_and(|n| n < 0) => {
                errors.push(FieldError::invalid(&path, &spec[field], "must be greater than or equal to 0"));
            }
            Value::String(text) => {
                let percent = text.strip_suffix('%').and_then(|n| n.parse::<u32>().ok());
                if percent.is_none() {
                    let why = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  \
                               or '93%', regex used for validation is '[0-9]+%')";
                    errors.push(FieldError::invalid(&path, &spec[field], why));
                } else if percent > Some(100) {
                    errors.push(FieldError::invalid(&path, &spec[field], "must not be greater than 100%"));
                }
            }
            _ => {}
        }
    }
    errors
}

/// 422 when an object about to be created is not valid.
pub(super) fn check_new(r: &Resource, object: &Value) -> Result<(), Status> {
    let name = meta::name(object);
    let mut errors = name_errors(r, name, meta::text(object, "generateName"));
    errors.extend(kind_errors(r, object));
    if errors.is_empty() { Ok(()) } else { Err(Status::invalid(r, name, &errors)) }
}

fn kind_errors(r: &Resource, object: &Value) -> Vec<FieldError> {
    if *r == PODS {
        return container_errors(&object["spec"], "spec");
    }
    if [&DEPLOYMENTS, &REPLICA_SETS, &STATEFUL_SETS, &DAEMON_SETS].iter().any(|k| **k == *r) {
        return template_errors(object);
    }
    if *r == JOBS {
        return container_errors(&object["spec"]["template"]["spec"], "spec.template.spec");
    }
    if *r == POD_DISRUPTION_BUDGETS {
        return budget_errors(&object["spec"]);
    }
    if *r == EVENTS {
        let about = object["involvedObject"]["namespace"].as_str().unwrap_or_default();
        let place = meta::namespace(object);
        let fits = if about.is_empty() { matches!(place, "default" | "kube-system") } else { about == place };
        if !fits {
            let why = "does not match event.namespace";
            return vec![FieldError::invalid("involvedObject.namespace", &json!(about), why)];
        }
    }
    Vec::new()
}

/// Whether a full update must name the version it is based on (`AllowUnconditionalUpdate` is false).
pub(super) fn needs_version(r: &Resource) -> bool {
    [&LEASES, &POD_DISRUPTION_BUDGETS, &VOLUME_ATTACHMENTS].iter().any(|k| **k == *r)
}

/// Whether an update of an absent object creates it (`AllowCreateOnUpdate`).
pub(super) fn creates_on_update(r: &Resource) -> bool {
    [&LEASES, &EVENTS].iter().any(|k| **k == *r) || r.plural == "endpoints"
}

/// 422 when an update changes what may not change, or gives something invalid.
pub(super) fn check_update(r: &Resource, old: &Value, new: &Value) -> Result<(), Status> {
    let name = meta::name(old);
    let mut errors = kind_errors(r, new);
    if meta::is_deleting(old) {
        let had = meta::finalizers(old);
        let fresh: Vec<&str> = meta::finalizers(new).into_iter().filter(|f| !had.contains(f)).collect();
        if !fresh.is_empty() {
            let why = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                fresh.iter().map(|f| format!("{f:?}")).collect::<Vec<_>>().join(", ")
            );
            errors.push(FieldError::forbidden("metadata.finalizers", &why));
        }
    }
    let has_selector =
        [&DEPLOYMENTS, &REPLICA_SETS, &STATEFUL_SETS, &DAEMON_SETS, &JOBS].iter().any(|k| **k == *r);
    if has_selector && old["spec"]["selector"] != new["spec"]["selector"] && *r != STATEFUL_SETS {
        errors.push(FieldError::invalid("spec.selector", &new["spec"]["selector"], "field is immutable"));
    }
    if *r == STATEFUL_SETS && !same_beside(&old["spec"], &new["spec"], STATEFUL_SET_MUTABLE) {
        errors.push(FieldError::forbidden(
            "spec",
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', \
             'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
        ));
    }
    if *r == PODS && !pod_update_allowed(&old["spec"], &new["spec"]) {
        errors.push(FieldError::forbidden(
            "spec",
            "pod updates may not change fields other than `spec.containers[*].image`,\
             `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to \
             existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously \
             negative)",
        ));
    }
    if errors.is_empty() { Ok(()) } else { Err(Status::invalid(r, name, &errors)) }
}

const STATEFUL_SET_MUTABLE: &[&str] = &[
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "minReadySeconds",
    "persistentVolumeClaimRetentionPolicy",
];

fn same_beside(old: &Value, new: &Value, mutable: &[&str]) -> bool {
    let rest = |spec: &Value| {
        let mut spec = spec.clone();
        if let Some(map) = spec.as_object_mut() {
            map.retain(|field, _| !mutable.contains(&field.as_str()));
        }
        spec
    };
    rest(old) == rest(new)
}

fn pod_update_allowed(old: &Value, new: &Value) -> bool {
    let shape = |spec: &Value| {
        let mut spec = spec.clone();
        if let Some(map) = spec.as_object_mut() {
            map.remove("activeDeadlineSeconds");
            map.remove("tolerations");
        }
        for list in ["containers", "initContainers"] {
            for container in spec[list].as_array_mut().into_iter().flatten() {
                container["image"] = Value::Null;
            }
            if spec[list].is_null()
                && let Some(map) = spec.as_object_mut()
            {
                map.remove(list);
            }
        }
        spec
    };
    let list = |spec: &Value| spec["tolerations"].as_array().cloned().unwrap_or_default();
    let kept = list(old).iter().all(|toleration| list(new).contains(toleration));
    shape(old) == shape(new) && kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "a.b-c.1", "0a"] {
            assert!(name_errors(&PODS, good, "").is_empty(), "{good}");
        }
        for bad in ["A", "a..b", "-a", "a_b"] {
            assert!(!name_errors(&PODS, bad, "").is_empty(), "{bad}");
        }
        assert!(!name_errors(&NAMESPACES, "a.b", "").is_empty());
        assert_eq!(name_errors(&PODS, "", "")[0].reason, "FieldValueRequired");
        assert!(name_errors(&PODS, "", "x-").is_empty());
    }

    #[test]
    fn budgets() {
        assert!(budget_errors(&json!({ "minAvailable": 1 })).is_empty());
        assert!(budget_errors(&json!({ "maxUnavailable": "30%" })).is_empty());
        assert!(!budget_errors(&json!({ "maxUnavailable": "130%" })).is_empty());
        assert!(!budget_errors(&json!({ "maxUnavailable": 1, "minAvailable": 1 })).is_empty());
        assert!(!budget_errors(&json!({ "minAvailable": -1 })).is_empty());
    }

    #[test]
    fn pods_are_mostly_immutable() {
        let old = json!({ "containers": [{ "name": "a", "image": "1" }], "nodeName": "n" });
        let mut image = old.clone();
        image["containers"][0]["image"] = json!("2");
        assert!(pod_update_allowed(&old, &image));
        let mut moved = old.clone();
        moved["nodeName"] = json!("m");
        assert!(!pod_update_allowed(&old, &moved));
    }
}
