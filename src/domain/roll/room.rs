//! Whether another worker may go: the quota over the whole cluster, and each zone's share of it.

use super::{Quota, Turn, zone};
use crate::domain::feed::Table;
use crate::domain::ids::NodeName;
use crate::domain::node::NodeRow;
use crate::domain::text::count;
use std::collections::{BTreeMap, BTreeSet};

/// Workers that take no pods now.
pub type Unavailable = BTreeMap<NodeName, Option<String>>;

/// Workers that are away for whatever reason, with their zones: not Ready, cordoned, or in a turn that has begun (`ours`).
/// `meant` are the ones that are meant to stay as they are: they do not count.
pub fn unavailable(
    rows: &Table<NodeRow>,
    is_master: impl Fn(&NodeName) -> bool,
    ours: &BTreeSet<NodeName>,
    meant: &BTreeSet<NodeName>,
) -> Unavailable {
    let of_cluster = rows.values().filter(|row| !is_master(&row.name) && !meant.contains(&row.name));
    let away = of_cluster.filter(|row| !row.is_ready() || row.cordoned || ours.contains(&row.name));
    let mut found: Unavailable = away.map(|row| (row.name.clone(), zone(row))).collect();
    // a node whose object is gone is away too
    for node in ours.iter().filter(|node| !rows.contains_key(*node)) {
        found.insert(node.clone(), None);
    }
    found
}

/// What the quota says about the next worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Room {
    /// It may go: its place in the list.
    Next(usize),
    /// None may go now, and why.
    Full(String),
}

/// The next of the workers that may go: the first of the zone that lacks fewest.
///
/// Of each zone, no more are in their turns (`ours`) at a time than its share of the quota, rounded up: three of three zones,
/// one of each.
pub fn room(
    waiting: &[&Turn],
    (away, ours): (&Unavailable, &BTreeSet<NodeName>),
    quota: Quota,
    all: &[&Turn],
) -> Room {
    let most = quota.of(all.len());
    let zones: BTreeSet<&Option<String>> = all.iter().map(|turn| &turn.zone).collect();
    let share = most.div_ceil(zones.len().max(1));
    let lacks =
        |turn: &Turn| away.iter().filter(|(node, zone)| **zone == turn.zone && **node != turn.node).count();
    let turns =
        |turn: &Turn| away.iter().filter(|(node, zone)| **zone == turn.zone && ours.contains(*node)).count();
    // one that is away already takes no room of its own
    let fits = |turn: &Turn| away.keys().filter(|node| **node != turn.node).count() < most;
    let mut best: Option<(usize, usize)> = None;
    for (at, turn) in waiting.iter().enumerate().filter(|(_, turn)| fits(turn)) {
        let missing = lacks(turn);
        if turns(turn) < share && best.is_none_or(|(least, _)| missing < least) {
            best = Some((missing, at));
        }
    }
    if let Some((_, at)) = best {
        return Room::Next(at);
    }
    let names: Vec<&str> = away.keys().take(3).map(NodeName::as_str).collect();
    let more = away.len().saturating_sub(names.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let list = names.join(", ");
    if away.len() < most {
        let of = count(zones.len(), "zone");
        return Room::Full(format!("{list}{more} away: no more than {share} at a time in each of {of}"));
    }
    Room::Full(format!("{list}{more} away: no more than {most} at a time"))
}
