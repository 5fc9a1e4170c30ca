//! Which pods a drain moves, leaves or refuses: kubectl's filter chain with all reasons kept, and a prediction that
//! spends each budget only once.

use super::budget::{BudgetRow, UnhealthyPolicy};
use super::config::DrainOptions;
use super::ids::{BudgetKey, PodKey};
use super::pod::{Phase, PodRow};
use super::selector;
use super::time::{Stamp, brief};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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

/// What is expected of one pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expectation {
    /// A budget has room (or none covers it).
    Moves,
    /// Has to wait until a budget has room again.
    Waits(BudgetKey, String),
    /// Will not be allowed however long one waits, and why.
    Blocked(Option<BudgetKey>, String),
    /// Stays by its class.
    Stays,
}

/// One pod of the prediction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forecast {
    /// The pod.
    pub pod: PodKey,
    /// Its class.
    pub class: Class,
    /// What is expected.
    pub expectation: Expectation,
    /// What is lost or odd: local data, no owner, single replica.
    pub warnings: Vec<String>,
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
    if pod.mirror && (stays.is_empty() || !is_daemon) {
        stays.push("static pod of the node (mirror)".into());
    }
    if is_daemon && !daemonset_exists && !options.force && stays.is_empty() {
        return Class::Refuse(vec!["its DaemonSet does not exist any more (--force moves it)".into()]);
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

/// Predicts a drain, cumulatively: each budget's room is spent once per Ready pod, in the order of the pods' names.
/// The rules are the API server's (`registry/core/pod/storage/eviction.go`); what it would answer is foretold for the
/// moment, not for a cluster in which other things go on as well.
///
/// `all_pods` are those of the whole cluster (to know who is the only replica).
pub fn forecast<'a>(
    pods_on_node: impl IntoIterator<Item = &'a PodRow>,
    all_pods: impl IntoIterator<Item = &'a PodRow>,
    budgets: impl IntoIterator<Item = &'a BudgetRow>,
    options: &DrainOptions,
    daemonset_exists: &dyn Fn(&PodRow) -> bool,
    now: Stamp,
) -> Vec<Forecast> {
    let mut siblings: BTreeMap<&str, usize> = BTreeMap::new();
    for pod in all_pods.into_iter().filter(|pod| !pod.is_finished() && pod.deleting.is_none()) {
        if let Some(owner) = &pod.owner {
            *siblings.entry(&owner.uid).or_default() += 1;
        }
    }
    let mut purse = Purse::new(budgets);
    let mut pods: Vec<&PodRow> = pods_on_node.into_iter().collect();
    pods.sort_by(|a, b| a.key.cmp(&b.key));
    pods.into_iter()
        .map(|pod| {
            let exists = !pod.is_daemon() || daemonset_exists(pod);
            let class = classify(pod, options, exists, now);
            let expectation = match &class {
                Class::Skip(_) => Expectation::Stays,
                Class::Refuse(reasons) => Expectation::Blocked(None, reasons.join("; ")),
                Class::Terminating | Class::Finished => Expectation::Moves,
                Class::Evict if options.disable_eviction => Expectation::Moves,
                Class::Evict => purse.ask(pod),
            };
            let mut warnings = warnings(pod, &class, exists, &siblings, now);
            if options.disable_eviction && class == Class::Evict {
                warnings.extend(purse.bypassed(pod));
            }
            Forecast { pod: pod.key.clone(), class, expectation, warnings }
        })
        .collect()
}

/// What is left of each budget, by namespace.
struct Purse<'a> {
    budgets: BTreeMap<&'a str, Vec<Room<'a>>>,
}

struct Room<'a> {
    budget: &'a BudgetRow,
    left: i32,
    spent: usize,
}

impl<'a> Purse<'a> {
    fn new(budgets: impl IntoIterator<Item = &'a BudgetRow>) -> Self {
        let mut purse = Self { budgets: BTreeMap::new() };
        for budget in budgets {
            let room = Room { budget, left: budget.allowed, spent: 0 };
            purse.budgets.entry(&budget.key.namespace).or_default().push(room);
        }
        purse
    }

