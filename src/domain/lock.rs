//! The maintenance lock as a row: who holds it, for which run, and whether it is still kept alive.

use super::ids::{NodeName, RunId};
use super::time::{Stamp, brief};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The Lease `pitstop` as far as it can be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRow {
    /// `user@host`.
    pub holder: String,
    /// The run it was taken for.
    pub run: Option<RunId>,
    /// The step that run was in.
    pub step: Option<String>,
    /// The node in work.
    pub node: Option<NodeName>,
    /// Taken.
    pub since: Option<Stamp>,
    /// Last sign of life.
    pub renewed: Option<Stamp>,
    /// How long a renewal counts.
    pub lasts: Duration,
    /// Left behind by a run that failed, in its words.
    pub tombstone: Option<String>,
}

impl LeaseRow {
    /// Whether nobody keeps it alive any more. A lease that was never renewed counts as expired.
    pub fn is_expired(&self, now: Stamp) -> bool {
        self.renewed.is_none_or(|renewed| now.since(renewed) > self.lasts)
    }

    /// Why the lock cannot be taken, in words; `None` = it can.
    ///
    /// It can when nobody keeps it alive any more. What a failed run left behind stays until somebody looks: its own
    /// holder may take it again, others only when they say so (`adopt`).
    pub fn in_the_way(&self, holder: &str, adopt: bool, now: Stamp) -> Option<String> {
        let is_free = match self.tombstone {
            Some(_) => adopt || self.holder == holder,
            None => self.is_expired(now),
        };
        (!is_free).then(|| self.words(now))
    }

    /// Who, what and since when, in one line.
    pub fn words(&self, now: Stamp) -> String {
        let mut text = self.holder.clone();
        if let Some(run) = &self.run {
            text.push_str(&format!(", run {run}"));
        }
        if let Some(node) = &self.node {
            text.push_str(&format!(" on {node}"));
        }
        if let Some(step) = &self.step {
            text.push_str(&format!(", step {step}"));
        }
        if let Some(since) = self.since {
            text.push_str(&format!(", since {}", brief(now.since(since))));
        }
        if let Some(left) = &self.tombstone {
            text.push_str(&format!(", left behind: {left}"));
        } else if self.is_expired(now) {
            text.push_str(", not renewed any more");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tombstone_is_only_for_its_holder_or_who_adopts_it() {
        let alive = LeaseRow {
            holder: "ann@desk".into(),
            run: None,
            step: None,
            node: None,
            since: None,
            renewed: Some(Stamp(0)),
            lasts: Duration::from_secs(30),
            tombstone: None,
        };
        let later = Stamp(60_000);
        assert!(
            alive.in_the_way("ann@desk", true, Stamp(0)).is_some(),
            "a second run of the same engineer waits"
        );
        assert!(alive.in_the_way("bob@desk", false, later).is_none());
        let left = LeaseRow { tombstone: Some("drain failed".into()), ..alive };
        assert!(
            left.in_the_way("bob@desk", false, later).is_some_and(|words| words.contains("drain failed"))
        );
        assert!(left.in_the_way("bob@desk", true, later).is_none());
        assert!(left.in_the_way("ann@desk", false, later).is_none());
    }

    #[test]
    fn words_say_when_nobody_keeps_it_alive() {
        let row = LeaseRow {
            holder: "ann@desk".into(),
            run: Some("reboot-cp-1".into()),
            step: Some("drain".into()),
            node: Some("cp-1".into()),
            since: Some(Stamp(0)),
            renewed: Some(Stamp(60_000)),
            lasts: Duration::from_secs(30),
            tombstone: None,
        };
        assert!(!row.is_expired(Stamp(90_000)) && row.is_expired(Stamp(90_001)));
        assert_eq!(row.words(Stamp(90_000)), "ann@desk, run reboot-cp-1 on cp-1, step drain, since 90s");
        assert!(row.words(Stamp(100_000)).ends_with("not renewed any more"));
    }
}
