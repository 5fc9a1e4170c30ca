//! When a roll will be over: what turns and the intervals between them have taken, times what is left.
//!
//! For each role: nodes to come, in waves of as many as are taken at once, each with the median of the measured turns and of
//! the intervals; the late end with their slow tenth. Time in which a budget blocked a turn is not counted: nobody knows whether
//! the next one will be blocked. A role that was not measured yet borrows from the others, and that is said.

use super::phase::{Phase, Role};
use super::{Rollout, Track};
use crate::domain::ids::NodeName;
use crate::domain::text::count;
use crate::domain::time::{Stamp, brief};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// So many turns have to be measured before an end is foretold.
pub(super) const LEAST: usize = 2;

/// One turn as it was measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// The node.
    pub node: NodeName,
    /// Its role.
    pub role: Role,
    /// When the turn began.
    pub entered: Stamp,
    /// What it took.
    pub took: Duration,
    /// Of that: blocked by a budget.
    pub blocked: Duration,
    /// What its phases took.
    pub spent: BTreeMap<Phase, Duration>,
}

impl Sample {
    /// Without the time in which a budget blocked it.
    pub fn net(&self) -> Duration {
        self.took.saturating_sub(self.blocked)
    }
}

/// When it ends, if it goes on as so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimate {
    /// Probably.
    pub ends: Stamp,
    /// When every turn to come is as slow as the slow tenth.
    pub late: Stamp,
    /// How many turns it rests on.
    pub measured: usize,
    /// What it rests on, in words.
    pub basis: String,
}

/// The median and the slow tenth (nearest rank); `None` without values.
fn spread(mut values: Vec<Duration>) -> Option<(Duration, Duration)> {
    values.sort();
    let last = values.len().checked_sub(1)?;
    let middle = (values[last / 2] + values[values.len() / 2]) / 2;
    let slow = (values.len() * 9).div_ceil(10).saturating_sub(1);
    Some((middle, values[slow.min(last)]))
}

impl Rollout {
    /// What a turn of a role takes; of any role when it was not measured yet (then the flag is set).
    fn turn(&self, role: Role) -> Option<(Duration, Duration, bool)> {
        let of = |only: Option<Role>| {
            spread(
                self.samples
                    .iter()
                    .filter(|one| only.is_none_or(|role| one.role == role))
                    .map(Sample::net)
                    .collect(),
            )
        };
        of(Some(role))
            .map(|(median, slow)| (median, slow, false))
            .or_else(|| of(None).map(|(median, slow)| (median, slow, true)))
    }

    /// What a turn of any role takes: the median and the slow tenth.
    pub(super) fn usual_turn(&self) -> Option<(Duration, Duration)> {
        spread(self.samples.iter().map(Sample::net).collect())
    }

    /// What lies between two turns, after a node of this role; of any when there is none.
    pub(super) fn interval(&self, role: Option<Role>) -> Option<(Duration, Duration)> {
        let of = |only: Option<Role>| {
            let kept = self.intervals.iter().filter(|(of, _)| only.is_none_or(|role| *of == role));
            spread(kept.map(|(_, span)| *span).collect())
        };
        role.and_then(|role| of(Some(role))).or_else(|| of(None))
    }

    /// What a phase usually takes: the median and the slow tenth; `None` until two were measured.
    pub fn usual(&self, phase: Phase) -> Option<(Duration, Duration)> {
        let values: Vec<Duration> =
            self.samples.iter().filter_map(|sample| sample.spent.get(&phase).copied()).collect();
        if values.len() < LEAST { None } else { spread(values) }
    }

    /// How many nodes of a role are taken at once, by the last turns.
    fn at_once(&self, role: Role) -> usize {
        let last = self.together.iter().rev().filter(|(of, _)| *of == role).take(5).map(|(_, busy)| *busy);
        last.max().unwrap_or(1).max(1)
    }

