//! How nodes are serviced: who reboots them, what runs on them before, how their power is reached.

use crate::backend::power::Bmc;
use crate::domain::ids::NodeName;
use std::collections::BTreeMap;
use std::time::Duration;

/// Who reboots a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Executor {
    /// `systemctl reboot` over SSH.
    #[default]
    Ssh,
    /// A program on this machine, with `{node}` and `{address}` filled in.
    Command(Vec<String>),
    /// The engineer, by hand; proven like the others.
    Manual,
}

/// What runs on a host before its reboot, or on this machine instead of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// The command.
    pub argv: Vec<String>,
    /// Its deadline.
    pub limit: Duration,
}

/// Choices about servicing, as plain data. Holds no secret: passwords are read where they are needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Who reboots.
    pub executor: Executor,
    /// Deadline of a command executor.
    pub command_limit: Duration,
    /// What runs before; `None` = nothing.
    pub patch: Option<Patch>,
    /// Commands that a roll can run instead of a reboot, by name.
    pub commands: BTreeMap<String, Patch>,
    /// Management controllers by node.
    pub bmc: BTreeMap<NodeName, Bmc>,
    /// How a machine is replaced that does not come back, in the operator's words; shown, never run.
    pub replace: Option<String>,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            executor: Executor::default(),
            command_limit: Duration::from_mins(2),
            patch: None,
            commands: BTreeMap::new(),
            bmc: BTreeMap::new(),
            replace: None,
        }
    }
}

impl Executor {
    /// The command that a person could type instead.
    pub fn words(&self, node: &NodeName) -> String {
        match self {
            Self::Ssh => format!("ssh {node} sudo -n /usr/bin/systemctl reboot"),
            Self::Command(argv) => argv.join(" ").replace("{node}", node.as_str()),
            Self::Manual => format!("# reboot {node} by hand, at its console or at its provider"),
        }
    }
}
