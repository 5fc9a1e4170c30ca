//! The call: one line across the whole screen that says what the open run waits for, in plain words.
//!
//! When it waits for the person it is a bar in a style that nothing else has: the most visible thing on the screen.

use super::look::Look;
use super::text::{columns, line_width};
use super::theme::Tone;
use super::words;
use crate::console::keymap::{self, Command};
use crate::console::model::{Model, Pane};
use crate::domain::plan::StepKind;
use crate::domain::rollout::Pace;
use crate::domain::run::{Outcome, RunState, RunView, StepState, StepView};
use crate::domain::time::clock;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

/// What the line says.
struct Call {
    /// Waits for a decision.
    urgent: bool,
    tone: Tone,
    /// What is waited for.
    lead: String,
    /// More about it.
    rest: String,
    /// At the right end: the deadline.
    right: String,
}

/// The run that the line speaks of: one that waits for the person before one that does not.
fn subject(model: &Model) -> Option<&RunView> {
    let urgent = |run: &&RunView| matches!(run.state, RunState::Waiting | RunState::Failed);
    let open = model.open_run();
    open.filter(urgent).or_else(|| model.live_runs().find(urgent)).or(open)
}

/// Whether there is something to say.
pub fn is_shown(model: &Model) -> bool {
    orphans(model).is_some() || subject(model).is_some() || announcement(model).is_some()
}

/// What earlier runs left, until it was read or dismissed; a run that waits for the person goes first.
fn orphans(model: &Model) -> Option<Call> {
    let first = model.known.orphans.first().filter(|_| model.is_calling)?;
    let waits = subject(model).is_some_and(|run| matches!(run.state, RunState::Waiting | RunState::Failed));
    if waits {
        return None;
    }
    let open = key(model, Command::Focus(Pane::Run)).unwrap_or_default();
    let more = model.known.orphans.len() - 1;
    let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
    Some(Call {
        urgent: true,
        tone: Tone::Warn,
        lead: format!("{}{more}", first.line()),
        rest: String::new(),
        right: format!("{open} opens it, Esc"),
    })
}

/// A roll that was found, is stuck or is over, until it was looked at or dismissed; runs of this console go first.
fn announcement(model: &Model) -> Option<Call> {
    let words = model.watch.announced(model.now).filter(|_| model.focus != Pane::Rollout)?;
    let open = key(model, Command::Focus(Pane::Rollout)).unwrap_or_default();
    let stuck = matches!(model.watch.rollout.pace(model.now), Pace::Stuck(_));
    Some(Call {
        urgent: false,
        tone: if stuck { Tone::Warn } else { Tone::Busy },
        lead: words,
        rest: String::new(),
        right: format!("{open} shows it, Esc"),
    })
}

/// Draws the line.
pub fn draw(look: &Look, model: &Model, buf: &mut Buffer, area: Rect) {
    let call = match orphans(model) {
        Some(mut call) => {
            call.lead = format!("{} {}", look.glyphs.warn, call.lead);
            call
        }
        None => match subject(model) {
            Some(run) => words_of(look, model, run),
            None => match announcement(model) {
                Some(call) => call,
                None => return,
            },
        },
    };
    let (lead, rest) = if call.urgent { (Tone::Call, Tone::Call) } else { (call.tone, Tone::Text) };
    let mut spans = vec![look.say(lead, format!(" {}", call.lead))];
    if !call.rest.is_empty() {
        spans.push(look.say(rest, format!("   {}", call.rest)));
    }
    let mut room = area;
    if !call.right.is_empty() {
        let right = Line::from(vec![look.say(Tone::Muted, call.right), Span::raw(" ")]);
        room.width = area.width.saturating_sub(columns(line_width(&right)) + 2);
        look.put_right(buf, area, right);
    }
    look.put(buf, room, Line::from(spans));
    if call.urgent {
        buf.set_style(area, look.theme.of(Tone::Call));
    }
}

