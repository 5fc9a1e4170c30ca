//! A roll as plain data for programs: how it stands, and the account at its end. The field names are stable.

use super::phase::{Phase, Role};
use super::{Aim, Block, Estimate, How, Pace, Rollout, Stage, Tally};
use crate::domain::ids::NodeName;
use crate::domain::time::{Stamp, seconds};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// Done, and of how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RoleCount {
    /// Of which role.
    pub role: Role,
    /// Had their turn.
    pub done: usize,
    /// All.
    pub total: usize,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeAccount {
    /// Its name.
    pub node: NodeName,
    /// Its role.
    pub role: Role,
    /// Where it is.
    pub phase: Phase,
    /// Since when.
    pub since: Stamp,
    /// Pods that have left, of how many; only while they move, and when they are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods: Option<(u64, u64)>,
    /// What it waits for, or what its turn changed.
    pub waits_for: String,
    /// What holds its pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block: Option<Block>,
    /// The node whose place it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaces: Option<NodeName>,
    /// What its last turn took, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took: Option<Secs>,
    /// What its phases took, in seconds.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub phases: BTreeMap<Phase, Secs>,
    /// For how long a budget blocked it, in seconds.
    #[serde(with = "seconds")]
    pub blocked: Duration,
}

/// A duration that is written as a number of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Secs(#[serde(with = "seconds")] pub Duration);

/// How a roll stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// Whether there is one.
    pub is_roll: bool,
    /// What it makes of the nodes.
    pub aim: Aim,
    /// Who drives it.
    pub driver: Option<String>,
    /// Done, and of how many, by role.
    pub counts: Vec<RoleCount>,
    /// Had their turn.
    pub done: usize,
    /// All.
    pub total: usize,
    /// The nodes at work.
    pub now: Vec<NodeAccount>,
    /// The nodes to come, by role and name.
    pub next: Vec<NodeName>,
    /// The nodes that failed.
    pub failed: Vec<NodeAccount>,
    /// Whether it moves, is quiet or is stuck.
    pub pace: Pace,
    /// When it ends; `null` = not foretold (then `no_estimate` says why).
    pub estimate: Option<Estimate>,
    /// Why it is not foretold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_estimate: Option<String>,
    /// Pods when it began.
    pub pods_before: Option<Tally>,
    /// Pods now.
    pub pods: Option<Tally>,
}

/// The account of a roll at its end.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Account {
    /// How it ended.
    pub how: How,
    /// In words.
    pub text: String,
    /// When it began.
    pub began: Stamp,
    /// When it ended.
    pub ended: Stamp,
    /// What it took, in seconds.
    #[serde(with = "seconds")]
    pub took: Duration,
    /// What it made of the nodes.
    pub aim: Aim,
    /// Who drove it.
    pub driver: Option<String>,
    /// Done, and of how many, by role.
    pub counts: Vec<RoleCount>,
    /// The median turn, and the slow tenth, in seconds, without the time in which a budget blocked.
    pub turn: Option<(Secs, Secs)>,
    /// The median interval between turns, and the slow tenth, in seconds.
    pub interval: Option<(Secs, Secs)>,
    /// Every node.
    pub nodes: Vec<NodeAccount>,
    /// Pods when it began.
    pub pods_before: Option<Tally>,
    /// Pods at its end.
    pub pods: Option<Tally>,
}

impl Rollout {
    /// One node as data.
    fn node_account(&self, track: &super::Track, now: Stamp) -> NodeAccount {
        let moves = matches!(track.phase, Phase::Cordoned | Phase::Draining);
        let mut phases: BTreeMap<Phase, Secs> =
            track.spent.iter().map(|(phase, span)| (*phase, Secs(*span))).collect();
        if track.phase.is_in_turn() {
            let open = track.in_phase(now);
            phases.entry(track.phase).or_insert(Secs(Duration::ZERO)).0 += open;
        }
        NodeAccount {
            node: track.name.clone(),
            role: track.role,
            phase: track.phase,
            since: track.since,
            pods: (moves && track.load.is_known).then(|| (track.load.gone(), track.load.total)),
            waits_for: self.waits_for(track, now),
            block: track.load.block.clone().filter(|_| moves),
            replaces: track.replaces.clone(),
            took: track.turn_span(now).map(Secs),
            phases,
            blocked: track.blocked_span(now),
        }
    }

    /// How it stands.
    pub fn status(&self, now: Stamp) -> Status {
        let (done, total) = self.progress();
        let accounts = |tracks: Vec<&super::Track>| {
            tracks.into_iter().map(|track| self.node_account(track, now)).collect::<Vec<_>>()
        };
        let estimate = self.estimate(now);
        let no_estimate = estimate.as_ref().err().cloned();
        Status {
            is_roll: self.is_roll(),
            aim: self.aim.clone(),
            driver: self.driver.clone(),
            counts: self.counts(),
            done,
            total,
            now: accounts(self.at_work()),
            next: self.in_phase(Phase::Waiting).into_iter().map(|track| track.name.clone()).collect(),
            failed: accounts(self.in_phase(Phase::Failed)),
            pace: self.pace(now),
            estimate: estimate.ok(),
            no_estimate,
            pods_before: self.before.clone(),
            pods: self.pods.clone(),
        }
    }

    /// The account of a roll that is over.
    pub fn account(&self) -> Option<Account> {
        let Stage::Ended { began, at, how } = self.stage else { return None };
        let secs = |(median, slow): (Duration, Duration)| (Secs(median), Secs(slow));
        Some(Account {
            how,
            text: self.ending(),
            began,
            ended: at,
            took: at.since(began),
            aim: self.aim.clone(),
            driver: self.driver.clone(),
            counts: self.counts(),
            turn: self.usual_turn().map(secs),
            interval: self.interval(None).map(secs),
            nodes: self.members().into_iter().map(|track| self.node_account(track, at)).collect(),
            pods_before: self.before.clone(),
            pods: self.pods.clone(),
        })
    }
}
