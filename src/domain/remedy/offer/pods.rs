//! Deletions past the budget: of a pod that is not Ready, of a healthy one, of all that are left.

use super::{Case, Condition, Met, Offer};
use crate::domain::remedy::class::Class;
use crate::domain::remedy::detect::STARTS_WITHIN;
use crate::domain::remedy::facts::Covered;
use crate::domain::remedy::{Remedy, words};
use crate::domain::text::count;
use crate::domain::time::brief;

/// Something creates the pod again.
fn comes_back(pod: &Covered) -> Condition {
    let why = pod
        .row
        .owner
        .as_ref()
        .map_or_else(|| "nothing owns it".to_owned(), |owner| format!("{} {}", owner.kind, owner.name));
    Condition::check("something creates the pod again", pod.row.owner.is_some(), why)
}

/// A pod that is only starting may be Ready in a moment, and one that starts anew begins anew.
fn is_ill(case: &Case<'_>, pod: &Covered) -> Condition {
    let what = "the pod does not get Ready by itself";
    let age = pod.row.created.map(|created| case.facts.now.since(created));
    match (pod.ails(), age) {
        (Some(why), _) => Condition::check(what, true, why),
        (None, _) if pod.is_sick() => {
            Condition::check(what, true, count(pod.row.restarts as usize, "restart"))
        }
        (None, Some(age)) if age >= STARTS_WITHIN => {
            Condition::check(what, true, format!("not Ready, and {} old", brief(age)))
        }
        (None, Some(age)) => {
            let why = format!("it is {} old: it may be starting (reading a log, copying data)", brief(age));
            Condition::new(what, Met::Unknown, why)
        }
        (None, None) => Condition::new(what, Met::Unknown, "its age is not known"),
    }
}

fn may_move(case: &Case<'_>) -> Condition {
    let is_pinned = case.has(Class::PinnedPod);
    let why = if is_pinned { "it fits on this node only" } else { "" };
    Condition::check("the pod may run on another node", !is_pinned, why)
}

/// Deletes the pod that is not Ready: no budget is asked, and nothing that serves is lost.
pub(super) fn delete_unready(case: &Case<'_>) -> Option<Offer> {
    if case.has(Class::NotTheBudget) {
        return None;
    }
    let pod = case.first(false)?;
    let offer =
        Offer::new(Remedy::DeleteUnready, "none beyond what is missing already: the pod serves nothing")
            .needs(case.needs_target())
            .needs(Condition::check("the pod is not Ready", true, pod.row.key.name.as_str()))
            .needs(is_ill(case, pod))
            .needs(comes_back(pod))
            .needs(may_move(case))
            .types(words::delete(&pod.row.key, Some(&pod.version)))
            .beware(
                "it passes by the budget; it holds only for the pod as it was seen (uid and resourceVersion)",
            )
            .restores("nothing: its owner creates it again on another node");
    let is_quorum = case.has(Class::OperatorOwned);
    Some(if is_quorum {
        offer.beware("in a quorum application a member that is not Ready may hold the newest data")
    } else {
        offer
    })
}

/// Deletes a healthy pod: a gap until the next is Ready.
pub(super) fn delete_healthy(case: &Case<'_>) -> Option<Offer> {
    if case.has(Class::NotTheBudget) {
        return None;
    }
    let pod = case.first(true)?;
    let healthy = case.facts.budget.healthy;
    let gap = if healthy <= 1 { "no pod serves" } else { "one pod is missing" };
    Some(
        Offer::new(Remedy::DeleteHealthy, &format!("{gap} until the next one is Ready"))
            .needs(case.needs_target())
            .needs(comes_back(pod))
            .needs(may_move(case))
            .needs(case.needs_room())
            .types(words::delete(&pod.row.key, None))
            .beware("it passes by the budget: other replicas may be away at that very moment")
            .restores("nothing: its owner creates it again on another node"),
    )
}

/// Deletes everything that a drain would evict.
pub(super) fn disable_eviction(case: &Case<'_>) -> Option<Offer> {
    let node = case.targets().next()?.row.node.as_ref()?;
    Some(
        Offer::new(Remedy::DisableEviction, "unbounded: no budget of any pod on the node is asked")
            .needs(case.needs_target())
            .types(format!("kubectl drain {node} --ignore-daemonsets --disable-eviction"))
            .beware("it passes by all budgets of the node, not only by this one")
            .restores("nothing: what is deleted is created again by its owners"),
    )
}
