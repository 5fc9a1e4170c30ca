//! `pitstop runs`: earlier runs, from their journals.

use super::{Exit, Format, complain, json, line, text};
use crate::backend::clock::now;
use crate::domain::report::Report;
use crate::domain::resume::obstacle;
use crate::domain::run::{RunState, RunView, StepState};
use crate::domain::standing::{Leftover, Standing};
use crate::domain::text::count;
use crate::domain::time::brief;
use crate::engine::account::{Account, markdown};
use crate::engine::journal::{self, Record};
use futures::future::BoxFuture;
use serde::Serialize;
use std::path::Path;

/// Answers how what a run left is now. Asks the cluster of its context, where that can be reached.
pub type Look<'a> = &'a (dyn Fn(&Record) -> BoxFuture<'a, Vec<Leftover>> + Sync);

/// One thing that a run left, as `-o json` writes it.
#[derive(Debug, Serialize)]
struct LeftPage {
    /// In the words of the run.
    what: String,
    /// `still_so`, `put_back`, `changed`, `unknown`; none = nothing that could be looked up.
    now: Option<&'static str>,
    /// The same in words.
    words: Option<String>,
}

impl From<&Leftover> for LeftPage {
    fn from(one: &Leftover) -> Self {
        let now = one.now.as_ref().map(|now| match now {
            Standing::Still => "still_so",
            Standing::PutBack => "put_back",
            Standing::Changed(_) => "changed",
            Standing::Unknown(_) => "unknown",
        });
        Self { what: one.what.clone(), now, words: one.now.as_ref().map(Standing::words) }
    }
}

/// A run as `-o json` writes it.
#[derive(Debug, Serialize)]
struct Page<'a> {
    id: &'a str,
    kind: String,
    nodes: &'a [crate::domain::ids::NodeName],
    state: &'static str,
    /// The step that it is in or ended in.
    step: Option<&'static str>,
    started: crate::domain::time::Stamp,
    ended: Option<crate::domain::time::Stamp>,
    context: &'a str,
    holder: &'a str,
    left: Vec<String>,
    /// How what it left is now, by the cluster's own word; of unsettled runs only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    leftovers: Vec<LeftPage>,
    /// It ended otherwise than well and left something: to be resumed or aborted.
    unsettled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<&'a RunView>,
}

impl<'a> Page<'a> {
    fn new(record: &'a Record, leftovers: &[Leftover], is_whole: bool) -> Self {
        let view = record.view.as_ref();
        Self {
            id: record.header.run.as_str(),
            kind: record.header.kind.to_string(),
            nodes: &record.header.nodes,
            state: record.state().word(),
            step: step(record),
            started: record.header.at,
            ended: view.and_then(|view| view.ended),
            context: &record.header.context,
            holder: &record.header.holder,
            left: record.left(),
            leftovers: leftovers.iter().map(LeftPage::from).collect(),
            unsettled: record.is_unsettled(),
            run: view.filter(|_| is_whole),
        }
    }
}

fn step(record: &Record) -> Option<&'static str> {
    let view = record.view.as_ref()?;
    view.current().and_then(|index| view.steps.get(index)).map(|view| view.step.kind.name())
}

/// Lists all runs, the newest first; one JSON object a line. What an unsettled one left is held against its cluster.
///
/// # Errors
/// Nothing can be written.
pub async fn list(state_dir: &Path, look: Look<'_>, format: Format) -> Result<Exit, Report> {
    let records = journal::list(state_dir);
    if records.is_empty() && format == Format::Text {
        line(&format!("no runs in {}", journal::directory(state_dir).display()))?;
    }
    for record in records {
        let left = leftovers(record.as_ref().ok(), look).await;
        match (record, format) {
            (Ok(record), Format::Json) => json(&Page::new(&record, &left, false))?,
            (Ok(record), Format::Text) => {
                line(&summary(&record))?;
                for words in unsettled(&record, &left) {
                    line(&format!("    {words}"))?;
                }
            }
            (Err(report), Format::Json) => super::complain_in_json(&report),
            (Err(report), Format::Text) => complain(&report),
        }
    }
    Ok(Exit::Done)
}

