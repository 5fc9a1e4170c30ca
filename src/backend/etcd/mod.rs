//! etcd members over gRPC: what they say of themselves, who leads, snapshots.

mod options;

pub use options::{Access, EtcdOptions};

use super::dial::Dialer;
use super::error::Error;
use super::host::Hosts;
use super::store::SnapshotFile;
use crate::domain::etcd::{EtcdNews, EtcdView, KeyspaceHash};
use crate::domain::guard::{Change, Permit};
use crate::domain::ids::NodeName;
use crate::domain::node::NodeRow;
use crate::domain::report::FailureKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// The etcd cluster of the Kubernetes cluster; clones are the same.
#[derive(Clone)]
pub struct Etcd {
    inner: Arc<Inner>,
}

struct Inner {
    options: EtcdOptions,
    dialer: Dialer,
    hosts: Option<Hosts>,
}

fn unfinished(op: &'static str) -> Error {
    Error::new(FailureKind::Unexpected, op, "etcd", "this version cannot do that yet")
}

impl Etcd {
    /// Nothing is contacted yet.
    pub fn new(options: EtcdOptions, dialer: Dialer, hosts: Option<Hosts>) -> Self {
        Self { inner: Arc::new(Inner { options, dialer, hosts }) }
    }

    /// Tells which nodes there are now; members are looked for on the control-plane nodes.
    pub fn set_nodes(&self, _nodes: &[NodeRow]) {}

    /// One round over all members, each call with a deadline of 2 s.
    pub async fn look(&self) -> Result<EtcdView, Error> {
        let _ = (&self.inner.options, &self.inner.dialer, &self.inner.hosts);
        Err(unfinished("look at"))
    }

    /// Moves the leadership away from a node; returns the name of the member that leads then.
    pub async fn move_leader(&self, away_from: &NodeName, permit: &Permit) -> Result<String, Error> {
        permit.check(&Change::MoveLeader(away_from))?;
        Err(unfinished("move the leader of"))
    }

    /// Hashes the keyspace of every voter at one revision.
    pub async fn hash_kv(&self) -> Result<KeyspaceHash, Error> {
        Err(unfinished("hash the keys of"))
    }

    /// Reads through a member that is not on a node, with the consent of a quorum; returns how long it took.
    pub async fn linearizable_read(&self, _not_on: &NodeName) -> Result<Duration, Error> {
        Err(unfinished("read from"))
    }

    /// Takes a snapshot and stores it, verified, in a directory.
    pub async fn snapshot(
        &self,
        _not_from: Option<&NodeName>,
        _dir: &Path,
        _progress: impl Fn(u64, u64) + Send + Sync,
        _cancel: &CancellationToken,
        permit: &Permit,
    ) -> Result<SnapshotFile, Error> {
        permit.check(&Change::Snapshot)?;
        Err(unfinished("take a snapshot of"))
    }
}

/// Looks again and again until cancelled.
pub fn observe_etcd(etcd: Etcd, every: Duration, cancel: CancellationToken) -> mpsc::Receiver<EtcdNews> {
    let (_sender, receiver) = mpsc::channel(4);
    let _ = (etcd, every, cancel);
    receiver
}
