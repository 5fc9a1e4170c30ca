//! How this frame is drawn: theme and signs together, and the small makers of text that every pane uses.

use super::glyph::Glyphs;
use super::text;
use super::theme::{Palette, Tone};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Color;
use ratatui::text::{Line, Span};
use std::borrow::Cow;

/// Theme and signs of one frame.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Colours.
    pub theme: Palette,
    /// Signs.
    pub glyphs: &'static Glyphs,
}

impl Look {
    /// A piece of text with a meaning.
    pub fn say<'a>(&self, tone: Tone, text: impl Into<Cow<'a, str>>) -> Span<'a> {
        Span::styled(text, self.theme.of(tone))
    }

    /// A line of one piece.
    pub fn line<'a>(&self, tone: Tone, text: impl Into<Cow<'a, str>>) -> Line<'a> {
        Line::from(self.say(tone, text))
    }

    /// A sign and its word: `● Ready`.
    pub fn state<'a>(&self, tone: Tone, glyph: &str, word: &str) -> Span<'a> {
        self.say(tone, format!("{glyph} {word}"))
    }

    /// The sign for "nothing there".
    pub fn none<'a>(&self) -> Span<'a> {
        self.say(Tone::Muted, self.glyphs.none)
    }

    /// A text, or the sign for "nothing there" when it is empty.
    pub fn or_none<'a>(&self, tone: Tone, text: impl Into<Cow<'a, str>>) -> Span<'a> {
        let text = text.into();
        if text.is_empty() { self.none() } else { self.say(tone, text) }
    }

    /// Draws a line on the first row of `area`.
    pub fn put(&self, buf: &mut Buffer, area: Rect, line: Line<'_>) {
        text::put(buf, area, line, self.glyphs.ellipsis);
    }

    /// Draws a line at the right end of the first row of `area`; gives the columns it took.
    pub fn put_right(&self, buf: &mut Buffer, area: Rect, line: Line<'_>) -> u16 {
        text::put_right(buf, area, line, self.glyphs.ellipsis)
    }

    /// Draws lines from the top of `area`, as many as fit.
    pub fn put_all<'a>(&self, buf: &mut Buffer, area: Rect, lines: impl IntoIterator<Item = Line<'a>>) {
        for (row, line) in rows(area).zip(lines) {
            self.put(buf, row, line);
        }
    }

    /// Lays the style of the selection over a row; what has a ground of its own keeps it.
    pub fn select(&self, buf: &mut Buffer, row: Rect, focused: bool) {
        let style = self.theme.selection(focused);
        let row = row.intersection(buf.area);
        for x in row.left()..row.right() {
            if let Some(cell) = buf.cell_mut((x, row.y))
                && cell.bg == Color::Reset
            {
                cell.set_style(style);
            }
        }
    }

    /// A gauge of `columns`: only where a total is known.
    pub fn gauge<'a>(&self, done: u64, total: u64, columns: usize) -> Vec<Span<'a>> {
        let share = u128::from(done.min(total)) * columns as u128 / u128::from(total.max(1));
        let full = usize::try_from(share).unwrap_or(columns);
        vec![
            self.say(Tone::Accent, self.glyphs.full.repeat(full)),
            self.say(Tone::Faint, self.glyphs.empty.repeat(columns - full)),
        ]
    }
}

/// The rows of an area from the top.
pub fn rows(area: Rect) -> impl Iterator<Item = Rect> {
    (area.y..area.bottom()).map(move |y| Rect { y, height: 1, ..area })
}

/// Splits off the first row.
pub fn first_row(area: Rect) -> (Rect, Rect) {
    split_top(area, 1)
}

/// Splits off `height` rows at the top.
pub fn split_top(area: Rect, height: u16) -> (Rect, Rect) {
    let height = height.min(area.height);
    (Rect { height, ..area }, Rect { y: area.y + height, height: area.height - height, ..area })
}

/// Splits off `height` rows at the bottom: the upper rest, then the bottom.
pub fn split_bottom(area: Rect, height: u16) -> (Rect, Rect) {
    let height = height.min(area.height);
    split_top(area, area.height - height)
}

/// Splits off `width` columns at the left.
pub fn split_left(area: Rect, width: u16) -> (Rect, Rect) {
    let width = width.min(area.width);
    (Rect { width, ..area }, Rect { x: area.x + width, width: area.width - width, ..area })
}

/// Without `columns` at the left and at the right.
pub fn inset(area: Rect, columns: u16) -> Rect {
    let columns = columns.min(area.width / 2);
    Rect { x: area.x + columns, width: area.width - 2 * columns, ..area }
}
