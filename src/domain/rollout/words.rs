//! A roll in words: one line for a header, one for each node, one for the end.

use super::phase::Phase;
use super::{How, Pace, Rollout, Stage, Track};
use crate::domain::text::count;
use crate::domain::time::{Stamp, brief};

/// Hours and minutes of a stamp, UTC: `14:32`.
pub fn hour(at: Stamp) -> String {
    let minutes = at.0.div_euclid(60_000).rem_euclid(1440);
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

impl Rollout {
    /// `rolling 4/12, ends about 14:32`; nothing where there is no roll to speak of.
    pub fn headline(&self, now: Stamp) -> Option<String> {
        if !self.is_roll() {
            return None;
        }
        let (done, total) = self.progress();
        match self.stage {
            Stage::Idle => None,
            Stage::Ended { how: How::Complete, .. } => Some(format!("rolled {done}/{total}")),
            Stage::Ended { .. } => Some(format!("roll stopped {done}/{total}")),
            Stage::Rolling { .. } => Some(match (self.pace(now), self.estimate(now)) {
                (Pace::Stuck(stall), _) => {
                    format!("rolling {done}/{total}, stuck {}", brief(now.since(stall.since)))
                }
                (_, Ok(estimate)) => {
                    format!("rolling {done}/{total}, ends about {}", hour(estimate.ends))
                }
                (_, Err(_)) => format!("rolling {done}/{total}"),
            }),
        }
    }

    /// `control plane 3/3, workers 1/9`.
    pub fn counted(&self) -> String {
        let words =
            self.counts().into_iter().map(|one| format!("{} {}/{}", one.role.word(), one.done, one.total));
        words.collect::<Vec<_>>().join(", ")
    }

    /// When it ends, in words: `about 14:32, 15:10 if slow`, or why that is not foretold.
    pub fn end_words(&self, now: Stamp) -> String {
        if let Stage::Ended { at, .. } = self.stage {
            return format!("{}: {}", hour(at), self.ending());
        }
        let blocked = matches!(self.pace(now), Pace::Stuck(_));
        match self.estimate(now) {
            Ok(estimate) => {
                let if_free = if blocked { ", if it goes on now" } else { "" };
                let late = hour(estimate.late);
                let slow =
                    if late == hour(estimate.ends) { String::new() } else { format!(", {late} if slow") };
                format!("about {}{slow}{if_free} ({})", hour(estimate.ends), estimate.basis)
            }
            Err(why) => why,
        }
    }

    /// How it ended: `complete: 12 of 12 nodes in 42m`.
    pub fn ending(&self) -> String {
        let Stage::Ended { began, at, how } = self.stage else { return "it is not over".to_owned() };
        let (done, total) = self.progress();
        let span = brief(at.since(began));
        let names = |phase: Phase| {
            let all = self.in_phase(phase);
            let named = all.iter().take(3).map(|track| {
                let since = track.entered.map(|at| format!(" (since {}Z)", at.time_of_day()));
                format!("{}{}", track.name, since.unwrap_or_default())
            });
            let named = named.collect::<Vec<_>>().join(", ");
            let more = all.len().saturating_sub(3);
            if more > 0 { format!("{named} and {more} more") } else { named }
        };
        let failed = match self.in_phase(Phase::Failed).len() {
            0 => String::new(),
            number => format!("; {} failed: {}", count(number, "node"), names(Phase::Failed)),
        };
        let of = format!("{done} of {} in {span}", count(total, "node"));
        match how {
            How::Complete => format!("complete: {of}"),
            How::Failed => format!("ended with failures: {of}{failed}"),
            How::Stopped => {
                let left = self.in_phase(Phase::Waiting).len();
                let were = if self.names_the_rest() { "are left" } else { "had no turn" };
                format!("stopped: {of}; {} {were}{failed}", count(left, "node"))
            }
        }
    }

    /// What there is to see when there is no roll.
    pub fn idle_words(&self) -> String {
        let members = self.members();
        let nodes = count(members.len(), "node");
        let mut versions: Vec<(&str, usize)> = Vec::new();
        for track in &members {
            match versions.iter_mut().find(|(version, _)| *version == track.now.version) {
                Some((_, number)) => *number += 1,
                None => versions.push((&track.now.version, 1)),
            }
        }
        match versions.as_slice() {
            [] => "no nodes are known yet".to_owned(),
            [(version, _)] => format!("no roll under way: {nodes}, all at {version}"),
            mixed => {
                let mixed = mixed.iter().map(|(version, number)| format!("{number} at {version}"));
                let mixed = mixed.collect::<Vec<_>>().join(", ");
                format!("versions are mixed ({mixed}), and nobody works on a node")
            }
        }
    }

    /// What a node waits for, in one line; empty when there is nothing to say.
    pub fn waits_for(&self, track: &Track, now: Stamp) -> String {
        match track.phase {
            Phase::Waiting => waiting(track),
            Phase::Cordoned | Phase::Draining => moving(track, now),
            Phase::Away | Phase::Failed => self.away(track, now),
            Phase::Back | Phase::Ready if track.lapses > 0 => restless(track),
            Phase::Back => {
                let what = track.turn.words(&track.now);
                format!("not Ready yet: {what}{}", self.usually(track))
            }
            Phase::Ready => match &track.marks.at_work {
                Some(mark) => mark.clone(),
                None if track.holder.is_none() => "takes pods again, and is looked at once more".to_owned(),
                None => "waits for its uncordon".to_owned(),
            },
            Phase::Done => {
                let mut words = track.start.words(&track.now);
                if track.flaps > 0 {
                    words = format!("flapped {}; {words}", times(track.flaps));
                }
                if let Some(old) = &track.replaces {
                    words = format!("for {old}: {words}");
                }
                words
            }
        }
    }

    fn away(&self, track: &Track, now: Stamp) -> String {
        if let (Phase::Failed, Some(mark)) = (track.phase, &track.marks.failed) {
            return mark.clone();
        }
        let what = if track.is_gone {
            "removed, waits for another in its place".to_owned()
        } else if track.turn.is_anew(&track.now) {
            format!("not Ready: {}", track.turn.words(&track.now))
        } else {
            let state = match track.readiness {
                crate::domain::node::Readiness::Unknown => "its kubelet is silent",
                _ => "NotReady",
            };
            state.to_owned()
        };
        let for_long = match track.phase {
            Phase::Failed => {
                let away = track.spent.get(&Phase::Away).copied().unwrap_or_default();
                format!("did not come back for {}: ", brief(away + track.in_phase(now)))
            }
            _ => String::new(),
        };
        format!("{for_long}{what}{}", self.usually(track))
    }

    /// `, usually 45s`.
    fn usually(&self, track: &Track) -> String {
        let phase = if track.phase == Phase::Failed { Phase::Away } else { track.phase };
        self.usual(phase).map(|(median, _)| format!(", usually {}", brief(median))).unwrap_or_default()
    }
}

/// Of a node that comes and goes after its return.
pub(super) fn restless(track: &Track) -> String {
    let is = if track.phase == Phase::Ready { "Ready now, but " } else { "" };
    format!("{is}stopped being Ready {} since its return", times(track.lapses))
}

fn waiting(track: &Track) -> String {
    if track.was_ill {
        return "was not Ready before the roll".to_owned();
    }
    if let Some(mark) = &track.marks.to_come {
        return mark.clone();
    }
    if track.was_cordoned {
        return "was cordoned before the roll".to_owned();
    }
    match (track.flaps, track.took) {
        (0, None) => String::new(),
        (0, Some(_)) => "came back unchanged".to_owned(),
        (flaps, _) => format!("flapped {}", times(flaps)),
    }
}

/// What a node whose pods move waits for.
fn moving(track: &Track, now: Stamp) -> String {
    let load = &track.load;
    if !load.is_known {
        return "its pods are not known".to_owned();
    }
    let pods = |number: u64, verb: (&str, &str)| {
        let verb = if number == 1 { verb.0 } else { verb.1 };
        format!("{} {verb}", count(usize::try_from(number).unwrap_or(usize::MAX), "pod"))
    };
    if let Some(block) = &load.block {
        let is_all = load.free == 0 && load.leaving == 0;
        let span = now.since(block.since);
        let since = if span.as_secs() > 0 { format!(" for {}", brief(span)) } else { String::new() };
        let words = if load.free > 0 {
            block.words().replacen("blocked", "will be blocked", 1)
        } else {
            block.words()
        };
        return match (is_all, load.leaving) {
            (true, _) => format!("{words}{since}"),
            (false, 0) => words,
            (false, leaving) => format!("{words}{since}; {}", pods(leaving, ("leaves", "leave"))),
        };
    }
    if load.leaving > 0 {
        let grace = match load.grace_ends {
            Some(end) if end > now => format!(", grace up to {}", brief(end.since(now))),
            _ => ", grace over".to_owned(),
        };
        return format!("{}{grace}", pods(load.leaving, ("leaves", "leave")));
    }
    match (track.phase, load.left) {
        (Phase::Draining, 0) => "drained, waits for its restart".to_owned(),
        (_, 0) => "nothing has to move".to_owned(),
        (_, left) => pods(left, ("has to move", "have to move")),
    }
}

pub(super) fn times(number: u32) -> String {
    if number == 1 { "once".to_owned() } else { format!("{number} times") }
}
