//! The rolling update: looked at whenever something that it is read off has changed; announced, logged and kept.

use super::feeds::say;
use crate::console::model::{Model, Pane};
use crate::console::msg::Effect;
use crate::console::rollout::{Announced, snapshot};
use crate::domain::actor::Actor;
use crate::domain::feed::Observation;
use crate::domain::log::Level;
use crate::domain::notice::{Cause, Notice};
use crate::domain::report::Report;
use crate::domain::rollout::{Event, How, Rollout, Stage};
use crate::domain::secret::scrub;
use crate::domain::text::clean;
use std::time::Duration;

/// What is known of a roll is kept for a later process at most this often.
const KEEP: Duration = Duration::from_secs(2);

/// Whether a roll may look different after this. Pods matter at once only while some node's pods move; else the next tick is
/// soon enough.
pub(super) fn is_news(model: &Model, seen: &Observation) -> bool {
    match seen {
        Observation::Nodes(_) | Observation::Lock(_) => true,
        Observation::Pods(_) | Observation::Budgets(_) => !model.watch.rollout.at_work().is_empty(),
        _ => false,
    }
}

/// Looks at the roll as it is now.
pub(super) fn look(model: &mut Model) -> Vec<Effect> {
    if !model.known.has_nodes {
        return Vec::new();
    }
    let mut rollout = std::mem::take(&mut model.watch.rollout);
    if let Some(earlier) = model.watch.earlier.take()
        && earlier.is_of(&model.known.nodes)
    {
        model.watch.logged = earlier.timeline.end();
        model.watch.kept = (earlier.timeline.end(), model.now);
        rollout.adopt(*earlier);
    }
    let before = rollout.began();
    rollout.observe(model.now, &snapshot(model));
    if rollout.began() != before {
        (model.watch.logged, model.watch.kept) = (0, (0, model.watch.kept.1));
    }
    model.watch.rollout = rollout;
    log(model);
    announce(model)
}

/// What other tools work on.
pub(super) fn actors(model: &mut Model, actors: Vec<Actor>, report: Option<Report>) -> Vec<Effect> {
    model.watch.trouble = report;
    if actors == model.watch.actors {
        return Vec::new();
    }
    model.watch.actors = actors;
    look(model)
}

/// What an earlier process kept; it is held against the nodes before it is believed.
pub(super) fn recalled(model: &mut Model, context: &str, earlier: Box<Rollout>) -> Vec<Effect> {
    if context != model.setup.policy.context {
        return Vec::new();
    }
    let is_newer = model.watch.rollout.began().is_none_or(|began| earlier.began() < Some(began));
    if is_newer {
        model.watch.earlier = Some(earlier);
    }
    look(model)
}

/// What the log does not tell by itself already.
fn log(model: &mut Model) {
    if !model.watch.rollout.is_roll() {
        return;
    }
    let end = model.watch.rollout.timeline.end();
    let lines: Vec<_> = model.watch.rollout.timeline.since(model.watch.logged).cloned().collect();
    model.watch.logged = end;
    for line in lines {
        let level = match line.event {
            Event::Blocked | Event::Stuck | Event::Failed | Event::Unwatched => Level::Warn,
            Event::Began
            | Event::Target
            | Event::Driver
            | Event::Unblocked
            | Event::Moving
            | Event::Ended => Level::Info,
            _ => continue,
        };
        let text = match line.event {
            Event::Ended => format!("the roll is over: {}", line.text),
            _ => line.text,
        };
        say(model, level, line.node, text);
    }
}

/// Tells that there is a roll, that it is stuck, that it is over: once each.
fn announce(model: &mut Model) -> Vec<Effect> {
    let due = model.watch.due(model.now);
    let before = std::mem::replace(&mut model.watch.announced, due);
    if due == before {
        return Vec::new();
    }
    let is_back = before == Announced::Stuck && due == Announced::Found;
    // nothing is announced over a roll that was over before this process began
    let is_old = before == Announced::Nothing && due == Announced::Ended;
    model.watch.is_called = due != Announced::Nothing && !is_back && !is_old && model.focus != Pane::Rollout;
    let cause = match (due, model.watch.rollout.stage) {
        (Announced::Stuck, _) => Cause::NeedsYou,
        (Announced::Ended, Stage::Ended { how: How::Complete, .. }) if !is_old => Cause::Ended,
        (Announced::Ended, _) if !is_old => Cause::Failed,
        _ => return Vec::new(),
    };
    // a run of this console tells for itself
    if model.live_runs().next().is_some() || !model.setup.tells.contains(&cause) {
        return Vec::new();
    }
    let called = std::mem::replace(&mut model.watch.is_called, true);
    let words = model.watch.announced(model.now).unwrap_or_default();
    model.watch.is_called = called;
    let text = scrub(&clean(&format!("{}: {words}", model.setup.policy.context)));
    vec![Effect::Tell(Notice { cause, text })]
}

/// Keeps it for a later process when the timeline has grown.
pub(super) fn keep(model: &mut Model) -> Vec<Effect> {
    let end = model.watch.rollout.timeline.end();
    let (kept, at) = model.watch.kept;
    let is_due = end != kept && model.now.since(at) >= KEEP && model.watch.rollout.began().is_some();
    if !is_due {
        return Vec::new();
    }
    model.watch.kept = (end, model.now);
    vec![Effect::KeepRollout]
}
