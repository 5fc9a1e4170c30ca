//! One SSH connection: opened only to a host whose key is recorded, and the channels over it.

use super::auth::{fingerprint, log_in};
use super::known_hosts::{HostKey, KnownHosts, Verdict, default_files, name};
use super::{SshOptions, Target};
use crate::backend::dial::{Dialer, Stream};
use crate::backend::error::Error;
use crate::domain::report::FailureKind;
use russh::client::{self, Config, Handle, Msg};
use russh::keys::{Algorithm, PublicKey, PublicKeyOrCertificate};
use russh::{Channel, ChannelOpenFailure, Disconnect, Preferred, SshId};
use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
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
    /// Where it leads to.
    pub(super) address: String,
    /// The login's user id, once asked for.
    pub(super) uid: tokio::sync::OnceCell<u32>,
}

/// Decides on the host's key while the connection is being opened.
pub(super) struct Guard {
    known: KnownHosts,
    host: String,
    port: u16,
    refused: Arc<Mutex<Option<(Verdict, PublicKey)>>>,
}

impl client::Handler for Guard {
    type Error = russh::Error;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        // host certificates are never asked for, so this is a plain key
        let key = key.public_key();
        let blob = key.to_bytes()?;
        let algorithm = key.algorithm();
        let shown = HostKey { algorithm: algorithm.as_str(), blob: &blob };
        let verdict = self.known.check(&self.host, self.port, shown);
        if verdict == Verdict::Known {
            return Ok(true);
        }
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some((verdict, key));
        Ok(false)
    }
}

impl Session {
    /// Dials, checks the host's key, logs in.
    pub(super) async fn open(options: &SshOptions, dialer: &Dialer, target: &Target) -> Result<Self, Error> {
        match timeout(CONNECT, Self::open_slowly(options, dialer, target)).await {
            Ok(result) => result,
            Err(_) => Err(Error::new(
                FailureKind::Timeout,
                "connect to",
                target.label(),
                format!("no SSH connection within {} s", CONNECT.as_secs()),
            )),
        }
    }

    async fn open_slowly(options: &SshOptions, dialer: &Dialer, target: &Target) -> Result<Self, Error> {
        let known = load_known(options, target)?;
        let config = Arc::new(config(&known.algorithms(&target.host, target.port)));
        let refused = Arc::new(Mutex::new(None));
        let guard =
            Guard { known, host: target.host.clone(), port: target.port, refused: Arc::clone(&refused) };
        let address = target.address();
        let stream = dialer.dial(&address).await.map_err(|error| {
            Error::new(FailureKind::Unreachable, "connect to", target.label(), error.to_string())
        })?;
        let mut handle =
            client::connect_stream(config, stream, guard).await.map_err(|error| {
                match refused.lock().unwrap_or_else(PoisonError::into_inner).take() {
                    Some((verdict, key)) => not_trusted(&verdict, &key, options, target),
                    None => failed("connect to", target, &error),
                }
            })?;
        log_in(&mut handle, options, &target.label()).await?;
        Ok(Self { handle, address, uid: tokio::sync::OnceCell::new() })
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

fn load_known(options: &SshOptions, target: &Target) -> Result<KnownHosts, Error> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let defaults;
    let files = if options.known_hosts.is_empty() {
        defaults = default_files(home.as_deref());
        &defaults
    } else {
        &options.known_hosts
    };
    KnownHosts::load(files).map_err(|(path, error)| {
        Error::new(FailureKind::Local, "connect to", target.label(), format!("{}: {error}", path.display()))
    })
}

/// Algorithms in our order, but those that are recorded for the host before all others; never SHA-1. So a host shows a
/// key that can be compared, as long as it has one (OpenSSH `sshconnect2.c`, `order_hostkeyalgs`).
fn config(recorded: &[String]) -> Config {
    let strong = |key: &&Algorithm| !matches!(key, Algorithm::Rsa { hash: None } | Algorithm::Dsa);
    let mut keys: Vec<Algorithm> = Preferred::DEFAULT.key.iter().filter(strong).cloned().collect();
    keys.sort_by_key(|key| {
        let name = match key {
            Algorithm::Rsa { .. } => "ssh-rsa",
            other => other.as_str(),
        };
        !recorded.iter().any(|known| known == name)
    });
    Config {
        client_id: SshId::Standard(Cow::Borrowed(concat!("SSH-2.0-pitstop_", env!("CARGO_PKG_VERSION")))),
        preferred: Preferred { key: Cow::Owned(keys), ..Preferred::DEFAULT },
        keepalive_interval: Some(KEEPALIVE.0),
        keepalive_max: KEEPALIVE.1,
        nodelay: true,
        ..Config::default()
    }
}

/// The host is not who it should be: says what is recorded where, and what to do about it. Never overridable.
fn not_trusted(verdict: &Verdict, key: &PublicKey, options: &SshOptions, target: &Target) -> Error {
    let algorithm = key.algorithm();
    let algorithm = algorithm.as_str();
    let shown = format!("{algorithm} {}", fingerprint(key));
    let fail = |message: String| Error::new(FailureKind::Identity, "trust", target.label(), message);
    let changed = "if the host was not set up anew, somebody else answers in its place; \
                   only when its new key is confirmed on its own console, replace the line";
    match verdict {
        Verdict::Known | Verdict::Unknown => fail(format!("the host's key is not known: {shown}"))
            .hint(how_to_record(key, options, target)),
        Verdict::Changed(place) => {
            fail(format!("the host shows another key than the one in {place}: {shown}")).hint(changed)
        }
        Verdict::OtherAlgorithm(place, recorded) => {
            fail(format!("the host shows {shown}, but {place} records a key of type {recorded}")).hint(changed)
        }
        Verdict::Revoked(place) => fail(format!("the host's key is revoked in {place}: {shown}"))
            .hint("the host needs a new key"),
        Verdict::AuthorityOnly(place) => fail(format!(
            "only a certificate authority is recorded ({place}), and host certificates cannot be checked yet: {shown}"
        ))
        .hint(how_to_record(key, options, target)),
        Verdict::Unreadable(place, why) => fail(format!("{place} cannot be read: {why}"))
            .hint("repair or remove the line"),
    }
}

fn how_to_record(key: &PublicKey, options: &SshOptions, target: &Target) -> String {
    let kind = match key.algorithm() {
        Algorithm::Rsa { .. } => "rsa",
        Algorithm::Ecdsa { .. } => "ecdsa",
        _ => "ed25519",
    };
    let file = options.known_hosts.first().map_or("~/.ssh/known_hosts".into(), |path| path.to_string_lossy());
    let line = key.key_data();
    let line = PublicKey::new(line.clone(), "").to_openssh().unwrap_or_default();
    format!(
        "compare it with `ssh-keygen -lf /etc/ssh/ssh_host_{kind}_key.pub` on the host's own console; if it is the same, add to {file}: {} {}",
        name(&target.host, target.port),
        line.trim()
    )
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
            config(&recorded).preferred.key.iter().map(|key| key.as_str().to_owned()).collect()
        };
        assert_eq!(names(&[])[0], "ssh-ed25519");
        assert_eq!(names(&["ssh-rsa"])[..2], ["rsa-sha2-512", "rsa-sha2-256"]);
        // among those recorded, our own order decides
        let both = names(&["ssh-rsa", "ecdsa-sha2-nistp384"]);
        assert_eq!(both[..3], ["ecdsa-sha2-nistp384", "rsa-sha2-512", "rsa-sha2-256"]);
        assert!(!names(&["ssh-rsa"]).contains(&"ssh-rsa".to_owned()));
    }
}
