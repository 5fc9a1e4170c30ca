//! One node on its way: what it was, what it is, how far its turn has come, and what of it took how long.

use super::identity::{Change, Identity};
use super::load::Load;
use super::marks::Marks;
use super::phase::{Phase, Role};
use super::timeline::{Event, Happening};
use super::words::times;
use super::{Limits, Snapshot};
use crate::domain::ids::NodeName;
use crate::domain::node::{NodeRow, Readiness};
use crate::domain::text::count;
use crate::domain::time::{Stamp, brief};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// A cordon that is found at the first look, older than this and with nothing else going on, is not of a roll.
const OLD_CORDON: Duration = Duration::from_hours(1);
/// The label with a node's zone.
const ZONE: &str = "topology.kubernetes.io/zone";

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// Its name now.
    pub name: NodeName,
    /// Its role.
    pub role: Role,
    /// Its zone, by its label.
    pub zone: Option<String>,
    /// When its Node object was created.
    pub created: Option<Stamp>,
    /// What it was when the roll began.
    pub start: Identity,
    /// What it was when its present turn began; outside of a turn what it was last.
    pub turn: Identity,
    /// What it is.
    pub now: Identity,
    /// Where it is.
    pub phase: Phase,
    /// Since when.
    pub since: Stamp,
    /// When its present turn began.
    pub entered: Option<Stamp>,
    /// What the phases of its present or last turn took, without the present one.
    pub spent: BTreeMap<Phase, Duration>,
    /// For how long a budget blocked it in its present or last turn.
    pub blocked: Duration,
    /// How many turns it has had.
    pub turns: u32,
    /// What its last turn took.
    pub took: Option<Duration>,
    /// When its last turn ended.
    pub done_at: Option<Stamp>,
    /// What its last turn changed.
    pub changed: Vec<Change>,
    /// How often it was not Ready for a moment outside of a turn.
    pub flaps: u32,
    /// Pods that have to move.
    pub load: Load,
    /// When a pod left it last, or its phase changed.
    pub moved: Stamp,
    /// Marks of other tools.
    pub marks: Marks,
    /// Who cordoned it.
    pub holder: Option<String>,
    /// The node whose place it took.
    pub replaces: Option<NodeName>,
    /// More than were there before: no node has gone for it.
    pub is_extra: bool,
    /// Its Node object is removed.
    pub is_gone: bool,
    /// Its readiness, as the API has it.
    pub readiness: Readiness,
    /// It was cordoned before the roll began.
    pub was_cordoned: bool,
    /// It was not Ready before the roll began.
    pub was_ill: bool,
    /// It had its turn before anybody watched, as far as its stamps show.
    pub had_turn: bool,
    /// It was listed as one of the roll's nodes by its driver.
    pub was_listed: bool,
    /// It was in its turn when the watch began.
    pub midway: bool,
    pub(super) had_cordon: bool,
    pub(super) has_drained: bool,
    pub(super) is_block_told: bool,
    pub(super) down_since: Option<Stamp>,
    pub(super) just_ended: bool,
    /// How often it stopped being Ready after its return in the present turn, and when first.
    #[serde(default)]
    pub lapses: u32,
    #[serde(default)]
    pub(super) lapsed: Option<Stamp>,
}

impl Track {
    /// A node that is seen for the first time.
    pub(super) fn new(row: &NodeRow, now: Stamp) -> Self {
        let identity = Identity::of(row);
        Self {
            name: row.name.clone(),
            role: Role::of(row),
            zone: row.labels.get(ZONE).cloned(),
            created: row.created,
            start: identity.clone(),
            turn: identity.clone(),
            now: identity,
            phase: Phase::Waiting,
            since: now,
            entered: None,
            spent: BTreeMap::new(),
            blocked: Duration::ZERO,
            turns: 0,
            took: None,
            done_at: None,
            changed: Vec::new(),
            flaps: 0,
            load: Load::default(),
            moved: now,
            marks: Marks::of(&row.foreign_locks, &row.taints),
            holder: None,
            replaces: None,
            is_extra: false,
            is_gone: false,
            readiness: row.readiness,
            was_cordoned: false,
            was_ill: false,
            had_turn: false,
            was_listed: false,
            midway: false,
            had_cordon: false,
            has_drained: false,
            is_block_told: false,
            down_since: None,
            just_ended: false,
            lapses: 0,
            lapsed: None,
        }
    }

