//! Rolling: what is done to many nodes one after the other, in which order, and how many may be away at a time.
//!
//! The control plane comes first, one node at a time, etcd followers before the leader; then one worker alone (the canary);
//! then the other workers, spread over their zones. A node counts as away from the beginning of its turn until the pause
//! after it is over.

mod room;
mod view;

pub use room::{Room, Unavailable, room, unavailable};
pub use view::{RollView, TurnView};

use super::etcd::EtcdView;
use super::feed::Table;
use super::ids::NodeName;
use super::node::NodeRow;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The label that names a node's zone.
pub const ZONE: &str = "topology.kubernetes.io/zone";
/// The same in clusters older than Kubernetes 1.17.
const OLD_ZONE: &str = "failure-domain.beta.kubernetes.io/zone";

/// What is done to each node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum RollAction {
    /// The whole way of a reboot.
    #[default]
    Reboot,
    /// It is drained, and stays cordoned.
    DrainOnly,
    /// The whole way of a reboot, with a command of the configuration instead of the reboot.
    Command(String),
}

impl fmt::Display for RollAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reboot => f.write_str("reboot"),
            Self::DrainOnly => f.write_str("drain-only"),
            Self::Command(name) => write!(f, "command:{name}"),
        }
    }
}

impl FromStr for RollAction {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "reboot" => Ok(Self::Reboot),
            None if text == "drain-only" => Ok(Self::DrainOnly),
            Some(("command", name)) if !name.is_empty() => Ok(Self::Command(name.to_owned())),
            _ => Err("the actions are reboot, drain-only and command:NAME".to_owned()),
        }
    }
}

/// How many workers may be away at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Quota {
    /// So many.
    Nodes(usize),
    /// So many in a hundred of the roll's workers, rounded down, but one at least.
    Percent(usize),
}

impl Default for Quota {
    fn default() -> Self {
        Self::Nodes(1)
    }
}

impl Quota {
    /// Of so many workers.
    pub fn of(self, workers: usize) -> usize {
        match self {
            Self::Nodes(count) => count.max(1),
            Self::Percent(percent) => (workers * percent / 100).max(1),
        }
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nodes(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl FromStr for Quota {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is neither a number from 1 nor a percentage from 1% to 100%");
        let (digits, is_percent) = text.strip_suffix('%').map_or((text, false), |digits| (digits, true));
        match digits.parse::<usize>().map_err(|_| wrong())? {
            0 => Err(wrong()),
            101.. if is_percent => Err(wrong()),
            percent if is_percent => Ok(Self::Percent(percent)),
            count => Ok(Self::Nodes(count)),
        }
    }
}

macro_rules! as_text {
    ($($name:ident),*) => {$(
        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }
    )*};
}

as_text!(RollAction, Quota);

/// The two roles that have pauses of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// A control-plane node, or one that hosts etcd.
    ControlPlane,
    /// Any other.
    Worker,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::ControlPlane { "control plane" } else { "workers" })
    }
}

/// How a roll goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollOptions {
    /// What is done to each node.
    pub action: RollAction,
    /// How many workers may be away at a time, counting the ones that are away for other reasons.
    pub max_unavailable: Quota,
    /// The pause after each control-plane node.
    #[serde(rename = "control_plane_interval_seconds", with = "super::time::seconds")]
    pub control_plane_interval: Duration,
    /// The pause after each worker.
    #[serde(rename = "node_interval_seconds", with = "super::time::seconds")]
    pub node_interval: Duration,
    /// Whether the first worker goes alone, and is looked at before the others begin.
    pub canary: bool,
    /// The pause after it, where nobody is there to look.
    #[serde(rename = "canary_pause_seconds", with = "super::time::seconds")]
    pub canary_pause: Duration,
    /// Whether other nodes begin after one has failed.
    pub keep_going: bool,
}

impl Default for RollOptions {
    fn default() -> Self {
        Self {
            action: RollAction::Reboot,
            max_unavailable: Quota::default(),
            control_plane_interval: Duration::from_secs(15),
            node_interval: Duration::from_secs(15),
            canary: true,
            canary_pause: Duration::from_mins(1),
            keep_going: false,
        }
    }
}

