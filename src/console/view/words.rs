//! States in words: sign, word and tone of nodes, members, steps, gates and runs. Nothing here is better than known.

use super::look::Look;
use super::theme::Tone;
use crate::console::model::Model;
use crate::console::phase::{Phase, node_phase};
use crate::domain::budget::BudgetRow;
use crate::domain::etcd::{MemberHealth, MemberRow};
use crate::domain::gate::Verdict;
use crate::domain::node::NodeRow;
use crate::domain::run::{Outcome, RunState, RunView, StepState, StepView};
use crate::domain::time::{Stamp, brief, clock};
use ratatui::text::Span;

/// A state as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Sign.
    pub glyph: &'static str,
    /// Word.
    pub word: String,
    /// Tone.
    pub tone: Tone,
}

impl Shown {
    fn new(glyph: &'static str, word: impl Into<String>, tone: Tone) -> Self {
        Self { glyph, word: word.into(), tone }
    }

    /// Sign and word.
    pub fn span<'a>(&self, look: &Look) -> Span<'a> {
        look.state(self.tone, self.glyph, &self.word)
    }
}

/// State of a node: what a run of ours does with it, then what the cluster says.
pub fn node(look: &Look, model: &Model, row: &NodeRow) -> Shown {
    let glyphs = look.glyphs;
    let also = if row.cordoned { ", cordoned" } else { "" };
    let age =
        |since: Option<Stamp>| since.map(|at| format!(" {}", brief(model.now.since(at)))).unwrap_or_default();
    match node_phase(model, row) {
        Phase::Ready => Shown::new(glyphs.good, "Ready", Tone::Good),
        Phase::Cordoned => Shown::new(glyphs.cordoned, "Cordoned", Tone::Warn),
        Phase::Draining { total: 0, .. } => Shown::new(glyphs.draining, "Draining", Tone::Busy),
        Phase::Draining { done, total } => {
            Shown::new(glyphs.draining, format!("Draining {done}/{total}"), Tone::Busy)
        }
        Phase::Rebooting(since) => {
            let span = clock(model.now.since(since));
            Shown::new(glyphs.rebooting, format!("Rebooting {span}"), Tone::Busy)
        }
        Phase::NotReady(_) => Shown::new(glyphs.bad, format!("NotReady{also}"), Tone::Bad),
        Phase::Unknown(since) => {
            Shown::new(glyphs.unknown, format!("Unknown{}{also}", age(since)), Tone::Unknown)
        }
    }
}

/// Health of an etcd member in a word.
pub fn member(look: &Look, row: &MemberRow) -> Shown {
    match &row.health {
        MemberHealth::Healthy => Shown::new(look.glyphs.good, "healthy", Tone::Good),
        MemberHealth::Unhealthy(_) => Shown::new(look.glyphs.bad, "unhealthy", Tone::Bad),
        MemberHealth::Silent(_) => Shown::new(look.glyphs.unknown, "silent", Tone::Unknown),
        MemberHealth::Unstarted => Shown::new(look.glyphs.bad, "not started", Tone::Bad),
    }
}

fn is_undoing(run: &RunView) -> bool {
    run.steps.iter().any(|view| view.is_undo)
}

/// State of a step of a run.
pub fn step(look: &Look, run: &RunView, at: usize, view: &StepView) -> Shown {
    let glyphs = look.glyphs;
    let is_current = run.current() == Some(at);
    match (&view.state, run.state) {
        (StepState::Pending, RunState::Waiting) if is_current => {
            Shown::new(glyphs.waiting, "waits", Tone::Call)
        }
        (StepState::Pending, RunState::Paused) if is_current => {
            Shown::new(glyphs.waiting, "paused", Tone::Warn)
        }
        // begun by a process that was killed, and never gone on with
        (StepState::Pending, state) if state.is_over() && view.attempts > 0 => {
            Shown::new(glyphs.stopped, "stopped", Tone::Warn)
        }
        // while an abort puts back, what lay ahead of the run is not to come
        (StepState::Pending, state) if state.is_over() || (!view.is_undo && is_undoing(run)) => {
            Shown::new(glyphs.none, "not run", Tone::Muted)
        }
        (StepState::Pending, _) => Shown::new(glyphs.pending, "pending", Tone::Muted),
        (StepState::Running(_), state) if state.is_over() => {
            Shown::new(glyphs.unknown, "unknown", Tone::Unknown)
        }
        (StepState::Running(_), _) => Shown::new(glyphs.running, "running", Tone::Busy),
        (StepState::Ended(outcome, _), _) => self::outcome(look, outcome),
    }
}

