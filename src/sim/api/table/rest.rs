//! Rows of the other groups: budgets, leases, autoscalers, attachments, classes, endpoint slices.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Column, Layout, age, items, number, text_or};
use crate::sim::store::resources::{
    CSI_NODES, ENDPOINT_SLICES, HORIZONTAL_POD_AUTOSCALERS, LEASES, POD_DISRUPTION_BUDGETS, PRIORITY_CLASSES,
    STORAGE_CLASSES, VOLUME_ATTACHMENTS,
};
use crate::sim::store::{Resource, meta};

pub(super) fn layout(r: &Resource) -> Option<Layout> {
    let (columns, cells): (&'static [Column], super::Cells) = match r {
        r if *r == POD_DISRUPTION_BUDGETS => (BUDGET, budget),
        r if *r == LEASES => (LEASE, lease),
        r if *r == HORIZONTAL_POD_AUTOSCALERS => (AUTOSCALER, autoscaler),
        r if *r == VOLUME_ATTACHMENTS => (ATTACHMENT, attachment),
        r if *r == PRIORITY_CLASSES => (PRIORITY, priority),
        r if *r == ENDPOINT_SLICES => (SLICE, slice),
        r if *r == STORAGE_CLASSES => (STORAGE, storage),
        r if *r == CSI_NODES => (CSI_NODE, csi_node),
        _ => return None,
    };
    Some(Layout { columns, cells })
}

fn name(object: &Value) -> Value {
    json!(meta::name(object))
}

const BUDGET: &[Column] = &[
    ("Name", "string", 0),
    ("Min Available", "string", 0),
    ("Max Unavailable", "string", 0),
    ("Allowed Disruptions", "integer", 0),
    ("Age", "string", 0),
];

fn budget(object: &Value, now: Timestamp) -> Vec<Value> {
    let bound = |field: &str| match &object["spec"][field] {
        Value::Null => json!("N/A"),
        Value::String(text) => json!(text),
        other => json!(other.to_string()),
    };
    vec![
        name(object),
        bound("minAvailable"),
        bound("maxUnavailable"),
        json!(number(&object["status"]["disruptionsAllowed"])),
        age(object, now),
    ]
}

const LEASE: &[Column] = &[("Name", "string", 0), ("Holder", "string", 0), ("Age", "string", 0)];

fn lease(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), text_or(&object["spec"]["holderIdentity"], ""), age(object, now)]
}

const AUTOSCALER: &[Column] = &[
    ("Name", "string", 0),
    ("Reference", "string", 0),
    ("Targets", "string", 0),
    ("MinPods", "string", 0),
    ("MaxPods", "string", 0),
    ("Replicas", "string", 0),
    ("Age", "string", 0),
];

/// `cpu: 10%/80%`; metrics other than resources show only their target.
fn targets(object: &Value) -> String {
    let texts: Vec<String> = items(&object["spec"]["metrics"])
        .iter()
        .map(|metric| {
            let resource = &metric["resource"];
            let label = resource["name"].as_str().unwrap_or("metric");
            let current = items(&object["status"]["currentMetrics"])
                .iter()
                .find(|c| c["resource"]["name"] == resource["name"])
                .map_or(&Value::Null, |c| &c["resource"]["current"]);
            let percent = |value: &Value| value.as_i64().map(|n| format!("{n}%"));
            let amount = |value: &Value| value.as_str().map(str::to_owned);
            let of = |side: &Value| percent(&side["averageUtilization"]).or(amount(&side["averageValue"]));
            let unknown = || "<unknown>".to_owned();
            format!(
                "{label}: {}/{}",
                of(current).unwrap_or_else(unknown),
                of(&resource["target"]).unwrap_or_else(unknown)
            )
        })
        .collect();
    match texts.len() {
        0 => "<none>".to_owned(),
        count if count > 2 => format!("{} + {} more...", texts[..2].join(", "), count - 2),
        _ => texts.join(", "),
    }
}

