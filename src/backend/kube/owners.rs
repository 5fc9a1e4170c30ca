//! Who owns the pods of a budget, how that may be scaled, and who writes it: read one object at a time, only when a
//! block is looked into.

use super::Cluster;
use super::request::{Ask, path};
use super::rows::{BeatWire, BudgetWire, PodWire, Wire as _, tidy};
use crate::backend::clock;
use crate::backend::error::Error;
use crate::domain::budget::{Amount, BudgetRow, UnhealthyPolicy};
use crate::domain::debt::{BudgetSpec, ObjectKey};
use crate::domain::ids::{BudgetKey, PodKey};
use crate::domain::pod::{Owner, PodRow};
use crate::domain::remedy::facts::{Autoscaler, Rollout, Strategy, Workload};
use crate::domain::remedy::keepers::{Keepers, Tool, is_builtin};
use crate::domain::report::FailureKind;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// A budget with what a change of it needs.
#[derive(Debug, Clone, PartialEq)]
pub struct BudgetDetail {
    /// The row.
    pub row: BudgetRow,
    /// Its fields as they are written.
    pub spec: BudgetSpec,
    /// Who keeps it.
    pub keepers: Keepers,
    /// `metadata.resourceVersion`.
    pub version: String,
}

/// The collection of a built-in kind: its path's first segments and its plural.
pub(super) fn collection(api_version: &str, kind: &str) -> Option<(&'static [&'static str], &'static str)> {
    Some(match (api_version, kind) {
        ("apps/v1", "Deployment") => (&["apis", "apps", "v1"], "deployments"),
        ("apps/v1", "ReplicaSet") => (&["apis", "apps", "v1"], "replicasets"),
        ("apps/v1", "StatefulSet") => (&["apis", "apps", "v1"], "statefulsets"),
        ("apps/v1", "DaemonSet") => (&["apis", "apps", "v1"], "daemonsets"),
        ("batch/v1", "Job") => (&["apis", "batch", "v1"], "jobs"),
        ("v1", "ReplicationController") => (&["api", "v1"], "replicationcontrollers"),
        ("autoscaling/v2", "HorizontalPodAutoscaler") => {
            (&["apis", "autoscaling", "v2"], "horizontalpodautoscalers")
        }
        _ => return None,
    })
}

/// The path of one object of a built-in kind.
pub(super) fn object_path(key: &ObjectKey, subresource: &[&str]) -> Option<String> {
    let (root, plural) = collection(&key.api_version, &key.kind)?;
    let mut segments = root.to_vec();
    segments.extend(["namespaces", &key.namespace, plural, &key.name]);
    segments.extend(subresource);
    Some(path(&segments))
}

pub(super) fn budget_path(key: &BudgetKey) -> String {
    path(&["apis", "policy", "v1", "namespaces", &key.namespace, "poddisruptionbudgets", &key.name])
}

impl Cluster {
    /// One budget with its written fields and who keeps it.
    ///
    /// # Errors
    /// [`FailureKind::NotFound`] when there is none.
    pub async fn budget(&self, key: &BudgetKey) -> Result<BudgetDetail, Error> {
        let ask = Ask::get("read budget", key.to_string(), budget_path(key));
        let object: Value = self.inner.fetch(&ask).await?;
        detail(&object).ok_or_else(|| {
            Error::new(FailureKind::Unexpected, "read budget", key.to_string(), "it is no budget")
        })
    }

