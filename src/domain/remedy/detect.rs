//! Which classes of block hold, by what the objects say. Pure.

use super::class::{Class, Finding, Waiting};
use super::facts::{Covered, Facts};
use super::keepers::{is_builtin, operator_of, pinned_role};
use crate::domain::budget::{Amount, BudgetRow, Demand, UnhealthyPolicy};
use crate::domain::text::count;
use crate::domain::time::brief;
use std::collections::BTreeSet;
use std::time::Duration;

/// The leader of the kube-controller-manager renews its lease every 2 s and loses it after 15 s: one that was not renewed
/// for longer than this has no leader.
const LEASE_STALE: Duration = Duration::from_secs(30);
/// A pod that is not Ready after this time is not merely starting.
pub(super) const STARTS_WITHIN: Duration = Duration::from_mins(10);

/// Whether the budget lets a target (or any of its pods, when none is named) go now.
pub fn blocks(facts: &Facts) -> bool {
    let row = &facts.budget;
    let is_covered_twice = |pod: &Covered| facts.overlapping(&pod.row).next().is_some();
    let is_stuck = |pod: &Covered| pod.row.deleting.is_some_and(|end| facts.now > end);
    if facts.pods.is_empty() {
        return false;
    }
    !has_room(row)
        || facts.pods.iter().any(is_covered_twice)
        || facts.targets().any(|pod| is_stuck(pod) || pod.row.deleting.is_some())
}

/// Whether the status allows an eviction, and speaks of the present spec.
pub fn has_room(row: &BudgetRow) -> bool {
    row.allowed > 0 && row.is_current() && row.sync_failed.is_none()
}

/// The classes that hold, the one that explains most first; empty = nothing is blocked.
pub fn detect(facts: &Facts) -> Vec<Finding> {
    if !blocks(facts) {
        return Vec::new();
    }
    let is_full = !has_room(&facts.budget);
    let when_full = |rule: fn(&Facts) -> Option<Finding>| is_full.then(|| rule(facts)).flatten();
    let mut findings: Vec<Finding> = [
        not_the_budget(facts),
        overlap(facts),
        when_full(uncomputed),
        when_full(structural),
        when_full(unplaced),
        when_full(unhealthy),
        when_full(used_elsewhere),
        when_full(recovering),
        when_full(wide),
        operator(facts),
        pinned(facts),
    ]
    .into_iter()
    .flatten()
    .collect();
    // what says of itself that it passes comes after what does not
    findings.sort_by_key(|finding| matches!(finding.class, Class::OperatorOwned | Class::PinnedPod));
    findings
}

fn finding(
    class: Class,
    waiting: Waiting,
    brief: impl Into<String>,
    evidence: Vec<String>,
) -> Option<Finding> {
    (!evidence.is_empty()).then(|| Finding { class, brief: brief.into(), evidence, waiting })
}

/// The pods that are to move, or all where none is.
fn in_question(facts: &Facts) -> impl Iterator<Item = &Covered> {
    let has_targets = facts.targets().next().is_some();
    facts.pods.iter().filter(move |pod| pod.is_target || !has_targets)
}

fn recovering(facts: &Facts) -> Option<Finding> {
    let mut evidence = Vec::new();
    for pod in facts.pods.iter().filter(|pod| pod.is_starting()) {
        let age = pod.row.created.map(|created| facts.now.since(created));
        if age.is_some_and(|age| age < STARTS_WITHIN) {
            let age = age.map(brief).unwrap_or_default();
            evidence.push(format!("{} is {age} old and not Ready yet", pod.row.key.name));
        }
    }
    for workload in facts.workloads.iter().flatten() {
        let rollout = &workload.rollout;
        let wanted = workload.replicas.unwrap_or(0);
        let moves = rollout.progressing.as_ref().is_some_and(|(is_moving, _)| *is_moving);
        if moves && rollout.updated < wanted && !rollout.is_paused {
            evidence.push(format!("{} rolls out: {} of {wanted} updated", workload.key, rollout.updated));
        }
    }
    let starting = facts.pods.iter().filter(|pod| pod.is_starting()).count();
    let brief =
        if starting > 0 { format!("{} not Ready yet", count(starting, "pod")) } else { "rolls out".into() };
    finding(Class::Recovering, Waiting::Helps, brief, evidence)
}

