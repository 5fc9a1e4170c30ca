//! The top of the screen: which cluster, how alive the sources are, what etcd can lose, who holds the lock, what runs.

use super::look::{Look, first_row};
use super::source;
use super::text::{columns, cut_middle, line_width, width};
use super::theme::Tone;
use super::words;
use crate::console::model::Model;
use crate::domain::feed::Source;
use crate::domain::run::{RunState, RunView};
use crate::domain::time::clock;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

/// Blank columns between two facts.
const GAP: usize = 3;
/// The context is not cut below this while other facts can go.
const LEAST_CONTEXT: usize = 12;

/// Draws one or two lines.
pub fn draw(look: &Look, model: &Model, buf: &mut Buffer, area: Rect) {
    let (first, second) = first_row(area);
    if second.height == 0 {
        let right = fit_right(look, runs(look, model), first, 2);
        let room = usize::from(first.width).saturating_sub(line_width(&right) + GAP);
        let mut facts = vec![liveness(look, model), quorum(look, model)];
        facts.extend(lock(look, model));
        look.put(buf, first, left_line(look, model, room, facts));
        look.put_right(buf, first, right);
        return;
    }
    let right = liveness(look, model);
    let room = usize::from(first.width).saturating_sub(line_width(&right) + GAP);
    look.put(buf, first, left_line(look, model, room, Vec::new()));
    look.put_right(buf, first, right);
    let right = fit_right(look, runs(look, model), second, 2);
    let room = usize::from(second.width).saturating_sub(line_width(&right) + GAP);
    let mut facts = vec![quorum(look, model)];
    facts.extend(lock(look, model));
    let mut line = join(facts, room + 2);
    line.spans.insert(0, Span::raw(" "));
    look.put(buf, Rect { width: columns(room), ..second }, line);
    look.put_right(buf, second, right);
}

