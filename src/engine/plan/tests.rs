//! Plans by kind of run and of node.

use super::*;
use crate::domain::config::DrainOptions;
use crate::domain::plan::StepKind;
use crate::engine::gate::names;
use crate::engine::testing::{node, settings};

fn facts() -> Facts {
    let rows = [node("cp-1", "control-plane"), node("worker-1", "worker")];
    Facts {
        nodes: rows.into_iter().map(|row| (row.key(), row)).collect(),
        etcd: None,
        etcd_hosts: BTreeSet::new(),
        has_ssh: true,
        has_etcd: true,
        settings: settings(),
    }
}

fn request(kind: Kind, nodes: &[&str]) -> Request {
    Request::new(kind, nodes.iter().map(|name| NodeName::from(*name)).collect())
}

#[test]
fn the_quiet_time_is_that_of_the_role() {
    let mut facts = facts();
    facts.settings.timing.settle = Duration::from_secs(20);
    facts.settings.timing.settle_control_plane = Duration::from_mins(5);
    for (node, secs, words) in [("cp-1", 300, "wait 5m"), ("worker-1", 20, "wait 20s")] {
        let plan = plan(&request(Kind::Reboot, &[node]), &facts);
        assert_eq!(quiet(&plan, &facts.settings.timing), Duration::from_secs(secs), "{node}");
        let settle = plan.steps.iter().find(|step| step.kind == StepKind::Settle).expect("a step");
        assert!(settle.what.starts_with(words), "{}", settle.what);
    }
}

#[test]
fn a_control_plane_s_power_is_cut_under_the_lock() {
    let kinds = |request: &Request| -> Vec<StepKind> {
        plan(request, &facts()).steps.iter().map(|step| step.kind).collect()
    };
    let locked = [StepKind::Lock, StepKind::Power, StepKind::Unlock];
    assert_eq!(kinds(&request(Kind::PowerCycle, &["cp-1"])), locked);
    assert_eq!(kinds(&request(Kind::PowerCycle, &["worker-1"])), [StepKind::Power]);
    let without = Request { lock: LockChoice::Without, ..request(Kind::PowerCycle, &["cp-1"]) };
    assert_eq!(kinds(&without), [StepKind::Power]);
}

#[test]
fn a_reboot_has_every_step_in_the_order_of_their_kinds() {
    let plan = plan(&request(Kind::Reboot, &["cp-1"]), &facts());
    let kinds: Vec<StepKind> = plan.steps.iter().map(|step| step.kind).collect();
    assert_eq!(kinds.len(), 16);
    assert!(kinds.is_sorted(), "{kinds:?}");
    assert!(plan.steps.iter().all(|step| step.not_applicable.is_none()));
    let preflight = &plan.steps[0];
    assert!(preflight.gates.iter().any(|gate| gate == names::ETCD_QUORUM), "{:?}", preflight.gates);
}

#[test]
fn a_worker_has_no_etcd_and_the_plan_says_so() {
    let plan = plan(&request(Kind::Reboot, &["worker-1"]), &facts());
    let passed_over: Vec<StepKind> =
        plan.steps.iter().filter(|step| step.not_applicable.is_some()).map(|step| step.kind).collect();
    assert_eq!(passed_over, [StepKind::Backup, StepKind::MoveLeader]);
    assert!(!plan.steps[0].gates.iter().any(|gate| gate.starts_with("etcd")));
}

#[test]
fn a_node_that_nobody_knows_is_taken_for_a_master() {
    let plan = plan(&request(Kind::Reboot, &["new-1"]), &facts());
    assert!(plan.steps.iter().all(|step| step.not_applicable.is_none()));
}

#[test]
fn a_drain_goes_node_by_node() {
    let plan = plan(&request(Kind::Drain, &["worker-1", "cp-1"]), &facts());
    let steps: Vec<(StepKind, &str)> =
        plan.steps.iter().map(|step| (step.kind, step.node.as_ref().map_or("", NodeName::as_str))).collect();
    assert_eq!(
        steps,
        [
            (StepKind::Lock, "cp-1"),
            (StepKind::Predict, "worker-1"),
            (StepKind::Predict, "cp-1"),
            (StepKind::Cordon, "worker-1"),
            (StepKind::Cordon, "cp-1"),
            (StepKind::Drain, "worker-1"),
            (StepKind::Drain, "cp-1"),
            (StepKind::Unlock, "cp-1"),
        ]
    );
}

#[test]
fn nodes_that_are_drained_together_share_a_step() {
    let mut ask = request(Kind::Drain, &["worker-1", "worker-2", "worker-3"]);
    ask.drain.parallel = 2;
    let plan = plan(&ask, &facts());
    let step =
        plan.steps.iter().find(|step| step.kind == StepKind::Drain && step.node.is_none()).expect("a step");
    assert!(step.what.contains("worker-1, worker-2, worker-3, up to 2 nodes"), "{}", step.what);
    assert_eq!(step.timeout, ask.drain.timeout * 2, "two rounds");
}

#[test]
fn commands_carry_the_flags_that_were_asked_for() {
    let mut ask = request(Kind::Drain, &["worker-1"]);
    ask.drain = DrainOptions {
        force: true,
        grace_period: 5,
        timeout: Duration::from_mins(1),
        pod_selector: "app=web".into(),
        ..ask.drain
    };
    let plan = plan(&ask, &facts());
    assert_eq!(
        plan.steps[2].command,
        "kubectl drain worker-1 --ignore-daemonsets --force --grace-period=5 --timeout=60s --pod-selector='app=web'"
    );
}

#[test]
fn what_is_not_saved_is_said() {
    let plan = plan(&request(Kind::Reboot, &["cp-1"]), &Facts { has_ssh: false, ..facts() });
    let backup = plan.steps.iter().find(|step| step.kind == StepKind::Backup).unwrap();
    assert!(backup.unchecked.iter().any(|note| note.contains("no SSH")), "{:?}", backup.unchecked);
}

#[test]
fn every_plan_has_words_a_command_and_a_deadline() {
    for kind in [Kind::Cordon, Kind::Uncordon, Kind::Drain, Kind::Reboot, Kind::Snapshot] {
        let nodes: &[&str] = if kind == Kind::Snapshot { &[] } else { &["cp-1"] };
        for step in plan(&request(kind, nodes), &facts()).steps {
            assert!(!step.what.is_empty() && !step.command.is_empty() && !step.timeout.is_zero(), "{step:?}");
        }
    }
}

#[test]
fn a_node_on_which_etcd_is_looked_for_is_treated_as_its_host_though_nobody_answers() {
    let silent = Facts { etcd_hosts: ["worker-1".into()].into(), ..facts() };
    let gates = |facts: &Facts| plan(&request(Kind::Reboot, &["worker-1"]), facts).steps[0].gates.clone();
    assert!(!gates(&facts()).contains(&names::ETCD_QUORUM.to_owned()));
    assert!(gates(&silent).contains(&names::ETCD_QUORUM.to_owned()));
}
