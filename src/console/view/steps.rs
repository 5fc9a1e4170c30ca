//! What there is to say of one step, the most pressing first: progress, failure, gates, what is not checked, the command.

use super::call;
use super::look::Look;
use super::text::wrap;
use super::theme::Tone;
use super::words;
use crate::console::model::Model;
use crate::domain::checklist::{summary, worse};
use crate::domain::gate::{Gate, Verdict};
use crate::domain::plan::StepKind;
use crate::domain::run::{Outcome, Progress, RunView, StepState, StepView};
use crate::domain::time::brief;
use ratatui::text::{Line, Span};
use std::time::Duration;

/// A gate older than this says its age.
const FRESH: Duration = Duration::from_secs(15);
/// Columns of the longest verdict.
const VERDICT: usize = 10;
/// Columns of the longest gauge.
const GAUGE: usize = 24;

/// The lines, each within `room` columns.
pub fn details<'a>(look: &Look, model: &Model, run: &RunView, at: usize, room: usize) -> Vec<Line<'a>> {
    let mut lines = super::roll::child(look, model, run, at, room);
    if !lines.is_empty() {
        return lines;
    }
    if run.state.is_over() && model.lists.run.selected.is_none() {
        lines.extend(ending(look, run, room));
        return lines;
    }
    let Some(view) = run.steps.get(at) else { return lines };
    lines.extend(foretold(look, run, view, room));
    match &view.state {
        StepState::Running(_) => {
            if let Some(progress) = &view.progress {
                lines.extend(self::progress(look, model, view, progress, room));
            } else {
                lines.extend(said(look, Tone::Text, "", &view.step.what, room));
            }
        }
        StepState::Ended(Outcome::Failed(report), _) => {
            lines.extend(said(look, Tone::Bad, "", &report.message, room));
            for cause in &report.causes {
                lines.extend(said(look, Tone::Text, "because ", cause, room));
            }
            if let Some(hint) = &report.hint {
                lines.extend(said(look, Tone::Accent, "next: ", hint, room));
            }
        }
        StepState::Ended(Outcome::Done(text) | Outcome::Skipped(text), _) => {
            lines.extend(said(look, Tone::Text, "", text, room));
        }
        StepState::Ended(Outcome::Warned(text), _) => lines.extend(said(look, Tone::Warn, "", text, room)),
        StepState::Pending | StepState::Ended(Outcome::Aborted, _) => {
            lines.extend(said(look, Tone::Text, "", &view.step.what, room));
        }
    }
    lines.extend(gates(look, model, view, room));
    for unchecked in &view.step.unchecked {
        lines.extend(said(look, Tone::Warn, "not checked: ", unchecked, room));
    }
    if !view.step.command.is_empty() {
        lines.extend(said(look, Tone::Muted, "same as: ", &view.step.command, room));
    }
    if let Some(undo) = &view.step.undo {
        lines.extend(said(look, Tone::Muted, "undo: ", undo, room));
    }
    lines
}

/// What was foretold of a node's drain, in at most two lines, until the drain has ended.
fn foretold<'a>(look: &Look, run: &RunView, view: &StepView, room: usize) -> Vec<Line<'a>> {
    let is_over = matches!(view.state, StepState::Ended(..));
    if is_over || !matches!(view.step.kind, StepKind::Cordon | StepKind::MoveLeader | StepKind::Drain) {
        return Vec::new();
    }
    let is_its = |step: &&StepView| step.step.kind == StepKind::Predict && step.step.node == view.step.node;
    match run.steps.iter().rfind(is_its).map(|step| &step.state) {
        Some(StepState::Ended(Outcome::Warned(text), _)) => short(look, Tone::Warn, text, room),
        Some(StepState::Ended(Outcome::Done(text), _)) => short(look, Tone::Text, text, room),
        _ => Vec::new(),
    }
}

fn short<'a>(look: &Look, tone: Tone, text: &str, room: usize) -> Vec<Line<'a>> {
    let label = "foretold: ";
    let most = (room.saturating_sub(label.len()) * 2).saturating_sub(2);
    let text = super::text::cut(text, most, look.glyphs.ellipsis).into_owned();
    let mut lines = said(look, tone, label, &text, room);
    lines.truncate(2);
    lines
}

/// What an ended run left.
fn ending<'a>(look: &Look, run: &RunView, room: usize) -> Vec<Line<'a>> {
    let mut lines = Vec::new();
    for view in &run.steps {
        if let StepState::Ended(Outcome::Failed(report), _) = &view.state {
            let label = format!("{} failed: ", view.step.kind.name());
            lines.extend(said(look, Tone::Bad, &label, &report.line(), room));
        }
    }
    if run.left.is_empty() {
        lines.extend(said(look, Tone::Good, "", "Nothing is left changed beyond its purpose.", room));
    }
    for left in &run.left {
        lines.extend(said(look, Tone::Warn, "left: ", left, room));
    }
    lines.extend(watched(look, run, room));
    lines.extend(said(look, Tone::Muted, "run ", run.id.as_str(), room));
    lines
}

