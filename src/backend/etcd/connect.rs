//! One connection per member: dialled or tunnelled, TLS by ourselves (so that its errors are known), gRPC on top.

use super::credentials::Credentials;
use super::options::Route;
use super::{Etcd, Slot, fault, lock};
use crate::backend::dial::Stream;
use crate::backend::error::Error;
use crate::backend::host::split_address;
use crate::domain::report::FailureKind;
use crate::proto::cluster_client::ClusterClient;
use crate::proto::kv_client::KvClient;
use crate::proto::maintenance_client::MaintenanceClient;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;
use tonic::Status;
use tonic::transport::{Channel, Endpoint, Uri};

/// From dialling to the end of the TLS handshake: straight, and through a host that may have to be logged in to first.
const CONNECT: Duration = Duration::from_secs(2);
const CONNECT_SSH: Duration = Duration::from_secs(6);
/// How long a refusal of our certificate is waited for when a connection broke for no known reason.
const REFUSAL: Duration = Duration::from_millis(500);
/// Bytes in flight: a snapshot through a tunnel needs more than HTTP/2's 64 KiB.
const WINDOW: u32 = 4 * 1024 * 1024;

/// An open connection to one member; clones share it.
#[derive(Clone)]
pub(super) struct Link(Channel);

impl Link {
    pub(super) fn maintenance(&self) -> MaintenanceClient<Channel> {
        MaintenanceClient::new(self.0.clone())
    }

    pub(super) fn cluster(&self) -> ClusterClient<Channel> {
        ClusterClient::new(self.0.clone())
    }

    pub(super) fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.0.clone())
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
        match self.call_once(slot, op, deadline, call(link)).await {
            Err((error, true)) if is_new => Err(self.explain(slot, error).await),
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
        let route = self.route()?;
        let deadline = match route {
            Route::Direct => CONNECT,
            Route::Ssh => CONNECT_SSH,
        };
        let opening = async {
            let mut kept = slot.link.lock().await;
            if let Some(link) = kept.as_ref() {
                return Ok((link.clone(), false));
            }
            let link = self.open(route, slot).await?;
            *kept = Some(link.clone());
            Ok((link, true))
        };
        timeout(deadline, opening).await.unwrap_or_else(|_| {
            let message = format!("no connection within {} s", deadline.as_secs());
            Err(Error::new(FailureKind::Timeout, "connect to", &slot.label, message))
        })
    }

    async fn open(&self, route: Route, slot: &Slot) -> Result<Link, Error> {
        let stream: Stream = match self.secure(route, slot).await? {
            (stream, None) => stream,
            (stream, Some((tls, name))) => {
                let shaken = shake_hands(stream, &tls, &name, &slot.label).await;
                Box::new(shaken.inspect_err(|error| self.forget_if_refused(error))?)
            }
        };
        over(stream, &slot.label).await
    }

    /// A stream to the member, and how to secure it.
    async fn secure(
        &self,
        route: Route,
        slot: &Slot,
    ) -> Result<(Stream, Option<(Arc<ClientConfig>, String)>), Error> {
        let plain = slot.address.strip_prefix("http://");
        let address = plain.unwrap_or_else(|| slot.address.trim_start_matches("https://"));
        let tls = if plain.is_some() {
            None
        } else {
            let name = self.inner.options.server_name.clone();
            let name = name.unwrap_or_else(|| split_address(address, 0).0);
            Some((self.tls(route, slot).await?, name))
        };
        let stream = match (route, &self.inner.hosts, &slot.row) {
            (Route::Direct, ..) => self.inner.dialer.dial(address).await.map_err(|error| {
                Error::new(FailureKind::Unreachable, "connect to", &slot.label, error.to_string())
            })?,
            (Route::Ssh, Some(hosts), Some(row)) => hosts.tunnel(row, address).await?,
            (Route::Ssh, ..) => {
                let why = "it is not a node of the cluster, so there is no host to go through";
                return Err(Error::new(FailureKind::Local, "connect to", &slot.label, why));
            }
        };
        Ok((stream, tls))
    }

    /// The TLS client, made once; made again after it was refused (certificates are renewed in place). Each host is asked for
    /// its certificates by itself until one has given them: one that is silent keeps nobody waiting.
    async fn tls(&self, route: Route, slot: &Slot) -> Result<Arc<ClientConfig>, Error> {
        if let Some(tls) = lock(&self.inner.tls).as_ref() {
            return Ok(Arc::clone(tls));
        }
        let credentials = match (self.inner.options.files(), route, &self.inner.hosts, &slot.row) {
            (Some(files), ..) => Credentials::from_files(files)?,
            (None, Route::Ssh, Some(hosts), Some(row)) => {
                Credentials::from_host(hosts, row, self.found().as_ref()).await?
            }
            _ => {
                return Err(Error::new(
                    FailureKind::Local,
                    "connect to",
                    &slot.label,
                    "no certificates are configured",
                ));
            }
        };
        let tls = credentials.client()?;
        *lock(&self.inner.tls) = Some(Arc::clone(&tls));
        Ok(tls)
    }

    /// Finds out why a new connection broke at its first use. A member that refuses our certificate says so only after
    /// the handshake (TLS 1.3), and that word is often lost; a connection on which nothing is sent gets to hear it.
    async fn explain(&self, slot: &Slot, error: Error) -> Error {
        let listening = async {
            let (stream, tls) = self.secure(self.route()?, slot).await?;
            let Some((tls, name)) = tls else { return Ok(()) };
            let mut stream = shake_hands(stream, &tls, &name, &slot.label).await?;
            match timeout(REFUSAL, stream.read_u8()).await {
                Ok(Err(said)) if said.kind() != io::ErrorKind::UnexpectedEof => {
                    Err(fault::of_tls(&slot.label, &name, &said))
                }
                _ => Ok(()),
            }
        };
        let found = match timeout(CONNECT_SSH, listening).await {
            Ok(Err(found)) => found,
            _ => error,
        };
        self.forget_if_refused(&found);
        found
    }

    /// Certificates that were refused, or do not know the other side, are read anew the next time.
    fn forget_if_refused(&self, error: &Error) {
        if matches!(error.kind, FailureKind::Unauthorized | FailureKind::Identity) {
            lock(&self.inner.tls).take();
        }
    }
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
async fn over(stream: Stream, label: &str) -> Result<Link, Error> {
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
        .map(Link)
        .map_err(|error| Error::new(FailureKind::Unreachable, "connect to", label, error.to_string()))
}
