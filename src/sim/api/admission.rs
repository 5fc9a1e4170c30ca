//! What the server adds to new objects (defaults, admission plugins) and where it lets them be created.

use serde_json::{Map, Value, json};

use super::Api;
use super::request::Target;
use crate::sim::store::resources::{NAMESPACES, PRIORITY_CLASSES};
use crate::sim::store::{Resource, Status, Store, meta};

/// Refuses a creation in a namespace that is absent (404) or terminating (403 with its cause).
pub(super) fn check_namespace(api: &Api, target: &Target, namespace: &str, name: &str) -> Result<(), Status> {
    let found = api.store.get(&NAMESPACES, "", namespace);
    let found = found.ok_or_else(|| Status::not_found(&NAMESPACES, namespace))?;
    if !meta::is_deleting(&found) && found["status"]["phase"] != "Terminating" {
        return Ok(());
    }
    let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
    Err(Status::forbidden(target.served, name, &why).cause(
        "NamespaceTerminating",
        &format!("namespace {namespace} is being terminated"),
        Some("metadata.namespace"),
    ))
}

/// Fills in what the server fills in for a new object.
pub(super) fn complete(store: &Store, r: &Resource, object: &mut Value) -> Result<(), Status> {
    match r.kind {
        "Pod" => pod(store, object)?,
        "Namespace" => namespace(object),
        "Service" => service(object),
        "PriorityClass" => fill(object, "", &json!({ "preemptionPolicy": "PreemptLowerPriority" })),
        "HorizontalPodAutoscaler" => fill(object, "spec", &json!({ "minReplicas": 1 })),
        "Deployment" => fill(
            object,
            "spec",
            &json!({
                "replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
                "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": "25%", "maxUnavailable": "25%" } },
            }),
        ),
        "ReplicaSet" => fill(object, "spec", &json!({ "replicas": 1 })),
        "StatefulSet" => fill(
            object,
            "spec",
            &json!({
                "replicas": 1, "revisionHistoryLimit": 10, "podManagementPolicy": "OrderedReady",
                "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "partition": 0 } },
                "persistentVolumeClaimRetentionPolicy": { "whenDeleted": "Retain", "whenScaled": "Retain" },
            }),
        ),
        "DaemonSet" => fill(
            object,
            "spec",
            &json!({
                "revisionHistoryLimit": 10,
                "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 0, "maxUnavailable": 1 } },
            }),
        ),
        "Job" => job(object),
        "CronJob" => fill(
            object,
            "spec",
            &json!({
                "concurrencyPolicy": "Allow", "suspend": false, "successfulJobsHistoryLimit": 3,
                "failedJobsHistoryLimit": 1,
            }),
        ),
        _ => {}
    }
    if object["spec"]["template"]["spec"].is_object() {
        let mut template = object["spec"]["template"]["spec"].take();
        pod_spec(&mut template);
        object["spec"]["template"]["spec"] = template;
    }
    Ok(())
}

/// Leaves out what the server's types leave out when it is empty.
pub(super) fn omit_empty(object: &mut Value) {
    let is_empty = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    };
    for (part, fields) in [
        ("metadata", ["labels", "annotations", "finalizers", "ownerReferences"].as_slice()),
        ("spec", ["taints", "unschedulable", "nodeSelector", "tolerations"].as_slice()),
    ] {
        if let Some(map) = object.get_mut(part).and_then(Value::as_object_mut) {
            map.retain(|field, value| !fields.contains(&field.as_str()) || !is_empty(value));
        }
    }
}

/// Sets the fields of `defaults` that are absent below `field` (or at the root).
fn fill(object: &mut Value, field: &str, defaults: &Value) {
    let map = if field.is_empty() {
        match object.as_object_mut() {
            Some(map) => map,
            None => return,
        }
    } else {
        meta::child_mut(object, field)
    };
    for (name, value) in defaults.as_object().into_iter().flatten() {
        let slot = map.entry(name.clone()).or_insert(Value::Null);
        if slot.is_null() {
            *slot = value.clone();
        }
    }
}

