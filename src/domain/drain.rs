//! Which pods a drain moves, leaves or refuses: kubectl's filter chain with all reasons kept.

use super::config::DrainOptions;
use super::pod::PodRow;
use super::selector;
use super::time::{Stamp, brief};
use serde::{Deserialize, Serialize};

/// The class of a pod on a node to be drained; every pod is in exactly one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Will be evicted.
    Evict,
    /// Stays, and why that is right.
    Skip(Vec<String>),
    /// Stops the drain, and which option allows it.
    Refuse(Vec<String>),
    /// Is being deleted already: only waited for.
    Terminating,
    /// Has ended (Succeeded, Failed): is removed without asking a budget.
    Finished,
}

/// Classifies a pod as `kubectl drain` does (`kubectl/pkg/drain/filters.go`): selector, long deleted, DaemonSet, mirror,
/// local storage, no controller, in this order. The first filter that holds a pod back decides between staying and
/// refusing; unlike kubectl, the reasons of later filters that refuse as well are kept.
///
/// `daemonset_exists` matters only for pods with [`PodRow::is_daemon`]; `now` only with `skip_wait_for_delete`.
pub fn classify(pod: &PodRow, options: &DrainOptions, daemonset_exists: bool, now: Stamp) -> Class {
    match selector::parse(&options.pod_selector) {
        Err(error) => return Class::Refuse(vec![error]),
        Ok(selector) if !selector.matches(&pod.labels) => {
            return Class::Skip(vec![format!("does not match --pod-selector {}", options.pod_selector)]);
        }
        Ok(_) => {}
    }
    let mut stays = Vec::new();
    if let Some(deleting) = pod.deleting
        && !options.skip_wait_for_delete.is_zero()
        && now.since(deleting) > options.skip_wait_for_delete
    {
        stays.push(format!(
            "deleted {} ago, not waited for (--skip-wait-for-delete-timeout)",
            brief(now.since(deleting))
        ));
    }
    let is_daemon = pod.is_daemon() && !pod.is_finished();
    if is_daemon && daemonset_exists {
        if !options.ignore_daemonsets && stays.is_empty() {
            return Class::Refuse(vec![
                "managed by a DaemonSet (--ignore-daemonsets leaves it where it is)".into(),
            ]);
        }
        stays.push("managed by a DaemonSet".into());
    }
    if is_daemon && !daemonset_exists && !options.force && stays.is_empty() {
        let mut refused = vec!["its DaemonSet does not exist any more (--force moves it)".to_owned()];
        // moved by force, a static pod would still stay
        if !pod.mirror {
            refused.extend(refusals(pod, options));
        }
        return Class::Refuse(refused);
    }
    if pod.mirror && (stays.is_empty() || !is_daemon) {
        stays.push("static pod of the node (mirror)".into());
    }
    if !stays.is_empty() {
        return Class::Skip(stays);
    }
    let refused = refusals(pod, options);
    if !refused.is_empty() {
        return Class::Refuse(refused);
    }
    match (pod.deleting, pod.is_finished()) {
        (Some(_), _) => Class::Terminating,
        (None, true) => Class::Finished,
        (None, false) => Class::Evict,
    }
}

/// The filters whose answer is yes or "use this option": local storage, no controller.
fn refusals(pod: &PodRow, options: &DrainOptions) -> Vec<String> {
    let mut refused = Vec::new();
    if pod.is_finished() {
        return refused;
    }
    if !pod.empty_dirs.is_empty() && !options.delete_emptydir_data {
        refused.push(format!(
            "loses local data in emptyDir {} (--delete-emptydir-data allows it)",
            pod.empty_dirs.join(", ")
        ));
    }
    if pod.owner.is_none() && !options.force {
        refused.push("has no controller that would create it again (--force allows it)".into());
    }
    refused
}

#[cfg(test)]
#[path = "drain_tests.rs"]
mod tests;
