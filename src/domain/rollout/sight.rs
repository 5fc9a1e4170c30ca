//! What was seen, and what was not: time in which nothing could be seen is no time in which nothing happened.

use crate::domain::time::Stamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// When the API answers again, the tables are those of before until they are listed anew: so long they are not judged by.
const SETTLED: Duration = Duration::from_secs(10);
/// So many spans are remembered, the last ones.
const KEPT: usize = 64;

/// The spans in which nothing was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sight {
    /// Since when the API answers again.
    regained: Option<Stamp>,
    /// In order, without overlaps.
    blind: Vec<(Stamp, Stamp)>,
}

impl Sight {
    /// Whether what is there may be judged by now: the API answers, and has done so for long enough when it was away.
    pub(super) fn settles(&mut self, answers: bool, was_live: bool, now: Stamp) -> bool {
        if !answers || was_live {
            self.regained = None;
            return answers;
        }
        now.since(*self.regained.get_or_insert(now)) >= SETTLED
    }

    /// Nothing was seen in this span.
    pub(super) fn miss(&mut self, from: Stamp, to: Stamp) {
        match self.blind.last_mut().filter(|(_, end)| *end >= from) {
            Some((_, end)) => *end = to.max(*end),
            None => self.blind.push((from, to)),
        }
        let old = self.blind.len().saturating_sub(KEPT);
        self.blind.drain(..old);
    }

    /// How much of a span was seen.
    pub(super) fn seen(&self, from: Stamp, to: Stamp) -> Duration {
        let missed: Duration =
            self.blind.iter().map(|(begin, end)| (*end).min(to).since((*begin).max(from))).sum();
        to.since(from).saturating_sub(missed)
    }
}
