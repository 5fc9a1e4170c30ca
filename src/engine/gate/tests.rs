//! The rules of the gates, each on a scene made by hand.

use super::scene::{Right, Samples};
use super::*;
use crate::domain::actor::Leader;
use crate::domain::etcd::scheduled::ScheduledBackup;
use crate::domain::etcd::{EtcdView, HashReading, KeyspaceHash, MemberHealth, MemberRow, MemberStatus};
use crate::domain::feed::Row;
use crate::domain::host::{HostFacts, HostFinding, HostReadiness, Privilege};
use crate::domain::ids::PodKey;
use crate::domain::lock::{LeaseRow, LockChoice};
use crate::domain::node::{NodeRow, Readiness};
use crate::domain::pod::{Owner, Phase, PodRow};
use crate::domain::report::FailureKind;
use crate::domain::time::Stamp;
use crate::engine::memory::{MemberBefore, Memory};
use crate::engine::settings::Settings;
use crate::engine::testing::{node, settings};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub(super) const NOW: Stamp = Stamp(1_000_000);

fn ready(name: &str, role: &str) -> NodeRow {
    NodeRow { heartbeat: Some(NOW), ..node(name, role) }
}

pub(super) fn pod(name: &str, on: &str, mirror: bool) -> PodRow {
    PodRow {
        key: PodKey { namespace: "kube-system".into(), name: name.into(), uid: name.into() },
        node: Some(on.into()),
        phase: Phase::Running,
        ready: true,
        deleting: None,
        grace_secs: 30,
        owner: Some(Owner {
            api_version: "apps/v1".into(),
            kind: "DaemonSet".into(),
            name: "proxy".into(),
            uid: "u".into(),
        }),
        mirror,
        manifest: None,
        empty_dirs: Vec::new(),
        claims: Vec::new(),
        labels: BTreeMap::new(),
        priority: 0,
        priority_class: "system-node-critical".into(),
        restarts: 0,
        waiting: None,
        finalizers: Vec::new(),
        node_selector: BTreeMap::new(),
        tolerates_cordon: false,
        requests: crate::domain::placement::Amounts::default(),
        rules: None,
        created: None,
    }
}

fn member(id: u64, on: &str, term: u64) -> MemberRow {
    let status = MemberStatus {
        at: NOW,
        latency: Duration::from_millis(2),
        version: "3.6.5".into(),
        leader: 1,
        term,
        index: 500,
        applied: 500,
        db_size: 1000,
        db_in_use: 900,
        quota: Some(1_000_000),
        revision: 70,
        errors: Vec::new(),
        downgrading: false,
    };
    MemberRow {
        id,
        name: on.into(),
        node: Some(on.into()),
        learner: false,
        health: MemberHealth::Healthy,
        status: Some(status),
        lag: Some(0),
        peer_urls: Vec::new(),
    }
}

pub(super) fn view(term: u64) -> EtcdView {
    let members = vec![member(1, "cp-1", term), member(2, "cp-2", term), member(3, "cp-3", term)];
    EtcdView { at: NOW, cluster_id: Some(7), members, ..EtcdView::default() }
}

const ADDRESSES: [&str; 3] = ["10.0.0.11:6443", "10.0.0.12:6443", "10.0.0.13:6443"];

fn leader(component: &str, renewed: Stamp) -> Leader {
    Leader {
        component: component.into(),
        holder: "cp-1_0123".into(),
        renewed: Some(renewed),
        lasts: Duration::from_secs(15),
    }
}

fn nightly(succeeded: Option<Stamp>) -> ScheduledBackup {
    let (kind, namespace, name) = ("CronJob".into(), "ops".into(), "nightly".into());
    ScheduledBackup { kind, namespace, name, succeeded, ..ScheduledBackup::default() }
}

/// Demands a backup of the last day.
fn demanding() -> Settings {
    let mut settings = settings();
    settings.backup.max_age = Some(Duration::from_hours(25));
    settings
}

