//! The top of the screen: which cluster, how alive the sources are, what etcd can lose, who holds the lock, what runs.

use super::look::{Look, first_row};
use super::source;
use super::text::{columns, cut_middle, line_width, width};
use super::theme::Tone;
use super::words;
use crate::console::model::Model;
use crate::console::phase::quorum_words;
use crate::domain::feed::Source;
use crate::domain::lock::LeaseRow;
use crate::domain::rollout::Pace;
use crate::domain::run::{RunState, RunView};
use crate::domain::text::count;
use crate::domain::time::{Stamp, age, clock};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

/// Blank columns between two facts.
const GAP: usize = 3;
/// Other facts go before the context is cut below this.
const MOST_CONTEXT: usize = 24;

/// Whether one line holds all facts.
pub fn fits_one_line(look: &Look, model: &Model, area: Rect) -> bool {
    let row = Rect { height: 1, ..area };
    let right = line_width(&fit_right(look, runs(look, model), row, 2));
    let context = width(&model.setup.policy.context).clamp(10, MOST_CONTEXT);
    let version = model.known.version.as_deref().map_or(0, |version| width(version) + GAP);
    let mut facts = vec![liveness(look, model), quorum(look, model)];
    facts.extend(questions(look, model));
    facts.extend(lock(look, model));
    facts.extend(rollout(look, model));
    facts.extend(marks(look, model));
    let facts: usize = facts.iter().map(|line| line_width(line) + GAP).sum();
    1 + "pitstop".len() + GAP + context + GAP + version + facts + right <= usize::from(area.width)
}

/// Draws one or two lines.
pub fn draw(look: &Look, model: &Model, buf: &mut Buffer, area: Rect) {
    let (first, second) = first_row(area);
    if second.height == 0 {
        let right = fit_right(look, runs(look, model), first, 2);
        let room = usize::from(first.width).saturating_sub(line_width(&right) + GAP);
        let mut facts = vec![(0, liveness(look, model)), (1, quorum(look, model))];
        facts.extend(questions(look, model).map(|asked| (0, asked)));
        facts.extend(lock(look, model).map(|lock| (3, lock)));
        facts.extend(rollout(look, model).map(|rollout| (0, rollout)));
        look.put(buf, first, left_line(look, model, room, marks(look, model), facts));
        look.put_right(buf, first, right);
        return;
    }
    let mut right = liveness(look, model);
    right.spans.push(Span::raw(" "));
    let room = usize::from(first.width).saturating_sub(line_width(&right) + GAP);
    look.put(buf, first, left_line(look, model, room, Vec::new(), Vec::new()));
    look.put_right(buf, first, right);
    let right = fit_right(look, runs(look, model), second, 2);
    let room = usize::from(second.width).saturating_sub(line_width(&right) + GAP);
    let mut facts: Vec<Line<'_>> = questions(look, model).into_iter().collect();
    facts.extend(rollout(look, model));
    facts.push(quorum(look, model));
    facts.extend(lock(look, model));
    facts.extend(marks(look, model));
    let mut line = join(facts, room + 2);
    line.spans.insert(0, Span::raw(" "));
    look.put(buf, Rect { width: columns(room), ..second }, line);
    look.put_right(buf, second, right);
}

