//! Which Events become lines of the log: recent ones at the start, new ones then, repetitions seldom.

use super::rows::EventRow;
use crate::domain::feed::Delta;
use crate::domain::log::LogLine;
use crate::domain::time::Stamp;
use std::collections::HashMap;
use std::time::Duration;

/// How far back the first list is told.
const PAST: Duration = Duration::from_mins(10);
/// How many lines of it at most.
const PAST_LINES: usize = 50;
/// The same about the same object is told once in this time.
const REPEAT: Duration = Duration::from_secs(30);
/// Subjects that are remembered.
const SUBJECTS: usize = 2048;

/// What was told already.
#[derive(Debug, Default)]
pub(super) struct Teller {
    /// The newest Event that was seen; a list after a broken watch tells only what is newer.
    newest: Option<Stamp>,
    told: HashMap<String, Stamp>,
}

impl Teller {
    /// The lines that a change is worth, oldest first.
    pub(super) fn lines(&mut self, delta: Delta<EventRow>, now: Stamp) -> Vec<LogLine> {
        match delta {
            Delta::Upsert(row) => self.one(row, now).into_iter().collect(),
            Delta::Remove(_) => Vec::new(),
            Delta::Reset(mut rows) => {
                rows.sort_by_key(|row| row.line.at);
                let known = self.newest;
                rows.retain(|row| match known {
                    Some(known) => row.line.at > known,
                    None => now.since(row.line.at) < PAST,
                });
                let skip = rows.len().saturating_sub(PAST_LINES);
                rows.into_iter().skip(skip).filter_map(|row| self.one(row, now)).collect()
            }
        }
    }

    fn one(&mut self, row: EventRow, now: Stamp) -> Option<LogLine> {
        let at = row.line.at;
        self.newest = self.newest.max(Some(at));
        if self.told.len() >= SUBJECTS {
            self.told.retain(|_, last| now.since(*last) < REPEAT);
        }
        if self.told.len() >= SUBJECTS {
            self.told.clear();
        }
        let last = self.told.get(&row.subject);
        if last.is_some_and(|last| at >= *last && at.since(*last) < REPEAT) {
            return None;
        }
        self.told.insert(row.subject, at);
        Some(row.line)
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::{EventWire, Wire as _};
    use super::*;
    use crate::backend::clock;
    use serde_json::json;

    fn event(name: &str, secs: i64) -> EventRow {
        let at = clock::rfc3339(Stamp(1_800_000_000_000 + secs * 1000));
        serde_json::from_value::<EventWire>(
            json!({"metadata": {"name": name}, "type": "Warning", "reason": name,
            "message": "m", "involvedObject": {"kind": "Node", "name": "w"}, "lastTimestamp": at}),
        )
        .unwrap()
        .row()
        .unwrap()
    }

    #[test]
    fn tells_the_recent_past_once_and_then_only_news() {
        let now = Stamp(1_800_000_000_000);
        let mut teller = Teller::default();
        let texts = |lines: Vec<LogLine>| lines.into_iter().map(|line| line.text).collect::<Vec<_>>();
        let first = vec![event("b", -10), event("old", -3600), event("a", -20)];
        assert_eq!(texts(teller.lines(Delta::Reset(first), now)), ["a w: m", "b w: m"]);
        let again = vec![event("a", -20), event("b", -10), event("c", -5)];
        assert_eq!(texts(teller.lines(Delta::Reset(again), now)), ["c w: m"]);
        assert!(teller.lines(Delta::Upsert(event("c", 10)), now).is_empty(), "a repetition within 30 s");
        assert_eq!(teller.lines(Delta::Upsert(event("c", 40)), now).len(), 1);
    }
}
