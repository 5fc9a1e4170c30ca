//! The account of a run: everything that its journal tells, put in order for people and for programs.
//!
//! It is made from the journal alone, so that it is complete for a run that several processes drove, and the same on the
//! screen, on the command line and years later. Field names are stable; times are milliseconds since 1970, UTC.

mod markdown;
mod steps;
#[cfg(test)]
mod tests;

pub use markdown::markdown;
pub use steps::{AttemptAccount, GateAccount, StepAccount};

use crate::domain::checklist::{Component, summary};
use crate::domain::found::Difference;
use crate::domain::ids::{NodeName, PodKey, RunId};
use crate::domain::plan::Kind;
use crate::domain::probe::{Moment, Reading, compare};
use crate::domain::run::{Outcome, RunChange, RunCommand, RunEvent, RunState, RunView};
use crate::domain::time::Stamp;
use crate::engine::journal::{Change, Header, Record, turns};
use serde::Serialize;

/// A process that drove the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Session {
    /// Who: `user@host`.
    pub by: String,
    /// How it was confirmed: `key`, `typed` or `flag`.
    pub confirmed: String,
    /// From when.
    pub at: Stamp,
    /// The program's version.
    pub program: String,
    /// Process id.
    pub pid: u32,
}

/// Something that somebody decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DecisionAccount {
    /// When.
    pub at: Stamp,
    /// Who: `user@host`.
    pub by: String,
    /// Number of the step, from 1.
    pub step: usize,
    /// The step's name.
    pub name: &'static str,
    /// What was told.
    pub order: RunCommand,
    /// The same in words.
    pub words: String,
}

/// A change that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangeAccount {
    /// When it was announced, before it was asked for.
    pub at: Stamp,
    /// Number of the step, from 1.
    pub step: usize,
    /// The change in words.
    pub change: String,
    /// When it was answered; `None` = its process ended before the answer.
    pub answered: Option<Stamp>,
    /// Whether it was done; `None` = not known.
    pub done: Option<bool>,
    /// The answer's words when it was not done.
    pub answer: String,
}

/// What was predicted of a pod, and what happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PredictionAccount {
    /// The pod.
    pub pod: PodKey,
    /// What was predicted before the drain.
    pub predicted: String,
    /// How often it was asked to go.
    pub asked: usize,
    /// When it was accepted that it goes.
    pub accepted: Option<Stamp>,
    /// What happened, in words.
    pub happened: String,
}

/// What a probe said at a moment that counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProbeAccount {
    /// When.
    pub at: Stamp,
    /// The moment.
    pub moment: Moment,
    /// What it said.
    pub reading: Reading,
}

/// One line of the timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// When.
    pub at: Stamp,
    /// What.
    pub text: String,
}

/// The account of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Account {
    /// The run.
    pub id: RunId,
    /// Its kind.
    pub kind: Kind,
    /// Its nodes.
    pub nodes: Vec<NodeName>,
    /// The context.
    pub context: String,
    /// Its state; `interrupted` when its process ended without a word.
    pub state: RunState,
    /// When it began.
    pub started: Stamp,
    /// When it ended.
    pub ended: Option<Stamp>,
    /// The processes that drove it, in order.
    pub sessions: Vec<Session>,
    /// Who confirmed and decided what.
    pub decisions: Vec<DecisionAccount>,
    /// The steps, with every attempt and the last reading of every gate.
    pub steps: Vec<StepAccount>,
    /// The accounts of the runs of a roll's nodes, in the order of their turns.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub turns: Vec<Self>,
    /// The changes, each with its answer.
    pub changes: Vec<ChangeAccount>,
    /// What was predicted of each pod, and what happened.
    pub predictions: Vec<PredictionAccount>,
    /// What the probes said: the baseline, pauses, the last word.
    pub probes: Vec<ProbeAccount>,
    /// The components, as they were counted last.
    pub components: Vec<Component>,
    /// Each thing as it was found and as it is left, read from the world.
    pub compared: Vec<Difference>,
    /// What is left changed, each with the command that puts it back where there is one.
    pub left: Vec<String>,
    /// Everything in the order in which it happened.
    pub timeline: Vec<Entry>,
    /// The journal's last line was cut off.
    pub is_torn: bool,
}

