//! Power of a machine, as its management controller tells.

use super::report::Report;
use super::time::Stamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Whether a machine has power.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PowerState {
    /// On.
    On,
    /// Off.
    Off,
    /// Something else, in the controller's words (`PoweringOn`).
    Other(String),
}

impl fmt::Display for PowerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Other(words) => words,
        })
    }
}

/// An answer about a machine's power, and when it was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PowerReading {
    /// When it was read.
    pub at: Stamp,
    /// The state, or why it is not known.
    pub state: Result<PowerState, Report>,
}
