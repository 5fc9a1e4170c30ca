//! More pods instead of fewer: a surge of the owner, and a restart of its rollout.

use super::{Case, Condition, Met, Offer, kept_by, small_surge};
use crate::domain::budget::Amount;
use crate::domain::remedy::class::Class;
use crate::domain::remedy::facts::{Autoscaler, Strategy, Workload};
use crate::domain::remedy::{Remedy, words};
use crate::domain::text::count;

/// Surge: scale up, move the pods, scale back.
pub(super) fn surge(case: &Case<'_>, notes: &mut Vec<String>) -> Option<Offer> {
    if !case.has(Class::StructuralZero) || case.has(Class::Overlap) {
        return None;
    }
    let delta = small_surge(case.facts, notes)?;
    let mut offer = Offer::new(Remedy::Surge, "none: there is one pod more, not fewer, while it lasts")
        .needs(case.needs_target())
        .needs(one_workload(case));
    offer.surge = Some(delta);
    let Ok(Some(workload)) = case.workload() else { return Some(offer) };
    let replicas = workload.replicas.unwrap_or(0);
    offer = offer
        .needs(stateless(workload))
        .needs(no_recreate(workload))
        .needs(settled(workload))
        .needs(healthy(case))
        .needs(case.needs_room())
        .needs(probe(workload))
        .beware(format!(
            "the application must bear {} at once (no singleton lock)",
            count_of(replicas + delta)
        ));
    offer = match &workload.autoscaler {
        Err(why) => offer.needs(Condition::new("no autoscaler takes the surge back", Met::Unknown, why)),
        Ok(None) => {
            let (condition, trap) = kept_by(&workload.keepers, &["spec.replicas"], &workload.key.namespace);
            offer.traps.extend(trap);
            offer
                .needs(Condition::new("no autoscaler takes the surge back", Met::Yes, "none targets it"))
                .needs(condition)
                .types(words::scale(workload, replicas, replicas + delta))
                .types(words::rollout_status(workload))
        }
        Ok(Some(autoscaler)) => raised(offer, workload, autoscaler, delta),
    };
    for pod in case.targets() {
        offer = offer.types(words::evict(&pod.row.key));
    }
    offer = match &workload.autoscaler {
        Ok(Some(autoscaler)) => offer
            .types(minimum(autoscaler, autoscaler.min))
            .restores("minReplicas, as soon as the new pod is Ready; only while it still is what we set"),
        _ => offer
            .types(words::scale(workload, replicas + delta, replicas))
            .restores("the replicas, as soon as the new pod is Ready; only while they still are what we set"),
    };
    Some(offer.beware("on scaling back the controller picks which pod goes"))
}

fn count_of(replicas: i32) -> String {
    count(usize::try_from(replicas).unwrap_or(0), "replica")
}

fn minimum(autoscaler: &Autoscaler, min: Option<i32>) -> String {
    let min = min.map_or_else(|| "null".to_owned(), |min| min.to_string());
    format!(
        "kubectl -n {} patch hpa {} --type merge -p '{{\"spec\":{{\"minReplicas\":{min}}}}}'",
        autoscaler.key.namespace, autoscaler.key.name
    )
}

/// An autoscaler undoes a manual scale within its next sync (15 s): its minimum is raised instead.
fn raised(mut offer: Offer, workload: &Workload, autoscaler: &Autoscaler, delta: i32) -> Offer {
    let wanted = workload.replicas.unwrap_or(0) + delta;
    let fits = wanted <= autoscaler.max;
    let why = format!("{} allows at most {}", autoscaler.key.name, autoscaler.max);
    let (condition, trap) = kept_by(&autoscaler.keepers, &["spec.minReplicas"], &autoscaler.key.namespace);
    offer.traps.extend(trap);
    if let Some(owner) = autoscaler.keepers.operator() {
        let words = format!("{} {} keeps the autoscaler", owner.kind, owner.name);
        offer = offer.needs(Condition::new("no operator puts minReplicas back", Met::Unknown, words));
        offer.traps.push("with KEDA, raise minReplicaCount of the ScaledObject instead".to_owned());
    }
    offer
        .needs(Condition::check(&format!("the autoscaler has room for {wanted}"), fits, why))
        .needs(condition)
        .types(minimum(autoscaler, Some(wanted)))
        .types(words::rollout_status(workload))
        .beware("an autoscaler undoes a manual scale: its minimum is raised instead, and put back")
}

