//! One pod of a node that is drained: its class, its state, and both in words.

use super::ledger::Wait;
use crate::domain::drain::Class;
use crate::domain::pod::PodRow;
use crate::domain::time::{Stamp, brief};
use crate::domain::wave::Wave;
use std::time::Duration;
use tokio::time::Instant;

/// A pod whose grace ended so long ago will not go by itself.
const OVERDUE: Duration = Duration::from_secs(10);

/// What is known of the node that a pod runs on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) name: String,
    /// Since when its kubelet does not report; `None` = it does.
    pub(super) away: Option<Stamp>,
    pub(super) is_away: bool,
}

#[derive(Debug)]
pub(super) enum State {
    /// Not sent, and why not yet.
    Waiting(Wait),
    /// On its way.
    Sent,
    /// Refused; not sent again before.
    Held(Instant, Wait),
    /// Accepted, or being deleted anyway: only waited for, since.
    Going(Instant),
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) row: PodRow,
    pub(super) class: Class,
    pub(super) wave: Wave,
    pub(super) state: State,
    /// Refusals so far.
    pub(super) tries: u32,
    /// It holds later waves back no longer.
    pub(super) is_passed: bool,
    /// It was said that it will not go by itself.
    pub(super) is_told: bool,
}

impl Entry {
    pub(super) fn new(row: PodRow, class: Class, wave: Wave, now: Instant) -> Self {
        let state = if row.deleting.is_some() { State::Going(now) } else { State::Waiting(Wait::default()) };
        Self { wave, row, class, state, tries: 0, is_passed: false, is_told: false }
    }

    /// It has to go.
    pub(super) fn is_target(&self) -> bool {
        !matches!(self.class, Class::Skip(_))
    }

    /// It is to be asked for.
    pub(super) fn is_sendable(&self) -> bool {
        matches!(self.class, Class::Evict | Class::Finished)
    }

    pub(super) fn is_going(&self) -> bool {
        matches!(self.state, State::Going(_))
    }

    /// Why it waits, when it does.
    pub(super) fn wait(&self) -> Option<&Wait> {
        match &self.state {
            State::Waiting(wait) | State::Held(_, wait) => Some(wait),
            State::Sent | State::Going(_) => None,
        }
    }

    /// Why nobody ends it although it is being deleted.
    pub(super) fn stuck(&self, host: &Host, now: Stamp) -> Option<String> {
        if !self.is_going() {
            return None;
        }
        let end = self.row.deleting?;
        let over = now.since(end);
        let is_stopped = self.row.is_finished() || now > end;
        if !self.row.finalizers.is_empty() && is_stopped {
            return Some(format!(
                "finalizer {} holds it: it will not end by itself, whoever set it has to remove it",
                self.row.finalizers.join(", ")
            ));
        }
        if host.is_away && now > end {
            let since =
                host.away.map_or_else(String::new, |at| format!(" for {}", brief(whole(now.since(at)))));
            return Some(format!(
                "{} does not answer{since}: nobody stops it, it will not end by itself until the node is back or gone",
                host.name
            ));
        }
        (over > OVERDUE).then(|| {
            format!(
                "its grace ended {} ago and {} has not removed it: it may not end by itself",
                brief(whole(over)),
                host.name
            )
        })
    }

    /// Its state in words.
    pub(super) fn words(&self, host: &Host, now: Instant, wall: Stamp) -> String {
        if let Some(why) = self.stuck(host, wall) {
            return format!("stuck: {why}");
        }
        match &self.state {
            State::Waiting(wait) if wait.why.is_empty() => "waiting".to_owned(),
            State::Waiting(wait) => with_count_down(wait, wait.again, now),
            State::Held(until, wait) => with_count_down(wait, Some(*until), now),
            State::Sent => "evicting".to_owned(),
            State::Going(_) => match self.row.deleting {
                Some(end) if end >= wall && self.row.finalizers.is_empty() => {
                    format!("terminating, {} of grace left", brief(whole(end.since(wall))))
                }
                Some(end) if end >= wall => format!(
                    "terminating, {} of grace left; then finalizer {} has to be removed",
                    brief(whole(end.since(wall))),
                    self.row.finalizers.join(", ")
                ),
                Some(_) => "terminating, its grace is over".to_owned(),
                None => "terminating".to_owned(),
            },
        }
    }

    /// What has to be seen first comes first: stuck, blocked, waiting, on its way, terminating.
    pub(super) fn rank(&self, host: &Host, now: Stamp) -> u8 {
        match &self.state {
            _ if self.stuck(host, now).is_some() => 0,
            State::Waiting(wait) | State::Held(_, wait) if wait.is_blocked => 1,
            State::Held(..) => 2,
            State::Waiting(wait) if wait.budget.is_some() => 3,
            State::Waiting(_) => 4,
            State::Sent => 5,
            State::Going(_) => 6,
        }
    }
}

fn with_count_down(wait: &Wait, again: Option<Instant>, now: Instant) -> String {
    match again.map(|at| at.saturating_duration_since(now)).filter(|left| !left.is_zero()) {
        Some(left) => format!("{}; asked again in {}s", wait.why, left.as_secs() + 1),
        None => wait.why.clone(),
    }
}

pub(super) fn whole(span: Duration) -> Duration {
    Duration::from_secs(span.as_secs())
}
