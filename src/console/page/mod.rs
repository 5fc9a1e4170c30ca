//! All that is known of one thing, as labelled lines; computed when it is drawn, so that it stays true.

mod budget;
mod etcd;
mod lock;
mod lost;
mod node;
mod step;
mod story;
mod turn;

use super::dialog::resolve::offer_facts;
use super::dialog::{Fact, Subject, Tone};
use super::model::Model;
use super::msg::Orphan;
use crate::domain::ids::BudgetKey;
use crate::domain::log::{Level, LogLine, Origin};
use crate::domain::remedy::Remedy;
use crate::domain::standing::{Leftover, Standing};
use crate::domain::time::{Stamp, age};

/// The title of a page.
pub fn title(subject: &Subject) -> String {
    match subject {
        Subject::Node(node) => format!("node {node}"),
        Subject::Member(id) => format!("etcd member {id:x}"),
        Subject::Budget(key) => format!("budget {key}"),
        Subject::Way(key, remedy) => format!("{key}: {remedy}"),
        Subject::Orphans => "runs of earlier sessions that did not end".to_owned(),
        Subject::Lock => "the maintenance lock".to_owned(),
        Subject::Line(_) => "log line".to_owned(),
        Subject::Step(op, step) => format!("run {op}, step {}", step + 1),
        Subject::Turn(node) => format!("the turn of {node}"),
        Subject::Story => "what happened in this roll, the newest first".to_owned(),
    }
}

/// The lines of a page; one that says so when the thing is gone.
pub fn facts(model: &Model, subject: &Subject) -> Vec<Fact> {
    let facts = match subject {
        Subject::Node(name) => model.known.nodes.get(name).map(|row| node::facts(model, row)),
        Subject::Member(id) => etcd::facts(model, *id),
        Subject::Budget(key) => model.known.budgets.get(key).map(|row| budget::facts(model, row)),
        Subject::Way(key, remedy) => way(model, key, *remedy),
        Subject::Orphans => Some(orphans(model)),
        Subject::Lock => Some(lock::facts(model)),
        Subject::Line(number) => model.log.get(*number).map(|line| self::line(model, line)),
        Subject::Step(op, step) => step::facts(model, *op, *step),
        Subject::Turn(node) => turn::facts(model, node),
        Subject::Story => Some(story::facts(model)),
    };
    facts.unwrap_or_else(|| vec![Fact::toned(Tone::Attention, "", "it is not there any more")])
}

/// What a way out needs, costs and puts back; and why it cannot be taken here.
fn way(model: &Model, key: &BudgetKey, remedy: Remedy) -> Option<Vec<Fact>> {
    let offer = model.analysis(key)?.offer(remedy)?;
    let mut facts = vec![Fact::plain("way out", remedy.title())];
    if !remedy.is_carried_out() {
        let words = "explained, not carried out: it needs people's decision";
        facts.push(Fact::toned(Tone::Attention, "by you", words));
    } else if let Some(missing) = offer.missing() {
        let why = if missing.why.is_empty() { String::new() } else { format!(": {}", missing.why) };
        facts.push(Fact::toned(Tone::Bad, "not now", format!("it needs {}{why}", missing.what)));
    }
    facts.extend(offer_facts(offer));
    Some(facts)
}

/// What an earlier run left, and what can be done about it.
fn orphans(model: &Model) -> Vec<Fact> {
    let all = &model.known.orphans;
    let Some(orphan) = all.get(model.orphan_at.min(all.len().saturating_sub(1))) else {
        return vec![Fact::plain("", "nothing is left of earlier runs")];
    };
    let mut facts = left(orphan);
    facts.push(Fact::plain("run", format!("{}: {}", orphan.run, orphan.words)));
    facts.push(Fact::plain("began", ago(model, orphan.at)));
    facts.push(Fact::plain("", ""));
    match &orphan.obstacle {
        None => facts.push(Fact::plain("N", "go on with it: every step looks before it does anything")),
        Some(why) => facts.push(Fact::toned(Tone::Dim, "N", format!("cannot be gone on with: {why}"))),
    }
    facts.push(Fact::plain("X", "put it back, step by step; then shows what differs from how it was found"));
    if all.len() > 1 {
        let words = format!("the next one ({} of {})", model.orphan_at + 1, all.len());
        facts.push(Fact::plain("Tab", words));
    }
    facts.push(Fact::plain("", ""));
    let id = &orphan.run;
    facts.push(Fact::toned(Tone::Dim, "typed", format!("pitstop runs resume {id}")));
    facts.push(Fact::toned(Tone::Dim, "", format!("pitstop runs abort {id}")));
    facts.push(Fact::toned(Tone::Dim, "", format!("pitstop runs report {id}")));
    facts
}

/// What it left, each with how it is now as far as that was looked up.
fn left(orphan: &Orphan) -> Vec<Fact> {
    if orphan.now.is_empty() {
        let mut facts = list(Tone::Attention, "left", orphan.left.iter().cloned());
        facts.push(Fact::toned(Tone::Dim, "now", "by its journal's word; the cluster was not asked yet"));
        return facts;
    }
    let line = |(at, one): (usize, &Leftover)| {
        let tone = match &one.now {
            Some(Standing::PutBack) | None => Tone::Dim,
            Some(_) => Tone::Attention,
        };
        Fact::toned(tone, if at == 0 { "left" } else { "" }, one.line())
    };
    orphan.now.iter().enumerate().map(line).collect()
}

fn line(model: &Model, line: &LogLine) -> Vec<Fact> {
    let tone = match line.level {
        Level::Info => Tone::Plain,
        Level::Warn => Tone::Attention,
        Level::Error => Tone::Bad,
    };
    let from = match line.origin {
        Origin::Operation => "an operation of this console",
        Origin::Event => "a Kubernetes Event",
        Origin::System => "this console",
    };
    let mut facts = vec![Fact::plain("when", ago(model, line.at)), Fact::plain("from", from)];
    facts.extend(line.op.map(|op| Fact::plain("run", op.to_string())));
    facts.extend(line.node.as_ref().map(|node| Fact::plain("node", node.as_str())));
    facts.push(Fact::toned(tone, "text", &*line.text));
    facts
}

/// `3m12s ago`.
fn ago(model: &Model, at: Stamp) -> String {
    format!("{} ago", age(model.now.since(at)))
}

/// Several lines under one label.
fn list(tone: Tone, label: &str, lines: impl IntoIterator<Item = String>) -> Vec<Fact> {
    let label = |at: usize| if at == 0 { label } else { "" };
    lines.into_iter().enumerate().map(|(at, text)| Fact::toned(tone, label(at), text)).collect()
}
