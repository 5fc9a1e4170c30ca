//! The plan of a roll: what is done once for all nodes, a turn for each node, and the plan of the run that a turn is.

use super::{Facts, words};
use crate::domain::guard::Request;
use crate::domain::ids::{NodeName, RunId};
use crate::domain::lock::LockChoice;
use crate::domain::plan::{Kind, Plan, Step, StepKind};
use crate::domain::roll::{Group, Roll, RollAction, RollOptions, Turn, sequence};
use crate::domain::text::count;
use crate::domain::time::brief;

/// The whole roll.
pub(super) fn plan(request: &Request, facts: &Facts) -> Plan {
    let options = request.roll.as_deref().cloned().unwrap_or_default();
    let turns = sequence(
        &request.nodes,
        &facts.nodes,
        facts.etcd.as_ref(),
        |node| facts.is_master(node),
        options.canary,
    );
    let nodes: Vec<NodeName> = turns.iter().map(|turn| turn.node.clone()).collect();
    let roll = Roll { options, turns };
    Plan {
        kind: Kind::Roll,
        steps: steps(request, facts, &roll, &nodes),
        nodes,
        drain: request.drain.clone(),
        lock: request.lock,
        resolve: None,
        parent: None,
        roll: Some(Box::new(roll)),
    }
}

fn steps(request: &Request, facts: &Facts, roll: &Roll, nodes: &[NodeName]) -> Vec<Step> {
    let Some(first) = nodes.first() else { return Vec::new() };
    let settings = &facts.settings;
    let masters = roll.turns.iter().filter(|turn| turn.group == Group::ControlPlane).count();
    let only = |step: Step, is_so: bool, why: &str| Step {
        not_applicable: (!is_so).then(|| why.to_owned()),
        node: None,
        ..step
    };
    let unlocked = "the engineer goes on without the maintenance lock: nothing keeps another console away";
    let is_locked = request.lock != LockChoice::Without;
    let mut steps = vec![
        words::preflight(first, facts.is_master(first), &settings.timing),
        only(words::lock(first, settings), is_locked, unlocked),
        only(
            words::snapshot(None, facts, false),
            masters > 0,
            "none of the nodes hosts a control plane or etcd",
        ),
        words::predict_all(nodes, roll, &request.drain),
        words::mark(nodes),
    ];
    let all = nodes.len();
    steps.extend(
        roll.turns.iter().enumerate().map(|(at, turn)| turn_step(turn, at, all, &roll.options, facts)),
    );
    steps.push(words::components(&settings.timing));
    steps.push(words::take_marks(nodes));
    steps.push(only(words::unlock(first, settings), is_locked, unlocked));
    steps
}

fn turn_step(turn: &Turn, at: usize, all: usize, options: &RollOptions, facts: &Facts) -> Step {
    let node = &turn.node;
    let with = match turn.group {
        Group::ControlPlane => "of the control plane, alone".to_owned(),
        Group::Canary => "as the canary, alone".to_owned(),
        Group::Workers => {
            format!("with the workers, at most {} away at a time", options.max_unavailable)
        }
    };
    let (what, command, undo) = match &options.action {
        RollAction::Reboot => (
            format!("reboot {node} {with}"),
            format!("pitstop run reboot {node}"),
            "a node that was not asked to reboot yet is made schedulable again; a reboot cannot be undone",
        ),
        RollAction::DrainOnly => (
            format!("drain {node} {with}; it stays cordoned, and every gate of the others passes twice"),
            format!("kubectl drain {node} --ignore-daemonsets"),
            "the node is made schedulable again; pods stay where they went",
        ),
        RollAction::Command(name) => {
            let argv = facts.settings.service.commands.get(name).map(|command| command.argv.join(" "));
            (
                format!("take {node} out of service, run the command {name} for it, and put it back, {with}"),
                argv.unwrap_or_default().replace("{node}", node.as_str()),
                "the node is made schedulable again; what the command did stays",
            )
        }
    };
    let interval = options.interval(turn.group.role());
    Step {
        kind: StepKind::Turn,
        node: Some(node.clone()),
        what: format!("{what} ({} of {all}; then {})", at + 1, brief(interval)),
        command,
        gates: Vec::new(),
        timeout: std::time::Duration::ZERO,
        may_skip: true,
        undo: Some(undo.to_owned()),
        unchecked: Vec::new(),
        not_applicable: None,
        debt: None,
    }
}

/// The plan of one node's run, made of what is known when its turn comes.
pub(crate) fn child(of: &Plan, roll: &RunId, node: &NodeName, facts: &Facts) -> Plan {
    let options = of.roll.as_ref().map(|roll| roll.options.clone()).unwrap_or_default();
    let lock = if of.lock == LockChoice::Without { LockChoice::Without } else { LockChoice::Parent };
    let kind = if options.action == RollAction::DrainOnly { Kind::Drain } else { Kind::Reboot };
    let request = Request { drain: of.drain.clone(), lock, ..Request::new(kind, vec![node.clone()]) };
    let mut plan = super::plan(&request, facts);
    match &options.action {
        RollAction::Reboot => {}
        RollAction::DrainOnly => plan.steps.push(words::between(node, &facts.settings.timing)),
        RollAction::Command(name) => plan.steps = with_command(plan.steps, node, name, facts),
    }
    Plan { parent: Some(roll.clone()), roll: Some(Box::new(Roll { options, turns: Vec::new() })), ..plan }
}

/// The way of a reboot with a command in its place: nothing says that it boots the machine.
fn with_command(steps: Vec<Step>, node: &NodeName, name: &str, facts: &Facts) -> Vec<Step> {
    let replaced = |step: Step| match step.kind {
        StepKind::Patch | StepKind::Down | StepKind::Back => None,
        StepKind::Reboot => Some(words::command(node, name, &facts.settings)),
        _ => Some(step),
    };
    steps.into_iter().filter_map(replaced).collect()
}

/// `3 control-plane nodes and 47 workers`
pub(super) fn counted(turns: &[Turn]) -> String {
    let masters = turns.iter().filter(|turn| turn.group == Group::ControlPlane).count();
    let parts = [(masters, "control-plane node"), (turns.len() - masters, "worker")];
    let words: Vec<String> =
        parts.iter().filter(|(many, _)| *many > 0).map(|(many, what)| count(*many, what)).collect();
    words.join(" and ")
}