impl RollOptions {
    /// The pause after a node of a role.
    pub fn interval(&self, role: Role) -> Duration {
        match role {
            Role::ControlPlane => self.control_plane_interval,
            Role::Worker => self.node_interval,
        }
    }

    /// Another pause from now on.
    pub fn set_interval(&mut self, role: Role, quiet: Duration) {
        match role {
            Role::ControlPlane => self.control_plane_interval = quiet,
            Role::Worker => self.node_interval = quiet,
        }
    }
}

/// The groups, in the order in which they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// One at a time.
    ControlPlane,
    /// The first worker, alone.
    Canary,
    /// The other workers.
    Workers,
}

impl Group {
    /// The role of its nodes.
    pub fn role(self) -> Role {
        if self == Self::ControlPlane { Role::ControlPlane } else { Role::Worker }
    }

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::ControlPlane => "control plane",
            Self::Canary => "canary",
            Self::Workers => "workers",
        }
    }
}

/// One node's place in a roll.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// The node.
    pub node: NodeName,
    /// With which it comes.
    pub group: Group,
    /// Its zone, by its label.
    pub zone: Option<String>,
}

/// A roll as it is planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roll {
    /// How it goes.
    pub options: RollOptions,
    /// The nodes in the order in which they come, one for each turn of the plan.
    pub turns: Vec<Turn>,
}

/// The zone of a node; `None` = it has no label that says so.
pub fn zone(row: &NodeRow) -> Option<String> {
    row.labels.get(ZONE).or_else(|| row.labels.get(OLD_ZONE)).cloned()
}

/// Names with numbers in them in the order of the numbers: `worker-2` before `worker-10`.
fn natural(name: &str) -> Vec<(String, u64)> {
    let mut parts: Vec<(String, u64)> = vec![(String::new(), 0)];
    let mut was_digit = false;
    for letter in name.chars() {
        if let (Some(digit), Some((_, number))) = (letter.to_digit(10), parts.last_mut()) {
            *number = number.saturating_mul(10).saturating_add(u64::from(digit));
            was_digit = true;
            continue;
        }
        if was_digit {
            parts.push((String::new(), 0));
            was_digit = false;
        }
        if let Some((text, _)) = parts.last_mut() {
            text.push(letter);
        }
    }
    parts
}

/// The order: etcd followers before the leader, then the workers, one zone after the other in turn. `is_master` says which
/// nodes belong to the control plane or host etcd.
pub fn sequence(
    nodes: &[NodeName],
    rows: &Table<NodeRow>,
    etcd: Option<&EtcdView>,
    is_master: impl Fn(&NodeName) -> bool,
    canary: bool,
) -> Vec<Turn> {
    let zone_of = |node: &NodeName| rows.get(node).and_then(zone);
    let leader = etcd.and_then(EtcdView::leader).and_then(|member| member.node.clone());
    let (mut masters, mut workers): (Vec<&NodeName>, Vec<&NodeName>) =
        nodes.iter().partition(|node| is_master(node));
    masters.sort_by_key(|node| (Some(*node) == leader.as_ref(), natural(node.as_str())));
    workers.sort_by_key(|node| natural(node.as_str()));
    // the first of each zone, then the second of each, …
    let mut seen: BTreeMap<Option<String>, usize> = BTreeMap::new();
    let mut ranked: Vec<(usize, &NodeName)> = Vec::new();
    for node in workers {
        let rank = seen.entry(zone_of(node)).or_default();
        ranked.push((*rank, node));
        *rank += 1;
    }
    ranked.sort_by_key(|(rank, _)| *rank);
    let turn = |node: &NodeName, group| Turn { node: node.clone(), group, zone: zone_of(node) };
    let mut turns: Vec<Turn> = masters.into_iter().map(|node| turn(node, Group::ControlPlane)).collect();
    for (at, (_, node)) in ranked.into_iter().enumerate() {
        turns.push(turn(node, if canary && at == 0 { Group::Canary } else { Group::Workers }));
    }
    turns
}

#[cfg(test)]
mod tests;
