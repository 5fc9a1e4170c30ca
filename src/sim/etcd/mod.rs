//! The etcd of the simulated cluster: members that elect, lag, hang and answer as etcd 3.6 does.
//!
//! [`Ensemble`] is the truth about the members; [`Door`] serves one of them as gRPC over TLS on any byte stream.
//! Sources: etcd's `server/etcdserver/api/v3rpc` (answers) and `api/v3rpc/rpctypes/error.go` (codes and texts).

mod database;
mod door;
mod ensemble;
pub mod http;
mod progress;
mod service;
mod state;
#[cfg(test)]
mod tests;

use serde::Deserialize;

pub use door::Door;
pub use ensemble::Ensemble;
pub use state::Health;

/// What an etcd cluster is from the start.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EtcdSpec {
    /// Size of the database file in KiB; rounded up to whole pages of 4 KiB.
    pub size_kib: u64,
    /// Part of it that is in use, in KiB.
    pub used_kib: u64,
    /// Quota in KiB.
    pub quota_kib: u64,
    /// Node whose member leads at first; the first voter that runs when empty.
    pub leader: String,
    /// Entries that the cluster writes in a second.
    pub writes_per_second: u32,
    /// A downgrade to this version is under way.
    pub downgrade_to: Option<String>,
}

impl Default for EtcdSpec {
    fn default() -> Self {
        Self {
            size_kib: 20 * 1024,
            used_kib: 13 * 1024,
            quota_kib: 2 * 1024 * 1024,
            leader: String::new(),
            writes_per_second: 6,
            downgrade_to: None,
        }
    }
}

/// What is wrong with one member, or special about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MemberFaults {
    /// Joins the cluster: does not vote.
    pub learner: bool,
    /// Was added and has never run: no name, no client address, but counted as a voter.
    pub unstarted: bool,
    /// The process does not run, whatever the machine does.
    pub stopped: bool,
    /// Accepts connections and never answers; takes no part in elections.
    pub hang: bool,
    /// Entries by which it stays behind.
    pub lag: u64,
    /// Raised the alarm NOSPACE.
    pub nospace: bool,
    /// Raised the alarm CORRUPT.
    pub corrupt: bool,
    /// Its key space differs from the others': another `HashKV`.
    pub diverged: bool,
    /// One byte of its snapshots is flipped on the way.
    pub corrupt_snapshot: bool,
    /// Its snapshots break off after so many bytes.
    pub cut_snapshot_after: Option<u64>,
}
