//! The budgets pane: what each disruption budget allows now, and why some never will.

use super::listing::{self, Listing};
use super::look::Look;
use super::pane::Title;
use super::table::{Column, TableRow};
use super::theme::Tone;
use super::words;
use crate::console::model::{Model, Pane};
use crate::console::rows::{budget_nodes, visible_budgets};
use crate::domain::budget::BudgetRow;
use crate::domain::feed::{Kept, Source};
use crate::domain::text::count;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

const COLUMNS: [Column; 7] = [
    Column::new("BUDGET", 0, 18, 48).middle(),
    Column::whole("ALLOWS", 0),
    Column::whole("HEALTHY", 1).right(),
    Column::whole("NEEDS", 3).right(),
    Column::whole("ASKS", 5),
    Column::new("NODES", 4, 10, 40),
    Column::new("NOTES", 2, 14, 46),
];

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
        columns: &COLUMNS,
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

/// Why it never allows, what makes its figures worthless, what is on its way.
fn notes<'a>(look: &Look, model: &Model, row: &BudgetRow) -> Line<'a> {
    let mut words: Vec<(Tone, String)> = Vec::new();
    if let Some(why) = row.never_allows() {
        words.push((Tone::Warn, why));
    } else if !row.is_current() {
        words.push((Tone::Unknown, "its status is of an older spec".to_owned()));
    }
    if let Some(other) = overlap(model, row) {
        words.push((Tone::Warn, format!("overlaps {other}: eviction is refused")));
    }
    if !row.disrupted.is_empty() {
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

/// Another budget of the namespace that covers one of the same pods: the API server refuses to evict such a pod.
fn overlap(model: &Model, row: &BudgetRow) -> Option<String> {
    let others = model
        .known
        .budgets
        .values()
        .filter(|other| other.key != row.key && other.key.namespace == row.key.namespace);
    let mut others = others.peekable();
    others.peek()?;
    let pods: Vec<_> = crate::console::rows::budget_pods(model, row).collect();
    others
        .find(|other| pods.iter().any(|pod| other.selector.matches(&pod.labels)))
        .map(|other| other.key.name.clone())
}
