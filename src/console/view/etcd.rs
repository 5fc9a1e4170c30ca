//! The etcd pane: a line for each member, and in the title what the cluster can lose.

use super::listing::{self, Listing};
use super::look::{Look, split_bottom};
use super::pane::Title;
use super::source;
use super::table::{Column, TableRow};
use super::theme::Tone;
use super::words;
use crate::console::model::{Model, Pane};
use crate::console::phase::quorum_words;
use crate::console::rows::visible_members;
use crate::domain::etcd::{EtcdView, LAG_LIMIT, MemberRow, MemberStatus};
use crate::domain::feed::Source;
use crate::domain::text::bytes;
use crate::domain::time::brief;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

const COLUMNS: [Column; 11] = [
    Column::new("MEMBER", 0, 10, 32).middle(),
    Column::whole("ROLE", 1),
    Column::whole("HEALTH", 0),
    Column::whole("LAG", 3).right(),
    Column::whole("DB", 5).right(),
    Column::whole("IN USE", 6).right(),
    Column::whole("TERM", 8).right(),
    Column::whole("ANSWERS", 7).right(),
    Column::whole("SEEN", 4).right(),
    Column::whole("VERSION", 9),
    Column::new("NOTES", 2, 24, 90),
];

/// Draws the pane.
pub fn draw(look: &Look, model: &Model, buf: &mut Buffer, area: Rect) {
    let rows = visible_members(model);
    let list = &model.lists.etcd;
    let view = model.known.etcd.as_ref();
    let ids: Vec<u64> = rows.iter().map(|row| row.id).collect();
    let mut after = Vec::new();
    if let Some(view) = view {
        let all = view.all_members().count();
        if rows.len() != all {
            after.push(listing::count(look, rows.len(), all, true));
        }
        after.extend(margin(look, model, view));
    }
    let right = view
        .filter(|view| !view.access.is_empty() && view.all_members().next().is_some())
        .map(|view| look.say(Tone::Muted, format!("via {}", view.access)));
    let mut area = area;
    let news = view.and_then(trouble);
    // a word that concerns the whole cluster takes the last row
    if let Some(words) = news.filter(|_| !rows.is_empty() && area.height > 4) {
        let (upper, bottom) = split_bottom(area, 1);
        area = upper;
        look.put(buf, bottom, look.line(Tone::Bad, format!("  {} {words}", look.glyphs.warn)));
    }
    let access = view.map_or("", |view| view.access.as_str());
    let listing = Listing {
        title: Title { pane: Pane::Etcd, after, right: right.into_iter().collect() },
        source: Source::Etcd,
        columns: &COLUMNS,
        len: rows.len(),
        selected: list.position(&ids),
        empty: if access.is_empty() { "no members are known" } else { access },
        trouble: None,
        filter: &list.filter,
    };
    listing::draw(look, model, buf, area, listing, |at| TableRow {
        cells: cells(look, model, rows[at]),
        selected: false,
        marked: false,
    });
}

/// What concerns no single member.
fn trouble(view: &EtcdView) -> Option<String> {
    view.clusters().find_map(trouble_of)
}

fn trouble_of(view: &EtcdView) -> Option<String> {
    if let Some(words) = &view.disagreement {
        return Some(words.clone());
    }
    if let Some(unseen) = &view.unseen {
        return Some(unseen.clone());
    }
    if let Some(alarm) = view.alarms().first() {
        return Some(alarm.words(&view.name_of(alarm.member)));
    }
    let leaderless = !view.members.is_empty() && !view.is_silent() && view.leader().is_none();
    leaderless.then(|| "no leader that a majority of the voters names".to_owned())
}

