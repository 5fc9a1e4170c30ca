//! Disruption budgets that no drain gets past.

use super::scene::absent;
use super::{Scene, names, unknown, verdict};
use crate::domain::budget::{BudgetRow, UnhealthyPolicy, overlaps};
use crate::domain::gate::{Gate, Offender};
use crate::domain::pod::PodRow;
use crate::domain::text::count;
use std::collections::BTreeSet;

/// No budget forbids every disruption, none is broken already, and no pod is under two.
///
/// A budget that merely has no room now (an eviction is under way, a rollout goes on) is no finding: waiting helps. One whose
/// pod no node takes is.
pub(super) fn budgets(scene: &Scene) -> Gate {
    const ASKS: &str =
        "no disruption budget forbids every disruption, is broken, or shares its pods with another";
    let (budgets, pods) = match (&scene.budgets, &scene.pods) {
        (Some(Ok(budgets)), Ok(pods)) => (budgets, pods),
        (Some(Err(report)), _) | (_, Err(report)) => return unknown(scene, names::BUDGETS, ASKS, report),
        (None, _) => return unknown(scene, names::BUDGETS, ASKS, &absent("budgets were not asked for")),
    };
    let mut offenders: Vec<Offender> = budgets.iter().filter_map(|budget| blocked(budget, pods)).collect();
    for overlap in overlaps(pods, budgets) {
        let names: Vec<&str> = overlap.budgets.iter().map(|key| key.name.as_str()).collect();
        let Some(first) = overlap.budgets.first() else { continue };
        let what = format!(
            "covers the same {} as {}: their eviction is always refused",
            count(overlap.pods.len(), "pod"),
            names[1..].join(", ")
        );
        let owners = owners(pods.iter().filter(|pod| overlap.pods.contains(&pod.key)));
        offenders.push(
            Offender::new("PodDisruptionBudget", &first.name, what)
                .within(&first.namespace)
                .of(owners)
                .hint("narrow or delete one of them"),
        );
    }
    verdict(scene, names::BUDGETS, ASKS, offenders, count(budgets.len(), "budget"))
}

fn owners<'a>(pods: impl Iterator<Item = &'a PodRow>) -> String {
    let names: BTreeSet<String> = pods.map(super::pods::whose).collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

fn blocked(budget: &BudgetRow, pods: &[PodRow]) -> Option<Offender> {
    let mut covered = pods.iter().filter(|pod| !pod.is_finished() && budget.covers(pod)).peekable();
    covered.peek()?;
    let what = match budget.never_allows() {
        Some(why) => format!("never allows a disruption: {why}"),
        None if is_broken(budget) => {
            format!("is broken: {} of {} needed pods are healthy", budget.healthy, budget.desired)
        }
        None => format!("has no room: pod {} is placed nowhere", unplaced(budget, covered.clone())?),
    };
    let owners = owners(covered);
    let hint = format!(
        "pitstop plan drain shows which pods it holds; kubectl -n {} describe pdb {}",
        budget.key.namespace, budget.key.name
    );
    Some(
        Offender::new("PodDisruptionBudget", &budget.key.name, what)
            .within(&budget.key.namespace)
            .of(owners)
            .hint(hint),
    )
}

/// A pod that no node takes, of a budget without room: waiting does not help it.
fn unplaced<'a>(budget: &BudgetRow, mut pods: impl Iterator<Item = &'a PodRow>) -> Option<&'a str> {
    let is_full = budget.is_current() && budget.allowed == 0 && budget.disrupted.is_empty();
    let is_unplaced = |pod: &&PodRow| {
        pod.node.is_none() && pod.waiting.as_deref().is_some_and(|why| why.starts_with("Unschedulable"))
    };
    pods.find(is_unplaced).filter(|_| is_full).map(|pod| pod.key.name.as_str())
}

/// Fewer are healthy than it needs, so that not even those that are not Ready may go; with `AlwaysAllow` they may.
fn is_broken(budget: &BudgetRow) -> bool {
    budget.is_current()
        && budget.allowed == 0
        && budget.disrupted.is_empty()
        && budget.healthy < budget.desired
        && budget.unhealthy == UnhealthyPolicy::IfHealthyBudget
}
