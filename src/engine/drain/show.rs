//! How far a drain is: N of M, an estimate, a line per pod that is left, and where the pods that went run now.

use super::board::Board;
use super::entry::{State, whole};
use super::estimate::{Rest, rest};
use super::ledger::Ledger;
use super::successor::Successors;
use crate::backend::clock::now as wall;
use crate::domain::run::Progress;
use crate::domain::text::count;
use crate::domain::time::brief;
use tokio::time::Instant;

/// Pods that went and whose place is taken, shown at most.
const SETTLED: usize = 12;

/// What stands over all pods.
#[derive(Debug, Default)]
pub(super) struct Over<'a> {
    /// A source that does not answer, in words.
    pub(super) trouble: Option<&'a str>,
    /// The server sheds load: nothing is sent before.
    pub(super) quiet: Option<Instant>,
    /// Nodes that are drained or were given up, and all.
    pub(super) nodes: Option<(usize, usize)>,
    /// Not everything has been listed yet.
    pub(super) is_listing: bool,
}

/// The progress of the boards together.
pub(super) fn progress(
    boards: &[Board],
    ledger: &Ledger,
    elsewhere: &Successors,
    over: &Over<'_>,
    now: Instant,
) -> Progress {
    let at = wall();
    let is_fleet = boards.len() > 1;
    let mut items = Vec::new();
    let (mut gone, mut going, mut waiting) = (0, 0, 0);
    let mut left = Rest::About(std::time::Duration::ZERO);
    for board in boards {
        gone += board.gone();
        for (key, entry) in board.targets() {
            match entry.state {
                State::Going(_) => going += 1,
                _ => waiting += 1,
            }
            let on = if is_fleet { format!("{} ", board.node) } else { String::new() };
            let words = format!("{on}{key}: {}", entry.words(&board.host, now, at));
            items.push((entry.rank(&board.host, at), words));
        }
        left = left.with(rest(board, ledger, now));
    }
    items.sort();
    let total = gone + going + waiting;
    let mut text = format!("{gone} of {} gone, {going} terminating, {waiting} waiting", count(total, "pod"));
    if total > gone {
        text.push_str(&left.words());
    }
    if over.is_listing {
        "listing the pods and the budgets".clone_into(&mut text);
    }
    if let Some((ended, all)) = over.nodes {
        text = format!("{ended} of {} ended; {text}", count(all, "node"));
    }
    if let Some(until) = over.quiet.filter(|until| *until > now) {
        let wait = brief(whole(until - now) + std::time::Duration::from_secs(1));
        text.push_str(&format!("; the API server sheds load, nothing is sent for {wait}"));
    }
    if let Some(trouble) = over.trouble {
        text.push_str(&format!("; the API does not answer, going on when it does: {trouble}"));
    }
    Progress {
        text,
        done: u64::try_from(gone).ok(),
        total: u64::try_from(total).ok(),
        moved: None,
        deadline: None,
        items: items.into_iter().map(|(_, words)| words).collect(),
        ended: ended(boards, elsewhere),
    }
}

/// Those whose place is not taken first, then the last of the others.
fn ended(boards: &[Board], elsewhere: &Successors) -> Vec<String> {
    let lines = elsewhere.lines(boards.iter().flat_map(|board| &board.gone));
    let (settled, open): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| line.is_settled);
    let more = settled.len().saturating_sub(SETTLED);
    let mut words: Vec<String> = open.into_iter().map(|line| line.text).collect();
    words.extend(settled.into_iter().rev().take(SETTLED).map(|line| line.text));
    if more > 0 {
        words.push(format!("and {more} more gone, their places taken"));
    }
    words
}

/// How many of the pods that went have no Ready pod in their place yet, each in words.
pub(super) fn open_places(boards: &[Board], elsewhere: &Successors) -> Vec<String> {
    let lines = elsewhere.lines(boards.iter().flat_map(|board| &board.gone));
    lines.into_iter().filter(|line| !line.is_settled).map(|line| line.text).collect()
}
