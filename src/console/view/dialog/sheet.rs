//! The box of a dialog: a frame with a title over the panes, a body, and keys at the bottom that are always visible.

use crate::console::view::look::{Look, inset, split_bottom, split_top};
use crate::console::view::text::{columns, cut_line, line_width};
use crate::console::view::theme::Tone;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

/// What a dialog shows.
#[derive(Debug)]
pub struct Sheet<'a> {
    /// In the frame.
    pub title: String,
    /// Tone of frame and title.
    pub tone: Tone,
    /// May be cut when space is short.
    pub body: Vec<Line<'a>>,
    /// First line of the body shown; `None` = cannot be scrolled.
    pub scroll: Option<usize>,
    /// The last row says how many lines are below, and which key shows them.
    pub asks: bool,
    /// Pinned to the bottom: what is typed, the keys.
    pub bottom: Vec<Line<'a>>,
    /// Columns inside the frame that the body was made for.
    pub room: usize,
}

/// Blank columns between frame and text.
const MARGIN: u16 = 2;

/// The columns that a sheet has for its text.
pub fn room(area: Rect, most: u16) -> usize {
    usize::from(area.width.min(most + 2 * (MARGIN + 1)).saturating_sub(2 * (MARGIN + 1)))
}

impl Sheet<'_> {
    /// Draws it in the middle of `area`.
    pub fn draw(self, look: &Look, buf: &mut Buffer, area: Rect) {
        let bottom = columns(self.bottom.len());
        let gap = u16::from(bottom > 0);
        let wide = (columns(self.room) + 2 * (MARGIN + 1)).min(area.width);
        let tall = columns(self.body.len()).saturating_add(bottom + gap + 4).min(area.height);
        let place = Rect {
            x: area.x + (area.width - wide) / 2,
            y: area.y + (area.height - tall) / 2,
            width: wide,
            height: tall,
        };
        frame(look, buf, place, &self.title, self.tone);
        let inner = Rect {
            x: place.x + 1.min(place.width),
            y: place.y + 1.min(place.height),
            width: place.width.saturating_sub(2),
            height: place.height.saturating_sub(2),
        };
        // blank rows above and below go first when space is short
        let needed = columns(self.body.len()).saturating_add(bottom + gap);
        let air = u16::from(inner.height >= needed.saturating_add(2));
        let (_, inner) = split_top(inner, air);
        let (inner, _) = split_bottom(inner, air);
        let inner = inset(inner, MARGIN);
        let (body, pinned) = split_bottom(inner, bottom);
        let (body, _) = split_bottom(body, gap.min(body.height.saturating_sub(1)));
        put_body(look, buf, body, self.body, self.scroll, self.asks);
        look.put_all(buf, pinned, self.bottom);
    }
}

/// The lines that fit; where some do not, the last row says so.
fn put_body(
    look: &Look,
    buf: &mut Buffer,
    area: Rect,
    lines: Vec<Line<'_>>,
    scroll: Option<usize>,
    asks: bool,
) {
    let tall = usize::from(area.height);
    let total = lines.len();
    // a question's last row is taken by the words about the others
    let words = usize::from(asks && total > tall);
    let from = scroll.unwrap_or(0).min((total + words).saturating_sub(tall));
    let below = total.saturating_sub(from + tall);
    look.put_all(buf, area, lines.into_iter().skip(from));
    if tall == 0 || (below == 0 && from == 0) {
        return;
    }
    let last = Rect { y: area.bottom() - 1, height: 1, ..area };
    if scroll.is_some() && !asks {
        // above the text, so that no line of it is lost
        let words = format!(" {}-{} of {total} ", from + 1, from + tall);
        let above = Rect { y: area.y.saturating_sub(1), height: 1, ..area };
        look.put_right(buf, above, look.line(Tone::Muted, words));
        return;
    }
    wipe(buf, last);
    let hidden = total.saturating_sub((from + tall).saturating_sub(1));
    let words = match (asks, hidden) {
        (true, 0) => "the end: PgUp goes back".to_owned(),
        (true, _) => format!("{} {hidden} more: PgDn", look.glyphs.down),
        (false, _) => format!("{} {hidden} more: enlarge the terminal", look.glyphs.down),
    };
    look.put(buf, last, look.line(Tone::Warn, words));
}

/// An empty place with a frame and a title.
pub fn frame(look: &Look, buf: &mut Buffer, place: Rect, title: &str, tone: Tone) {
    wipe(buf, place);
    if place.width < 4 || place.height < 2 {
        return;
    }
    let [top_left, top_right, bottom_left, bottom_right] = look.glyphs.corners;
    let across = look.glyphs.rule.repeat(usize::from(place.width - 2));
    let edge = |left: &str, right: &str| look.line(tone, format!("{left}{across}{right}"));
    look.put(buf, place, edge(top_left, top_right));
    look.put(buf, Rect { y: place.bottom() - 1, ..place }, edge(bottom_left, bottom_right));
    for y in place.y + 1..place.bottom() - 1 {
        for x in [place.x, place.right() - 1] {
            look.put(buf, Rect { x, y, width: 1, height: 1 }, look.line(tone, look.glyphs.bar));
        }
    }
    let title = Line::from(vec![Span::raw(" "), look.say(tone, title.to_owned()), Span::raw(" ")]);
    let title = cut_line(title, usize::from(place.width - 4), look.glyphs.ellipsis);
    let wide = columns(line_width(&title));
    look.put(buf, Rect { x: place.x + 2, width: wide, ..place }, title);
}

/// Blanks a place.
pub fn wipe(buf: &mut Buffer, place: Rect) {
    let place = place.intersection(buf.area);
    for y in place.top()..place.bottom() {
        for x in place.left()..place.right() {
            if let Some(cell) = buf.cell_mut((x, y)) {
                cell.reset();
            }
        }
    }
    buf.set_style(place, Style::reset());
}
