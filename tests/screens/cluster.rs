//! A cluster of three control planes and five workers at three in the morning.

use super::{NOW, ago, send};
use pitstop::console::model::{Model, Setup};
use pitstop::console::msg::Msg;
use pitstop::domain::budget::{Amount, BudgetRow, Demand, UnhealthyPolicy};
use pitstop::domain::config::Policy;
use pitstop::domain::etcd::{EtcdView, MemberHealth, MemberRow, MemberStatus};
use pitstop::domain::feed::{Delta, Liveness, Observation, Source};
use pitstop::domain::ids::{BudgetKey, Generation, NodeName, PodKey};
use pitstop::domain::log::{Level, LogLine, Origin};
use pitstop::domain::node::{CordonNote, NodeRow, Readiness};
use pitstop::domain::pod::{Owner, Phase, PodRow};
use pitstop::domain::report::{FailureKind, Report};
use pitstop::domain::selector::Selector;
use std::collections::BTreeMap;
use std::time::Duration;

/// The first connection.
pub const FIRST: Generation = Generation(1);
const DAY: i64 = 86_400;

/// A Ready node.
pub fn node(name: &str) -> NodeRow {
    let control_plane = name.starts_with("cp-");
    NodeRow {
        name: name.into(),
        uid: format!("uid-{name}"),
        roles: vec![if control_plane { "control-plane" } else { "worker" }.to_owned()],
        readiness: Readiness::Ready,
        ready_since: Some(ago(12 * DAY)),
        heartbeat: Some(ago(4)),
        cordoned: false,
        cordon: None,
        pressure: Vec::new(),
        version: "v1.34.2".to_owned(),
        kernel: "6.1.0-40-amd64".to_owned(),
        os_image: "Debian GNU/Linux 12".to_owned(),
        boot_id: format!("boot-{name}"),
        machine_id: format!("machine-{name}"),
        address: Some("10.1.4.11".to_owned()),
        created: Some(ago(212 * DAY)),
        booted: control_plane.then(|| ago(41 * DAY)),
        pod_capacity: Some(110),
        allocatable: None,
        taints: Vec::new(),
        labels: BTreeMap::new(),
        addresses: Vec::new(),
        foreign_locks: Vec::new(),
    }
}

fn nodes() -> Vec<NodeRow> {
    let cordoned = NodeRow {
        cordoned: true,
        cordon: Some(CordonNote {
            run: None,
            holder: "anna@bastion-2".to_owned(),
            since: Some(ago(3 * 3600 + 240)),
            reason: Some("disk replacement".to_owned()),
            prior_cordoned: None,
        }),
        ..node("worker-2")
    };
    let pressed = NodeRow { pressure: vec!["Memory".to_owned()], ..node("worker-3") };
    let broken = NodeRow { readiness: Readiness::NotReady, ready_since: Some(ago(840)), ..node("worker-4") };
    let silent = NodeRow {
        readiness: Readiness::Unknown,
        heartbeat: Some(ago(97)),
        foreign_locks: vec!["kured holds it for a reboot".to_owned()],
        ..node("worker-5")
    };
    vec![node("cp-1"), node("cp-2"), node("cp-3"), node("worker-1"), cordoned, pressed, broken, silent]
}

/// A Ready pod of a `ReplicaSet`, labelled `app=APP`.
pub fn pod(namespace: &str, app: &str, number: usize, on: &str) -> PodRow {
    let name = format!("{app}-6d4cf56db6-{}", ["x7k2p", "9sqlm", "tw4zd", "c8v5n", "hj6rb"][number % 5]);
    PodRow {
        key: PodKey {
            namespace: namespace.to_owned(),
            name: name.clone(),
            uid: format!("{name}-{number}-{on}"),
        },
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
        requests: pitstop::domain::placement::Amounts::default(),
        rules: None,
        created: Some(ago(5 * 3600)),
    }
}