/// What a run that ended otherwise than well left, and what can be done about it.
fn unsettled(record: &Record, left: &[Leftover]) -> Vec<String> {
    if !record.is_unsettled() {
        return Vec::new();
    }
    let age = brief(now().since(record.header.at));
    let mut words: Vec<String> = left.iter().map(|left| format!("left {age} ago: {}", left.line())).collect();
    words.extend(commands(record));
    words
}

async fn leftovers(record: Option<&Record>, look: Look<'_>) -> Vec<Leftover> {
    match record.filter(|record| record.is_unsettled()) {
        Some(record) => look(record).await,
        None => Vec::new(),
    }
}

/// The commands that help on.
fn commands(record: &Record) -> Vec<String> {
    let id = &record.header.run;
    let may_resume = record.view.as_ref().is_some_and(|view| obstacle(view).is_none());
    let resume = may_resume.then(|| format!("go on with it: pitstop runs resume {id}"));
    resume.into_iter().chain([format!("put it back:    pitstop runs abort {id}")]).collect()
}

fn summary(record: &Record) -> String {
    let nodes: Vec<&str> = record.header.nodes.iter().map(crate::domain::ids::NodeName::as_str).collect();
    let mut words = format!(
        "{}  {:<11} {}  {} {} in {}",
        text::date(record.header.at),
        record.state().word(),
        record.header.run,
        record.header.kind,
        nodes.join(", "),
        record.header.context,
    );
    if record.state() != RunState::Done
        && let Some(step) = step(record)
    {
        words.push_str(&format!(", at {step}"));
    }
    let left = record.left();
    if !left.is_empty() {
        words.push_str(&format!("; {} left changed", count(left.len(), "thing")));
    }
    words
}

/// Shows one run: the one whose id begins with `id`, or the newest.
///
/// # Errors
/// There is no such run, or more than one.
pub async fn show(
    state_dir: &Path,
    id: Option<&str>,
    look: Look<'_>,
    format: Format,
) -> Result<Exit, Report> {
    let record = journal::find(state_dir, id)?;
    let left = leftovers(Some(&record), look).await;
    if format == Format::Json {
        json(&Page::new(&record, &left, true))?;
        return Ok(Exit::Done);
    }
    line(&summary(&record))?;
    line(&format!("by {} (confirmed: {})", record.header.holder, record.header.confirmed))?;
    line(&format!("journal {}", record.path.display()))?;
    for (index, view) in record.view.iter().flat_map(|view| &view.steps).enumerate() {
        let how = match &view.state {
            StepState::Pending => "not reached".to_owned(),
            StepState::Running(_) => "under way".to_owned(),
            StepState::Ended(outcome, took) => format!("{} ({})", text::outcome(outcome), brief(*took)),
        };
        let undo = if view.is_undo { "undo: " } else { "" };
        line(&format!("{:>2}. {undo}{:<17} {how}", index + 1, view.step.kind.name()))?;
        for gate in view.gates.iter().filter(|gate| !gate.verdict.is_open()) {
            line(&format!("      {}", text::gate(gate)))?;
        }
    }
    for turn in journal::turns(&record) {
        let words = summary(&turn);
        line(&format!("    {words}"))?;
    }
    if record.is_torn {
        line("the last line of the journal was cut off: the program was killed while it wrote")?;
    }
    let known = record.left().into_iter().map(|what| Leftover { what, now: None });
    for left in if left.is_empty() { known.collect() } else { left } {
        line(&format!("left: {}", left.line()))?;
    }
    if record.is_unsettled() || record.is_orphan() {
        for words in commands(&record) {
            line(&words)?;
        }
    }
    Ok(Exit::Done)
}

/// Accounts for one run: Markdown, or one JSON object.
///
/// # Errors
/// There is no such run, more than one, or its journal cannot be read.
pub fn report(state_dir: &Path, id: Option<&str>, format: Format) -> Result<Exit, Report> {
    let account = Account::new(&journal::find(state_dir, id)?);
    match format {
        Format::Json => json(&account)?,
        Format::Text => line(markdown(&account).trim_end())?,
    }
    Ok(Exit::Done)
}
