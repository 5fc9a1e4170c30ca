//! Whether a roll moves, is quiet as usual, or is stuck, and on what.

use super::estimate::LEAST;
use super::phase::Phase;
use super::timeline::{Event, Happening};
use super::words::restless;
use super::{Rollout, Track};
use crate::domain::ids::{BudgetKey, NodeName};
use crate::domain::text::count;
use crate::domain::time::{Stamp, brief};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A budget that may give way by itself blocks for so long before it counts as stuck. (One that never will counts at once.)
const BLOCKED: Duration = Duration::from_mins(1);
/// It is told in the timeline after this time; shorter ones are the usual course of a drain.
const BLOCK_NEWS: Duration = Duration::from_secs(10);
/// A pod that is still there so long after its grace is stuck.
const LINGERS: Duration = Duration::from_mins(1);
/// Something moved so short ago that nothing more has to be said.
const FRESH: Duration = Duration::from_secs(30);
/// A phase that takes longer than this many times its slow tenth is late.
const LATE: u32 = 3;
/// And never before this time.
const LATE_LEAST: Duration = Duration::from_mins(1);
/// A node that stopped being Ready so often after its return comes and goes: each time it looks as if it moved.
const RESTLESS: u32 = 3;

/// What keeps a roll from going on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stall {
    /// Since when.
    pub since: Stamp,
    /// On which node.
    pub node: Option<NodeName>,
    /// The budget that blocks, when one does.
    pub budget: Option<BudgetKey>,
    /// What is the matter: `worker-7 drains, blocked by shop/web (needs 3, has 3)`.
    pub why: String,
    /// Why waiting will not help; `None` = it may.
    pub never: Option<String>,
}

impl Stall {
    /// `stuck for 14m: worker-7 drains, blocked by shop/web (needs 3, has 3)`.
    pub fn words(&self, now: Stamp) -> String {
        format!("stuck for {}: {}", brief(now.since(self.since)), self.why)
    }

    fn topic(&self) -> Topic {
        Topic { node: self.node.clone(), budget: self.budget.clone() }
    }
}

/// What was told to be stuck.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Topic {
    node: Option<NodeName>,
    budget: Option<BudgetKey>,
}

/// How a roll goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// There is none.
    Idle,
    /// Something changed a moment ago.
    Moving,
    /// Nothing has changed for a while, and that is usual; in words.
    Quiet(String),
    /// It does not go on.
    Stuck(Stall),
    /// The API does not answer: nothing is known since then.
    Blind(Stamp),
}

impl Rollout {
    /// How it goes now.
    pub fn pace(&self, now: Stamp) -> Pace {
        if !self.is_rolling() {
            return Pace::Idle;
        }
        if !self.is_live {
            return Pace::Blind(self.live.unwrap_or_default());
        }
        if let Some(stall) = self.stalls(now).into_iter().next() {
            return Pace::Stuck(stall);
        }
        let busy = self.at_work();
        let moved = self.counted_nodes().map(|track| track.moved).max().unwrap_or_default();
        let quiet = now.since(moved);
        if quiet < FRESH {
            return Pace::Moving;
        }
        let what = busy.first().map_or_else(
            || {
                let usual = self.interval(None);
                let usual = usual.map(|(median, _)| format!(" (usually {})", brief(median)));
                format!("between two nodes{}", usual.unwrap_or_default())
            },
            |track| {
                let usual = self.usual(track.phase);
                let usual = usual.map(|(median, _)| format!(" (usually {})", brief(median)));
                let span = brief(track.in_phase(now));
                format!("{} is {} for {span}{}", track.name, track.phase, usual.unwrap_or_default())
            },
        );
        Pace::Quiet(format!("quiet for {}, but progressing: {what}", brief(quiet)))
    }

    /// All that is stuck: what waiting will not help first, then the longest.
    pub fn stalls(&self, now: Stamp) -> Vec<Stall> {
        if !self.is_rolling() || !self.is_live {
            return Vec::new();
        }
        let mut all: Vec<Stall> =
            self.counted_nodes().filter_map(|track| self.stall_of(track, now)).collect();
        all.extend(self.nobody(now));
        all.sort_by_key(|stall| (stall.never.is_none(), stall.budget.is_none(), stall.since));
        all
    }

