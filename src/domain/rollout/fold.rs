//! The fold: what has changed since the last look, and what that means.

use super::estimate::Sample;
use super::phase::Phase;
use super::timeline::{Event, Happening};
use super::track::Track;
use super::{Aim, How, Limits, Rollout, Snapshot, Stage, Tally};
use crate::domain::ids::NodeName;
use crate::domain::node::{NodeRow, Readiness};
use crate::domain::text::count;
use crate::domain::time::{Stamp, brief};
use std::collections::BTreeSet;
use std::time::Duration;

/// Without anything measured, a node that is away for longer has failed. kops validates for as long by default.
const GONE: Duration = Duration::from_mins(15);
/// The first look waits so long for the pods, without which nothing can be said of a drain.
const LISTING: Duration = Duration::from_secs(5);
/// Pods are counted at most this often.
const TALLY: Duration = Duration::from_secs(1);
/// Who has not looked for longer than this has missed something.
const MISSED: Duration = Duration::from_mins(2);
/// With nodes left, a roll in which nothing happens for so many usual intervals counts as over, and not before this time.
const PATIENCE: u32 = 6;
const STILL_LEAST: Duration = Duration::from_mins(5);
/// The same where no interval was measured.
const STILL: Duration = Duration::from_mins(15);
/// And where kured drives it, which by default looks once an hour.
const STILL_KURED: Duration = Duration::from_mins(90);
/// The maintenance of one node is forgotten when nothing more has happened for so long.
const FORGET: Duration = Duration::from_mins(30);

impl Rollout {
    /// Takes the cluster as it is now. Until the nodes were listed once, there is nothing to give it.
    ///
    /// The roll is over when no node is at work and none is to come. With nodes left it is over when nothing has happened for
    /// six times the slow tenth of the intervals, at least 5 minutes; where none was measured, for 15 minutes (90 where kured drives
    /// it, 5 after a failure).
    pub fn observe(&mut self, now: Stamp, seen: &Snapshot<'_>) {
        let is_first = self.seen.is_none();
        if is_first && !seen.has_pods && now.since(*self.awaits_pods.get_or_insert(now)) < LISTING {
            return;
        }
        let last = self.seen.unwrap_or(Stamp(0));
        let now = now.max(last);
        let mut news = Vec::new();
        self.missed(now, seen, &mut news);
        self.seen = Some(now);
        if is_first {
            self.first(now, seen);
        }
        let (is_rolling, gone) = (self.is_rolling(), self.gone_after());
        let before: BTreeSet<NodeName> = self.turning();
        self.come_and_go(now, seen, &mut news);
        let limits = Limits { is_rolling, gone, is_live: self.is_live, sight: &self.sight };
        for track in self.tracks.values_mut() {
            let row = seen.nodes.get(&track.name);
            track.see(row, (last, now), seen, &limits, &mut news);
        }
        self.drivers(now, seen, &mut news);
        self.is_listed = self.tracks.values().any(|track| track.was_listed);
        let is_sign = self.is_sign(&before);
        if !self.is_rolling() && is_sign {
            let began = news.iter().map(|line| line.at).min().unwrap_or(now);
            self.begin(began.min(now), is_first, &before);
        }
        self.measure(now, &before);
        self.judge(now, &mut news);
        if self.stage == Stage::Idle {
            self.keep_baseline();
        } else {
            news.drain(..).for_each(|line| self.timeline.push(line));
            self.stalls_told(now);
            self.end(now);
        }
        self.count_pods(now, seen);
    }

    /// Adopts what an earlier process kept; what follows is told as having been missed.
    pub fn adopt(&mut self, earlier: Self) {
        let wish = std::mem::take(&mut self.wish);
        *self = earlier;
        if wish != super::Wish::default() {
            self.wish = wish;
        }
    }

    fn missed(&mut self, now: Stamp, seen: &Snapshot<'_>, news: &mut Vec<Happening>) {
        let was_live = self.is_live || self.live.is_none();
        let is_live = self.sight.settles(seen.is_live, was_live, now);
        if let Some(last) = self.live.filter(|last| !is_live || !was_live || now.since(*last) > MISSED) {
            self.sight.miss(last, now);
        }
        if let Some(last) = self.live.filter(|last| is_live && now.since(*last) > MISSED) {
            let text = format!("nothing was seen for {}", brief(now.since(last)));
            news.push(Happening { at: now, event: Event::Unwatched, node: None, text });
        }
        self.is_live = is_live;
        if is_live {
            self.live = Some(now);
        }
    }