impl Account {
    /// From a journal.
    pub fn new(record: &Record) -> Self {
        let view = record.view.as_ref();
        let header = &record.header;
        Self {
            id: header.run.clone(),
            kind: header.kind,
            nodes: header.nodes.clone(),
            context: header.context.clone(),
            state: record.state(),
            started: header.at,
            ended: view.and_then(|view| view.ended),
            sessions: std::iter::once(header).chain(&record.later).map(session).collect(),
            decisions: record.events.iter().filter_map(|event| decision(view?, event)).collect(),
            steps: steps::all(record),
            turns: turns(record).iter().map(Self::new).collect(),
            changes: record.changes.iter().map(change).collect(),
            predictions: predictions(record),
            probes: record.events.iter().flat_map(probes).collect(),
            components: view.map(|view| view.watched.components.clone()).unwrap_or_default(),
            compared: view.map(|view| view.compared.clone()).unwrap_or_default(),
            left: record.left(),
            timeline: timeline(record),
            is_torn: record.is_torn,
        }
    }

    /// How long it took, or has been under way as far as the journal tells, in milliseconds.
    pub fn took_ms(&self) -> u64 {
        let last = self.ended.or_else(|| self.timeline.last().map(|moment| moment.at));
        let took = last.map_or(std::time::Duration::ZERO, |last| last.since(self.started));
        u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
    }
}

fn session(header: &Header) -> Session {
    Session {
        by: header.holder.clone(),
        confirmed: header.confirmed.clone(),
        at: header.at,
        program: header.program.clone(),
        pid: header.pid,
    }
}

fn name(view: &RunView, step: usize) -> &'static str {
    view.steps.get(step).map_or("?", |view| view.step.kind.name())
}

fn decision(view: &RunView, event: &RunEvent) -> Option<DecisionAccount> {
    let RunChange::Decided { step, order, by } = &event.change else { return None };
    Some(DecisionAccount {
        at: event.at,
        by: by.clone(),
        step: step + 1,
        name: name(view, *step),
        order: order.clone(),
        words: ordered(order),
    })
}

fn ordered(order: &RunCommand) -> String {
    match order {
        RunCommand::Confirm(_) => "confirmed".to_owned(),
        RunCommand::Automatic => "let it go on by itself".to_owned(),
        RunCommand::Pause => "paused".to_owned(),
        RunCommand::Retry => "tried again".to_owned(),
        RunCommand::Skip => "left out".to_owned(),
        RunCommand::Abort => "aborted".to_owned(),
        RunCommand::Accept { gate, reason, .. } => format!("accepted gate {gate}: {reason}"),
        RunCommand::Settle(quiet) => format!("set the quiet time to {}", crate::domain::time::brief(*quiet)),
        RunCommand::Extend { by, .. } => format!("gave it {} more", crate::domain::time::brief(*by)),
        RunCommand::Interval { role, quiet } => {
            format!("set the pause after each node ({role}) to {}", crate::domain::time::brief(*quiet))
        }
        RunCommand::Postpone(_) => "put it to the end of the queue".to_owned(),
        RunCommand::Turn { order, .. } => format!("told the run of the node: {}", ordered(order)),
    }
}

fn change(change: &Change) -> ChangeAccount {
    let answer = change.answer.as_ref();
    ChangeAccount {
        at: change.at,
        step: change.step + 1,
        change: change.words.clone(),
        answered: answer.map(|(at, ..)| *at),
        done: answer.map(|(_, done, _)| *done),
        answer: answer.map(|(.., words)| words.clone()).unwrap_or_default(),
    }
}

/// The last forecast that named a pod, against what was asked for it.
fn predictions(record: &Record) -> Vec<PredictionAccount> {
    let mut list: Vec<PredictionAccount> = Vec::new();
    let foretold = record.events.iter().filter_map(|event| match &event.change {
        RunChange::Foretold { pods, .. } => Some(pods),
        _ => None,
    });
    for foreseen in foretold.flatten() {
        let one = happened(record, &foreseen.pod, foreseen.words.clone());
        match list.iter_mut().find(|known| known.pod == foreseen.pod) {
            Some(known) => *known = one,
            None => list.push(one),
        }
    }
    list
}