/// How a step ended, in a word.
pub fn outcome(look: &Look, outcome: &Outcome) -> Shown {
    let glyphs = look.glyphs;
    match outcome {
        Outcome::Done(_) => Shown::new(glyphs.good, "done", Tone::Good),
        Outcome::Warned(_) => Shown::new(glyphs.warn, "warned", Tone::Warn),
        Outcome::Skipped(_) => Shown::new(glyphs.skipped, "skipped", Tone::Muted),
        Outcome::Failed(_) => Shown::new(glyphs.bad, "failed", Tone::Bad),
        Outcome::Aborted => Shown::new(glyphs.stopped, "stopped", Tone::Warn),
    }
}

/// What a gate says, in a word.
pub fn verdict(look: &Look, verdict: &Verdict) -> Shown {
    let glyphs = look.glyphs;
    match verdict {
        Verdict::Passed => Shown::new(glyphs.good, "passed", Tone::Good),
        Verdict::Failed => Shown::new(glyphs.bad, "NOT passed", Tone::Bad),
        Verdict::Unknown => Shown::new(glyphs.unknown, "unknown", Tone::Unknown),
        Verdict::NotApplicable => Shown::new(glyphs.skipped, "n/a", Tone::Muted),
        Verdict::Accepted(_) => Shown::new(glyphs.warn, "accepted", Tone::Warn),
    }
}

/// State of a run in a word.
pub fn run(look: &Look, state: RunState) -> Shown {
    let glyphs = look.glyphs;
    match state {
        RunState::Waiting => Shown::new(glyphs.waiting, "waits for you", Tone::Warn),
        RunState::Running => Shown::new(glyphs.running, "running", Tone::Busy),
        RunState::Paused => Shown::new(glyphs.waiting, "paused", Tone::Warn),
        RunState::Failed => Shown::new(glyphs.bad, "failed", Tone::Bad),
        RunState::Interrupted => Shown::new(glyphs.unknown, "interrupted", Tone::Unknown),
        RunState::Done => Shown::new(glyphs.good, "done", Tone::Good),
        RunState::Aborted => Shown::new(glyphs.stopped, "aborted", Tone::Warn),
    }
}

/// How long a step took or has taken; `None` before it began.
pub fn span_of(view: &StepView, run: &RunView, now: Stamp) -> Option<String> {
    match &view.state {
        StepState::Pending => None,
        StepState::Running(since) => Some(clock(run.ended.unwrap_or(now).since(*since))),
        StepState::Ended(_, took) if took.as_secs() == 0 => Some("<1s".to_owned()),
        StepState::Ended(_, took) => Some(clock(*took)),
    }
}

/// The time since a stamp, as `kubectl` prints ages; the sign for "nothing there" when it is not known.
pub fn age<'a>(look: &Look, at: Option<Stamp>, now: Stamp) -> Span<'a> {
    match at {
        Some(at) => look.say(Tone::Text, brief(std::time::Duration::from_secs(now.since(at).as_secs()))),
        None => look.none(),
    }
}

/// Time of day in UTC: `03:12:44`.
pub fn time_of_day(at: Stamp) -> String {
    at.time_of_day()
}

/// `reboot cp-1`: kind and nodes of a run.
pub fn title(run: &RunView) -> String {
    match run.nodes.as_slice() {
        [] => run.kind.to_string(),
        [node] => format!("{} {node}", run.kind),
        [first, others @ ..] => format!("{} {first} +{}", run.kind, others.len()),
    }
}

/// `7/16`: the step that is current, or where the run stopped, of how many; undoing is counted for itself.
pub fn place(run: &RunView) -> String {
    let planned = run.steps.iter().filter(|view| !view.is_undo).count();
    let well = |view: &StepView| {
        matches!(
            &view.state,
            StepState::Ended(Outcome::Done(_) | Outcome::Warned(_) | Outcome::Skipped(_), _)
        )
    };
    let stopped = || run.steps.iter().position(|view| !view.is_undo && !well(view));
    match run.current().or_else(stopped) {
        Some(at) if at >= planned => format!("undo {}/{}", at + 1 - planned, run.steps.len() - planned),
        Some(at) => format!("{}/{planned}", at + 1),
        None => format!("{planned}/{planned}"),
    }
}

/// What a budget allows now, in a word.
pub fn budget(look: &Look, row: &BudgetRow) -> Shown {
    let glyphs = look.glyphs;
    if row.never_allows().is_some() {
        return Shown::new(glyphs.bad, "never", Tone::Bad);
    }
    match row.allowed {
        _ if !row.is_current() => Shown::new(glyphs.unknown, "stale", Tone::Unknown),
        _ if row.expected == 0 => Shown::new(glyphs.skipped, "no pods", Tone::Muted),
        ..=0 => Shown::new(glyphs.warn, "0 now", Tone::Warn),
        allowed => Shown::new(glyphs.good, allowed.to_string(), Tone::Good),
    }
}
