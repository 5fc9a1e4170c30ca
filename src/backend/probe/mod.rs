//! Asks what probes ask: one question, one answer, within a deadline.
//!
//! Every question has a connection of its own, as a new client would have: a connection that is kept would stick to one
//! backend behind a Service and hide the others. Nothing is asked twice; a failure is an answer. Requests go straight to
//! the host; the machine's proxy settings are not looked at. Names are resolved by the system, except for
//! `dns://SERVER/NAME`, which asks that server over UDP in the few bytes that this takes.

mod dns;
mod http;

use super::clock::now;
use super::dial::Dialer;
use super::kube::Cluster;
use crate::domain::probe::{ProbeSpec, Sample, Target};
use crate::domain::report::{FailureKind, Report};
use crate::domain::time::brief;
use futures::future::BoxFuture;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// No body is read further than this.
const MOST_BODY: usize = 64 << 10;

/// Why a question was not answered well, in a few words that are the same for the same cause.
type Failure = String;

type Ask = dyn Fn() -> BoxFuture<'static, Result<(), Failure>> + Send + Sync;

/// Asks one probe's question.
#[derive(Clone)]
pub struct Asker {
    limit: Duration,
    ask: Arc<Ask>,
}

impl fmt::Debug for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Asker")
    }
}

impl Asker {
    /// For a probe. Nothing is contacted yet.
    ///
    /// # Errors
    /// Its address is none, or the certificate authorities cannot be read.
    pub fn new(spec: &ProbeSpec, cluster: &Cluster, dialer: &Dialer) -> Result<Self, Report> {
        let limit = spec.pace.timeout;
        let wrong = |why: String| {
            Report::new(FailureKind::Local, format!("probe {} cannot be used: {why}", spec.name))
        };
        let ask: Arc<Ask> = match spec.target.clone() {
            Target::Http { url } => {
                let page = Arc::new(http::Page::new(&url, spec.ca.as_deref(), dialer).map_err(wrong)?);
                Arc::new(move || {
                    let page = page.clone();
                    Box::pin(async move { page.get().await })
                })
            }
            Target::Tcp { address } => {
                let dialer = dialer.clone();
                Arc::new(move || {
                    let (dialer, address) = (dialer.clone(), address.clone());
                    Box::pin(
                        async move { dialer.dial(&address).await.map(drop).map_err(|error| words(&error)) },
                    )
                })
            }
            Target::Dns { server, name } => Arc::new(move || {
                let (server, name) = (server.clone(), name.clone());
                Box::pin(async move { dns::look_up(server.as_deref(), &name).await })
            }),
            Target::Service { namespace, name, port, path } => {
                let cluster = cluster.clone();
                Arc::new(move || {
                    let (cluster, object) = (cluster.clone(), format!("{name}:{port}"));
                    let (namespace, path) = (namespace.clone(), path.clone());
                    Box::pin(async move { through(&cluster, &namespace, &object, &path, limit).await })
                })
            }
        };
        Ok(Self { limit, ask })
    }

    /// One that a test answers itself.
    pub fn given(
        limit: Duration,
        ask: impl Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync + 'static,
    ) -> Self {
        Self { limit, ask: Arc::new(ask) }
    }

    /// Asks once.
    pub async fn ask(&self) -> Sample {
        let begun = Instant::now();
        let answer = tokio::time::timeout(self.limit, (self.ask)()).await;
        let failure = match answer {
            Ok(answer) => answer.err(),
            Err(_) => Some(late(self.limit)),
        };
        Sample { at: now(), took: begun.elapsed(), failure }
    }
}

fn late(limit: Duration) -> Failure {
    format!("no answer within {}", brief(limit))
}

/// A GET through the API server's proxy.
async fn through(
    cluster: &Cluster,
    namespace: &str,
    object: &str,
    path: &str,
    limit: Duration,
) -> Result<(), Failure> {
    match cluster.ask_service(namespace, object, path, limit, MOST_BODY).await {
        Ok((200..=399, _)) => Ok(()),
        Ok((503, body)) if body.contains("no endpoints available") => Err("no endpoint is ready".to_owned()),
        Ok((code, _)) => Err(format!("answered {code}")),
        Err(error) if error.kind == FailureKind::Timeout => Err(late(limit)),
        Err(error) if error.kind == FailureKind::Unreachable => {
            Err("the API server cannot be reached".to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}

/// An error of a connection in words that do not change from one to the next.
fn words(error: &io::Error) -> Failure {
    use io::ErrorKind as Kind;
    let inner = error.get_ref().map(ToString::to_string);
    match error.kind() {
        Kind::ConnectionRefused => "connection refused".to_owned(),
        Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe | Kind::UnexpectedEof => {
            "the connection was closed".to_owned()
        }
        Kind::HostUnreachable | Kind::NetworkUnreachable => "no route to the host".to_owned(),
        Kind::TimedOut => "the connection timed out".to_owned(),
        Kind::InvalidData => format!("TLS: {}", crate::domain::text::clean(&inner.unwrap_or_default())),
        _ if inner.as_ref().is_some_and(|text| text.contains("lookup")) => {
            "the name cannot be resolved".to_owned()
        }
        kind => inner.map_or_else(|| kind.to_string(), |text| crate::domain::text::clean(&text)),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