fn pods() -> Vec<PodRow> {
    let spread = [
        ("payments", "api", vec!["cp-1", "worker-1", "worker-3"]),
        ("payments", "ledger", vec!["cp-1"]),
        ("web", "cart", vec!["worker-1", "worker-4", "worker-3"]),
        ("web", "front", vec!["worker-1", "worker-1", "worker-2", "worker-3", "cp-1"]),
        ("kube-system", "coredns", vec!["cp-2", "cp-3"]),
        ("monitoring", "prometheus", vec!["worker-3"]),
        ("batch", "report", vec!["worker-1", "worker-5", "cp-1"]),
    ];
    spread
        .iter()
        .flat_map(|(namespace, app, nodes)| {
            nodes.iter().enumerate().map(|(number, on)| {
                // the node controller takes readiness from the pods of nodes that are not Ready
                let ready = !matches!(*on, "worker-4" | "worker-5");
                PodRow { ready, ..pod(namespace, app, number, on) }
            })
        })
        .collect()
}

/// A budget over `app=NAME`: `demand`, then healthy, desired, expected, allowed.
fn budget(namespace: &str, name: &str, demand: Demand, figures: [i32; 4]) -> BudgetRow {
    let [healthy, desired, expected, allowed] = figures;
    BudgetRow {
        key: BudgetKey { namespace: namespace.to_owned(), name: name.to_owned() },
        uid: format!("uid-{name}"),
        demand,
        selector: Selector {
            labels: BTreeMap::from([("app".to_owned(), name.to_owned())]),
            ..Selector::default()
        },
        unhealthy: UnhealthyPolicy::IfHealthyBudget,
        allowed,
        healthy,
        desired,
        expected,
        generation: 1,
        observed: 1,
        disrupted: Vec::new(),
        sync_failed: None,
    }
}

fn budgets() -> Vec<BudgetRow> {
    let min = |count| Demand::MinAvailable(Amount::Pods(count));
    let most = |share| Demand::MaxUnavailable(Amount::Percent(share));
    let stale =
        BudgetRow { generation: 3, observed: 2, ..budget("monitoring", "prometheus", min(1), [1, 1, 1, 0]) };
    vec![
        budget("payments", "api", min(2), [3, 2, 3, 1]),
        budget("payments", "ledger", min(1), [1, 1, 1, 0]),
        budget("web", "cart", min(2), [2, 2, 3, 0]),
        budget("web", "front", most(25), [5, 3, 5, 2]),
        budget("kube-system", "coredns", min(1), [2, 1, 2, 1]),
        stale,
    ]
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
            at: ago(2),
            latency: Duration::from_millis(3 + id),
            version: "3.6.5".to_owned(),
            leader: 1,
            term: 14,
            index: 918_220,
            applied: 918_220 - id,
            db_size: 78_400_000,
            db_in_use: 31_900_000,
            quota: None,
            revision: 700_212,
            errors: Vec::new(),
            downgrading: false,
        }),
        lag: Some(id - 1),
        peer_urls: Vec::new(),
    }
}

/// Three healthy members.
pub fn etcd() -> EtcdView {
    EtcdView {
        at: ago(2),
        cluster_id: Some(0x9f3a),
        access: "ssh".to_owned(),
        members: vec![member(1, "cp-1"), member(2, "cp-2"), member(3, "cp-3")],
        ..EtcdView::default()
    }
}

/// The same after the leadership moved to another member.
pub fn etcd_led_by(leader: u64) -> EtcdView {
    let mut view = etcd();
    for status in view.members.iter_mut().filter_map(|member| member.status.as_mut()) {
        (status.leader, status.term) = (leader, 15);
    }
    view
}

fn line(secs: i64, level: Level, origin: Origin, on: &str, text: &str) -> LogLine {
    LogLine { at: ago(secs), level, origin, op: None, node: Some(NodeName::from(on)), text: text.to_owned() }
}

/// A console that has just been started.
pub fn connecting() -> Model {
    Model::new(Setup::default(), (120, 40), NOW)
}

