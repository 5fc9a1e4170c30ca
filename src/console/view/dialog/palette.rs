//! The command line, above the footer, with what it can be completed to.

use super::sheet::frame;
use crate::console::dialog::Palette;
use crate::console::model::Model;
use crate::console::palette::suggestions;
use crate::console::view::look::{Look, inset, rows, split_bottom};
use crate::console::view::text::columns;
use crate::console::view::theme::Tone;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

/// Suggestions shown at most.
const MOST: usize = 8;

/// Draws it at the bottom of the screen, the footer's line included.
pub fn draw(look: &Look, model: &Model, buf: &mut Buffer, area: Rect, palette: &Palette) {
    let offers = suggestions(model, &palette.text);
    let shown = offers.len().min(MOST).min(usize::from(area.height.saturating_sub(4)));
    let tall = columns(shown) + 3 + u16::from(palette.notice.is_some());
    let (_, place) = split_bottom(area, tall);
    frame(look, buf, place, "Command", Tone::Accent);
    let inner = Rect { y: place.y + 1, height: place.height.saturating_sub(2), ..place };
    let wide =
        offers.iter().take(shown).map(|offer| super::super::text::width(&offer.text)).max().unwrap_or(0);
    let mut lines = Vec::new();
    for (at, offer) in offers.iter().enumerate().take(shown) {
        let chosen = palette.at == Some(at);
        let cursor = if chosen { look.glyphs.selected } else { " " };
        let tone = if chosen { Tone::Strong } else { Tone::Text };
        lines.push(Line::from(vec![
            look.say(Tone::Accent, format!("{cursor} ")),
            look.say(tone, format!("{:wide$}", offer.text)),
            look.say(Tone::Muted, format!("  {}", offer.help)),
        ]));
    }
    if let Some(notice) = &palette.notice {
        lines.push(look.line(Tone::Warn, format!("{} {notice}", look.glyphs.warn)));
    }
    lines.push(Line::from(vec![
        look.say(Tone::Accent, ":"),
        Span::raw(palette.text.clone()),
        Span::styled(" ", look.theme.of(Tone::Call)),
        look.say(Tone::Muted, "   Tab completes, Enter runs, Esc closes"),
    ]));
    for (row, line) in rows(inset(inner, 2)).zip(lines) {
        look.put(buf, row, line);
    }
    for (at, row) in rows(inset(inner, 1)).enumerate().take(shown) {
        if palette.at == Some(at) {
            look.select(buf, row, true);
        }
    }
}
