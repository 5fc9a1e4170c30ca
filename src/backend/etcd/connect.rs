//! One connection per member: a stream by one of the ways, TLS by ourselves (so that its errors are known), gRPC on top.

use super::options::Route;
use super::slots::Way;
use super::{Etcd, Slot, fault};
use crate::backend::dial::Stream;
use crate::backend::error::Error;
use crate::backend::host::split_address;
use crate::backend::{local, pipe};
use crate::domain::report::FailureKind;
use crate::proto::cluster_client::ClusterClient;
use crate::proto::kv_client::KvClient;
use crate::proto::maintenance_client::MaintenanceClient;
use futures::stream::{FuturesUnordered, StreamExt as _};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;
use tonic::Status;
use tonic::transport::{Channel, Endpoint, Uri};

/// From dialling to the end of the TLS handshake: straight, and through something that may have to be opened first.
const CONNECT: Duration = Duration::from_secs(2);
const CONNECT_THROUGH: Duration = Duration::from_secs(6);
/// How long one way is tried alone before the next one is tried beside it.
pub(super) const STAGGER: Duration = Duration::from_secs(1);
/// How long a refusal of our certificate is waited for when a connection broke for no known reason.
const REFUSAL: Duration = Duration::from_millis(500);
/// Bytes in flight: a snapshot through a tunnel needs more than HTTP/2's 64 KiB.
const WINDOW: u32 = 4 * 1024 * 1024;

/// An open connection to one member; clones share it.
#[derive(Clone)]
pub(super) struct Link {
    channel: Channel,
    /// The way that it took.
    pub(super) route: Route,
}

impl Link {
    pub(super) fn maintenance(&self) -> MaintenanceClient<Channel> {
        MaintenanceClient::new(self.channel.clone())
    }

    pub(super) fn cluster(&self) -> ClusterClient<Channel> {
        ClusterClient::new(self.channel.clone())
    }

    pub(super) fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone())
    }
}

impl Route {
    fn deadline(self) -> Duration {
        match self {
            Self::Direct => CONNECT,
            Self::Ssh | Self::PortForward | Self::Command => CONNECT_THROUGH,
        }
    }
}

impl Etcd {
    /// Asks one member one thing, within a deadline. Over a connection that proves dead the question is repeated once on a
    /// new one: for questions that may be asked twice.
    pub(super) async fn ask<T, F>(
        &self,
        slot: &Slot,
        op: &'static str,
        deadline: Duration,
        call: impl Fn(Link) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let (link, is_new) = self.link(slot).await?;
        let route = link.route;
        match self.call_once(slot, op, deadline, call(link)).await {
            Err((error, true)) if is_new => Err(self.explain(slot, route, error).await),
            Err((_, true)) => {
                let (link, _) = self.link(slot).await?;
                self.call_once(slot, op, deadline, call(link)).await.map_err(|(error, _)| error)
            }
            Err((error, false)) => Err(error),
            Ok(answer) => Ok(answer),
        }
    }