/// A cluster in which every gate passes, before a reboot of cp-2.
pub(super) fn scene() -> Scene {
    let rows = [("cp-1", 11), ("cp-2", 12), ("cp-3", 13)]
        .map(|(name, at)| NodeRow { address: Some(format!("10.0.0.{at}")), ..ready(name, "control-plane") });
    let masters =
        rows.iter().map(|row| pod(&format!("kube-apiserver-{}", row.name), row.name.as_str(), true));
    let pods = masters.chain([pod("proxy-1", "worker-1", false)]).collect();
    let nodes = rows.iter().cloned().chain([ready("worker-1", "worker")]);
    Scene {
        purpose: Purpose::Before { run: None, is_locked: false, lock: LockChoice::Take },
        at: NOW,
        node: Some("cp-2".into()),
        is_master: true,
        excused: std::collections::BTreeSet::new(),
        settings: demanding(),
        nodes: Ok(nodes.map(|row| (row.key(), row)).collect()),
        beats: Ok(()),
        pods: Ok(pods),
        clock: NOW,
        endpoints: Ok(ADDRESSES.map(|address| (address.to_owned(), Ok(Duration::from_millis(3)))).to_vec()),
        listed: Ok(ADDRESSES.map(str::to_owned).to_vec()),
        leaders: Ok(["kube-controller-manager", "kube-scheduler"].map(|name| leader(name, NOW)).to_vec()),
        daemons: Ok(Vec::new()),
        dns: Ok(Some((2, 2))),
        actors: Vec::new(),
        budgets: Some(Ok(Vec::new())),
        flaps: Some(Ok(BTreeMap::new())),
        backups: Ok(vec![nightly(Some(NOW))]),
        lease: Ok(None),
        etcd: Some(Samples { first: Ok(view(4)), second: Ok(view(4)) }),
        quorum_read: Some(Ok(Duration::from_millis(1))),
        hash: None,
        host: Some(Ok(HostFacts {
            at: NOW,
            boot_id: "boot-1".into(),
            machine_id: "machine-1".into(),
            uptime: Duration::from_hours(1),
            kernel: String::new(),
            os: String::new(),
        })),
        readiness: Some(Ok(HostReadiness { at: NOW, privilege: Privilege::Root, findings: Vec::new() })),
        rights: vec![Right { what: "patch nodes".into(), answer: Ok(None) }],
    }
}

/// The same after the reboot of cp-2.
pub(super) fn back(memory: Memory) -> Scene {
    let mut scene = scene();
    set(&mut scene, "cp-2", |row| row.boot_id = "boot-2".into());
    if let Some(Ok(facts)) = &mut scene.host {
        facts.boot_id = "boot-2".into();
    }
    scene.purpose = Purpose::Return { memory: Box::new(memory), steady: None, beside: BTreeSet::new() };
    let says = |member: &str| HashReading { member: member.into(), hash: 9, compacted: 1 };
    scene.hash = Some(Ok(vec![KeyspaceHash { revision: 70, readings: vec![says("cp-1"), says("cp-2")] }]));
    scene
}

pub(super) fn before() -> Memory {
    Memory {
        boot_before: Some("boot-1".into()),
        member_before: Some(MemberBefore {
            id: 2,
            cluster_id: Some(7),
            index: 480,
            revision: 7,
            cluster: String::new(),
        }),
        ..Memory::default()
    }
}

pub(super) fn set(scene: &mut Scene, name: &str, change: impl FnOnce(&mut NodeRow)) {
    change(scene.nodes.as_mut().unwrap().get_mut(&name.into()).unwrap());
}

pub(super) fn gone() -> Report {
    Report::new(FailureKind::Unreachable, "no answer")
}

/// The one gate that is not open, its verdict and its evidence.
pub(super) fn only_closed(scene: &Scene) -> (String, Verdict, String) {
    let gates = judge(scene);
    let closed = closed(&gates);
    assert_eq!(closed.len(), 1, "{closed:#?}");
    (closed[0].name.clone(), closed[0].verdict.clone(), closed[0].evidence.clone())
}