    fn stall_of(&self, track: &Track, now: Stamp) -> Option<Stall> {
        let doing = match track.phase {
            Phase::Draining => "drains",
            Phase::Failed => "failed",
            phase if phase.is_at_work() => "is",
            _ => return None,
        };
        let name = &track.name;
        let stall = |since: Stamp, why: String| Stall {
            since,
            node: Some(name.clone()),
            budget: None,
            why,
            never: None,
        };
        if track.phase == Phase::Failed {
            return Some(stall(track.since, format!("{name} failed: {}", self.waits_for(track, now))));
        }
        let may_drain = matches!(track.phase, Phase::Cordoned | Phase::Draining);
        if let Some(block) = track.load.blocking().filter(|_| may_drain)
            && (block.never.is_some() || now.since(block.since) > BLOCKED)
        {
            let doing = if track.phase == Phase::Draining { "drains" } else { "is cordoned" };
            return Some(Stall {
                budget: Some(block.budget.clone()),
                never: block.never.clone(),
                ..stall(block.since, format!("{name} {doing}, {}", block.words()))
            });
        }
        if let Some((pod, end)) = &track.load.lingering
            && may_drain
            && now.since(*end) > LINGERS
        {
            let why =
                format!("{name} drains, {pod} does not go: its grace ended {} ago", brief(now.since(*end)));
            return Some(stall(*end, why));
        }
        if let Some(lapsed) = track.lapsed.filter(|_| track.lapses >= RESTLESS) {
            return Some(stall(lapsed, format!("{name} comes and goes: {}", restless(track))));
        }
        let since = if may_drain { track.moved } else { track.since };
        if self.sight.seen(since, now) <= self.late_after(track.phase) {
            return None;
        }
        let what = self.waits_for(track, now);
        let why = match track.phase {
            Phase::Draining => format!("{name} {doing}, and no pod has left since: {what}"),
            phase => format!("{name} {doing} {phase}: {what}"),
        };
        Some(stall(since, why))
    }

    /// When a phase is late: three times its slow tenth, else a figure that fits most clusters.
    fn late_after(&self, phase: Phase) -> Duration {
        let default = match phase {
            Phase::Away | Phase::Ready => Duration::from_mins(10),
            _ => Duration::from_mins(5),
        };
        self.usual(phase).map_or(default, |(_, slow)| (slow * LATE).max(LATE_LEAST))
    }

    /// Nodes are to come, and nobody works on one for longer than usual.
    fn nobody(&self, now: Stamp) -> Option<Stall> {
        const DEFAULT: Duration = Duration::from_mins(30);
        const LEAST_WAIT: Duration = Duration::from_mins(2);
        let members = || self.counted_nodes();
        let left = members().filter(|track| track.phase == Phase::Waiting && !track.was_ill).count();
        if left == 0 || members().any(|track| track.phase.is_in_turn()) || !self.is_roll() {
            return None;
        }
        let since = members().map(|track| track.since.max(track.moved)).max()?;
        let limit = match self.interval(None) {
            Some((_, slow)) if self.samples.len() > LEAST => (slow * (LATE + 1)).max(LEAST_WAIT),
            _ => DEFAULT,
        };
        if self.sight.seen(since, now) <= limit {
            return None;
        }
        let why = format!("nobody works on a node; {} to come", count(left, "node"));
        Some(Stall { since, node: None, budget: None, why, never: None })
    }

    /// Writes down what blocks, what is stuck and that it moves again, each once.
    pub(super) fn stalls_told(&mut self, now: Stamp) {
        if !self.is_live {
            return;
        }
        for track in self.tracks.values_mut() {
            let Some(block) = track.load.blocking() else { continue };
            let is_news = block.never.is_some() || now.since(block.since) >= BLOCK_NEWS;
            if !track.phase.is_at_work() || track.is_block_told || !is_news {
                continue;
            }
            let never = block.never.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            let pods = block.pods.first().map(|pod| format!(", {pod} waits")).unwrap_or_default();
            let text = format!("{} is {}{pods}{never}", track.name, block.words());
            let line = track.line(now, Event::Blocked, text);
            track.is_block_told = true;
            self.timeline.push(line);
        }
        let stall = self.stalls(now).into_iter().next();
        let topic = stall.as_ref().map(Stall::topic);
        if topic == self.told {
            return;
        }
        // blocks have lines of their own
        let was_block = self.told.as_ref().is_some_and(|topic| topic.budget.is_some());
        match stall {
            Some(stall) if stall.budget.is_some() => {}
            Some(stall) => {
                let text = format!("stuck: {}", stall.why);
                self.timeline.push(Happening { at: now, event: Event::Stuck, node: stall.node, text });
            }
            None if self.is_rolling() && !was_block => {
                let text = "it moves again".to_owned();
                self.timeline.push(Happening { at: now, event: Event::Moving, node: None, text });
            }
            None => {}
        }
        self.told = topic;
    }
}
