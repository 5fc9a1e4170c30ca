//! The log tells the story of a run: which of its events become lines, and in which words.

use crate::console::model::Model;
use crate::domain::checklist::{Component, summary, worse};
use crate::domain::found::Difference;
use crate::domain::ids::NodeName;
use crate::domain::log::{Level, LogLine, Origin};
use crate::domain::plan::StepKind;
use crate::domain::probe::{Moment, Reading, compare};
use crate::domain::run::{Outcome, RunChange, RunCommand, RunEvent, RunState, RunView};
use crate::domain::time::brief;
use std::time::Duration;

/// Writes the line of an event, if it is worth one.
pub(super) fn tell(model: &mut Model, event: &RunEvent) {
    let Some((level, text)) = words(model, event) else { return };
    let node = node(model, event);
    model.log.push(LogLine {
        at: event.at,
        level,
        origin: Origin::Operation,
        op: Some(event.op),
        node,
        text,
    });
}

fn node(model: &Model, event: &RunEvent) -> Option<NodeName> {
    let run = model.run(event.op)?;
    let step = match &event.change {
        RunChange::StepStarted { step, .. }
        | RunChange::Progressed { step, .. }
        | RunChange::GateRead { step, .. }
        | RunChange::Noted { step, .. }
        | RunChange::Held { step, .. }
        | RunChange::Decided { step, .. }
        | RunChange::TurnBegan { step, .. }
        | RunChange::Child { step, .. }
        | RunChange::StepEnded { step, .. } => run.steps.get(*step),
        _ => None,
    };
    step.and_then(|view| view.step.node.clone()).or_else(|| run.nodes.first().cloned())
}

fn words(model: &Model, event: &RunEvent) -> Option<(Level, String)> {
    let run = model.run(event.op);
    let name = |step: usize| run.map_or_else(|| format!("step {}", step + 1), |run| step_name(run, step));
    match &event.change {
        RunChange::Planned { plan } => {
            let nodes: Vec<&str> = plan.nodes.iter().map(NodeName::as_str).collect();
            let count = crate::domain::text::count(plan.steps.len(), "step");
            let on = if nodes.is_empty() { String::new() } else { format!(" {}", nodes.join(", ")) };
            Some((Level::Info, format!("{}{on}: {count} planned, run {}", plan.kind, event.run)))
        }
        RunChange::State { state, .. } => state_words(run, *state),
        RunChange::StepStarted { step, attempt } => {
            let again = if *attempt > 1 { format!(", attempt {attempt}") } else { String::new() };
            Some((Level::Info, format!("{}: started{again}", name(*step))))
        }
        RunChange::Progressed { .. }
        | RunChange::Foretold { .. }
        | RunChange::Asked { .. }
        | RunChange::Owes { .. }
        | RunChange::Paced { .. }
        | RunChange::Probed { .. }
        | RunChange::Window { .. } => None,
        RunChange::TurnBegan { step, run: child } => {
            Some((Level::Info, format!("{}: run {child}", name(*step))))
        }
        RunChange::Queued { why, .. } => (!why.is_empty()).then(|| (Level::Warn, why.clone())),
        RunChange::Child { child, .. } => child_words(child),
        RunChange::Held { step, why } => Some((Level::Warn, format!("{}: {why}", name(*step)))),
        RunChange::GateRead { step, gate } => (!gate.verdict.is_open()).then(|| {
            (Level::Warn, format!("{}: gate {} is not passed: {}", name(*step), gate.name, gate.evidence))
        }),
        RunChange::Noted { step, text, warn } => {
            let level = if *warn { Level::Warn } else { Level::Info };
            Some((level, format!("{}: {text}", name(*step))))
        }
        RunChange::StepEnded { step, outcome, took_ms } => {
            let took = brief(Duration::from_millis(*took_ms));
            let (level, words) = outcome_words(outcome);
            Some((level, format!("{}: {words} ({took})", name(*step))))
        }
        RunChange::Decided { step, order, by } => {
            Some((Level::Warn, format!("{}: {}", name(*step), decided_words(order, by)?)))
        }
        RunChange::Resumed { by, aborts, .. } => {
            let what = if *aborts { "what it left is put back" } else { "resumed" };
            Some((Level::Warn, format!("run {} of an earlier process: {what}, by {by}", event.run)))
        }
        RunChange::Compared { differences } => Some(compared_words(differences)),
        RunChange::Measured { moment, probes } => measured_words(*moment, probes),
        RunChange::Counted { components, .. } => Some(counted_words(components)),
        RunChange::Undoing { steps } => {
            let names: Vec<&str> = steps.iter().map(|step| step.kind.name()).collect();
            let words = if names.is_empty() { "nothing to undo".to_owned() } else { names.join(", ") };
            Some((Level::Warn, format!("stopping; undo: {words}")))
        }
        RunChange::Finished { state, left } => Some(finished_words(*state, left)),
    }
}

