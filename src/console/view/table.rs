//! A table that is given only its visible rows, and drops columns by rank when space is short.

use super::look::{Look, first_row, rows};
use super::text::{columns, cut_middle, line_width, width};
use super::theme::Tone;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

/// Blank columns between two columns of the table.
const GAP: u16 = 2;
/// Room for the cursor and the mark at the left.
const GUTTER: u16 = 2;

/// One column.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    title: &'static str,
    rank: u8,
    min: u16,
    max: u16,
    right: bool,
    middle: bool,
}

impl Column {
    /// Whether it has this title.
    pub fn is(&self, title: &str) -> bool {
        self.title == title
    }

    /// A column that shrinks down to `min` and grows up to `max`. Rank 0 is never dropped; the highest goes first.
    pub const fn new(title: &'static str, rank: u8, min: u16, max: u16) -> Self {
        Self { title, rank, min, max, right: false, middle: false }
    }

    /// A column that is never cut: as wide as its widest cell, or not there at all.
    pub const fn whole(title: &'static str, rank: u8) -> Self {
        Self { title, rank, min: u16::MAX, max: u16::MAX, right: false, middle: false }
    }

    /// Aligned at the right: numbers.
    #[must_use]
    pub const fn right(mut self) -> Self {
        self.right = true;
        self
    }

    /// Cut in the middle: names, which differ at both ends.
    #[must_use]
    pub const fn middle(mut self) -> Self {
        self.middle = true;
        self
    }
}

/// One visible row.
#[derive(Debug, Clone)]
pub struct TableRow<'a> {
    /// A cell for each column.
    pub cells: Vec<Line<'a>>,
    /// Under the cursor.
    pub selected: bool,
    /// Marked for an action on many.
    pub marked: bool,
}

/// Which columns are drawn, and how wide; `None` = dropped.
pub fn fit(all: &[Column], natural: &[u16], room: u16) -> Vec<Option<u16>> {
    let mut kept = vec![None; all.len()];
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by_key(|&at| all[at].rank);
    let wish = |at: usize| natural[at].min(all[at].max);
    let mut left = room;
    for &at in &order {
        // nothing in it
        if natural[at] == 0 && all[at].rank > 0 {
            continue;
        }
        let gap = if kept.iter().any(Option::is_some) { GAP } else { 0 };
        let least = wish(at).min(all[at].min);
        if least + gap <= left {
            kept[at] = Some(least);
            left -= least + gap;
        } else if all[at].rank == 0 && left > gap {
            kept[at] = Some(left - gap);
            left = 0;
        }
    }
    for &at in &order {
        if let Some(given) = &mut kept[at] {
            let more = wish(at).saturating_sub(*given).min(left);
            *given += more;
            left -= more;
        }
    }
    kept
}

/// Draws the heading and the visible rows.
pub fn draw(look: &Look, buf: &mut Buffer, area: Rect, all: &[Column], body: &[TableRow<'_>], focused: bool) {
    let natural: Vec<u16> = all
        .iter()
        .enumerate()
        .map(|(at, column)| {
            let cells = body.iter().filter_map(|row| row.cells.get(at)).map(line_width).max().unwrap_or(0);
            if cells == 0 { 0 } else { columns(cells.max(width(column.title))) }
        })
        .collect();
    let widths = fit(all, &natural, area.width.saturating_sub(GUTTER));
    let (heading, below) = first_row(area);
    let titles: Vec<Line<'_>> = all.iter().map(|column| look.line(Tone::Muted, column.title)).collect();
    draw_cells(look, buf, heading, all, &widths, &titles);
    for (place, row) in rows(below).zip(body) {
        draw_cells(look, buf, place, all, &widths, &row.cells);
        let cursor = if row.selected { look.glyphs.selected } else { " " };
        let mark = if row.marked { look.glyphs.marked } else { " " };
        let gutter = Line::from(vec![look.say(Tone::Accent, cursor), look.say(Tone::Warn, mark)]);
        look.put(buf, Rect { width: GUTTER.min(place.width), ..place }, gutter);
        if row.selected {
            look.select(buf, place, focused);
        }
    }
}

fn draw_cells(
    look: &Look,
    buf: &mut Buffer,
    place: Rect,
    all: &[Column],
    widths: &[Option<u16>],
    cells: &[Line<'_>],
) {
    let mut x = place.x.saturating_add(GUTTER);
    for ((column, wide), cell) in all.iter().zip(widths).zip(cells) {
        let Some(wide) = *wide else { continue };
        let spot = Rect { x, width: wide, ..place }.intersection(place);
        let mut cell = cell.clone();
        if column.middle {
            for span in &mut cell.spans {
                let cut = cut_middle(&span.content, usize::from(wide), look.glyphs.ellipsis).into_owned();
                span.content = cut.into();
            }
        }
        if column.right {
            look.put_right(buf, spot, cell);
        } else {
            look.put(buf, spot, cell);
        }
        x = x.saturating_add(wide + GAP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] = [
        Column::new("NAME", 0, 8, 40),
        Column::whole("STATE", 0),
        Column::new("VERSION", 2, 7, 12),
        Column::new("KERNEL", 3, 10, 30),
    ];

    #[test]
    fn columns_go_by_rank_and_name_and_state_stay() {
        let natural = [20, 15, 8, 30];
        assert_eq!(fit(&COLUMNS, &natural, 100), [Some(20), Some(15), Some(8), Some(30)]);
        assert_eq!(fit(&COLUMNS, &natural, 50), [Some(12), Some(15), Some(7), Some(10)]);
        assert_eq!(fit(&COLUMNS, &natural, 45), [Some(19), Some(15), Some(7), None]);
        assert_eq!(fit(&COLUMNS, &natural, 30), [Some(13), Some(15), None, None]);
        assert_eq!(fit(&COLUMNS, &natural, 12), [Some(8), Some(2), None, None]);
    }

    #[test]
    fn widths_never_exceed_the_room() {
        for room in 0..120 {
            let widths = fit(&COLUMNS, &[33, 15, 8, 30], room);
            let shown = widths.iter().flatten().count();
            let gaps = GAP * columns(shown.saturating_sub(1));
            assert!(widths.iter().flatten().sum::<u16>() + gaps <= room, "{room}: {widths:?}");
        }
    }
}