pub(super) fn fails(scene: &Scene, name: &str, words: &str) {
    let (closed, verdict, evidence) = only_closed(scene);
    assert_eq!((closed.as_str(), verdict), (name, Verdict::Failed), "{evidence}");
    assert!(evidence.contains(words), "{evidence}");
}

#[test]
fn a_healthy_cluster_passes_every_gate() {
    for scene in [scene(), back(before())] {
        let gates = judge(&scene);
        let is_fine = |gate: &Gate| gate.verdict == Verdict::Passed || gate.name == names::NETWORK;
        assert!(gates.iter().all(is_fine), "{gates:#?}");
    }
    let gates = judge(&Scene { node: None, purpose: Purpose::Check, ..scene() });
    assert!(closed(&gates).is_empty(), "{gates:#?}");
}

#[test]
fn plans_name_the_gates_that_are_judged() {
    let names = |scene: &Scene| judge(scene).into_iter().map(|gate| gate.name).collect::<Vec<_>>();
    assert_eq!(names(&scene()), [names::COMMON.as_slice(), &names::ETCD].concat());
    let mut after = names(&back(before()));
    let mut planned: Vec<String> =
        [names::RETURN.as_slice(), &names::ETCD_RETURN].concat().iter().map(|name| (*name).into()).collect();
    after.sort();
    planned.sort();
    assert_eq!(after, planned);
}

#[test]
fn what_does_not_answer_is_not_passed() {
    let silent = Scene {
        nodes: Err(gone()),
        pods: Err(gone()),
        endpoints: Err(gone()),
        backups: Err(gone()),
        lease: Err(gone()),
        etcd: Some(Samples { first: Err(gone()), second: Err(gone()) }),
        quorum_read: None,
        host: None,
        readiness: Some(Err(gone())),
        rights: vec![Right { what: "x".into(), answer: Err(gone()) }],
        ..scene()
    };
    let gates = judge(&silent);
    assert!(gates.iter().all(|gate| gate.verdict == Verdict::Unknown), "{gates:#?}");
    assert_eq!(closed(&gates).len(), gates.len());
}

#[test]
fn an_unreachable_api_server_is_no_broken_one_but_an_unready_one_is() {
    let mut scene = scene();
    let endpoints = scene.endpoints.as_mut().unwrap();
    endpoints[1].1 = Err(gone());
    let gates = judge(&scene);
    assert!(closed(&gates).is_empty(), "its kubelet vouches for it");
    assert!(gates[0].evidence.contains("not reachable from here"), "{}", gates[0].evidence);
    let report = Report::new(FailureKind::Refused, "etcd check failed");
    scene.endpoints.as_mut().unwrap()[2].1 = Err(report);
    fails(&scene, names::API, "10.0.0.13:6443 is not ready: etcd check failed");
}

#[test]
fn other_control_planes_must_be_ready_and_alive() {
    let mut away = scene();
    set(&mut away, "cp-3", |row| row.readiness = Readiness::Unknown);
    fails(&away, names::CONTROL_PLANES, "cp-3 does not report");
    let mut stale = scene();
    set(&mut stale, "cp-3", |row| row.heartbeat = Some(Stamp(NOW.0 - 41_000)));
    fails(&stale, names::CONTROL_PLANES, "cp-3 is called Ready, but its last sign of life is 41s old");
    let mut fine = scene();
    set(&mut fine, "cp-3", |row| row.heartbeat = Some(Stamp(NOW.0 - 39_000)));
    assert!(closed(&judge(&fine)).is_empty());
}

#[test]
fn a_clock_that_is_off_here_makes_nothing_stale() {
    let ahead = Scene { at: NOW.plus(Duration::from_hours(1)), ..scene() };
    assert!(closed(&judge(&ahead)).is_empty());
}

#[test]
fn another_host_than_the_node_is_noticed() {
    let mut scene = scene();
    if let Some(Ok(facts)) = &mut scene.host {
        facts.boot_id = "boot-9".into();
    }
    fails(&scene, names::HOST_IDENTITY, "the host says boot boot-9, the node says boot-1");
}

