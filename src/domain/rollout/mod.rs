//! A rolling update as the cluster's objects show it, whoever drives it: kops, a cloud's node groups, kubeadm by hand,
//! Cluster API, system-upgrade-controller, machine-config operator, kured, or pitstop.
//!
//! [`Rollout`] is a fold: [`Rollout::observe`] is given the tables as they are now and compares them with what it knew.
//! It asks nobody and keeps no clock. A second console on the same cluster sees the same.
//!
//! When a roll begins: a node is cordoned, or comes back with something new (boot id, kubelet version, kernel, OS image, uid),
//! or carries the mark of a tool that its turn is to come. It is called a roll ([`Rollout::is_roll`]) when there is more than one
//! node's maintenance to see: a second node had or has its turn, a tool that rolls has left its marks or objects, versions
//! are mixed while somebody is at work, or the target was named. What was cordoned or not Ready before is set apart.
//!
//! When it is over: no node is at work and none is to come. Where it is not known which nodes are to come (a reboot
//! of some nodes), it counts as over when nothing has happened for long; see [`Rollout::observe`].

mod account;
mod aim;
mod driver;
mod estimate;
mod fold;
mod identity;
mod load;
mod marks;
mod pace;
mod phase;
mod sight;
mod tally;
mod timeline;
mod track;
mod words;
pub mod world;

pub use account::{Account, NodeAccount, RoleCount, Status};
pub use aim::{Aim, Wish};
pub use estimate::{Estimate, Sample};
pub use identity::{Change, Identity};
pub use load::{Block, Load};
pub use marks::Marks;
pub use pace::{Pace, Stall};
pub use phase::{Phase, Role};
pub use tally::Tally;
pub use timeline::{Event, Happening, Timeline};
pub use track::Track;
pub use words::hour;

use super::actor::Actor;
use super::budget::BudgetRow;
use super::feed::Table;
use super::ids::{NodeName, PodKey};
use super::lock::LeaseRow;
use super::node::NodeRow;
use super::pod::PodRow;
use super::text::natural;
use super::time::Stamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The cluster as it is now.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot<'a> {
    /// The nodes.
    pub nodes: &'a Table<NodeRow>,
    /// The pods.
    pub pods: &'a Table<PodRow>,
    /// The pods on each node.
    pub pods_on: &'a BTreeMap<NodeName, BTreeSet<PodKey>>,
    /// The budgets.
    pub budgets: &'a Table<BudgetRow>,
    /// The maintenance lock.
    pub lock: Option<&'a LeaseRow>,
    /// Objects of other tools.
    pub actors: &'a [Actor],
    /// The pods and the budgets are known. While they are not, nothing is said of what has to move.
    pub has_pods: bool,
    /// The API answers now, and the nodes can be read. While that is not so, nothing is called stuck, failed or over.
    pub is_live: bool,
}

/// How a roll ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Every node had its turn.
    Complete,
    /// No node is to come, and some failed.
    Failed,
    /// Nothing has happened for long, and nodes are left (or may be: see [`Rollout::names_the_rest`]).
    Stopped,
}

/// Whether there is a roll.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// None.
    #[default]
    Idle,
    /// Under way.
    Rolling {
        /// Since when, as far as can be told.
        began: Stamp,
    },
    /// Over.
    Ended {
        /// When it began.
        began: Stamp,
        /// When it ended.
        at: Stamp,
        /// How.
        how: How,
    },
}

/// How long things may take before they count as late; from what was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits<'a> {
    /// A roll is under way.
    is_rolling: bool,
    /// A node that is away for longer has failed.
    gone: Duration,
    /// What is there may be judged by.
    is_live: bool,
    /// What of the time was seen.
    sight: &'a sight::Sight,
}

/// A rolling update, and the nodes of a cluster on their way through it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// What was named by hand.
    pub wish: Wish,
    /// Whether there is a roll.
    pub stage: Stage,
    /// What it makes of the nodes.
    pub aim: Aim,
    /// Who drives it, in words.
    pub driver: Option<String>,
    /// Pods when it began.
    pub before: Option<Tally>,
    /// Pods now.
    pub pods: Option<Tally>,
    /// What happened since it began.
    pub timeline: Timeline,
    tracks: BTreeMap<NodeName, Track>,
    samples: Vec<Sample>,
    /// From the end of one turn to the beginning of the next, while no node was at work; by the role of the earlier node.
    intervals: Vec<(Role, Duration)>,
    /// How many nodes of a role were at work when a turn began.
    together: Vec<(Role, usize)>,
    /// The last observation; the last one while the API answered.
    seen: Option<Stamp>,
    live: Option<Stamp>,
    is_live: bool,
    #[serde(default)]
    sight: sight::Sight,
    tallied: Option<Stamp>,
    /// The API has a live lease of a run of ours.
    is_led: bool,
    /// A tool's objects show that it rolls.
    has_actor: bool,
    /// Its driver has listed its nodes: others do not count.
    is_listed: bool,
    /// Versions were mixed when it began.
    was_mixed: bool,
    told: Option<pace::Topic>,
    /// It was to be looked at first, and the pods were not listed yet.
    #[serde(default)]
    awaits_pods: Option<Stamp>,
}

