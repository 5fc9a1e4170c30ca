//! Lines for people: errors, plans, events.

use super::turns::Turns;
use crate::domain::debt::Debt;
use crate::domain::gate::{Gate, Verdict};
use crate::domain::ids::RunId;
use crate::domain::plan::{Plan, Step, StepKind};
use crate::domain::report::Report;
use crate::domain::run::{Outcome, Progress, RunChange, RunCommand, RunEvent, RunState};
use crate::domain::time::{Stamp, brief};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// `error: …`, the reasons and the hint, each on a line of its own.
pub fn error(report: &Report) -> String {
    let mut text = format!("error: {}\n", report.message);
    for cause in &report.causes {
        // a String takes everything
        let _ = writeln!(text, "  because: {cause}");
    }
    if let Some(hint) = &report.hint {
        let _ = writeln!(text, "hint: {hint}");
    }
    text
}

/// The time of day, UTC: `14:03:22Z`.
pub fn time(at: Stamp) -> String {
    jiff::Timestamp::from_millisecond(at.0)
        .map_or_else(|_| "--:--:--Z".to_owned(), |at| at.strftime("%H:%M:%SZ").to_string())
}

/// The date and time, UTC: `2026-11-20 14:03Z`.
pub fn date(at: Stamp) -> String {
    jiff::Timestamp::from_millisecond(at.0)
        .map_or_else(|_| "-".to_owned(), |at| at.strftime("%Y-%m-%d %H:%MZ").to_string())
}

/// An outcome: a word, and what it says.
pub fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done(words) => format!("done: {words}"),
        Outcome::Warned(words) => format!("done, but look: {words}"),
        Outcome::Skipped(words) => format!("skipped: {words}"),
        Outcome::Failed(report) => format!("FAILED: {}", report.line()),
        Outcome::Aborted => "stopped".to_owned(),
    }
}

/// A gate: `ok`, `NO`, `?`, `-` and what it rests on.
pub fn gate(gate: &Gate) -> String {
    let (mark, note) = match &gate.verdict {
        Verdict::Passed => ("ok", String::new()),
        Verdict::Failed => ("NO", String::new()),
        Verdict::Unknown => ("?", " (not known counts as not passed)".to_owned()),
        Verdict::NotApplicable => ("-", String::new()),
        Verdict::Accepted(reason) => ("ok", format!(" (accepted: {reason})")),
    };
    format!("{mark:<3}{:<16} {}{note}", gate.name, gate.evidence)
}

/// The columns of a terminal as most are.
const WIDTH: usize = 80;

/// A text after a label, wrapped between words at `width` columns; further lines begin below the text, or four columns
/// in where the label is long. A word that is longer stays whole.
pub fn wrapped(label: &str, text: &str, width: usize) -> Vec<String> {
    let indent = match label.chars().count() {
        short @ 0..=24 => short,
        _ => 4,
    };
    let mut lines = Vec::new();
    let mut line = label.to_owned();
    let mut has_words = false;
    for word in text.split(' ') {
        if has_words && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
            has_words = false;
        }
        if has_words {
            line.push(' ');
        }
        line.push_str(word);
        has_words = true;
    }
    lines.push(line);
    lines
}

/// A step of a plan, with everything that it says about itself.
pub fn step(number: usize, step: &Step) -> String {
    let head = wrapped(&format!("{number:>2}. {:<17} ", step.kind.name()), &step.what, WIDTH);
    let mut text = format!("{}\n", head.join("\n"));
    let mut add = |label: &str, words: &str| {
        let label = format!("      {label:<9} ");
        // a command stays in one piece
        let lines = wrapped(&label, words, if label.contains("command") { usize::MAX } else { WIDTH });
        let _ = writeln!(text, "{}", lines.join("\n"));
    };
    if let Some(why) = &step.not_applicable {
        add("n/a", why);
        return text;
    }
    add("command", &step.command);
    if !step.gates.is_empty() {
        add("gates", &step.gates.join(", "));
    }
    if !step.timeout.is_zero() {
        add("deadline", &brief(step.timeout));
    }
    if let Some(undo) = &step.undo {
        add("undo", undo);
    }
    for note in &step.unchecked {
        add("unchecked", note);
    }
    text
}

/// Turns events into lines; keeps what is needed to name steps and to leave out what says nothing new.
#[derive(Debug, Default)]
pub struct Teller {
    names: Vec<String>,
    shown: Option<(Stamp, Progress)>,
    watched: super::watched::Teller,
    gates: BTreeMap<(usize, String), (Verdict, String)>,
    turns: Turns,
}

