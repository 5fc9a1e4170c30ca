//! Rows and models for tests of the core and the view.

use super::model::{Model, Setup};
use super::msg::Msg;
use super::update::update;
use crate::domain::budget::{Amount, BudgetRow, Demand, UnhealthyPolicy};
use crate::domain::etcd::{EtcdView, MemberHealth, MemberRow, MemberStatus};
use crate::domain::feed::{Delta, Observation};
use crate::domain::ids::{BudgetKey, Generation, NodeName, PodKey};
use crate::domain::log::{Level, LogLine, Origin};
use crate::domain::node::{NodeRow, Readiness};
use crate::domain::pod::{Owner, Phase, PodRow};
use crate::domain::selector::Selector;
use crate::domain::time::Stamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// When the samples are: 2025-11-20 09:00:00 UTC.
pub const NOW: Stamp = Stamp(1_763_629_200_000);

/// A node that is Ready and schedulable; `cp-*` are control planes.
pub fn node(name: &str) -> NodeRow {
    let is_control_plane = name.starts_with("cp-");
    NodeRow {
        name: name.into(),
        uid: format!("uid-{name}"),
        roles: vec![if is_control_plane { "control-plane" } else { "worker" }.to_owned()],
        readiness: Readiness::Ready,
        ready_since: Some(Stamp(NOW.0 - 86_400_000)),
        heartbeat: Some(NOW),
        cordoned: false,
        cordon: None,
        pressure: Vec::new(),
        version: "v1.34.2".to_owned(),
        kernel: "6.1.0-26-amd64".to_owned(),
        os_image: "Debian GNU/Linux 12".to_owned(),
        boot_id: format!("boot-{name}"),
        machine_id: format!("machine-{name}"),
        address: Some("10.0.0.1".to_owned()),
        addresses: Vec::new(),
        created: Some(Stamp(NOW.0 - 30 * 86_400_000)),
        booted: Some(Stamp(NOW.0 - 9 * 86_400_000)),
        pod_capacity: Some(110),
        allocatable: None,
        taints: Vec::new(),
        labels: BTreeMap::new(),
        foreign_locks: Vec::new(),
    }
}

/// A Ready pod of a `ReplicaSet`, labelled `app=APP`.
pub fn pod(namespace: &str, app: &str, number: usize, on: &str) -> PodRow {
    let name = format!("{app}-{number}");
    PodRow {
        key: PodKey { namespace: namespace.to_owned(), uid: format!("uid-{name}"), name },
        node: Some(on.into()),
        phase: Phase::Running,
        ready: true,
        deleting: None,
        grace_secs: 30,
        owner: Some(Owner {
            api_version: "apps/v1".to_owned(),
            kind: "ReplicaSet".to_owned(),
            name: app.to_owned(),
            uid: format!("uid-{app}"),
        }),
        mirror: false,
        manifest: None,
        empty_dirs: Vec::new(),
        claims: Vec::new(),
        labels: BTreeMap::from([("app".to_owned(), app.to_owned())]),
        priority: 0,
        priority_class: String::new(),
        restarts: 0,
        waiting: None,
        finalizers: Vec::new(),
        node_selector: BTreeMap::new(),
        tolerates_cordon: false,
        requests: crate::domain::placement::Amounts::default(),
        rules: None,
        created: Some(Stamp(NOW.0 - 3_600_000)),
    }
}

/// A budget over `app=NAME`.
pub fn budget(namespace: &str, name: &str, min: i32, healthy: i32) -> BudgetRow {
    BudgetRow {
        key: BudgetKey { namespace: namespace.to_owned(), name: name.to_owned() },
        uid: format!("uid-{name}"),
        demand: Demand::MinAvailable(Amount::Pods(min)),
        selector: Selector {
            labels: BTreeMap::from([("app".to_owned(), name.to_owned())]),
            ..Selector::default()
        },
        unhealthy: UnhealthyPolicy::IfHealthyBudget,
        allowed: (healthy - min).max(0),
        healthy,
        desired: min,
        expected: healthy,
        generation: 1,
        observed: 1,
        disrupted: Vec::new(),
        sync_failed: None,
    }
}

