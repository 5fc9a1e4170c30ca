//! One SSH connection: opened only to a host whose key is recorded, and the channels over it.

use super::Target;
use super::ask::Desk;
use super::auth::log_in;
use super::known_hosts::KnownHosts;
use super::route::Hop;
use super::trust::{Guard, Refused, not_trusted};
use crate::backend::dial::{Dialer, Stream};
use crate::backend::error::Error;
use crate::domain::report::FailureKind;
use russh::client::{self, Config, Handle, Msg};
use russh::keys::Algorithm;
use russh::{Channel, ChannelOpenFailure, Disconnect, Preferred, SshId};
use std::borrow::Cow;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// From dialling to being logged in.
const CONNECT: Duration = Duration::from_secs(10);
/// For the answer to "open a channel".
const OPEN: Duration = Duration::from_secs(5);
/// How long the other side may be quiet before it is asked whether it is there, and how often it is asked.
const KEEPALIVE: (Duration, usize) = (Duration::from_secs(5), 3);

/// An open connection, logged in.
pub(super) struct Session {
    handle: Handle<Guard>,
    /// Where it was asked to lead to, with all jump hosts.
    pub(super) asked: String,
    /// The session that carries it; kept open as long as this one.
    _via: Option<Arc<Self>>,
    /// The login's user id, once asked for.
    pub(super) uid: tokio::sync::OnceCell<u32>,
}

impl Session {
    /// Dials, or goes through a session that is open already, checks the host's key, logs in.
    pub(super) async fn open(
        hop: &Hop,
        asked: String,
        via: Option<Arc<Self>>,
        dialer: &Dialer,
        desk: &Desk,
    ) -> Result<Self, Error> {
        match timeout(CONNECT, Self::open_slowly(hop, asked, via, dialer, desk)).await {
            Ok(result) => result,
            Err(_) => Err(Error::new(
                FailureKind::Timeout,
                "connect to",
                hop.target.label(),
                format!("no SSH connection within {} s", CONNECT.as_secs()),
            )),
        }
    }

    async fn open_slowly(
        hop: &Hop,
        asked: String,
        via: Option<Arc<Self>>,
        dialer: &Dialer,
        desk: &Desk,
    ) -> Result<Self, Error> {
        let target = &hop.target;
        let known = KnownHosts::load(&hop.known_hosts).map_err(|(path, error)| {
            let words = format!("{}: {error}", path.display());
            Error::new(FailureKind::Local, "connect to", target.label(), words)
        })?;
        let config = Arc::new(config(
            &known.algorithms(&hop.name, target.port),
            known.has_authority(&hop.name, target.port),
        ));
        let refused = Refused::default();
        let guard = Guard::new(known, hop, Arc::clone(&refused));
        let stream = match &via {
            Some(jump) => jump.tunnel(target, &target.host, target.port).await?,
            None => dialer.dial(&target.address()).await.map_err(|error| {
                Error::new(FailureKind::Unreachable, "connect to", target.label(), error.to_string())
            })?,
        };
        let mut handle =
            client::connect_stream(config, stream, guard).await.map_err(|error| {
                match refused.lock().unwrap_or_else(PoisonError::into_inner).take() {
                    Some((verdict, key)) => not_trusted(&verdict, &key, hop, desk),
                    None => failed("connect to", target, &error),
                }
            })?;
        log_in(&mut handle, hop, desk).await?;
        Ok(Self { handle, asked, _via: via, uid: tokio::sync::OnceCell::new() })
    }

    /// Whether the connection is known to be gone.
    pub(super) fn is_lost(&self) -> bool {
        self.handle.is_closed()
    }

    /// A channel for one command.
    pub(super) async fn command_channel(&self, target: &Target) -> Result<Channel<Msg>, Error> {
        within_open(target, self.handle.channel_open_session()).await
    }

    /// A connection made by the host.
    pub(super) async fn tunnel(&self, target: &Target, host: &str, port: u16) -> Result<Stream, Error> {
        let opened = self.handle.channel_open_direct_tcpip(host, u32::from(port), "127.0.0.1", 0);
        let channel = within_open(target, opened).await?;
        Ok(Box::new(channel.into_stream()))
    }

    /// Ends the connection from our side.
    pub(super) async fn leave(&self) {
        // an error means that it is gone already
        let _ = self.handle.disconnect(Disconnect::ByApplication, "", "").await;
    }
}