/// Progress is told at most this often, so that a log is not flooded by a countdown.
const QUIET: Duration = Duration::from_secs(5);

/// So many things that are waited for, or that went wrong, are told one by one.
const MOST: usize = 12;

impl Teller {
    fn adopt(&mut self, steps: &[Step]) {
        self.names.extend(steps.iter().map(named));
    }

    fn head(&self, at: Stamp, step: usize) -> String {
        let name = self.names.get(step).map_or("?", String::as_str);
        format!("{} [{:>2}/{}] {name:<17} ", time(at), step + 1, self.names.len())
    }

    /// Whether an event is written as JSON: how probes are doing, every ten seconds only.
    pub(super) fn is_due(&mut self, event: &RunEvent) -> bool {
        !matches!(event.change, RunChange::Probed { .. }) || self.watched.is_due(event.at)
    }

    /// The lines for an event; none when it says nothing new.
    pub fn lines(&mut self, event: &RunEvent) -> Vec<String> {
        let at = event.at;
        match &event.change {
            RunChange::Planned { plan } => {
                self.adopt(&plan.steps);
                vec![format!("{} run {}: {}", time(at), event.run, title(plan))]
            }
            RunChange::State { state: RunState::Failed, .. } => {
                vec![format!("{} the run waits for a decision", time(at))]
            }
            RunChange::State { .. }
            | RunChange::Asked { .. }
            | RunChange::Window { .. }
            | RunChange::Foretold { .. } => Vec::new(),
            RunChange::Held { step, why } => vec![format!("{}! {why}", self.head(at, *step))],
            RunChange::Owes { debts } => owed(at, debts),
            RunChange::StepStarted { step, attempt } => {
                self.shown = None;
                self.gates.retain(|(known, _), _| known != step);
                let again = if *attempt > 1 { format!(", attempt {attempt}") } else { String::new() };
                vec![format!("{}begins{again}", self.head(at, *step))]
            }
            RunChange::Progressed { step, progress } => self.progress(at, *step, progress),
            RunChange::GateRead { step, gate: read } => self.gate_read(at, *step, read),
            RunChange::Noted { step, text, warn } => {
                let mark = if *warn { "! " } else { "" };
                vec![format!("{}{mark}{text}", self.head(at, *step))]
            }
            RunChange::StepEnded { step, outcome, took_ms } => {
                ended(&self.head(at, *step), outcome, Duration::from_millis(*took_ms))
            }
            RunChange::Decided { step, order, by } => decided(&self.head(at, *step), order, by),
            RunChange::Resumed { by, aborts, view, .. } => {
                if let Some(view) = view {
                    self.names = view.steps.iter().map(|step| named(&step.step)).collect();
                }
                let what = if *aborts { "put back what it left" } else { "go on" };
                vec![format!("{} run {}: {what}, by {by}", time(at), event.run)]
            }
            RunChange::TurnBegan { .. } | RunChange::Paced { .. } | RunChange::Child { .. } => {
                self.turns.lines(event)
            }
            RunChange::Queued { why, .. } if why.is_empty() => Vec::new(),
            RunChange::Queued { why, .. } => vec![format!("{} {why}", time(at))],
            RunChange::Compared { differences } => {
                differences.iter().map(|one| format!("{} {}", time(at), one.words())).collect()
            }
            RunChange::Probed { probes } => self.watched.probed(at, probes),
            RunChange::Measured { moment, probes } => super::watched::measured(at, *moment, probes),
            RunChange::Counted { step, components } => {
                super::watched::counted(&self.head(at, *step), components)
            }
            RunChange::Undoing { steps } => {
                self.adopt(steps);
                let words = if steps.is_empty() { "nothing has to be put back" } else { "putting back" };
                vec![format!("{} aborted: {words}", time(at))]
            }
            RunChange::Finished { state: end, left } => finished(at, &event.run, *end, left),
        }
    }

    /// A gate that says the same as before is told once; the offenders of one that is not open by name.
    fn gate_read(&mut self, at: Stamp, step: usize, read: &Gate) -> Vec<String> {
        let head = self.head(at, step);
        let mut words = vec![gate(read)];
        let is_blamed = !read.verdict.is_open();
        let blamed = read.offenders.iter().filter(|_| is_blamed);
        words.extend(blamed.take(MOST).map(|offender| format!("   {}", offender.line(read.at))));
        let key = (step, read.name.clone());
        let told = (read.verdict.clone(), read.evidence.clone());
        if is_blamed && self.gates.get(&key) == Some(&told) {
            return Vec::new();
        }
        self.gates.insert(key, told);
        words.into_iter().map(|line| format!("{head}{line}")).collect()
    }