fn words_of(look: &Look, model: &Model, run: &RunView) -> Call {
    let at = run.current();
    let step = at.and_then(|at| run.steps.get(at));
    let node = step.and_then(|view| view.step.node.as_ref()).or_else(|| run.nodes.first());
    let who = node.map_or_else(|| run.kind.to_string(), ToString::to_string);
    let name = step.map_or("the end", |view| view.step.kind.name());
    let shown = words::run(look, run.state);
    let call = |lead: String, rest: String| Call {
        urgent: false,
        tone: shown.tone,
        lead: format!("{} {lead}", shown.glyph),
        rest,
        right: String::new(),
    };
    if let Some(words) = roll_words(look, model, run, at) {
        return words;
    }
    match run.state {
        RunState::Waiting => {
            let key = key_for(model, run, Command::Confirm);
            let what = step.map(|view| view.step.what.clone()).unwrap_or_default();
            let what = match &run.held {
                // it names the way on itself
                Some(why) if why.contains("by hand") => {
                    return Call { urgent: true, ..call(format!("{who}: {why}"), format!("{name} waits")) };
                }
                held => held.clone().unwrap_or(what),
            };
            Call { urgent: true, ..call(format!("{who}: {name} waits for you: {key}"), what) }
        }
        RunState::Failed => {
            let why = step.map(failure).unwrap_or_default();
            Call { urgent: true, ..call(format!("{who}: {name} failed: {}", ways_on(model, run)), why) }
        }
        RunState::Paused => {
            let why = run.held.clone().unwrap_or_default();
            call(format!("{who}: paused before {name}: {}", ways_on(model, run)), why)
        }
        RunState::Running => {
            let progress = step.and_then(|view| view.progress.as_ref());
            let text = progress.map(|progress| progress.text.clone()).filter(|text| !text.is_empty());
            let what = || step.map(|view| view.step.what.clone());
            let rest = text.or_else(what).unwrap_or_default();
            let shown = call(format!("{who}: {name}"), run.held.clone().unwrap_or(rest));
            // it goes on to its end, and does not go on by itself then
            let tone = if run.held.is_some() { Tone::Warn } else { shown.tone };
            Call { right: deadline(model, step), tone, ..shown }
        }
        RunState::Done | RunState::Aborted | RunState::Interrupted => ended(look, model, run, &who),
    }
}

/// How a run ended, and what it left.
fn ended(look: &Look, model: &Model, run: &RunView, who: &str) -> Call {
    let shown = words::run(look, run.state);
    let span = clock(run.ended.unwrap_or(model.now).since(run.started));
    let left = if run.left.is_empty() {
        "nothing is left changed beyond its purpose".to_owned()
    } else {
        format!("left: {}", run.left.join("; "))
    };
    let rest = if run.state == RunState::Interrupted {
        format!("{} what its last step did is not known", look.glyphs.unknown)
    } else {
        format!("{left}{}{}", compared(run), probes(run))
    };
    Call {
        urgent: false,
        tone: shown.tone,
        lead: format!("{} {who}: {} {} in {span}", shown.glyph, run.kind, shown.word),
        rest,
        right: String::new(),
    }
}

/// Columns for what a roll does now: the others are counted.
const ROLL: usize = 60;

/// A roll says how far it is, and which node wants a decision.
fn roll_words(look: &Look, model: &Model, run: &RunView, at: Option<usize>) -> Option<Call> {
    let roll = run.roll.as_deref()?;
    let shown = words::run(look, run.state);
    let (done, all) = roll.done(run, None);
    let turn = at.and_then(|at| roll.turn(at));
    let stuck = turn.filter(|turn| turn.is_stuck());
    let lead = |text: String| format!("{} {text}", shown.glyph);
    let call = Call {
        urgent: false,
        tone: shown.tone,
        lead: String::new(),
        rest: String::new(),
        right: String::new(),
    };
    match (run.state, stuck) {
        (RunState::Failed | RunState::Waiting | RunState::Paused, Some(turn)) => Some(Call {
            urgent: run.state != RunState::Paused,
            lead: lead(format!("{}: {}", turn.node, ways_on(model, run))),
            rest: turn.child.as_deref().map(super::roll::trouble).unwrap_or_default(),
            ..call
        }),
        (RunState::Waiting, None) if turn.is_some() => Some(Call {
            urgent: true,
            lead: lead(format!("roll {done}/{all}: {}", key_for(model, run, Command::Confirm))),
            rest: run.held.clone().unwrap_or_else(|| roll.paced.clone()),
            ..call
        }),
        (RunState::Running, _) if turn.is_some() || roll.under_way(run).next().is_some() => Some(Call {
            lead: lead(format!("roll {done}/{all}")),
            rest: super::roll::now(look, run, roll, model.now, ROLL),
            ..call
        }),
        _ => None,
    }
}

