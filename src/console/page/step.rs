//! All that is known of a step of a run.

use super::{ago, list};
use crate::console::dialog::{Fact, Tone};
use crate::console::model::Model;
use crate::domain::gate::Verdict;
use crate::domain::ids::OpId;
use crate::domain::plan::StepKind;
use crate::domain::probe::compare;
use crate::domain::run::{Outcome, StepState, StepView};
use crate::domain::time::brief;

pub(super) fn facts(model: &Model, op: OpId, step: usize) -> Option<Vec<Fact>> {
    let view = model.run(op)?.steps.get(step)?;
    let step = &view.step;
    let mut facts = vec![Fact::plain("step", step.kind.name()), Fact::plain("what", &*step.what)];
    facts.extend(state(model, view));
    facts.extend(step.not_applicable.iter().map(|why| Fact::toned(Tone::Dim, "not needed", &**why)));
    facts.push(Fact::toned(Tone::Dim, "command", &*step.command));
    facts.push(Fact::plain("undo", step.undo.as_deref().unwrap_or("nothing to undo")));
    facts.push(Fact::plain("may skip", if step.may_skip { "yes" } else { "no" }));
    if !step.timeout.is_zero() {
        facts.push(Fact::plain("deadline", brief(step.timeout)));
    }
    facts.extend(list(Tone::Attention, "not checked", step.unchecked.iter().cloned()));
    facts.extend(progress(model, view));
    facts.extend(gates(model, view));
    facts.extend(watched(model, op, view));
    facts.extend(super::lost::facts(model, op, view));
    Some(facts)
}

fn state(model: &Model, view: &StepView) -> Vec<Fact> {
    let tried = if view.attempts > 1 { format!(", attempt {}", view.attempts) } else { String::new() };
    match &view.state {
        StepState::Pending => vec![Fact::toned(Tone::Dim, "state", "not reached")],
        StepState::Running(since) => {
            vec![Fact::plain("state", format!("under way for {}{tried}", brief(model.now.since(*since))))]
        }
        StepState::Ended(outcome, took) => {
            let took = brief(*took);
            match outcome {
                Outcome::Done(words) => {
                    vec![Fact::toned(Tone::Good, "done", format!("{words} ({took}{tried})"))]
                }
                Outcome::Warned(words) => {
                    vec![Fact::toned(Tone::Attention, "done", format!("{words} ({took}{tried})"))]
                }
                Outcome::Skipped(why) => vec![Fact::toned(Tone::Dim, "skipped", &**why)],
                Outcome::Aborted => {
                    vec![Fact::toned(Tone::Attention, "state", format!("stopped by the engineer ({took})"))]
                }
                Outcome::Failed(report) => {
                    let mut facts =
                        vec![Fact::toned(Tone::Bad, "failed", format!("{} ({took}{tried})", report.message))];
                    facts.extend(list(Tone::Bad, "because", report.causes.iter().cloned()));
                    facts
                        .extend(report.hint.iter().map(|hint| Fact::toned(Tone::Attention, "hint", &**hint)));
                    facts
                }
            }
        }
    }
}

fn progress(model: &Model, view: &StepView) -> Vec<Fact> {
    let Some(progress) = &view.progress else { return Vec::new() };
    let mut text = progress.text.clone();
    if let (Some(done), Some(total)) = (progress.done, progress.total) {
        text.push_str(&format!(" ({done} of {total})"));
    }
    let mut facts = vec![Fact::plain("progress", text)];
    if let Some(deadline) = progress.deadline {
        facts.push(Fact::plain("gives up", format!("in {}", brief(deadline.since(model.now)))));
    }
    facts.extend(list(Tone::Plain, "waits for", progress.items.iter().cloned()));
    facts.extend(list(Tone::Plain, "ended", progress.ended.iter().cloned()));
    facts
}

/// Probes, and the checklist at the steps that go through it.
fn watched(model: &Model, op: OpId, view: &StepView) -> Vec<Fact> {
    let Some(run) = model.run(op) else { return Vec::new() };
    let mut facts = Vec::new();
    let probes = run.watched.probes.iter().map(|shown| &shown.reading);
    for reading in probes {
        let tone = if reading.verdict.is_worse() { Tone::Bad } else { Tone::Plain };
        facts.push(Fact::toned(
            tone,
            "probe",
            format!("{} ({}): {}", reading.name, reading.target, reading.words),
        ));
        let baseline = reading.baseline.iter().map(compare::baseline);
        facts.extend(baseline.map(|words| Fact::toned(Tone::Dim, "", format!("baseline of {words}"))));
    }
    if matches!(view.step.kind, StepKind::Preflight | StepKind::Settle) {
        for component in &run.watched.components {
            let tone = if component.is_fine() { Tone::Plain } else { Tone::Attention };
            facts.push(Fact::toned(tone, "checklist", component.words()));
        }
    }
    facts
}

fn gates(model: &Model, view: &StepView) -> Vec<Fact> {
    let mut facts = Vec::new();
    for gate in &view.gates {
        let (tone, word) = match &gate.verdict {
            Verdict::Passed => (Tone::Good, "passed".to_owned()),
            Verdict::Failed => (Tone::Bad, "NOT PASSED".to_owned()),
            Verdict::Unknown => (Tone::Bad, "UNKNOWN, not passed".to_owned()),
            Verdict::NotApplicable => (Tone::Dim, "does not apply".to_owned()),
            Verdict::Accepted(why) => (Tone::Attention, format!("accepted: {why}")),
        };
        facts.push(Fact::toned(tone, "gate", format!("{}: {word}", gate.name)));
        if gate.verdict.is_open() || gate.offenders.is_empty() {
            facts
                .push(Fact::plain("", format!("{}? {} ({})", gate.asks, gate.evidence, ago(model, gate.at))));
            continue;
        }
        facts.push(Fact::plain("", format!("{}? ({})", gate.asks, ago(model, gate.at))));
        facts.extend(list(Tone::Bad, "offender", gate.offenders.iter().map(|one| one.line(model.now))));
    }
    let read = |name: &String| view.gates.iter().any(|gate| gate.name == *name);
    let unread = view.step.gates.iter().filter(|name| !read(name));
    facts.extend(list(Tone::Dim, "to be read", unread.cloned()));
    facts
}