/// `3/3, can lose 1`.
fn margin<'a>(look: &Look, model: &Model, view: &EtcdView) -> Option<Span<'a>> {
    let words = quorum_words(model)?;
    let words = words.strip_prefix("etcd: ").or(words.strip_prefix("etcd ")).unwrap_or(&words).to_owned();
    let margins = || view.clusters().map(|cluster| cluster.quorum().map(|quorum| quorum.margin()));
    let tone = match margins().flatten().min().flatten() {
        _ if margins().any(|margin| margin.is_none()) => Tone::Unknown,
        _ if view.is_silent() => Tone::Unknown,
        _ if source::as_of(model, Source::Etcd).is_some() => Tone::Unknown,
        None => Tone::Bad,
        Some(0) => Tone::Warn,
        Some(_) => Tone::Text,
    };
    Some(look.say(tone, words))
}

fn cells<'a>(look: &Look, model: &Model, row: &'a MemberRow) -> Vec<Line<'a>> {
    let status = row.status.as_ref();
    // a silent member's figures are of its last answer
    let tone = if row.speaks() { Tone::Text } else { Tone::Muted };
    let told = |get: &dyn Fn(&MemberStatus) -> String| -> Line<'a> {
        status.map_or_else(|| look.none(), |status| look.say(tone, get(status))).into()
    };
    vec![
        Line::from(look.say(Tone::Strong, name(model, row))),
        role(look, model, row).into(),
        words::member(look, row).span(look).into(),
        lag(look, row).into(),
        told(&|status| bytes(status.db_size)),
        told(&|status| bytes(status.db_in_use)),
        term(look, tone, status),
        told(&|status| brief(status.latency)),
        words::age(look, status.map(|status| status.at), model.now).into(),
        told(&|status| status.version.clone()),
        notes(look, row),
    ]
}

/// The node, and the member's own name when it is another one.
fn name(model: &Model, row: &MemberRow) -> String {
    let cluster = cluster(model, row).map(|cluster| cluster.name.as_str()).unwrap_or_default();
    let name = match &row.node {
        Some(node) if node.as_str() == row.name => row.name.clone(),
        Some(node) => format!("{node} ({})", row.label()),
        None => row.label(),
    };
    if cluster.is_empty() { name } else { format!("{cluster} {name}") }
}

/// The cluster that a member belongs to.
fn cluster<'a>(model: &'a Model, row: &MemberRow) -> Option<&'a EtcdView> {
    let mut clusters = model.known.etcd.iter().flat_map(|etcd| etcd.clusters());
    clusters.find(|cluster| cluster.members.iter().any(|member| member.id == row.id))
}

/// Metrics do not tell it.
fn term<'a>(look: &Look, tone: Tone, status: Option<&MemberStatus>) -> Line<'a> {
    match status {
        Some(status) if status.term == 0 => look.say(Tone::Unknown, look.glyphs.unknown).into(),
        Some(status) => look.say(tone, status.term.to_string()).into(),
        None => look.none().into(),
    }
}

fn role<'a>(look: &Look, model: &Model, row: &MemberRow) -> Span<'a> {
    let leads = cluster(model, row).is_some_and(|cluster| cluster.is_led_by(row));
    match (leads, row.learner) {
        (true, _) => look.say(Tone::Accent, "leader"),
        (_, true) => look.say(Tone::Warn, "learner"),
        _ => look.say(Tone::Muted, "voter"),
    }
}

fn lag<'a>(look: &Look, row: &MemberRow) -> Span<'a> {
    match row.lag {
        None => look.say(Tone::Unknown, look.glyphs.unknown),
        Some(lag) if lag >= LAG_LIMIT => look.say(Tone::Warn, lag.to_string()),
        Some(lag) => look.say(Tone::Text, lag.to_string()),
    }
}

/// What is wrong with it, or worth a look.
fn notes<'a>(look: &Look, row: &MemberRow) -> Line<'a> {
    let words = [row.concerns(), row.advice()].concat();
    let tone = if row.health.is_healthy() { Tone::Warn } else { Tone::Bad };
    look.line(tone, words.join("; "))
}
