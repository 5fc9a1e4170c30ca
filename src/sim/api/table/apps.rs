//! Rows of workloads: deployments, replica, stateful and daemon sets, jobs, cron jobs, revisions.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::core::between;
use super::{Column, Layout, age, items, labels, number, since, text_or};
use crate::sim::api::selector::object_text;
use crate::sim::store::resources::{
    CONTROLLER_REVISIONS, CRON_JOBS, DAEMON_SETS, DEPLOYMENTS, JOBS, REPLICA_SETS, STATEFUL_SETS,
};
use crate::sim::store::{Resource, meta};

pub(super) fn layout(r: &Resource) -> Option<Layout> {
    let (columns, cells): (&'static [Column], super::Cells) = match r {
        r if *r == DEPLOYMENTS => (DEPLOYMENT, deployment),
        r if *r == REPLICA_SETS => (REPLICA_SET, replica_set),
        r if *r == STATEFUL_SETS => (STATEFUL_SET, stateful_set),
        r if *r == DAEMON_SETS => (DAEMON_SET, daemon_set),
        r if *r == JOBS => (JOB, job),
        r if *r == CRON_JOBS => (CRON_JOB, cron_job),
        r if *r == CONTROLLER_REVISIONS => (REVISION, revision),
        _ => return None,
    };
    Some(Layout { columns, cells })
}

fn name(object: &Value) -> Value {
    json!(meta::name(object))
}

/// Names and images of a template's containers.
fn containers(spec: &Value) -> (Value, Value) {
    let all = items(&spec["template"]["spec"]["containers"]);
    let joined = |field: &str| {
        let texts: Vec<&str> = all.iter().filter_map(|c| c[field].as_str()).collect();
        json!(texts.join(","))
    };
    (joined("name"), joined("image"))
}

fn selector(spec: &Value) -> Value {
    let text = object_text(&spec["selector"]);
    json!(if text.is_empty() { "<none>".to_owned() } else { text })
}

const DEPLOYMENT: &[Column] = &[
    ("Name", "string", 0),
    ("Ready", "string", 0),
    ("Up-to-date", "string", 0),
    ("Available", "string", 0),
    ("Age", "string", 0),
    ("Containers", "string", 1),
    ("Images", "string", 1),
    ("Selector", "string", 1),
];

fn deployment(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let (names, images) = containers(spec);
    vec![
        name(object),
        json!(format!("{}/{}", number(&status["readyReplicas"]), number(&spec["replicas"]))),
        json!(number(&status["updatedReplicas"])),
        json!(number(&status["availableReplicas"])),
        age(object, now),
        names,
        images,
        selector(spec),
    ]
}

const REPLICA_SET: &[Column] = &[
    ("Name", "string", 0),
    ("Desired", "integer", 0),
    ("Current", "integer", 0),
    ("Ready", "integer", 0),
    ("Age", "string", 0),
    ("Containers", "string", 1),
    ("Images", "string", 1),
    ("Selector", "string", 1),
];

fn replica_set(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let (names, images) = containers(spec);
    vec![
        name(object),
        json!(number(&spec["replicas"])),
        json!(number(&status["replicas"])),
        json!(number(&status["readyReplicas"])),
        age(object, now),
        names,
        images,
        selector(spec),
    ]
}

const STATEFUL_SET: &[Column] = &[
    ("Name", "string", 0),
    ("Ready", "string", 0),
    ("Age", "string", 0),
    ("Containers", "string", 1),
    ("Images", "string", 1),
];

fn stateful_set(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let (names, images) = containers(spec);
    let ready = format!("{}/{}", number(&status["readyReplicas"]), number(&spec["replicas"]));
    vec![name(object), json!(ready), age(object, now), names, images]
}

const DAEMON_SET: &[Column] = &[
    ("Name", "string", 0),
    ("Desired", "integer", 0),
    ("Current", "integer", 0),
    ("Ready", "integer", 0),
    ("Up-to-date", "integer", 0),
    ("Available", "integer", 0),
    ("Node Selector", "string", 0),
    ("Age", "string", 0),
    ("Containers", "string", 1),
    ("Images", "string", 1),
    ("Selector", "string", 1),
];

