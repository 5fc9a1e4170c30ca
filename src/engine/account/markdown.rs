//! The account as Markdown, for a ticket or a channel.

use super::steps::verdict;
use super::{Account, ended};
use crate::domain::checklist::Count;
use crate::domain::found::Difference;
use crate::domain::ids::NodeName;
use crate::domain::run::{Outcome, RunCommand};
use crate::domain::time::{Stamp, brief};
use std::fmt::Write;
use std::time::Duration;

/// A cell, or a line: what would break the table is written otherwise.
fn cell(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace(['\n', '\r'], " ")
}

fn clock(at: Stamp) -> String {
    jiff::Timestamp::from_millisecond(at.0)
        .map_or_else(|_| "-".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

fn span(ms: u64) -> String {
    brief(Duration::from_millis(ms))
}

/// A whole page.
pub fn markdown(account: &Account) -> String {
    let mut page = Page::default();
    head(&mut page, account);
    accepted(&mut page, account);
    steps(&mut page, account);
    turns(&mut page, account);
    decisions(&mut page, account);
    gates(&mut page, account);
    probes(&mut page, account);
    components(&mut page, account);
    predictions(&mut page, account);
    changes(&mut page, account);
    page.list("As found, as left", account.compared.iter().map(Difference::words));
    if account.left.is_empty() {
        page.list("Left changed", ["nothing".to_owned()]);
    } else {
        page.list("Left changed", account.left.iter().cloned());
    }
    page.list(
        "Timeline",
        account.timeline.iter().map(|moment| format!("{} {}", clock(moment.at), moment.text)),
    );
    page.text
}

fn steps(page: &mut Page, account: &Account) {
    let rows = account.steps.iter().map(|step| {
        let name = if step.is_undo { format!("undo: {}", step.name) } else { step.name.to_owned() };
        let how = step.outcome.as_ref().map_or_else(|| "not reached".to_owned(), ended);
        let attempts = step.attempts.len().to_string();
        vec![step.number.to_string(), name, how, span(step.took_ms), attempts]
    });
    page.table("Steps", &["#", "step", "how it ended", "took", "attempts"], rows);
}

/// The nodes of a roll, each with its own run.
fn turns(page: &mut Page, account: &Account) {
    let rows = account.turns.iter().map(|turn| {
        let node = turn.nodes.first().map_or_else(String::new, |node| node.0.clone());
        let failed = turn.steps.iter().find_map(|step| match &step.outcome {
            Some(outcome @ Outcome::Failed(_)) => Some(format!("{}: {}", step.name, ended(outcome))),
            _ => None,
        });
        let how = failed.map_or_else(String::new, |why| format!("; {why}"));
        vec![
            node,
            format!("{}{how}", turn.state.word()),
            span(turn.took_ms()),
            clock(turn.started),
            turn.id.0.clone(),
        ]
    });
    page.table("Nodes", &["node", "how its run ended", "took", "began", "run"], rows);
}

fn decisions(page: &mut Page, account: &Account) {
    let rows = account.decisions.iter().map(|one| {
        let step = format!("{}. {}", one.step, one.name);
        vec![clock(one.at), one.by.clone(), step, one.words.clone()]
    });
    page.table("Confirmations and decisions", &["when", "who", "step", "what"], rows);
}

fn gates(page: &mut Page, account: &Account) {
    let rows = account.steps.iter().flat_map(|step| {
        step.gates.iter().map(|read| {
            vec![
                format!("{}. {}", step.number, step.name),
                read.gate.name.clone(),
                verdict(&read.gate.verdict),
                read.gate.evidence.clone(),
                format!("{} times, {} not open", read.readings, read.closed),
                read.age_ms.map_or_else(|| "-".to_owned(), span),
            ]
        })
    });
    page.table("Gates", &["step", "gate", "verdict", "evidence", "read", "age"], rows);
}

fn probes(page: &mut Page, account: &Account) {
    let rows = account.probes.iter().map(|one| {
        let words = super::reading_words(one.moment, &one.reading);
        vec![clock(one.at), one.moment.word().to_owned(), one.reading.target.clone(), words]
    });
    page.table("Probes", &["when", "", "asked", "what it said"], rows);
}

fn components(page: &mut Page, account: &Account) {
    let of = |count: Count| format!("{} of {}", count.ready, count.expected);
    let rows = account.components.iter().map(|one| {
        let verdict = if one.is_fine() { "" } else { "fewer than before" };
        let before = one.before.map_or_else(|| "not counted".to_owned(), of);
        vec![one.name.clone(), before, of(one.now), verdict.to_owned()]
    });
    page.table("Checklist", &["component", "before", "counted last", ""], rows);
}

fn predictions(page: &mut Page, account: &Account) {
    let rows = account
        .predictions
        .iter()
        .map(|one| vec![one.pod.to_string(), one.predicted.clone(), one.happened.clone()]);
    page.table("Predicted, and what happened", &["pod", "predicted", "what happened"], rows);
}

fn changes(page: &mut Page, account: &Account) {
    let rows = account.changes.iter().map(|one| {
        let answer = match one.done {
            Some(true) => "done".to_owned(),
            Some(false) => format!("refused: {}", one.answer),
            None => "not seen: the process ended first".to_owned(),
        };
        vec![clock(one.at), one.step.to_string(), one.change.clone(), answer]
    });
    page.table("Changes", &["asked", "step", "change", "answer"], rows);
}

fn head(page: &mut Page, account: &Account) {
    let nodes: Vec<&str> = account.nodes.iter().map(NodeName::as_str).collect();
    page.line(&format!("# {} {}: {}", account.kind, nodes.join(", "), account.state.word()));
    page.line("");
    page.line(&format!("- run: `{}` in context `{}`", account.id, account.context));
    let until = account.ended.map_or_else(|| "not ended".to_owned(), clock);
    let took = span(account.took_ms());
    page.line(&format!("- from {} to {until}, {took}", clock(account.started)));
    for (at, one) in account.sessions.iter().enumerate() {
        let what = if at == 0 { "started" } else { "taken up again" };
        page.line(&format!(
            "- {what} by {} at {} (confirmed: {}; pitstop {}, process {})",
            one.by,
            clock(one.at),
            one.confirmed,
            one.program,
            one.pid
        ));
    }
    let failed = account.steps.iter().find_map(|step| match &step.outcome {
        Some(Outcome::Failed(report)) => Some(format!("- failed at {}: {}", step.name, report.line())),
        _ => None,
    });
    if let Some(line) = failed {
        page.line(&cell(&line));
    }
    if account.is_torn {
        page.line("- the last line of the journal was cut off: a process was killed while it wrote");
    }
}

fn accepted(page: &mut Page, account: &Account) {
    let list = account.decisions.iter().filter_map(|one| match &one.order {
        RunCommand::Accept { gate, reason, .. } => {
            Some(format!("{}: gate {gate} at {}, by {}: {reason}", clock(one.at), one.name, one.by))
        }
        _ => None,
    });
    page.list("Accepted although not passed", list);
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, text: &str) {
        // a String takes everything
        let _ = writeln!(self.text, "{text}");
    }

    fn list(&mut self, title: &str, lines: impl IntoIterator<Item = String>) {
        let mut lines = lines.into_iter().peekable();
        if lines.peek().is_none() {
            return;
        }
        self.line(&format!("\n## {title}\n"));
        for line in lines {
            self.line(&format!("- {}", cell(&line)));
        }
    }

    fn table(&mut self, title: &str, columns: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
        let mut rows = rows.into_iter().peekable();
        if rows.peek().is_none() {
            return;
        }
        self.line(&format!("\n## {title}\n"));
        self.line(&format!("| {} |", columns.join(" | ")));
        self.line(&format!("|{}", " --- |".repeat(columns.len())));
        for row in rows {
            let cells: Vec<String> = row.iter().map(|text| cell(text)).collect();
            self.line(&format!("| {} |", cells.join(" | ")));
        }
    }
}
