//! Event objects as lines of the log: nodes all, pods only what tells of trouble or of moving.

use super::{Meta, Wire, nullable, tidy, time};
use crate::domain::feed::Row;
use crate::domain::log::{Level, LogLine, Origin};
use crate::domain::time::Stamp;
use serde::Deserialize;

/// Normal events of pods that are worth a line: the pod comes, goes or moves.
const PODS_TELL: &[&str] =
    &["Scheduled", "Killing", "Evicted", "Preempted", "Preempting", "TaintManagerEviction"];

/// What is read of an Event (`v1`).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in crate::backend::kube) struct EventWire {
    metadata: Meta,
    #[serde(deserialize_with = "nullable")]
    involved_object: Object,
    #[serde(deserialize_with = "nullable")]
    reason: String,
    #[serde(deserialize_with = "nullable")]
    message: String,
    #[serde(rename = "type", deserialize_with = "nullable")]
    kind: String,
    count: Option<i64>,
    #[serde(deserialize_with = "time")]
    first_timestamp: Option<Stamp>,
    #[serde(deserialize_with = "time")]
    last_timestamp: Option<Stamp>,
    #[serde(deserialize_with = "time")]
    event_time: Option<Stamp>,
    #[serde(deserialize_with = "nullable")]
    source: Source,
    series: Option<Series>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Object {
    kind: String,
    namespace: String,
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Source {
    #[serde(deserialize_with = "nullable")]
    host: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Series {
    count: Option<i64>,
    #[serde(deserialize_with = "time")]
    last_observed_time: Option<Stamp>,
}

/// An Event, ready to be shown.
#[derive(Debug, Clone)]
pub(in crate::backend::kube) struct EventRow {
    name: String,
    /// What repeats: the object and the reason.
    pub(in crate::backend::kube) subject: String,
    pub(in crate::backend::kube) line: LogLine,
}

impl Row for EventRow {
    type Key = String;
    fn key(&self) -> String {
        self.name.clone()
    }
}

impl Wire for EventWire {
    type Row = EventRow;

    fn version(&self) -> &str {
        &self.metadata.resource_version
    }

    fn row(self) -> Option<EventRow> {
        let is_warning = self.kind == "Warning";
        let is_told = match self.involved_object.kind.as_str() {
            "Node" | "PodDisruptionBudget" => true,
            "Pod" => is_warning || PODS_TELL.contains(&self.reason.as_str()),
            _ => false,
        };
        if !is_told {
            return None;
        }
        let series = self.series.as_ref();
        let at = series
            .and_then(|series| series.last_observed_time)
            .or(self.last_timestamp)
            .or(self.event_time)
            .or(self.first_timestamp)
            .or(self.metadata.creation_timestamp)?;
        let object = &self.involved_object;
        let node = match object.kind.as_str() {
            "Node" => Some(object.name.clone()),
            _ => Some(self.source.host).filter(|host| !host.is_empty()),
        };
        let name = match (object.kind.as_str(), object.namespace.as_str()) {
            ("Node", _) | (_, "") => object.name.clone(),
            (_, namespace) => format!("{namespace}/{}", object.name),
        };
        let count = series.and_then(|series| series.count).or(self.count).unwrap_or(1);
        let times = if count > 1 { format!(" (x{count})") } else { String::new() };
        let text = tidy(format!("{} {name}: {}{times}", self.reason, self.message.trim()));
        Some(EventRow {
            name: tidy(format!("{}/{}", self.metadata.namespace, self.metadata.name)),
            subject: tidy(format!("{} {name} {}", object.kind, self.reason)),
            line: LogLine {
                at,
                level: if is_warning { Level::Warn } else { Level::Info },
                origin: Origin::Event,
                op: None,
                node: node.map(|node| tidy(node).into()),
                text,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn row(event: Value) -> Option<EventRow> {
        serde_json::from_value::<EventWire>(event).unwrap().row()
    }

    #[test]
    fn a_node_event_names_its_node() {
        let row = row(json!({
            "metadata": {"name": "e1", "namespace": "default"}, "type": "Warning", "reason": "Rebooted", "count": 3,
            "involvedObject": {"kind": "Node", "name": "cp-1"}, "message": "Node cp-1 has been rebooted\n",
            "lastTimestamp": "2026-01-02T03:04:05Z", "eventTime": null, "source": {"component": "kubelet", "host": "cp-1"},
        }))
        .unwrap();
        assert_eq!(row.line.text, "Rebooted cp-1: Node cp-1 has been rebooted (x3)");
        assert_eq!((row.line.level, row.line.node), (Level::Warn, Some("cp-1".into())));
    }

    #[test]
    fn pods_tell_only_what_matters() {
        let event = |kind: &str, reason: &str| {
            row(json!({"metadata": {"name": "e"}, "type": kind, "reason": reason, "message": "m",
                "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "web"},
                "eventTime": "2026-01-02T03:04:05.000000Z", "source": null}))
        };
        assert!(event("Normal", "Pulled").is_none());
        assert_eq!(event("Normal", "Killing").unwrap().line.text, "Killing shop/web: m");
        assert_eq!(event("Warning", "FailedMount").unwrap().line.level, Level::Warn);
    }
}