    fn progress(&mut self, at: Stamp, step: usize, progress: &Progress) -> Vec<String> {
        let is_news = match &self.shown {
            None => true,
            Some((then, shown)) => {
                at.since(*then) >= QUIET && (shown.text != progress.text || shown.items != progress.items)
            }
        };
        if !is_news {
            return Vec::new();
        }
        let head = self.head(at, step);
        let mut lines = vec![format!("{head}{}", progress.text)];
        lines.extend(progress.items.iter().take(MOST).map(|item| format!("{head}  {item}")));
        let more = progress.items.len().saturating_sub(MOST);
        lines.extend((more > 0).then(|| format!("{head}  and {more} more")));
        self.shown = Some((at, progress.clone()));
        lines
    }
}

/// A decision that the lines after it do not tell by themselves.
fn decision(order: &RunCommand) -> Option<String> {
    match order {
        RunCommand::Accept { gate, reason, .. } => Some(format!("gate {gate} accepted: {reason}")),
        RunCommand::Settle(quiet) => Some(format!("settles for {}", brief(*quiet))),
        RunCommand::Extend { by, .. } => Some(format!("may take {} longer", brief(*by))),
        RunCommand::Interval { role, quiet } => {
            Some(format!("the pause after each node ({role}) is {}", brief(*quiet)))
        }
        RunCommand::Postpone(_) => Some("put to the end of the queue".to_owned()),
        _ => None,
    }
}

/// A step's name; a turn bears its node's.
fn named(step: &Step) -> String {
    match &step.node {
        Some(node) if step.kind == StepKind::Turn => format!("{} {node}", step.kind.name()),
        _ => step.kind.name().to_owned(),
    }
}

/// `reboot of cp-1, 16 steps`
pub fn title(plan: &Plan) -> String {
    let nodes: Vec<&str> = plan.nodes.iter().map(crate::domain::ids::NodeName::as_str).collect();
    let of = match &plan.resolve {
        Some(chosen) => format!(" of {} by {}", chosen.budget, chosen.remedy),
        None if nodes.is_empty() => String::new(),
        None if nodes.len() > MOST => format!(" of {} nodes", nodes.len()),
        None => format!(" of {}", nodes.join(", ")),
    };
    format!("{}{of}, {}", plan.kind, crate::domain::text::count(plan.steps.len(), "step"))
}

/// A decision as a line.
fn decided(head: &str, order: &RunCommand, by: &str) -> Vec<String> {
    decision(order).into_iter().map(|words| format!("{head}{words}, by {by}")).collect()
}

/// What a run owes back by now.
fn owed(at: Stamp, debts: &[Debt]) -> Vec<String> {
    if debts.is_empty() {
        return vec![format!("{} nothing is owed back any more", time(at))];
    }
    // the marks of a roll go one by one: the report and the list of runs tell of the ones that are left
    let told = debts.iter().filter(|debt| !matches!(debt, Debt::NodesMarked { .. }));
    told.map(|debt| format!("{} owed back: {}", time(at), debt.words())).collect()
}

/// How a run ended, and what it left.
fn finished(at: Stamp, run: &RunId, end: RunState, left: &[String]) -> Vec<String> {
    let mut lines = vec![format!("{} run {run} is {}", time(at), end.word())];
    lines.extend(left.iter().map(|left| format!("{} left: {left}", time(at))));
    let is_clean = left.is_empty() && end != RunState::Done;
    lines.extend(is_clean.then(|| format!("{} nothing is left changed", time(at))));
    lines
}

/// How a step ended: one line, or a failure with its causes and what to do.
fn ended(head: &str, how: &Outcome, took: Duration) -> Vec<String> {
    let took = brief(took);
    let Outcome::Failed(report) = how else { return vec![format!("{head}{} ({took})", outcome(how))] };
    let mut lines = vec![format!("{head}FAILED: {} ({took})", report.message)];
    let causes = report.causes.iter().take(MOST);
    lines.extend(causes.map(|cause| format!("{head}  because: {cause}")));
    let more = report.causes.len().saturating_sub(MOST);
    lines.extend((more > 0).then(|| format!("{head}  and {more} more")));
    lines.extend(report.hint.as_ref().map(|hint| format!("{head}  hint: {hint}")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_wrapped_between_words() {
        assert_eq!(wrapped("a: ", "one two three", 10), ["a: one two", "   three"]);
        assert_eq!(wrapped("", "abcdefghijkl b", 5), ["abcdefghijkl", "b"]);
        assert_eq!(wrapped(&"x".repeat(30), "a b", 32), [format!("{}a", "x".repeat(30)), "    b".to_owned()]);
    }
}