async fn within_open<T>(
    target: &Target,
    opening: impl Future<Output = Result<T, russh::Error>>,
) -> Result<T, Error> {
    match timeout(OPEN, opening).await {
        Ok(opened) => opened.map_err(|error| failed("open a channel to", target, &error)),
        Err(_) => Err(Error::new(
            FailureKind::Timeout,
            "open a channel to",
            target.label(),
            format!("no answer within {} s", OPEN.as_secs()),
        )),
    }
}

/// Algorithms in our order, but those that are recorded for the host before all others; never SHA-1. So a host shows a
/// key that can be compared, as long as it has one (OpenSSH `sshconnect2.c`, `order_hostkeyalgs`).
///
/// Certificates are asked for only where an authority is recorded for the host; then they come before plain keys.
fn config(recorded: &[String], has_authority: bool) -> Config {
    let strong = |key: &&Algorithm| !matches!(key, Algorithm::Rsa { hash: None } | Algorithm::Dsa);
    let mut keys: Vec<Algorithm> = Preferred::DEFAULT.key.iter().filter(strong).cloned().collect();
    keys.sort_by_key(|key| {
        let name = match key {
            Algorithm::Rsa { .. } => "ssh-rsa",
            other => other.as_str(),
        };
        !recorded.iter().any(|known| known == name)
    });
    let certificates = if has_authority { keys.clone() } else { Vec::new() };
    Config {
        client_id: SshId::Standard(Cow::Borrowed(concat!("SSH-2.0-pitstop_", env!("CARGO_PKG_VERSION")))),
        preferred: Preferred {
            key: Cow::Owned(keys),
            host_key_certificates: Cow::Owned(certificates),
            ..Preferred::DEFAULT
        },
        keepalive_interval: Some(KEEPALIVE.0),
        keepalive_max: KEEPALIVE.1,
        nodelay: true,
        ..Config::default()
    }
}

/// An error of the SSH protocol as ours.
pub(super) fn failed(op: &'static str, target: &Target, error: &russh::Error) -> Error {
    let (kind, message, hint) = match error {
        russh::Error::ChannelOpenFailure(ChannelOpenFailure::AdministrativelyProhibited) => (
            FailureKind::Forbidden,
            "the host's SSH server forbids it".to_owned(),
            Some("allow it there: AllowTcpForwarding local"),
        ),
        russh::Error::ChannelOpenFailure(ChannelOpenFailure::ConnectFailed) => (
            FailureKind::Unreachable,
            "the host could not connect, or has no more sessions to give (MaxSessions)".to_owned(),
            None,
        ),
        russh::Error::ChannelOpenFailure(why) => (FailureKind::Refused, format!("refused: {why:?}"), None),
        russh::Error::NoCommonAlgo { kind, theirs, .. } => (
            FailureKind::Unexpected,
            format!("no common algorithm for {kind:?}; the host offers {}", theirs.join(", ")),
            None,
        ),
        russh::Error::IO(error) => (FailureKind::Unreachable, error.to_string(), None),
        russh::Error::KeepaliveTimeout | russh::Error::ConnectionTimeout => {
            (FailureKind::Unreachable, "the connection went silent".to_owned(), None)
        }
        russh::Error::Disconnect
        | russh::Error::HUP
        | russh::Error::SendError
        | russh::Error::RecvError
        | russh::Error::Join(_) => (FailureKind::Unreachable, "the connection was lost".to_owned(), None),
        other => (FailureKind::Unexpected, other.to_string(), None),
    };
    let error = Error::new(kind, op, target.label(), message);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_algorithms_are_asked_for_first_and_sha1_never() {
        let names = |recorded: &[&str]| -> Vec<String> {
            let recorded: Vec<String> = recorded.iter().map(|name| (*name).to_owned()).collect();
            config(&recorded, false).preferred.key.iter().map(|key| key.as_str().to_owned()).collect()
        };
        assert_eq!(names(&[])[0], "ssh-ed25519");
        assert_eq!(names(&["ssh-rsa"])[..2], ["rsa-sha2-512", "rsa-sha2-256"]);
        // among those recorded, our own order decides
        let both = names(&["ssh-rsa", "ecdsa-sha2-nistp384"]);
        assert_eq!(both[..3], ["ecdsa-sha2-nistp384", "rsa-sha2-512", "rsa-sha2-256"]);
        assert!(!names(&["ssh-rsa"]).contains(&"ssh-rsa".to_owned()));
    }
}