/// A decision that the lines after it do not tell by themselves.
fn decided_words(order: &RunCommand, by: &str) -> Option<String> {
    Some(match order {
        RunCommand::Accept { gate, reason, .. } => format!("gate {gate} accepted by {by}: {reason}"),
        RunCommand::Settle(quiet) => format!("settles for {}, by {by}", brief(*quiet)),
        RunCommand::Extend { by: more, .. } => format!("may take {} longer, by {by}", brief(*more)),
        RunCommand::Interval { role, quiet } => {
            format!("pause after each node ({role}) is {}, by {by}", brief(*quiet))
        }
        _ => return None,
    })
}

/// What the run of a node told, as far as it is worth a line of the roll.
fn child_words(child: &RunEvent) -> Option<(Level, String)> {
    match &child.change {
        RunChange::Noted { text, warn: true, .. } => Some((Level::Warn, text.clone())),
        RunChange::Held { why, .. } => Some((Level::Warn, why.clone())),
        RunChange::StepEnded { outcome: outcome @ (Outcome::Failed(_) | Outcome::Warned(_)), .. } => {
            Some(outcome_words(outcome))
        }
        _ => None,
    }
}

/// The baseline and the end are told; why a run is held stands in a line of its own.
fn measured_words(moment: Moment, probes: &[Reading]) -> Option<(Level, String)> {
    let words = |probe: &Reading| match (moment, &probe.baseline) {
        (Moment::Baseline, Some(digest)) => {
            format!("probe {} ({}): baseline of {}", probe.name, probe.target, compare::baseline(digest))
        }
        _ => probe.line(),
    };
    let is_worse = moment == Moment::End && probes.iter().any(|probe| probe.verdict.is_worse());
    let level = if is_worse { Level::Warn } else { Level::Info };
    let lines: Vec<String> = probes.iter().map(words).collect();
    matches!(moment, Moment::Baseline | Moment::End).then(|| (level, lines.join("; ")))
}

fn counted_words(components: &[Component]) -> (Level, String) {
    let worse = worse(components);
    if worse.is_empty() {
        (Level::Info, format!("checklist: {}", summary(components)))
    } else {
        (Level::Warn, format!("checklist: fewer than before: {}", worse.join("; ")))
    }
}

fn compared_words(differences: &[Difference]) -> (Level, String) {
    let changed: Vec<String> =
        differences.iter().filter(|one| !one.is_same()).map(Difference::words).collect();
    if changed.is_empty() {
        (Level::Info, "everything that was looked at is as it was found".to_owned())
    } else {
        (Level::Warn, changed.join("; "))
    }
}

fn step_name(run: &RunView, step: usize) -> String {
    let Some(view) = run.steps.get(step) else { return format!("step {}", step + 1) };
    match &view.step.node {
        Some(node) if view.step.kind == StepKind::Turn => format!("{} {node}", view.step.kind.name()),
        _ => view.step.kind.name().to_owned(),
    }
}

fn state_words(run: Option<&RunView>, state: RunState) -> Option<(Level, String)> {
    let step = run.and_then(|run| Some((run, run.current()?))).map(|(run, step)| step_name(run, step));
    let step = step.unwrap_or_else(|| "the next step".to_owned());
    match state {
        RunState::Waiting => Some((Level::Info, format!("{step} waits for its confirmation: N"))),
        RunState::Paused => Some((Level::Info, format!("paused before {step}: N goes on"))),
        RunState::Failed => Some((Level::Error, format!("stopped at {step}: T tries again, X aborts"))),
        RunState::Running | RunState::Interrupted | RunState::Done | RunState::Aborted => None,
    }
}

fn outcome_words(outcome: &Outcome) -> (Level, String) {
    match outcome {
        Outcome::Done(words) => (Level::Info, format!("done: {words}")),
        Outcome::Warned(words) => (Level::Warn, format!("done, look at this: {words}")),
        Outcome::Skipped(why) => (Level::Info, format!("skipped: {why}")),
        Outcome::Failed(report) => (Level::Error, format!("failed: {}", report.line())),
        Outcome::Aborted => (Level::Warn, "stopped by the engineer".to_owned()),
    }
}

fn finished_words(state: RunState, left: &[String]) -> (Level, String) {
    let end = match state {
        RunState::Done => "done",
        RunState::Aborted => "aborted",
        RunState::Interrupted => "interrupted",
        RunState::Failed => "failed",
        RunState::Waiting | RunState::Running | RunState::Paused => "left",
    };
    if left.is_empty() {
        let level = if state == RunState::Done { Level::Info } else { Level::Warn };
        (level, format!("run {end}; nothing was left changed beyond its purpose"))
    } else {
        (Level::Warn, format!("run {end}; left changed: {}", left.join("; ")))
    }
}