    /// The budgets that a deletion does not ask.
    fn bypassed(&self, pod: &PodRow) -> Vec<String> {
        let rooms = self.budgets.get(pod.key.namespace.as_str()).into_iter().flatten();
        rooms
            .filter(|room| room.budget.covers(pod))
            .map(|room| format!("bypasses budget {} ({})", room.budget.key, room.budget.demand))
            .collect()
    }

    /// The server's answer to one eviction, and its price.
    fn ask(&mut self, pod: &PodRow) -> Expectation {
        if pod.phase == Phase::Pending {
            return Expectation::Moves;
        }
        let Some(rooms) = self.budgets.get_mut(pod.key.namespace.as_str()) else {
            return Expectation::Moves;
        };
        let mut covering = rooms.iter_mut().filter(|room| room.budget.covers(pod));
        let Some(room) = covering.next() else { return Expectation::Moves };
        let others: Vec<&str> = covering.map(|other| other.budget.key.name.as_str()).collect();
        if !others.is_empty() {
            return Expectation::Blocked(
                Some(room.budget.key.clone()),
                format!("more than one budget covers it: {}, {}", room.budget.key.name, others.join(", ")),
            );
        }
        room.ask(pod)
    }
}

impl Room<'_> {
    fn ask(&mut self, pod: &PodRow) -> Expectation {
        let budget = self.budget;
        let is_met = budget.desired > 0 && budget.healthy >= budget.desired;
        if !pod.ready && (budget.unhealthy == UnhealthyPolicy::AlwaysAllow || is_met) {
            return Expectation::Moves;
        }
        if let Some(reason) = budget.never_allows() {
            return Expectation::Blocked(Some(budget.key.clone()), reason);
        }
        if !budget.is_current() {
            return Expectation::Waits(budget.key.clone(), "its status is older than its spec".into());
        }
        if self.left > 0 {
            self.left -= 1;
            self.spent += 1;
            return Expectation::Moves;
        }
        let needs = format!("needs {} healthy pods and has {}", budget.desired, budget.healthy);
        let words = match self.spent {
            0 => needs,
            spent => format!("after {spent} of this node: {needs}"),
        };
        Expectation::Waits(budget.key.clone(), words)
    }
}

fn warnings(
    pod: &PodRow,
    class: &Class,
    daemonset_exists: bool,
    siblings: &BTreeMap<&str, usize>,
    now: Stamp,
) -> Vec<String> {
    let mut words = Vec::new();
    if let (Class::Terminating, Some(end)) = (class, pod.deleting)
        && now > end
    {
        words.push(format!("its grace ended {} ago: it may not end by itself", brief(now.since(end))));
    }
    if matches!(class, Class::Evict | Class::Terminating) && !pod.finalizers.is_empty() {
        words.push(format!("goes only when its finalizers are removed: {}", pod.finalizers.join(", ")));
    }
    if *class != Class::Evict {
        return words;
    }
    if !pod.empty_dirs.is_empty() {
        words.push(format!("local data is lost: emptyDir {}", pod.empty_dirs.join(", ")));
    }
    match &pod.owner {
        None => words.push("nothing creates it again".into()),
        Some(_) if pod.is_daemon() && !daemonset_exists => {
            words.push("its DaemonSet does not exist any more: nothing creates it again".into());
        }
        Some(owner)
            if matches!(owner.kind.as_str(), "ReplicaSet" | "StatefulSet" | "ReplicationController")
                && siblings.get(owner.uid.as_str()).copied().unwrap_or(0) <= 1 =>
        {
            words.push(format!(
                "the only pod of {} {}: a gap until the next is Ready",
                owner.kind, owner.name
            ));
        }
        Some(_) => {}
    }
    if let Some(host) = pod.node_selector.get("kubernetes.io/hostname") {
        words.push(format!("pinned to {host}: cannot start on another node"));
    }
    words
}

#[cfg(test)]
#[path = "drain_tests.rs"]
mod tests;
