//! The nodes pane.

use super::listing::{self, Listing};
use super::look::Look;
use super::pane::Title;
use super::source;
use super::table::{Column, TableRow};
use super::theme::Tone;
use super::words;
use crate::console::model::{Model, Pane};
use crate::console::phase::booted;
use crate::console::rows::{pods_on, visible_nodes};
use crate::domain::feed::{Kept, Source};
use crate::domain::host::Need;
use crate::domain::node::NodeRow;
use crate::domain::time::brief;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use std::time::Duration;

/// An answer about a reboot is shown with its age from then on.
const OLD: Duration = Duration::from_mins(10);

const COLUMNS: [Column; 12] = [
    Column::new("NAME", 0, 14, 48).middle(),
    Column::whole("STATE", 0),
    Column::new("ROLES", 4, 13, 24),
    Column::whole("PODS", 1).right(),
    Column::whole("ETCD", 2),
    Column::whole("BOOTED", 5).right(),
    Column::whole("AGE", 7).right(),
    Column::whole("VERSION", 6),
    Column::new("KERNEL", 8, 16, 26),
    Column::new("OS", 9, 20, 28),
    Column::whole("REBOOT", 3),
    Column::new("NOTES", 3, 16, 90),
];

/// Draws the pane.
pub fn draw(look: &Look, model: &Model, buf: &mut Buffer, area: Rect) {
    let rows = visible_nodes(model);
    let list = &model.lists.nodes;
    let keys: Vec<_> = rows.iter().map(|row| row.name.clone()).collect();
    let mut after = vec![listing::count(look, rows.len(), model.known.nodes.len(), model.known.has_nodes)];
    if !list.marked.is_empty() {
        after.push(look.say(Tone::Warn, format!("{} marked", list.marked.len())));
    }
    // what nobody asked for takes no room
    let without: Vec<Column> = COLUMNS.into_iter().filter(|column| !column.is("REBOOT")).collect();
    let is_asked = !model.known.needs.is_empty() || !model.known.asked_need.is_empty();
    let columns = if is_asked { &COLUMNS[..] } else { &without[..] };
    let listing = Listing {
        title: Title { pane: Pane::Nodes, after, right: Vec::new() },
        source: Source::Api,
        columns,
        len: rows.len(),
        selected: list.position(&keys),
        empty: if model.known.has_nodes { "no nodes" } else { "nodes are not known yet" },
        trouble: model.known.trouble.get(&Kept::Nodes),
        filter: &list.filter,
    };
    listing::draw(look, model, buf, area, listing, |at| {
        let row = rows[at];
        TableRow {
            cells: cells(look, model, row, is_asked),
            selected: false,
            marked: list.marked.contains(&row.name),
        }
    });
}

fn cells<'a>(look: &Look, model: &'a Model, row: &'a NodeRow, with_need: bool) -> Vec<Line<'a>> {
    let now = model.now;
    let mut cells = vec![
        look.line(Tone::Strong, row.name.as_str()),
        words::node(look, model, row).span(look).into(),
        look.or_none(Tone::Text, roles(row)).into(),
        pods(look, model, row).into(),
        etcd(look, model, row).into(),
        words::age(look, booted(model, row), now).into(),
        words::age(look, row.created, now).into(),
        look.or_none(Tone::Text, row.version.as_str()).into(),
        look.or_none(Tone::Muted, row.kernel.as_str()).into(),
        look.or_none(Tone::Muted, row.os_image.as_str()).into(),
    ];
    if with_need {
        cells.push(need(look, model, row).into());
    }
    cells.push(notes(look, model, row));
    cells
}

/// Whether the host needs a reboot: `needed`, `no`, or that it is not known; an older answer with its age.
fn need<'a>(look: &Look, model: &Model, row: &NodeRow) -> Span<'a> {
    let known = model.known.needs.get(&row.name);
    if model.known.asked_need.contains(&row.name) {
        return look.say(Tone::Unknown, "asking");
    }
    let Some(known) = known else { return look.say(Tone::Unknown, look.glyphs.unknown) };
    let age = model.now.since(known.at);
    let old = if age >= OLD { format!(" {}", brief(age)) } else { String::new() };
    match &known.need {
        Need::Needed(_) => look.say(Tone::Warn, format!("{} needed{old}", look.glyphs.warn)),
        Need::NotNeeded => look.say(Tone::Text, format!("no{old}")),
        Need::Unknown(_) => look.say(Tone::Unknown, format!("{} unknown{old}", look.glyphs.unknown)),
    }
}

fn roles(row: &NodeRow) -> String {
    row.roles.join(",")
}

/// Pods of how many it takes.
fn pods<'a>(look: &Look, model: &Model, row: &NodeRow) -> Span<'a> {
    match (pods_on(model, &row.name), row.pod_capacity) {
        (None, _) => look.say(Tone::Unknown, look.glyphs.unknown),
        (Some(count), Some(most)) => look.say(Tone::Text, format!("{count}/{most}")),
        (Some(count), None) => look.say(Tone::Text, count.to_string()),
    }
}

/// The etcd member on the node: `leader`, or what it is; empty where there is none.
fn etcd<'a>(look: &Look, model: &Model, row: &NodeRow) -> Span<'a> {
    let Some(view) = &model.known.etcd else {
        return if row.is_control_plane() {
            look.say(Tone::Unknown, look.glyphs.unknown)
        } else {
            Span::raw("")
        };
    };
    let members = || view.clusters().filter_map(|cluster| Some((cluster, cluster.on_node(&row.name)?)));
    let ill = members().find(|(_, member)| !member.health.is_healthy());
    let Some((cluster, member)) = ill.or_else(|| members().next()) else { return Span::raw("") };
    let leads = cluster.is_led_by(member);
    if !member.health.is_healthy() {
        return words::member(look, member).span(look);
    }
    match (leads, member.learner) {
        (true, _) => look.say(Tone::Accent, "leader"),
        (_, true) => look.say(Tone::Warn, "learner"),
        _ => look.say(Tone::Muted, "voter"),
    }
}

/// Pressure, who cordoned it and since when, marks of other tools.
fn notes<'a>(look: &Look, model: &Model, row: &'a NodeRow) -> Line<'a> {
    let mut spans: Vec<Span<'a>> = Vec::new();
    let mut add = |span: Span<'a>| {
        if !spans.is_empty() {
            spans.push(Span::raw("  "));
        }
        spans.push(span);
    };
    if !row.pressure.is_empty() {
        let words = format!("{} {} pressure", look.glyphs.warn, row.pressure.join(", "));
        add(look.say(Tone::Warn, words));
    }
    if let Some(note) = &row.cordon {
        let mut words = format!("by {}", note.holder);
        if let Some(since) = note.since {
            words = format!("{words} {} ago", brief(model.now.since(since)));
        }
        if let Some(reason) = &note.reason {
            words = format!("{words}: {reason}");
        }
        add(look.say(Tone::Text, words));
    }
    for lock in &row.foreign_locks {
        add(look.say(Tone::Warn, lock.as_str()));
    }
    // how long the kubelet has been silent, while the state still says Ready
    if let Some(age) = source::late(model, row) {
        add(look.say(Tone::Unknown, format!("{} no sign of life for {}", look.glyphs.unknown, brief(age))));
    }
    Line::from(spans)
}