    /// What was there before the first look: an old cordon and an old failure are none of the roll's.
    pub(super) fn set_apart(&mut self, row: &NodeRow, now: Stamp, is_evident: bool) {
        let note = row.cordon.as_ref();
        let is_ours = note.is_some_and(|note| note.run.is_some());
        let is_fresh =
            note.and_then(|note| note.since).is_some_and(|since| now.since(since) < OLD_CORDON) || is_ours;
        let is_in_work = is_fresh || self.marks.at_work.is_some() || is_evident;
        self.was_cordoned = row.cordoned && !is_in_work;
        self.midway = row.cordoned && is_in_work;
        self.was_ill = !row.is_ready() && !self.midway;
    }

    /// The row of a node that has come in its place, or that is the same.
    pub(super) fn rename(&mut self, row: &NodeRow) {
        if self.name != row.name {
            self.replaces = self.replaces.take().or_else(|| Some(self.name.clone()));
            self.name = row.name.clone();
        }
        self.is_gone = false;
        self.is_extra = false;
    }

    /// How long it has been in its phase.
    pub fn in_phase(&self, now: Stamp) -> Duration {
        now.since(self.since)
    }

    /// How long its present turn has taken, or its last one took.
    pub fn turn_span(&self, now: Stamp) -> Option<Duration> {
        match (self.phase.is_in_turn(), self.entered) {
            (true, Some(entered)) => Some(now.since(entered)),
            _ => self.took,
        }
    }

    /// For how long a budget has blocked its present turn.
    pub fn blocked_span(&self, now: Stamp) -> Duration {
        let open = self.load.blocking().filter(|_| self.is_block_told);
        self.blocked + open.map_or(Duration::ZERO, |block| now.since(block.since))
    }

    /// Takes a row (none = the Node object is removed) and goes to the next phase.
    pub(super) fn see(
        &mut self,
        row: Option<&NodeRow>,
        (last, now): (Stamp, Stamp),
        seen: &Snapshot<'_>,
        limits: &Limits<'_>,
        out: &mut Vec<Happening>,
    ) {
        if let Some(row) = row {
            self.role = Role::of(row);
            self.zone = row.labels.get(ZONE).cloned();
            self.created = row.created;
            self.now = Identity::of(row);
            self.marks = Marks::of(&row.foreign_locks, &row.taints);
            self.was_listed |= self.marks.is_listed;
            self.readiness = row.readiness;
            self.was_cordoned &= row.cordoned;
            self.was_ill &= !row.is_ready();
            self.holder = row.cordon.as_ref().map(|note| note.holder.clone());
            self.unload(row, now, seen, out);
        }
        let next = self.next(row, now, limits);
        // what the object says counts when it speaks of the time since the last look
        let stamp = stamp_of(row, next).filter(|stamp| *stamp > last).map_or(now, |stamp| stamp.min(now));
        if next != self.phase {
            self.go(next, stamp, row, out);
        } else if !next.is_in_turn() {
            self.rest(row, now, limits.is_rolling);
        }
    }

    /// Reads its pods while they have to move.
    fn unload(&mut self, row: &NodeRow, now: Stamp, seen: &Snapshot<'_>, out: &mut Vec<Happening>) {
        let is_idle = !self.phase.is_in_turn() && (!row.cordoned || self.was_cordoned);
        if !seen.has_pods || (is_idle && !row.cordoned) {
            self.load = if is_idle { Load::default() } else { std::mem::take(&mut self.load).unknown() };
            return;
        }
        let before = (self.load.left, self.load.leaving);
        let was_open = self.load.blocking().map(|block| (block.since, block.words()));
        let load = std::mem::take(&mut self.load).next(&self.name, now, seen);
        if before != (load.left, load.leaving) {
            self.moved = now;
        }
        // somebody empties a node that had been cordoned long before
        self.was_cordoned &= load.leaving == 0;
        if self.is_block_told && load.blocking().is_none() {
            self.is_block_told = false;
            self.moved = now;
            if let Some((since, words)) = was_open {
                self.blocked += now.since(since);
                let text = format!("{}: no longer {words}, after {}", self.name, brief(now.since(since)));
                out.push(self.line(now, Event::Unblocked, text));
            }
        }
        self.load = load;
        let is_drained = self.load.left == 0 && self.load.total > 0;
        if self.phase == Phase::Draining && is_drained && !self.has_drained {
            self.has_drained = true;
            let took = self.entered.map(|entered| format!(" in {}", brief(now.since(entered))));
            let text = format!("{} is drained{}", self.name, took.unwrap_or_default());
            out.push(self.line(now, Event::Drained, text));
        }
    }

