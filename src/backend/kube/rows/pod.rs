//! Pod objects as rows.

use super::quantity::{Quantities, amounts, greater};
use super::rules::{AffinityWire, SpreadWire, TolerationWire, rules};
use super::{Condition, Meta, OwnerWire, Wire, nullable, tidy, tidy_all, tidy_map};
use crate::domain::ids::PodKey;
use crate::domain::placement::Amounts;
use crate::domain::pod::{Owner, Phase, PodRow};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;

/// What is read of a Pod.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::backend::kube) struct PodWire {
    metadata: Meta<String>,
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
    tolerations: Vec<TolerationWire>,
    #[serde(deserialize_with = "nullable")]
    affinity: AffinityWire,
    #[serde(deserialize_with = "nullable")]
    topology_spread_constraints: Vec<SpreadWire>,
    #[serde(deserialize_with = "nullable")]
    containers: Vec<ContainerSpec>,
    #[serde(deserialize_with = "nullable")]
    init_containers: Vec<ContainerSpec>,
    #[serde(deserialize_with = "nullable")]
    overhead: Quantities,
    #[serde(deserialize_with = "nullable")]
    resources: Resources,
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
#[serde(rename_all = "camelCase", default)]
struct ContainerSpec {
    #[serde(deserialize_with = "nullable")]
    resources: Resources,
    #[serde(deserialize_with = "nullable")]
    ports: Vec<Port>,
    restart_policy: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Resources {
    #[serde(deserialize_with = "nullable")]
    requests: Quantities,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Port {
    host_port: Option<u16>,
    protocol: Option<String>,
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
        let requests = spec.requests();
        let ports = spec.ports();
        let tolerates_cordon = spec.tolerations.iter().any(TolerationWire::covers_cordon);
        let rules =
            rules(spec.tolerations, spec.affinity, spec.topology_spread_constraints, ports, &metadata.labels);
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
            manifest: metadata.annotations.get("kubernetes.io/config.hash").cloned().map(tidy),
            claims: tidy_all(spec.volumes.iter().filter_map(|volume| volume.claim(&metadata.name))),
            tolerates_cordon,
            requests,
            rules,
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
            node_selector: tidy_map(spec.node_selector),
            created: metadata.creation_timestamp,
            key: PodKey {
                namespace: tidy(metadata.namespace),
                name: tidy(metadata.name),
                uid: tidy(metadata.uid),
            },
        })
    }
}

impl Spec {
    /// What the scheduler counts: the containers together, or the greatest of the steps before them, sidecars in
    /// either; what is given for the pod as a whole goes before; the runtime's overhead on top
    /// (`component-helpers/resource/helpers.go`).
    fn requests(&self) -> Amounts {
        let mut sidecars = Amounts::default();
        let mut before = Amounts::default();
        for step in &self.init_containers {
            let mut now = amounts(&step.resources.requests);
            if step.restart_policy.as_deref() == Some("Always") {
                sidecars.add(&now);
                now = Amounts::default();
            }
            now.add(&sidecars);
            before = greater(before, now);
        }
        let mut all = sidecars;
        for container in &self.containers {
            all.add(&amounts(&container.resources.requests));
        }
        let mut all = greater(all, before);
        let whole = amounts(&self.resources.requests);
        if self.resources.requests.contains_key("cpu") {
            all.cpu_milli = whole.cpu_milli;
        }
        if self.resources.requests.contains_key("memory") {
            all.memory = whole.memory;
        }
        all.add(&amounts(&self.overhead));
        all
    }

    fn ports(&self) -> Vec<String> {
        let ports = self.containers.iter().flat_map(|container| &container.ports);
        let words = |port: &Port| {
            let number = port.host_port.filter(|number| *number > 0)?;
            Some(format!("{number}/{}", port.protocol.as_deref().unwrap_or("TCP")))
        };
        tidy_all(ports.filter_map(words))
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
    fn tolerations_of_a_cordon() {
        let mut pod = typical();
        assert!(!row(pod.clone()).tolerates_cordon && row(pod.clone()).rules.is_none());
        pod["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
        assert!(row(pod.clone()).tolerates_cordon);
        pod["spec"]["tolerations"] =
            json!([{"key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoExecute"}]);
        assert!(!row(pod).tolerates_cordon);
    }

    #[test]
    fn requests_as_the_scheduler_counts_them() {
        let asks = |cpu: &str| json!({"resources": {"requests": {"cpu": cpu, "memory": "1Mi"}}});
        let mut pod = typical();
        pod["spec"]["containers"] = json!([asks("100m"), asks("200m")]);
        assert_eq!(row(pod.clone()).requests.cpu_milli, 300);
        let mut sidecar = asks("50m");
        sidecar["restartPolicy"] = json!("Always");
        pod["spec"]["initContainers"] = json!([sidecar, asks("250m")]);
        assert_eq!(row(pod.clone()).requests.cpu_milli, 350, "the sidecar runs beside both");
        pod["spec"]["initContainers"] = json!([asks("1"), sidecar]);
        assert_eq!(row(pod.clone()).requests.cpu_milli, 1000, "a step before them may ask for most");
        pod["spec"]["overhead"] = json!({"cpu": "10m"});
        pod["spec"]["resources"] = json!({"requests": {"cpu": "2"}});
        pod["spec"]["containers"][0]["ports"] =
            json!([{"containerPort": 80, "hostPort": 8080}, {"containerPort": 1}]);
        let pod = row(pod);
        assert_eq!((pod.requests.cpu_milli, pod.requests.memory), (2010, 3 << 20));
        assert_eq!(pod.rules.map(|rules| rules.ports), Some(vec!["8080/TCP".to_owned()]));
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