/// What the last look at the world said, beside what was done on purpose: a new boot, pods that moved.
fn compared(run: &RunView) -> String {
    let changed: Vec<String> = run
        .compared
        .iter()
        .filter(|one| !one.is_same())
        .map(crate::domain::found::Difference::words)
        .collect();
    match (run.compared.is_empty(), changed.is_empty()) {
        (true, _) => String::new(),
        (_, true) => "; looked at again: all as it was found".to_owned(),
        _ => format!("; looked at again: {}", changed.join(", ")),
    }
}

/// What the probes said last, the worst of them.
fn probes(run: &RunView) -> String {
    let worst = run.watched.ended.iter().max_by_key(|reading| reading.verdict.urgency());
    worst.map_or_else(String::new, |reading| format!("; probe {}: {}", reading.name, reading.judgement()))
}

/// Why the step failed, in one line.
fn failure(view: &StepView) -> String {
    match &view.state {
        StepState::Ended(Outcome::Failed(report), _) => report.line(),
        _ => String::new(),
    }
}

/// `gives up in 03:10`, while a step runs against a deadline.
pub fn deadline(model: &Model, step: Option<&StepView>) -> String {
    let Some(view) = step else { return String::new() };
    let limit = match (&view.state, view.progress.as_ref().and_then(|progress| progress.deadline)) {
        (StepState::Running(_), Some(limit)) => limit,
        (StepState::Running(since), None) if !view.step.timeout.is_zero() => since.plus(view.step.timeout),
        _ => return String::new(),
    };
    let left = clock(limit.since(model.now));
    let rests = view.step.kind == StepKind::Settle && view.progress.is_some();
    if rests { format!("looks again in {left}") } else { format!("gives up in {left}") }
}

/// `, + gives 5 min more`, while that may be done.
pub fn more_time(model: &Model) -> String {
    let may = crate::console::phase::extensible(model).and_then(|_| key(model, Command::Extend));
    may.map_or_else(String::new, |key| format!(", {key} gives 5 min more"))
}

/// The key of a command in the preset in use.
fn key(model: &Model, command: Command) -> Option<String> {
    keymap::bindings(model.setup.preset)
        .find(|binding| binding.command == command)
        .and_then(|binding| binding.keys.first())
        .map(ToString::to_string)
}

/// The key that answers, or the one that opens the run first.
fn key_for(model: &Model, run: &RunView, command: Command) -> String {
    if model.open == Some(run.op) {
        key(model, command).unwrap_or_default()
    } else {
        format!("{} shows it", key(model, Command::NextRun).unwrap_or_default())
    }
}

/// What the person can do now: `T try again, X abort`.
fn ways_on(model: &Model, run: &RunView) -> String {
    if model.open != Some(run.op) {
        return key_for(model, run, Command::NextRun);
    }
    let ways = keymap::bindings(model.setup.preset)
        .filter(|binding| binding.command.is_for_run() && !binding.word.is_empty())
        .filter(|binding| {
            keymap::obstacle(model, binding.command).is_none() && binding.command != Command::Pause
        })
        .filter_map(|binding| Some(format!("{} {}", binding.keys.first()?, binding.word)));
    ways.collect::<Vec<_>>().join(", ")
}