fn structural(facts: &Facts) -> Option<Finding> {
    let row = &facts.budget;
    if row.sync_failed.is_some() || !row.is_current() {
        return None;
    }
    let zero = match row.demand {
        Demand::Nothing => Some("sets neither minAvailable nor maxUnavailable".to_owned()),
        Demand::MaxUnavailable(Amount::Pods(..=0) | Amount::Percent(..=0)) => {
            Some(format!("{} never lets one go", row.demand))
        }
        Demand::MinAvailable(Amount::Percent(100..)) => Some(format!("{} needs every pod", row.demand)),
        _ => None,
    };
    let arithmetic = (row.expected > 0 && row.desired >= row.expected).then(|| {
        let rounds = matches!(row.demand, Demand::MinAvailable(Amount::Percent(..=99)));
        let why = if rounds { " (shares round up)" } else { "" };
        format!("{} needs {} of {}{why}", row.demand, row.desired, row.expected)
    });
    let evidence: Vec<String> = zero.or(arithmetic).into_iter().collect();
    finding(Class::StructuralZero, Waiting::Never, evidence.first().cloned().unwrap_or_default(), evidence)
}

fn unhealthy(facts: &Facts) -> Option<Finding> {
    let policy = facts.budget.unhealthy;
    let sick: Vec<&Covered> = facts.pods.iter().filter(|pod| pod.is_sick()).collect();
    let stale: Vec<&Covered> = facts
        .pods
        .iter()
        .filter(|pod| pod.is_starting() && pod.row.node.is_some())
        .filter(|pod| pod.row.created.is_some_and(|created| facts.now.since(created) >= STARTS_WITHIN))
        .collect();
    // under AlwaysAllow only the Ready ones are held back
    let holds = in_question(facts).any(|pod| pod.row.ready || policy == UnhealthyPolicy::IfHealthyBudget);
    if !holds {
        return None;
    }
    let mut evidence: Vec<String> = sick
        .iter()
        .map(|pod| {
            let reason = pod.ails().unwrap_or("not Ready");
            format!("{}: {reason}, {}", pod.row.key.name, count(pod.row.restarts as usize, "restart"))
        })
        .chain(stale.iter().map(|pod| format!("{} runs and is not Ready", pod.row.key.name)))
        .collect();
    if !evidence.is_empty() {
        evidence
            .push(format!("{} of {} needed pods are healthy", facts.budget.healthy, facts.budget.desired));
    }
    let reason = sick.iter().find_map(|pod| pod.ails()).unwrap_or("not Ready");
    let brief = format!("{} unhealthy: {reason}", count(sick.len() + stale.len(), "pod"));
    finding(Class::AppUnhealthy, Waiting::MayHelp, brief, evidence)
}

fn unplaced(facts: &Facts) -> Option<Finding> {
    let pods = facts.pods.iter().filter_map(|pod| {
        let why = pod.unplaced()?;
        let why = why.strip_prefix("Unschedulable: ").unwrap_or(why);
        Some(format!("{} is placed nowhere: {why}", pod.row.key.name))
    });
    let failures = facts.workloads.iter().flatten().filter_map(|workload| {
        workload.rollout.failure.as_ref().map(|why| format!("{} cannot create a pod: {why}", workload.key))
    });
    let evidence: Vec<String> = pods.chain(failures).collect();
    let brief = format!("{} placed nowhere", count(evidence.len(), "pod"));
    finding(Class::NoCapacity, Waiting::MayHelp, brief, evidence)
}

