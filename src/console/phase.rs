//! What a node, a source or a run is just now, as one word each: shared by table, header, sorting and filter.

use super::model::Model;
use crate::domain::feed::{DELAYED_AFTER, LOST_AFTER, Liveness, Source};
use crate::domain::ids::NodeName;
use crate::domain::node::{NodeRow, Readiness};
use crate::domain::plan::StepKind;
use crate::domain::run::{RunState, RunView, StepState, StepView};
use crate::domain::time::{Stamp, brief};
use std::time::Duration;

/// What a node is. In the order of urgency, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Ready is False, since.
    NotReady(Option<Stamp>),
    /// The kubelet does not tell; its last sign of life.
    Unknown(Option<Stamp>),
    /// A run of ours rebooted it, since.
    Rebooting(Stamp),
    /// A run of ours moves its pods: how many are gone, of how many (0 = not known yet).
    Draining {
        /// Gone.
        done: u64,
        /// Of.
        total: u64,
    },
    /// Ready, and out of scheduling: in work, not broken.
    Cordoned,
    /// Ready.
    Ready,
}

impl Phase {
    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Self::NotReady(_) => "NotReady",
            Self::Unknown(_) => "Unknown",
            Self::Rebooting(_) => "Rebooting",
            Self::Draining { .. } => "Draining",
            Self::Cordoned => "Cordoned",
            Self::Ready => "Ready",
        }
    }

    /// The order when sorted by state: the worst first.
    pub fn urgency(self) -> u8 {
        match self {
            Self::NotReady(_) => 0,
            Self::Unknown(_) => 1,
            Self::Rebooting(_) => 2,
            Self::Draining { .. } => 3,
            Self::Cordoned => 4,
            Self::Ready => 5,
        }
    }
}

/// What a node is.
pub fn node_phase(model: &Model, row: &NodeRow) -> Phase {
    if let Some(phase) = model.run_on(&row.name).and_then(|run| phase_by_run(run, &row.name)) {
        return phase;
    }
    match row.readiness {
        Readiness::NotReady => Phase::NotReady(row.ready_since),
        Readiness::Unknown => Phase::Unknown(row.heartbeat.or(row.ready_since)),
        Readiness::Ready if row.cordoned => Phase::Cordoned,
        Readiness::Ready => Phase::Ready,
    }
}

fn phase_by_run(run: &RunView, node: &NodeName) -> Option<Phase> {
    if let Some(roll) = &run.roll {
        let turn = roll.turns.iter().find(|turn| turn.node == *node)?;
        return phase_by_run(turn.child.as_deref()?, node);
    }
    if run.state != RunState::Running {
        return None;
    }
    let of_node = |view: &&StepView| view.step.node.as_ref().is_none_or(|on| on == node);
    let running = run.steps.iter().filter(of_node).find_map(|view| match view.state {
        StepState::Running(since) => Some((view, since)),
        _ => None,
    });
    let (view, since) = running?;
    match view.step.kind {
        StepKind::Drain => {
            let progress = view.progress.as_ref();
            let figure =
                |get: fn(&crate::domain::run::Progress) -> Option<u64>| progress.and_then(get).unwrap_or(0);
            Some(Phase::Draining { done: figure(|p| p.done), total: figure(|p| p.total) })
        }
        StepKind::Reboot | StepKind::Down | StepKind::Back => {
            let before: Duration = run
                .steps
                .iter()
                .filter(of_node)
                .filter(|view| matches!(view.step.kind, StepKind::Reboot | StepKind::Down))
                .filter_map(|view| match view.state {
                    StepState::Ended(_, took) => Some(took),
                    _ => None,
                })
                .sum();
            let before = i64::try_from(before.as_millis()).unwrap_or(0);
            Some(Phase::Rebooting(Stamp(since.0.saturating_sub(before))))
        }
        _ => None,
    }
}

/// The open run and its step that is under way and has a deadline.
pub fn extensible(model: &Model) -> Option<(crate::domain::ids::OpId, usize)> {
    let run = model.open_run()?;
    let at = run.current()?;
    let view = run.steps.get(at)?;
    (matches!(view.state, StepState::Running(_)) && !view.step.timeout.is_zero()).then_some((run.op, at))
}

/// When a node started: by its host's word when that is of the present boot, else by what the row knows.
pub fn booted(model: &Model, row: &NodeRow) -> Option<Stamp> {
    let facts = model.known.hosts.get(&row.name);
    let by_host = facts.filter(|facts| row.boot_id.is_empty() || facts.boot_id == row.boot_id);
    by_host.map(crate::domain::host::HostFacts::booted).or(row.booted)
}

/// What is known of etcd's quorum, in words; when no member answers, with what was known last.
pub fn quorum_words(model: &Model) -> Option<String> {
    let etcd = model.known.etcd.as_ref()?;
    let words = etcd.words()?;
    let heard = model.known.heard.filter(|_| etcd.is_silent());
    Some(match heard {
        None => words,
        Some((quorum, at)) => {
            let age = brief(model.now.since(at));
            format!("{words} (last known {}/{}, {age} ago)", quorum.healthy, quorum.voters)
        }
    })
}

/// How a source is, by the age of its last answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pulse {
    /// Not configured or not usable here.
    Absent,
    /// No answer yet.
    Connecting,
    /// Answered a moment ago.
    Live(Duration),
    /// Still trusted, but its last answer is of some time ago.
    Delayed(Duration),
    /// No answer for long, or failing; the age of the last answer, if there ever was one.
    Lost(Option<Duration>),
}

/// How a source is now.
pub fn pulse(model: &Model, source: Source) -> Pulse {
    match model.known.sources.get(&source) {
        None | Some(Liveness::Connecting) => Pulse::Connecting,
        Some(Liveness::Absent(_)) => Pulse::Absent,
        Some(Liveness::Failing { last, .. }) => Pulse::Lost(last.map(|last| model.now.since(last))),
        Some(Liveness::Live(last)) => match model.now.since(*last) {
            age if age > LOST_AFTER => Pulse::Lost(Some(age)),
            age if age > DELAYED_AFTER => Pulse::Delayed(age),
            age => Pulse::Live(age),
        },
    }
}

/// Why a source has no data, in words, when it has none.
pub fn source_trouble(model: &Model, source: Source) -> Option<String> {
    match model.known.sources.get(&source)? {
        Liveness::Absent(why) => Some(why.clone()),
        Liveness::Failing { report, .. } => Some(report.line()),
        Liveness::Connecting | Liveness::Live(_) => None,
    }
}
