//! Offers, case by case.

use super::facts::Strategy;
use super::scene::{autoscaler, crash, facts, key, recount};
use super::*;
use crate::domain::budget::Amount::{self, Percent, Pods};
use crate::domain::budget::Demand::{MaxUnavailable, MinAvailable};
use crate::domain::pod::Owner;

fn names(facts: &Facts) -> Vec<&'static str> {
    analyse(facts).offers.iter().map(|offer| offer.remedy.name()).collect()
}

fn offer(facts: &Facts, remedy: Remedy) -> Offer {
    let analysis = analyse(facts);
    analysis.offer(remedy).cloned().unwrap_or_else(|| panic!("{remedy} is not offered: {:?}", names(facts)))
}

fn missing(facts: &Facts, remedy: Remedy) -> String {
    offer(facts, remedy).missing().map(|one| format!("{}: {}", one.what, one.why)).unwrap_or_default()
}

#[test]
fn a_single_replica_has_its_ways_in_the_order_of_safety() {
    let single = facts(MinAvailable(Pods(1)), 1);
    assert_eq!(
        names(&single),
        [
            "wait",
            "surge",
            "restart",
            "relax",
            "skip-pod",
            "skip-node",
            "delete-healthy",
            "disable-eviction",
            "delete-budget"
        ]
    );
    let ranks: Vec<u8> = analyse(&single).offers.iter().map(|offer| offer.remedy.rank()).collect();
    assert!(ranks.is_sorted());
    assert!(missing(&single, Remedy::Wait).contains("will never resolve"));
    let surge = offer(&single, Remedy::Surge);
    assert!(surge.may_run() && !surge.is_unsure(), "{:?}", surge.conditions);
    assert_eq!(surge.surge, Some(1));
    assert_eq!(surge.commands[0], "kubectl -n shop scale deployment/web --current-replicas=1 --replicas=2");
    assert_eq!(
        surge.commands.last().unwrap(),
        "kubectl -n shop scale deployment/web --current-replicas=2 --replicas=1"
    );
    assert!(!offer(&single, Remedy::DeleteBudget).may_run(), "explained only");
}

#[test]
fn a_surge_is_offered_only_where_it_is_small_and_helps() {
    let size = |demand, replicas| analyse(&facts(demand, replicas)).offer(Remedy::Surge).map(|one| one.surge);
    assert_eq!(size(MinAvailable(Percent(80)), 3), Some(Some(2)));
    for demand in [MinAvailable(Percent(90)), MinAvailable(Percent(100)), MaxUnavailable(Pods(0))] {
        assert_eq!(size(demand, 3), None, "{demand}");
    }
    let never = analyse(&facts(MaxUnavailable(Pods(0)), 3));
    assert!(never.notes.iter().any(|note| note.starts_with("more pods never help")), "{:?}", never.notes);
    let many = analyse(&facts(MinAvailable(Percent(90)), 3));
    assert!(many.notes.iter().any(|note| note.contains("7 more pods")), "{:?}", many.notes);
}

#[test]
fn what_a_surge_needs() {
    let with = |change: &dyn Fn(&mut facts::Workload)| {
        let mut facts = facts(MinAvailable(Pods(1)), 1);
        change(&mut facts.workloads.as_mut().unwrap()[0]);
        missing(&facts, Remedy::Surge)
    };
    assert_eq!(with(&|_| {}), "");
    assert!(with(&|one| one.claims = true).contains("mount claims"));
    assert!(with(&|one| one.strategy = Strategy::Recreate).contains("not Recreate"));
    assert!(with(&|one| one.rollout.updated = 0).contains("rollout is complete"));
    assert!(with(&|one| one.autoscaler = Ok(Some(autoscaler(Some(1), 1)))).contains("at most 1"));
    let stateful = with(&|one| {
        one.key = key("apps/v1", "StatefulSet", "db");
        one.is_scalable = false;
    });
    assert!(stateful.contains("new member"), "{stateful}");
    let mut full = facts(MinAvailable(Pods(1)), 1);
    full.room = Ok(Vec::new());
    assert!(missing(&full, Remedy::Surge).contains("no schedulable node takes one more"));
    let mut nobody = facts(MinAvailable(Pods(1)), 1);
    nobody.pods[0].is_target = false;
    assert!(missing(&nobody, Remedy::Surge).contains("cordon the node, or name the pod"));
}

