//! All that is known of something, and messages that must be seen.

use super::facts;
use super::sheet::{Sheet, room};
use crate::console::dialog::{Message, Page};
use crate::console::model::Model;
use crate::console::page;
use crate::console::view::look::Look;
use crate::console::view::text::wrap;
use crate::console::view::theme::Tone;
use crate::domain::log::Level;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// A page about something; its words are of this moment.
pub fn page(look: &Look, model: &Model, buf: &mut Buffer, area: Rect, shown: &Page) {
    let room = room(area, 100);
    let body = facts::lines(look, &page::facts(model, &shown.subject), room);
    let bottom = vec![look.line(Tone::Muted, "j k scroll, y copies, Esc closes")];
    let title = page::title(&shown.subject);
    Sheet { title, tone: Tone::Accent, body, asks: false, scroll: Some(shown.scroll), bottom, room }
        .draw(look, buf, area);
}

/// Something said.
pub fn message(look: &Look, buf: &mut Buffer, area: Rect, message: &Message) {
    let room = room(area, 78);
    let (tone, glyph) = match message.level {
        Level::Info => (Tone::Accent, look.glyphs.good),
        Level::Warn => (Tone::Warn, look.glyphs.warn),
        Level::Error => (Tone::Bad, look.glyphs.bad),
    };
    let lines = message.lines.iter().flat_map(|line| wrap(line, room));
    let body = lines.map(|line| look.line(Tone::Text, line)).collect();
    let bottom = vec![look.line(Tone::Muted, "Esc or Enter closes")];
    let title = format!("{glyph} {}", message.title);
    Sheet { title, tone, body, asks: false, scroll: None, bottom, room }.draw(look, buf, area);
}
