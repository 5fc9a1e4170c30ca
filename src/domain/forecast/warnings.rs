//! What is lost or odd when a pod goes, in words.

use super::verdict::Merged;
use super::{Replacement, Scene, has_daemonset};
use crate::domain::config::DrainOptions;
use crate::domain::drain::Class;
use crate::domain::pod::PodRow;
use crate::domain::time::brief;
use std::collections::BTreeMap;

/// How many living pods each owner has, by its uid.
pub(super) fn siblings<'a>(pods: &[&'a PodRow]) -> BTreeMap<&'a str, usize> {
    let mut siblings = BTreeMap::new();
    for pod in pods.iter().filter(|pod| !pod.is_finished() && pod.deleting.is_none()) {
        if let Some(owner) = &pod.owner {
            *siblings.entry(owner.uid.as_str()).or_default() += 1;
        }
    }
    siblings
}

/// The warnings about one pod.
pub(super) fn of(
    scene: &Scene<'_>,
    options: &DrainOptions,
    pod: &Merged<'_>,
    siblings: &BTreeMap<&str, usize>,
) -> Vec<String> {
    let (row, mut words) = (pod.row, Vec::new());
    if let (Class::Terminating, Some(end)) = (&pod.class, row.deleting)
        && scene.now > end
    {
        let late = brief(scene.now.since(end));
        words.push(format!("its grace ended {late} ago: it may not end by itself"));
    }
    if matches!(pod.class, Class::Evict | Class::Terminating) && !row.finalizers.is_empty() {
        words.push(format!("goes only when its finalizers are removed: {}", row.finalizers.join(", ")));
    }
    if pod.class != Class::Evict {
        return words;
    }
    if !row.empty_dirs.is_empty() {
        words.push(format!("local data is lost: emptyDir {}", row.empty_dirs.join(", ")));
    }
    words.extend(owner(scene, row, siblings));
    match &pod.replacement {
        Replacement::Nowhere { why, tied_to: None } => {
            words.push(format!("its replacement has nowhere to run: {why}"));
        }
        Replacement::Nowhere { tied_to: Some(node), .. } => {
            words.push(format!("pinned to {node}: cannot start on another node"));
        }
        Replacement::Unclear { why } => {
            words.push(format!("its replacement may have nowhere to run: {why}"));
        }
        Replacement::Returns { why } => words.push(format!("comes back: {why}")),
        Replacement::None | Replacement::Elsewhere | Replacement::Lost => {}
    }
    if options.disable_eviction {
        let covering = scene.budgets.iter().filter(|budget| budget.covers(row));
        words.extend(covering.map(|budget| format!("bypasses budget {} ({})", budget.key, budget.demand)));
    }
    words
}

fn owner(scene: &Scene<'_>, row: &PodRow, siblings: &BTreeMap<&str, usize>) -> Option<String> {
    let Some(owner) = &row.owner else { return Some("nothing creates it again".to_owned()) };
    if !has_daemonset(scene, row) {
        return Some("its DaemonSet does not exist any more: nothing creates it again".to_owned());
    }
    let is_counted = matches!(owner.kind.as_str(), "ReplicaSet" | "StatefulSet" | "ReplicationController");
    let is_only = siblings.get(owner.uid.as_str()).copied().unwrap_or(0) <= 1;
    (is_counted && is_only)
        .then(|| format!("the only pod of {} {}: a gap until the next is Ready", owner.kind, owner.name))
}
