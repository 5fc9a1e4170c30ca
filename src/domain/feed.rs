//! How rows reach the tables: changes, and how alive each source is.

use super::budget::BudgetRow;
use super::ids::NodeName;
use super::lock::LeaseRow;
use super::log::LogLine;
use super::node::NodeRow;
use super::placement::VolumeRow;
use super::pod::PodRow;
use super::report::Report;
use super::time::Stamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Something that is kept in a table by key.
pub trait Row {
    /// What identifies the row.
    type Key: Ord + Clone;
    /// The row's identity.
    fn key(&self) -> Self::Key;
}

/// A change of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delta<R> {
    /// The whole table anew (the end of a list): rows that are missing are gone.
    Reset(Vec<R>),
    /// A row is new or changed.
    Upsert(R),
    /// The row is gone (the last state that was seen).
    Remove(R),
}

/// Rows by key.
pub type Table<R> = BTreeMap<<R as Row>::Key, R>;

/// Applies one change.
pub fn apply<R: Row>(table: &mut Table<R>, delta: Delta<R>) {
    match delta {
        Delta::Reset(rows) => *table = rows.into_iter().map(|row| (row.key(), row)).collect(),
        Delta::Upsert(row) => {
            table.insert(row.key(), row);
        }
        Delta::Remove(row) => {
            table.remove(&row.key());
        }
    }
}

/// Where knowledge comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The Kubernetes API.
    Api,
    /// The etcd members.
    Etcd,
    /// The hosts, over SSH.
    Ssh,
}

/// What is known of a source. The age of the last answer is computed against the model's own time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Liveness {
    /// Not configured or not usable here, and why.
    Absent(String),
    /// No answer yet.
    Connecting,
    /// Answered at that time.
    Live(Stamp),
    /// Stopped answering: since when the last answer is known (if ever), and what is wrong.
    Failing {
        /// The last answer.
        last: Option<Stamp>,
        /// What is wrong.
        report: Report,
    },
}

/// How old an answer may be before it is drawn as delayed.
pub const DELAYED_AFTER: std::time::Duration = std::time::Duration::from_secs(15);
/// How old an answer may be before it is drawn as lost.
pub const LOST_AFTER: std::time::Duration = std::time::Duration::from_secs(30);

/// What the watches keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// The nodes.
    Nodes,
    /// The pods.
    Pods,
    /// The budgets.
    Budgets,
    /// Signs of life of the kubelets.
    Heartbeats,
    /// The maintenance lock.
    Lock,
    /// Events of nodes and pods.
    Events,
    /// The volumes that are tied to nodes.
    Volumes,
}

/// What the watches of the Kubernetes API saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "nodes change seldom; a box would cost every reader a word")]
pub enum Observation {
    /// The nodes changed.
    Nodes(Delta<NodeRow>),
    /// Signs of life from the kubelets since the last such message, in batches; see [`beat`].
    Heartbeats(Vec<(NodeName, Stamp)>),
    /// Pods changed, in batches; to be applied in order.
    Pods(Vec<Delta<PodRow>>),
    /// The budgets changed.
    Budgets(Delta<BudgetRow>),
    /// The volumes that are tied to nodes changed.
    Volumes(Delta<VolumeRow>),
    /// The maintenance lock as it is now; `None` = nobody holds it.
    Lock(Option<LeaseRow>),
    /// An Event of the cluster, or a word from the watches themselves.
    Event(LogLine),
    /// One of the tables cannot be read although the API may answer (forbidden, for example); `None` = it can again.
    Trouble(Kept, Option<Report>),
    /// How alive the API is.
    Liveness(Liveness),
    /// The server's version (`v1.34.2`).
    Version(String),
}

/// Applies signs of life to the node table; an older one changes nothing.
pub fn beat(table: &mut Table<NodeRow>, beats: Vec<(NodeName, Stamp)>) {
    for (name, at) in beats {
        if let Some(row) = table.get_mut(&name)
            && row.heartbeat.is_none_or(|known| known < at)
        {
            row.heartbeat = Some(at);
        }
    }
}