#[test]
fn what_speaks_against_a_reboot_on_the_host_closes_its_gate() {
    let mut scene = scene();
    let finding = |blocks| HostFinding { check: "kexec".into(), blocks, text: "a kernel is loaded".into() };
    let readiness =
        |blocks| HostReadiness { at: NOW, privilege: Privilege::Root, findings: vec![finding(blocks)] };
    scene.readiness = Some(Ok(readiness(false)));
    assert!(closed(&judge(&scene)).is_empty());
    scene.readiness = Some(Ok(readiness(true)));
    fails(&scene, names::HOST_READY, "a kernel is loaded");
}

#[test]
fn locks_of_others_close_the_gate_and_our_own_does_not() {
    let lease = LeaseRow {
        holder: "bob@laptop".into(),
        run: Some("r9".into()),
        step: Some("drain".into()),
        node: None,
        since: None,
        renewed: Some(NOW),
        lasts: Duration::from_mins(1),
        tombstone: None,
    };
    let held = Scene { lease: Ok(Some(lease)), ..scene() };
    fails(&held, names::LOCKS, "held by bob@laptop, run r9");
    let ours = Scene {
        purpose: Purpose::Before { run: Some("r9".into()), is_locked: true, lock: LockChoice::Take },
        ..held
    };
    assert!(closed(&judge(&ours)).is_empty());
    let removed = Scene { lease: Ok(None), ..ours.clone() };
    fails(&removed, names::LOCKS, "is not there any more: this run took the maintenance lock");
    let expired = Scene { at: NOW.plus(Duration::from_hours(1)), ..ours };
    let other = Some("r8".into());
    let taken =
        Scene { purpose: Purpose::Before { run: other, is_locked: true, lock: LockChoice::Take }, ..expired };
    fails(&taken, names::LOCKS, "(the maintenance lock) was lost to bob@laptop");
    let mut kured = scene();
    set(&mut kured, "cp-1", |row| row.foreign_locks.push("kured reboots it".into()));
    fails(&kured, names::LOCKS, "cp-1 is in use by kured reboots it");
}

#[test]
fn a_missing_right_is_named() {
    let why = Ok(Some("no rule allows it".to_owned()));
    let scene = Scene { rights: vec![Right { what: "create pods/eviction".into(), answer: why }], ..scene() };
    fails(&scene, names::RIGHTS, "create pods/eviction is missing: no rule allows it");
}

#[test]
fn static_pods_must_be_ready_on_every_control_plane() {
    let mut down = scene();
    down.pods.as_mut().unwrap()[0].ready = false;
    down.pods.as_mut().unwrap()[0].waiting = Some("CrashLoopBackOff".into());
    fails(&down, names::STATIC_PODS, "kube-apiserver-cp-1 is not Ready (CrashLoopBackOff)");
    let mut missing = scene();
    missing.pods.as_mut().unwrap().remove(2);
    fails(&missing, names::STATIC_PODS, "kube-apiserver is missing on cp-3");
    let none = Scene { pods: Ok(Vec::new()), ..scene() };
    assert!(closed(&judge(&none)).is_empty(), "a distribution without static pods");
}

#[test]
fn critical_pods_that_were_off_before_are_not_held_against_the_return() {
    let off = |memory| {
        let mut scene = back(memory);
        scene.pods.as_mut().unwrap()[3].ready = false;
        scene
    };
    fails(&off(before()), names::CRITICAL_PODS, "kube-system/proxy-1 is not Ready");
    let known = Baseline::of(&off(before()));
    assert!(closed(&judge(&off(Memory { baseline: known, ..before() }))).is_empty());
}

#[test]
fn a_return_needs_another_boot_by_both_words() {
    let mut same = back(before());
    set(&mut same, "cp-2", |row| row.boot_id = "boot-1".into());
    fails(&same, names::BOOT, "the node still reports boot boot-1");
}

