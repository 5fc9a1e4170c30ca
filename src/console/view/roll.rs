//! A roll at a glance: how far each group is, which nodes are in work and at what, what is next, what is stuck, when it ends.

use super::look::Look;
use super::steps::said;
use super::theme::Tone;
use super::words;
use crate::console::model::Model;
use crate::domain::roll::{Group, Role, RollView, TurnView};
use crate::domain::run::{Outcome, RunState, RunView, StepState};
use crate::domain::time::{Stamp, brief, clock};
use ratatui::text::{Line, Span};
use std::time::Duration;

/// Columns of a line's label.
const LABEL: usize = 6;
/// With less room than this the groups are abbreviated.
const NARROW: usize = 60;

/// The lines above the steps of a roll; none for any other run.
pub fn summary<'a>(look: &Look, model: &Model, run: &RunView, room: usize) -> Vec<Line<'a>> {
    let Some(roll) = &run.roll else { return Vec::new() };
    let mut lines = vec![groups(look, run, roll, room)];
    let stuck: Vec<&TurnView> = roll.under_way(run).filter(|turn| turn.is_stuck()).collect();
    if let Some(turn) = stuck.first() {
        let words = format!("{}: {}", turn.node, turn.child.as_deref().map_or(String::new(), trouble));
        lines.extend(one(said(look, Tone::Bad, "stuck ", &words, room)));
    }
    let text = now(look, run, roll, model.now, room.saturating_sub(LABEL));
    if !text.is_empty() {
        lines.extend(one(said(look, Tone::Busy, "now   ", &text, room)));
    }
    if !run.state.is_over() {
        let text = next(run, roll, model.now, room.saturating_sub(LABEL));
        if !text.is_empty() {
            lines.extend(one(said(look, Tone::Text, "next  ", &text, room)));
        }
        lines.extend(one(said(look, Tone::Text, "ends  ", &ends(run, roll), room)));
    }
    lines
}

fn one(mut lines: Vec<Line<'_>>) -> Vec<Line<'_>> {
    lines.truncate(1);
    lines
}

/// As many as fit, and how many more there are.
fn listed(names: &[String], between: &str, room: usize) -> String {
    if names.is_empty() {
        return String::new();
    }
    let all = |count: usize| {
        let more = names.len() - count;
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{}{more}", names[..count].join(between))
    };
    let fits = |count: &usize| super::text::width(&all(*count)) <= room;
    all((1..=names.len()).rev().find(fits).unwrap_or(names.len().min(1)))
}

/// A group's name where there is little room.
fn brief_name(group: Group) -> &'static str {
    match group {
        Group::ControlPlane => "cp",
        other => other.name(),
    }
}

fn groups<'a>(look: &Look, run: &RunView, roll: &RollView, room: usize) -> Line<'a> {
    let mut spans: Vec<Span<'a>> = Vec::new();
    for group in [Group::ControlPlane, Group::Canary, Group::Workers] {
        let (done, all) = roll.done(run, Some(group));
        if all == 0 {
            continue;
        }
        if !spans.is_empty() {
            spans.push(Span::raw("  "));
        }
        let name = if room < NARROW { brief_name(group) } else { group.name() };
        let tone = if done == all { Tone::Good } else { Tone::Strong };
        spans.push(look.say(Tone::Muted, format!("{name} ")));
        spans.push(look.say(tone, format!("{done}/{all}")));
    }
    let ended = |wanted: fn(&Outcome) -> bool| {
        let of = |turn: &&TurnView| {
            run.steps
                .get(turn.step)
                .is_some_and(|view| matches!(&view.state, StepState::Ended(outcome, _) if wanted(outcome)))
        };
        roll.turns.iter().filter(of).count()
    };
    let failed = ended(|outcome| matches!(outcome, Outcome::Failed(_) | Outcome::Aborted));
    let skipped = ended(|outcome| matches!(outcome, Outcome::Skipped(_)));
    for (count, word, tone) in [(failed, "failed", Tone::Bad), (skipped, "left out", Tone::Warn)] {
        if count > 0 {
            spans.push(look.say(tone, format!("   {count} {word}")));
        }
    }
    Line::from(spans)
}

/// What a node's own run is at: `worker-3 drain 2/5`.
fn at_work(turn: &TurnView, now: Stamp) -> String {
    let Some(child) = turn.child.as_deref() else { return turn.node.to_string() };
    let step = child.current().and_then(|at| child.steps.get(at));
    let Some(view) = step else { return turn.node.to_string() };
    let figures = view.progress.as_ref().and_then(|progress| Some((progress.done?, progress.total?)));
    let figures = figures.map_or_else(String::new, |(done, total)| format!(" {done}/{total}"));
    let span = words::span_of(view, child, now).map_or_else(String::new, |span| format!(" {span}"));
    format!("{} {}{figures}{span}", turn.node, view.step.kind.name())
}