    /// The next phase, by what is there now.
    fn next(&self, row: Option<&NodeRow>, now: Stamp, limits: &Limits<'_>) -> Phase {
        use Phase as P;
        let in_turn = self.phase.is_in_turn();
        let lost = |at: Phase| {
            // nobody knows how long it was away while nothing could be seen
            let is_late = at == P::Away
                && self.phase == P::Away
                && limits.is_live
                && limits.sight.seen(self.since, now) > limits.gone;
            if is_late || self.phase == P::Failed { P::Failed } else { at }
        };
        let Some(row) = row else { return lost(P::Away) };
        let is_anew = self.turn.is_anew(&self.now);
        let is_out = row.cordoned && !self.was_cordoned;
        if self.marks.failed.is_some() && (in_turn || is_out) {
            return P::Failed;
        }
        match (row.is_ready(), is_out) {
            (false, _) if in_turn && (is_anew || self.phase == P::Back) => P::Back,
            (false, _) if in_turn || (is_out && !self.was_ill) => lost(P::Away),
            (false, false) if limits.is_rolling && !self.was_ill => P::Away,
            (true, true) => self.out_of_scheduling(is_anew),
            // the turn is not over while its driver says so
            (true, false) if in_turn && self.marks.at_work.is_some() && self.has_turned(is_anew) => P::Ready,
            // pitstop takes its mark away when it has looked at the node once more
            (true, false) if in_turn && is_anew && self.marks.is_listed => P::Ready,
            (true, false) if in_turn => P::Done,
            _ => self.phase,
        }
    }

    /// Ready and cordoned: before it was serviced, or after.
    fn out_of_scheduling(&self, is_anew: bool) -> Phase {
        use Phase as P;
        let is_emptying = self.load.gone() > 0 || self.load.leaving > 0;
        match self.phase {
            P::Back | P::Ready | P::Failed => P::Ready,
            _ if is_anew && self.phase.is_in_turn() => P::Ready,
            P::Away if self.load.left == 0 => P::Ready,
            P::Away | P::Draining => P::Draining,
            _ if is_emptying => P::Draining,
            _ => P::Cordoned,
        }
    }

    fn has_turned(&self, is_anew: bool) -> bool {
        is_anew || self.had_cordon
    }

    /// Goes to another phase at a time.
    fn go(&mut self, next: Phase, at: Stamp, row: Option<&NodeRow>, out: &mut Vec<Happening>) {
        let before = self.phase;
        if before.is_in_turn() {
            *self.spent.entry(before).or_default() += at.since(self.since);
        } else {
            self.open(at);
        }
        self.had_cordon |= matches!(next, Phase::Cordoned | Phase::Draining);
        let is_lapse = before == Phase::Ready && matches!(next, Phase::Back | Phase::Away);
        if is_lapse {
            self.lapses += 1;
            self.lapsed = self.lapsed.or(Some(at));
        }
        let away = at.since(self.since);
        self.phase = next;
        self.since = at;
        self.moved = at;
        if next == Phase::Done {
            self.close(at, out);
            return;
        }
        let (event, text) = if is_lapse && row.is_some() {
            (
                Event::Flapped,
                format!("{} stopped being Ready {} since its return", self.name, times(self.lapses)),
            )
        } else {
            self.words_of(next, before, away, row)
        };
        out.push(self.line(at, event, text));
    }

