//! All that happened in a rolling update since it began, the newest line first.

use crate::console::dialog::{Fact, Tone};
use crate::console::model::Model;
use crate::domain::rollout::Event;

pub(super) fn facts(model: &Model) -> Vec<Fact> {
    let timeline = &model.watch.rollout.timeline;
    let lines = timeline.iter().rev().map(|line| {
        let tone = match line.event {
            Event::Failed => Tone::Bad,
            Event::Blocked | Event::Stuck | Event::Unwatched | Event::Flapped | Event::GivenUp => {
                Tone::Attention
            }
            Event::Done | Event::Ended => Tone::Good,
            _ => Tone::Plain,
        };
        Fact::toned(tone, &line.at.time_of_day(), line.text.clone())
    });
    let mut facts: Vec<Fact> = lines.collect();
    if facts.is_empty() {
        facts.push(Fact::plain("", "nothing has happened yet"));
    }
    if timeline.dropped() > 0 {
        facts.push(Fact::toned(Tone::Dim, "", format!("{} older lines are not kept", timeline.dropped())));
    }
    facts
}
