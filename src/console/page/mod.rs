//! All that is known of one thing, as labelled lines; computed when it is drawn, so that it stays true.

mod budget;
mod etcd;
mod lock;
mod node;
mod step;

use super::dialog::resolve::offer_facts;
use super::dialog::{Fact, Subject, Tone};
use super::model::Model;
use super::msg::Orphan;
use crate::domain::ids::BudgetKey;
use crate::domain::log::{Level, LogLine, Origin};
use crate::domain::remedy::Remedy;
use crate::domain::time::{Stamp, brief};

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

/// What earlier runs left, and the commands that help on.
fn orphans(model: &Model) -> Vec<Fact> {
    let one = |orphan: &Orphan| {
        let mut facts = list(Tone::Attention, "left", orphan.left.iter().cloned());
        facts.push(Fact::plain("run", format!("{}: {}", orphan.run, orphan.words)));
        facts.push(Fact::plain("its story", format!("pitstop runs show {}", orphan.run)));
        facts.push(Fact::plain("", ""));
        facts
    };
    let mut facts: Vec<Fact> = model.known.orphans.iter().flat_map(one).collect();
    facts.push(Fact::toned(
        Tone::Dim,
        "note",
        "nothing of it was taken up again: look at the node, then put it back",
    ));
    facts
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
    format!("{} ago", brief(model.now.since(at)))
}

/// Several lines under one label.
fn list(tone: Tone, label: &str, lines: impl IntoIterator<Item = String>) -> Vec<Fact> {
    let label = |at: usize| if at == 0 { label } else { "" };
    lines.into_iter().enumerate().map(|(at, text)| Fact::toned(tone, label(at), text)).collect()
}
