//! The maintenance lock as a row: who holds it, for which run, and whether it is still kept alive.

use super::ids::{NodeName, RunId};
use super::time::{Stamp, age};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How a run deals with the maintenance lock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockChoice {
    /// Takes it when it is free, or when an earlier run of the same holder left it marked.
    #[default]
    Take,
    /// Also takes over what another's failed run left marked, and what its holder does not renew any more: the
    /// engineer said so.
    Adopt,
    /// Goes on without it: it cannot be used here, and the engineer said so.
    Without,
    /// The roll that the run is a part of holds it.
    Parent,
}

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

    /// Why a run may not begin beside it, in words; `None` = it may.
    ///
    /// What a failed run left marked stays until somebody looks: its own holder may take it again, others only when they
    /// say so. One that is not renewed any more may belong to a process that is merely frozen: nobody takes it over
    /// without saying so, and then only after watching that it stays as it is (see the lock step).
    pub fn in_the_way(&self, holder: &str, choice: LockChoice, now: Stamp) -> Option<String> {
        let may_begin = match choice {
            LockChoice::Take => self.tombstone.is_some() && self.holder == holder,
            LockChoice::Adopt => true,
            LockChoice::Without | LockChoice::Parent => false,
        };
        (!may_begin).then(|| self.words(now))
    }

    /// Whether it is that of a run of this holder on this node.
    pub fn is_of(&self, holder: &str, node: Option<&NodeName>) -> bool {
        self.holder == holder && self.run.is_some() && node.is_some() && self.node.as_ref() == node
    }

    /// Whether two readings show the same holder, the same run, and no renewal between them.
    pub fn is_still(&self, earlier: &Self) -> bool {
        self.holder == earlier.holder
            && self.run == earlier.run
            && self.renewed == earlier.renewed
            && self.tombstone == earlier.tombstone
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
            text.push_str(&format!(", since {}", age(now.since(since))));
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
    fn what_others_left_is_taken_over_only_by_an_explicit_choice() {
        use LockChoice::{Adopt, Take, Without};
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
        let frozen = Stamp(60_000);
        for now in [Stamp(0), frozen] {
            assert!(
                alive.in_the_way("ann@desk", Take, now).is_some(),
                "a second run of the same engineer waits"
            );
            assert!(alive.in_the_way("bob@desk", Take, now).is_some());
            assert!(alive.in_the_way("bob@desk", Without, now).is_some());
        }
        assert!(alive.in_the_way("bob@desk", Adopt, frozen).is_none());
        let left = LeaseRow { tombstone: Some("drain failed".into()), ..alive };
        let words = left.in_the_way("bob@desk", Take, frozen);
        assert!(words.is_some_and(|words| words.contains("drain failed")));
        assert!(left.in_the_way("bob@desk", Adopt, frozen).is_none());
        assert!(left.in_the_way("ann@desk", Take, frozen).is_none());
        assert!(left.in_the_way("ann@desk", Without, frozen).is_some());
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
