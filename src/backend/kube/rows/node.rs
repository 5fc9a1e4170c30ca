//! Node objects as rows, and who cordoned a node.

use super::quantity::{Quantities, amounts, milli};
use super::{Condition, Meta, Wire, marks, nullable, tidy, tidy_all, tidy_map, time};
use crate::backend::clock;
use crate::domain::ids::NodeName;
use crate::domain::node::{CordonNote, NodeRow, Readiness, annotation};
use crate::domain::time::Stamp;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// The field manager that pitstop writes under.
pub(in crate::backend::kube) const MANAGER: &str = "pitstop";

/// What is read of a Node.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::backend::kube) struct NodeWire {
    metadata: Meta<String, Option<Vec<Managed>>>,
    #[serde(deserialize_with = "nullable")]
    spec: Spec,
    #[serde(deserialize_with = "nullable")]
    status: Status,
}

/// One of `metadata.managedFields`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in crate::backend::kube) struct Managed {
    pub(super) manager: String,
    /// Stamped by the API server when a field's value changes.
    #[serde(deserialize_with = "time")]
    pub(super) time: Option<Stamp>,
    #[serde(rename = "fieldsV1")]
    pub(super) fields: serde_json::Value,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    unschedulable: bool,
    #[serde(deserialize_with = "nullable")]
    taints: Vec<Taint>,
}

