//! The steps of an account: every attempt, and the last reading of every gate.

use crate::domain::gate::{Gate, Verdict};
use crate::domain::ids::NodeName;
use crate::domain::run::{Outcome, RunChange, RunView};
use crate::domain::time::Stamp;
use crate::engine::journal::Record;
use serde::Serialize;

/// One attempt at a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AttemptAccount {
    /// When it began.
    pub began: Stamp,
    /// When it ended; `None` = its process ended first, or it is under way.
    pub ended: Option<Stamp>,
    /// How long it took, in milliseconds.
    pub took_ms: Option<u64>,
    /// How it ended.
    pub outcome: Option<Outcome>,
}

/// A gate as it was read last in a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GateAccount {
    /// The reading.
    #[serde(flatten)]
    pub gate: Gate,
    /// How often it was read in this step.
    pub readings: usize,
    /// How often it was not open.
    pub closed: usize,
    /// How old its data was when the step ended, in milliseconds.
    pub age_ms: Option<u64>,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepAccount {
    /// Its number, from 1.
    pub number: usize,
    /// Its name.
    pub name: &'static str,
    /// Its node.
    pub node: Option<NodeName>,
    /// What it was to do.
    pub what: String,
    /// It belongs to an abort.
    pub is_undo: bool,
    /// The attempts, in order; none = not begun.
    pub attempts: Vec<AttemptAccount>,
    /// How long all attempts took that ended, in milliseconds.
    pub took_ms: u64,
    /// How it ended last.
    pub outcome: Option<Outcome>,
    /// The gates that it read.
    pub gates: Vec<GateAccount>,
}

/// All steps of a run.
pub(super) fn all(record: &Record) -> Vec<StepAccount> {
    let Some(view) = &record.view else { return Vec::new() };
    let mut steps = blank(view);
    for event in &record.events {
        match &event.change {
            RunChange::StepStarted { step, .. } => {
                if let Some(known) = steps.get_mut(*step) {
                    let began = event.at;
                    known.attempts.push(AttemptAccount { began, ended: None, took_ms: None, outcome: None });
                }
            }
            RunChange::StepEnded { step, outcome, took_ms } => {
                if let Some(known) = steps.get_mut(*step) {
                    end(known, event.at, outcome, *took_ms);
                }
            }
            RunChange::GateRead { step, gate } => {
                if let Some(known) = steps.get_mut(*step) {
                    read(known, gate);
                }
            }
            _ => {}
        }
    }
    steps
}

fn blank(view: &RunView) -> Vec<StepAccount> {
    let one = |(at, view): (usize, &crate::domain::run::StepView)| StepAccount {
        number: at + 1,
        name: view.step.kind.name(),
        node: view.step.node.clone(),
        what: view.step.what.clone(),
        is_undo: view.is_undo,
        attempts: Vec::new(),
        took_ms: 0,
        outcome: None,
        gates: Vec::new(),
    };
    view.steps.iter().enumerate().map(one).collect()
}

fn end(step: &mut StepAccount, at: Stamp, outcome: &Outcome, took_ms: u64) {
    step.outcome = Some(outcome.clone());
    step.took_ms += took_ms;
    // a step that is passed over was not begun
    if let Some(attempt) = step.attempts.last_mut().filter(|attempt| attempt.ended.is_none()) {
        attempt.ended = Some(at);
        attempt.took_ms = Some(took_ms);
        attempt.outcome = Some(outcome.clone());
    }
    for known in &mut step.gates {
        let age = at.since(known.gate.at);
        known.age_ms = Some(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    }
}

fn read(step: &mut StepAccount, gate: &Gate) {
    let is_closed = usize::from(!gate.verdict.is_open());
    match step.gates.iter_mut().find(|known| known.gate.name == gate.name) {
        Some(known) => {
            known.gate = gate.clone();
            known.readings += 1;
            known.closed += is_closed;
        }
        None => {
            step.gates.push(GateAccount { gate: gate.clone(), readings: 1, closed: is_closed, age_ms: None });
        }
    }
}

/// A verdict in words.
pub(super) fn verdict(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Passed => "passed".to_owned(),
        Verdict::Failed => "NOT PASSED".to_owned(),
        Verdict::Unknown => "UNKNOWN".to_owned(),
        Verdict::NotApplicable => "does not apply".to_owned(),
        Verdict::Accepted(reason) => format!("not passed, accepted: {reason}"),
    }
}
