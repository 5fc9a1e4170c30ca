//! The log pane: operations, events and errors as they happen, the newest below.

use super::look::{Look, rows};
use super::pane::{self, Title};
use super::text::columns;
use super::theme::Tone;
use super::words::time_of_day;
use crate::console::list::window;
use crate::console::model::{Model, Pane};
use crate::console::rows::visible_log;
use crate::domain::log::{Level, LogLine};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

/// With less room the node is not a column of its own.
const ROOM_FOR_NODE: u16 = 76;
/// With less room the operation is not a column of its own.
const ROOM_FOR_OP: u16 = 56;
/// Columns of a node's name.
const NODE: usize = 14;

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
    let visible = range.clone().filter_map(|at| Some((at, lines.get(at)?.1)));
    for (row, (at, line)) in rows(body).zip(visible) {
        look.put(buf, row, self::line(look, line, row.width, selected == Some(at)));
        if selected == Some(at) {
            buf.set_style(row, look.theme.selection(focused));
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

fn line<'a>(look: &Look, line: &'a LogLine, width: u16, selected: bool) -> Line<'a> {
    let (tone, glyph, text_tone) = match line.level {
        Level::Info => (Tone::Muted, " ", Tone::Text),
        Level::Warn => (Tone::Warn, look.glyphs.warn, Tone::Text),
        Level::Error => (Tone::Bad, look.glyphs.bad, Tone::Bad),
    };
    let word = match line.level {
        Level::Info => "info ",
        Level::Warn => "warn ",
        Level::Error => "error",
    };
    let cursor = if selected { look.glyphs.selected } else { " " };
    let mut spans = vec![
        look.say(Tone::Accent, cursor),
        Span::raw(" "),
        look.say(Tone::Muted, time_of_day(line.at)),
        look.say(tone, format!("  {glyph} {word}")),
    ];
    let node = line.node.as_ref().map_or("", |node| node.as_str());
    if width >= ROOM_FOR_OP {
        let op = line.op.map(|op| op.to_string()).unwrap_or_default();
        spans.push(look.say(Tone::Muted, format!("  {op:<4}")));
    }
    if width >= ROOM_FOR_NODE {
        let name = super::text::cut_middle(node, NODE, look.glyphs.ellipsis);
        let padding = NODE.saturating_sub(super::text::width(&name));
        spans.push(look.say(Tone::Accent, format!(" {name}{}", " ".repeat(padding))));
    } else if !node.is_empty() && !line.text.contains(node) {
        spans.push(look.say(Tone::Accent, format!(" {node}")));
    }
    spans.push(look.say(text_tone, format!("  {}", line.text)));
    super::text::cut_line(Line::from(spans), usize::from(columns(usize::from(width))), look.glyphs.ellipsis)
}
