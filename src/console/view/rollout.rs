//! The rollout pane: what is done, what happens now, what comes next, what is stuck and when it ends, each in a line of its
//! own; below them the nodes, and what happened since the roll began.

use super::look::{Look, first_row, inset, rows, split_bottom, split_left, split_top};
use super::pane::{self, Title};
use super::source;
use super::table::{self, Column, TableRow};
use super::text::columns;
use super::theme::Tone;
use super::words::{self, Shown};
use crate::console::list::window;
use crate::console::model::{Model, Pane};
use crate::console::rows::visible_tracks;
use crate::domain::feed::Source;
use crate::domain::rollout::{Event, Happening, How, Pace, Phase, Stage, Track};
use crate::domain::time::brief;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

/// From this width on the timeline stands beside the nodes.
const WIDE: u16 = 140;
/// Columns of a label of the summary.
const LABEL: usize = 7;
/// Columns of the gauge.
const GAUGE: usize = 20;
/// So many nodes to come are named.
const NEXT: usize = 4;

const COLUMNS: [Column; 6] = [
    Column::new("NODE", 0, 10, 48).middle(),
    Column::whole("PHASE", 0),
    Column::whole("FOR", 2).right(),
    Column::whole("TURN", 4).right(),
    Column::new("WAITS FOR", 1, 34, 120),
    Column::whole("VERSION", 3),
];

/// Draws the pane.
pub fn draw(look: &Look, model: &Model, buf: &mut Buffer, area: Rect) {
    let body = pane::open(look, model, buf, area, title(look, model));
    let rollout = &model.watch.rollout;
    if !model.known.has_nodes {
        let (tone, why) = source::why_empty(model, Source::Api)
            .unwrap_or_else(|| (Tone::Unknown, "nodes are not known yet".to_owned()));
        pane::say_empty(look, buf, body, tone, &why);
        return;
    }
    if rollout.stage == Stage::Idle {
        let (first, below) = split_top(body, 2);
        pane::say_empty(look, buf, first, Tone::Text, &rollout.idle_words());
        let words = "A roll is shown here as soon as it begins, whoever drives it.";
        pane::say_empty(look, buf, below, Tone::Muted, words);
        return;
    }
    let facts = summary(look, model, body.height >= 14);
    let (top, below) = split_top(body, columns(facts.len()));
    look.put_all(buf, inset(top, 1), facts);
    let (nodes, story) = match below.height {
        _ if area.width >= WIDE => split_left(below, area.width * 3 / 5),
        0..10 => (below, Rect { height: 0, ..below }),
        tall => split_bottom(below, (tall / 3).min(12)),
    };
    draw_nodes(look, model, buf, nodes);
    draw_story(look, model, buf, if area.width >= WIDE { inset(story, 1) } else { story });
    if source::as_of(model, Source::Api).is_some() {
        pane::veil(look, buf, body);
    }
}

fn title<'a>(look: &Look, model: &Model) -> Title<'a> {
    let rollout = &model.watch.rollout;
    let mut after = Vec::new();
    if let Some(old) = source::as_of(model, Source::Api) {
        after.push(look.say(Tone::Unknown, format!("{} {old}", look.glyphs.unknown)));
    }
    let (done, total) = rollout.progress();
    match rollout.stage {
        Stage::Idle => {}
        Stage::Rolling { .. } if !rollout.is_roll() => {
            after.push(look.say(Tone::Text, "one node's maintenance, no roll yet"));
        }
        Stage::Rolling { .. } => after.push(look.say(Tone::Busy, format!("{done} of {total}"))),
        Stage::Ended { how: How::Complete, .. } => after.push(look.say(Tone::Good, "complete")),
        Stage::Ended { how: How::Failed, .. } => after.push(look.say(Tone::Bad, "over, with failures")),
        Stage::Ended { how: How::Stopped, .. } => after.push(look.say(Tone::Warn, "stopped")),
    }
    if rollout.stage != Stage::Idle {
        after.push(look.say(Tone::Text, rollout.aim.words()));
        after.extend(rollout.driver.iter().map(|by| look.say(Tone::Text, format!("by {by}"))));
    }
    let mut right = Vec::new();
    if !model.lists.rollout.filter.is_empty() {
        right.push(look.say(Tone::Accent, format!("/{}", model.lists.rollout.filter)));
    }
    if model.watch.trouble.is_some() {
        right.push(look.say(Tone::Unknown, "objects of other tools cannot be read"));
    }
    right.push(look.say(Tone::Muted, "UTC"));
    Title { pane: Pane::Rollout, after, right }
}