/// A healthy member on a node; the first one leads.
pub fn member(id: u64, on: &str) -> MemberRow {
    MemberRow {
        id,
        name: on.to_owned(),
        node: Some(on.into()),
        learner: false,
        health: MemberHealth::Healthy,
        status: Some(MemberStatus {
            at: NOW,
            latency: Duration::from_millis(2),
            version: "3.6.5".to_owned(),
            leader: 1,
            term: 4,
            index: 1_000,
            applied: 1_000,
            db_size: 21_390_000,
            db_in_use: 9_000_000,
            quota: None,
            revision: 900,
            errors: Vec::new(),
            downgrading: false,
        }),
        lag: Some(0),
        peer_urls: Vec::new(),
    }
}

/// Three healthy members.
pub fn etcd() -> EtcdView {
    EtcdView {
        at: NOW,
        cluster_id: Some(7),
        access: "direct".to_owned(),
        members: vec![member(1, "cp-1"), member(2, "cp-2"), member(3, "cp-3")],
        ..EtcdView::default()
    }
}

/// A log line.
pub fn line(level: &str, on: &str, text: &str) -> LogLine {
    let level = match level {
        "error" => Level::Error,
        "warn" => Level::Warn,
        _ => Level::Info,
    };
    LogLine {
        at: NOW,
        level,
        origin: Origin::System,
        op: None,
        node: Some(NodeName::from(on)),
        text: text.to_owned(),
    }
}

/// A joined console on three control planes and two workers (one cordoned, one not Ready), two budgets, some pods.
pub fn model() -> Model {
    let mut model = Model::new(Setup::default(), (120, 40), NOW);
    let cordoned = NodeRow { cordoned: true, ..node("worker-1") };
    let broken = NodeRow { readiness: Readiness::NotReady, ..node("worker-2") };
    let nodes = vec![node("cp-1"), node("cp-2"), node("cp-3"), cordoned, broken];
    let pods = vec![
        pod("team-a", "api", 1, "worker-1"),
        pod("team-b", "web", 1, "worker-1"),
        pod("team-b", "web", 2, "worker-2"),
        pod("team-b", "web", 3, "cp-1"),
    ];
    let budgets = vec![budget("team-b", "web", 2, 3), budget("team-a", "api", 1, 1)];
    let first = Generation(1);
    for msg in [
        Msg::Joined(first, "lab".to_owned()),
        Msg::Seen(first, Observation::Nodes(Delta::Reset(nodes))),
        Msg::Seen(first, Observation::Pods(vec![Delta::Reset(pods)])),
        Msg::Seen(first, Observation::Budgets(Delta::Reset(budgets))),
        Msg::Seen(first, Observation::Version("v1.34.2".to_owned())),
        Msg::Etcd(first, etcd()),
    ] {
        update(&mut model, msg);
    }
    model
}

/// A reboot of an earlier process that stopped in the drain.
pub fn orphan(node: &str) -> crate::console::msg::Orphan {
    crate::console::msg::Orphan {
        run: format!("reboot-{node}").into(),
        brief: format!("{node} is cordoned"),
        words: "stopped at drain, in lab, by ann@desk".into(),
        left: vec![format!("{node} is cordoned by this run: kubectl uncordon {node}")],
        now: Vec::new(),
        at: NOW,
        context: "lab".into(),
        holder: "ann@desk".into(),
        request: crate::domain::guard::Request {
            kind: crate::domain::plan::Kind::Reboot,
            nodes: vec![node.into()],
            drain: crate::domain::config::DrainOptions::default(),
            blocked: false,
            lock: crate::domain::lock::LockChoice::Take,
            resolve: None,
            roll: None,
        },
        has_asked: false,
        undo: vec![format!(
            "make {node} schedulable again, if this run cordoned it (kubectl uncordon {node})"
        )],
        obstacle: None,
    }
}
