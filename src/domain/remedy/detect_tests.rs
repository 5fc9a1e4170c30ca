//! Classes, case by case.

use super::*;
use crate::domain::pod::Owner;
use crate::domain::remedy::scene::{NOW, crash, facts, node, recount, unplace};
use crate::domain::time::Stamp;
use Amount::{Percent, Pods};
use Demand::{MaxUnavailable, MinAvailable, Nothing};

fn classes(facts: &Facts) -> Vec<Class> {
    detect(facts).into_iter().map(|finding| finding.class).collect()
}

fn evidence(facts: &Facts, class: Class) -> String {
    let found = detect(facts).into_iter().find(|finding| finding.class == class);
    found.unwrap_or_else(|| panic!("{class:?} is not found")).evidence.join("; ")
}

fn waiting(facts: &Facts, class: Class) -> Waiting {
    detect(facts).into_iter().find(|finding| finding.class == class).map(|finding| finding.waiting).unwrap()
}

#[test]
fn a_budget_with_room_has_no_class() {
    let free = facts(MinAvailable(Pods(2)), 3);
    assert!(!blocks(&free) && classes(&free).is_empty());
    let mut empty = facts(MinAvailable(Pods(1)), 1);
    empty.pods.clear();
    assert!(!blocks(&empty), "what covers no pod blocks nothing");
}

#[test]
fn d2_every_pod_is_needed() {
    for (demand, replicas, words) in [
        (MinAvailable(Pods(1)), 1, "min 1 needs 1 of 1"),
        (MinAvailable(Percent(80)), 3, "min 80% needs 3 of 3 (shares round up)"),
        (MinAvailable(Percent(100)), 3, "min 100% needs every pod"),
        (MaxUnavailable(Pods(0)), 3, "max unavailable 0 never lets one go"),
        (Nothing, 3, "sets neither minAvailable nor maxUnavailable"),
    ] {
        let facts = facts(demand, replicas);
        assert_eq!(classes(&facts), [Class::StructuralZero], "{demand}");
        assert_eq!(evidence(&facts, Class::StructuralZero), words);
        assert_eq!(waiting(&facts, Class::StructuralZero), Waiting::Never);
    }
}

#[test]
fn d1_pods_that_have_just_started() {
    let mut facts = facts(MaxUnavailable(Pods(1)), 3);
    facts.pods[2].row.ready = false;
    facts.pods[2].row.created = Some(Stamp(NOW.0 - 12_000));
    facts.budget.healthy = 2;
    recount(&mut facts);
    assert_eq!(classes(&facts), [Class::Recovering]);
    assert_eq!(evidence(&facts, Class::Recovering), "web-3 is 12s old and not Ready yet");
    assert_eq!(waiting(&facts, Class::Recovering), Waiting::Helps);
    let workload = &mut facts.workloads.as_mut().unwrap()[0];
    workload.rollout.progressing = Some((true, "ReplicaSetUpdated".into()));
    workload.rollout.updated = 1;
    assert!(evidence(&facts, Class::Recovering).contains("rolls out: 1 of 3 updated"));
}

#[test]
fn d3_an_application_that_is_not_healthy() {
    let mut facts = facts(MinAvailable(Pods(1)), 2);
    crash(&mut facts, 0);
    crash(&mut facts, 1);
    assert_eq!(classes(&facts), [Class::AppUnhealthy]);
    assert!(evidence(&facts, Class::AppUnhealthy).starts_with("web-1: CrashLoopBackOff, 17 restarts"));
    facts.budget.unhealthy = UnhealthyPolicy::AlwaysAllow;
    assert!(!classes(&facts).contains(&Class::AppUnhealthy), "under AlwaysAllow it goes");
    facts.pods[0].row.ready = true;
    facts.budget.healthy = 1;
    recount(&mut facts);
    assert!(classes(&facts).contains(&Class::AppUnhealthy), "a Ready one is held back by the other");
}

#[test]
fn a_pod_that_runs_long_and_is_not_ready_is_not_starting() {
    let mut facts = facts(MaxUnavailable(Pods(1)), 3);
    facts.pods[2].row.ready = false;
    facts.budget.healthy = 2;
    recount(&mut facts);
    assert_eq!(classes(&facts), [Class::AppUnhealthy]);
}

#[test]
fn d4_a_pod_that_is_placed_nowhere_or_not_created() {
    let mut facts = facts(MaxUnavailable(Pods(1)), 3);
    unplace(&mut facts, 2);
    assert_eq!(classes(&facts), [Class::NoCapacity]);
    assert_eq!(evidence(&facts, Class::NoCapacity), "web-3 is placed nowhere: 0/3 nodes are available");
    facts.pods.remove(2);
    facts.workloads.as_mut().unwrap()[0].rollout.failure = Some("exceeded quota".into());
    assert!(evidence(&facts, Class::NoCapacity).contains("cannot create a pod: exceeded quota"));
}

#[test]
fn d5_two_budgets_on_the_pod_even_with_room() {
    let mut facts = facts(MaxUnavailable(Pods(1)), 3);
    let mut other = facts.budget.clone();
    other.key.name = "all".into();
    facts.others.push(other);
    assert_eq!(classes(&facts), [Class::Overlap]);
    assert!(evidence(&facts, Class::Overlap).starts_with("all covers web-1 too"));
    assert_eq!(waiting(&facts, Class::Overlap), Waiting::Never);
}