    /// A turn begins.
    fn open(&mut self, at: Stamp) {
        self.entered = Some(at);
        self.spent.clear();
        self.blocked = Duration::ZERO;
        self.had_cordon = false;
        self.has_drained = false;
        self.is_block_told = false;
        (self.lapses, self.lapsed) = (0, None);
        self.load.total = self.load.left;
    }

    /// The node is Ready and schedulable after a turn, or after a moment of silence. Whether it is as the roll wants it is
    /// judged when the target is known.
    fn close(&mut self, at: Stamp, out: &mut Vec<Happening>) {
        let changed = self.turn.changes(&self.now);
        let is_silence = changed.is_empty() && !self.had_cordon;
        if is_silence {
            self.flaps += 1;
            let gone = self.spent.values().sum();
            let text = format!("{} was not Ready for {}", self.name, brief(gone));
            out.push(self.line(at, Event::Flapped, text));
            self.entered = None;
            return;
        }
        self.took = self.entered.map(|entered| at.since(entered));
        self.changed = changed;
        self.just_ended = true;
        if self.is_block_told {
            self.blocked = self.blocked_span(at);
            self.is_block_told = false;
        }
    }

    /// Outside of a turn: what changes there was a turn that nobody saw coming.
    fn rest(&mut self, row: Option<&NodeRow>, now: Stamp, is_rolling: bool) {
        if row.is_some_and(NodeRow::is_ready) {
            if self.turn.is_anew(&self.now) {
                let from = self.down_since.unwrap_or(now);
                self.open(from);
                self.took = Some(now.since(from));
                self.changed = self.turn.changes(&self.now);
                self.since = now;
                self.just_ended = true;
            }
            self.down_since = None;
        } else if !is_rolling {
            self.down_since = self.down_since.or_else(|| row.and_then(|row| row.ready_since)).or(Some(now));
        }
    }

    /// A line of the timeline about it.
    pub(super) fn line(&self, at: Stamp, event: Event, text: String) -> Happening {
        Happening { at, event, node: Some(self.name.clone()), text }
    }

    fn words_of(&self, next: Phase, before: Phase, span: Duration, row: Option<&NodeRow>) -> (Event, String) {
        let name = &self.name;
        let pods = match count(usize::try_from(self.load.total).unwrap_or(0), "pod") {
            pods if self.load.is_known => format!("{pods} to move"),
            _ => "its pods are not known".to_owned(),
        };
        match next {
            Phase::Cordoned => {
                let by = self.holder.as_ref().map(|holder| format!(" by {holder}")).unwrap_or_default();
                (Event::Cordoned, format!("{name} is cordoned{by}; {pods}"))
            }
            Phase::Draining => (Event::Draining, format!("pods leave {name}: {pods}")),
            Phase::Away if row.is_none() => {
                (Event::Away, format!("{name} is away: its Node object is removed"))
            }
            Phase::Away => {
                let how = if self.readiness == Readiness::Unknown { "silent" } else { "NotReady" };
                (Event::Away, format!("{name} is away: {how}"))
            }
            Phase::Back => {
                let what = self.turn.words(&self.now);
                (Event::Back, format!("{name} is back, not Ready yet: {what}"))
            }
            Phase::Ready => {
                let after =
                    if before == Phase::Away { format!(" after {}", brief(span)) } else { String::new() };
                (Event::Ready, format!("{name} is Ready again{after}"))
            }
            Phase::Failed => {
                let why = self.marks.failed.clone();
                let why = why.unwrap_or_else(|| format!("it has not come back for {}", brief(span)));
                (Event::Failed, format!("{name} failed: {why}"))
            }
            Phase::Waiting | Phase::Done => (Event::Done, format!("{name} had its turn")),
        }
    }
}

/// When a phase began by the object itself, as far as it says so.
fn stamp_of(row: Option<&NodeRow>, phase: Phase) -> Option<Stamp> {
    let row = row?;
    match phase {
        Phase::Cordoned | Phase::Draining => row.cordon.as_ref().and_then(|note| note.since),
        Phase::Away | Phase::Ready | Phase::Done => row.ready_since,
        Phase::Waiting | Phase::Back | Phase::Failed => None,
    }
}