    /// The first look: what is there is the beginning, but what is under way is.
    fn first(&mut self, now: Stamp, seen: &Snapshot<'_>) {
        for row in seen.nodes.values() {
            self.tracks.insert(row.name.clone(), Track::new(row, now));
        }
        let is_mixed = self.is_mixed();
        let is_evident = is_mixed || self.tracks.values().any(|track| track.marks.to_come.is_some());
        let wish = self.wish.since;
        for (name, row) in seen.nodes {
            let Some(track) = self.tracks.get_mut(name) else { continue };
            track.set_apart(row, now, is_evident);
            let stamps = [row.created, row.ready_since].into_iter().flatten();
            let latest = stamps.max().filter(|_| row.is_ready());
            track.done_at = latest;
            track.had_turn = wish.is_some_and(|since| latest.is_some_and(|at| at >= since));
        }
    }

    pub(super) fn is_mixed(&self) -> bool {
        let versions: BTreeSet<&str> = self
            .tracks
            .values()
            .map(|track| track.now.version.as_str())
            .filter(|version| !version.is_empty())
            .collect();
        versions.len() > 1
    }

    fn turning(&self) -> BTreeSet<NodeName> {
        self.tracks
            .values()
            .filter(|track| track.phase.is_in_turn())
            .map(|track| track.name.clone())
            .collect()
    }

    fn gone_after(&self) -> Duration {
        match self.usual(Phase::Away) {
            Some((_, slow)) => (slow * 5).max(Duration::from_mins(1)),
            None => GONE,
        }
    }

    /// Nodes that were removed, and nodes that came; those that came in a removed one's place take over its turn.
    fn come_and_go(&mut self, now: Stamp, seen: &Snapshot<'_>, news: &mut Vec<Happening>) {
        let is_gone = |track: &&Track| !track.is_gone && !seen.nodes.contains_key(&track.name);
        let removed: Vec<NodeName> =
            self.tracks.values().filter(is_gone).map(|track| track.name.clone()).collect();
        for name in removed {
            self.removed(&name, now, news);
        }
        let added: Vec<&NodeRow> =
            seen.nodes.values().filter(|row| !self.tracks.contains_key(&row.name)).collect();
        for row in added {
            self.added(row, now, news);
        }
        for track in self.tracks.values_mut().filter(|track| track.is_gone) {
            // the same name again
            track.is_gone = !seen.nodes.contains_key(&track.name);
        }
        // a node that went for one that had come before
        let free: Vec<NodeName> = self.extras().map(|track| track.name.clone()).collect();
        for name in free {
            if let Some(row) = seen.nodes.get(&name) {
                self.pair(row, now, false, news);
            }
        }
    }

    fn removed(&mut self, name: &NodeName, now: Stamp, news: &mut Vec<Happening>) {
        let is_rolling = self.is_rolling();
        let Some(track) = self.tracks.get_mut(name) else { return };
        let counts = track.phase.is_in_turn() || (is_rolling && !track.marks.is_surplus && !track.was_ill);
        if counts && !track.is_extra {
            track.is_gone = true;
            return;
        }
        let why = if track.marks.is_surplus { " by cluster-autoscaler" } else { "" };
        news.push(track.line(now, Event::Removed, format!("{name} was removed{why}")));
        self.tracks.remove(name);
    }

    fn added(&mut self, row: &NodeRow, now: Stamp, news: &mut Vec<Happening>) {
        let mut track = Track::new(row, now);
        track.is_extra = self.is_rolling();
        track.was_ill = !row.is_ready();
        track.was_cordoned = row.cordoned;
        self.tracks.insert(row.name.clone(), track);
        if !self.pair(row, now, true, news) {
            let text = format!("{} has come", row.name);
            news.push(Happening { at: now, event: Event::Added, node: Some(row.name.clone()), text });
        }
    }

    /// Gives a node the place of one of its role that is gone, the earliest first, one of its own zone before others. One that
    /// had come before is taken for another zone's only when nothing comes there: it may have come for a node that was gone
    /// before anybody looked.
    fn pair(&mut self, row: &NodeRow, now: Stamp, is_fresh: bool, news: &mut Vec<Happening>) -> bool {
        let Some(new) = self.tracks.get(&row.name) else { return false };
        let (role, zone) = (new.role, new.zone.clone());
        let fits = |track: &&Track| {
            let is_elsewhere = zone.is_some() && track.zone.is_some() && track.zone != zone;
            is_fresh || !is_elsewhere || track.in_phase(now) > MISSED
        };
        let gone = self.tracks.values().filter(|track| track.is_gone && track.role == role).filter(fits);
        let Some(old) = gone.min_by_key(|track| (track.zone != zone, track.since)) else { return false };
        let old = old.name.clone();
        let Some(mut track) = self.tracks.remove(&old) else { return false };
        track.rename(row);
        track.zone = zone;
        news.push(track.line(now, Event::Added, format!("{} has come in {old}'s place", row.name)));
        self.tracks.insert(row.name.clone(), track);
        true
    }

