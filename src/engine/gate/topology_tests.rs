//! What differs from cluster to cluster: API servers, leaders, static pods, managed control planes, clocks.

use super::tests::{NOW, back, before, fails, gone, only_closed, pod, scene, set};
use super::*;
use crate::domain::time::Stamp;
use crate::engine::memory::Memory;
use std::time::Duration;

#[test]
fn a_silent_api_server_that_nobody_vouches_for_is_named_and_not_passed() {
    let mut scene = Scene { pods: Ok(Vec::new()), ..scene() };
    scene.endpoints.as_mut().unwrap()[1].1 = Err(gone());
    let (gate, verdict, evidence) = only_closed(&scene);
    assert_eq!((gate.as_str(), verdict), (names::API, Verdict::Unknown));
    assert!(evidence.contains("no answer from 10.0.0.12:6443"), "{evidence}");
    // one load balancer in front: every server behind it is unasked
    scene.endpoints = Ok(vec![("lb:6443".into(), Ok(Duration::ZERO))]);
    assert!(only_closed(&scene).2.contains("10.0.0.11:6443, 10.0.0.12:6443, 10.0.0.13:6443"));
}

#[test]
fn the_service_kubernetes_names_every_control_plane_and_no_other() {
    let mut scene = scene();
    scene.listed.as_mut().unwrap().pop();
    fails(&scene, names::ENDPOINTS, "cp-3 is not among the addresses");
    scene.listed.as_mut().unwrap().extend(["10.0.0.13:6443".to_owned(), "10.0.0.99:6443".to_owned()]);
    let gates = judge(&scene);
    let gate = gates.iter().find(|gate| gate.name == names::ENDPOINTS).unwrap();
    assert!(gate.evidence.contains("10.0.0.99:6443 is an address"), "{}", gate.evidence);
}

#[test]
fn another_control_plane_of_the_same_roll_in_its_turn_closes_the_gates_before() {
    let mut scene = scene();
    scene.excused = ["worker-1".into()].into();
    assert!(closed(&judge(&scene)).is_empty(), "a worker does not");
    scene.excused.insert("cp-3".into());
    fails(&scene, names::CONTROL_PLANES, "cp-3 is in its turn of the same roll");
    scene.purpose = back(before()).purpose;
    assert!(!judge(&scene).iter().any(|gate| gate.evidence.contains("in its turn")));
}

#[test]
fn a_leader_that_does_not_renew_is_none() {
    let mut scene = scene();
    scene.leaders.as_mut().unwrap()[1].renewed = Some(Stamp(NOW.0 - 15_000));
    assert!(closed(&judge(&scene)).is_empty());
    scene.leaders.as_mut().unwrap()[1].renewed = Some(Stamp(NOW.0 - 16_000));
    fails(&scene, names::LEADERS, "kube-system/kube-scheduler was not renewed for 16s");
    scene.leaders.as_mut().unwrap().pop();
    let (gate, verdict, _) = only_closed(&scene);
    assert_eq!((gate.as_str(), verdict), (names::LEADERS, Verdict::Unknown));
}

#[test]
fn what_does_not_apply_is_shown_as_such() {
    let mut scene = Scene { node: None, purpose: Purpose::Check, etcd: None, ..scene() };
    let nodes = scene.nodes.as_mut().unwrap();
    nodes.retain(|_, row| !row.is_control_plane());
    let gates = judge(&scene);
    let told: Vec<&str> = gates
        .iter()
        .filter(|gate| gate.verdict == Verdict::NotApplicable)
        .map(|gate| gate.name.as_str())
        .collect();
    let managed = [
        names::ENDPOINTS,
        names::LEADERS,
        names::CONTROL_PLANES,
        names::STATIC_PODS,
        names::NETWORK,
        names::ETCD_QUORUM,
        names::ETCD_HEALTHY,
    ];
    assert_eq!(told, managed);
    assert!(closed(&gates).is_empty(), "{gates:#?}");
}

#[test]
fn a_static_pod_that_others_have_is_missed() {
    let mut scene = scene();
    let scheduler = |on: &str| pod(&format!("kube-scheduler-{on}"), on, true);
    scene.pods.as_mut().unwrap().extend([scheduler("cp-1"), scheduler("cp-3")]);
    fails(&scene, names::STATIC_PODS, "kube-scheduler is missing on cp-2");
    scene.pods.as_mut().unwrap().push(scheduler("cp-2"));
    assert!(closed(&judge(&scene)).is_empty());
}

#[test]
fn a_static_pod_that_restarts_or_changed_its_manifest_does_not_pass() {
    let memory = Memory {
        manifests: [("kube-system/kube-apiserver-cp-2".to_owned(), "aa".to_owned())].into(),
        ..before()
    };
    let mut scene = back(memory);
    let steady = Steady::of(&scene);
    let at =
        scene.pods.as_ref().unwrap().iter().position(|pod| pod.key.name == "kube-apiserver-cp-2").unwrap();
    let pod = |scene: &mut Scene| scene.pods.as_mut().unwrap()[at].manifest = Some("aa".into());
    pod(&mut scene);
    assert!(closed(&judge(&scene)).is_empty());
    if let Purpose::Return { steady: known, .. } = &mut scene.purpose {
        *known = Some(Box::new(steady));
    }
    assert!(closed(&judge(&scene)).is_empty());
    scene.pods.as_mut().unwrap()[at].restarts = 1;
    fails(&scene, names::STATIC_PODS, "restarted between two readings (0, then 1 times)");
    scene.pods.as_mut().unwrap()[at].restarts = 0;
    scene.pods.as_mut().unwrap()[at].manifest = Some("bb".into());
    fails(&scene, names::STATIC_PODS, "runs another manifest than before");
    pod(&mut scene);
    set(&mut scene, "cp-2", |row| row.ready_since = Some(NOW));
    fails(&scene, names::TARGET, "stopped being Ready between two readings");
}

#[test]
fn one_clock_that_is_ahead_speaks_only_of_its_own_node() {
    let mut scene = scene();
    set(&mut scene, "cp-3", |row| row.heartbeat = Some(NOW.plus(Duration::from_mins(5))));
    fails(&scene, names::CONTROL_PLANES, "cp-3 has a clock that is 5m ahead");
}
