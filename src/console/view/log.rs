//! The log pane: operations, events and errors as they happen, the newest below.

use super::look::{Look, rows};
use super::pane::{self, Title};
use super::text::{cut_middle, width};
use super::theme::Tone;
use super::words::time_of_day;
use crate::console::list::window;
use crate::console::model::{Model, Pane};
use crate::console::rows::visible_log;
use crate::domain::log::{Level, LogLine};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

/// With less room there is no column for the node, nor for the operation.
const ROOM_FOR_NODE: u16 = 60;
/// With less room the time has no seconds and the level no word.
const ROOM_FOR_WORDS: u16 = 44;
/// A node's name is cut to this.
const NODE: usize = 18;

/// Columns of the parts of a line; 0 = left out.
#[derive(Debug, Clone, Copy)]
struct Widths {
    all: u16,
    op: usize,
    node: usize,
}

impl Widths {
    /// As wide as the visible lines need.
    fn of<'l>(lines: impl Iterator<Item = &'l LogLine> + Clone, all: u16) -> Self {
        if all < ROOM_FOR_NODE {
            return Self { all, op: 0, node: 0 };
        }
        let op = lines.clone().filter_map(|line| Some(width(&line.op?.to_string()))).max().unwrap_or(0);
        let node = lines.filter_map(|line| Some(width(line.node.as_ref()?.as_str()))).max().unwrap_or(0);
        Self { all, op, node: node.min(NODE) }
    }
}

/// Draws the pane.
pub fn draw(look: &Look, model: &Model, buf: &mut Buffer, area: Rect) {
    let lines = visible_log(model);
    let list = &model.lists.log;
    let total = model.log.iter().count();
    let selected = list.selected.and_then(|number| {
        let at = lines.partition_point(|(known, _)| *known < number);
        lines.len().checked_sub(1).map(|last| at.min(last))
    });
    let height = usize::from(area.height.saturating_sub(1));
    let range = window(selected, lines.len(), height);
    let body = pane::open(look, model, buf, area, title(look, model, lines.len(), total, selected));
    if lines.is_empty() {
        let words = if list.filter.is_empty() {
            "nothing happened yet"
        } else {
            "nothing passes the filter: Esc clears it"
        };
        pane::say_empty(look, buf, body, Tone::Muted, words);
        return;
    }
    let focused = model.focus == Pane::Log && model.dialogs.is_empty();
    let widths = Widths::of(range.clone().filter_map(|at| Some(lines.get(at)?.1)), body.width);
    for (row, at) in rows(body).zip(range) {
        let Some((_, line)) = lines.get(at) else { continue };
        look.put(buf, row, self::line(look, line, widths, selected == Some(at)));
        if selected == Some(at) {
            look.select(buf, row, focused);
        }
    }
}

fn title<'a>(look: &Look, model: &Model, shown: usize, total: usize, selected: Option<usize>) -> Title<'a> {
    let mut after = Vec::new();
    if shown != total {
        after.push(look.say(Tone::Accent, format!("{shown} of {total}")));
    }
    let mut right = Vec::new();
    if !model.lists.log.filter.is_empty() {
        right.push(look.say(Tone::Accent, format!("/{}", model.lists.log.filter)));
    }
    if model.log.dropped > 0 {
        let verb = if model.log.dropped == 1 { "line was" } else { "lines were" };
        let words = format!("{} {verb} too fast to show, see the log file", model.log.dropped);
        right.push(look.say(Tone::Warn, words));
    }
    right.push(match selected {
        None => look.say(Tone::Muted, "follows"),
        Some(at) => look.say(Tone::Accent, format!("{} of {shown}, G follows", at + 1)),
    });
    right.push(look.say(Tone::Muted, "UTC"));
    Title { pane: Pane::Log, after, right }
}

fn line<'a>(look: &Look, line: &'a LogLine, widths: Widths, selected: bool) -> Line<'a> {
    let (tone, glyph, word) = match line.level {
        Level::Info => (Tone::Muted, " ", "info "),
        Level::Warn => (Tone::Warn, look.glyphs.warn, "warn "),
        Level::Error => (Tone::Bad, look.glyphs.bad, "error"),
    };
    let cursor = if selected { look.glyphs.selected } else { " " };
    let mut spans = vec![look.say(Tone::Accent, format!("{cursor} "))];
    let time = time_of_day(line.at);
    let node = line.node.as_ref().map_or("", |node| node.as_str());
    if widths.all < ROOM_FOR_WORDS {
        spans.push(look.say(Tone::Muted, time.get(..5).unwrap_or_default().to_owned()));
        spans.push(look.say(tone, format!(" {glyph} ")));
        spans.push(look.say(Tone::Text, line.text.as_str()));
        return Line::from(spans);
    }
    spans.push(look.say(Tone::Muted, time));
    spans.push(look.say(tone, format!("  {glyph} {word}")));
    if widths.op > 0 {
        let op = line.op.map(|op| op.to_string()).unwrap_or_default();
        spans.push(look.say(Tone::Muted, format!("  {op:wide$}", wide = widths.op)));
    }
    if widths.node > 0 {
        let name = cut_middle(node, widths.node, look.glyphs.ellipsis);
        let padding = " ".repeat(widths.node.saturating_sub(width(&name)));
        spans.push(look.say(Tone::Accent, format!("  {name}{padding}")));
    }
    spans.push(look.say(Tone::Text, format!("  {}", line.text)));
    Line::from(spans)
}