    /// When it ends.
    ///
    /// # Errors
    /// Why that is not foretold: nothing is under way, too little was measured.
    pub fn estimate(&self, now: Stamp) -> Result<Estimate, String> {
        if !self.is_rolling() {
            return Err("no roll is under way".to_owned());
        }
        let measured = self.samples.len();
        if measured < LEAST {
            return self.by_stamps(now).ok_or_else(|| match measured {
                0 => "no estimate yet: no node measured".to_owned(),
                _ => format!("no estimate yet: {} measured", count(measured, "node")),
            });
        }
        let mut likely = Duration::ZERO;
        let mut late = Duration::ZERO;
        let mut is_borrowed = false;
        let busy: Vec<&Track> = self.at_work();
        let rest = |track: &&Track, whole: Duration| {
            let spent = track.turn_span(now).unwrap_or_default().saturating_sub(track.blocked_span(now));
            whole.saturating_sub(spent)
        };
        for track in &busy {
            let Some((median, slow, _)) = self.turn(track.role) else { continue };
            likely = likely.max(rest(track, median));
            late = late.max(rest(track, slow));
        }
        let mut is_first = busy.is_empty();
        for role in Role::ALL {
            let left = self.counted_nodes().filter(|one| one.role == role && is_to_come(one)).count();
            if left == 0 {
                continue;
            }
            let Some((median, slow, borrowed)) = self.turn(role) else { continue };
            is_borrowed |= borrowed;
            let (pause, long) = self.interval(Some(role)).unwrap_or_default();
            let waves = u32::try_from(left.div_ceil(self.at_once(role))).unwrap_or(u32::MAX);
            likely += (median + pause) * waves;
            late += (slow + long) * waves;
            if std::mem::take(&mut is_first) {
                // the first of these intervals is under way already
                let rested = self.last_done().map_or(Duration::ZERO, |done| now.since(done));
                likely = likely.saturating_sub(rested.min(pause));
                late = late.saturating_sub(rested.min(long));
            }
        }
        let note = if is_borrowed { "; a role was not measured yet" } else { "" };
        let basis = format!("{} measured{}{note}", count(measured, "turn"), self.pace_words());
        Ok(Estimate { ends: now.plus(likely), late: now.plus(late.max(likely)), measured, basis })
    }

    /// `, 3m12s each + 1m between`.
    fn pace_words(&self) -> String {
        let each =
            self.usual_turn().map(|(median, _)| format!(", {} each", brief(median))).unwrap_or_default();
        let pause = self.interval(None).map(|(median, _)| median).filter(|pause| pause.as_secs() > 0);
        let pause = pause.map(|pause| format!(" + {} between", brief(pause))).unwrap_or_default();
        let most = Role::ALL.into_iter().map(|role| self.at_once(role)).max().unwrap_or(1);
        let together = if most > 1 { format!(", {most} at once") } else { String::new() };
        format!("{each}{pause}{together}")
    }

    fn last_done(&self) -> Option<Stamp> {
        self.counted_nodes().filter(|track| track.turns > 0).filter_map(|track| track.done_at).max()
    }

    /// Without measured turns: how far apart nodes that are done already became Ready, by their own stamps.
    fn by_stamps(&self, now: Stamp) -> Option<Estimate> {
        const RECENT: Duration = Duration::from_hours(24);
        if !self.aim.names_the_rest() && self.wish.since.is_none() {
            return None;
        }
        let members = self.members();
        let done = members.iter().filter(|track| track.phase == Phase::Done);
        let mut stamps: Vec<Stamp> =
            done.filter_map(|track| track.done_at).filter(|at| now.since(*at) < RECENT).collect();
        stamps.sort();
        let apart: Vec<Duration> = stamps.windows(2).map(|pair| pair[1].since(pair[0])).collect();
        let measured = stamps.len();
        let (median, slow) = spread(apart).filter(|_| measured > LEAST)?;
        let last = stamps.last().copied()?;
        let left = members.iter().filter(|track| is_to_come(track) || track.phase.is_at_work()).count();
        let left = u32::try_from(left).ok()?;
        let rested = now.since(last);
        let ends = now.plus((median * left).saturating_sub(rested.min(median)));
        let late = now.plus((slow * left).saturating_sub(rested.min(slow)));
        let basis = format!("by the stamps of {measured} nodes done before, one each {}", brief(median));
        Some(Estimate { ends, late: late.max(ends), measured: 0, basis })
    }
}

fn is_to_come(track: &Track) -> bool {
    track.phase == Phase::Waiting && !track.was_ill
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_and_the_slow_tenth() {
        let secs = |list: &[u64]| list.iter().map(|&secs| Duration::from_secs(secs)).collect::<Vec<_>>();
        assert_eq!(spread(Vec::new()), None);
        let two = spread(secs(&[10, 20])).unwrap();
        assert_eq!(two, (Duration::from_secs(15), Duration::from_secs(20)));
        let many = spread(secs(&[1, 2, 3, 4, 5, 6, 7, 8, 90, 100])).unwrap();
        assert_eq!(many, (Duration::from_millis(5500), Duration::from_secs(90)), "one in ten may be slower");
    }
}