    /// One call; a failure says whether it was the connection's.
    pub(super) async fn call_once<T>(
        &self,
        slot: &Slot,
        op: &'static str,
        deadline: Duration,
        call: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, (Error, bool)> {
        let (error, is_transport) = match timeout(deadline, call).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(status)) => (fault::of_status(op, &slot.label, &status), fault::is_transport(&status)),
            Err(_) => {
                let message = format!("no answer within {} s", deadline.as_secs());
                (Error::new(FailureKind::Timeout, op, &slot.label, message), false)
            }
        };
        if is_transport || error.kind == FailureKind::Timeout {
            slot.link.lock().await.take();
        }
        Err((error, is_transport))
    }

    /// The member's connection, opened when there is none; and whether it was opened now.
    pub(super) async fn link(&self, slot: &Slot) -> Result<(Link, bool), Error> {
        if let Ok(kept) = slot.link.try_lock()
            && let Some(link) = kept.as_ref()
        {
            return Ok((link.clone(), false));
        }
        let tls = if slot.is_plain() { None } else { Some(self.tls().await?) };
        let turns = u32::try_from(slot.ways.len()).unwrap_or(1);
        let deadline = CONNECT_THROUGH + STAGGER * turns;
        let opening = async {
            let mut kept = slot.link.lock().await;
            if let Some(link) = kept.as_ref() {
                return Ok((link.clone(), false));
            }
            let link = self.open(slot, tls.as_ref()).await?;
            *kept = Some(link.clone());
            Ok((link, true))
        };
        timeout(deadline, opening).await.unwrap_or_else(|_| Err(late(slot, deadline)))
    }

    /// Opens the first way that works. The ways are begun in their order, a second apart; what failed on the way is kept in
    /// the slot.
    async fn open(&self, slot: &Slot, tls: Option<&Arc<ClientConfig>>) -> Result<Link, Error> {
        let mut attempts: FuturesUnordered<_> = slot
            .ways
            .iter()
            .zip(0..)
            .map(|(way, turn)| async move {
                if turn > 0 {
                    tokio::time::sleep(STAGGER * turn).await;
                }
                let deadline = way.route.deadline();
                let opened = timeout(deadline, self.open_way(slot, way, tls)).await;
                (way.route, opened.unwrap_or_else(|_| Err(late(slot, deadline))))
            })
            .collect();
        let mut failed = Vec::new();
        let mut opened = None;
        while let Some((route, outcome)) = attempts.next().await {
            match outcome {
                Ok(link) => {
                    opened = Some(link);
                    break;
                }
                Err(error) => failed.push((route, error)),
            }
        }
        failed.sort_by_key(|(route, _)| slot.ways.iter().position(|way| way.route == *route));
        let words = failed.iter().map(|(route, error)| format!("{}: {error}", route.word())).collect();
        *slot.tried.lock().unwrap_or_else(PoisonError::into_inner) = words;
        opened.ok_or_else(|| none_leads(slot, failed))
    }

    async fn open_way(&self, slot: &Slot, way: &Way, tls: Option<&Arc<ClientConfig>>) -> Result<Link, Error> {
        let stream = self.stream(slot, way.route, way.authority()).await?;
        let stream: Stream = match tls.filter(|_| !way.is_plain()) {
            None => stream,
            Some(tls) => match shake_hands(stream, tls, &self.server_name(way), &slot.label).await {
                Ok(stream) => Box::new(stream),
                Err(error) => {
                    self.forget_if_refused(&error).await;
                    return Err(error);
                }
            },
        };
        over(stream, &slot.label).await.map(|channel| Link { channel, route: way.route })
    }

    /// The name that the member's certificate must bear.
    fn server_name(&self, way: &Way) -> String {
        let own = || self.found().and_then(|place| place.server_name()).map(str::to_owned);
        let name = self.inner.options.server_name.clone().or_else(own);
        name.unwrap_or_else(|| split_address(way.authority(), 0).0)
    }

    /// A stream to an address by one way.
    pub(super) async fn stream(&self, slot: &Slot, route: Route, address: &str) -> Result<Stream, Error> {
        let fail = |kind, why: &str| Error::new(kind, "connect to", &slot.label, why);
        let (host, port) = split_address(address, 0);
        match (route, &self.inner.hosts, &slot.row) {
            (Route::Direct, ..) => self
                .inner
                .dialer
                .dial(address)
                .await
                .map_err(|error| fail(FailureKind::Unreachable, &error.to_string())),
            (Route::Ssh, Some(hosts), Some(row)) => hosts.tunnel(row, address).await,
            (Route::Ssh, ..) => {
                let why = "it is not a node of the cluster, so there is no host to go through";
                Err(fail(FailureKind::Local, why))
            }
            (Route::PortForward, ..) => match (self.inner.pods.get(), &slot.pod) {
                (Some(cluster), Some(pod)) => cluster.forward(pod, port).await,
                _ => Err(fail(
                    FailureKind::Local,
                    "no pod that is known runs it, so there is no port to forward",
                )),
            },
            (Route::Command, ..) => {
                let words = self.inner.options.command.iter();
                let words: Vec<String> =
                    words.map(|word| word.replace("{port}", &port.to_string())).collect();
                pipe::open(&local::fill(&words, slot.node.as_str(), Some(&host))?)
            }
        }
    }

    /// Finds out why a new connection broke at its first use. A member that refuses our certificate says so only after
    /// the handshake (TLS 1.3), and that word is often lost; a connection on which nothing is sent gets to hear it.
    async fn explain(&self, slot: &Slot, route: Route, error: Error) -> Error {
        let listening = async {
            let way = slot.ways.iter().find(|way| way.route == route && !way.is_plain());
            let Some(way) = way else { return Ok(()) };
            let (tls, name) = (self.tls().await?, self.server_name(way));
            let stream = self.stream(slot, route, way.authority()).await?;
            let mut stream = shake_hands(stream, &tls, &name, &slot.label).await?;
            match timeout(REFUSAL, stream.read_u8()).await {
                Ok(Err(said)) if said.kind() != io::ErrorKind::UnexpectedEof => {
                    Err(fault::of_tls(&slot.label, &name, &said))
                }
                _ => Ok(()),
            }
        };
        let found = match timeout(CONNECT_THROUGH, listening).await {
            Ok(Err(found)) => found,
            _ => error,
        };
        self.forget_if_refused(&found).await;
        found
    }
}

fn late(slot: &Slot, deadline: Duration) -> Error {
    let message = format!("no connection within {} s", deadline.as_secs());
    Error::new(FailureKind::Timeout, "connect to", &slot.label, message)
}

/// The failure of the only way; of several, that of the first, and what was wrong with each.
fn none_leads(slot: &Slot, mut failed: Vec<(Route, Error)>) -> Error {
    if failed.len() == 1 {
        return failed.remove(0).1;
    }
    let kind = failed.first().map_or(FailureKind::Unreachable, |(_, error)| error.kind);
    let mut all = Error::new(kind, "connect to", &slot.label, "no way leads there");
    for (route, error) in &failed {
        all = all.because(format!("{}: {error}", route.word()));
    }
    all.hint = failed.into_iter().find_map(|(_, error)| error.hint);
    all
}

async fn shake_hands(
    stream: Stream,
    tls: &Arc<ClientConfig>,
    name: &str,
    label: &str,
) -> Result<tokio_rustls::client::TlsStream<Stream>, Error> {
    let server_name = ServerName::try_from(name.to_owned())
        .map_err(|error| Error::new(FailureKind::Local, "connect to", label, format!("{name}: {error}")))?;
    let connector = tokio_rustls::TlsConnector::from(Arc::clone(tls));
    connector.connect(server_name, stream).await.map_err(|error| fault::of_tls(label, name, &error))
}

/// gRPC over a stream, which is given away once: when it breaks, the link is done and a new one must be opened.
async fn over(stream: Stream, label: &str) -> Result<Channel, Error> {
    let mut once = Some(stream);
    let connector = tower::service_fn(move |_: Uri| {
        let stream = once.take().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected));
        std::future::ready(stream.map(TokioIo::new))
    });
    Endpoint::from_static("http://etcd.invalid:2379")
        .origin(Uri::from_static("https://etcd.invalid:2379"))
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .connect_with_connector(connector)
        .await
        .map_err(|error| Error::new(FailureKind::Unreachable, "connect to", label, error.to_string()))
}
