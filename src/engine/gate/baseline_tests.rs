//! What was not in order before is kept apart, and nothing else is: pods, workers, nodes that come and go.

use super::tests::{NOW, back, before, only_closed, pod, set};
use super::*;
use crate::backend::kube::Stops;
use crate::domain::node::{NodeRow, Readiness};
use crate::domain::pod::{Owner, PodRow};
use crate::domain::time::Stamp;
use crate::engine::memory::Memory;
use std::collections::BTreeSet;

/// A pod of a Deployment that the cluster needs.
fn dns(name: &str, ready: bool) -> PodRow {
    let owner = Owner {
        kind: "ReplicaSet".into(),
        name: "coredns-6f".into(),
        ..pod("x", "cp-1", false).owner.unwrap()
    };
    PodRow { owner: Some(owner), ready, ..pod(name, "cp-1", false) }
}

fn proxy(node: &str, ready: bool) -> PodRow {
    PodRow { ready, ..pod(&format!("proxy-{node}-{ready}"), node, false) }
}

fn with(mut scene: Scene, pods: Vec<PodRow>) -> Scene {
    scene.pods.as_mut().unwrap().retain(|pod| pod.mirror);
    scene.pods.as_mut().unwrap().extend(pods);
    scene
}

/// The return of cp-2 after a beginning with these pods.
fn after(first: Vec<PodRow>, now: Vec<PodRow>) -> Scene {
    let baseline = Baseline::of(&with(back(before()), first));
    with(back(Memory { baseline, ..before() }), now)
}

fn blamed(scene: &Scene) -> Vec<String> {
    let gates = judge(scene);
    closed(&gates).iter().flat_map(|gate| &gate.offenders).map(Offender::title).collect()
}

#[test]
fn exactly_what_is_new_is_named() {
    let first = || vec![dns("dns-a", false), dns("dns-b", true), proxy("worker-1", false)];
    assert!(blamed(&after(first(), first())).is_empty(), "as before");
    // the failing pod was replaced by another that fails: still one
    let replaced = vec![dns("dns-c", false), dns("dns-b", true), proxy("worker-1", false)];
    assert!(blamed(&after(first(), replaced)).is_empty());
    // a second one of the same workload is new, and so is the same DaemonSet's pod on another node
    let more = vec![dns("dns-a", false), dns("dns-b", false), proxy("worker-1", false), proxy("cp-3", false)];
    assert_eq!(blamed(&after(first(), more)), ["kube-system/proxy-cp-3-false", "kube-system/dns-b"]);
}

#[test]
fn one_that_recovered_excuses_no_other() {
    let first = vec![dns("dns-a", false), dns("dns-b", true)];
    let now = vec![dns("dns-a", true), dns("dns-b", false)];
    assert_eq!(blamed(&after(first, now)), ["kube-system/dns-b"]);
}

#[test]
fn the_offender_says_whose_it_is_and_since_when() {
    let pods = vec![PodRow { created: Some(Stamp(NOW.0 - 300_000)), ..dns("dns-b", false) }];
    let gates = judge(&after(Vec::new(), pods));
    let gate = closed(&gates)[0];
    let line = gate.offenders[0].line(NOW);
    assert!(
        line.starts_with(
            "Pod kube-system/dns-b is not Ready | owner: kube-system/ReplicaSet coredns-6f | for 5m"
        ),
        "{line}"
    );
}

#[test]
fn workers_that_were_away_before_are_kept_apart_and_others_are_not() {
    let gone = |row: &mut NodeRow| row.readiness = Readiness::NotReady;
    let mut first = back(before());
    set(&mut first, "worker-1", gone);
    let memory = Memory { baseline: Baseline::of(&first), ..before() };
    assert_eq!(memory.baseline.words(), ["worker-1 is not Ready"]);
    let mut known = back(memory);
    set(&mut known, "worker-1", gone);
    assert!(closed(&judge(&known)).is_empty());
    let mut new = back(before());
    set(&mut new, "worker-1", gone);
    let (name, _, words) = only_closed(&new);
    assert_eq!((name.as_str(), words.as_str()), (names::WORKERS, "worker-1 is not Ready"));
    // in the same roll, on purpose
    let Purpose::Return { memory, .. } = new.purpose.clone() else { panic!("a return") };
    new.purpose = Purpose::Return { memory, steady: None, beside: BTreeSet::from(["worker-1".into()]) };
    assert!(closed(&judge(&new)).is_empty());
}

