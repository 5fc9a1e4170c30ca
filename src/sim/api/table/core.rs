//! Rows of the core group: nodes, namespaces, events, services and the small kinds.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Layout, age, human, items, labels, number, pod, since, text_or};
use crate::sim::store::resources::{
    CONFIG_MAPS, ENDPOINTS, EVENTS, NAMESPACES, NODES, PODS, SECRETS, SERVICE_ACCOUNTS, SERVICES,
};
use crate::sim::store::{Resource, clock, meta};

pub(super) fn layout(r: &Resource) -> Option<Layout> {
    let (columns, cells): (&'static [super::Column], super::Cells) = match r {
        r if *r == PODS => (pod::COLUMNS, pod::cells),
        r if *r == NODES => (NODE, node),
        r if *r == NAMESPACES => (NAMESPACE, namespace),
        r if *r == EVENTS => (EVENT, event),
        r if *r == SERVICES => (SERVICE, service),
        r if *r == ENDPOINTS => (ENDPOINT, endpoints),
        r if *r == CONFIG_MAPS => (CONFIG_MAP, config_map),
        r if *r == SERVICE_ACCOUNTS => (SERVICE_ACCOUNT, service_account),
        r if *r == SECRETS => (SECRET, secret),
        _ => return None,
    };
    Some(Layout { columns, cells })
}

const NODE: &[super::Column] = &[
    ("Name", "string", 0),
    ("Status", "string", 0),
    ("Roles", "string", 0),
    ("Age", "string", 0),
    ("Version", "string", 0),
    ("Internal-IP", "string", 1),
    ("External-IP", "string", 1),
    ("OS-Image", "string", 1),
    ("Kernel-Version", "string", 1),
    ("Container-Runtime", "string", 1),
];

fn roles(node: &Value) -> String {
    let mut roles: Vec<&str> = Vec::new();
    for (key, value) in node["metadata"]["labels"].as_object().into_iter().flatten() {
        if let Some(role) = key.strip_prefix("node-role.kubernetes.io/").filter(|role| !role.is_empty()) {
            roles.push(role);
        } else if key == "kubernetes.io/role" {
            roles.extend(value.as_str().filter(|role| !role.is_empty()));
        }
    }
    roles.sort_unstable();
    roles.dedup();
    if roles.is_empty() { "<none>".to_owned() } else { roles.join(",") }
}

