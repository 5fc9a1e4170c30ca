//! Hosts over SSH: who they are, commands, reboot, files, tunnels.
//!
//! One connection per host is kept and shared; it is opened only to a host whose key is recorded in a file of known
//! hosts. Each command is one list of words, quoted for the host's shell.

mod archive;
mod ask;
mod auth;
mod boot_room;
mod exec;
mod expiry;
mod facts;
mod keys;
mod known_hosts;
mod last_words;
mod live;
mod need;
mod quote;
mod readiness;
mod reboot;
mod route;
mod session;
mod ssh_config;
mod tar;
mod trust;

pub use archive::Contents;
pub use reboot::RebootAnswer;
pub use ssh_config::OpenSsh;
pub(crate) use ssh_config::is_host_name;

use super::dial::{Dialer, Stream};
use super::error::Error;
use crate::domain::host::HostQuestion;
use crate::domain::ids::NodeName;
use crate::domain::node::NodeRow;
use crate::domain::report::FailureKind;
use session::Session;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

/// What the configuration says of SSH. What it leaves open, the operator's own SSH configuration decides ([`OpenSsh`]), then
/// OpenSSH's defaults.
#[derive(Debug, Clone)]
pub struct SshOptions {
    /// Login name of the nodes, and of jump hosts that have no other; `None` = as `ssh` would, else the local user.
    pub user: Option<String>,
    /// Port where an address names none; `None` = as `ssh` would, else 22.
    pub port: Option<u16>,
    /// Private keys; empty = as `ssh` would, else `id_ed25519`, `id_ecdsa` and `id_rsa` in `~/.ssh`, as far as they exist.
    pub identity_files: Vec<PathBuf>,
    /// User certificates; the one beside each key (`KEY-cert.pub`) is found without being named.
    pub certificates: Vec<PathBuf>,
    /// Files of known host keys; empty = as `ssh` would, else `~/.ssh/known_hosts`, `~/.ssh/known_hosts2` and their twins in
    /// `/etc/ssh`.
    pub known_hosts: Vec<PathBuf>,
    /// The file in which a key is recorded that the engineer answered for; read beside the others. `None` = none is recorded.
    pub record: Option<PathBuf>,
    /// Whether keys of an agent are offered.
    pub agent: bool,
    /// The agent's socket; `None` = as `ssh` would, else `$SSH_AUTH_SOCK`.
    pub agent_socket: Option<PathBuf>,
    /// Jump hosts on the way to every node (`[user@]host[:port]`), the outermost first; empty = none; `None` = as `ssh` would.
    pub jump: Option<Vec<String>>,
    /// Whom to ask for the operator's own configuration; `None` = nobody.
    pub openssh: Option<OpenSsh>,
    /// Whether hosts are asked by themselves whether they need a reboot, when they first answer.
    pub asks_reboot_need: bool,
    /// Address (`host` or `host:port`) by node; the default is the node's `InternalIP`.
    pub addresses: BTreeMap<NodeName, String>,
}

impl Default for SshOptions {
    fn default() -> Self {
        Self {
            user: None,
            port: None,
            identity_files: Vec::new(),
            certificates: Vec::new(),
            known_hosts: Vec::new(),
            record: None,
            agent: true,
            agent_socket: None,
            jump: None,
            openssh: None,
            asks_reboot_need: false,
            addresses: BTreeMap::new(),
        }
    }
}

/// What came of a command on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Standard output, not cleaned; at most 1 MiB.
    pub stdout: String,
    /// Standard error, not cleaned; at most 1 MiB.
    pub stderr: String,
    /// Exit status; `None` = ended by a signal, or the connection was lost before it came.
    pub status: Option<u32>,
    /// The signal that ended it.
    pub signal: Option<String>,
}

/// The hosts of the nodes; clones share their connections.
#[derive(Clone)]
pub struct Hosts {
    inner: Arc<Inner>,
}

struct Inner {
    options: SshOptions,
    dialer: Dialer,
    /// Sessions to nodes by their names, and to jump hosts by the way to them.
    slots: std::sync::Mutex<BTreeMap<String, Slot>>,
    desk: ask::Desk,
}

type Slot = Arc<tokio::sync::Mutex<Option<Arc<Session>>>>;

impl fmt::Debug for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hosts").field("user", &self.inner.options.user).finish_non_exhaustive()
    }
}

/// A host to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    node: NodeName,
    host: String,
    port: u16,
}

impl Target {
    /// `host:port`, with brackets around an IPv6 host; without the port where it is still open (0).
    fn address(&self) -> String {
        if self.port == 0 {
            self.host.clone()
        } else if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The node and its address, for messages.
    fn label(&self) -> String {
        format!("{} ({})", self.node, self.address())
    }
}

impl Hosts {
    /// Nothing is contacted yet.
    pub fn new(options: SshOptions, dialer: Dialer) -> Self {
        Self {
            inner: Arc::new(Inner {
                options,
                dialer,
                slots: std::sync::Mutex::default(),
                desk: ask::Desk::default(),
            }),
        }
    }

