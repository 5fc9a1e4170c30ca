//! Lines of the log pane: operations, events and errors as they happen.

use super::ids::{NodeName, OpId};
use super::time::Stamp;
use serde::{Deserialize, Serialize};

/// How loud a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Something went as it should.
    Info,
    /// Worth a look.
    Warn,
    /// Something failed.
    Error,
}

/// Where a line comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// An operation of ours.
    Operation,
    /// A Kubernetes Event.
    Event,
    /// A connection, a watch, the program itself.
    System,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it happened.
    pub at: Stamp,
    /// How loud.
    pub level: Level,
    /// From where.
    pub origin: Origin,
    /// The operation it belongs to.
    pub op: Option<OpId>,
    /// The node it speaks of.
    pub node: Option<NodeName>,
    /// The words, cleaned.
    pub text: String,
}
