//! Runs in several states, as their events tell them.

use super::cluster::{FIRST, etcd_led_by, known};
use super::{NOW, ago, send};
use pitstop::console::model::Model;
use pitstop::console::msg::Msg;
use pitstop::domain::config::DrainOptions;
use pitstop::domain::feed::{Delta, Observation};
use pitstop::domain::gate::{Gate, Verdict};
use pitstop::domain::ids::{NodeName, OpId, RunId};
use pitstop::domain::lock::LeaseRow;
use pitstop::domain::lock::LockChoice;
use pitstop::domain::node::{CordonNote, NodeRow};
use pitstop::domain::plan::{Kind, Plan, Step, StepKind};
use pitstop::domain::report::{FailureKind, Report};
use pitstop::domain::run::{Outcome, Progress, RunChange, RunEvent, RunState};
use pitstop::domain::time::Stamp;
use std::time::Duration;

const OP: OpId = OpId(7);
const NODE: &str = "cp-1";

fn run_id() -> RunId {
    RunId::from("reboot-cp-1-20261120T030731-9f3a")
}

/// Kind, what it does, the command, gates, undo.
type Row = (StepKind, &'static str, &'static str, &'static [&'static str], Option<&'static str>);

const STEPS: [Row; 16] = [
    (
        StepKind::Preflight,
        "read every gate before cp-1 is touched",
        "pitstop check",
        &["nodes-ready", "etcd-quorum", "etcd-settled"],
        None,
    ),
    (
        StepKind::Lock,
        "take the maintenance lock (Lease kube-system/pitstop) as anna@bastion-2",
        "kubectl -n kube-system create lease pitstop",
        &[],
        Some("give the lock back"),
    ),
    (
        StepKind::Backup,
        "take an etcd snapshot from a member that is not on cp-1, verify it, and store it in ~/snapshots",
        "etcdctl snapshot save etcd-cp-2.db",
        &["etcd-quorum"],
        None,
    ),
    (
        StepKind::Predict,
        "predict for each pod of cp-1 whether it moves, stays or is blocked",
        "kubectl drain cp-1 --dry-run=server",
        &[],
        None,
    ),
    (
        StepKind::Cordon,
        "make cp-1 unschedulable, and note on it who did and what it was before",
        "kubectl cordon cp-1",
        &[],
        Some("kubectl uncordon cp-1"),
    ),
    (
        StepKind::MoveLeader,
        "move the etcd leadership away from cp-1, if it leads",
        "etcdctl move-leader",
        &["etcd-quorum"],
        None,
    ),
    (
        StepKind::Drain,
        "evict 12 pods of cp-1, and wait until they are gone",
        "kubectl drain cp-1 --ignore-daemonsets --timeout=30m",
        &["nodes-ready", "etcd-quorum"],
        None,
    ),
    (
        StepKind::Residual,
        "only DaemonSet and mirror pods are left on cp-1, and its volumes are detached",
        "kubectl get pods -A --field-selector spec.nodeName=cp-1",
        &[],
        None,
    ),
    (
        StepKind::Recheck,
        "read every gate again, fresh, before cp-1 is rebooted",
        "pitstop check",
        &["nodes-ready", "etcd-quorum", "etcd-settled"],
        None,
    ),
    (
        StepKind::Reboot,
        "ask the host of cp-1 to reboot, once",
        "ssh cp-1 sudo -n /usr/bin/systemctl reboot",
        &["nodes-ready", "etcd-quorum", "etcd-settled", "backup-off-node"],
        None,
    ),
    (
        StepKind::Down,
        "cp-1 stops answering within 5m (or has a new boot id already)",
        "ssh cp-1 cat /proc/sys/kernel/random/boot_id",
        &[],
        None,
    ),
    (
        StepKind::Back,
        "the boot id of cp-1 changes and the node is Ready within 15m",
        "kubectl wait --for=condition=Ready node/cp-1",
        &[],
        None,
    ),
    (
        StepKind::Verify,
        "the gates of the return pass twice, 10s apart",
        "pitstop check",
        &["static-pods", "etcd-member"],
        None,
    ),
    (
        StepKind::Uncordon,
        "make cp-1 schedulable again, only if this run cordoned it",
        "kubectl uncordon cp-1",
        &[],
        None,
    ),
    (
        StepKind::Settle,
        "wait 30s, then look at cp-1 and the control plane once more",
        "sleep 30",
        &["nodes-ready"],
        None,
    ),
    (
        StepKind::Unlock,
        "give the maintenance lock back",
        "kubectl -n kube-system delete lease pitstop",
        &[],
        None,
    ),
];