/// The answers: done, now, stuck, next, end; and the pods where there is room.
fn summary<'a>(look: &Look, model: &Model, with_pods: bool) -> Vec<Line<'a>> {
    let rollout = &model.watch.rollout;
    let now = model.now;
    let label = |word: &str| look.say(Tone::Muted, format!("{word:<LABEL$}"));
    let (done, total) = rollout.progress();
    let mut first = vec![label("done")];
    first.extend(look.gauge(done as u64, total as u64, GAUGE));
    first.push(look.say(Tone::Strong, format!("  {done}/{total}")));
    first.push(look.say(Tone::Text, format!("  {}", rollout.counted())));
    let mut lines = vec![Line::from(first)];
    let mut say = |word: &str, tone: Tone, text: String| {
        lines.push(Line::from(vec![label(word), look.say(tone, text)]));
    };
    if rollout.is_rolling() {
        say("now", Tone::Text, at_work(model));
    }
    match rollout.pace(now) {
        Pace::Stuck(stall) => say("stuck", Tone::Bad, stuck(model, &stall)),
        Pace::Quiet(words) => say("stuck", Tone::Muted, format!("no: {words}")),
        Pace::Moving => say("stuck", Tone::Muted, "no".to_owned()),
        Pace::Blind(since) => {
            let words = format!("not known: the API has not answered for {}", brief(now.since(since)));
            say("stuck", Tone::Unknown, words);
        }
        Pace::Idle => {}
    }
    if rollout.is_rolling() {
        say("next", Tone::Text, next(model));
    }
    say("end", if rollout.is_rolling() { Tone::Text } else { Tone::Strong }, rollout.end_words(now));
    if let (Some(before), Some(pods), true) = (&rollout.before, &rollout.pods, with_pods) {
        let worse = pods.pending > before.pending || pods.failed > before.failed;
        let tone = if worse { Tone::Warn } else { Tone::Text };
        let troubled = match pods.troubled.first() {
            Some(first) if worse => format!("; {first}"),
            _ => String::new(),
        };
        say("pods", tone, format!("{}{troubled}", before.words(pods)));
    }
    lines
}

/// The stall in words, the other stalls counted, and the way out.
fn stuck(model: &Model, stall: &crate::domain::rollout::Stall) -> String {
    let more = model.watch.rollout.stalls(model.now).len().saturating_sub(1);
    let more = if more > 0 { format!(" (+{more} more)") } else { String::new() };
    let way = if stall.budget.is_some() { "  B resolves" } else { "" };
    let span = brief(model.now.since(stall.since));
    format!("for {span}: {}{more}{way}", stall.why)
}

/// The nodes at work: `worker-7 draining 3/5 for 2m10s`.
fn at_work(model: &Model) -> String {
    let rollout = &model.watch.rollout;
    let busy = rollout.at_work();
    if busy.is_empty() {
        return "nobody works on a node".to_owned();
    }
    let words = busy.iter().map(|track| {
        let span = brief(track.in_phase(model.now));
        match track.phase {
            Phase::Draining => {
                format!("{} draining {}/{} {span}", track.name, track.load.gone(), track.load.total)
            }
            phase => format!("{} {phase} {span}", track.name),
        }
    });
    words.collect::<Vec<_>>().join(", ")
}

/// The nodes to come. In which order they come nobody says, so they stand by role and name.
fn next(model: &Model) -> String {
    let waiting: Vec<&Track> =
        model.watch.rollout.in_phase(Phase::Waiting).into_iter().filter(|track| !track.was_ill).collect();
    if waiting.is_empty() {
        return "none".to_owned();
    }
    let named: Vec<&str> = waiting.iter().take(NEXT).map(|track| track.name.as_str()).collect();
    let more = waiting.len().saturating_sub(NEXT);
    let more = if more > 0 { format!(" +{more}") } else { String::new() };
    format!("{} to come, by name: {}{more}", waiting.len(), named.join(", "))
}