fn daemon_set(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let (names, images) = containers(spec);
    let count = |field: &str| json!(number(&status[field]));
    vec![
        name(object),
        count("desiredNumberScheduled"),
        count("currentNumberScheduled"),
        count("numberReady"),
        count("updatedNumberScheduled"),
        count("numberAvailable"),
        json!(labels(&spec["template"]["spec"]["nodeSelector"])),
        age(object, now),
        names,
        images,
        selector(spec),
    ]
}

const JOB: &[Column] = &[
    ("Name", "string", 0),
    ("Status", "string", 0),
    ("Completions", "string", 0),
    ("Duration", "string", 0),
    ("Age", "string", 0),
    ("Containers", "string", 1),
    ("Images", "string", 1),
    ("Selector", "string", 1),
];

fn job(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let (names, images) = containers(spec);
    let has =
        |kind: &str| items(&status["conditions"]).iter().any(|c| c["type"] == kind && c["status"] == "True");
    let state = match () {
        () if has("Complete") => "Complete",
        () if has("Failed") => "Failed",
        () if meta::is_deleting(object) => "Terminating",
        () if has("Suspended") => "Suspended",
        () if has("FailureTarget") => "FailureTarget",
        () if has("SuccessCriteriaMet") => "SuccessCriteriaMet",
        () => "Running",
    };
    let succeeded = number(&status["succeeded"]);
    let completions = match (spec["completions"].as_i64(), number(&spec["parallelism"])) {
        (Some(wanted), _) => format!("{succeeded}/{wanted}"),
        (None, parallel) if parallel > 1 => format!("{succeeded}/1 of {parallel}"),
        (None, _) => format!("{succeeded}/1"),
    };
    vec![
        name(object),
        json!(state),
        json!(completions),
        json!(between(&status["startTime"], &status["completionTime"], now)),
        age(object, now),
        names,
        images,
        selector(spec),
    ]
}

const CRON_JOB: &[Column] = &[
    ("Name", "string", 0),
    ("Schedule", "string", 0),
    ("Timezone", "string", 0),
    ("Suspend", "boolean", 0),
    ("Active", "integer", 0),
    ("Last Schedule", "string", 0),
    ("Age", "string", 0),
    ("Containers", "string", 1),
    ("Images", "string", 1),
    ("Selector", "string", 1),
];

fn cron_job(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let (names, images) = containers(&spec["jobTemplate"]["spec"]);
    let last = &status["lastScheduleTime"];
    vec![
        name(object),
        text_or(&spec["schedule"], ""),
        text_or(&spec["timeZone"], "<none>"),
        json!(if spec["suspend"] == true { "True" } else { "False" }),
        json!(items(&status["active"]).len()),
        json!(if last.is_null() { "<none>".to_owned() } else { since(last, now) }),
        age(object, now),
        names,
        images,
        selector(&spec["jobTemplate"]["spec"]),
    ]
}

const REVISION: &[Column] =
    &[("Name", "string", 0), ("Controller", "string", 0), ("Revision", "string", 0), ("Age", "string", 0)];

fn revision(object: &Value, now: Timestamp) -> Vec<Value> {
    let owner = items(&object["metadata"]["ownerReferences"]).iter().find(|o| o["controller"] == true);
    let owner = owner.map_or_else(
        || "<none>".to_owned(),
        |o| {
            let kind = o["kind"].as_str().unwrap_or_default().to_lowercase();
            format!("{kind}.apps/{}", o["name"].as_str().unwrap_or_default())
        },
    );
    vec![name(object), json!(owner), json!(number(&object["revision"])), age(object, now)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_show_their_counts() {
        let object = json!({
            "metadata": { "name": "web" },
            "spec": { "replicas": 3, "selector": { "matchLabels": { "app": "web" } },
                "template": { "spec": { "containers": [{ "name": "a", "image": "b" }] } } },
            "status": { "readyReplicas": 2, "updatedReplicas": 3 },
        });
        let cells = deployment(&object, Timestamp::UNIX_EPOCH);
        assert_eq!(cells[1], "2/3");
        assert_eq!(cells[2], 3);
        assert_eq!(cells[7], "app=web");
        assert_eq!(job(&json!({ "spec": { "completions": 1 } }), Timestamp::UNIX_EPOCH)[1], "Running");
    }
}
