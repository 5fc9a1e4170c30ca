//! Pod objects as rows.

use super::{Condition, Meta, OwnerWire, Wire, nullable, tidy, tidy_all, tidy_map};
use crate::domain::ids::PodKey;
use crate::domain::pod::{Owner, Phase, PodRow};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;

const HOSTNAME: &str = "kubernetes.io/hostname";

/// What is read of a Pod.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::backend::kube) struct PodWire {
    metadata: Meta,
    #[serde(deserialize_with = "nullable")]
    spec: Spec,
    #[serde(deserialize_with = "nullable")]
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    node_name: Option<String>,
    termination_grace_period_seconds: Option<i64>,
    #[serde(deserialize_with = "nullable")]
    volumes: Vec<Volume>,
    priority: Option<i32>,
    #[serde(deserialize_with = "nullable")]
    priority_class_name: String,
    #[serde(deserialize_with = "nullable")]
    node_selector: BTreeMap<String, String>,
    #[serde(deserialize_with = "nullable")]
    tolerations: Vec<Toleration>,
    #[serde(deserialize_with = "nullable")]
    affinity: Affinity,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Volume {
    name: String,
    empty_dir: Option<IgnoredAny>,
    persistent_volume_claim: Option<Claim>,
    ephemeral: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Claim {
    claim_name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Toleration {
    key: Option<String>,
    operator: Option<String>,
    effect: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Affinity {
    #[serde(deserialize_with = "nullable")]
    node_affinity: NodeAffinity,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NodeAffinity {
    #[serde(deserialize_with = "nullable")]
    required_during_scheduling_ignored_during_execution: Required,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Required {
    #[serde(deserialize_with = "nullable")]
    node_selector_terms: Vec<Term>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Term {
    #[serde(deserialize_with = "nullable")]
    match_expressions: Vec<Expression>,
    #[serde(deserialize_with = "nullable")]
    match_fields: Vec<Expression>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Expression {
    key: String,
    operator: String,
    #[serde(deserialize_with = "nullable")]
    values: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    #[serde(deserialize_with = "nullable")]
    phase: String,
    #[serde(deserialize_with = "nullable")]
    conditions: Vec<Condition>,
    #[serde(deserialize_with = "nullable")]
    init_container_statuses: Vec<Container>,
    #[serde(deserialize_with = "nullable")]
    container_statuses: Vec<Container>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    restart_count: u32,
    #[serde(deserialize_with = "nullable")]
    state: State,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct State {
    waiting: Option<Waiting>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Waiting {
    reason: String,
}

impl Wire for PodWire {
    type Row = PodRow;

    fn version(&self) -> &str {
        &self.metadata.resource_version
    }

    fn row(self) -> Option<PodRow> {
        let Self { metadata, mut spec, status } = self;
        let mut node_selector = tidy_map(std::mem::take(&mut spec.node_selector));
        if let Some(host) = spec.affinity.host() {
            node_selector.entry(HOSTNAME.to_owned()).or_insert_with(|| tidy(host.to_owned()));
        }
        let own_grace = spec.termination_grace_period_seconds.unwrap_or(30);
        Some(PodRow {
            node: spec.node_name.take().filter(|node| !node.is_empty()).map(|node| tidy(node).into()),
            phase: phase(&status.phase),
            ready: status
                .conditions
                .iter()
                .any(|condition| condition.kind == "Ready" && condition.status == "True"),
            deleting: metadata.deletion_timestamp,
            grace_secs: metadata.deletion_grace_period_seconds.unwrap_or(own_grace),
            owner: metadata
                .owner_references
                .into_iter()
                .find(|owner| owner.controller == Some(true))
                .map(owner),
            mirror: metadata.annotations.contains_key("kubernetes.io/config.mirror"),
            claims: tidy_all(spec.volumes.iter().filter_map(|volume| volume.claim(&metadata.name))),
            tolerates_cordon: spec.tolerations.iter().any(Toleration::covers_cordon),
            priority: spec.priority.unwrap_or(0),
            priority_class: tidy(spec.priority_class_name),
            restarts: status.containers().map(|container| container.restart_count).sum(),
            waiting: status.waiting(),
            empty_dirs: tidy_all(
                spec.volumes
                    .into_iter()
                    .filter(|volume| volume.empty_dir.is_some())
                    .map(|volume| volume.name),
            ),
            labels: tidy_map(metadata.labels),
            finalizers: tidy_all(metadata.finalizers),
            node_selector,
            created: metadata.creation_timestamp,
            key: PodKey {
                namespace: tidy(metadata.namespace),
                name: tidy(metadata.name),
                uid: tidy(metadata.uid),
            },
        })
    }
}

impl Affinity {
    /// The one host on which the pod may run, when every required term names it.
    fn host(&self) -> Option<&str> {
        let terms =
            &self.node_affinity.required_during_scheduling_ignored_during_execution.node_selector_terms;
        let first = terms.first()?.host()?;
        terms.iter().all(|term| term.host() == Some(first)).then_some(first)
    }
}

impl Term {
    fn host(&self) -> Option<&str> {
        let names = |need: &&Expression| need.operator == "In" && need.values.len() == 1;
        let by_label = self.match_expressions.iter().filter(|need| need.key == HOSTNAME).find(names);
        let by_name = || self.match_fields.iter().filter(|need| need.key == "metadata.name").find(names);
        by_label.or_else(by_name).map(|need| need.values[0].as_str())
    }
}

impl Volume {
    /// The claim's name; that of a generic ephemeral volume is `POD-VOLUME`.
    fn claim(&self, pod: &str) -> Option<String> {
        match (&self.persistent_volume_claim, &self.ephemeral) {
            (Some(claim), _) => Some(claim.claim_name.clone()),
            (None, Some(_)) => Some(format!("{pod}-{}", self.name)),
            (None, None) => None,
        }
    }
}

impl Toleration {
    fn covers_cordon(&self) -> bool {
        let is_exists = self.operator.as_deref() == Some("Exists");
        let has_key = match self.key.as_deref() {
            None | Some("") => is_exists,
            Some(key) => key == "node.kubernetes.io/unschedulable",
        };
        has_key && matches!(self.effect.as_deref(), None | Some("" | "NoSchedule"))
    }
}

impl Status {
    fn containers(&self) -> impl Iterator<Item = &Container> {
        self.init_container_statuses.iter().chain(&self.container_statuses)
    }

    fn waiting(&self) -> Option<String> {
        let of_container = self.containers().find_map(|container| container.state.waiting.as_ref());
        if let Some(waiting) = of_container.filter(|waiting| !waiting.reason.is_empty()) {
            return Some(tidy(waiting.reason.clone()));
        }
        let unscheduled = self
            .conditions
            .iter()
            .find(|condition| condition.kind == "PodScheduled" && condition.status == "False")?;
        if unscheduled.message.is_empty() {
            return Some(tidy(unscheduled.reason.clone()));
        }
        Some(tidy(format!("{}: {}", unscheduled.reason, unscheduled.message)))
    }
}

fn owner(wire: OwnerWire) -> Owner {
    Owner {
        api_version: tidy(wire.api_version),
        kind: tidy(wire.kind),
        name: tidy(wire.name),
        uid: tidy(wire.uid),
    }
}

fn phase(text: &str) -> Phase {
    match text {
        "Running" => Phase::Running,
        "Succeeded" => Phase::Succeeded,
        "Failed" => Phase::Failed,
        // an object without a status was created just now
        "Pending" | "" => Phase::Pending,
        _ => Phase::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn row(pod: Value) -> PodRow {
        serde_json::from_value::<PodWire>(pod).unwrap().row().unwrap()
    }

    fn typical() -> Value {
        let fields: serde_json::Map<String, Value> =
            (0..70).map(|i| (format!("f:field-{i}"), json!({}))).collect();
        let env: Vec<Value> =
            (0..20).map(|i| json!({"name": format!("NAME_{i}"), "value": "something"})).collect();
        json!({
            "metadata": {
                "name": "web-7d9c5b6f4-x2x9z", "namespace": "shop", "uid": "0b0c8a52-6a3e-4b0f-9c55-6f1d8a1f2b3c",
                "resourceVersion": "123", "creationTimestamp": "2026-01-02T03:04:05Z",
                "labels": {"app": "web", "pod-template-hash": "7d9c5b6f4", "team": "shop", "tier": "front"},
                "annotations": {"kubernetes.io/config.seen": "2026", "big": "x".repeat(3000)},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-7d9c5b6f4",
                                     "uid": "rs", "controller": true, "blockOwnerDeletion": true}],
                "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:status": fields}}],
            },
            "spec": {
                "nodeName": "worker-1", "containers": [{"name": "web", "image": "web:1", "env": env}],
                "volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "data", "persistentVolumeClaim": {"claimName": "d0"}},
                            {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {}}},
                            {"name": "kube-api-access", "projected": {"sources": []}}],
                "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}],
                "priority": 100, "priorityClassName": "shop", "terminationGracePeriodSeconds": 60,
            },
            "status": {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{"restartCount": 2, "state": {"running": {}}}, {"restartCount": 3, "state": {}}],
            },
        })
    }

    #[test]
    fn a_pod_as_the_api_sends_it() {
        let pod = row(typical());
        assert_eq!(pod.node, Some("worker-1".into()));
        assert_eq!((pod.phase, pod.ready, pod.restarts), (Phase::Running, true, 5));
        assert_eq!(
            (pod.empty_dirs.clone(), pod.claims.clone()),
            (vec!["tmp".into()], vec!["d0".into(), "web-7d9c5b6f4-x2x9z-scratch".into()])
        );
        assert_eq!((pod.grace_secs, pod.priority, pod.mirror, pod.tolerates_cordon), (60, 100, false, false));
        assert_eq!(pod.owner.map(|owner| owner.kind).as_deref(), Some("ReplicaSet"));
    }

    #[test]
    fn what_waits_is_named() {
        let mut pod = typical();
        pod["status"] = json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes\u{7}"}]});
        assert_eq!(row(pod.clone()).waiting.as_deref(), Some("Unschedulable: 0/3 nodes"));
        pod["status"]["initContainerStatuses"] =
            json!([{"restartCount": 9, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]);
        assert_eq!(row(pod).waiting.as_deref(), Some("CrashLoopBackOff"));
    }

    #[test]
    fn pins_and_tolerations() {
        let mut pod = typical();
        pod["spec"]["affinity"] = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["w1"]}]}]}}});
        pod["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
        let pinned = row(pod.clone());
        assert_eq!(pinned.node_selector.get(HOSTNAME).map(String::as_str), Some("w1"));
        assert!(pinned.tolerates_cordon);
        pod["spec"]["tolerations"] =
            json!([{"key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoExecute"}]);
        assert!(!row(pod).tolerates_cordon);
    }

    #[test]
    fn ten_thousand_pods_stay_small() {
        let pod = row(typical());
        let heap = |text: &String| text.capacity();
        let texts: usize = [&pod.key.namespace, &pod.key.name, &pod.key.uid, &pod.priority_class]
            .into_iter()
            .chain(pod.node.as_ref().map(|node| &node.0))
            .chain(pod.owner.iter().flat_map(|o| [&o.api_version, &o.kind, &o.name, &o.uid]))
            .chain(pod.empty_dirs.iter().chain(&pod.claims))
            .map(heap)
            .sum();
        let labels: usize = pod.labels.iter().map(|(key, value)| key.capacity() + value.capacity()).sum();
        // one leaf of a B-tree: eleven keys and values, and its links
        let leaf = 11 * 2 * size_of::<String>() + 16;
        let total = size_of::<PodRow>() + texts + labels + leaf + 3 * size_of::<String>();
        assert!(total * 10_000 < 16 << 20, "{total} bytes a pod");
    }
}