    /// Whether something began that begins a roll.
    fn is_sign(&self, before: &BTreeSet<NodeName>) -> bool {
        let began = |track: &Track| {
            track.just_ended && !before.contains(&track.name)
                || track.phase.is_in_turn() && !before.contains(&track.name)
        };
        let is_over = matches!(self.stage, Stage::Ended { .. });
        let is_marked = !is_over && self.tracks.values().any(|track| track.marks.to_come.is_some());
        let is_to_come = |track: &Track| !Aim::of(&self.wish, self.tracks.values(), false).is_met(track);
        let is_named = self.stage == Stage::Idle && self.wish != super::Wish::default();
        self.tracks.values().any(began) || is_marked || (is_named && self.tracks.values().any(is_to_come))
    }

    /// A roll begins.
    fn begin(&mut self, began: Stamp, is_first: bool, before: &BTreeSet<NodeName>) {
        let goes_on = matches!(self.stage, Stage::Ended { how: How::Stopped, .. });
        if let (true, Some(began)) = (goes_on, self.began()) {
            self.stage = Stage::Rolling { began };
            return;
        }
        self.was_mixed = self.is_mixed();
        let began = self.wish.since.filter(|_| is_first).unwrap_or(began);
        self.stage = Stage::Rolling { began };
        self.before.clone_from(&self.pods);
        self.timeline = super::Timeline::default();
        self.aim = Aim::Unknown;
        (self.samples, self.intervals, self.together) = (Vec::new(), Vec::new(), Vec::new());
        self.told = None;
        for track in self.tracks.values_mut() {
            let is_new = track.just_ended || (track.phase.is_in_turn() && !before.contains(&track.name));
            track.was_listed = track.marks.is_listed;
            if is_new {
                track.start = track.turn.clone();
                track.turns = 0;
            } else if !track.phase.is_in_turn() {
                track.start = track.now.clone();
                (track.turns, track.flaps, track.took) = (0, 0, None);
                track.changed.clear();
                track.replaces = None;
                track.is_extra = false;
                track.was_ill = track.readiness != Readiness::Ready;
            }
        }
        let (_, total) = self.progress();
        let found = if is_first { "found under way" } else { "begins" };
        let text = format!("a roll {found}: {}", count(total, "node"));
        self.timeline.push(Happening { at: began, event: Event::Began, node: None, text });
    }

    /// What the turns that began and ended tell about durations.
    fn measure(&mut self, now: Stamp, before: &BTreeSet<NodeName>) {
        let begun: Vec<(super::Role, Stamp)> = self
            .tracks
            .values()
            .filter(|track| track.phase.is_at_work() && !before.contains(&track.name) && !track.is_extra)
            .filter_map(|track| Some((track.role, track.entered?)))
            .collect();
        let busy = self.tracks.values().filter(|track| track.phase.is_at_work() && !track.is_extra).count();
        if let (Some((_, at)), true) = (begun.first(), busy == begun.len()) {
            let ended = self.tracks.values().filter(|track| track.took.is_some());
            if let Some(track) = ended.max_by_key(|track| track.done_at)
                && let Some(done) = track.done_at
            {
                self.intervals.push((track.role, at.since(done)));
            }
        }
        self.together.extend(begun.iter().map(|(role, _)| (*role, busy)));
        for track in self.tracks.values_mut().filter(|track| track.just_ended) {
            let is_empty = track.load.is_known && track.load.left == 0;
            let is_turn = !track.changed.is_empty() || is_empty || track.has_drained;
            track.turns += u32::from(is_turn);
            track.done_at = Some(if track.since.0 == 0 { now } else { track.since });
            let took = track.took.filter(|took| !took.is_zero());
            if let (true, Some(entered), Some(took)) = (is_turn, track.entered, took) {
                self.samples.push(Sample {
                    node: track.name.clone(),
                    role: track.role,
                    entered,
                    took,
                    blocked: track.blocked.min(took),
                    spent: track.spent.clone(),
                });
            }
        }
    }