#[test]
fn the_last_look_judges_the_node_itself() {
    let mut away = scene();
    away.purpose = Purpose::Settle { memory: Box::new(before()), beside: BTreeSet::new() };
    assert!(closed(&judge(&away)).is_empty());
    set(&mut away, "cp-2", |row| row.readiness = Readiness::NotReady);
    fails(&away, names::TARGET, "cp-2 is not Ready");
}

#[test]
fn a_login_of_doubtful_rights_leaves_the_host_unknown() {
    let with = |privilege, findings| Scene {
        readiness: Some(Ok(HostReadiness { at: NOW, privilege, findings })),
        ..scene()
    };
    let doubtful = || Privilege::Doubtful("a password is required".into());
    let (name, verdict, evidence) = only_closed(&with(doubtful(), Vec::new()));
    assert_eq!((name.as_str(), verdict), (names::HOST_READY, Verdict::Unknown));
    assert!(evidence.contains("a password is required") && !evidence.contains("allows"), "{evidence}");
    let finding = HostFinding { check: "inhibitor".into(), blocks: true, text: "inhibited".into() };
    fails(&with(doubtful(), vec![finding]), names::HOST_READY, "inhibited");
    for privilege in [Privilege::Root, Privilege::Sudo, Privilege::RebootOnly] {
        assert!(closed(&judge(&with(privilege, Vec::new()))).is_empty());
    }
}

#[test]
fn without_the_kubelets_leases_nobody_is_called_stale() {
    let mut scene = scene();
    scene.beats = Err(Report::new(FailureKind::Forbidden, "leases is forbidden"));
    set(&mut scene, "cp-3", |row| row.heartbeat = Some(Stamp(NOW.0 - 200_000)));
    let gates = judge(&scene);
    for name in [names::TARGET, names::CONTROL_PLANES] {
        let gate = gates.iter().find(|gate| gate.name == name).unwrap();
        assert_eq!(gate.verdict, Verdict::Unknown);
        assert!(gate.evidence.starts_with("node leases cannot be read: "), "{}", gate.evidence);
    }
    set(&mut scene, "cp-3", |row| row.readiness = Readiness::NotReady);
    let gates = judge(&scene);
    let gate = gates.iter().find(|gate| gate.name == names::CONTROL_PLANES).unwrap();
    assert_eq!(gate.verdict, Verdict::Failed);
    assert_eq!(gate.evidence, "cp-3 is not Ready");
}

#[test]
fn a_scheduled_backup_is_held_against_the_age_that_is_demanded() {
    let backup = nightly;
    let hours = |n: u64| Duration::from_hours(n);
    let judged = |backups, max_age| {
        let mut scene = scene();
        scene.clock = Stamp(0).plus(hours(100));
        scene.backups = backups;
        scene.settings.backup.max_age = max_age;
        super::backups::backups(&scene)
    };
    let at = |n: u64| Some(Stamp(0).plus(hours(n)));
    let away = Err(Report::new(FailureKind::Forbidden, "may not list jobs"));
    let is = |backups, max_age, verdict: &Verdict, words: &str| {
        let gate = judged(backups, max_age);
        let said = format!("{} {:?}", gate.evidence, gate.offenders);
        assert!(gate.verdict == *verdict && said.contains(words), "{:?} {said}", gate.verdict);
    };
    let limit = Some(hours(25));
    is(Ok(vec![backup(at(80)), backup(None)]), limit, &Verdict::Passed, "ops/nightly succeeded 20h ago");
    is(Ok(vec![backup(at(70))]), limit, &Verdict::Failed, "succeeded 30h ago");
    is(Ok(vec![backup(None)]), limit, &Verdict::Failed, "has not succeeded yet");
    is(Ok(Vec::new()), limit, &Verdict::Failed, "no Job or CronJob that is known");
    is(away.clone(), limit, &Verdict::Unknown, "may not list jobs");
    is(away, None, &Verdict::NotApplicable, "cannot be read");
    is(Ok(vec![backup(at(70))]), None, &Verdict::NotApplicable, "no age is demanded; ops/nightly succeeded");
    is(Ok(Vec::new()), None, &Verdict::NotApplicable, "no Job or CronJob is known");
}
