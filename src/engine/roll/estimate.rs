//! How long a roll takes: by how long earlier runs took, or by a stated assumption.

use crate::domain::plan::{Kind, StepKind};
use crate::domain::roll::{Group, Role, Roll, RollAction, RollView};
use crate::domain::run::{Outcome, RunState, RunView, StepState};
use crate::domain::text::count;
use crate::domain::time::{Stamp, brief};
use crate::domain::window::{Opening, Windows};
use crate::engine::journal::{self, Record};
use crate::engine::settings::Settings;
use serde::Serialize;
use std::time::Duration;

/// A reboot with everything around it, where none was measured: a control-plane node, and a worker.
const ASSUMED_REBOOT: (Duration, Duration) = (Duration::from_mins(6), Duration::from_mins(5));
/// The same of a drain.
const ASSUMED_DRAIN: Duration = Duration::from_mins(2);
/// So many of the newest runs count.
const NEWEST: usize = 50;

/// How long one node takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Pace {
    /// The median of the measured durations, or the assumption.
    #[serde(rename = "each_seconds", with = "crate::domain::time::seconds")]
    pub each: Duration,
    /// How many runs were measured; 0 = it is an assumption.
    pub measured: usize,
}

/// How long a roll takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Estimate {
    /// A control-plane node.
    pub control_plane: Pace,
    /// A worker.
    pub worker: Pace,
    /// All of it, with the pauses.
    #[serde(rename = "total_seconds", with = "crate::domain::time::seconds")]
    pub total: Duration,
    /// In words.
    pub words: String,
    /// Whether it fits the maintenance window, in words; `None` = there is none, or it is always open.
    pub window: Option<String>,
    /// Whether it fits.
    pub fits: bool,
}

/// How long the turn of a control-plane node takes, and that of a worker, by what is on record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expected {
    control_plane: Pace,
    worker: Pace,
}

/// By the journals of earlier runs of the same kind, or by the assumption.
pub(super) fn expected(settings: &Settings, roll: &Roll) -> Expected {
    let (masters, workers) = measured(settings, roll);
    let drains = roll.options.action == RollAction::DrainOnly;
    let assumed = if drains { (ASSUMED_DRAIN, ASSUMED_DRAIN) } else { ASSUMED_REBOOT };
    Expected { control_plane: pace(masters, assumed.0), worker: pace(workers, assumed.1) }
}

/// How long the next turn of a role takes, and on what that rests: the longest that this roll has seen, else what is on record.
pub(super) fn takes(roll: &RollView, view: &RunView, role: Role, earlier: &Expected) -> (Duration, String) {
    let is_done = |step: usize| {
        view.steps.get(step).is_some_and(|step| {
            matches!(step.state, StepState::Ended(Outcome::Done(_) | Outcome::Warned(_), _))
        })
    };
    let of_role = roll.turns.iter().filter(|turn| turn.group.role() == role && is_done(turn.step));
    let longest = of_role.filter_map(|turn| Some(turn.ended?.since(turn.began?))).max();
    if let Some(span) = longest.filter(|span| !span.is_zero()) {
        return (span, format!("up to {} in this roll", brief(span)));
    }
    let pace = if role == Role::ControlPlane { earlier.control_plane } else { earlier.worker };
    (pace.each, format!("about {}", said(pace)))
}

/// Estimates a roll that begins now.
pub fn estimate(settings: &Settings, roll: &Roll, now: Stamp) -> Estimate {
    let Expected { control_plane, worker } = expected(settings, roll);
    let options = &roll.options;
    let of = |group: Group| roll.turns.iter().filter(|turn| turn.group == group).count();
    let (masters, canaries, others) = (of(Group::ControlPlane), of(Group::Canary), of(Group::Workers));
    let together = options.max_unavailable.of(canaries + others);
    let rounds = others.div_ceil(together);
    let times = |each: Duration, many: usize| each.saturating_mul(u32::try_from(many).unwrap_or(u32::MAX));
    let total = times(control_plane.each + options.control_plane_interval, masters)
        + times(worker.each + options.canary_pause.max(options.node_interval), canaries)
        + times(worker.each + options.node_interval, rounds);
    let mut parts = Vec::new();
    if masters > 0 {
        parts.push(format!("{} at {}", count(masters, "control-plane node"), said(control_plane)));
    }
    if canaries + others > 0 {
        let at_a_time = if together > 1 { format!(", {together} at a time,") } else { String::new() };
        parts.push(format!("{}{at_a_time} at {}", count(canaries + others, "worker"), said(worker)));
    }
    let words = format!("about {} with the pauses: {}", brief(total), parts.join(", "));
    let (fits, window) = window(&settings.timing.windows, now, total);
    Estimate { control_plane, worker, total, words, window, fits }
}

fn said(pace: Pace) -> String {
    match pace.measured {
        0 => format!("{} (assumed: no such run is on record)", brief(pace.each)),
        1 => format!("{} (one run measured)", brief(pace.each)),
        many => format!("{} (median of {many} runs)", brief(pace.each)),
    }
}

fn pace(mut durations: Vec<Duration>, assumed: Duration) -> Pace {
    durations.sort();
    match durations.len() {
        0 => Pace { each: assumed, measured: 0 },
        many => Pace { each: durations[many / 2], measured: many },
    }
}

/// How long runs of the same kind took that ended well: of the control plane, and of workers.
fn measured(settings: &Settings, roll: &Roll) -> (Vec<Duration>, Vec<Duration>) {
    let (kind, mark, command) = match &roll.options.action {
        RollAction::Reboot => (Kind::Reboot, StepKind::Reboot, None),
        // with the validation that follows
        RollAction::DrainOnly => (Kind::Drain, StepKind::Components, None),
        RollAction::Command(name) => (Kind::Reboot, StepKind::Command, Some(name)),
    };
    let is_alike = |record: &Record| {
        let has_step =
            record.view.as_ref().is_some_and(|view| view.steps.iter().any(|step| step.step.kind == mark));
        has_step && command.is_none_or(|name| record.memory.serviced.as_ref() == Some(name))
    };
    let records = journal::list_all(&settings.state_dir).into_iter().flatten();
    let of_kind = records.filter(|record| {
        record.header.kind == kind
            && record.header.context == settings.context
            && record.header.nodes.len() == 1
            && record.later.is_empty()
            && record.state() == RunState::Done
            && is_alike(record)
    });
    let (mut masters, mut workers) = (Vec::new(), Vec::new());
    for view in of_kind.filter_map(|record| record.view).take(NEWEST) {
        let Some(ended) = view.ended else { continue };
        let took = ended.since(view.started);
        if is_master(&view) { masters.push(took) } else { workers.push(took) }
    }
    (masters, workers)
}

fn is_master(view: &RunView) -> bool {
    let has = |kind: StepKind| {
        view.steps.iter().any(|step| step.step.kind == kind && step.step.not_applicable.is_none())
    };
    has(StepKind::Backup)
}

fn window(windows: &Windows, now: Stamp, total: Duration) -> (bool, Option<String>) {
    match windows.at(now) {
        Opening::Always => (true, None),
        Opening::Open(closes) if now.plus(total) <= closes.at => {
            (true, Some(format!("fits the maintenance window, which closes at {}", closes.clock)))
        }
        Opening::Open(closes) => {
            let left = brief(closes.at.since(now));
            let words = format!(
                "does not fit the maintenance window, which closes at {} in {left}: then it waits for a decision",
                closes.clock
            );
            (false, Some(words))
        }
        closed @ Opening::Closed { .. } => (false, Some(closed.words())),
    }
}
