//! Commands as a person could type them.

use super::facts::{Facts, Workload};
use crate::domain::debt::{BudgetSpec, Debt};
use crate::domain::ids::PodKey;
use serde_json::json;

/// `kubectl create --raw …/eviction`: kubectl has no command of its own for one eviction.
pub fn evict(pod: &PodKey) -> String {
    let body = json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": pod.name, "namespace": pod.namespace},
        "deleteOptions": {"preconditions": {"uid": pod.uid}},
    });
    format!(
        "echo '{body}' | kubectl create --raw /api/v1/namespaces/{}/pods/{}/eviction -f -",
        pod.namespace, pod.name
    )
}

/// The deletion of this very pod, and of this very state of it where a version is given.
pub fn delete(pod: &PodKey, version: Option<&str>) -> String {
    let mut preconditions = json!({"uid": pod.uid});
    if let Some(version) = version {
        preconditions["resourceVersion"] = version.into();
    }
    let body = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions});
    format!(
        "echo '{body}' | kubectl delete --raw /api/v1/namespaces/{}/pods/{} -f -",
        pod.namespace, pod.name
    )
}

/// Changes the budget's fields, and how that is put back.
pub fn patch(facts: &Facts, ours: BudgetSpec) -> (String, String) {
    let debt = |before, ours| Debt::BudgetChanged {
        budget: facts.budget.key.clone(),
        uid: String::new(),
        before,
        ours,
        why: String::new(),
    };
    (debt(ours, facts.spec).command(), debt(facts.spec, ours).command())
}

/// Scales a workload.
pub fn scale(workload: &Workload, from: i32, to: i32) -> String {
    format!(
        "kubectl -n {} scale {} --current-replicas={from} --replicas={to}",
        workload.key.namespace,
        workload.word()
    )
}

/// Waits for a rollout.
pub fn rollout_status(workload: &Workload) -> String {
    format!("kubectl -n {} rollout status {}", workload.key.namespace, workload.word())
}

/// Watches the budget.
pub fn watch(facts: &Facts) -> String {
    format!("kubectl -n {} get pdb {} -w", facts.budget.key.namespace, facts.budget.key.name)
}
