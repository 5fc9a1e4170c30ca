//! The budgets pane: what each disruption budget allows now, and why some never will.

use super::listing::{self, Listing};
use super::look::Look;
use super::pane::Title;
use super::table::{Column, TableRow};
use super::theme::Tone;
use super::words;
use crate::console::model::{Model, Pane};
use crate::console::rows::{block_note, budget_nodes, visible_budgets};
use crate::domain::budget::BudgetRow;
use crate::domain::feed::{Kept, Source};
use crate::domain::text::count;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

/// The columns where there is room for the reasons beside all else.
const COLUMNS: [Column; 7] = columns(18, 2, 30);
/// Where the reasons need most of the room.
const NARROW: [Column; 7] = columns(22, 3, 42);
/// Beside another pane.
const HALF: [Column; 7] = columns(16, 3, 26);

/// Columns that keep so much for a budget's name, and for why it blocks; the figures give way first.
const fn columns(name: u16, figures: u8, reason: u16) -> [Column; 7] {
    [
        Column::new("BUDGET", 0, name, 48).middle(),
        Column::whole("ALLOWS", 0),
        Column::whole("HEALTHY", figures).right(),
        Column::whole("NEEDS", 4).right(),
        Column::whole("ASKS", 6),
        Column::new("NODES", 5, 10, 40),
        Column::new("NOTES", 1, reason, 60),
    ]
}

/// Draws the pane.
pub fn draw(look: &Look, model: &Model, buf: &mut Buffer, area: Rect) {
    let rows = visible_budgets(model);
    let list = &model.lists.budgets;
    let keys: Vec<_> = rows.iter().map(|row| row.key.clone()).collect();
    let known = &model.known;
    let mut after = vec![listing::count(look, rows.len(), known.budgets.len(), known.has_budgets)];
    let never = known.budgets.values().filter(|row| row.never_allows().is_some()).count();
    if never > 0 {
        let verb = if never == 1 { "never allows" } else { "never allow" };
        after.push(look.say(Tone::Warn, format!("{never} {verb}")));
    }
    let listing = Listing {
        title: Title { pane: Pane::Budgets, after, right: Vec::new() },
        source: Source::Api,
        columns: match area.width {
            0..70 => &HALF,
            70..112 => &NARROW,
            _ => &COLUMNS,
        },
        len: rows.len(),
        selected: list.position(&keys),
        empty: if known.has_budgets { "no disruption budgets" } else { "budgets are not known yet" },
        trouble: known.trouble.get(&Kept::Budgets),
        filter: &list.filter,
    };
    listing::draw(look, model, buf, area, listing, |at| TableRow {
        cells: cells(look, model, rows[at]),
        selected: false,
        marked: false,
    });
}

fn cells<'a>(look: &Look, model: &Model, row: &'a BudgetRow) -> Vec<Line<'a>> {
    // figures of an older spec are drawn, but not as if they counted
    let tone = if row.is_current() { Tone::Text } else { Tone::Muted };
    vec![
        look.line(Tone::Strong, row.key.to_string()),
        words::budget(look, row).span(look).into(),
        look.line(tone, format!("{}/{}", row.healthy, row.expected)),
        look.line(tone, row.desired.to_string()),
        look.line(Tone::Muted, row.demand.to_string()),
        nodes(look, model, row).into(),
        notes(look, model, row),
    ]
}

/// On which nodes its pods are; more than one pod on a node is counted.
fn nodes<'a>(look: &Look, model: &Model, row: &BudgetRow) -> Span<'a> {
    if !model.known.has_pods {
        return look.say(Tone::Unknown, look.glyphs.unknown);
    }
    let nodes = budget_nodes(model, row);
    let words = nodes.iter().map(|(node, pods)| match pods {
        1 => node.to_string(),
        pods => format!("{node} x{pods}"),
    });
    look.or_none(Tone::Text, words.collect::<Vec<_>>().join(", "))
}

/// Why it blocks, in one line; what makes its figures worthless, what is on its way.
fn notes<'a>(look: &Look, model: &Model, row: &BudgetRow) -> Line<'a> {
    let mut words: Vec<(Tone, String)> = Vec::new();
    if let Some(note) = block_note(model, row) {
        words.push((Tone::Warn, note));
    } else if let Some(why) = row.never_allows() {
        words.push((Tone::Warn, why));
    } else if !row.is_current() {
        words.push((Tone::Unknown, "its status is of an older spec".to_owned()));
    } else if !row.disrupted.is_empty() {
        words.push((Tone::Busy, format!("{} leaving", count(row.disrupted.len(), "pod"))));
    }
    let mut spans = Vec::new();
    for (tone, text) in words {
        if !spans.is_empty() {
            spans.push(Span::raw("; "));
        }
        spans.push(look.say(tone, text));
    }
    Line::from(spans)
}
