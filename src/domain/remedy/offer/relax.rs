//! Changes of the budget itself: for one eviction, or for pods that are not Ready.

use super::{Case, Condition, Met, Offer, counted, kept_by};
use crate::domain::budget::{Amount, Demand, UnhealthyPolicy};
use crate::domain::debt::BudgetSpec;
use crate::domain::remedy::class::Class;
use crate::domain::remedy::{Remedy, size, words};

/// The first version whose servers know `unhealthyPodEvictionPolicy` without a feature gate (beta, on by default).
const KNOWS_POLICY: u32 = 27;

fn operator_condition(case: &Case<'_>) -> Option<Condition> {
    let owner = case.facts.keepers.operator()?;
    let why = format!("{} {} owns it and writes it again", owner.kind, owner.name);
    Some(Condition::check("no operator keeps the budget", false, why))
}

/// Lets pods go that are not Ready, whatever the budget says.
pub(super) fn allow_unhealthy(case: &Case<'_>) -> Option<Offer> {
    if !case.has(Class::AppUnhealthy) || case.has(Class::Overlap) {
        return None;
    }
    let facts = case.facts;
    if facts.budget.unhealthy == UnhealthyPolicy::AlwaysAllow {
        return None;
    }
    let ours = BudgetSpec { unhealthy: Some(UnhealthyPolicy::AlwaysAllow), ..facts.spec };
    let (set, back) = words::patch(facts, ours);
    let unready: Vec<_> = case.targets().filter(|pod| !pod.row.ready).collect();
    let (kept, trap) =
        kept_by(&facts.keepers, &["spec.unhealthyPodEvictionPolicy"], &facts.budget.key.namespace);
    let mut offer = Offer::new(
        Remedy::AllowUnhealthy,
        "none beyond what is missing already: pods that are not Ready serve nothing",
    )
    .needs(case.needs_target())
    .needs(Condition::check(
        "a pod that is to move is not Ready",
        !unready.is_empty(),
        unready.first().map_or("all of them are Ready", |pod| &pod.row.key.name),
    ))
    .needs(Condition::known("the server knows the policy (1.27)", &facts.minor, |minor| {
        (*minor >= KNOWS_POLICY, format!("1.{minor}"))
    }))
    .needs(kept)
    .types(set);
    for pod in unready {
        offer = offer.types(words::evict(&pod.row.key));
    }
    offer.conditions.extend(operator_condition(case));
    offer.traps.extend(trap);
    if case.has(Class::OperatorOwned) {
        offer = offer.beware("in a quorum application a member that is not Ready may hold the newest data");
    }
    Some(
        offer
            .types(back)
            .beware("pods that are only starting may be let go too while it lasts")
            .restores("the former policy, right after the evictions"),
    )
}

/// Relaxes the budget so far that one pod may go, and restores it at once.
pub(super) fn relax(case: &Case<'_>) -> Option<Offer> {
    let classes = [Class::StructuralZero, Class::AppUnhealthy, Class::Uncomputed];
    if !case.has_any(&classes) || case.has_any(&[Class::Overlap, Class::NotTheBudget]) {
        return None;
    }
    let facts = case.facts;
    let relaxed = relaxed(case)?;
    let ours = BudgetSpec { demand: relaxed, ..facts.spec };
    let (set, back) = words::patch(facts, ours);
    let field = match facts.spec.demand {
        Demand::MaxUnavailable(_) => "spec.maxUnavailable",
        _ => "spec.minAvailable",
    };
    let (kept, trap) = kept_by(&facts.keepers, &[field], &facts.budget.key.namespace);
    let target = case.first(true).or_else(|| case.targets().next());
    let is_computed = facts.controller.as_ref().is_ok_and(|age| age.as_secs() <= 30);
    let mut offer = Offer::new(
        Remedy::Relax,
        &format!(
            "drops by exactly one pod, from {} healthy to {}",
            facts.budget.healthy,
            facts.budget.healthy - 1
        ),
    )
    .needs(case.needs_target())
    .needs(Condition::known("the controller of budgets is at work", &facts.controller, |age| {
        (is_computed, format!("its lease was renewed {} ago", crate::domain::time::brief(*age)))
    }))
    .needs(nothing_else(case))
    .needs(case.needs_room())
    .needs(kept)
    .types(set)
    .types(words::watch(facts));
    if let Some(pod) = target {
        offer = offer.types(words::evict(&pod.row.key));
    }
    offer.conditions.extend(operator_condition(case));
    offer.traps.extend(trap);
    offer.relaxed = Some(relaxed);
    if facts.budget.healthy <= 1 {
        offer = offer.beware("no pod serves until the new one is Ready");
    }
    Some(
        offer
            .types(back)
            .beware("while it lasts another drain, of another program, may take the room")
            .restores("the former budget, right after the eviction was answered, also when it was refused"),
    )
}

/// What it has to ask for, where the arithmetic has an answer.
fn relaxed(case: &Case<'_>) -> Option<Demand> {
    let facts = case.facts;
    let row = &facts.budget;
    // a share or a maximum needs the owners' scale; where that fails an integer minimum does not
    if row.sync_failed.is_some() || row.expected == 0 {
        let healthy = facts.pods.iter().filter(|pod| pod.row.ready && pod.row.deleting.is_none()).count();
        let healthy = i32::try_from(healthy).unwrap_or(i32::MAX);
        return (healthy > 0).then_some(Demand::MinAvailable(Amount::Pods(healthy - 1)));
    }
    size::relaxed(facts.spec.demand, row.healthy, counted(facts))
}

/// The room must be for this pod.
fn nothing_else(case: &Case<'_>) -> Condition {
    let what = "nothing else is being drained under this budget";
    let disrupted = &case.facts.budget.disrupted;
    if !disrupted.is_empty() {
        return Condition::check(what, false, format!("{} is going", disrupted.join(", ")));
    }
    let mut nodes: Vec<&str> =
        case.facts.targets().filter_map(|pod| pod.row.node.as_ref().map(|node| node.as_str())).collect();
    nodes.sort_unstable();
    nodes.dedup();
    if nodes.len() > 1 {
        return Condition::new(what, Met::Unknown, format!("its pods are on cordoned {}", nodes.join(", ")));
    }
    Condition::new(what, Met::Yes, "no other eviction is under way")
}