fn autoscaler(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let target = &spec["scaleTargetRef"];
    let reference = format!(
        "{}/{}",
        target["kind"].as_str().unwrap_or_default(),
        target["name"].as_str().unwrap_or_default()
    );
    let least = spec["minReplicas"].as_i64().map_or_else(|| "<unset>".to_owned(), |n| n.to_string());
    vec![
        name(object),
        json!(reference),
        json!(targets(object)),
        json!(least),
        json!(number(&spec["maxReplicas"])),
        json!(number(&status["currentReplicas"])),
        age(object, now),
    ]
}

const ATTACHMENT: &[Column] = &[
    ("Name", "string", 0),
    ("Attacher", "string", 0),
    ("PV", "string", 0),
    ("Node", "string", 0),
    ("Attached", "boolean", 0),
    ("Age", "string", 0),
];

fn attachment(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    vec![
        name(object),
        text_or(&spec["attacher"], ""),
        text_or(&spec["source"]["persistentVolumeName"], ""),
        text_or(&spec["nodeName"], ""),
        json!(object["status"]["attached"] == true),
        age(object, now),
    ]
}

const PRIORITY: &[Column] = &[
    ("Name", "string", 0),
    ("Value", "integer", 0),
    ("Global-Default", "boolean", 0),
    ("Age", "string", 0),
    ("PreemptionPolicy", "string", 0),
];

fn priority(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        json!(number(&object["value"])),
        json!(object["globalDefault"] == true),
        age(object, now),
        text_or(&object["preemptionPolicy"], "PreemptLowerPriority"),
    ]
}

const SLICE: &[Column] = &[
    ("Name", "string", 0),
    ("AddressType", "string", 0),
    ("Ports", "string", 0),
    ("Endpoints", "string", 0),
    ("Age", "string", 0),
];

fn some_of(texts: &[String], empty: &str) -> String {
    match texts.len() {
        0 => empty.to_owned(),
        count if count > 3 => format!("{} + {} more...", texts[..3].join(","), count - 3),
        _ => texts.join(","),
    }
}

fn slice(object: &Value, now: Timestamp) -> Vec<Value> {
    let ports: Vec<String> = items(&object["ports"])
        .iter()
        .map(|port| port["port"].as_i64().map_or_else(|| "*".to_owned(), |port| port.to_string()))
        .collect();
    let addresses: Vec<String> = items(&object["endpoints"])
        .iter()
        .flat_map(|endpoint| items(&endpoint["addresses"]))
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    vec![
        name(object),
        text_or(&object["addressType"], ""),
        json!(some_of(&ports, "<unset>")),
        json!(some_of(&addresses, "<unset>")),
        age(object, now),
    ]
}

const STORAGE: &[Column] = &[
    ("Name", "string", 0),
    ("Provisioner", "string", 0),
    ("ReclaimPolicy", "string", 0),
    ("VolumeBindingMode", "string", 0),
    ("AllowVolumeExpansion", "string", 0),
    ("Age", "string", 0),
];

fn storage(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        text_or(&object["provisioner"], ""),
        text_or(&object["reclaimPolicy"], "Delete"),
        text_or(&object["volumeBindingMode"], "Immediate"),
        json!(object["allowVolumeExpansion"] == true),
        age(object, now),
    ]
}

const CSI_NODE: &[Column] = &[("Name", "string", 0), ("Drivers", "integer", 0), ("Age", "string", 0)];

fn csi_node(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), json!(items(&object["spec"]["drivers"]).len()), age(object, now)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_show_their_bounds() {
        let object = json!({ "spec": { "minAvailable": 1 }, "status": { "disruptionsAllowed": 2 } });
        let cells = budget(&object, Timestamp::UNIX_EPOCH);
        assert_eq!(cells[1..4], [json!("1"), json!("N/A"), json!(2)]);
    }

    #[test]
    fn autoscalers_show_current_and_target() {
        let object = json!({
            "spec": { "maxReplicas": 5, "metrics": [
                { "type": "Resource", "resource": { "name": "cpu", "target": { "averageUtilization": 80 } } }] },
            "status": { "currentMetrics": [{ "resource": { "name": "cpu", "current": { "averageUtilization": 12 } } }] },
        });
        assert_eq!(targets(&object), "cpu: 12%/80%");
    }
}
