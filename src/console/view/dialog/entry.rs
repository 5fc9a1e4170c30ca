//! Draws a question that takes text.

use super::confirm::{asking, buttons, notice};
use super::sheet::room;
use crate::console::dialog::entry::{Entry, Purpose};
use crate::console::model::Model;
use crate::console::view::look::Look;
use crate::console::view::text::width;
use crate::console::view::theme::Tone;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

/// The question, what can be chosen, the field, the keys.
pub fn draw(look: &Look, model: &Model, buf: &mut Buffer, area: Rect, entry: &Entry) {
    let room = room(area, super::confirm::WIDTH);
    let armed = entry.prompt.is_armed(model.now);
    let mut bottom = notice(look, entry.notice.as_deref(), room);
    let (what, does) = match &entry.purpose {
        Purpose::Settle => ("Quiet time: ", "sets it"),
        Purpose::Accept { gates, at } => {
            for (place, gate) in gates.iter().enumerate() {
                let cursor = if place == *at { look.glyphs.selected } else { " " };
                let tone = if place == *at { Tone::Strong } else { Tone::Muted };
                bottom.push(look.line(tone, format!("{cursor} {gate}")));
            }
            ("Reason: ", "accepts it")
        }
    };
    bottom.push(field(look, what, &entry.prompt.typed, room));
    bottom.push(buttons(look, armed, false, "Enter", does));
    asking(look, buf, area, &entry.title, &entry.facts, bottom, entry.scroll);
}

/// The end of what is typed, and the cursor.
fn field<'a>(look: &Look, what: &str, typed: &str, room: usize) -> Line<'a> {
    let wide = room.saturating_sub(width(what) + 1).max(4);
    let mut shown = typed.to_owned();
    while width(&shown) > wide {
        shown.remove(0);
    }
    let padding = " ".repeat(wide.saturating_sub(width(&shown)));
    let style = look.theme.field();
    Line::from(vec![
        look.say(Tone::Text, what.to_owned()),
        Span::styled(shown, look.theme.of(Tone::Strong).patch(style)),
        Span::styled(" ", look.theme.of(Tone::Call)),
        Span::styled(padding, style),
    ])
}