/// Product, context, version and marks, then other facts as far as they fit.
fn left_line<'a>(look: &Look, model: &'a Model, room: usize, others: Vec<Line<'a>>) -> Line<'a> {
    let brand = Line::from(vec![Span::raw(" "), look.say(Tone::Accent, "pitstop")]);
    let mut marks = Vec::new();
    if model.setup.policy.read_only {
        marks.push(look.line(Tone::Warn, "[read-only]"));
    }
    if let Some(demo) = &model.setup.demo {
        marks.push(look.line(Tone::Warn, format!("[{demo}]")));
    }
    let version = model.known.version.as_deref().map(|version| look.line(Tone::Muted, version));
    let context = model.setup.policy.context.as_str();
    let needs = |lines: &[Line<'_>]| -> usize { lines.iter().map(|line| line_width(line) + GAP).sum() };
    let fixed = line_width(&brand) + GAP + needs(&marks);
    let wanted = needs(version.as_slice()) + needs(&others);
    let spare = room.saturating_sub(fixed + wanted).max(LEAST_CONTEXT.min(room.saturating_sub(fixed)));
    let context = match context {
        "" => look.line(Tone::Unknown, "no context"),
        context => {
            let tone = if model.setup.policy.is_protected() { Tone::Warn } else { Tone::Strong };
            look.line(tone, cut_middle(context, spare.min(width(context)), look.glyphs.ellipsis))
        }
    };
    let facts = [brand, context].into_iter().chain(marks).chain(version).chain(others);
    join(facts.collect(), room)
}

/// Facts side by side, as many as fit.
fn join(facts: Vec<Line<'_>>, room: usize) -> Line<'_> {
    let mut spans = Vec::new();
    let mut taken = 0;
    for fact in facts {
        let wide = line_width(&fact) + if taken > 0 { GAP } else { 0 };
        if taken + wide > room {
            continue;
        }
        if taken > 0 {
            spans.push(Span::raw(" ".repeat(GAP)));
        }
        taken += wide;
        spans.extend(fact.spans);
    }
    Line::from(spans)
}

fn liveness<'a>(look: &Look, model: &Model) -> Line<'a> {
    let mut spans = Vec::new();
    for source in [Source::Api, Source::Etcd, Source::Ssh] {
        if !spans.is_empty() {
            spans.push(Span::raw("  "));
        }
        spans.extend(source::badge(look, model, source));
    }
    spans.push(Span::raw(" "));
    Line::from(spans)
}

/// What etcd can lose, in words.
fn quorum<'a>(look: &Look, model: &Model) -> Line<'a> {
    let Some(quorum) = model.known.etcd.as_ref().and_then(crate::domain::etcd::EtcdView::quorum) else {
        return look.line(Tone::Unknown, format!("etcd quorum {} not known", look.glyphs.unknown));
    };
    let tone = match quorum.margin() {
        None => Tone::Bad,
        Some(0) => Tone::Warn,
        Some(_) => Tone::Text,
    };
    match source::as_of(model, Source::Etcd) {
        Some(age) => look.line(Tone::Unknown, format!("{} {} {age}", look.glyphs.unknown, quorum.words())),
        None => look.line(tone, quorum.words()),
    }
}

/// Who holds the maintenance lock, when somebody does.
fn lock<'a>(look: &Look, model: &Model) -> Option<Line<'a>> {
    let lock = model.known.lock.as_ref()?;
    let ours = lock.run.as_ref().is_some_and(|id| model.live_runs().any(|run| run.id == *id));
    let (tone, words) = match (&lock.tombstone, lock.is_expired(model.now)) {
        _ if ours => (Tone::Text, "this run".to_owned()),
        (Some(_), _) => (Tone::Warn, format!("left behind by {}", lock.holder)),
        (None, true) => (Tone::Warn, format!("{}, not renewed any more", lock.holder)),
        (None, false) => (Tone::Warn, lock.holder.clone()),
    };
    Some(Line::from(vec![look.say(Tone::Muted, "lock "), look.say(tone, words)]))
}

/// The runs that live, the one that waits for the person first.
fn runs<'a>(look: &Look, model: &Model) -> Vec<Line<'a>> {
    let mut all: Vec<&RunView> = model.live_runs().collect();
    all.sort_by_key(|run| !matches!(run.state, RunState::Waiting | RunState::Failed));
    let mut lines: Vec<Line<'a>> = all.into_iter().map(|run| one_run(look, model, run)).collect();
    lines.extend(model.starting.values().map(|request| {
        let node = request.nodes.first().map(|node| format!(" {node}")).unwrap_or_default();
        look.line(Tone::Busy, format!("{}{node} starting", request.kind))
    }));
    lines
}

/// `▶ reboot cp-1 7/16 01:42`.
fn one_run<'a>(look: &Look, model: &Model, run: &RunView) -> Line<'a> {
    let shown = words::run(look, run.state);
    let span = clock(run.ended.unwrap_or(model.now).since(run.started));
    let place = words::place(run);
    Line::from(vec![
        look.say(shown.tone, format!("{} ", shown.glyph)),
        look.say(Tone::Strong, words::title(run)),
        look.say(Tone::Text, format!(" {place} {span}")),
    ])
}

/// As many runs as fit into half of the row; the others are counted.
fn fit_right<'a>(look: &Look, runs: Vec<Line<'a>>, row: Rect, share: u16) -> Line<'a> {
    let room = usize::from(row.width / share);
    let total = runs.len();
    let mut spans = Vec::new();
    let mut taken = 0;
    for (at, run) in runs.into_iter().enumerate() {
        let wide = line_width(&run) + 2;
        if taken + wide + 3 > room && at > 0 {
            spans.push(look.say(Tone::Muted, format!("  +{}", total - at)));
            break;
        }
        if at > 0 {
            spans.push(Span::raw("  "));
        }
        taken += wide;
        spans.extend(run.spans);
    }
    spans.push(Span::raw(" "));
    Line::from(spans)
}
