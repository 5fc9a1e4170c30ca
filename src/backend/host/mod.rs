//! Hosts over SSH: who they are, commands, reboot, files, tunnels.

use super::dial::{Dialer, Stream};
use super::error::Error;
use super::store::ArchiveFile;
use crate::domain::guard::{Change, Permit};
use crate::domain::host::{HostFacts, HostReadiness};
use crate::domain::ids::NodeName;
use crate::domain::node::NodeRow;
use crate::domain::report::FailureKind;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What the configuration says of SSH.
#[derive(Debug, Clone)]
pub struct SshOptions {
    /// Login name.
    pub user: String,
    /// Port where the address names none.
    pub port: u16,
    /// Private keys; empty = `id_ed25519`, `id_ecdsa` and `id_rsa` in `~/.ssh`, as far as they exist.
    pub identity_files: Vec<PathBuf>,
    /// Files of known host keys; empty = `~/.ssh/known_hosts`, `~/.ssh/known_hosts2` and their twins in `/etc/ssh`.
    pub known_hosts: Vec<PathBuf>,
    /// Whether keys of an agent are offered.
    pub agent: bool,
    /// The agent's socket; `None` = `$SSH_AUTH_SOCK`.
    pub agent_socket: Option<PathBuf>,
    /// Address (`host` or `host:port`) by node; the default is the node's InternalIP.
    pub addresses: BTreeMap<NodeName, String>,
}

impl Default for SshOptions {
    fn default() -> Self {
        Self {
            user: std::env::var("USER").unwrap_or_else(|_| "root".to_owned()),
            port: 22,
            identity_files: Vec::new(),
            known_hosts: Vec::new(),
            agent: true,
            agent_socket: None,
            addresses: BTreeMap::new(),
        }
    }
}

/// What came of a command on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Standard output, not cleaned.
    pub stdout: String,
    /// Standard error, not cleaned.
    pub stderr: String,
    /// Exit status; `None` = ended by a signal, or the connection was lost before it came.
    pub status: Option<u32>,
    /// The signal that ended it.
    pub signal: Option<String>,
}

/// What a host answered to being asked for a reboot. A refusal is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RebootAnswer {
    /// It will reboot: exit status 0, or the connection was cut before a status came (`None`).
    Requested {
        /// Exit status.
        status: Option<u32>,
    },
}

/// The hosts of the nodes; clones share their connections.
#[derive(Clone)]
pub struct Hosts {
    inner: Arc<Inner>,
}

struct Inner {
    options: SshOptions,
    dialer: Dialer,
}

fn unfinished(op: &'static str, node: &NodeRow) -> Error {
    Error::new(FailureKind::Unexpected, op, node.name.as_str(), "this version cannot do that yet")
}

impl Hosts {
    /// Nothing is contacted yet.
    pub fn new(options: SshOptions, dialer: Dialer) -> Self {
        Self { inner: Arc::new(Inner { options, dialer }) }
    }

    /// The boot that the host is in.
    pub async fn boot_id(&self, node: &NodeRow) -> Result<String, Error> {
        let _ = (&self.inner.options, &self.inner.dialer);
        Err(unfinished("read the boot id of", node))
    }

    /// Who the host is and how long it is up.
    pub async fn facts(&self, node: &NodeRow) -> Result<HostFacts, Error> {
        Err(unfinished("read", node))
    }

    /// Whether the host may be asked to reboot, and what stands in the way.
    pub async fn readiness(&self, node: &NodeRow) -> Result<HostReadiness, Error> {
        Err(unfinished("read", node))
    }

    /// Asks the host to reboot, once.
    pub async fn reboot(&self, node: &NodeRow, permit: &Permit) -> Result<RebootAnswer, Error> {
        permit.check(&Change::Reboot(&node.name))?;
        Err(unfinished("reboot", node))
    }

    /// Runs one command; its words are quoted.
    pub async fn run(&self, node: &NodeRow, _argv: &[&str]) -> Result<Output, Error> {
        Err(unfinished("run a command on", node))
    }

    /// Stores files of the host (`paths` relative to `/`) as tar in a directory.
    pub async fn archive(
        &self,
        node: &NodeRow,
        _paths: &[&str],
        _dir: &Path,
        _progress: impl Fn(u64) + Send + Sync,
        _cancel: &CancellationToken,
        permit: &Permit,
    ) -> Result<ArchiveFile, Error> {
        permit.check(&Change::Snapshot)?;
        Err(unfinished("archive files of", node))
    }

    /// A connection from the host to an address (`127.0.0.1:2379`).
    pub async fn tunnel(&self, node: &NodeRow, _address: &str) -> Result<Stream, Error> {
        Err(unfinished("open a tunnel on", node))
    }
}