impl Rollout {
    /// Nothing seen yet.
    pub fn new(wish: Wish) -> Self {
        Self { wish, ..Self::default() }
    }

    /// The nodes of the roll in the order of roles and names: all, unless its driver has listed them, without those that came
    /// in addition.
    pub fn members(&self) -> Vec<&Track> {
        let mut all: Vec<&Track> = self.counted_nodes().collect();
        all.sort_by(|one, other| {
            one.role.cmp(&other.role).then_with(|| natural(one.name.as_str(), other.name.as_str()))
        });
        all
    }

    /// The same in no order that means anything.
    fn counted_nodes(&self) -> impl Iterator<Item = &Track> {
        let is_of = |track: &Track| track.was_listed || track.turns > 0 || track.phase.is_in_turn();
        self.tracks.values().filter(move |track| !track.is_extra && (!self.is_listed || is_of(track)))
    }

    /// Nodes that came in addition: no node has gone for them yet.
    pub fn extras(&self) -> impl Iterator<Item = &Track> {
        self.tracks.values().filter(|track| track.is_extra)
    }

    /// A node.
    pub fn track(&self, node: &NodeName) -> Option<&Track> {
        self.tracks.get(node)
    }

    /// Whether there is more to see than the maintenance of one node.
    pub fn is_roll(&self) -> bool {
        if self.stage == Stage::Idle {
            return false;
        }
        let members = || self.counted_nodes();
        let turns = members().filter(|track| track.turns > 0 || track.phase.is_in_turn()).count();
        let is_named = self.wish != Wish::default();
        let is_marked = members().any(|track| track.marks.to_come.is_some());
        turns > 1 || is_named || is_marked || self.has_actor || (self.was_mixed && turns > 0)
    }

    /// Whether a roll is under way.
    pub fn is_rolling(&self) -> bool {
        matches!(self.stage, Stage::Rolling { .. })
    }

    /// When it began.
    pub fn began(&self) -> Option<Stamp> {
        match self.stage {
            Stage::Idle => None,
            Stage::Rolling { began } | Stage::Ended { began, .. } => Some(began),
        }
    }

    /// Done, and of how many, by role; roles without nodes are left out.
    pub fn counts(&self) -> Vec<RoleCount> {
        let of = |role: Role| {
            let all = || self.counted_nodes().filter(|track| track.role == role);
            let done = all().filter(|track| track.phase == Phase::Done).count();
            RoleCount { role, done, total: all().count() }
        };
        Role::ALL.into_iter().map(of).filter(|count| count.total > 0).collect()
    }

    /// Done, and of how many.
    pub fn progress(&self) -> (usize, usize) {
        self.counts().iter().fold((0, 0), |(done, total), count| (done + count.done, total + count.total))
    }

    /// The nodes in a phase.
    pub fn in_phase(&self, phase: Phase) -> Vec<&Track> {
        self.members().into_iter().filter(|track| track.phase == phase).collect()
    }

    /// The nodes that are at work, the longest first.
    pub fn at_work(&self) -> Vec<&Track> {
        let mut all: Vec<&Track> = self.counted_nodes().filter(|track| track.phase.is_at_work()).collect();
        all.sort_by_key(|track| track.entered);
        all
    }

    /// What was measured so far.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// When it was observed last.
    pub fn seen(&self) -> Option<Stamp> {
        self.seen
    }

    /// Whether it is of the same cluster as these nodes: at least one Node object is the same.
    pub fn is_of(&self, nodes: &Table<NodeRow>) -> bool {
        let is_same = |row: &NodeRow| {
            self.tracks
                .get(&row.name)
                .is_some_and(|track| track.now.uid == row.uid && track.created == row.created)
        };
        nodes.values().any(is_same)
    }
}

#[cfg(test)]
mod tests;
