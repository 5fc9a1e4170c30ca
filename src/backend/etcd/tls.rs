//! The TLS client for all members: made from files, or from what the first host to answer has; kept in memory only.

use super::Etcd;
use super::connect::STAGGER;
use super::credentials::Credentials;
use crate::backend::error::Error;
use crate::backend::host::Hosts;
use crate::domain::node::NodeRow;
use crate::domain::report::FailureKind;
use futures::stream::{FuturesUnordered, StreamExt as _};
use rustls::ClientConfig;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How long hosts may take to hand out a certificate: a login through jump hosts, then a few commands.
const READING: Duration = Duration::from_secs(15);
/// Hosts that refused are not asked again before this time has passed: each question is an entry in their logs.
const AGAIN: Duration = Duration::from_secs(30);

/// What is known of our certificate.
#[derive(Default)]
pub(super) enum Tls {
    #[default]
    Unread,
    Ready(Arc<ClientConfig>),
    /// No host gives one.
    Refused(Instant, Box<Error>),
}

impl Etcd {
    /// The TLS client, made once; made again after it was refused (certificates are renewed in place).
    pub(super) async fn tls(&self) -> Result<Arc<ClientConfig>, Error> {
        let mut kept = self.inner.tls.lock().await;
        match &*kept {
            Tls::Ready(tls) => return Ok(Arc::clone(tls)),
            Tls::Refused(at, error) if at.elapsed() < AGAIN => return Err((**error).clone()),
            Tls::Refused(..) | Tls::Unread => {}
        }
        let credentials = match (self.inner.options.files(), &self.inner.hosts) {
            (Some(files), _) => Credentials::from_files(files),
            (None, Some(hosts)) => self.read(hosts).await,
            (None, None) => Err(no_certificates()),
        };
        let made = credentials.and_then(|credentials| credentials.client());
        *kept = match &made {
            Ok(tls) => Tls::Ready(Arc::clone(tls)),
            // the host answered, and has none for us
            Err(error) if error.code.is_some() => Tls::Refused(Instant::now(), Box::new(error.clone())),
            Err(_) => Tls::Unread,
        };
        made
    }

    /// Certificates that were refused, or do not know the other side, are read anew the next time.
    pub(super) async fn forget_if_refused(&self, error: &Error) {
        if matches!(error.kind, FailureKind::Unauthorized | FailureKind::Identity) {
            *self.inner.tls.lock().await = Tls::Unread;
        }
    }

    /// Reads a certificate from the hosts, one after another a second apart: the first that gives one ends it. A host that is
    /// off keeps nobody from the others.
    async fn read(&self, hosts: &Hosts) -> Result<Credentials, Error> {
        let place = self.found();
        let rows: Vec<NodeRow> = self.slots().iter().filter_map(|slot| slot.row.clone()).collect();
        let mut asked: FuturesUnordered<_> = rows
            .iter()
            .zip(0..)
            .map(|(row, turn)| {
                let place = place.as_ref();
                async move {
                    if turn > 0 {
                        tokio::time::sleep(STAGGER * turn).await;
                    }
                    Credentials::from_host(hosts, row, place).await
                }
            })
            .collect();
        let mut failed = Vec::new();
        let reading = async {
            while let Some(read) = asked.next().await {
                match read {
                    Ok(credentials) => return Some(credentials),
                    Err(error) => failed.push(error),
                }
            }
            None
        };
        if let Ok(Some(credentials)) = timeout(READING, reading).await {
            return Ok(credentials);
        }
        // the word of a host that answered before that of one that did not
        failed.sort_by_key(|error| error.code.is_none());
        Err(failed.into_iter().next().unwrap_or_else(no_certificates))
    }
}

fn no_certificates() -> Error {
    let why = "no certificates are configured, and none could be read from a host";
    Error::new(FailureKind::Local, "reach etcd", "", why)
        .hint("set etcd.ca, etcd.cert and etcd.key, or ssh, in the configuration")
}
