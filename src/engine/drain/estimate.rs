//! How long the rest of a drain will take, by what was seen so far.

use super::board::Board;
use super::entry::State;
use super::ledger::Ledger;
use crate::backend::clock::now as wall;
use crate::domain::ids::BudgetKey;
use crate::domain::time::brief;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// The rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// Nothing was seen yet that could be reckoned with.
    Unknown,
    /// So many pods will not go by themselves.
    Never(usize),
    /// About so long.
    About(Duration),
}

impl Rest {
    /// The longer of two.
    pub(super) fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Never(a), Self::Never(b)) => Self::Never(a + b),
            (Self::Never(count), _) | (_, Self::Never(count)) => Self::Never(count),
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::About(a), Self::About(b)) => Self::About(a.max(b)),
        }
    }

    /// In words; nothing when there is nothing to say.
    pub(super) fn words(self) -> String {
        match self {
            Self::Unknown => String::new(),
            Self::Never(1) => "; 1 pod will not go by itself".to_owned(),
            Self::Never(count) => format!("; {count} pods will not go by themselves"),
            Self::About(rest) => {
                format!("; about {} left", brief(Duration::from_secs(rest.as_secs().max(1))))
            }
        }
    }
}

/// The rest of one node's drain.
pub(super) fn rest(board: &Board, ledger: &Ledger, now: Instant) -> Rest {
    let at = wall();
    let (mut never, mut longest) = (0, Duration::ZERO);
    let mut is_known = true;
    let stop = typical(&board.stops);
    let mut queues: BTreeMap<&BudgetKey, u32> = BTreeMap::new();
    for (_, entry) in board.targets() {
        let grace = Duration::from_secs(u64::try_from(entry.row.grace_secs).unwrap_or(0));
        let own = stop.unwrap_or(grace);
        match &entry.state {
            _ if entry.stuck(&board.host, at).is_some() => never += 1,
            State::Waiting(wait) | State::Held(_, wait) if wait.is_blocked => never += 1,
            State::Waiting(wait) if wait.budget.is_some() => {
                if let Some(budget) = &wait.budget {
                    *queues.entry(budget).or_default() += 1;
                }
            }
            State::Waiting(_) | State::Held(..) | State::Sent => longest = longest.max(own),
            State::Going(since) => longest = longest.max(own.saturating_sub(now - *since)),
        }
    }
    for (budget, count) in queues {
        match ledger.pace(budget) {
            Some(pace) => longest = longest.max(pace * count + stop.unwrap_or_default()),
            None => is_known = false,
        }
    }
    match (never, is_known) {
        (0, true) => Rest::About(longest),
        (0, false) => Rest::Unknown,
        (count, _) => Rest::Never(count),
    }
}

/// The median.
fn typical(stops: &[Duration]) -> Option<Duration> {
    let mut stops = stops.to_vec();
    stops.sort_unstable();
    stops.get(stops.len() / 2).copied()
}