    /// The target, and which nodes are as it wants them.
    fn judge(&mut self, now: Stamp, news: &mut Vec<Happening>) {
        let is_rolling = self.is_rolling();
        let members = self.tracks.values().filter(|track| !track.is_extra);
        let aim = Aim::of(&self.wish, members, is_rolling);
        if aim != self.aim && is_rolling && aim != Aim::Unknown {
            let text = format!("the roll: {}", aim.words());
            news.push(Happening { at: now, event: Event::Target, node: None, text });
        }
        if is_rolling || self.stage == Stage::Idle {
            self.aim = aim;
        }
        for track in self.tracks.values_mut() {
            let has_ended = std::mem::take(&mut track.just_ended);
            if track.phase.is_in_turn() {
                continue;
            }
            let is_met = self.aim.is_met(track);
            let phase = if is_met { Phase::Done } else { Phase::Waiting };
            if has_ended {
                let what = track.turn.words(&track.now);
                let took = track.took.map(brief).unwrap_or_default();
                let (event, text) = match (is_met, what.is_empty()) {
                    (true, true) => (Event::Done, format!("{} done in {took}", track.name)),
                    (true, false) => (Event::Done, format!("{} done in {took}: {what}", track.name)),
                    (false, true) => {
                        (Event::GivenUp, format!("{} is in scheduling again, unchanged", track.name))
                    }
                    (false, false) => {
                        let text = format!("{} is back after {took}, and still to come: {what}", track.name);
                        (Event::GivenUp, text)
                    }
                };
                news.push(track.line(track.done_at.unwrap_or(now), event, text));
            }
            if phase != track.phase {
                track.phase = phase;
                track.since = track.done_at.filter(|_| has_ended).unwrap_or(now);
            }
            if track.readiness == Readiness::Ready {
                track.turn = track.now.clone();
            }
        }
    }

    /// Without a roll, what is there is what a roll would begin with.
    fn keep_baseline(&mut self) {
        for track in self.tracks.values_mut() {
            if track.readiness == Readiness::Ready {
                track.start = track.now.clone();
            }
            track.is_extra = false;
        }
    }

    /// Ends the roll, or takes the end back.
    fn end(&mut self, now: Stamp) {
        let members = || self.counted_nodes();
        let count_of = |phase: Phase| members().filter(|track| track.phase == phase).count();
        let is_busy = members().any(|track| track.phase.is_at_work());
        let failed = count_of(Phase::Failed);
        let waiting = members().filter(|track| track.phase == Phase::Waiting && !track.was_ill).count();
        if let Stage::Ended { began, at, how } = self.stage {
            // one that had failed has come back after all
            if how == How::Failed && failed == 0 && !is_busy {
                self.stage = Stage::Ended { began, at, how: How::Complete };
            }
            return;
        }
        let Stage::Rolling { began } = self.stage else { return };
        if is_busy || self.is_led || !self.is_live {
            return;
        }
        let still = self.sight.seen(self.last_change().max(began), now);
        if !self.is_roll() {
            if still > FORGET {
                *self = Self { wish: self.wish.clone(), ..Self::default() };
            }
            return;
        }
        let has_turned = members().any(|track| track.turns > 0 || track.had_turn) || failed > 0;
        let how = match (waiting, failed) {
            (0, 0) if has_turned => How::Complete,
            (0, _) if has_turned => How::Failed,
            _ if has_turned && still > self.still_after(failed > 0) => How::Stopped,
            _ => return,
        };
        let at = members().filter_map(|track| track.done_at).max().filter(|at| *at >= began).unwrap_or(now);
        self.stage = Stage::Ended { began, at, how };
        let text = self.ending();
        self.timeline.push(Happening { at: now, event: Event::Ended, node: None, text });
    }

    fn last_change(&self) -> Stamp {
        self.tracks.values().map(|track| track.moved.max(track.since)).max().unwrap_or_default()
    }

    fn still_after(&self, has_failed: bool) -> Duration {
        let is_kured = self.driver.as_deref().is_some_and(|driver| driver.contains("kured"));
        let measured = self.interval(None).filter(|_| self.intervals.len() > 1);
        match measured.map(|(_, slow)| slow * PATIENCE) {
            Some(usual) => usual.max(STILL_LEAST),
            None if has_failed => STILL_LEAST,
            None if is_kured => STILL_KURED,
            None => STILL,
        }
    }

    fn count_pods(&mut self, now: Stamp, seen: &Snapshot<'_>) {
        let is_due = self.tallied.is_none_or(|at| now.since(at) >= TALLY);
        if seen.has_pods && is_due {
            self.tallied = Some(now);
            self.pods = Some(Tally::of(seen.pods));
            if self.before.is_none() && self.stage != Stage::Idle {
                self.before.clone_from(&self.pods);
            }
        }
    }
}
