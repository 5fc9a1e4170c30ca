//! What the four listing panes share: title with filter and order, the visible window, words when empty, the veil.

use super::footer::filter_of;
use super::look::Look;
use super::pane::{self, Title};
use super::source;
use super::table::{self, Column, TableRow};
use super::theme::Tone;
use crate::console::list::{self, window};
use crate::console::model::{Model, Pane};
use crate::domain::feed::Source;
use crate::domain::report::Report;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Span;

/// One pane's rows, described.
#[derive(Debug)]
pub struct Listing<'a> {
    /// Its title.
    pub title: Title<'a>,
    /// Where its rows come from.
    pub source: Source,
    /// Its columns.
    pub columns: &'a [Column],
    /// How many rows pass the filter.
    pub len: usize,
    /// Which one is selected; `None` = none, the last rows are shown.
    pub selected: Option<usize>,
    /// Words when there is none although the source answers.
    pub empty: &'a str,
    /// Why they cannot be read although the source answers.
    pub trouble: Option<&'a Report>,
    /// The filter in force.
    pub filter: &'a str,
}

/// Draws title, heading and the visible rows; `row` is asked for these only.
pub fn draw<'r>(
    look: &Look,
    model: &Model,
    buf: &mut Buffer,
    area: Rect,
    mut listing: Listing<'_>,
    row: impl Fn(usize) -> TableRow<'r>,
) {
    let pane = listing.title.pane;
    let old = source::as_of(model, listing.source).filter(|_| listing.len > 0);
    let height = usize::from(area.height.saturating_sub(2));
    let range = window(listing.selected, listing.len, height);
    let mut right = Vec::new();
    if let Some(old) = &old {
        let words = format!("{} {old}", look.glyphs.unknown);
        listing.title.after.insert(0, look.say(Tone::Unknown, words));
    }
    if !listing.filter.is_empty() {
        right.push(look.say(Tone::Accent, format!("/{}", listing.filter)));
    }
    right.append(&mut listing.title.right);
    if let Some(order) = order(model, pane) {
        right.push(look.say(Tone::Muted, order));
    }
    if range.len() < listing.len && range.start < range.end {
        right.push(look.say(Tone::Muted, format!("{}-{} of {}", range.start + 1, range.end, listing.len)));
    }
    listing.title.right = right;
    let focused = model.focus == pane && model.dialogs.is_empty();
    let body = pane::open(look, model, buf, area, listing.title);
    if listing.len == 0 {
        let trouble = || listing.trouble.map(|report| (Tone::Bad, report.line()));
        let (tone, words) = match source::why_empty(model, listing.source).or_else(trouble) {
            Some(why) => why,
            None if !filter_of(model, pane).is_empty() => {
                (Tone::Muted, "nothing passes the filter: Esc clears it".to_owned())
            }
            None => (Tone::Muted, listing.empty.to_owned()),
        };
        pane::say_empty(look, buf, body, tone, &words);
        return;
    }
    let rows: Vec<TableRow<'r>> = range
        .map(|at| {
            let mut drawn = row(at);
            drawn.selected = listing.selected == Some(at);
            drawn
        })
        .collect();
    table::draw(look, buf, body, listing.columns, &rows, focused);
    if old.is_some() {
        pane::veil(look, buf, body);
    }
}

/// How many rows, of how many when a filter hides some.
pub fn count<'a>(look: &Look, shown: usize, all: usize, known: bool) -> Span<'a> {
    match (known, shown == all) {
        (false, _) => look.say(Tone::Unknown, look.glyphs.unknown),
        (true, true) => look.say(Tone::Muted, all.to_string()),
        (true, false) => look.say(Tone::Accent, format!("{shown} of {all}")),
    }
}

/// The order, when it is not the one by name.
fn order(model: &Model, pane: Pane) -> Option<String> {
    let lists = &model.lists;
    let (sort, descending) = match pane {
        Pane::Nodes => (lists.nodes.sort, lists.nodes.descending),
        Pane::Etcd => (lists.etcd.sort, lists.etcd.descending),
        Pane::Budgets => (lists.budgets.sort, lists.budgets.descending),
        Pane::Log | Pane::Run | Pane::Rollout => return None,
    };
    let turned = if descending { ", turned round" } else { "" };
    (sort != list::Column::Name || descending).then(|| format!("by {}{turned}", sort.word()))
}
