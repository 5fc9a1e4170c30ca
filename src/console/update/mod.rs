//! `update`: one message in, the model changed, effects out. Synchronous and deterministic: the same messages give the
//! same model and the same effects.

mod actions;
mod dialogs;
mod entries;
mod feeds;
mod hosts;
mod keys;
mod lists;
mod notices;
mod palette;
mod resolve;
mod rollouts;
mod runs;
mod story;

use super::model::{Flash, Model};
use super::msg::{Effect, Msg};
use crate::domain::ids::Generation;
use crate::domain::log::Level;
use crate::domain::time::Stamp;
use std::time::Duration;

/// How long a flash stays.
const FLASH_STAYS: Duration = Duration::from_secs(8);

/// Takes one message.
pub fn update(model: &mut Model, msg: Msg) -> Vec<Effect> {
    match msg {
        Msg::Key(key, at) => {
            advance(model, at);
            notices::attended(model);
            keys::press(model, key)
        }
        Msg::Paste(text) => keys::paste(model, &text),
        Msg::Resize(columns, lines) => {
            model.size = (columns, lines);
            Vec::new()
        }
        Msg::Tick(at) => tick(model, at),
        Msg::Joined(generation, context) => feeds::joined(model, generation, context),
        Msg::Seen(generation, seen) => when_current(model, generation, |model| {
            let is_news = rollouts::is_news(model, &seen);
            let mut effects = feeds::seen(model, seen);
            if is_news {
                effects.extend(rollouts::look(model));
            }
            effects
        }),
        Msg::Actors(generation, actors, report) => {
            when_current(model, generation, |model| rollouts::actors(model, actors, report))
        }
        Msg::Recalled(context, earlier) => rollouts::recalled(model, &context, earlier),
        Msg::Etcd(generation, view) => when_current(model, generation, |model| feeds::etcd(model, view)),
        Msg::Source(generation, source, liveness) => {
            when_current(model, generation, |model| feeds::source(model, source, liveness))
        }
        Msg::Access(generation, answers) => {
            when_current(model, generation, |model| feeds::access(model, answers))
        }
        msg @ (Msg::Host(..) | Msg::HostAway(..) | Msg::Need(..) | Msg::Questions(..) | Msg::Power(..)) => {
            of_hosts(model, msg)
        }
        Msg::Masked(dots) => hosts::masked(model, dots),
        Msg::Unlocked(path, outcome) => hosts::unlocked(model, &path, outcome),
        Msg::Trusted(name, outcome) => hosts::trusted(model, &name, outcome),
        Msg::Run(event) => runs::event(model, &event),
        Msg::RunLost(op, report) => runs::lost(model, op, &report),
        Msg::Orphans(orphans) => feeds::orphans(model, orphans),
        Msg::Stands(run, left) => feeds::stands(model, &run, left),
        Msg::Diagnosed(generation, budget, found) => {
            when_current(model, generation, |model| resolve::diagnosed(model, budget, *found))
        }
        Msg::Log(line) => {
            model.log.push(line);
            Vec::new()
        }
        Msg::LogDropped(count) => {
            model.log.dropped = model.log.dropped.saturating_add(count);
            Vec::new()
        }
        Msg::Recorded(written) => feeds::recorded(model, written),
        Msg::EndAsked(false) => dialogs::quit(model),
        Msg::EndAsked(true) => dialogs::quit_now(model),
    }
}

/// Time has passed.
fn tick(model: &mut Model, at: Stamp) -> Vec<Effect> {
    advance(model, at);
    let mut effects = notices::due(model);
    effects.extend(resolve::refresh(model));
    effects.extend(rollouts::look(model));
    effects.extend(rollouts::keep(model));
    effects
}

/// What hosts tell and ask.
fn of_hosts(model: &mut Model, msg: Msg) -> Vec<Effect> {
    match msg {
        Msg::Host(generation, node, facts) => {
            when_current(model, generation, |model| hosts::told(model, node, facts))
        }
        Msg::HostAway(generation, node, report) => {
            when_current(model, generation, |model| hosts::away(model, node, report))
        }
        Msg::Need(generation, node, need) => {
            when_current(model, generation, |model| hosts::need(model, node, need))
        }
        Msg::Questions(generation, questions) => {
            when_current(model, generation, |model| hosts::questions(model, questions))
        }
        Msg::Power(generation, node, reading) => {
            when_current(model, generation, |model| hosts::power(model, node, reading))
        }
        _ => Vec::new(),
    }
}

/// A message of an older connection changes nothing.
fn when_current(
    model: &mut Model,
    generation: Generation,
    apply: impl FnOnce(&mut Model) -> Vec<Effect>,
) -> Vec<Effect> {
    if generation == model.known.generation { apply(model) } else { Vec::new() }
}

/// Time goes on, never back.
fn advance(model: &mut Model, at: Stamp) {
    model.now = model.now.max(at);
    if model.flash.as_ref().is_some_and(|flash| model.now.since(flash.at) > FLASH_STAYS) {
        model.flash = None;
    }
}

/// Says something in the footer.
fn flash(model: &mut Model, level: Level, text: impl Into<String>) {
    model.flash = Some(Flash { level, text: text.into(), at: model.now });
}

#[cfg(test)]
mod earlier_tests;
#[cfg(test)]
mod entries_tests;
#[cfg(test)]
mod hosts_tests;
#[cfg(test)]
mod look_tests;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
