//! The question before a roll: how many nodes, in which order, how many at a time.

use super::{Fact, Tone};
use crate::console::model::Model;
use crate::domain::guard::Request;
use crate::domain::ids::NodeName;
use crate::domain::roll::{Group, RollAction, RollOptions, Turn, sequence};
use crate::domain::text::count;
use crate::domain::time::brief;

/// So many names are listed.
const NAMES: usize = 4;

fn turns(model: &Model, request: &Request, options: &RollOptions) -> Vec<Turn> {
    let etcd = model.known.etcd.as_ref();
    let is_master = |node: &NodeName| {
        model.known.nodes.get(node).is_none_or(|row| row.is_control_plane() || row.is_labelled_etcd())
            || etcd.is_some_and(|etcd| etcd.is_host(node))
    };
    sequence(&request.nodes, &model.known.nodes, etcd, is_master, options.canary)
}

fn named(turns: &[&Turn]) -> String {
    let names: Vec<&str> = turns.iter().take(NAMES).map(|turn| turn.node.as_str()).collect();
    let more = turns.len().saturating_sub(NAMES);
    if more > 0 { format!("{} and {more} more", names.join(", ")) } else { names.join(", ") }
}

/// What is at stake.
pub(super) fn facts(model: &Model, request: &Request) -> Vec<Fact> {
    let options = request.roll.as_deref().cloned().unwrap_or_default();
    let turns = turns(model, request, &options);
    let of = |group: Group| turns.iter().filter(move |turn| turn.group == group).collect::<Vec<_>>();
    let (masters, canary, workers) = (of(Group::ControlPlane), of(Group::Canary), of(Group::Workers));
    let mut facts = vec![Fact::plain("count", count(turns.len(), "node"))];
    if !masters.is_empty() {
        let words =
            format!("{}: one at a time, then {}", named(&masters), brief(options.control_plane_interval));
        facts.push(Fact::plain("first", words));
    }
    if let Some(first) = canary.first() {
        let words = format!("{} alone; the others only after you have looked at it", first.node);
        facts.push(Fact::plain("canary", words));
    }
    if !workers.is_empty() {
        let words = format!(
            "{}: at most {} away at a time, then {}",
            named(&workers),
            options.max_unavailable,
            brief(options.node_interval)
        );
        facts.push(Fact::plain("workers", words));
    }
    let consequence = match options.action {
        RollAction::Reboot => {
            "each host goes down once and everything on it stops; nothing is touched before you confirm"
        }
        RollAction::DrainOnly => {
            "each node is emptied and stays cordoned; nothing is touched before you confirm"
        }
        RollAction::Command(_) => "a command is run for each node; nothing is touched before you confirm",
    };
    facts.push(Fact::plain("consequence", consequence));
    let undo = match options.action {
        RollAction::Reboot => {
            "a reboot cannot be undone: an abort puts back only what is not asked to reboot yet"
        }
        RollAction::DrainOnly => "an abort makes the nodes schedulable again; pods stay where they went",
        RollAction::Command(_) => "what a command did stays",
    };
    facts.push(Fact::toned(Tone::Attention, "undo", undo));
    facts
}

/// The same on the command line.
pub(super) fn command(request: &Request) -> String {
    let nodes: Vec<&str> = request.nodes.iter().map(NodeName::as_str).collect();
    format!("pitstop run roll {}", nodes.join(" "))
}