/// Everything known, all sources alive.
pub fn connected() -> Model {
    let mut model = known();
    send(&mut model, Msg::Tick(NOW));
    model
}

/// The same, and the clock still stands 15 minutes before [`NOW`].
pub fn known() -> Model {
    let setup = Setup { policy: Policy::default(), ..Setup::default() };
    let mut model = Model::new(setup, (120, 40), ago(900));
    let live = |secs| Liveness::Live(ago(secs));
    let events = [
        line(
            851,
            Level::Warn,
            Origin::Event,
            "worker-4",
            "NodeNotReady: kubelet stopped posting node status",
        ),
        line(790, Level::Info, Origin::Event, "worker-3", "NodeHasInsufficientMemory"),
        line(
            761,
            Level::Error,
            Origin::Event,
            "worker-4",
            "FailedMount: payments/ledger-6d4cf56db6-x7k2p: volume pvc-31c0 is attached to another node",
        ),
    ];
    let mut msgs = vec![
        Msg::Joined(FIRST, "eu-west-prod-1".to_owned()),
        Msg::Seen(FIRST, Observation::Version("v1.34.2".to_owned())),
        Msg::Seen(FIRST, Observation::Nodes(Delta::Reset(nodes()))),
        Msg::Seen(FIRST, Observation::Pods(vec![Delta::Reset(pods())])),
        Msg::Seen(FIRST, Observation::Budgets(Delta::Reset(budgets()))),
        Msg::Source(FIRST, Source::Api, live(1)),
        Msg::Etcd(FIRST, etcd()),
        Msg::Source(FIRST, Source::Etcd, live(2)),
        Msg::Source(FIRST, Source::Ssh, live(9)),
    ];
    msgs.extend(events.map(|line| Msg::Seen(FIRST, Observation::Event(line))));
    for msg in msgs {
        send(&mut model, msg);
    }
    model
}

/// The API went away 37 seconds ago, and with it one etcd member; the rest is of then.
pub fn unreachable() -> Model {
    let mut model = connected();
    let mut view = etcd_led_by(2);
    let silent = Report::new(FailureKind::Timeout, "no answer within 2 s");
    view.members[0].health = MemberHealth::Silent(silent);
    view.members[0].lag = None;
    let report =
        Report::new(FailureKind::Unreachable, "the API server at https://10.1.4.11:6443 does not answer")
            .because("connection refused")
            .hint("pitstop keeps trying; is the node up?");
    let msgs = [
        Msg::Source(FIRST, Source::Api, Liveness::Failing { last: Some(ago(37)), report }),
        Msg::Etcd(FIRST, view),
        Msg::Source(FIRST, Source::Etcd, Liveness::Live(ago(19))),
        Msg::Source(FIRST, Source::Ssh, Liveness::Absent("no SSH user is configured".to_owned())),
        Msg::LogDropped(37),
    ];
    for msg in msgs {
        send(&mut model, msg);
    }
    model
}

/// Nothing answers from the start, and the context has a long name.
pub fn refused() -> Model {
    let setup = Setup {
        policy: Policy { read_only: true, protected: vec!["*prod*".to_owned()], context: String::new() },
        demo: Some("demo: default, speed 10".to_owned()),
        ..Setup::default()
    };
    let mut model = Model::new(setup, (120, 40), NOW);
    let context = "gke_acme-platform-production_europe-west1-b_customers-blue".to_owned();
    let report = Report::new(FailureKind::Unauthorized, "the API server did not accept the token")
        .hint("run the login of your cluster again, then ctrl-r");
    let msgs = [
        Msg::Joined(FIRST, context),
        Msg::Source(FIRST, Source::Api, Liveness::Failing { last: None, report }),
        Msg::Source(FIRST, Source::Etcd, Liveness::Absent("the nodes are not known yet".to_owned())),
        Msg::Source(FIRST, Source::Ssh, Liveness::Absent("no SSH user is configured".to_owned())),
    ];
    for msg in msgs {
        send(&mut model, msg);
    }
    model
}
