//! The run pane: every step in a line of its own, and below them what there is to say of one of them.

use super::look::{Look, first_row, inset, split_bottom, split_top};
use super::pane::{self, Title};
use super::probes;
use super::steps;
use super::text::cut_middle;
use super::theme::Tone;
use super::words;
use crate::console::list::window;
use crate::console::model::{Model, Pane};
use crate::domain::run::{Outcome, RunState, RunView, StepState, StepView};
use crate::domain::time::{brief, clock};
use crate::domain::window::Opening;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

/// Columns of the longest step's name.
const NAME: usize = 17;
/// The same where a node is named too.
const MOST_NAME: usize = 30;
/// Columns of all that stands beside a name.
const OTHERS: usize = 28;
/// Columns of a state: sign, blank, the longest word.
const STATE: usize = 9;
/// Columns of a duration.
const SPAN: usize = 7;
/// A note is not begun with less room than this.
const LEAST_NOTE: usize = 12;

/// Draws the pane.
pub fn draw(look: &Look, model: &Model, buf: &mut Buffer, area: Rect) {
    let Some(run) = model.open_run() else {
        let title = Title { pane: Pane::Run, after: Vec::new(), right: Vec::new() };
        let body = pane::open(look, model, buf, area, title);
        let words = match model.open.and_then(|op| model.starting.get(&op)) {
            Some(request) => format!("{} is being planned", request.kind),
            None => "no run is open".to_owned(),
        };
        pane::say_empty(look, buf, body, Tone::Muted, &words);
        return;
    };
    let body = pane::open(look, model, buf, area, title(look, model, run));
    let is_live = !run.state.is_over();
    let probes = if is_live { run.watched.probes.as_slice() } else { &[] };
    let (body, strip) = split_bottom(body, probes::rows(probes, usize::from(body.height)));
    probes::draw(look, buf, inset(strip, 1), probes);
    let head = super::roll::summary(look, model, run, usize::from(inset(body, 1).width));
    let (above, body) = split_top(body, super::text::columns(head.len()));
    look.put_all(buf, inset(above, 1), head);
    let len = run.steps.len();
    let tall = usize::from(body.height);
    // all steps if they fit; otherwise the details keep a third
    let listed = if len <= tall { len } else { tall - tall / 3 };
    let (list, below) = split_top(body, super::text::columns(listed));
    let at = shown_step(model, run);
    draw_steps(look, model, buf, list, run, at);
    let details = steps::details(look, model, run, at, usize::from(inset(below, 2).width));
    draw_details(look, buf, below, details);
}

/// The step that the cursor is on: the chosen one, or the current one, or the last.
fn shown_step(model: &Model, run: &RunView) -> usize {
    let last = run.steps.len().saturating_sub(1);
    model.lists.run.selected.or_else(|| run.current()).unwrap_or(last).min(last)
}

fn title<'a>(look: &Look, model: &Model, run: &RunView) -> Title<'a> {
    let shown = words::run(look, run.state);
    let span = clock(run.ended.unwrap_or(model.now).since(run.started));
    let mut shown = shown;
    if run.automatic && run.state == RunState::Running {
        shown.word = match &run.window {
            Opening::Open(closes) => {
                format!("automatic, window closes in {}", brief(closes.at.since(model.now)))
            }
            Opening::Always | Opening::Closed { .. } => "automatic".to_owned(),
        };
    }
    let mut right = vec![look.say(Tone::Text, format!("{} {span}", words::place(run)))];
    let lives = model.live_runs().count();
    if lives > 1 {
        right.push(look.say(Tone::Muted, format!("one of {lives} runs")));
    }
    Title { pane: Pane::Run, after: vec![look.say(Tone::Strong, words::title(run)), shown.span(look)], right }
}

fn draw_steps(look: &Look, model: &Model, buf: &mut Buffer, area: Rect, run: &RunView, at: usize) {
    let range = window(Some(at), run.steps.len(), usize::from(area.height));
    let (above, below) = (range.start, run.steps.len() - range.end);
    let visible = range.clone().filter_map(|index| Some((index, run.steps.get(index)?)));
    for (row, (index, view)) in super::look::rows(area).zip(visible) {
        look.put(buf, row, step_line(look, model, run, index, view, usize::from(row.width)));
        if index == at {
            let focused = model.focus == Pane::Run && model.dialogs.is_empty();
            look.select(buf, row, focused);
        }
    }
    for (count, sign, y) in
        [(above, look.glyphs.up, area.y), (below, look.glyphs.down, area.bottom().saturating_sub(1))]
    {
        if count > 0 {
            let row = Rect { y, height: 1.min(area.height), ..area };
            look.put_right(buf, row, look.line(Tone::Muted, format!(" {sign}{count}")));
        }
    }
}

