//! What a drain would meet: which pods move, wait or are blocked, what becomes of their replacements, and the verdict.
//!
//! The whole drain is played through in a model (`play`): evictions spend a budget's room, a replacement that finds a
//! place and becomes Ready gives it back. What cannot be known (where the scheduler places, whether a pod recovers) is
//! played both ways; where the ways end differently, the answer is that it cannot be told.

mod budgets;
mod health;
mod play;
mod verdict;
mod warnings;

use super::budget::BudgetRow;
use super::config::DrainOptions;
use super::drain::Class;
use super::ids::{BudgetKey, NodeName, PodKey};
use super::node::NodeRow;
use super::placement::VolumeRow;
use super::pod::PodRow;
use super::time::Stamp;
use super::wave::Admission;
pub use health::{Health, health};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
pub use verdict::{Block, Verdict};

/// What a forecast rests on.
#[derive(Debug, Clone)]
pub struct Scene<'a> {
    /// All nodes.
    pub nodes: Vec<&'a NodeRow>,
    /// All pods of the cluster.
    pub pods: Vec<&'a PodRow>,
    /// All budgets.
    pub budgets: Vec<&'a BudgetRow>,
    /// The volumes that are tied to nodes; `None` = not known.
    pub volumes: Option<Vec<&'a VolumeRow>>,
    /// DaemonSets that pods name and that do not exist, by namespace and name.
    pub lost_daemonsets: BTreeSet<(String, String)>,
    /// Which pods serve admission webhooks, as far as that is known.
    pub admission: Admission,
    /// The present.
    pub now: Stamp,
}

/// What is expected of one pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Expectation {
    /// A budget has room (or none is asked).
    Moves,
    /// Has to wait until a budget has room again, which it will.
    Waits {
        /// The budget.
        budget: BudgetKey,
        /// What is waited for.
        why: String,
    },
    /// Will not go while everything stays as it is.
    Blocked {
        /// The budget that does not allow it; `None` = something else.
        budget: Option<BudgetKey>,
        /// Why.
        why: String,
        /// What would have to happen for waiting to help; `None` = waiting never helps.
        helps: Option<String>,
    },
    /// It cannot be told whether it goes.
    Unclear {
        /// The budget in question, when it is one.
        budget: Option<BudgetKey>,
        /// On what it depends.
        why: String,
    },
    /// Stays by its class.
    Stays,
}

/// What becomes of a pod that was moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Replacement {
    /// It does not leave, or it is gone already.
    None,
    /// Some node takes a new one.
    Elsewhere,
    /// No node takes one, and why.
    Nowhere {
        /// What keeps it off the nodes.
        why: String,
        /// The node that it is tied to: there it starts again when the node is back.
        tied_to: Option<NodeName>,
    },
    /// It cannot be told whether a node takes one.
    Unclear {
        /// On what it depends.
        why: String,
    },
    /// Nothing creates it again.
    Lost,
    /// Its controller puts it back on the same node.
    Returns {
        /// Why.
        why: String,
    },
}

/// One pod of the prediction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forecast {
    /// The pod.
    pub pod: PodKey,
    /// Its class.
    pub class: Class,
    /// What is expected.
    pub expectation: Expectation,
    /// What becomes of it.
    pub replacement: Replacement,
    /// What is lost or odd: local data, no owner, single replica.
    pub warnings: Vec<String>,
}

/// One node of the prediction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeForecast {
    /// The node.
    pub node: NodeName,
    /// Whether its drain will finish.
    pub verdict: Verdict,
    /// Its pods, in the order in which they are asked to go.
    pub pods: Vec<Forecast>,
}

impl NodeForecast {
    /// Pods whose replacement no node takes.
    pub fn homeless(&self) -> impl Iterator<Item = &Forecast> {
        self.pods.iter().filter(|pod| matches!(pod.replacement, Replacement::Nowhere { .. }))
    }
}

/// Predicts the drain of nodes, one after the other, all of them cordoned first.
pub fn foresee(scene: &Scene<'_>, nodes: &[NodeName], options: &DrainOptions) -> Vec<NodeForecast> {
    foresee_in_waves(scene, &[nodes.to_vec()], options)
}

/// The same for nodes that are drained in waves: those of a wave are cordoned together, and are back before the next wave, which
/// begins with the pods where the earlier ones have put them and with what is left of the budgets.
pub fn foresee_in_waves(
    scene: &Scene<'_>,
    waves: &[Vec<NodeName>],
    options: &DrainOptions,
) -> Vec<NodeForecast> {
    let nodes = waves.concat();
    let plays: Vec<Vec<play::Played>> =
        play::Luck::ALL.iter().map(|luck| play::play(scene, waves, options, *luck)).collect();
    let siblings = warnings::siblings(&scene.pods);
    let ends = verdict::later_ends(&plays);
    nodes
        .iter()
        .enumerate()
        .map(|(at, node)| {
            let ways: Vec<&play::Played> = plays.iter().filter_map(|play| play.get(at)).collect();
            let pods: Vec<Forecast> = verdict::merge(scene, &ways, &ends)
                .into_iter()
                .map(|merged| {
                    let warnings = warnings::of(scene, options, &merged, &siblings);
                    Forecast {
                        pod: merged.row.key.clone(),
                        class: merged.class,
                        expectation: merged.expectation,
                        replacement: merged.replacement,
                        warnings,
                    }
                })
                .collect();
            let verdict = verdict::of_node(&scene.nodes, node, &pods, &ways);
            NodeForecast { node: node.clone(), verdict, pods }
        })
        .collect()
}

/// Whether `kubectl drain`'s question about a DaemonSet pod would be answered with "it exists".
pub(super) fn has_daemonset(scene: &Scene<'_>, pod: &PodRow) -> bool {
    let key = pod.owner.as_ref().map(|owner| (pod.key.namespace.clone(), owner.name.clone()));
    !pod.is_daemon() || key.is_none_or(|key| !scene.lost_daemonsets.contains(&key))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
