//! Tests of the room: each filter of the scheduler by a case.

use super::*;
use crate::domain::node::{Readiness, sample as node_sample};
use crate::domain::placement::{NodeTerm, Rules, Toleration};
use crate::domain::pod::sample;
use crate::domain::selector::{Operator, Requirement, Selector};

fn node(name: &str, zone: &str) -> NodeRow {
    let labels =
        [("kubernetes.io/hostname", name), ("zone", zone)].map(|(key, value)| (key.into(), value.into()));
    NodeRow {
        name: name.into(),
        labels: labels.into(),
        allocatable: Some(Amounts { cpu_milli: 1000, memory: 1000, others: None }),
        ..node_sample()
    }
}

fn pod(name: &str, on: &str, app: &str) -> PodRow {
    let mut pod = PodRow { node: Some(on.into()), ..sample("shop", name) };
    pod.labels.insert("app".into(), app.into());
    pod
}

fn with(rules: Rules) -> PodRow {
    PodRow { rules: Some(Box::new(rules)), node: None, ..pod("new", "", "web") }
}

fn web() -> Selector {
    Selector { labels: BTreeMap::from([("app".into(), "web".into())]), ..Selector::default() }
}

/// What keeps the pod off `b`, beside the other pods.
fn at_b(change: impl Fn(&mut NodeRow), others: &[PodRow], pod: &PodRow) -> Option<Obstacle> {
    let mut nodes = [node("a", "1"), node("b", "2")];
    change(&mut nodes[1]);
    let space = Space::new(&nodes, others, []);
    let (homes, mut obstacles) = space.homes(pod);
    obstacles.remove(&Obstacle::Selector);
    if homes.contains(&1) { None } else { obstacles.into_keys().next_back() }
}

#[test]
fn nodes_that_are_closed_to_a_pod() {
    let plain = pod("new", "", "web");
    let same = |_: &mut NodeRow| {};
    assert_eq!(at_b(same, &[], &plain), None);
    assert_eq!(at_b(|node| node.cordoned = true, &[], &plain), Some(Obstacle::Cordoned));
    let tolerant = PodRow { tolerates_cordon: true, ..plain.clone() };
    assert_eq!(at_b(|node| node.cordoned = true, &[], &tolerant), None);
    assert_eq!(at_b(|node| node.readiness = Readiness::Unknown, &[], &plain), Some(Obstacle::NotReady));
    let tainted = |node: &mut NodeRow| node.taints = vec!["gpu=yes:NoSchedule".into()];
    assert_eq!(at_b(tainted, &[], &plain), Some(Obstacle::Taint("gpu".into())));
    let toleration = Toleration { key: "gpu".into(), exists: true, ..Toleration::default() };
    assert_eq!(at_b(tainted, &[], &with(Rules { tolerations: vec![toleration], ..Rules::default() })), None);
    let soft = |node: &mut NodeRow| node.taints = vec!["gpu=yes:PreferNoSchedule".into()];
    assert_eq!(at_b(soft, &[], &plain), None);
    let selecting = PodRow { node_selector: BTreeMap::from([("zone".into(), "3".into())]), ..plain };
    let nodes = [node("a", "1")];
    assert_eq!(Space::new(&nodes, [], []).homes(&selecting).1.keys().next(), Some(&Obstacle::Selector));
}

#[test]
fn nodes_that_have_too_little() {
    let asks = |cpu_milli, memory| PodRow {
        requests: Amounts { cpu_milli, memory, others: None },
        ..pod("new", "", "web")
    };
    let busy = [PodRow { key: pod("x", "b", "db").key, node: Some("b".into()), ..asks(600, 10) }];
    let full = |pods: &[PodRow], asks: &PodRow| {
        let nodes = [node("b", "2")];
        Space::new(&nodes, pods, []).homes(asks).1.into_keys().next()
    };
    assert_eq!(full(&busy, &asks(400, 0)), None);
    assert_eq!(full(&busy, &asks(401, 0)), Some(Obstacle::Cpu));
    assert_eq!(full(&busy, &asks(0, 991)), Some(Obstacle::Memory));
    assert_eq!(full(&busy, &asks(0, 0)), None);
    let finished = [PodRow { phase: crate::domain::pod::Phase::Succeeded, ..busy[0].clone() }];
    assert_eq!(full(&finished, &asks(1000, 1000)), None, "what has ended takes no room");
    assert_eq!(at_b(|node| node.pod_capacity = Some(0), &[], &asks(0, 0)), Some(Obstacle::Full));
    let gpu = Amounts { others: Some(Box::new(BTreeMap::from([("gpu".into(), 1)]))), ..Amounts::default() };
    assert_eq!(full(&[], &PodRow { requests: gpu, ..asks(0, 0) }), Some(Obstacle::Other("gpu".into())));
    let ports = with(Rules { ports: vec!["80/TCP".into()], ..Rules::default() });
    let taken = [PodRow { key: pod("x", "b", "db").key, node: Some("b".into()), ..ports.clone() }];
    assert_eq!(full(&taken, &ports), Some(Obstacle::Port));
}

