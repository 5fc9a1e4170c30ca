//! Which pods a drain moves, leaves or refuses: kubectl's filter chain with all reasons kept, and a prediction.

use super::ids::{BudgetKey, PodKey};
use serde::{Deserialize, Serialize};

/// The class of a pod on a node to be drained; every pod is in exactly one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Will be evicted.
    Evict,
    /// Stays, and why that is right.
    Skip(Vec<String>),
    /// Stops the drain, and which option allows it.
    Refuse(Vec<String>),
    /// Is being deleted already: only waited for.
    Terminating,
    /// Has ended (Succeeded, Failed): is removed without asking a budget.
    Finished,
}

/// What is expected of one pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expectation {
    /// A budget has room (or none covers it).
    Moves,
    /// Has to wait until a budget has room again.
    Waits(BudgetKey, String),
    /// Will not be allowed however long one waits, and why.
    Blocked(Option<BudgetKey>, String),
    /// Stays by its class.
    Stays,
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
    /// What is lost or odd: local data, no owner, single replica.
    pub warnings: Vec<String>,
}