fn node(node: &Value, now: Timestamp) -> Vec<Value> {
    let ready = items(&node["status"]["conditions"]).iter().find(|c| c["type"] == "Ready");
    let mut status = match ready {
        Some(condition) if condition["status"] == "True" => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if node["spec"]["unschedulable"] == true {
        status.push_str(",SchedulingDisabled");
    }
    let address = |kind: &str| {
        let found = items(&node["status"]["addresses"]).iter().find(|a| a["type"] == kind);
        text_or(found.map_or(&Value::Null, |a| &a["address"]), "<none>")
    };
    let info = |field: &str| text_or(&node["status"]["nodeInfo"][field], "<unknown>");
    vec![
        json!(meta::name(node)),
        json!(status),
        json!(roles(node)),
        age(node, now),
        text_or(&node["status"]["nodeInfo"]["kubeletVersion"], ""),
        address("InternalIP"),
        address("ExternalIP"),
        info("osImage"),
        info("kernelVersion"),
        info("containerRuntimeVersion"),
    ]
}

const NAMESPACE: &[super::Column] = &[("Name", "string", 0), ("Status", "string", 0), ("Age", "string", 0)];

fn namespace(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![json!(meta::name(object)), text_or(&object["status"]["phase"], ""), age(object, now)]
}

const EVENT: &[super::Column] = &[
    ("Last Seen", "string", 0),
    ("Type", "string", 0),
    ("Reason", "string", 0),
    ("Object", "string", 0),
    ("Subobject", "string", 1),
    ("Source", "string", 1),
    ("Message", "string", 0),
    ("First Seen", "string", 1),
    ("Count", "string", 1),
    ("Name", "string", 1),
];

fn event(event: &Value, now: Timestamp) -> Vec<Value> {
    let when = |fields: &[&Value]| fields.iter().find_map(|v| v.as_str()).map(|t| since(&json!(t), now));
    let first =
        when(&[&event["firstTimestamp"], &event["eventTime"]]).unwrap_or_else(|| "<unknown>".to_owned());
    let series = &event["series"];
    let count = series["count"].as_i64().or(event["count"].as_i64()).unwrap_or(1);
    let last = when(&[&series["lastObservedTime"], &event["lastTimestamp"]]).unwrap_or_else(|| first.clone());
    let seen = if count > 1 { format!("{last} (x{count} over {first})") } else { last };
    let about = &event["involvedObject"];
    let kind = about["kind"].as_str().unwrap_or_default().to_lowercase();
    let object = format!("{kind}/{}", about["name"].as_str().unwrap_or_default());
    let component = event["source"]["component"].as_str().filter(|c| !c.is_empty());
    let component = component.or(event["reportingComponent"].as_str()).unwrap_or_default();
    let host = event["source"]["host"].as_str().filter(|h| !h.is_empty());
    let source = host.map_or_else(|| component.to_owned(), |host| format!("{component}, {host}"));
    vec![
        json!(seen),
        text_or(&event["type"], ""),
        text_or(&event["reason"], ""),
        json!(object),
        text_or(&about["fieldPath"], ""),
        json!(source),
        json!(event["message"].as_str().unwrap_or_default().trim()),
        json!(first),
        json!(count.to_string()),
        json!(meta::name(event)),
    ]
}

const SERVICE: &[super::Column] = &[
    ("Name", "string", 0),
    ("Type", "string", 0),
    ("Cluster-IP", "string", 0),
    ("External-IP", "string", 0),
    ("Port(s)", "string", 0),
    ("Age", "string", 0),
    ("Selector", "string", 1),
];

fn service(service: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &service["spec"];
    let ports: Vec<String> = items(&spec["ports"])
        .iter()
        .map(|port| {
            let protocol = port["protocol"].as_str().unwrap_or("TCP");
            match number(&port["nodePort"]) {
                0 => format!("{}/{protocol}", port["port"]),
                node => format!("{}:{node}/{protocol}", port["port"]),
            }
        })
        .collect();
    let ports = if ports.is_empty() { "<none>".to_owned() } else { ports.join(",") };
    let external: Vec<&str> = items(&service["status"]["loadBalancer"]["ingress"])
        .iter()
        .filter_map(|i| i["ip"].as_str().or(i["hostname"].as_str()))
        .collect();
    let kind = spec["type"].as_str().unwrap_or("ClusterIP");
    let external = match (kind, external.is_empty()) {
        ("ExternalName", _) => spec["externalName"].as_str().unwrap_or_default().to_owned(),
        ("LoadBalancer", true) => "<pending>".to_owned(),
        ("LoadBalancer", false) => external.join(","),
        _ => "<none>".to_owned(),
    };
    vec![
        json!(meta::name(service)),
        json!(kind),
        text_or(&spec["clusterIP"], "<none>"),
        json!(external),
        json!(ports),
        age(service, now),
        json!(labels(&spec["selector"])),
    ]
}

const ENDPOINT: &[super::Column] = &[("Name", "string", 0), ("Endpoints", "string", 0), ("Age", "string", 0)];

fn endpoints(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut all: Vec<String> = Vec::new();
    for subset in items(&object["subsets"]) {
        for address in items(&subset["addresses"]) {
            let ip = address["ip"].as_str().unwrap_or_default();
            for port in items(&subset["ports"]) {
                all.push(format!("{ip}:{}", port["port"]));
            }
        }
    }
    let text = match all.len() {
        0 => "<none>".to_owned(),
        count if count > 3 => format!("{} + {} more...", all[..3].join(","), count - 3),
        _ => all.join(","),
    };
    vec![json!(meta::name(object)), json!(text), age(object, now)]
}

const CONFIG_MAP: &[super::Column] = &[("Name", "string", 0), ("Data", "string", 0), ("Age", "string", 0)];

fn config_map(object: &Value, now: Timestamp) -> Vec<Value> {
    let count = |field: &str| object[field].as_object().map_or(0, serde_json::Map::len);
    vec![json!(meta::name(object)), json!(count("data") + count("binaryData")), age(object, now)]
}

const SERVICE_ACCOUNT: &[super::Column] =
    &[("Name", "string", 0), ("Secrets", "string", 0), ("Age", "string", 0)];

fn service_account(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![json!(meta::name(object)), json!(items(&object["secrets"]).len()), age(object, now)]
}

const SECRET: &[super::Column] =
    &[("Name", "string", 0), ("Type", "string", 0), ("Data", "integer", 0), ("Age", "string", 0)];

fn secret(object: &Value, now: Timestamp) -> Vec<Value> {
    let count = object["data"].as_object().map_or(0, serde_json::Map::len);
    vec![json!(meta::name(object)), text_or(&object["type"], "Opaque"), json!(count), age(object, now)]
}

/// Time between two timestamps, to now when the second is absent.
pub(super) fn between(from: &Value, to: &Value, now: Timestamp) -> String {
    let parse = |value: &Value| value.as_str().and_then(clock::parse);
    match (parse(from), parse(to)) {
        (None, _) => String::new(),
        (Some(from), to) => human(to.unwrap_or(now).duration_since(from).as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_show_state_and_roles() {
        let object = json!({
            "metadata": { "name": "cp-1", "labels": { "node-role.kubernetes.io/control-plane": "" } },
            "spec": { "unschedulable": true },
            "status": { "conditions": [{ "type": "Ready", "status": "Unknown" }], "nodeInfo": { "kubeletVersion": "v1.33.4" } },
        });
        let cells = node(&object, Timestamp::UNIX_EPOCH);
        assert_eq!(cells[1], "NotReady,SchedulingDisabled");
        assert_eq!(cells[2], "control-plane");
        assert_eq!(cells[5], "<none>");
    }

    #[test]
    fn repeated_events_show_their_count() {
        let object = json!({
            "metadata": { "name": "e" }, "type": "Warning", "reason": "Rebooted", "message": "m\n", "count": 3,
            "involvedObject": { "kind": "Node", "name": "n" },
            "firstTimestamp": "1970-01-01T00:00:00Z", "lastTimestamp": "1970-01-01T00:01:00Z",
        });
        let cells = event(&object, Timestamp::from_second(90).unwrap());
        assert_eq!(cells[0], "30s (x3 over 90s)");
        assert_eq!(cells[3], "node/n");
        assert_eq!(cells[6], "m");
    }
}