fn namespace(object: &mut Value) {
    let name = meta::name(object).to_owned();
    let labels = meta::metadata_mut(object).entry("labels").or_insert_with(|| json!({}));
    labels["kubernetes.io/metadata.name"] = json!(name);
    fill(object, "spec", &json!({ "finalizers": ["kubernetes"] }));
    object["status"] = json!({ "phase": "Active" });
}

fn service(object: &mut Value) {
    let defaults = json!({
        "type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
        "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
    });
    fill(object, "spec", &defaults);
    for port in object["spec"]["ports"].as_array_mut().into_iter().flatten() {
        let number = port["port"].clone();
        fill(port, "", &json!({ "protocol": "TCP", "targetPort": number }));
    }
    object["status"] = json!({ "loadBalancer": {} });
}

fn job(object: &mut Value) {
    let defaults = json!({
        "parallelism": 1, "completions": 1, "backoffLimit": 6, "completionMode": "NonIndexed", "suspend": false,
        "manualSelector": false, "podReplacementPolicy": "TerminatingOrFailed",
    });
    fill(object, "spec", &defaults);
    let (uid, name) = (meta::uid(object).to_owned(), meta::name(object).to_owned());
    fill(
        object,
        "spec",
        &json!({ "selector": { "matchLabels": { "batch.kubernetes.io/controller-uid": uid } } }),
    );
    let template = &mut object["spec"]["template"];
    let labels = json!({
        "batch.kubernetes.io/controller-uid": uid, "controller-uid": uid,
        "batch.kubernetes.io/job-name": name, "job-name": name,
    });
    let mut metadata = template["metadata"].take();
    fill(&mut metadata, "labels", &labels);
    template["metadata"] = metadata;
}

fn pod_spec(spec: &mut Value) {
    let account = spec["serviceAccountName"].as_str().unwrap_or_default().to_owned();
    let defaults = json!({
        "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
        "schedulerName": "default-scheduler", "securityContext": {},
    });
    fill(spec, "", &defaults);
    if !account.is_empty() {
        spec["serviceAccount"] = json!(account);
    }
    for list in ["containers", "initContainers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let latest = image_is_latest(container["image"].as_str().unwrap_or_default());
            let pull = if latest { "Always" } else { "IfNotPresent" };
            let defaults = json!({
                "imagePullPolicy": pull, "resources": {}, "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
            });
            fill(container, "", &defaults);
        }
    }
}

fn image_is_latest(image: &str) -> bool {
    let last = image.rsplit('/').next().unwrap_or_default();
    !image.contains('@') && last.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}

/// Defaults of a pod, then the plugins `ServiceAccount`, `Priority` and `DefaultTolerationSeconds`.
fn pod(store: &Store, object: &mut Value) -> Result<(), Status> {
    let name = meta::name(object).to_owned();
    meta::child_mut(object, "spec");
    let mut spec = object["spec"].take();
    fill(&mut spec, "", &json!({ "serviceAccountName": "default", "enableServiceLinks": true }));
    pod_spec(&mut spec);
    let priority = priority(store, &spec, &name)?;
    fill(&mut spec, "", &priority);
    tolerate(&mut spec);
    object["status"] = json!({ "phase": "Pending", "qosClass": quality(&spec) });
    object["spec"] = spec;
    Ok(())
}

fn priority(store: &Store, spec: &Value, pod: &str) -> Result<Value, Status> {
    let class = spec["priorityClassName"].as_str().unwrap_or_default();
    let found = match class {
        "" => store.list(&PRIORITY_CLASSES, None).into_iter().find(|c| c["globalDefault"] == true),
        name => store.get(&PRIORITY_CLASSES, "", name),
    };
    match (found, class) {
        (Some(class), _) => Ok(json!({
            "priority": class["value"], "priorityClassName": meta::name(&class),
            "preemptionPolicy": class["preemptionPolicy"].as_str().unwrap_or("PreemptLowerPriority"),
        })),
        (None, "") => Ok(json!({ "priority": 0, "preemptionPolicy": "PreemptLowerPriority" })),
        // Every real cluster has these two.
        (None, "system-cluster-critical") => Ok(json!({ "priority": 2_000_000_000 })),
        (None, "system-node-critical") => Ok(json!({ "priority": 2_000_001_000 })),
        (None, missing) => {
            let why = format!("no PriorityClass with name {missing} was found");
            Err(Status::forbidden(&crate::sim::store::resources::PODS, pod, &why))
        }
    }
}