#[test]
fn d6_a_budget_that_is_not_computed() {
    let mut facts = facts(MaxUnavailable(Pods(1)), 3);
    facts.budget.sync_failed = Some("no matches for kind".into());
    facts.budget.allowed = 0;
    assert_eq!(classes(&facts), [Class::Uncomputed]);
    assert_eq!(waiting(&facts, Class::Uncomputed), Waiting::Never);
    facts.budget.sync_failed = None;
    facts.budget.generation = 2;
    assert_eq!(waiting(&facts, Class::Uncomputed), Waiting::MayHelp);
    facts.controller = Ok(Duration::from_mins(3));
    assert_eq!(waiting(&facts, Class::Uncomputed), Waiting::Helps);
    assert!(evidence(&facts, Class::Uncomputed).starts_with("the kube-controller-manager has not renewed"));
    let mut bare = super::super::scene::facts(MaxUnavailable(Pods(1)), 1);
    bare.pods[0].row.owner = None;
    bare.budget.expected = 0;
    bare.budget.allowed = 0;
    assert!(classes(&bare).contains(&Class::Uncomputed));
}

#[test]
fn d7_an_operator_by_owner_or_label() {
    let mut facts = facts(MinAvailable(Pods(1)), 1);
    facts.keepers.controller = Some(Owner {
        api_version: "postgresql.cnpg.io/v1".into(),
        kind: "Cluster".into(),
        name: "orders".into(),
        uid: "c".into(),
    });
    facts.pods[0].row.labels.insert("cnpg.io/cluster".into(), "orders".into());
    facts.budget.selector.labels.insert("cnpg.io/instanceRole".into(), "primary".into());
    assert!(classes(&facts).contains(&Class::OperatorOwned));
    assert_eq!(
        evidence(&facts, Class::OperatorOwned),
        "the budget belongs to Cluster orders; its pods carry the labels of CloudNativePG; the budget is for the primary alone"
    );
}

#[test]
fn d8_room_that_another_eviction_uses() {
    let mut facts = facts(MaxUnavailable(Pods(1)), 3);
    facts.budget.disrupted = vec!["web-3".into()];
    facts.budget.healthy = 2;
    recount(&mut facts);
    assert_eq!(classes(&facts), [Class::UsedElsewhere]);
    assert_eq!(waiting(&facts, Class::UsedElsewhere), Waiting::Helps);
    facts.budget.disrupted.clear();
    facts.pods[1].is_target = true;
    assert!(evidence(&facts, Class::UsedElsewhere).contains("worker-1, worker-2"));
}

#[test]
fn d9_a_pod_that_was_let_go_and_stays() {
    let mut facts = facts(MaxUnavailable(Pods(1)), 3);
    facts.pods[0].row.deleting = Some(Stamp(NOW.0 + 20_000));
    assert_eq!(evidence(&facts, Class::NotTheBudget), "web-1 was let go and has 20s of grace left");
    assert_eq!(waiting(&facts, Class::NotTheBudget), Waiting::Helps);
    facts.pods[0].row.deleting = Some(Stamp(NOW.0 - 20_000));
    facts.pods[0].row.finalizers = vec!["example.net/flush".into()];
    assert!(evidence(&facts, Class::NotTheBudget).contains("held by finalizer example.net/flush"));
    assert_eq!(waiting(&facts, Class::NotTheBudget), Waiting::MayHelp);
    let mut gone = node("worker-1", true);
    gone.readiness = crate::domain::node::Readiness::NotReady;
    facts.nodes.as_mut().unwrap().insert("worker-1".into(), gone);
    assert!(evidence(&facts, Class::NotTheBudget).contains("worker-1 is not Ready to end it"));
}

#[test]
fn d10_a_selector_over_two_workloads() {
    let mut facts = facts(MinAvailable(Pods(3)), 3);
    let mut other = super::super::scene::deployment(1);
    other.key.name = "api".into();
    other.key.uid = "uid-api".into();
    facts.workloads.as_mut().unwrap().push(other);
    assert_eq!(classes(&facts), [Class::StructuralZero, Class::WideSelector]);
    assert!(evidence(&facts, Class::WideSelector).contains("deployment/web, deployment/api"));
    // by the rows alone: two ReplicaSets of one Deployment are one
    facts.workloads = Err("not read".into());
    for (at, hash) in [(0, "aaa"), (1, "bbb"), (2, "bbb")] {
        let row = &mut facts.pods[at].row;
        row.labels.insert("pod-template-hash".into(), hash.into());
        row.owner.as_mut().unwrap().name = format!("web-{hash}");
    }
    assert!(!classes(&facts).contains(&Class::WideSelector));
    facts.pods[2].row.owner.as_mut().unwrap().name = "api-bbb".into();
    assert!(evidence(&facts, Class::WideSelector).contains("api, web"));
}

#[test]
fn d11_a_pod_that_fits_on_no_other_node() {
    let mut facts = facts(MinAvailable(Pods(1)), 1);
    facts.pods[0].row.node_selector.insert("kubernetes.io/hostname".into(), "worker-1".into());
    assert_eq!(classes(&facts), [Class::StructuralZero, Class::PinnedPod]);
    facts.pods[0].row.node_selector.clear();
    facts.pods[0].pins.push("volume pv-1 is on this node only".into());
    assert_eq!(evidence(&facts, Class::PinnedPod), "web-1: volume pv-1 is on this node only");
}

#[test]
fn a_terminating_namespace_is_told() {
    let mut facts = facts(MinAvailable(Pods(1)), 1);
    facts.ends = Ok(true);
    assert!(evidence(&facts, Class::NotTheBudget).contains("being terminated"));
}