fn happened(record: &Record, pod: &PodKey, predicted: String) -> PredictionAccount {
    let end = format!(" {pod} ({})", pod.uid);
    let asked: Vec<&Change> = record.changes.iter().filter(|change| change.words.ends_with(&end)).collect();
    let done = |change: &&Change| change.answer.as_ref().filter(|(_, done, _)| *done).map(|(at, ..)| *at);
    let accepted = asked.iter().find_map(done);
    let refusal = asked.iter().rev().find_map(|change| match &change.answer {
        Some((_, false, words)) => Some(words.clone()),
        _ => None,
    });
    let happened = match (accepted, asked.len(), refusal) {
        (Some(_), 1, _) => "went when it was asked".to_owned(),
        (Some(_), times, Some(why)) => {
            format!("went when it was asked for the {times}. time; refused before: {why}")
        }
        (Some(_), times, None) => format!("went when it was asked for the {times}. time"),
        (None, 0, _) => "was not asked".to_owned(),
        (None, _, Some(why)) => format!("did not go: {why}"),
        (None, _, None) => "was asked, and the answer was not seen".to_owned(),
    };
    PredictionAccount { pod: pod.clone(), predicted, asked: asked.len(), accepted, happened }
}

fn timeline(record: &Record) -> Vec<Entry> {
    let Some(view) = &record.view else { return Vec::new() };
    let mut moments: Vec<Entry> = record
        .events
        .iter()
        .filter_map(|event| Some(Entry { at: event.at, text: moment(view, event)? }))
        .collect();
    moments.extend(record.changes.iter().map(|change| Entry {
        at: change.at,
        text: format!("{}: asks: {}", name(view, change.step), change.words),
    }));
    for change in &record.changes {
        if let Some((at, false, words)) = &change.answer {
            let text = format!("{}: refused: {}: {words}", name(view, change.step), change.words);
            moments.push(Entry { at: *at, text });
        }
    }
    moments.sort_by_key(|moment| moment.at);
    moments
}

fn moment(view: &RunView, event: &RunEvent) -> Option<String> {
    let of = |step: &usize| name(view, *step);
    Some(match &event.change {
        RunChange::Planned { plan } => format!("planned: {} steps", plan.steps.len()),
        RunChange::Resumed { by, aborts: false, .. } => format!("resumed by {by} in another process"),
        RunChange::Resumed { by, aborts: true, .. } => {
            format!("{by} puts back what it left, in another process")
        }
        RunChange::StepStarted { step, attempt: 1 } => format!("{}: begins", of(step)),
        RunChange::StepStarted { step, attempt } => format!("{}: begins, attempt {attempt}", of(step)),
        RunChange::StepEnded { step, outcome, .. } => format!("{}: {}", of(step), ended(outcome)),
        RunChange::Noted { step, text, warn: true } => format!("{}: warning: {text}", of(step)),
        RunChange::Noted { step, text, .. } => format!("{}: {text}", of(step)),
        RunChange::Asked { step } => format!("{}: the request that cannot be taken back goes out", of(step)),
        RunChange::Decided { step, order, by } => format!("{}: {by} {}", of(step), ordered(order)),
        RunChange::Held { step, why } => format!("{}: does not go on by itself: {why}", of(step)),
        RunChange::Measured { moment, probes } => measured(*moment, probes),
        RunChange::Counted { components, .. } => format!("checklist: {}", summary(components)),
        RunChange::Undoing { steps } => format!("puts back: {} steps", steps.len()),
        RunChange::Finished { state, .. } => format!("the run is {}", state.word()),
        _ => return None,
    })
}

fn probes(event: &RunEvent) -> Vec<ProbeAccount> {
    let RunChange::Measured { moment, probes } = &event.change else { return Vec::new() };
    let one = |reading: &Reading| ProbeAccount { at: event.at, moment: *moment, reading: reading.clone() };
    probes.iter().map(one).collect()
}

fn measured(moment: Moment, probes: &[Reading]) -> String {
    let words: Vec<String> = probes.iter().map(|reading| reading_words(moment, reading)).collect();
    format!("{}: {}", moment.word(), words.join("; "))
}

/// What a probe said, in words: for a baseline its figures.
fn reading_words(moment: Moment, reading: &Reading) -> String {
    match (moment, &reading.baseline) {
        (Moment::Baseline, Some(digest)) => format!("probe {}: {}", reading.name, compare::baseline(digest)),
        _ => reading.line(),
    }
}

/// How a step ended, in words.
fn ended(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done(words) => format!("done: {words}"),
        Outcome::Warned(words) => format!("done, with a warning: {words}"),
        Outcome::Skipped(words) => format!("skipped: {words}"),
        Outcome::Failed(report) => format!("FAILED: {}", report.line()),
        Outcome::Aborted => "stopped".to_owned(),
    }
}