#[test]
fn what_is_not_known_is_no_yes() {
    let mut facts = facts(MinAvailable(Pods(1)), 1);
    facts.workloads.as_mut().unwrap()[0].has_probe = false;
    let surge = offer(&facts, Remedy::Surge);
    assert!(surge.may_run() && surge.is_unsure());
    assert!(analyse(&facts).choose(Remedy::Surge).is_unsure);
    facts.workloads = Err("forbidden".into());
    let surge = offer(&facts, Remedy::Surge);
    assert!(surge.is_unsure(), "{:?}", surge.conditions);
    assert!(analyse(&facts).notes.iter().any(|note| note.contains("forbidden")));
}

#[test]
fn an_autoscaler_gets_a_higher_minimum_instead() {
    let mut facts = facts(MinAvailable(Pods(2)), 2);
    facts.workloads.as_mut().unwrap()[0].autoscaler = Ok(Some(autoscaler(None, 4)));
    let surge = offer(&facts, Remedy::Surge);
    assert!(surge.may_run());
    assert_eq!(
        surge.commands[0],
        "kubectl -n shop patch hpa web --type merge -p '{\"spec\":{\"minReplicas\":3}}'"
    );
    assert!(surge.commands.last().unwrap().contains("\"minReplicas\":null"));
    assert!(surge.restores.starts_with("minReplicas"));
}

#[test]
fn a_tool_that_writes_the_very_field_is_a_trap() {
    let mut facts = facts(MinAvailable(Pods(1)), 1);
    let managers = |field: &str, manager: &str| {
        std::collections::BTreeMap::from([(field.to_owned(), vec![manager.to_owned()])])
    };
    facts.workloads.as_mut().unwrap()[0].keepers.managers = managers("spec.replicas", "argocd-controller");
    let surge = offer(&facts, Remedy::Surge);
    assert!(surge.is_unsure() && surge.traps.iter().any(|trap| trap.contains("argocd app set")));
    assert!(!offer(&facts, Remedy::Restart).is_unsure(), "it does not write the template's annotation");
    facts.workloads.as_mut().unwrap()[0].keepers.managers = managers("spec.replicas", "helm");
    assert!(!offer(&facts, Remedy::Surge).is_unsure(), "Helm writes at a release only");
    facts.keepers.managers = managers("spec.minAvailable", "kustomize-controller");
    let relax = offer(&facts, Remedy::Relax);
    assert!(relax.is_unsure() && relax.traps.iter().any(|trap| trap.contains("flux suspend")));
}

#[test]
fn a_restart_needs_a_surge_of_its_own() {
    let with = |surge: Amount, unavailable: Amount, replicas: i32| {
        let mut facts = facts(MaxUnavailable(Pods(0)), replicas);
        facts.workloads.as_mut().unwrap()[0].strategy = Strategy::Rolling { surge, unavailable };
        offer(&facts, Remedy::Restart).may_run()
    };
    assert!(with(Percent(25), Percent(25), 1) && with(Percent(25), Percent(25), 3), "0.75 rounds down to 0");
    assert!(!with(Percent(25), Percent(25), 4), "one may be unavailable");
    assert!(!with(Pods(0), Pods(1), 2) && with(Pods(1), Pods(0), 9));
}

#[test]
fn relaxing_lets_exactly_one_go() {
    let of = |demand, replicas| offer(&facts(demand, replicas), Remedy::Relax);
    assert_eq!(of(MinAvailable(Pods(1)), 1).relaxed, Some(MinAvailable(Pods(0))));
    assert_eq!(of(MinAvailable(Percent(100)), 3).relaxed, Some(MinAvailable(Pods(2))));
    assert_eq!(of(MaxUnavailable(Pods(0)), 3).relaxed, Some(MaxUnavailable(Pods(1))));
    let three = of(MaxUnavailable(Percent(0)), 3);
    assert!(three.commands[0].ends_with("'{\"spec\":{\"maxUnavailable\":1}}'"), "{:?}", three.commands);
    assert!(three.commands.last().unwrap().ends_with("'{\"spec\":{\"maxUnavailable\":\"0%\"}}'"));
    let mut operated = facts(MinAvailable(Pods(1)), 1);
    operated.keepers.controller =
        Some(Owner { api_version: "x/v1".into(), kind: "App".into(), name: "a".into(), uid: "a".into() });
    assert!(missing(&operated, Remedy::Relax).contains("writes it again"));
}

