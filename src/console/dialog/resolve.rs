//! The question before a remedy is carried out: what it needs, what it costs, what it puts back.

use super::{Fact, Tone};
use crate::console::model::Model;
use crate::domain::guard::Request;
use crate::domain::remedy::{Met, Offer, Remedy};

/// `Relax shop/web for one eviction?`
pub(super) fn title(request: &Request) -> String {
    match &request.resolve {
        Some(chosen) => format!("{}: {}?", chosen.budget, chosen.remedy),
        None => "Resolve?".to_owned(),
    }
}

/// The command line of the same.
pub(super) fn command(request: &Request) -> String {
    let Some(chosen) = &request.resolve else { return String::new() };
    let pod = chosen.targets.first().map(|target| format!(" --pod {}", target.pod)).unwrap_or_default();
    format!("pitstop run resolve {} --remedy {}{pod}", chosen.budget, chosen.remedy)
}

/// What it does, needs, costs and puts back.
pub(super) fn facts(model: &Model, request: &Request) -> Vec<Fact> {
    let Some(chosen) = &request.resolve else { return Vec::new() };
    let mut facts = vec![Fact::plain("remedy", chosen.remedy.title())];
    for (at, target) in chosen.targets.iter().enumerate() {
        let ready = if target.is_ready { "Ready" } else { "not Ready" };
        let words = format!("{} on {}, {ready}", target.pod, target.node);
        facts.push(Fact::plain(if at == 0 { "pod" } else { "" }, words));
    }
    if chosen.remedy == Remedy::DisableEviction {
        let loses = if request.drain.delete_emptydir_data { "is lost" } else { "stops it" };
        let bare = if request.drain.force { "are lost" } else { "stop it" };
        facts.push(Fact::plain(
            "options",
            format!("local data of pods {loses}, pods that nothing creates again {bare}"),
        ));
    }
    match model.analysis(&chosen.budget).and_then(|analysis| analysis.offer(chosen.remedy)) {
        Some(offer) => facts.extend(offer_facts(offer)),
        None => facts.push(Fact::toned(Tone::Attention, "needs", "not known: look at the block again")),
    }
    facts
}

/// An offer, line by line.
pub fn offer_facts(offer: &Offer) -> Vec<Fact> {
    let mut facts = vec![Fact::plain("effect", &*offer.effect)];
    facts.push(Fact::plain("puts back", &*offer.restores));
    for (at, condition) in offer.conditions.iter().enumerate() {
        let tone = match condition.met {
            Met::Yes => Tone::Good,
            Met::No => Tone::Bad,
            Met::Unknown => Tone::Attention,
        };
        let why = if condition.why.is_empty() { String::new() } else { format!(": {}", condition.why) };
        let label = if at == 0 { "needs" } else { "" };
        facts.push(Fact::toned(tone, label, format!("{} ({}){why}", condition.what, condition.met)));
    }
    for (at, trap) in offer.traps.iter().enumerate() {
        facts.push(Fact::toned(Tone::Attention, if at == 0 { "beware" } else { "" }, &**trap));
    }
    for (at, command) in offer.commands.iter().enumerate() {
        facts.push(Fact::toned(Tone::Dim, if at == 0 { "by hand" } else { "" }, &**command));
    }
    facts
}