/// Why a node's run does not go on.
pub fn trouble(child: &RunView) -> String {
    if let Some(why) = &child.held {
        return why.clone();
    }
    child
        .steps
        .iter()
        .find_map(|view| match &view.state {
            StepState::Ended(Outcome::Failed(report), _) => {
                Some(format!("{}: {}", view.step.kind.name(), report.line()))
            }
            _ => None,
        })
        .unwrap_or_else(|| "it waits for a decision".to_owned())
}

/// What is done now: the nodes in work, and where none is, what the next one waits for.
pub fn now(look: &Look, run: &RunView, roll: &RollView, at: Stamp, room: usize) -> String {
    let all: Vec<String> = roll.under_way(run).map(|turn| at_work(turn, at)).collect();
    if all.is_empty() && !run.state.is_over() {
        return paced(roll, at);
    }
    listed(&all, &format!(" {} ", look.glyphs.dot), room)
}

/// What holds the next node back, and for how long still.
fn paced(roll: &RollView, now: Stamp) -> String {
    let until = roll.until.filter(|until| *until > now && !roll.paced.is_empty());
    let left = until.map_or_else(String::new, |until| format!(", {}", clock(until.since(now))));
    format!("{}{left}", roll.paced)
}

/// The nodes to come; beside nodes in work, what holds the next one back too.
fn next(run: &RunView, roll: &RollView, now: Stamp, room: usize) -> String {
    let names: Vec<String> =
        roll.queue.iter().filter_map(|step| roll.turn(*step)).map(|turn| turn.node.0.clone()).collect();
    let has_work = roll.under_way(run).next().is_some();
    let paced = if has_work { paced(roll, now) } else { String::new() };
    match (names.is_empty(), paced.is_empty()) {
        (true, _) => paced,
        (false, true) => listed(&names, ", ", room),
        (false, false) => {
            let left = room.saturating_sub(super::text::width(&paced) + 2);
            format!("{}; {paced}", listed(&names, ", ", left))
        }
    }
}

/// By how long the nodes took that are done, of the same role where one is.
fn ends(run: &RunView, roll: &RollView) -> String {
    let took = |role: Option<Role>| {
        let mut spans: Vec<Duration> = roll
            .turns
            .iter()
            .filter(|turn| role.is_none_or(|role| turn.group.role() == role))
            .filter_map(|turn| match &run.steps.get(turn.step)?.state {
                StepState::Ended(Outcome::Done(_) | Outcome::Warned(_), took) => Some(*took),
                _ => None,
            })
            .collect();
        spans.sort();
        spans.get(spans.len() / 2).copied()
    };
    let mut left = Duration::ZERO;
    for role in [Role::ControlPlane, Role::Worker] {
        let of_role = |turn: &&TurnView| turn.group.role() == role;
        let open = |turn: &&TurnView| {
            run.steps.get(turn.step).is_some_and(|view| !matches!(view.state, StepState::Ended(..)))
        };
        let count = roll.turns.iter().filter(of_role).filter(open).count();
        if count == 0 {
            continue;
        }
        let Some(each) = took(Some(role)).or_else(|| took(None)) else {
            return "told once the first node is done".to_owned();
        };
        let workers = roll.turns.iter().filter(|turn| turn.group != Group::ControlPlane).count();
        let together = if role == Role::Worker { roll.options.max_unavailable.of(workers) } else { 1 };
        let rounds = u32::try_from(count.div_ceil(together)).unwrap_or(u32::MAX);
        left += (each + roll.options.interval(role)).saturating_mul(rounds);
    }
    let (done, all) = roll.done(run, None);
    format!("in about {}, {done} of {all} done", brief(left))
}

/// The steps of the run of the chosen turn's node, in few lines: what ended last, what is under way, what comes.
pub fn child<'a>(look: &Look, model: &Model, run: &RunView, at: usize, room: usize) -> Vec<Line<'a>> {
    let child = run.roll.as_ref().and_then(|roll| roll.turn(at)).and_then(|turn| turn.child.as_deref());
    let Some(child) = child else { return Vec::new() };
    let Some(current) = child.current().or_else(|| child.steps.len().checked_sub(1)) else {
        return Vec::new();
    };
    let mut lines = Vec::new();
    let state = words::run(look, child.state);
    lines.push(Line::from(vec![
        look.say(Tone::Muted, format!("run {}  ", child.id)),
        look.state(state.tone, state.glyph, &state.word),
    ]));
    let from = current.saturating_sub(1);
    for (index, view) in child.steps.iter().enumerate().skip(from).take(3) {
        if view.step.not_applicable.is_some() {
            continue;
        }
        let shown = words::step(look, child, index, view);
        let span = words::span_of(view, child, model.now).unwrap_or_default();
        lines.push(Line::from(vec![
            look.say(Tone::Muted, format!("{:>2}/{} ", index + 1, child.steps.len())),
            look.say(Tone::Text, format!("{:<17} ", view.step.kind.name())),
            look.state(shown.tone, shown.glyph, &shown.word),
            look.say(Tone::Text, format!(" {span}")),
        ]));
        if index == current && child.state != RunState::Done {
            lines.extend(super::steps::details(look, model, child, index, room));
        }
    }
    lines
}