#[test]
fn pods_that_are_not_ready_have_gentler_ways() {
    let mut facts = facts(MinAvailable(Pods(1)), 2);
    crash(&mut facts, 0);
    crash(&mut facts, 1);
    facts.pods[0].version = "41".into();
    let names = names(&facts);
    assert!(names.contains(&"allow-unhealthy") && names.contains(&"delete-unready"), "{names:?}");
    assert!(!names.contains(&"delete-healthy") && !names.contains(&"relax"), "{names:?}");
    let delete = offer(&facts, Remedy::DeleteUnready);
    assert!(delete.commands[0].contains("\"resourceVersion\":\"41\""), "{:?}", delete.commands);
    let analysis = analyse(&facts);
    assert_eq!(analysis.choose(Remedy::DeleteUnready).targets.len(), 1);
    facts.minor = Ok(26);
    assert!(missing(&facts, Remedy::AllowUnhealthy).contains("1.26"));
}

#[test]
fn an_overlap_is_explained_and_not_worked_around_by_the_budget() {
    let mut facts = facts(MaxUnavailable(Pods(1)), 3);
    let mut other = facts.budget.clone();
    other.key.name = "all".into();
    facts.others.push(other);
    let names = names(&facts);
    assert!(names.contains(&"narrow") && names.contains(&"restart") && names.contains(&"delete-healthy"));
    assert!(!names.contains(&"relax") && !names.contains(&"surge"), "{names:?}");
    assert!(!Remedy::Narrow.is_carried_out());
}

#[test]
fn a_pinned_pod_is_not_deleted_for_nothing() {
    let mut facts = facts(MinAvailable(Pods(1)), 1);
    facts.pods[0].row.node_selector.insert("kubernetes.io/hostname".into(), "worker-1".into());
    assert!(missing(&facts, Remedy::DeleteHealthy).contains("this node only"));
    assert!(!names(&facts).contains(&"restart"));
}

#[test]
fn the_block_in_one_line() {
    let line = |facts: &Facts| summary(facts, &detect(facts));
    assert_eq!(
        line(&facts(MinAvailable(Pods(1)), 1)),
        "D2 every pod is needed: min 1 needs 1 of 1; waiting never helps"
    );
    assert_eq!(line(&facts(MaxUnavailable(Pods(1)), 3)), "blocks nothing now: 1 may go");
    let mut used = facts(MaxUnavailable(Pods(1)), 3);
    used.budget.disrupted = vec!["web-2".into()];
    used.budget.healthy = 2;
    recount(&mut used);
    assert_eq!(line(&used), "D8 the room is used elsewhere: web-2 is being evicted already; waiting helps");
}

#[test]
fn every_remedy_has_a_name_of_its_own() {
    for remedy in Remedy::ALL {
        assert_eq!(Remedy::of_name(remedy.name()), Some(remedy));
        assert_eq!(serde_json::to_value(remedy).unwrap(), remedy.name());
    }
}

#[test]
fn a_pod_that_may_only_be_starting_is_not_deleted_lightly() {
    let mut young = facts(MinAvailable(Pods(2)), 2);
    young.pods[0].row.ready = false;
    young.pods[0].row.created = Some(Stamp(young.now.0 - 20_000));
    young.budget.healthy = 1;
    recount(&mut young);
    let delete = offer(&young, Remedy::DeleteUnready);
    assert!(delete.may_run() && delete.is_unsure(), "{:?}", delete.conditions);
    assert!(analyse(&young).choose(Remedy::DeleteUnready).is_unsure, "the name is typed");
    let mut old = young.clone();
    old.pods[0].row.created = Some(Stamp(old.now.0 - 3_600_000));
    assert!(!offer(&old, Remedy::DeleteUnready).is_unsure());
    let mut sick = facts(MinAvailable(Pods(2)), 2);
    crash(&mut sick, 0);
    assert!(!offer(&sick, Remedy::DeleteUnready).is_unsure());
    assert_eq!(analyse(&sick).choose(Remedy::DeleteUnready).healthy, Some(1));
}
