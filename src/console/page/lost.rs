//! A node that did not come back: its last words, its power, and the ways on. Part of the page of the step that waits for it.

use super::ago;
use crate::console::dialog::{Fact, Tone};
use crate::console::model::Model;
use crate::domain::ids::OpId;
use crate::domain::plan::StepKind;
use crate::domain::run::{Outcome, StepState, StepView};

/// So many of its last log lines are shown.
const LINES: usize = 6;

/// Nothing for any other step, or while it still waits in its time.
pub(super) fn facts(model: &Model, op: OpId, view: &StepView) -> Vec<Fact> {
    let is_lost = matches!(view.step.kind, StepKind::Down | StepKind::Back)
        && matches!(view.state, StepState::Ended(Outcome::Failed(_), _));
    let Some(node) = view.step.node.as_ref().filter(|_| is_lost) else { return Vec::new() };
    let known = &model.known;
    let mut facts = vec![Fact::plain("", "")];
    if let Some(row) = known.nodes.get(node) {
        let beat =
            row.heartbeat.map(|at| format!(", last sign of life {}", ago(model, at))).unwrap_or_default();
        facts.push(Fact::plain("kubelet", format!("{:?}{beat}, boot {}", row.readiness, row.boot_id)));
    }
    facts.push(match (known.away.get(node), known.hosts.get(node)) {
        (Some(away), _) => Fact::toned(
            Tone::Attention,
            "ssh",
            format!("no answer since {}: {}", ago(model, away.since), away.report.line()),
        ),
        (None, Some(host)) => {
            Fact::plain("ssh", format!("last answer {}, in boot {}", ago(model, host.at), host.boot_id))
        }
        (None, None) => Fact::toned(Tone::Dim, "ssh", "the host was never reached"),
    });
    let of_node =
        |line: &&crate::domain::log::LogLine| line.node.as_ref() == Some(node) || line.op == Some(op);
    let mut last: Vec<_> = model.log.iter().rev().map(|(_, line)| line).filter(of_node).take(LINES).collect();
    last.reverse();
    for (at, line) in last.into_iter().enumerate() {
        let label = if at == 0 { "last words" } else { "" };
        facts.push(Fact::toned(Tone::Dim, label, format!("{}: {}", ago(model, line.at), line.text)));
    }
    facts.push(match known.power.get(node) {
        Some(reading) => match &reading.state {
            Ok(state) => Fact::plain("power", format!("{state}, {}", ago(model, reading.at))),
            Err(report) => Fact::toned(Tone::Attention, "power", format!("not known: {}", report.line())),
        },
        None => Fact::toned(Tone::Dim, "power", format!("not asked: type :power {node}")),
    });
    let ways = [
        "T waits once more; + beforehand gives a step more time".to_owned(),
        format!(":power-cycle {node} cuts its power and gives it back, after its name is typed; then T"),
        "X aborts; the node stays cordoned, as it was not seen back".to_owned(),
        format!(
            "replace it by your own means (pitstop does not): remove its etcd member first, kubectl delete node {node}, make it anew; a Node of that name with another uid is the new one"
        ),
    ];
    for (at, way) in ways.into_iter().enumerate() {
        facts.push(Fact::plain(if at == 0 { "ways on" } else { "" }, way));
    }
    facts
}