#[test]
fn pods_that_must_not_or_must_meet() {
    let term = |topology: &str| PodTerm { selector: web(), topology: topology.into(), ..PodTerm::default() };
    let apart = |topology: &str| Rules { apart: vec![term(topology)], ..Rules::default() };
    let here = [pod("x", "b", "web")];
    let off = |pods: &[PodRow], pod: &PodRow| {
        let nodes = [node("a", "1"), node("b", "1")];
        Space::new(&nodes, pods, []).homes(pod).1
    };
    assert_eq!(off(&here, &with(apart("kubernetes.io/hostname"))), BTreeMap::from([(Obstacle::Apart, 1)]));
    assert_eq!(off(&here, &with(apart("zone"))), BTreeMap::from([(Obstacle::Apart, 2)]));
    // the rule of the pod that is there counts as well
    let lonely = [PodRow { rules: with(apart("kubernetes.io/hostname")).rules, ..pod("x", "b", "db") }];
    assert_eq!(off(&lonely, &pod("new", "", "web")), BTreeMap::from([(Obstacle::Apart, 1)]));
    let near = with(Rules { near: vec![term("kubernetes.io/hostname")], ..Rules::default() });
    assert_eq!(off(&here, &near), BTreeMap::from([(Obstacle::Near, 1)]));
    assert_eq!(off(&[], &near), BTreeMap::new(), "the first of its kind may start anywhere");
    let other = PodRow { labels: BTreeMap::new(), ..near };
    assert_eq!(off(&[], &other), BTreeMap::from([(Obstacle::Near, 2)]));
}

#[test]
fn a_cordoned_place_still_counts_for_the_spread() {
    let spread = Spread {
        selector: web(),
        topology: "kubernetes.io/hostname".into(),
        skew: 1,
        least_places: 1,
        ..Spread::default()
    };
    let nodes = [NodeRow { cordoned: true, ..node("a", "1") }, node("b", "2")];
    let here = [pod("x", "b", "web")];
    let asks = |spread: Spread| with(Rules { spread: vec![spread], ..Rules::default() });
    let space = Space::new(&nodes, &here, []);
    let (homes, obstacles) = space.homes(&asks(spread.clone()));
    assert!(homes.is_empty() && obstacles.contains_key(&Obstacle::Spread), "{obstacles:?}");
    assert_eq!(space.homes(&asks(Spread { honors_taints: true, ..spread.clone() })).0, [1]);
    assert_eq!(space.homes(&asks(Spread { skew: 2, ..spread })).0, [1]);
}

#[test]
fn a_selector_or_a_volume_may_tie_a_pod_to_a_node() {
    let nodes = [node("a", "1"), node("b", "2")];
    let named = |values: &[&str]| Requirement {
        key: "metadata.name".into(),
        operator: Operator::In,
        values: values.iter().map(|value| (*value).to_owned()).collect(),
    };
    let term = |values| NodeTerm { expressions: Vec::new(), fields: vec![named(values)] };
    let space = Space::new(&nodes, [], []);
    let rules = |values| Rules { node_terms: Some(vec![term(values)]), ..Rules::default() };
    assert_eq!(space.tied_to(&with(rules(&["b"]))).map(NodeName::as_str), Some("b"));
    assert_eq!(space.tied_to(&with(rules(&["a", "b"]))), None);
    let volume = VolumeRow {
        name: "pv".into(),
        claim: Some(("shop".into(), "data".into())),
        terms: vec![term(&["a"])],
    };
    let space = Space::new(&nodes, [], [&volume]);
    let bound = PodRow { claims: vec!["data".into()], ..pod("new", "", "db") };
    assert_eq!(space.tied_to(&bound).map(NodeName::as_str), Some("a"));
    assert_eq!(space.homes(&bound).1, BTreeMap::from([(Obstacle::Volume, 1)]));
}