fn draw_nodes(look: &Look, model: &Model, buf: &mut Buffer, area: Rect) {
    let tracks = visible_tracks(model);
    if tracks.is_empty() {
        pane::say_empty(look, buf, area, Tone::Muted, "nothing passes the filter: Esc clears it");
        return;
    }
    let list = &model.lists.rollout;
    let keys: Vec<_> = tracks.iter().map(|track| track.name.clone()).collect();
    let selected = list.position(&keys);
    let range = window(selected, tracks.len(), usize::from(area.height.saturating_sub(1)));
    let body: Vec<TableRow<'_>> = range
        .map(|at| TableRow {
            cells: cells(look, model, tracks[at]),
            selected: selected == Some(at),
            marked: false,
        })
        .collect();
    let focused = model.focus == Pane::Rollout && model.dialogs.is_empty();
    table::draw(look, buf, area, &COLUMNS, &body, focused);
}

fn cells<'a>(look: &Look, model: &Model, track: &Track) -> Vec<Line<'a>> {
    let now = model.now;
    let is_open = track.phase.is_in_turn();
    let span = |text: Option<String>, tone: Tone| match text {
        Some(text) => look.say(tone, text),
        None => Span::raw(""),
    };
    let in_phase = is_open.then(|| brief(track.in_phase(now)));
    let waits = model.watch.rollout.waits_for(track, now);
    let held = track.load.block.is_some() && is_open;
    let tone = match track.phase {
        Phase::Failed => Tone::Bad,
        _ if held => Tone::Bad,
        Phase::Waiting | Phase::Done => Tone::Muted,
        _ => Tone::Text,
    };
    vec![
        look.line(Tone::Strong, track.name.to_string()),
        phase(look, track).span(look).into(),
        span(in_phase, Tone::Text).into(),
        span(track.turn_span(now).map(brief), Tone::Text).into(),
        look.line(tone, waits),
        look.line(Tone::Muted, track.now.version.clone()),
    ]
}

/// Sign and word of a phase.
fn phase(look: &Look, track: &Track) -> Shown {
    let glyphs = look.glyphs;
    let (glyph, tone) = match track.phase {
        Phase::Waiting => (glyphs.pending, Tone::Muted),
        Phase::Cordoned => (glyphs.cordoned, Tone::Warn),
        Phase::Draining => (glyphs.draining, Tone::Busy),
        Phase::Away => (glyphs.rebooting, Tone::Busy),
        Phase::Back => (glyphs.running, Tone::Busy),
        Phase::Ready => (glyphs.skipped, Tone::Busy),
        Phase::Done => (glyphs.good, Tone::Good),
        Phase::Failed => (glyphs.bad, Tone::Bad),
    };
    let word = match track.phase {
        Phase::Draining => format!("draining {}/{}", track.load.gone(), track.load.total),
        _ if track.is_extra => format!("{}, extra", track.phase),
        phase => phase.to_string(),
    };
    Shown { glyph, word, tone }
}

/// What happened, the newest below.
fn draw_story(look: &Look, model: &Model, buf: &mut Buffer, area: Rect) {
    let (head, body) = first_row(area);
    if body.height == 0 {
        return;
    }
    let timeline = &model.watch.rollout.timeline;
    let began = model.watch.rollout.began().map(words::time_of_day).unwrap_or_default();
    let dropped = match timeline.dropped() {
        0 => String::new(),
        number => format!(", {number} older lines not kept"),
    };
    look.put(buf, head, look.line(Tone::Muted, format!(" since {began}{dropped}")));
    let skip = timeline.iter().len().saturating_sub(usize::from(body.height));
    for (row, line) in rows(body).zip(timeline.iter().skip(skip)) {
        look.put(buf, row, story_line(look, line));
    }
}

fn story_line<'a>(look: &Look, line: &Happening) -> Line<'a> {
    let (glyph, tone) = match line.event {
        Event::Blocked | Event::Stuck | Event::Unwatched | Event::Flapped | Event::GivenUp => {
            (look.glyphs.warn, Tone::Warn)
        }
        Event::Failed => (look.glyphs.bad, Tone::Bad),
        Event::Done | Event::Ended => (look.glyphs.good, Tone::Good),
        _ => (" ", Tone::Muted),
    };
    Line::from(vec![
        look.say(Tone::Muted, format!(" {} ", words::time_of_day(line.at))),
        look.say(tone, format!("{glyph} ")),
        look.say(Tone::Text, line.text.clone()),
    ])
}
