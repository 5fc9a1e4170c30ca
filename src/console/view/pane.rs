//! What every pane has: a title row that is also its only border, a body, words when it is empty, a veil when it is old.

use super::look::{Look, first_row, inset};
use super::text::{columns, cut_line, line_width, wrap};
use super::theme::Tone;
use crate::console::model::{Model, Pane};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

/// What the title row says.
#[derive(Debug, Clone)]
pub struct Title<'a> {
    /// Which pane: its key and its name.
    pub pane: Pane,
    /// After the name: counts, the run, the margin.
    pub after: Vec<Span<'a>>,
    /// At the right end: filter, order, age. The first that fit.
    pub right: Vec<Span<'a>>,
}

/// The name in a title.
fn name(pane: Pane) -> &'static str {
    match pane {
        Pane::Nodes => "Nodes",
        Pane::Etcd => "Etcd",
        Pane::Budgets => "Budgets",
        Pane::Log => "Log",
        Pane::Run => "Run",
        Pane::Rollout => "Rollout",
    }
}

/// The key that focuses a pane.
pub fn number(pane: Pane) -> usize {
    Pane::ALL.iter().position(|known| *known == pane).map_or(0, |at| at + 1)
}

/// Draws the title row and gives the body below it.
pub fn open(look: &Look, model: &Model, buf: &mut Buffer, area: Rect, title: Title<'_>) -> Rect {
    let (row, body) = first_row(area);
    let focused = model.focus == title.pane && model.dialogs.is_empty();
    let (rule, tone) =
        if focused { (look.glyphs.full, Tone::Accent) } else { (look.glyphs.rule, Tone::Faint) };
    let wide = usize::from(row.width);
    look.put(buf, row, look.line(tone, rule.repeat(wide)));
    let name_tone = if focused { Tone::Accent } else { Tone::Muted };
    let mut left = vec![
        look.say(name_tone, format!(" {} ", number(title.pane))),
        look.say(if focused { Tone::Accent } else { Tone::Strong }, name(title.pane)),
        Span::raw(" "),
    ];
    for (at, span) in title.after.into_iter().enumerate() {
        if at > 0 {
            left.push(look.say(Tone::Muted, format!("{} ", look.glyphs.dot)));
        }
        left.push(span);
        left.push(Span::raw(" "));
    }
    let left = cut_line(Line::from(left), wide.saturating_sub(2), look.glyphs.ellipsis);
    let taken = columns(line_width(&left)) + 1;
    look.put(buf, Rect { x: row.x + 1.min(row.width), width: row.width.saturating_sub(1), ..row }, left);
    right(look, buf, row, taken, title.right);
    body
}

/// Facts at the right end of a title row, as many as fit beside what is there.
fn right(look: &Look, buf: &mut Buffer, row: Rect, taken: u16, facts: Vec<Span<'_>>) {
    let mut room = usize::from(row.width.saturating_sub(taken + 2));
    let mut kept = Vec::new();
    for fact in facts {
        let wide = super::text::width(&fact.content) + 2;
        if wide > room {
            break;
        }
        room -= wide;
        kept.push(Span::raw(" "));
        kept.push(fact);
        kept.push(Span::raw(" "));
    }
    if !kept.is_empty() {
        let place = Rect { width: row.width.saturating_sub(1), ..row };
        look.put_right(buf, place, Line::from(kept));
    }
}

/// Words in a body that has no rows.
pub fn say_empty(look: &Look, buf: &mut Buffer, body: Rect, tone: Tone, text: &str) {
    let place = inset(body, 2);
    let lines = wrap(text, usize::from(place.width));
    look.put_all(buf, place, lines.into_iter().map(|line| look.line(tone, line)));
}

/// Takes the colour from a place: what is shown there is old, or something stands in front of it.
pub fn veil(look: &Look, buf: &mut Buffer, body: Rect) {
    let body = body.intersection(buf.area);
    for y in body.top()..body.bottom() {
        for x in body.left()..body.right() {
            if let Some(cell) = buf.cell_mut((x, y)) {
                let bg = cell.style().bg;
                cell.set_style(ratatui::style::Style::reset());
                cell.set_style(look.theme.stale());
                if let Some(bg) = bg {
                    cell.set_bg(bg);
                }
            }
        }
    }
}
