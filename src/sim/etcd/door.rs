//! Serves one member as gRPC over TLS on any byte stream; connections end with the member.

use std::io;
use std::sync::Arc;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use super::Ensemble;
use super::service::MemberService;
use crate::proto::cluster_server::ClusterServer;
use crate::proto::kv_server::KvServer;
use crate::proto::maintenance_server::MaintenanceServer;
use crate::sim::wire::{Severable, refused};

/// The client port of one member.
#[derive(Clone)]
pub struct Door {
    ensemble: Ensemble,
    node: String,
    tls: Arc<ServerConfig>,
    stop: CancellationToken,
}

impl Door {
    /// The client port of the member of `node`, closed while it has none; ends when `stop` is cancelled.
    pub fn new(ensemble: &Ensemble, node: &str, tls: Arc<ServerConfig>, stop: CancellationToken) -> Self {
        Self { ensemble: ensemble.clone(), node: node.to_owned(), tls, stop }
    }

    /// Whether the member runs.
    pub fn is_open(&self) -> bool {
        self.ensemble.is_up(&self.node)
    }

    /// Serves `stream` in a task of its own; refused while the member does not run.
    pub fn accept<S>(&self, stream: S) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        if !self.is_open() {
            return Err(refused());
        }
        let door = self.clone();
        tokio::spawn(async move {
            let cut = door.stop.child_token();
            let stream = Severable::new(stream, cut.clone());
            tokio::select! {
                () = door.serve(stream) => {}
                () = door.gone() => {}
                () = cut.cancelled() => {}
            }
            cut.cancel();
        });
        Ok(())
    }

    /// Ends when the member does not run.
    async fn gone(&self) {
        let mut health = self.ensemble.watch();
        while self.ensemble.is_up(&self.node) {
            if health.changed().await.is_err() {
                return;
            }
        }
    }

    async fn serve<S>(&self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.tls));
        let Ok(stream) = acceptor.accept(stream).await else { return };
        let Some(index) = self.ensemble.lock().position(&self.node) else { return };
        let service = MemberService::new(self.ensemble.clone(), index);
        let routes = Routes::new(MaintenanceServer::new(service.clone()))
            .add_service(ClusterServer::new(service.clone()))
            .add_service(KvServer::new(service))
            .prepare();
        let server = auto::Builder::new(TokioExecutor::new()).http2_only();
        // Ends with an error whenever a client goes away without a word.
        let _ = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes)).await;
    }
}