fn overlap(facts: &Facts) -> Option<Finding> {
    let mut names: BTreeSet<&str> = BTreeSet::new();
    let mut pods = Vec::new();
    for pod in in_question(facts) {
        let others: Vec<&str> = facts.overlapping(&pod.row).map(|other| other.key.name.as_str()).collect();
        if !others.is_empty() {
            names.extend(others);
            pods.push(pod.row.key.name.as_str());
        }
    }
    let first = pods.first()?;
    let more = if pods.len() > 1 { format!(" and {} more", pods.len() - 1) } else { String::new() };
    let names: Vec<&str> = names.into_iter().collect();
    let names = names.join(", ");
    let evidence = vec![
        format!("{names} covers {first}{more} too"),
        "the API server refuses every eviction of such a pod (500)".to_owned(),
    ];
    finding(Class::Overlap, Waiting::Never, format!("covered by {names} too"), evidence)
}

fn uncomputed(facts: &Facts) -> Option<Finding> {
    let row = &facts.budget;
    let lag = match &facts.controller {
        Ok(age) if *age > LEASE_STALE => {
            Some(format!("the kube-controller-manager has not renewed its lease for {}", brief(*age)))
        }
        _ => None,
    };
    let mut evidence = Vec::new();
    let mut waiting = Waiting::Never;
    if let Some(error) = &row.sync_failed {
        evidence.push(format!("SyncFailed: {error}"));
    } else if !row.is_current() {
        evidence
            .push(format!("its status is of generation {}, its spec is {}", row.observed, row.generation));
        waiting = Waiting::MayHelp;
    } else if row.expected == 0 && row.healthy > 0 && row.demand != Demand::Nothing {
        evidence.push("its pods have no controller whose size could be counted".to_owned());
    }
    for pod in facts.pods.iter().filter(|pod| pod.row.is_daemon()).take(1) {
        evidence.push(format!("{} is of a DaemonSet, which has no scale", pod.row.key.name));
    }
    if let Some(lag) = lag {
        evidence.insert(0, lag);
        waiting = Waiting::Helps;
    }
    let brief = match (&row.sync_failed, row.is_current()) {
        (Some(_), _) => "not computed: SyncFailed",
        (None, false) => "its status is of an older spec",
        (None, true) => "its pods have no controller",
    };
    finding(Class::Uncomputed, waiting, brief, evidence)
}

fn operator(facts: &Facts) -> Option<Finding> {
    let mut evidence = Vec::new();
    if let Some(owner) = facts.keepers.operator() {
        evidence.push(format!("the budget belongs to {} {}", owner.kind, owner.name));
    }
    for workload in facts.workloads.iter().flatten() {
        if let Some(owner) = workload.keepers.operator() {
            evidence.push(format!("{} belongs to {} {}", workload.key, owner.kind, owner.name));
        }
    }
    let foreign = facts.pods.iter().filter_map(|pod| pod.row.owner.as_ref()).find(|owner| !is_builtin(owner));
    if let Some(owner) = foreign {
        evidence.push(format!("its pods belong to {} {}", owner.kind, owner.name));
    }
    let labels = facts.pods.iter().find_map(|pod| operator_of(&pod.row.labels));
    if let Some(operator) = labels {
        evidence.push(format!("its pods carry the labels of {operator}"));
    }
    // a role alone is no operator
    if !evidence.is_empty()
        && let Some(role) = pinned_role(&facts.budget.selector.labels)
    {
        evidence.push(format!("the budget is for the {role} alone"));
    }
    let brief = format!("kept by {}", labels.unwrap_or("an operator"));
    finding(Class::OperatorOwned, Waiting::MayHelp, brief, evidence)
}