fn tolerate(spec: &mut Value) {
    let mut tolerations = spec["tolerations"].as_array().cloned().unwrap_or_default();
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let tolerated = tolerations.iter().any(|t| {
            let any_key = t["key"].as_str().unwrap_or_default().is_empty() && t["operator"] == "Exists";
            let effect = t["effect"].as_str().unwrap_or_default();
            (any_key || t["key"] == key) && (effect.is_empty() || effect == "NoExecute")
        });
        if !tolerated {
            tolerations.push(
                json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 }),
            );
        }
    }
    spec["tolerations"] = Value::Array(tolerations);
}

/// `qosClass` (`qos.ComputePodQOS`).
pub(super) fn quality(spec: &Value) -> &'static str {
    let all: Vec<&Value> = ["containers", "initContainers"]
        .iter()
        .flat_map(|list| spec[list].as_array().into_iter().flatten())
        .collect();
    let amounts = |container: &Value, side: &str| -> Map<String, Value> {
        let mut map = container["resources"][side].as_object().cloned().unwrap_or_default();
        map.retain(|name, amount| matches!(name.as_str(), "cpu" | "memory") && *amount != "0");
        map
    };
    if all.iter().all(|c| amounts(c, "requests").is_empty() && amounts(c, "limits").is_empty()) {
        return "BestEffort";
    }
    let guaranteed = all.iter().all(|c| {
        let (requests, limits) = (amounts(c, "requests"), amounts(c, "limits"));
        limits.len() == 2 && requests.iter().all(|(name, amount)| limits.get(name) == Some(amount))
    });
    if guaranteed { "Guaranteed" } else { "Burstable" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::store::resources::PODS;

    #[test]
    fn pods_get_their_defaults() {
        let store = Store::new();
        let mut pod = json!({ "metadata": { "name": "x" }, "spec": { "containers": [{ "name": "a", "image": "b:1" }] } });
        complete(&store, &PODS, &mut pod).unwrap();
        assert_eq!(pod["spec"]["terminationGracePeriodSeconds"], 30);
        assert_eq!(pod["spec"]["tolerations"].as_array().unwrap().len(), 2);
        assert_eq!(pod["spec"]["containers"][0]["imagePullPolicy"], "IfNotPresent");
        assert_eq!(pod["status"], json!({ "phase": "Pending", "qosClass": "BestEffort" }));
        assert_eq!(pod["spec"]["priority"], 0);
    }

    #[test]
    fn priority_comes_from_its_class() {
        let store = Store::new();
        store.create(&PRIORITY_CLASSES, json!({ "metadata": { "name": "high" }, "value": 7 })).unwrap();
        let of = |class: &str| {
            let mut pod = json!({ "metadata": { "name": "x" }, "spec": { "priorityClassName": class } });
            complete(&store, &PODS, &mut pod).map(|()| pod["spec"]["priority"].clone())
        };
        assert_eq!(of("high"), Ok(json!(7)));
        assert_eq!(of("system-node-critical"), Ok(json!(2_000_001_000)));
        assert_eq!(of("none").unwrap_err().code, 403);
    }

    #[test]
    fn quality_of_service() {
        let spec = |resources: Value| json!({ "containers": [{ "resources": resources }] });
        assert_eq!(quality(&spec(json!({}))), "BestEffort");
        assert_eq!(quality(&spec(json!({ "requests": { "cpu": "1" } }))), "Burstable");
        assert_eq!(quality(&spec(json!({ "limits": { "cpu": "1", "memory": "1Gi" } }))), "Guaranteed");
    }
}