    /// One pod with its `resourceVersion`; `None` = there is none of that name.
    pub async fn pod(&self, namespace: &str, name: &str) -> Result<Option<(PodRow, String)>, Error> {
        let to = path(&["api", "v1", "namespaces", namespace, "pods", name]);
        let ask = Ask::get("read pod", format!("{namespace}/{name}"), to);
        match self.inner.fetch::<PodWire>(&ask).await {
            Ok(wire) => {
                let version = wire.version().to_owned();
                Ok(wire.row().map(|row| (row, version)))
            }
            Err(error) if error.kind == FailureKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether this very pod is still there.
    pub async fn pod_as_is(&self, key: &PodKey) -> Result<Option<(PodRow, String)>, Error> {
        let found = self.pod(&key.namespace, &key.name).await?;
        Ok(found.filter(|(row, _)| row.key.uid == key.uid))
    }

    /// What is at the top of a pod's owners: the Deployment behind its ReplicaSet, or the owner itself. Of a kind that is
    /// not built in only the name is known.
    pub async fn workload(&self, namespace: &str, owner: &Owner) -> Result<Workload, Error> {
        let mut uids = Vec::new();
        let mut owner = owner.clone();
        // a ReplicaSet has a Deployment over it, and nothing built in has more
        for _ in 0..3 {
            uids.push(owner.uid.clone());
            let key = key_of(namespace, &owner);
            let Some(to) = object_path(&key, &[]) else { return Ok(foreign(key, &owner, uids)) };
            let ask = Ask::get("read the pods' owner", key.to_string(), to);
            let object: Value = self.inner.fetch(&ask).await?;
            let keepers = keepers(&object);
            match &keepers.controller {
                Some(above) if is_builtin(above) => owner = above.clone(),
                _ => {
                    let autoscaler = self.autoscaler(&key).await.map_err(|error| error.to_string());
                    return Ok(workload(key, &object, keepers, autoscaler, uids));
                }
            }
        }
        Err(Error::new(
            FailureKind::Unexpected,
            "read the pods' owner",
            &owner.name,
            "its owners have no end",
        ))
    }

    /// The autoscaler over a workload.
    async fn autoscaler(&self, of: &ObjectKey) -> Result<Option<Autoscaler>, Error> {
        let to =
            path(&["apis", "autoscaling", "v2", "namespaces", &of.namespace, "horizontalpodautoscalers"]);
        let list: Value = match self.inner.fetch(&Ask::list("list autoscalers", to)).await {
            Ok(list) => list,
            // a server without that group has no autoscalers
            Err(error) if error.kind == FailureKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(list["items"].as_array().into_iter().flatten().find_map(|object| autoscaler(object, of)))
    }

    /// How long ago the leader of the kube-controller-manager renewed its lease: it computes the budgets' status.
    pub async fn controller_age(&self) -> Result<Duration, Error> {
        let to = format!("{}/kube-controller-manager", super::lease::leases("kube-system"));
        let ask = Ask::get("read lease", "kube-system/kube-controller-manager", to);
        let beat = self.inner.fetch::<BeatWire>(&ask).await?.row();
        beat.map(|beat| clock::now().since(beat.at)).ok_or_else(|| {
            Error::new(
                FailureKind::Unexpected,
                "read lease",
                "kube-controller-manager",
                "it was never renewed",
            )
        })
    }

    /// Whether a namespace is being terminated.
    pub async fn namespace_ends(&self, namespace: &str) -> Result<bool, Error> {
        let ask = Ask::get("read namespace", namespace, path(&["api", "v1", "namespaces", namespace]));
        let object: Value = self.inner.fetch(&ask).await?;
        Ok(object["status"]["phase"] == "Terminating")
    }
}

fn text(value: &Value) -> String {
    tidy(value.as_str().unwrap_or_default().to_owned())
}

fn int(value: &Value) -> Option<i32> {
    i32::try_from(value.as_i64()?).ok()
}

/// A budget's row, written fields and keepers.
pub(super) fn detail(object: &Value) -> Option<BudgetDetail> {
    let row = serde_json::from_value::<BudgetWire>(object.clone()).ok()?.row()?;
    let unhealthy = match object["spec"]["unhealthyPodEvictionPolicy"].as_str() {
        None => None,
        Some("AlwaysAllow") => Some(UnhealthyPolicy::AlwaysAllow),
        Some(_) => Some(UnhealthyPolicy::IfHealthyBudget),
    };
    Some(BudgetDetail {
        spec: BudgetSpec { demand: row.demand, unhealthy },
        keepers: keepers(object),
        version: text(&object["metadata"]["resourceVersion"]),
        row,
    })
}

fn key_of(namespace: &str, owner: &Owner) -> ObjectKey {
    ObjectKey {
        api_version: owner.api_version.clone(),
        kind: owner.kind.clone(),
        namespace: namespace.to_owned(),
        name: owner.name.clone(),
        uid: owner.uid.clone(),
    }
}

/// An owner of a kind that is not read: an operator's.
fn foreign(key: ObjectKey, owner: &Owner, uids: Vec<String>) -> Workload {
    Workload {
        key,
        keepers: Keepers { controller: Some(owner.clone()), ..Keepers::default() },
        replicas: None,
        is_scalable: false,
        strategy: Strategy::None,
        rollout: Rollout::default(),
        has_probe: false,
        claims: false,
        spreads: false,
        autoscaler: Ok(None),
        uids,
    }
}

fn workload(
    key: ObjectKey,
    object: &Value,
    keepers: Keepers,
    autoscaler: Result<Option<Autoscaler>, String>,
    uids: Vec<String>,
) -> Workload {
    let (spec, pod) = (&object["spec"], &object["spec"]["template"]["spec"]);
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let has_claims = list(&pod["volumes"])
        .iter()
        .any(|volume| volume["persistentVolumeClaim"].is_object() || volume["ephemeral"].is_object());
    let containers = list(&pod["containers"]);
    let required = &pod["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    Workload {
        replicas: int(&spec["replicas"]),
        is_scalable: matches!(key.kind.as_str(), "Deployment" | "ReplicaSet"),
        strategy: strategy(&key.kind, spec),
        rollout: rollout(object),
        has_probe: !containers.is_empty() && containers.iter().all(|one| one["readinessProbe"].is_object()),
        claims: has_claims || !list(&spec["volumeClaimTemplates"]).is_empty(),
        spreads: list(required).iter().any(|term| term["topologyKey"] == "kubernetes.io/hostname"),
        key,
        keepers,
        autoscaler,
        uids,
    }
}

fn strategy(kind: &str, spec: &Value) -> Strategy {
    match kind {
        "Deployment" if spec["strategy"]["type"] == "Recreate" => Strategy::Recreate,
        "Deployment" => {
            let rolling = &spec["strategy"]["rollingUpdate"];
            let quarter = Amount::Percent(25);
            Strategy::Rolling {
                surge: amount(&rolling["maxSurge"]).unwrap_or(quarter),
                unavailable: amount(&rolling["maxUnavailable"]).unwrap_or(quarter),
            }
        }
        "StatefulSet" if spec["updateStrategy"]["type"] == "OnDelete" => Strategy::OnDelete,
        "StatefulSet" => Strategy::InPlace,
        _ => Strategy::None,
    }
}

/// An int-or-string.
fn amount(value: &Value) -> Option<Amount> {
    match value {
        Value::Number(_) => int(value).map(Amount::Pods),
        Value::String(text) => text.strip_suffix('%')?.parse().ok().map(Amount::Percent),
        _ => None,
    }
}

fn rollout(object: &Value) -> Rollout {
    let (status, metadata) = (&object["status"], &object["metadata"]);
    let conditions = status["conditions"].as_array();
    let condition = |kind: &str| conditions.into_iter().flatten().find(|one| one["type"] == kind);
    let count = |field: &str| int(&status[field]).unwrap_or(0);
    Rollout {
        generation: metadata["generation"].as_i64().unwrap_or(0),
        observed: status["observedGeneration"].as_i64().unwrap_or(0),
        replicas: count("replicas"),
        updated: count("updatedReplicas"),
        available: count("availableReplicas"),
        is_paused: object["spec"]["paused"] == true,
        progressing: condition("Progressing").map(|one| (one["status"] == "True", text(&one["reason"]))),
        failure: condition("ReplicaFailure")
            .filter(|one| one["status"] == "True")
            .map(|one| text(&one["message"])),
    }
}

fn autoscaler(object: &Value, of: &ObjectKey) -> Option<Autoscaler> {
    let target = &object["spec"]["scaleTargetRef"];
    // the group decides, not the version in which somebody wrote it
    let group = |api_version: &str| api_version.split_once('/').map_or("", |(group, _)| group).to_owned();
    let is_of = target["kind"] == of.kind.as_str()
        && target["name"] == of.name.as_str()
        && group(target["apiVersion"].as_str().unwrap_or_default()) == group(&of.api_version);
    is_of.then(|| Autoscaler {
        key: ObjectKey {
            api_version: "autoscaling/v2".into(),
            kind: "HorizontalPodAutoscaler".into(),
            namespace: of.namespace.clone(),
            name: text(&object["metadata"]["name"]),
            uid: text(&object["metadata"]["uid"]),
        },
        min: int(&object["spec"]["minReplicas"]),
        max: int(&object["spec"]["maxReplicas"]).unwrap_or(1),
        keepers: keepers(object),
    })
}

/// The fields whose writers matter.
const FIELDS: &[(&str, &str, &[&str])] = &[
    ("spec.replicas", "f:replicas", &[]),
    ("spec.template", "f:template", &["f:metadata", "f:annotations", "f:kubectl.kubernetes.io/restartedAt"]),
    ("spec.minAvailable", "f:minAvailable", &[]),
    ("spec.maxUnavailable", "f:maxUnavailable", &[]),
    ("spec.unhealthyPodEvictionPolicy", "f:unhealthyPodEvictionPolicy", &[]),
    ("spec.minReplicas", "f:minReplicas", &[]),
];

/// Labels and annotations by which tools track what they write; the value names the source.
const TRACKERS: &[(&str, &str, Tool)] = &[
    ("annotations", "argocd.argoproj.io/tracking-id", Tool::ArgoCd),
    ("labels", "argocd.argoproj.io/instance", Tool::ArgoCd),
    ("labels", "kustomize.toolkit.fluxcd.io/name", Tool::Flux),
    ("labels", "helm.toolkit.fluxcd.io/name", Tool::Flux),
    ("annotations", "meta.helm.sh/release-name", Tool::Helm),
];

pub(super) fn keepers(object: &Value) -> Keepers {
    let metadata = &object["metadata"];
    let owners = metadata["ownerReferences"].as_array();
    let controller = owners.into_iter().flatten().find(|owner| owner["controller"] == true);
    let mut managers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in metadata["managedFields"].as_array().into_iter().flatten() {
        for (name, field, below) in FIELDS {
            let spec = &entry["fieldsV1"]["f:spec"][*field];
            // an empty object is a field, null is none
            let owned = below.iter().fold(spec, |value, next| &value[*next]);
            if !owned.is_null() {
                managers.entry((*name).to_owned()).or_default().push(text(&entry["manager"]));
            }
        }
    }
    let trackers = TRACKERS.iter().filter_map(|(place, key, tool)| {
        let value = metadata[*place][*key].as_str()?;
        let source = value.split(':').next().unwrap_or(value);
        Some((*tool, tidy(source.to_owned())))
    });
    Keepers {
        controller: controller.map(|owner| Owner {
            api_version: text(&owner["apiVersion"]),
            kind: text(&owner["kind"]),
            name: text(&owner["name"]),
            uid: text(&owner["uid"]),
        }),
        managers,
        trackers: trackers.collect(),
    }
}

#[cfg(test)]
#[path = "owners_tests.rs"]
mod tests;