fn step(row: &Row) -> Step {
    let (kind, what, command, gates, undo) = row;
    let unchecked = match kind {
        StepKind::Backup => vec!["/etc/kubernetes/pki is not saved yet".to_owned()],
        StepKind::Residual => vec!["volumes that are mounted outside of Kubernetes".to_owned()],
        _ => Vec::new(),
    };
    Step {
        kind: *kind,
        node: Some(NodeName::from(NODE)),
        what: (*what).to_owned(),
        command: (*command).to_owned(),
        gates: gates.iter().map(|gate| (*gate).to_owned()).collect(),
        timeout: Duration::from_mins(30),
        not_applicable: None,
        debt: None,
        may_skip: matches!(kind, StepKind::Predict | StepKind::MoveLeader | StepKind::Settle),
        undo: undo.map(str::to_owned),
        unchecked,
    }
}

pub fn tell(model: &mut Model, at: Stamp, change: RunChange) {
    send(model, Msg::Run(RunEvent { op: OP, run: run_id(), at, change }));
}

/// How the steps before the drain end.
const ENDINGS: [(u64, &str); 16] = [
    (1_840, "12 gates passed"),
    (38, "held by anna@bastion-2"),
    (74_210, "78.4 MiB from cp-2, verified: 700,212 revisions"),
    (310, "12 pods move, 9 stay, 2 wait for budgets"),
    (120, "was schedulable before"),
    (640, "cp-2 leads now"),
    (221_000, "12 pods moved"),
    (402, "9 DaemonSet and mirror pods left"),
    (1_210, "12 gates passed"),
    (890, "asked over SSH"),
    (9_300, "SSH closed"),
    (81_000, "boot id changed, Ready"),
    (22_000, "passed twice"),
    (95, "schedulable again"),
    (30_000, "as it was found"),
    (41, "given back"),
];

/// The gates that a step reads.
fn gate(name: &str) -> Gate {
    let (asks, evidence) = match name {
        "nodes-ready" => ("every other control-plane node is Ready", "cp-2 and cp-3 are Ready"),
        "etcd-quorum" => (
            "etcd keeps its quorum without cp-1",
            "3 of 3 voters healthy; without cp-1 2 are left, 2 are needed",
        ),
        "backup-off-node" => ("the snapshot is verified and off the node", "etcd-cp-2-0306.db, 1m40s old"),
        "static-pods" => ("the static pods of cp-1 are Running and Ready", "4 of 4"),
        "etcd-member" => ("the member on cp-1 has caught up", "3 entries behind"),
        _ => ("etcd has settled", "no alarm, nobody lags, one leader"),
    };
    Gate::new(name, asks, Verdict::Passed, evidence, ago(6))
}

/// Begins the run and ends its first `done` steps; the cluster moves along.
fn advanced(done: usize) -> Model {
    let mut model = known();
    let spent: u64 = ENDINGS[..done].iter().map(|(took, _)| took + 4_000).sum();
    let mut at = Stamp(NOW.0 - i64::try_from(spent).unwrap() - 110_000);
    let steps = STEPS.iter().map(step).collect();
    let plan = Plan {
        kind: Kind::Reboot,
        nodes: vec![NODE.into()],
        steps,
        drain: DrainOptions::default(),
        lock: LockChoice::Take,
        resolve: None,
        roll: None,
        parent: None,
    };
    tell(&mut model, at, RunChange::Planned { plan });
    for (index, (took_ms, words)) in ENDINGS[..done].iter().enumerate() {
        at = at.plus(Duration::from_secs(4));
        send(&mut model, Msg::Tick(at));
        tell(&mut model, at, RunChange::StepStarted { step: index, attempt: 1 });
        for name in STEPS[index].3 {
            tell(&mut model, at, RunChange::GateRead { step: index, gate: gate(name) });
        }
        at = at.plus(Duration::from_millis(*took_ms));
        send(&mut model, Msg::Tick(at));
        moved_along(&mut model, STEPS[index].0);
        let outcome = Outcome::Done((*words).to_owned());
        tell(&mut model, at, RunChange::StepEnded { step: index, outcome, took_ms: *took_ms });
    }
    send(&mut model, Msg::Tick(NOW));
    model
}

