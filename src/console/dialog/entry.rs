//! Questions that take text for the open run: the quiet time before its last look, and the reason for accepting a gate.

use super::{Fact, Prompt, Tone};
use crate::console::model::Model;
use crate::domain::gate::{Gate, Verdict, unacceptable};
use crate::domain::ids::OpId;
use crate::domain::plan::StepKind;
use crate::domain::roll::Role;
use crate::domain::run::{RunState, RunView, StepState, StepView};
use crate::domain::time::brief;
use serde::{Deserialize, Serialize};

/// What the text is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// The quiet time before the last look.
    Settle,
    /// Why a gate counts as open: the gates that may be accepted, and which of them is chosen.
    Accept {
        /// Their names.
        gates: Vec<String>,
        /// The chosen one.
        at: usize,
    },
}

/// A question that takes text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The run.
    pub op: OpId,
    /// The step that it was at when the question was put.
    pub step: usize,
    /// What the text is for.
    pub purpose: Purpose,
    /// In the frame.
    pub title: String,
    /// What there is to know.
    pub facts: Vec<Fact>,
    /// Why it stands again.
    pub notice: Option<String>,
    /// What is typed.
    pub prompt: Prompt,
    /// First line shown.
    pub scroll: usize,
}

/// Asks for the quiet time; `None` when no quiet time lies ahead.
pub fn settle(model: &Model, run: &RunView) -> Option<Entry> {
    has_quiet_ahead(run).then(|| {
        if let Some(role) = role_ahead(run) {
            return pause(model, run, role);
        }
        let what = run.steps.iter().find(|view| view.step.kind == StepKind::Settle);
        let what = what.map_or("", |view| view.step.what.as_str());
        let facts = vec![
            Fact::plain("planned", what),
            Fact::plain(
                "now",
                "type the time from the beginning of the settling on: 90s, 5m; 0 = no quiet time",
            ),
            Fact::toned(Tone::Dim, "counts", "for this run only; the configuration has one for each role"),
        ];
        let title = format!("How long shall {} {} settle?", run.kind, run.op);
        entry(model, run, Purpose::Settle, title, facts)
    })
}

/// The role whose nodes are in work or come next, in a roll.
pub fn role_ahead(run: &RunView) -> Option<Role> {
    let roll = run.roll.as_ref()?;
    let ahead = roll.under_way(run).next().or_else(|| roll.turn(*roll.queue.first()?));
    ahead.map(|turn| turn.group.role())
}

/// Asks for the pause of a roll.
fn pause(model: &Model, run: &RunView, role: Role) -> Entry {
    let now = run.roll.as_ref().map(|roll| brief(roll.options.interval(role))).unwrap_or_default();
    let facts = vec![
        Fact::plain("is", now),
        Fact::plain("now", "type the time from the end of a node's turn on: 90s, 5m; 0 = no pause"),
        Fact::toned(Tone::Dim, "counts", "for this roll only, from now on"),
    ];
    let title = format!("How long shall {} pause after each node ({role})?", run.op);
    entry(model, run, Purpose::Settle, title, facts)
}

/// Asks for the reason for accepting a gate; `None` when there is none to accept.
pub fn accept(model: &Model, run: &RunView) -> Option<Entry> {
    let roll = run;
    let (run, step) = run.at_stake();
    let view = run.steps.get(step?)?;
    let gates: Vec<String> = acceptable(run, view).map(|gate| gate.name.clone()).collect();
    if gates.is_empty() {
        return None;
    }
    let mut facts = Vec::new();
    for gate in view.gates.iter().filter(|gate| !gate.verdict.is_open()) {
        let tone = if gate.verdict == Verdict::Unknown { Tone::Attention } else { Tone::Bad };
        facts.push(Fact::toned(tone, "gate", format!("{}: {}", gate.name, gate.evidence)));
        if !gates.contains(&gate.name) {
            facts.push(Fact::toned(Tone::Dim, "", "this one cannot be accepted"));
        }
    }
    facts.push(Fact::toned(
        Tone::Attention,
        "accepting",
        "the gate counts as open in this run; who, when and why go into the journal and the report",
    ));
    let title = format!("Accept a gate of {}?", view.step.kind.name());
    Some(entry(model, roll, Purpose::Accept { gates, at: 0 }, title, facts))
}

fn entry(model: &Model, run: &RunView, purpose: Purpose, title: String, facts: Vec<Fact>) -> Entry {
    let step = run.current().unwrap_or(0);
    let prompt = Prompt::new(model.now);
    Entry { op: run.op, step, purpose, title, facts, notice: None, prompt, scroll: 0 }
}

/// Whether a settling lies ahead, or is under way.
pub fn has_quiet_ahead(run: &RunView) -> bool {
    role_ahead(run).is_some_and(|_| !run.state.is_over())
        || run.steps.iter().any(|view| {
            view.step.kind == StepKind::Settle
                && matches!(view.state, StepState::Pending | StepState::Running(_))
        })
}

/// The gates of the present step that are not open and may be accepted, while the run stands still.
pub fn acceptable<'r>(run: &'r RunView, view: &'r StepView) -> impl Iterator<Item = &'r Gate> {
    let stands = matches!(run.state, RunState::Failed | RunState::Waiting | RunState::Paused);
    let after = view.step.kind.is_after_reboot();
    view.gates
        .iter()
        .filter(move |gate| stands && !gate.verdict.is_open() && unacceptable(&gate.name, after).is_none())
}