/// One of `spec.taints`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Taint {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) effect: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    #[serde(deserialize_with = "nullable")]
    conditions: Vec<Condition>,
    #[serde(deserialize_with = "nullable")]
    addresses: Vec<Address>,
    #[serde(deserialize_with = "nullable")]
    node_info: Info,
    #[serde(deserialize_with = "nullable")]
    allocatable: Quantities,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Address {
    #[serde(rename = "type")]
    kind: String,
    address: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Info {
    kubelet_version: String,
    kernel_version: String,
    os_image: String,
    #[serde(rename = "bootID")]
    boot_id: String,
    #[serde(rename = "machineID")]
    machine_id: String,
}

impl Wire for NodeWire {
    type Row = NodeRow;

    fn version(&self) -> &str {
        &self.metadata.resource_version
    }

    fn row(self) -> Option<NodeRow> {
        let cordon = if self.spec.unschedulable { self.cordon_note() } else { None };
        let Self { metadata, spec, status } = self;
        let ready = status.conditions.iter().find(|condition| condition.kind == "Ready");
        let internal = status.addresses.iter().find(|address| address.kind == "InternalIP");
        Some(NodeRow {
            roles: roles(&metadata.labels, &status.conditions),
            readiness: readiness(ready),
            ready_since: ready.and_then(|condition| condition.last_transition_time),
            heartbeat: ready.and_then(|condition| condition.last_heartbeat_time),
            cordoned: spec.unschedulable,
            cordon,
            pressure: pressure(&status.conditions),
            address: internal.map(|address| tidy(address.address.clone())),
            addresses: tidy_all(
                status
                    .addresses
                    .into_iter()
                    .map(|address| address.address)
                    .chain(etcd_address(&metadata.annotations)),
            ),
            created: metadata.creation_timestamp,
            booted: None,
            pod_capacity: status
                .allocatable
                .get("pods")
                .and_then(milli)
                .and_then(|room| u32::try_from(room / 1000).ok()),
            allocatable: (!status.allocatable.is_empty()).then(|| amounts(&status.allocatable)),
            foreign_locks: marks::foreign(&metadata.labels, &metadata.annotations, &spec.taints),
            taints: tidy_all(spec.taints.into_iter().map(Taint::words)),
            name: NodeName(tidy(metadata.name)),
            uid: tidy(metadata.uid),
            version: tidy(status.node_info.kubelet_version),
            kernel: tidy(status.node_info.kernel_version),
            os_image: tidy(status.node_info.os_image),
            boot_id: tidy(status.node_info.boot_id),
            machine_id: tidy(status.node_info.machine_id),
            labels: tidy_map(metadata.labels),
        })
    }
}

impl NodeWire {
    /// Who cordoned the node: our annotations while the field is still ours, else its field manager.
    fn cordon_note(&self) -> Option<CordonNote> {
        let note = |key: &str| self.metadata.annotations.get(key).cloned().map(tidy);
        let writer = self.writer();
        let prior_cordoned = note(annotation::PRIOR).map(|prior| prior == "cordoned");
        let is_ours = note(annotation::RUN).is_some() || note(annotation::HOLDER).is_some();
        // somebody uncordoned and cordoned again meanwhile: what stands in our annotations is of an earlier cordon
        let is_overwritten =
            prior_cordoned == Some(false) && writer.as_ref().is_some_and(|(manager, _)| manager != MANAGER);
        if is_ours && !is_overwritten {
            return Some(CordonNote {
                run: note(annotation::RUN).map(Into::into),
                holder: note(annotation::HOLDER).unwrap_or_else(|| MANAGER.to_owned()),
                since: note(annotation::SINCE).as_deref().and_then(clock::parse),
                reason: note(annotation::REASON),
                prior_cordoned,
            });
        }
        writer.map(|(holder, since)| CordonNote {
            run: None,
            holder,
            since,
            reason: None,
            prior_cordoned: None,
        })
    }

    /// The last field manager of `spec.unschedulable`.
    fn writer(&self) -> Option<(String, Option<Stamp>)> {
        self.metadata
            .managed_fields
            .iter()
            .flatten()
            .filter(|entry| entry.fields["f:spec"].get("f:unschedulable").is_some())
            .max_by_key(|entry| entry.time)
            .map(|entry| (tidy(entry.manager.clone()), entry.time))
    }

    /// `metadata.annotations` that are ours.
    pub(in crate::backend::kube) fn has_notes(&self) -> bool {
        self.metadata.annotations.keys().any(|key| key.starts_with("pitstop.dev/"))
    }
}

impl Taint {
    fn words(self) -> String {
        let value = if self.value.is_empty() { String::new() } else { format!("={}", self.value) };
        format!("{}{value}:{}", self.key, self.effect)
    }
}

/// By labels; a node of k3s and RKE2 whose label was taken away still says by a condition that it hosts a member, a voter or
/// a learner.
fn roles(labels: &BTreeMap<String, String>, conditions: &[Condition]) -> Vec<String> {
    let named = labels.keys().filter_map(|key| key.strip_prefix("node-role.kubernetes.io/"));
    let legacy = labels.get("kubernetes.io/role").map(String::as_str);
    let hosts_etcd = conditions.iter().any(|condition| condition.kind == "EtcdIsVoter").then_some("etcd");
    let roles = named.chain(legacy).chain(hosts_etcd).filter(|role| !role.is_empty());
    let roles: BTreeSet<&str> = roles.collect();
    tidy_all(roles.into_iter().map(str::to_owned))
}

/// The address that k3s and RKE2 let a node's etcd member advertise.
fn etcd_address(annotations: &BTreeMap<String, String>) -> Option<String> {
    let keys = ["etcd.k3s.cattle.io/node-address", "etcd.rke2.cattle.io/node-address"];
    keys.into_iter().find_map(|key| annotations.get(key)).cloned()
}

fn readiness(ready: Option<&Condition>) -> Readiness {
    match ready.map(|condition| condition.status.as_str()) {
        Some("True") => Readiness::Ready,
        Some("False") => Readiness::NotReady,
        _ => Readiness::Unknown,
    }
}

fn pressure(conditions: &[Condition]) -> Vec<String> {
    let bad = conditions.iter().filter(|condition| condition.status == "True");
    tidy_all(bad.filter_map(|condition| match condition.kind.as_str() {
        "NetworkUnavailable" => Some("Network".to_owned()),
        kind => kind.strip_suffix("Pressure").map(str::to_owned),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(node: serde_json::Value) -> NodeRow {
        serde_json::from_value::<NodeWire>(node).unwrap().row().unwrap()
    }

    #[test]
    fn a_host_of_etcd_is_known_by_its_condition_and_its_members_address_by_an_annotation() {
        let node = row(json!({
            "metadata": {"name": "s-1", "annotations": {"etcd.k3s.cattle.io/node-address": "203.0.113.7"}},
            "status": {"conditions": [{"type": "EtcdIsVoter", "status": "False"}],
                       "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]}
        }));
        assert!(node.is_labelled_etcd(), "a learner is a member too");
        assert!(node.answers_to("203.0.113.7") && node.answers_to("10.0.0.1"));
    }

    #[test]
    fn a_node_as_the_api_sends_it() {
        let node = row(json!({
            "metadata": {
                "name": "cp-1", "uid": "u1", "resourceVersion": "7", "creationTimestamp": "2026-01-02T03:04:05Z",
                "labels": {"node-role.kubernetes.io/control-plane": "", "node-role.kubernetes.io/etcd": "",
                           "kubernetes.io/hostname": "cp-1"},
                "annotations": null
            },
            "spec": {"taints": [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"},
                                {"key": "dedicated", "value": "db", "effect": "NoExecute"}]},
            "status": {
                "conditions": [
                    {"type": "MemoryPressure", "status": "True"},
                    {"type": "DiskPressure", "status": "False"},
                    {"type": "NetworkUnavailable", "status": "True"},
                    {"type": "Ready", "status": "Unknown", "lastHeartbeatTime": "2026-01-02T03:10:00Z",
                     "lastTransitionTime": "2026-01-02T03:11:00Z"}
                ],
                "addresses": [{"type": "Hostname", "address": "cp-1"}, {"type": "InternalIP", "address": "10.0.0.1"}],
                "allocatable": {"pods": "110", "cpu": "4"},
                "nodeInfo": {"kubeletVersion": "v1.34.2", "kernelVersion": "6.1", "osImage": "Debian\u{1b}[2J",
                             "bootID": "b", "machineID": "m"}
            }
        }));
        assert_eq!(node.roles, ["control-plane", "etcd"]);
        assert_eq!(node.readiness, Readiness::Unknown);
        assert_eq!(node.pressure, ["Memory", "Network"]);
        assert_eq!(
            node.taints,
            ["node-role.kubernetes.io/control-plane:NoSchedule", "dedicated=db:NoExecute"]
        );
        assert_eq!(node.address.as_deref(), Some("10.0.0.1"));
        assert_eq!(node.pod_capacity, Some(110));
        assert_eq!(node.allocatable.as_ref().map(|have| have.cpu_milli), Some(4000));
        assert_eq!(node.os_image, "Debian[2J");
        assert_eq!(node.heartbeat, clock::parse("2026-01-02T03:10:00Z"));
        assert!(!node.cordoned && node.cordon.is_none());
    }

    fn cordoned(annotations: &serde_json::Value, manager: &str) -> NodeRow {
        row(json!({
            "metadata": {"name": "w", "annotations": annotations, "managedFields": [
                {"manager": "kubelet", "time": "2026-01-02T09:00:00Z", "fieldsV1": {"f:status": {}}},
                {"manager": manager, "time": "2026-01-02T03:04:05Z", "fieldsV1": {"f:spec": {"f:unschedulable": {}}}},
            ]},
            "spec": {"unschedulable": true}
        }))
    }

    #[test]
    fn a_cordon_is_named_by_its_field_manager() {
        let note = cordoned(&json!({}), "kubectl-cordon").cordon.unwrap();
        assert_eq!(note.holder, "kubectl-cordon");
        assert_eq!(note.since, clock::parse("2026-01-02T03:04:05Z"));
        assert_eq!((note.run, note.prior_cordoned), (None, None));
    }

    #[test]
    fn a_cordon_of_ours_is_told_by_its_notes_until_another_takes_over() {
        let notes = json!({"pitstop.dev/run": "reboot-w", "pitstop.dev/holder": "ann@desk",
            "pitstop.dev/since": "2026-01-02T03:04:05Z", "pitstop.dev/reason": "reboot", "pitstop.dev/prior": "schedulable"});
        let note = cordoned(&notes, "pitstop").cordon.unwrap();
        assert_eq!(note.holder, "ann@desk");
        assert_eq!((note.run, note.prior_cordoned), (Some("reboot-w".into()), Some(false)));
        assert_eq!(cordoned(&notes, "kubectl-cordon").cordon.unwrap().holder, "kubectl-cordon");
        let mut before = notes;
        before["pitstop.dev/prior"] = json!("cordoned");
        let note = cordoned(&before, "kubectl-cordon").cordon.unwrap();
        assert_eq!((note.holder.as_str(), note.prior_cordoned), ("ann@desk", Some(true)));
    }

    #[test]
    fn an_empty_node_is_a_row_of_unknowns() {
        let node = row(json!({"metadata": {"name": "w"}, "spec": null, "status": null}));
        assert_eq!(node.readiness, Readiness::Unknown);
        assert_eq!((node.address, node.pod_capacity, node.heartbeat), (None, None, None));
    }
}