/// What the cluster looks like after a step.
fn moved_along(model: &mut Model, kind: StepKind) {
    let cordon = CordonNote {
        run: Some(run_id()),
        holder: "anna@bastion-2".to_owned(),
        since: Some(model.now),
        reason: Some("reboot".to_owned()),
        prior_cordoned: Some(false),
    };
    let lease = LeaseRow {
        holder: "anna@bastion-2".to_owned(),
        run: Some(run_id()),
        step: None,
        node: Some(NODE.into()),
        since: Some(model.now),
        renewed: Some(ago(3)),
        lasts: Duration::from_secs(30),
        tombstone: None,
    };
    let row = model.known.nodes[&NODE.into()].clone();
    let seen = match kind {
        StepKind::Lock => Observation::Lock(Some(lease)),
        StepKind::Unlock => Observation::Lock(None),
        StepKind::Cordon => {
            Observation::Nodes(Delta::Upsert(NodeRow { cordoned: true, cordon: Some(cordon), ..row }))
        }
        StepKind::Back => {
            Observation::Nodes(Delta::Upsert(NodeRow { boot_id: "b7e0-41c2".to_owned(), ..row }))
        }
        StepKind::Uncordon => {
            Observation::Nodes(Delta::Upsert(NodeRow { cordoned: false, cordon: None, ..row }))
        }
        StepKind::Drain => {
            let gone = model.known.pods.values().filter(|pod| pod.node == Some(NODE.into()));
            Observation::Pods(gone.cloned().map(Delta::Remove).collect())
        }
        StepKind::MoveLeader => {
            send(model, Msg::Etcd(FIRST, etcd_led_by(2)));
            return;
        }
        _ => return,
    };
    send(model, Msg::Seen(FIRST, seen));
}

fn state(model: &mut Model, state: RunState, automatic: bool) {
    tell(model, ago(12), RunChange::State { state, automatic });
}

/// Six steps done, the drain waits for its confirmation.
pub fn waiting() -> Model {
    let mut model = advanced(6);
    for name in STEPS[6].3 {
        tell(&mut model, ago(12), RunChange::GateRead { step: 6, gate: gate(name) });
    }
    state(&mut model, RunState::Waiting, false);
    model
}

/// Nine steps done, the reboot waits for its confirmation.
pub fn before_reboot() -> Model {
    let mut model = advanced(9);
    for name in STEPS[9].3 {
        tell(&mut model, ago(12), RunChange::GateRead { step: 9, gate: gate(name) });
    }
    state(&mut model, RunState::Waiting, false);
    model
}

/// The drain is under way, two pods are blocked by a budget.
pub fn draining() -> Model {
    let mut model = advanced(6);
    state(&mut model, RunState::Running, true);
    tell(&mut model, ago(102), RunChange::StepStarted { step: 6, attempt: 2 });
    for name in STEPS[6].3 {
        tell(&mut model, ago(12), RunChange::GateRead { step: 6, gate: gate(name) });
    }
    let progress = Progress {
        text: "5 of 12 pods gone, 1 terminating, 6 waiting; 1 pod will not go by itself".to_owned(),
        done: Some(5),
        total: Some(12),
        moved: Some(6),
        deadline: Some(NOW.plus(Duration::from_secs(190))),
        items: vec![
            "payments/ledger-6d4cf56db6-x7k2p: blocked by budget payments/ledger: needs 1 of 1: no pod to spare"
                .to_owned(),
            "web/cart-6d4cf56db6-9sqlm: waiting for budget web/cart (needs 3, has 3)".to_owned(),
            "web/front-5c9f4bd7c-2hxqp: terminating, 24s of grace left".to_owned(),
        ],
        ended: vec!["web/front-5c9f4bd7c-tt8lm: gone; front-5c9f4bd7c-qk4zz runs on worker-3, Ready".to_owned()],
    };
    tell(&mut model, ago(1), RunChange::Progressed { step: 6, progress });
    model
}

/// The node is away.
pub fn rebooting() -> Model {
    let mut model = advanced(11);
    state(&mut model, RunState::Running, false);
    tell(&mut model, ago(71), RunChange::StepStarted { step: 11, attempt: 1 });
    let progress = Progress {
        text: "boot id has not changed yet; cp-1 does not answer".to_owned(),
        deadline: Some(NOW.plus(Duration::from_secs(829))),
        ..Progress::default()
    };
    tell(&mut model, ago(1), RunChange::Progressed { step: 11, progress });
    model
}

/// The gates before the reboot did not pass.
pub fn failed() -> Model {
    let mut model = advanced(8);
    state(&mut model, RunState::Running, false);
    tell(&mut model, ago(20), RunChange::StepStarted { step: 8, attempt: 1 });
    let closed = [
        Gate::new(
            "etcd-quorum",
            "etcd keeps its quorum without cp-1",
            Verdict::Failed,
            "2 of 3 voters healthy; without cp-1 1 is left, 2 are needed",
            ago(14),
        ),
        Gate::new(
            "etcd-settled",
            "etcd has settled",
            Verdict::Unknown,
            "cp-3 did not answer within 2 s",
            ago(14),
        ),
        gate("nodes-ready"),
    ];
    for gate in closed {
        tell(&mut model, ago(14), RunChange::GateRead { step: 8, gate });
    }
    let report = Report::new(FailureKind::Denied, "2 of 12 gates are not passed")
        .because("etcd-quorum: without cp-1 1 voter is left, 2 are needed")
        .hint("bring cp-3 back, then try again");
    let ended = RunChange::StepEnded { step: 8, outcome: Outcome::Failed(report), took_ms: 6_200 };
    tell(&mut model, ago(13), ended);
    state(&mut model, RunState::Failed, false);
    model
}