/// The last word of the probes, and the checklist.
fn watched<'a>(look: &Look, run: &RunView, room: usize) -> Vec<Line<'a>> {
    let mut lines = Vec::new();
    for reading in &run.watched.ended {
        let (glyph, tone) = super::probes::sign(look, reading.verdict);
        lines.extend(said(look, tone, &format!("{glyph} probe {}: ", reading.name), &reading.words, room));
    }
    let worse = worse(&run.watched.components);
    for words in &worse {
        lines.extend(said(look, Tone::Warn, "fewer than before: ", words, room));
    }
    if worse.is_empty() && run.watched.components.iter().any(|one| one.before.is_some()) {
        let words = summary(&run.watched.components);
        lines.extend(said(look, Tone::Text, "checklist: ", &words, room));
    }
    lines
}

/// A gauge where a total is known, the deadline, the line in words, then what is waited for.
fn progress<'a>(
    look: &Look,
    model: &Model,
    view: &StepView,
    progress: &Progress,
    room: usize,
) -> Vec<Line<'a>> {
    let mut lines = Vec::new();
    let until = call::deadline(model, Some(view));
    if let Some((done, total)) = progress.done.zip(progress.total).filter(|(_, total)| *total > 0) {
        let mut spans = look.gauge(done, total, GAUGE.min(room / 3));
        let percent = u128::from(done.min(total)) * 100 / u128::from(total);
        spans.push(look.say(Tone::Strong, format!("  {percent}%")));
        spans.push(look.say(Tone::Muted, format!("  {until}")));
        lines.push(Line::from(spans));
    } else if !until.is_empty() {
        lines.push(look.line(Tone::Muted, until + &call::more_time(model)));
    }
    // the call says it in one line already
    if lines.is_empty() && progress.items.is_empty() {
        lines.extend(said(look, Tone::Text, "", &progress.text, room));
    }
    for item in &progress.items {
        lines.extend(said(look, Tone::Warn, &format!("{} ", look.glyphs.dot), item, room));
    }
    for item in &progress.ended {
        lines.extend(said(look, Tone::Muted, &format!("{} ", look.glyphs.dot), item, room));
    }
    lines
}

/// Gates that keep the way closed first, each with what its answer rests on.
fn gates<'a>(look: &Look, model: &Model, view: &StepView, room: usize) -> Vec<Line<'a>> {
    let mut lines = Vec::new();
    let (open, closed): (Vec<&Gate>, Vec<&Gate>) = view.gates.iter().partition(|gate| gate.verdict.is_open());
    for gate in closed.into_iter().chain(open) {
        let shown = words::verdict(look, &gate.verdict);
        let age = model.now.since(gate.at);
        let old = if age > FRESH && matches!(view.state, StepState::Running(_)) {
            format!(" (read {} ago)", brief(age))
        } else {
            String::new()
        };
        let label = format!("{} {:VERDICT$}  ", shown.glyph, shown.word);
        let is_blamed = !gate.verdict.is_open() && !gate.offenders.is_empty();
        let text = if is_blamed {
            format!("{}{old}", gate.asks)
        } else if gate.verdict.is_open() && gate.verdict != Verdict::Unknown {
            format!("{}{old}", or(&gate.evidence, &gate.asks))
        } else {
            format!("{}: {}{old}", gate.asks, gate.evidence)
        };
        let text = match &gate.verdict {
            Verdict::Accepted(reason) => format!("{text}; accepted: {reason}"),
            _ => text,
        };
        let mut said = said(look, Tone::Text, &label, &text, room);
        if let Some(first) = said.first_mut().and_then(|line| line.spans.first_mut()) {
            first.style = look.theme.of(shown.tone);
        }
        lines.extend(said);
        // each offender by name, with what is known of it
        for offender in gate.offenders.iter().filter(|_| is_blamed) {
            let label = format!("  {} ", look.glyphs.dot);
            lines.extend(self::said(look, Tone::Warn, &label, &offender.line(model.now), room));
        }
    }
    if view.gates.is_empty() && matches!(view.state, StepState::Pending) && !view.step.gates.is_empty() {
        let names = view.step.gates.join(", ");
        lines.extend(said(look, Tone::Muted, "reads: ", &names, room));
    }
    lines
}

fn or<'t>(text: &'t str, other: &'t str) -> &'t str {
    if text.is_empty() { other } else { text }
}

/// A label and a text, wrapped under itself.
pub fn said<'a>(look: &Look, tone: Tone, label: &str, text: &str, room: usize) -> Vec<Line<'a>> {
    let indent = super::text::width(label).min(room / 2);
    let label_tone = if tone == Tone::Text { Tone::Muted } else { tone };
    let mut lines = Vec::new();
    for (at, part) in wrap(text, room.saturating_sub(indent)).into_iter().enumerate() {
        let head = if at == 0 { label.to_owned() } else { " ".repeat(indent) };
        lines.push(Line::from(vec![look.say(label_tone, head), Span::styled(part, look.theme.of(tone))]));
    }
    lines
}