/// One step in one line: number, name, state, duration, attempts, and a note where there is room.
fn step_line<'a>(
    look: &Look,
    model: &Model,
    run: &RunView,
    index: usize,
    view: &StepView,
    room: usize,
) -> Line<'a> {
    let shown = words::step(look, run, index, view);
    let current = run.current() == Some(index) && !run.state.is_over();
    let mut name = if view.is_undo {
        format!("undo: {}", view.step.kind.name())
    } else {
        view.step.kind.name().to_owned()
    };
    // in a run over several nodes each step says whose it is
    let several = run.nodes.len() > 1;
    if let Some(node) = view.step.node.as_ref().filter(|_| several) {
        name = format!("{name} {node}");
    }
    let wide = if several { room.saturating_sub(OTHERS).clamp(NAME, MOST_NAME) } else { NAME };
    let name = cut_middle(&name, wide, look.glyphs.ellipsis);
    let name_tone = match view.state {
        _ if current => Tone::Strong,
        StepState::Pending => Tone::Muted,
        _ => Tone::Text,
    };
    let cursor = if current { look.glyphs.selected } else { " " };
    let state = format!("{} {}", shown.glyph, shown.word);
    let padding = STATE.saturating_sub(super::text::width(&state));
    let span = words::span_of(view, run, model.now).unwrap_or_default();
    let attempts = if view.attempts > 1 { format!(" x{}", view.attempts) } else { "   ".to_owned() };
    let mut spans = vec![
        look.say(Tone::Accent, cursor),
        look.say(Tone::Muted, format!("{:>2} ", index + 1)),
        look.say(name_tone, format!("{name:wide$}  ")),
        look.say(shown.tone, state),
        Span::raw(" ".repeat(padding)),
        look.say(Tone::Text, format!(" {span:>SPAN$}")),
        look.say(Tone::Warn, attempts),
    ];
    let taken: usize = spans.iter().map(|span| super::text::width(&span.content)).sum();
    if room >= taken + LEAST_NOTE
        && let Some((tone, note)) = of_turn(run, index).or_else(|| note(view))
    {
        spans.push(look.say(tone, format!("  {note}")));
    }
    Line::from(spans)
}

/// What the run of a turn's node is at.
fn of_turn(run: &RunView, at: usize) -> Option<(Tone, String)> {
    let child = run.roll.as_ref()?.turn(at)?.child.as_deref()?;
    if !matches!(run.steps.get(at)?.state, StepState::Running(_)) {
        return None;
    }
    let view = child.steps.get(child.current()?)?;
    let text = view.progress.as_ref().map_or(String::new(), |progress| format!(": {}", progress.text));
    Some((Tone::Text, format!("{}{text}", view.step.kind.name())))
}

/// What there is to say of a step beside its state.
fn note(view: &StepView) -> Option<(Tone, String)> {
    match &view.state {
        StepState::Pending => view.step.not_applicable.clone().map(|why| (Tone::Muted, why)),
        StepState::Running(_) => view.progress.as_ref().map(|progress| (Tone::Text, progress.text.clone())),
        StepState::Ended(outcome, _) => match outcome {
            Outcome::Done(text) | Outcome::Skipped(text) => Some((Tone::Muted, text.clone())),
            Outcome::Warned(text) => Some((Tone::Warn, text.clone())),
            Outcome::Failed(report) => Some((Tone::Bad, report.message.clone())),
            Outcome::Aborted => None,
        },
    }
}

/// As many lines as fit; how many do not is said (Enter shows all).
fn draw_details(look: &Look, buf: &mut Buffer, area: Rect, lines: Vec<Line<'_>>) {
    let mut area = inset(area, 2);
    if area.height >= 5 {
        let (rule, rest) = first_row(area);
        look.put(buf, rule, look.line(Tone::Faint, look.glyphs.rule.repeat(usize::from(rule.width))));
        area = rest;
    }
    let room = usize::from(area.height);
    let hidden = lines.len().saturating_sub(room);
    look.put_all(buf, area, lines);
    if hidden > 0 && room > 0 {
        let last = Rect { y: area.bottom() - 1, height: 1, width: area.width + 1, ..area };
        look.put_right(buf, last, look.line(Tone::Muted, format!(" {}{hidden}", look.glyphs.down)));
    }
}