/// Before the reboot a gate did not pass that the engineer may accept.
pub fn acceptable() -> Model {
    let mut model = advanced(8);
    state(&mut model, RunState::Running, false);
    tell(&mut model, ago(20), RunChange::StepStarted { step: 8, attempt: 1 });
    let pods = Gate::new(
        "critical-pods",
        "system-critical pods are Ready",
        Verdict::Failed,
        "kube-system/metrics-server-7d9c is not Ready for 4m",
        ago(14),
    );
    tell(&mut model, ago(14), RunChange::GateRead { step: 8, gate: pods });
    let report = Report::new(FailureKind::Denied, "1 gate is not passed: critical-pods");
    let ended = RunChange::StepEnded { step: 8, outcome: Outcome::Failed(report), took_ms: 6_200 };
    tell(&mut model, ago(13), ended);
    state(&mut model, RunState::Failed, false);
    model
}

/// Two workers are drained in one run, the second one now; nothing waits for the person.
pub fn several() -> Model {
    let mut model = super::cluster::connected();
    let nodes: Vec<NodeName> = ["worker-1", "worker-3"].map(NodeName::from).to_vec();
    let of = |node: &NodeName, row: &Row| {
        let cp = step(row);
        let own = |text: &str| text.replace(NODE, node.as_str());
        Step { node: Some(node.clone()), what: own(&cp.what), command: own(&cp.command), ..cp }
    };
    let steps = nodes.iter().flat_map(|node| [of(node, &STEPS[4]), of(node, &STEPS[6])]).collect();
    let plan = Plan {
        kind: Kind::Drain,
        nodes: nodes.clone(),
        steps,
        drain: DrainOptions::default(),
        lock: LockChoice::Take,
        resolve: None,
        roll: None,
        parent: None,
    };
    tell(&mut model, ago(60), RunChange::Planned { plan });
    for (index, words) in
        ["was schedulable before", "5 pods moved", "was schedulable before"].iter().enumerate()
    {
        let began = 58 - 9 * i64::try_from(index).unwrap();
        let outcome = Outcome::Done((*words).to_owned());
        tell(&mut model, ago(began), RunChange::StepStarted { step: index, attempt: 1 });
        tell(&mut model, ago(began - 8), RunChange::StepEnded { step: index, outcome, took_ms: 8_000 });
    }
    tell(&mut model, ago(30), RunChange::StepStarted { step: 3, attempt: 1 });
    model
}

/// All steps ended.
pub fn finished() -> Model {
    let mut model = advanced(16);
    tell(&mut model, ago(2), RunChange::Finished { state: RunState::Done, left: Vec::new() });
    model
}

/// Stopped in the drain; the first step of the undo waits for its confirmation.
pub fn undo_waits() -> Model {
    let mut model = draining();
    tell(&mut model, ago(9), RunChange::StepEnded { step: 6, outcome: Outcome::Aborted, took_ms: 93_000 });
    let steps = [&STEPS[13], &STEPS[15]].map(step).to_vec();
    tell(&mut model, ago(8), RunChange::Undoing { steps });
    state(&mut model, RunState::Waiting, false);
    model
}

/// Stopped in the drain; two undo steps are appended.
pub fn undoing() -> Model {
    let mut model = draining();
    tell(&mut model, ago(9), RunChange::StepEnded { step: 6, outcome: Outcome::Aborted, took_ms: 93_000 });
    moved_along(&mut model, StepKind::Uncordon);
    moved_along(&mut model, StepKind::Unlock);
    let steps = [&STEPS[13], &STEPS[15]].map(step).to_vec();
    tell(&mut model, ago(8), RunChange::Undoing { steps });
    tell(&mut model, ago(8), RunChange::StepStarted { step: 16, attempt: 1 });
    let ended = Outcome::Done("schedulable again".to_owned());
    tell(&mut model, ago(7), RunChange::StepEnded { step: 16, outcome: ended, took_ms: 110 });
    tell(&mut model, ago(7), RunChange::StepStarted { step: 17, attempt: 1 });
    let ended = Outcome::Done("given back".to_owned());
    tell(&mut model, ago(6), RunChange::StepEnded { step: 17, outcome: ended, took_ms: 35 });
    let left = vec!["5 pods were moved away from cp-1 and do not come back by themselves".to_owned()];
    tell(&mut model, ago(6), RunChange::Finished { state: RunState::Aborted, left });
    model
}
