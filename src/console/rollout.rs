//! The rolling update as the console keeps it: what is known of it, what was announced, what was kept for a later process.

use super::model::Model;
use super::rows;
use crate::domain::actor::Actor;
use crate::domain::feed::{Kept, Liveness, Source};
use crate::domain::ids::BudgetKey;
use crate::domain::report::Report;
use crate::domain::rollout::{Pace, Rollout, Snapshot, Stage};
use crate::domain::time::Stamp;
use serde::{Deserialize, Serialize};

/// What the console knows of a rolling update.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    /// The roll.
    pub rollout: Rollout,
    /// What an earlier process kept, until the nodes show whether it is of this cluster.
    pub earlier: Option<Box<Rollout>>,
    /// What other tools work on by their own objects.
    pub actors: Vec<Actor>,
    /// Why that cannot be told in full.
    pub trouble: Option<Report>,
    /// It was found (or ended, or got stuck), and nobody has looked at it or dismissed it since.
    pub is_called: bool,
    /// What was announced last.
    pub announced: Announced,
    /// The number of the last line of the timeline that was written to the log.
    pub logged: u64,
    /// The number of the last line that was kept for a later process, and when.
    pub kept: (u64, Stamp),
}

/// What of a roll was announced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Announced {
    /// Nothing.
    #[default]
    Nothing,
    /// That there is one.
    Found,
    /// That it is stuck.
    Stuck,
    /// That it is over.
    Ended,
}

impl Watch {
    /// What there is to announce now.
    pub fn due(&self, now: Stamp) -> Announced {
        if !self.rollout.is_roll() {
            return Announced::Nothing;
        }
        match (self.rollout.stage, self.rollout.pace(now)) {
            (Stage::Idle, _) => Announced::Nothing,
            (Stage::Ended { .. }, _) => Announced::Ended,
            (_, Pace::Stuck(_)) => Announced::Stuck,
            _ => Announced::Found,
        }
    }

    /// The announcement in one line, until somebody has looked.
    pub fn announced(&self, now: Stamp) -> Option<String> {
        if !self.is_called {
            return None;
        }
        let by = self.rollout.driver.as_ref().map(|driver| format!(" by {driver}")).unwrap_or_default();
        let (done, total) = self.rollout.progress();
        match self.rollout.stage {
            Stage::Idle => None,
            Stage::Ended { .. } => Some(format!("the roll{by} is over: {}", self.rollout.ending())),
            Stage::Rolling { .. } => Some(match self.rollout.pace(now) {
                Pace::Stuck(stall) => format!("the roll{by} is {}", stall.words(now)),
                _ => format!("a roll is under way{by}, {}: {done}/{total}", self.rollout.aim.words()),
            }),
        }
    }
}

/// The tables as a roll is read off them.
pub fn snapshot(model: &Model) -> Snapshot<'_> {
    let known = &model.known;
    let answers = !matches!(known.sources.get(&Source::Api), Some(Liveness::Failing { .. }));
    let is_readable = |kept: Kept| !known.trouble.contains_key(&kept);
    Snapshot {
        nodes: &known.nodes,
        pods: &known.pods,
        pods_on: &known.pods_on,
        budgets: &known.budgets,
        lock: known.lock.as_ref(),
        actors: &model.watch.actors,
        has_pods: known.has_pods
            && known.has_budgets
            && is_readable(Kept::Pods)
            && is_readable(Kept::Budgets),
        is_live: answers && is_readable(Kept::Nodes),
    }
}

/// The budget that blocks the selected node of the roll, else the one that blocks the roll.
pub fn blocking(model: &Model) -> Option<BudgetKey> {
    let rollout = &model.watch.rollout;
    let selected = model.lists.rollout.current(&rows::track_keys(model)).cloned();
    let of_selected = selected
        .and_then(|node| rollout.track(&node))
        .and_then(|track| track.load.block.as_ref())
        .map(|block| block.budget.clone());
    let of_roll = || rollout.stalls(model.now).into_iter().find_map(|stall| stall.budget);
    let of_any = || {
        let busy = rollout.at_work();
        busy.into_iter().find_map(|track| Some(track.load.block.as_ref()?.budget.clone()))
    };
    of_selected.or_else(of_roll).or_else(of_any)
}