    /// A connection from the host to an address (`127.0.0.1:2379`), as an open stream.
    pub async fn tunnel(&self, node: &NodeRow, address: &str) -> Result<Stream, Error> {
        let target = self.target(node)?;
        let (host, port) = split_address(address, 0);
        let (session, is_new) = self.session(&target).await?;
        match session.tunnel(&target, &host, port).await {
            // the host answered: it is the address that cannot be reached
            Err(error) if !is_new && (session.is_lost() || error.kind == FailureKind::Timeout) => {
                self.forget(&target, &session).await;
                self.session(&target).await?.0.tunnel(&target, &host, port).await
            }
            answer => answer,
        }
        .map_err(|mut error| {
            error.causes.push(format!("through it to {}", crate::domain::text::clean(address)));
            error
        })
    }

    /// Whether hosts are to be asked by themselves whether they need a reboot.
    pub fn asks_reboot_need(&self) -> bool {
        self.inner.options.asks_reboot_need
    }

    fn target(&self, node: &NodeRow) -> Result<Target, Error> {
        let options = &self.inner.options;
        let Some(address) = options.addresses.get(&node.name).or(node.address.as_ref()) else {
            return Err(Error::new(
                FailureKind::Local,
                "connect to",
                node.name.as_str(),
                "the node has no InternalIP",
            )
            .hint("give its address in ssh.addresses"));
        };
        let (host, port) = split_address(address, 0);
        Ok(Target { node: node.name.clone(), host, port })
    }

    /// The connection to a host, opened when there is none; and whether it was opened now.
    async fn session(&self, target: &Target) -> Result<(Arc<Session>, bool), Error> {
        let slot = self.slot(target.node.as_str());
        let mut slot = slot.lock().await;
        let asked = target.address();
        if let Some(session) = usable(slot.as_ref(), &asked) {
            return Ok((session, false));
        }
        *slot = None;
        // boxed: the handshake is the large part of every future here
        let session = Arc::new(Box::pin(self.connect(target, asked)).await?);
        *slot = Some(Arc::clone(&session));
        self.inner.desk.settle(|question| {
            matches!(question, HostQuestion::HostKey(host) if host.node.as_ref() == Some(&target.node))
        });
        Ok((session, true))
    }

    /// Opens a connection, through the jump hosts on the way; theirs are kept and shared by all nodes behind them.
    async fn connect(&self, target: &Target, asked: String) -> Result<Session, Error> {
        let Inner { options, dialer, desk, .. } = &*self.inner;
        let mut hops = route::find(options, target).await?;
        let Some(last) = hops.pop() else {
            return Err(Error::new(FailureKind::Unexpected, "find the way to", target.label(), "no hops"));
        };
        let (mut via, mut way) = (None, String::from("jump"));
        for hop in &hops {
            way.push_str(&format!(" {}@{}", hop.user, hop.target.address()));
            let slot = self.slot(&way);
            let mut slot = slot.lock().await;
            if let Some(session) = usable(slot.as_ref(), &way) {
                via = Some(session);
                continue;
            }
            let session = Arc::new(Session::open(hop, way.clone(), via.take(), dialer, desk).await?);
            *slot = Some(Arc::clone(&session));
            via = Some(session);
        }
        Session::open(&last, asked, via, dialer, desk).await
    }

    /// The connection that is kept, without opening one.
    async fn session_kept(&self, target: &Target) -> Option<Arc<Session>> {
        self.slot(target.node.as_str()).lock().await.clone()
    }

    /// Does not use a connection again.
    async fn forget(&self, target: &Target, session: &Arc<Session>) {
        let slot = self.slot(target.node.as_str());
        let mut slot = slot.lock().await;
        if slot.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, session)) {
            *slot = None;
        }
    }

    fn slot(&self, name: &str) -> Slot {
        let mut slots = self.inner.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(name.to_owned()).or_default())
    }
}

fn usable(slot: Option<&Arc<Session>>, asked: &str) -> Option<Arc<Session>> {
    slot.filter(|session| !session.is_lost() && session.asked == asked).cloned()
}

/// Host and port of `host`, `host:port`, `[v6]`, `[v6]:port` or a bare IPv6 address.
pub(super) fn split_address(address: &str, default_port: u16) -> (String, u16) {
    if let Some((host, rest)) = address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let port = rest.strip_prefix(':').and_then(|port| port.parse().ok());
        return (host.to_owned(), port.unwrap_or(default_port));
    }
    match address.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => match port.parse() {
            Ok(port) => (host.to_owned(), port),
            Err(_) => (address.to_owned(), default_port),
        },
        _ => (address.to_owned(), default_port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let split = |text| split_address(text, 22);
        assert_eq!(split("10.0.0.1"), ("10.0.0.1".into(), 22));
        assert_eq!(split("cp-1.lab:2222"), ("cp-1.lab".into(), 2222));
        assert_eq!(split("fe80::1"), ("fe80::1".into(), 22));
        assert_eq!(split("[fe80::1]"), ("fe80::1".into(), 22));
        assert_eq!(split("[fe80::1]:2222"), ("fe80::1".into(), 2222));
    }
}