/// Product, context, marks and version, then other facts as far as they fit, those of a lower rank before others.
fn left_line<'a>(
    look: &Look,
    model: &'a Model,
    room: usize,
    marks: Vec<Line<'a>>,
    mut others: Vec<(u8, Line<'a>)>,
) -> Line<'a> {
    let brand = Line::from(vec![Span::raw(" "), look.say(Tone::Accent, "pitstop")]);
    let version = model.known.version.as_deref().map(|version| (2, look.line(Tone::Muted, version)));
    others.splice(0..0, version);
    let context = model.setup.policy.context.as_str();
    let fixed: usize = [&brand].into_iter().chain(&marks).map(|line| line_width(line) + GAP).sum();
    let needs =
        |facts: &[(u8, Line<'_>)]| -> usize { facts.iter().map(|(_, line)| line_width(line) + GAP).sum() };
    let wanted = width(context).min(MOST_CONTEXT);
    // the least important facts go, so that the context can be read
    while fixed + wanted + needs(&others) > room {
        let Some(least) = (0..others.len()).max_by_key(|&at| others[at].0) else { break };
        others.remove(least);
    }
    let spare = room.saturating_sub(fixed + needs(&others));
    let context = match context {
        "" => look.line(Tone::Unknown, "no context"),
        context => {
            let tone = if model.setup.policy.is_protected() { Tone::Warn } else { Tone::Strong };
            look.line(tone, cut_middle(context, spare.min(width(context)), look.glyphs.ellipsis))
        }
    };
    let others = others.into_iter().map(|(_, line)| line);
    let facts = [brand, context].into_iter().chain(marks).chain(others);
    join(facts.collect(), room)
}

/// What must not be forgotten: nothing can be changed, nothing is real, an earlier run did not end.
fn marks<'a>(look: &Look, model: &Model) -> Vec<Line<'a>> {
    let read_only = model.setup.policy.read_only.then(|| look.line(Tone::Warn, "[read-only]"));
    let demo = model.setup.demo.as_ref().map(|demo| look.line(Tone::Warn, format!("[{demo}]")));
    // while it is called out the call says so
    let open = Some(model.known.orphans.len()).filter(|open| *open > 0 && !model.is_calling).map(|open| {
        let key = if model.open_run().is_some() { ":orphans" } else { "5" };
        look.line(Tone::Warn, format!("[{}: {key}]", count(open, "unfinished run")))
    });
    read_only.into_iter().chain(demo).chain(open).collect()
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
    Line::from(spans)
}

/// What etcd can lose, in words.
fn quorum<'a>(look: &Look, model: &Model) -> Line<'a> {
    let etcd = model.known.etcd.as_ref();
    let quorum = etcd.and_then(crate::domain::etcd::EtcdView::quorum);
    let (Some(quorum), Some(words)) = (quorum, quorum_words(model)) else {
        return look.line(Tone::Unknown, format!("etcd quorum {} not known", look.glyphs.unknown));
    };
    if etcd.is_some_and(crate::domain::etcd::EtcdView::is_silent) {
        return look.line(Tone::Unknown, format!("{} {words}", look.glyphs.unknown));
    }
    let others = etcd.iter().flat_map(|etcd| &etcd.others).map(|cluster| cluster.quorum());
    if others.clone().any(|quorum| quorum.is_none()) {
        return look.line(Tone::Unknown, format!("{} {words}", look.glyphs.unknown));
    }
    let least = others.flatten().map(|quorum| quorum.margin()).fold(quorum.margin(), std::cmp::min);
    let tone = match least {
        None => Tone::Bad,
        Some(0) => Tone::Warn,
        Some(_) => Tone::Text,
    };
    match source::as_of(model, Source::Etcd) {
        Some(age) => look.line(Tone::Unknown, format!("{} {words} {age}", look.glyphs.unknown)),
        None => look.line(tone, words),
    }
}

/// `anna@bastion: drain cp-2, 3m12s`: what another console does, from its lease alone.
fn at_work(lease: &LeaseRow, now: Stamp) -> String {
    let step = lease.step.as_deref().unwrap_or("at work");
    let node = lease.node.as_ref().map(|node| format!(" {node}")).unwrap_or_default();
    let since = lease.since.map(|since| format!(", {}", age(now.since(since)))).unwrap_or_default();
    format!("{}: {step}{node}{since}", lease.holder)
}

/// Who holds the maintenance lock, when somebody does.
fn lock<'a>(look: &Look, model: &Model) -> Option<Line<'a>> {
    let lease = model.known.lock.as_ref()?;
    let ours = lease.run.as_ref().is_some_and(|id| model.live_runs().any(|run| run.id == *id));
    let (tone, words) = match (&lease.tombstone, lease.is_expired(model.now)) {
        _ if ours => (Tone::Text, "this run".to_owned()),
        (Some(_), _) => (Tone::Warn, format!("left behind by {}", lease.holder)),
        (None, true) => (Tone::Warn, format!("{}, not renewed any more", lease.holder)),
        (None, false) => (Tone::Warn, at_work(lease, model.now)),
    };
    Some(Line::from(vec![look.say(Tone::Muted, "lock "), look.say(tone, words)]))
}

/// That SSH waits for an answer, and the key that gives it.
fn questions<'a>(look: &Look, model: &Model) -> Option<Line<'a>> {
    let count = model.known.questions.len();
    (count > 0).then(|| look.line(Tone::Warn, format!("{} ssh asks: a", look.glyphs.warn)))
}

/// `rolling 4/12, ends about 14:32`: while a roll is under way.
fn rollout<'a>(look: &Look, model: &Model) -> Option<Line<'a>> {
    let rollout = &model.watch.rollout;
    let words = rollout.headline(model.now).filter(|_| rollout.is_rolling())?;
    let tone = if matches!(rollout.pace(model.now), Pace::Stuck(_)) { Tone::Warn } else { Tone::Busy };
    Some(look.line(tone, words))
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
