//! All that is known of a node's turn in a rolling update, and then of the node.

use super::{ago, list, node};
use crate::console::dialog::{Fact, Tone};
use crate::console::model::Model;
use crate::domain::ids::NodeName;
use crate::domain::rollout::{Phase, Track};
use crate::domain::time::brief;

pub(super) fn facts(model: &Model, name: &NodeName) -> Option<Vec<Fact>> {
    let rollout = &model.watch.rollout;
    let track = rollout.track(name)?;
    let now = model.now;
    let tone = match track.phase {
        Phase::Failed => Tone::Bad,
        Phase::Done => Tone::Good,
        phase if phase.is_at_work() => Tone::Attention,
        _ => Tone::Plain,
    };
    let mut facts = vec![Fact::toned(tone, "phase", state(track, model))];
    let waits = rollout.waits_for(track, now);
    if !waits.is_empty() {
        facts.push(Fact::plain(if track.phase == Phase::Done { "changed" } else { "waits" }, waits));
    }
    facts.extend(block(track, model));
    if let Some(entered) = track.entered.filter(|_| track.phase.is_in_turn()) {
        facts.push(Fact::plain("turn began", ago(model, entered)));
    }
    facts.extend(track.took.map(|took| Fact::plain("turn took", brief(took))));
    let usual = |phase: Phase| {
        let usual = rollout.usual(phase);
        usual
            .map(|(median, slow)| format!(", usually {}, slow {}", brief(median), brief(slow)))
            .unwrap_or_default()
    };
    let spent = track.spent.iter();
    facts.extend(list(
        Tone::Plain,
        "took",
        spent.map(|(phase, span)| format!("{phase} {}{}", brief(*span), usual(*phase))),
    ));
    facts.extend(track.replaces.iter().map(|old| Fact::plain("replaces", old.as_str())));
    if track.flaps > 0 {
        let words = format!("{} times not Ready outside of its turn", track.flaps);
        facts.push(Fact::toned(Tone::Attention, "flaps", words));
    }
    let lines = rollout.timeline.iter().filter(|line| line.node.as_ref() == Some(name));
    facts.extend(list(
        Tone::Dim,
        "so far",
        lines.map(|line| format!("{}: {}", ago(model, line.at), line.text)),
    ));
    facts.push(Fact::plain("", ""));
    match model.known.nodes.get(name) {
        Some(row) => facts.extend(node::facts(model, row)),
        None => facts.push(Fact::toned(Tone::Attention, "node", "its Node object is removed")),
    }
    Some(facts)
}

fn state(track: &Track, model: &Model) -> String {
    let span = brief(track.in_phase(model.now));
    match track.phase {
        Phase::Draining => format!("draining {}/{} for {span}", track.load.gone(), track.load.total),
        Phase::Waiting => "waiting: its turn is to come".to_owned(),
        phase => format!("{phase} for {span}"),
    }
}

/// What holds its pods, and the key to the ways out.
fn block(track: &Track, model: &Model) -> Vec<Fact> {
    let Some(block) = &track.load.block else { return Vec::new() };
    let since = ago(model, block.since);
    let mut facts = vec![Fact::toned(Tone::Bad, "block", format!("{}, since {since}", block.words()))];
    facts.extend(
        block.never.iter().map(|why| Fact::toned(Tone::Bad, "", format!("waiting does not help: {why}"))),
    );
    facts.extend(list(Tone::Attention, "holds", block.pods.iter().map(ToString::to_string)));
    facts.push(Fact::plain("ways out", "B in the rollout pane"));
    facts
}
