//! `pitstop runs`: earlier runs, from their journals.

use super::{Exit, Format, complain, json, line, text};
use crate::domain::report::Report;
use crate::domain::run::{RunState, RunView, StepState};
use crate::domain::text::count;
use crate::domain::time::brief;
use crate::engine::account::{Account, markdown};
use crate::engine::journal::{self, Record};
use serde::Serialize;
use std::path::Path;

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
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<&'a RunView>,
}

impl<'a> Page<'a> {
    fn new(record: &'a Record, is_whole: bool) -> Self {
        let view = record.view.as_ref();
        Self {
            id: record.header.run.as_str(),
            kind: record.header.kind.to_string(),
            nodes: &record.header.nodes,
            state: text::state(record.state()),
            step: step(record),
            started: record.header.at,
            ended: view.and_then(|view| view.ended),
            context: &record.header.context,
            holder: &record.header.holder,
            left: record.left(),
            run: view.filter(|_| is_whole),
        }
    }
}

fn step(record: &Record) -> Option<&'static str> {
    let view = record.view.as_ref()?;
    view.current().and_then(|index| view.steps.get(index)).map(|view| view.step.kind.name())
}

/// Lists all runs, the newest first; one JSON object a line.
///
/// # Errors
/// Nothing can be written.
pub fn list(state_dir: &Path, format: Format) -> Result<Exit, Report> {
    let records = journal::list(state_dir);
    if records.is_empty() && format == Format::Text {
        line(&format!("no runs in {}", journal::directory(state_dir).display()))?;
    }
    for record in records {
        match (record, format) {
            (Ok(record), Format::Json) => json(&Page::new(&record, false))?,
            (Ok(record), Format::Text) => line(&summary(&record))?,
            (Err(report), _) => complain(&report),
        }
    }
    Ok(Exit::Done)
}

fn summary(record: &Record) -> String {
    let nodes: Vec<&str> = record.header.nodes.iter().map(crate::domain::ids::NodeName::as_str).collect();
    let mut words = format!(
        "{}  {:<11} {}  {} {} in {}",
        text::date(record.header.at),
        text::state(record.state()),
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
pub fn show(state_dir: &Path, id: Option<&str>, format: Format) -> Result<Exit, Report> {
    let record = journal::find(state_dir, id)?;
    if format == Format::Json {
        json(&Page::new(&record, true))?;
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
    if record.is_torn {
        line("the last line of the journal was cut off: the program was killed while it wrote")?;
    }
    for left in record.left() {
        line(&format!("left: {left}"))?;
    }
    if record.is_orphan() {
        for advice in advice(&record) {
            line(&format!("do: {advice}"))?;
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

/// What to do by hand about a run that was killed, in order.
fn advice(record: &Record) -> Vec<String> {
    use crate::domain::plan::StepKind;
    let mut words = Vec::new();
    for node in &record.header.nodes {
        if record.memory.reboot_requested.is_some() {
            let before = record.memory.boot_before.as_deref().unwrap_or("?");
            words.push(format!(
                "ssh {node} cat /proc/sys/kernel/random/boot_id  # another value than {before} = it has rebooted, do not ask again"
            ));
        }
        if record.memory.has_cordoned {
            words.push(format!(
                "kubectl get node {node}, and when it is Ready and healthy: kubectl uncordon {node}"
            ));
        }
    }
    if record.view.as_ref().is_some_and(|view| view.has_done(StepKind::Lock)) {
        words.push("pitstop runs unlock  # clears the maintenance lock once nobody renews it; pitstop check shows who holds it".to_owned());
    }
    words
}
