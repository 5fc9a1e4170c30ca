//! What happened since the roll began, as lines with a time; bounded.

use crate::domain::ids::NodeName;
use crate::domain::time::Stamp;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// So many lines are kept; of older ones only the number is.
const MOST: usize = 1_000;

/// What kind of thing happened. The names are those of the JSON output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The roll began, or was found under way.
    Began,
    /// What the roll makes of the nodes became known, or changed.
    Target,
    /// Who drives it became known.
    Driver,
    /// A node was cordoned.
    Cordoned,
    /// Its pods begin to leave.
    Draining,
    /// They have left.
    Drained,
    /// It went away.
    Away,
    /// It is here again, not Ready yet.
    Back,
    /// It is Ready again.
    Ready,
    /// It had its turn.
    Done,
    /// It did not come back, or its driver says that it failed.
    Failed,
    /// It was put back into scheduling unchanged.
    GivenUp,
    /// It was not Ready for a moment outside of a turn.
    Flapped,
    /// A node came.
    Added,
    /// A node was removed.
    Removed,
    /// A budget blocks a drain.
    Blocked,
    /// It does not any more.
    Unblocked,
    /// Nothing moves for longer than usual.
    Stuck,
    /// It moves again.
    Moving,
    /// Nobody watched for a while.
    Unwatched,
    /// The roll is over.
    Ended,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happening {
    /// When it was seen (a stamp of the object where it says so).
    pub at: Stamp,
    /// What.
    pub event: Event,
    /// Which node.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node: Option<NodeName>,
    /// In words.
    pub text: String,
}

/// The lines, oldest first, each with a number that it keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    lines: VecDeque<Happening>,
    first: u64,
}

impl Timeline {
    /// Adds a line.
    pub fn push(&mut self, line: Happening) {
        if self.lines.len() >= MOST {
            self.lines.pop_front();
            self.first += 1;
        }
        self.lines.push_back(line);
    }

    /// All that are kept.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Happening> + ExactSizeIterator {
        self.lines.iter()
    }

    /// The lines from a number on.
    pub fn since(&self, number: u64) -> impl Iterator<Item = &Happening> {
        let skip = usize::try_from(number.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.lines.iter().skip(skip)
    }

    /// The number of the next line.
    pub fn end(&self) -> u64 {
        self.first + self.lines.len() as u64
    }

    /// How many older ones are not kept any more.
    pub fn dropped(&self) -> u64 {
        self.first
    }

    /// The last line's time.
    pub fn last(&self) -> Option<Stamp> {
        self.lines.back().map(|line| line.at)
    }
}