fn one_workload(case: &Case<'_>) -> Condition {
    let what = "its pods are of one Deployment or ReplicaSet";
    Condition::known(what, &case.workload(), |workload| match workload {
        None => (false, "they are of none, or of several".to_owned()),
        Some(workload) if workload.key.kind == "StatefulSet" => {
            let why = "a StatefulSet gets a new member instead, and scaling back takes the highest one";
            (false, format!("{}: {why}", workload.key))
        }
        Some(workload) if workload.keepers.operator().is_some() => {
            (false, format!("an operator keeps {}", workload.key))
        }
        Some(workload) => (workload.is_scalable, workload.key.to_string()),
    })
}

fn stateless(workload: &Workload) -> Condition {
    let why = if workload.claims { "its pods mount claims" } else { "its pods mount no claim" };
    Condition::check("its pods keep no volume of their own", !workload.claims, why)
}

fn no_recreate(workload: &Workload) -> Condition {
    Condition::check("its strategy is not Recreate", workload.strategy != Strategy::Recreate, "")
}

/// Nothing of an earlier rollout is under way.
fn settled(workload: &Workload) -> Condition {
    let rollout = &workload.rollout;
    let wanted = workload.replicas.unwrap_or(0);
    let is_deployment = workload.key.kind == "Deployment";
    let is_complete = rollout.observed >= rollout.generation
        && rollout.replicas == wanted
        && rollout.available >= wanted
        && (!is_deployment || rollout.updated == wanted);
    let why = if is_complete {
        format!("{wanted} of {wanted} updated and available")
    } else {
        format!("{} updated, {} available of {wanted}", rollout.updated, rollout.available)
    };
    Condition::check("its last rollout is complete", is_complete, why)
}

fn healthy(case: &Case<'_>) -> Condition {
    let row = &case.facts.budget;
    let why = format!("{} of {}", row.healthy, row.expected);
    Condition::check("all its pods are healthy", row.healthy >= row.expected, why)
}

/// Without a probe, Ready means no more than started.
fn probe(workload: &Workload) -> Condition {
    let (met, why) = if workload.has_probe {
        (Met::Yes, "")
    } else {
        (Met::Unknown, "not on every container: Ready means no more than started")
    };
    Condition::new("a readiness probe tells when the new pod serves", met, why)
}

/// A restarted rollout replaces every pod, and asks no budget: with a surge and none unavailable, nothing is missing.
pub(super) fn restart(case: &Case<'_>) -> Option<Offer> {
    let classes = [Class::StructuralZero, Class::Overlap, Class::Uncomputed, Class::WideSelector];
    let Ok(Some(workload)) = case.workload() else { return None };
    if !case.has_any(&classes) || workload.key.kind != "Deployment" || case.has(Class::PinnedPod) {
        return None;
    }
    let (strategy, why) = rolling(workload);
    let (kept, trap) = kept_by(&workload.keepers, &["spec.template"], &workload.key.namespace);
    let namespace = &workload.key.namespace;
    let mut offer = Offer::new(
        Remedy::Restart,
        "none if the probes are right: every pod is replaced, each new one is Ready before an old one goes",
    )
    .needs(case.needs_target())
    .needs(Condition::check("it adds a pod before it takes one away", strategy, why))
    .needs(settled(workload))
    .needs(Condition::check("its rollout is not paused", !workload.rollout.is_paused, ""))
    .needs(case.needs_room())
    .needs(probe(workload))
    .needs(kept)
    .types(format!("kubectl -n {namespace} rollout restart {}", workload.word()))
    .types(words::rollout_status(workload))
    .beware("all replicas are replaced, not only the one on this node")
    .beware("changed ConfigMaps and moving image tags are picked up by the new pods")
    .restores("nothing: the restart annotation stays, as after kubectl rollout restart");
    offer.traps.extend(trap);
    if let Some(operator) = workload.keepers.operator() {
        let words = format!("{} {}", operator.kind, operator.name);
        offer = offer.needs(Condition::new("no operator keeps the pod template", Met::Unknown, words));
    }
    if workload.spreads {
        offer = offer.beware("its pods may not share a node: without a free one the rollout stops half-way");
    }
    Some(offer)
}

/// Effective `maxSurge` ≥ 1 (shares round up) and `maxUnavailable` 0 (shares round down; `deployment_util.go`).
fn rolling(workload: &Workload) -> (bool, String) {
    let Strategy::Rolling { surge, unavailable } = workload.strategy else {
        return (false, "its strategy is Recreate".to_owned());
    };
    let wanted = workload.replicas.unwrap_or(0);
    let floor = match unavailable {
        Amount::Pods(count) => count,
        Amount::Percent(share) => share.saturating_mul(wanted).div_euclid(100),
    };
    let (up, down) = (surge.of(wanted), floor);
    (up >= 1 && down == 0, format!("maxSurge {surge} = {up}, maxUnavailable {unavailable} = {down}"))
}
