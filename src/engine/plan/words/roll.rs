//! The steps of a roll.

use super::{SHORT, gate_time, owned, step};
use crate::domain::config::DrainOptions;
use crate::domain::debt::MARK;
use crate::domain::ids::NodeName;
use crate::domain::plan::{Step, StepKind};
use crate::domain::roll::Roll;
use crate::domain::text::count;
use crate::domain::time::brief;
use crate::engine::gate::names;
use crate::engine::plan::roll::counted;
use crate::engine::settings::{Settings, Timing};

fn names(nodes: &[NodeName]) -> String {
    nodes.iter().map(NodeName::as_str).collect::<Vec<_>>().join(" ")
}

/// A step about all nodes.
fn of_all(kind: StepKind, what: String, command: String) -> Step {
    Step { node: None, ..step(kind, &NodeName::from(""), what, command) }
}

pub(in crate::engine::plan) fn predict_all(nodes: &[NodeName], roll: &Roll, drain: &DrainOptions) -> Step {
    let all = counted(&roll.turns);
    Step {
        timeout: SHORT * 5,
        unchecked: owned(&["what other people and controllers change until a node's turn comes"]),
        ..of_all(
            StepKind::Predict,
            format!(
                "predict what the drains of {all} meet, in their order and as many at a time as are away together, and how long the roll takes"
            ),
            format!("kubectl drain {}{} --dry-run=server; kubectl get pdb -A", names(nodes), drain.flags()),
        )
    }
}

pub(in crate::engine::plan) fn mark(nodes: &[NodeName]) -> Step {
    Step {
        timeout: SHORT * 5,
        may_skip: true,
        undo: Some("the marks are taken away".to_owned()),
        ..of_all(
            StepKind::Taint,
            format!(
                "mark {} with the taint {MARK}, so that pods prefer nodes that are done: each loses it at the end of its turn",
                count(nodes.len(), "node")
            ),
            format!("kubectl taint nodes {} {MARK}:PreferNoSchedule", names(nodes)),
        )
    }
}

pub(in crate::engine::plan) fn take_marks(nodes: &[NodeName]) -> Step {
    Step {
        timeout: SHORT * 5,
        may_skip: true,
        ..of_all(
            StepKind::Untaint,
            format!("take the taint {MARK} away from every node that still has it"),
            format!("kubectl taint nodes {} {MARK}:PreferNoSchedule-", names(nodes)),
        )
    }
}

pub(in crate::engine::plan) fn components(timing: &Timing) -> Step {
    Step {
        gates: owned(&names::CHECK),
        timeout: timing.verify + timing.verify_interval + gate_time(timing),
        may_skip: true,
        ..of_all(
            StepKind::Components,
            format!(
                "every gate of the whole cluster, twice, {} apart, against how it was before the first node",
                brief(timing.verify_interval)
            ),
            "pitstop check".to_owned(),
        )
    }
}

/// What of the gates of the whole cluster is asked between two nodes that stay cordoned.
const BETWEEN: [&str; 12] = [
    names::API,
    names::ENDPOINTS,
    names::LEADERS,
    names::CONTROL_PLANES,
    names::WORKERS,
    names::STEADY,
    names::STATIC_PODS,
    names::CRITICAL_PODS,
    names::NETWORK,
    names::DNS,
    names::ETCD_QUORUM,
    names::ETCD_HEALTHY,
];

/// The validation of a node's turn that only drains it.
pub(in crate::engine::plan) fn between(node: &NodeName, timing: &Timing) -> Step {
    Step {
        gates: owned(&BETWEEN),
        timeout: timing.verify + timing.verify_interval + gate_time(timing),
        may_skip: true,
        unchecked: owned(&["workloads other than system-critical pods"]),
        ..step(
            StepKind::Components,
            node,
            format!(
                "the rest of the cluster does without {node}: its gates pass twice, {} apart, against how it was before the first node",
                brief(timing.verify_interval)
            ),
            "pitstop check".to_owned(),
        )
    }
}

/// The configured command, in the place of the reboot.
pub(in crate::engine::plan) fn command(node: &NodeName, name: &str, settings: &Settings) -> Step {
    let command = settings.service.commands.get(name);
    let argv = command.map_or_else(String::new, |command| command.argv.join(" "));
    let limit = command.map_or(SHORT, |command| command.limit);
    Step {
        timeout: limit + settings.timing.ready + SHORT,
        undo: Some("cannot be undone: what the command did stays".to_owned()),
        unchecked: owned(&["whether the command may be repeated: a second try runs it anew"]),
        ..step(
            StepKind::Command,
            node,
            format!(
                "run the command {name} for {node} on this machine, within {}; then {node} is Ready",
                brief(limit)
            ),
            argv.replace("{node}", node.as_str()),
        )
    }
}