fn used_elsewhere(facts: &Facts) -> Option<Finding> {
    let mut evidence: Vec<String> =
        facts.budget.disrupted.iter().map(|pod| format!("{pod} is being evicted already")).collect();
    for pod in facts.pods.iter().filter(|pod| pod.row.deleting.is_some() && !pod.is_target) {
        if !facts.budget.disrupted.contains(&pod.row.key.name) {
            evidence.push(format!("{} is going", pod.row.key.name));
        }
    }
    let target_nodes: BTreeSet<_> = facts.targets().filter_map(|pod| pod.row.node.as_ref()).collect();
    if target_nodes.len() > 1 {
        let nodes: Vec<&str> = target_nodes.iter().map(|node| node.as_str()).collect();
        evidence.push(format!("several nodes with its pods are cordoned: {}", nodes.join(", ")));
    }
    let going = facts.budget.disrupted.len().max(usize::from(!evidence.is_empty()));
    finding(Class::UsedElsewhere, Waiting::Helps, format!("{} going", count(going, "pod")), evidence)
}

fn not_the_budget(facts: &Facts) -> Option<Finding> {
    let mut evidence = Vec::new();
    for pod in facts.targets() {
        let Some(end) = pod.row.deleting else { continue };
        let name = &pod.row.key.name;
        if let Some(node) = facts.node_of(&pod.row).filter(|node| !node.is_ready()) {
            evidence.push(format!("{name} was let go, but {} is not Ready to end it", node.name));
        } else if facts.now > end && !pod.row.finalizers.is_empty() {
            let finalizers = pod.row.finalizers.join(", ");
            evidence.push(format!("{name} has ended and is held by finalizer {finalizers}"));
        } else if facts.now > end {
            let late = brief(facts.now.since(end));
            evidence.push(format!("{name} was let go, its grace ended {late} ago"));
        } else {
            let left = brief(end.since(facts.now));
            evidence.push(format!("{name} was let go and has {left} of grace left"));
        }
    }
    if facts.ends == Ok(true) {
        evidence.push("the namespace is being terminated: nothing can be created in it".to_owned());
    }
    let is_in_grace = evidence.iter().all(|words| words.ends_with("of grace left"));
    let waiting = if is_in_grace { Waiting::Helps } else { Waiting::MayHelp };
    let brief = if is_in_grace { "let go, in its grace" } else { "let go, and does not end" };
    finding(Class::NotTheBudget, waiting, brief, evidence)
}

fn wide(facts: &Facts) -> Option<Finding> {
    let evidence = match &facts.workloads {
        Ok(workloads) if workloads.len() > 1 => {
            let words: Vec<String> = workloads.iter().map(super::facts::Workload::word).collect();
            vec![format!("it covers pods of {} together: {}", words.len(), words.join(", "))]
        }
        Ok(_) => Vec::new(),
        Err(_) => {
            // without the workloads: ReplicaSets of one Deployment count as one by the labels of their pods
            let owners: BTreeSet<_> = facts.pods.iter().filter_map(owner_word).collect();
            let words: Vec<&String> = owners.iter().collect();
            if words.len() < 2 {
                return None;
            }
            let list = words.iter().map(|word| word.as_str()).collect::<Vec<_>>().join(", ");
            vec![format!("it covers pods of {} together: {list}", words.len())]
        }
    };
    finding(Class::WideSelector, Waiting::Never, "one budget over several workloads", evidence)
}

/// The owner by its pods' rows alone: a ReplicaSet's name ends in a hash that its pods' label repeats.
fn owner_word(pod: &Covered) -> Option<String> {
    let owner = pod.row.owner.as_ref()?;
    let hash = pod.row.labels.get("pod-template-hash");
    let base = hash.and_then(|hash| owner.name.strip_suffix(hash.as_str())?.strip_suffix('-'));
    Some(base.unwrap_or(&owner.name).to_owned())
}

fn pinned(facts: &Facts) -> Option<Finding> {
    let mut evidence = Vec::new();
    for pod in in_question(facts) {
        let name = &pod.row.key.name;
        if let Some(host) = pod.row.node_selector.get("kubernetes.io/hostname") {
            evidence.push(format!("{name} may run on {host} only"));
        }
        evidence.extend(pod.pins.iter().map(|pin| format!("{name}: {pin}")));
    }
    finding(Class::PinnedPod, Waiting::Never, "fits on no other node", evidence)
}

#[cfg(test)]
#[path = "detect_tests.rs"]
mod tests;
