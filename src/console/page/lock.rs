//! All that is known of the maintenance lock: who holds it, what the run does, since when, and what can be done about it.

use super::{ago, list};
use crate::console::dialog::{Fact, Tone};
use crate::console::model::Model;
use crate::domain::feed::Kept;
use crate::domain::lock::{LeaseRow, LockChoice};
use crate::domain::time::brief;

/// The page.
pub(super) fn facts(model: &Model) -> Vec<Fact> {
    let mut facts: Vec<Fact> = match &model.known.lock {
        Some(lock) => held(model, lock),
        None => vec![free(model)],
    };
    facts.extend(notes(model));
    facts
}

/// Nobody holds it, or it is not known whether somebody does.
fn free(model: &Model) -> Fact {
    match model.known.trouble.get(&Kept::Lock) {
        Some(report) => Fact::toned(Tone::Bad, "lock", format!("not known: {}", report.line())),
        None if !model.known.has_nodes => Fact::toned(Tone::Attention, "lock", "not known yet"),
        None => Fact::toned(Tone::Good, "lock", "nobody holds it"),
    }
}

fn held(model: &Model, lock: &LeaseRow) -> Vec<Fact> {
    let is_ours = lock.run.as_ref().is_some_and(|id| model.runs.iter().any(|run| run.id == *id));
    let mut facts = vec![Fact::plain("holder", &*lock.holder)];
    facts.extend(lock.run.iter().map(|run| Fact::plain("run", run.as_str())));
    facts.extend(lock.node.iter().map(|node| Fact::plain("node", node.as_str())));
    facts.extend(lock.step.iter().map(|step| Fact::plain("step", &**step)));
    facts.extend(lock.since.map(|since| Fact::plain("since", ago(model, since))));
    let renewed = lock.renewed.map_or("never".to_owned(), |at| ago(model, at));
    let lasts = format!("{renewed}; a renewal counts {}", brief(lock.lasts));
    let is_alive = !lock.is_expired(model.now) && lock.tombstone.is_none();
    facts.push(Fact::toned(if is_alive { Tone::Good } else { Tone::Attention }, "renewed", lasts));
    facts.extend(lock.tombstone.iter().map(|why| Fact::toned(Tone::Bad, "left behind", &**why)));
    let ways: &[&str] = if is_ours {
        &["it is of a run of this console: 5 shows it"]
    } else if is_alive {
        &["it is kept alive: wait for that run to end, or ask its holder", "nothing here takes it away"]
    } else {
        &[
            "A adopts it: the next drain or reboot from this console takes it over, after watching that nobody renews it",
            "C clears it, after a question; what that run left changed stays as it is",
        ]
    };
    facts.extend(list(Tone::Attention, "ways on", ways.iter().map(|way| (*way).to_owned())));
    if model.lock_choice == LockChoice::Adopt {
        facts.push(Fact::toned(
            Tone::Good,
            "chosen",
            "the next drain or reboot adopts it; A takes that back",
        ));
    }
    facts
}

/// What runs have noted on nodes: the other half of what another console shows of itself.
fn notes(model: &Model) -> Vec<Fact> {
    let noted = model.known.nodes.values().filter_map(|row| {
        let note = row.cordon.as_ref().filter(|note| note.run.is_some())?;
        let run = note.run.as_ref().map(|run| format!(", run {run}")).unwrap_or_default();
        let since = note.since.map(|since| format!(", {}", ago(model, since))).unwrap_or_default();
        let why = note.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        Some(format!("{} cordoned by {}{run}{since}{why}", row.name, note.holder))
    });
    list(Tone::Plain, "nodes", noted)
}
