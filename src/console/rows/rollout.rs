//! The nodes of a rolling update, filtered and sorted.

use super::directed;
use crate::console::filter::Filter;
use crate::console::list::Column;
use crate::console::model::Model;
use crate::domain::rollout::{Phase, Track};
use crate::domain::text::natural;
use std::cmp::{Ordering, Reverse};

/// The visible nodes in their order: what failed, what is at work, what is to come, what is done (the latest first); and then
/// nodes that came in addition.
pub fn visible_tracks(model: &Model) -> Vec<&Track> {
    let list = &model.lists.rollout;
    let filter = Filter::parse(&list.filter, &[]);
    let rollout = &model.watch.rollout;
    let all = rollout.members().into_iter().chain(rollout.extras());
    let mut rows: Vec<&Track> = all.filter(|track| filter.passes(|| words(track), |_| Vec::new())).collect();
    rows.sort_by(|a, b| directed(list.descending, order(list.sort, a, b)));
    rows
}

pub(super) fn words(track: &Track) -> String {
    let role = track.role.word();
    format!("{} {} {role} {} {}", track.name, track.phase, track.now.version, track.now.kernel)
}

fn order(column: Column, a: &Track, b: &Track) -> Ordering {
    let by_name = || natural(a.name.as_str(), b.name.as_str());
    match column {
        Column::Name => by_name(),
        Column::Roles => a.role.cmp(&b.role).then_with(by_name),
        _ => urgency(a)
            .cmp(&urgency(b))
            .then_with(|| if a.phase.is_at_work() { a.entered.cmp(&b.entered) } else { Ordering::Equal })
            .then_with(|| if a.phase == Phase::Done { done(a).cmp(&done(b)) } else { Ordering::Equal })
            .then_with(|| a.role.cmp(&b.role))
            .then_with(by_name),
    }
}

/// The latest first; those whose time is not known last.
fn done(track: &Track) -> Reverse<Option<crate::domain::time::Stamp>> {
    Reverse(track.done_at.filter(|_| track.turns > 0))
}

fn urgency(track: &Track) -> u8 {
    match track.phase {
        _ if track.is_extra => 4,
        Phase::Failed => 0,
        phase if phase.is_at_work() => 1,
        Phase::Waiting => 2,
        _ => 3,
    }
}