#[test]
fn a_node_that_comes_and_goes_is_told_although_both_readings_are_good() {
    let first = back(before());
    let steady = Steady::of(&first);
    let mut second = back(before());
    let Purpose::Return { memory, .. } = second.purpose.clone() else { panic!("a return") };
    second.purpose = Purpose::Return { memory, steady: Some(Box::new(steady)), beside: BTreeSet::new() };
    assert!(closed(&judge(&second)).is_empty());
    set(&mut second, "worker-1", |row| row.ready_since = Some(NOW));
    let (name, _, words) = only_closed(&second);
    assert_eq!(
        (name.as_str(), words.as_str()),
        (names::WORKERS, "worker-1 stopped being Ready between two readings")
    );
}

#[test]
fn a_pod_that_starts_again_between_two_readings_does_not_pass() {
    let pods = |restarts| vec![PodRow { restarts, ..dns("dns-a", true) }];
    let steady = Steady::of(&with(back(before()), pods(3)));
    let mut second = with(back(before()), pods(3));
    let Purpose::Return { memory, .. } = second.purpose.clone() else { panic!("a return") };
    second.purpose = Purpose::Return { memory, steady: Some(Box::new(steady)), beside: BTreeSet::new() };
    assert!(closed(&judge(&second)).is_empty());
    let second = with(second, pods(4));
    let (name, _, words) = only_closed(&second);
    assert_eq!(name, names::CRITICAL_PODS);
    assert!(words.contains("restarted between two readings (3, then 4 times)"), "{words}");
}

#[test]
fn how_often_a_node_went_is_counted_from_the_beginning() {
    let stops = |total, recent| Some(Ok([("worker-1".into(), Stops { total, recent, last: NOW })].into()));
    let at = |scene: Scene, total, recent| Scene { flaps: stops(total, recent), ..scene };
    let baseline = Baseline::of(&at(back(before()), 5, 1));
    let now = |total| at(back(Memory { baseline: baseline.clone(), ..before() }), total, 3);
    assert!(closed(&judge(&now(7))).is_empty(), "a reboot is told by two");
    let (name, _, words) = only_closed(&now(8));
    assert_eq!(name, names::STEADY);
    assert!(words.contains("comes and goes: it stopped being Ready 3 times since the beginning"), "{words}");
    // one that came and went before is nobody's doing
    let unsteady = Baseline::of(&at(back(before()), 5, 4));
    assert_eq!(unsteady.words(), ["worker-1 comes and goes"]);
    assert!(closed(&judge(&at(back(Memory { baseline: unsteady, ..before() }), 30, 9))).is_empty());
}

#[test]
fn journals_of_before_are_still_read() {
    let old: Baseline = serde_json::from_str("[\"kube-system/ReplicaSet coredns-6f\"]").unwrap();
    let off = [dns("dns-a", false), dns("dns-b", false), proxy("cp-1", false)];
    let all: Vec<&PodRow> = off.iter().collect();
    let names: Vec<&str> = old.blamed(&all, &off).iter().map(|pod| pod.key.name.as_str()).collect();
    assert_eq!(names, ["proxy-cp-1-false"]);
    let new = Baseline { nodes: BTreeSet::from(["w".into()]), ..Baseline::default() };
    let text = serde_json::to_string(&new).unwrap();
    assert_eq!(serde_json::from_str::<Baseline>(&text).unwrap(), new);
}
