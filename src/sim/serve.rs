//! Serves a simulated cluster on the loopback interface and writes what clients need into a directory.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::Cluster;
use super::apiserver::ApiDoor;
use super::directory::{Directory, Ports, Remembered};
use super::error::Error;

/// Name of the context in the kubeconfig.
pub const CONTEXT: &str = "pitstop-sim";
/// Name under which the port of the load-balanced API endpoint is remembered.
const API: &str = "api";

/// A cluster that is being served; ends when dropped.
#[derive(Debug)]
pub struct Served {
    /// The kubeconfig; its current context is [`CONTEXT`].
    pub kubeconfig: PathBuf,
    /// pitstop's configuration.
    pub config: PathBuf,
    /// SSH host keys.
    pub known_hosts: PathBuf,
    /// The operator's SSH key.
    pub identity: PathBuf,
    /// Where the load-balanced API endpoint listens.
    pub api: SocketAddr,
    listeners: JoinSet<()>,
}

impl Served {
    /// Ends the service and returns when its ports are free.
    pub async fn end(mut self) {
        self.listeners.shutdown().await;
    }
}

/// Takes a new connection, or resets it.
type Accept = Arc<dyn Fn(TcpStream) + Send + Sync>;

/// Serves `cluster` until the result is dropped and writes its files into `dir`. Keys and ports that an earlier run
/// left there are used again where possible, so that its clients find the cluster again.
pub async fn serve(cluster: &Cluster, dir: &Path) -> Result<Served, Error> {
    let directory = Directory::open(dir)?;
    let remembered = directory.recall();
    if let Some(Remembered { credentials, .. }) = &remembered {
        cluster.adopt(credentials.clone());
    }
    let wanted = remembered.map(|remembered| remembered.ports).unwrap_or_default();
    let mut listeners = JoinSet::new();
    let mut ports = Ports::new();
    for (name, accept) in services(cluster)? {
        let listener = bind(wanted.get(&name).copied()).await?;
        ports.insert(name, listener.local_addr().map_err(Error::Listen)?.port());
        let stop = cluster.stop().clone();
        listeners.spawn(async move {
            stop.run_until_cancelled(listen(listener, accept)).await;
        });
    }
    directory.remember(cluster.credentials(), &ports)?;
    let files = directory.write_clients_files(cluster, &ports)?;
    let api = SocketAddr::from((Ipv4Addr::LOCALHOST, ports.get(API).copied().unwrap_or_default()));
    Ok(Served {
        kubeconfig: files.kubeconfig,
        config: files.config,
        known_hosts: files.known_hosts,
        identity: files.identity,
        api,
        listeners,
    })
}

/// Everything that gets a port: `api`, `api/NODE`, `etcd/NODE`, `ssh/NODE`.
fn services(cluster: &Cluster) -> Result<BTreeMap<String, Accept>, Error> {
    let mut services: BTreeMap<String, Accept> = BTreeMap::new();
    let mut servers = Vec::new();
    for machine in cluster.machines() {
        let name = machine.name();
        if machine.is_control_plane() {
            let plane = cluster.control_plane(machine)?;
            servers.push(plane.api.clone());
            let (api, etcd) = (plane.api, plane.etcd);
            let accept = move |stream| admit(stream, api.is_open(), |stream| api.accept(stream));
            services.insert(format!("api/{name}"), Arc::new(accept));
            let accept = move |stream| admit(stream, etcd.is_open(), |stream| etcd.accept(stream));
            services.insert(format!("etcd/{name}"), Arc::new(accept));
        }
        let host = cluster.host(name)?;
        let accept = move |stream| admit(stream, host.is_open(), |stream| host.accept(stream));
        services.insert(format!("ssh/{name}"), Arc::new(accept));
    }
    services.insert(API.to_owned(), balance(servers));
    Ok(services)
}

/// Gives each connection to the next API server that is there.
fn balance(servers: Vec<ApiDoor>) -> Accept {
    let turn = AtomicUsize::new(0);
    Arc::new(move |stream| {
        let first = turn.fetch_add(1, Ordering::Relaxed);
        let order = (0..servers.len()).map(|offset| &servers[(first + offset) % servers.len()]);
        let open = order.into_iter().find(|server| server.is_open());
        admit(stream, open.is_some(), |stream| open.map_or(Ok(()), |server| server.accept(stream)));
    })
}

/// A listener on the wanted port, or on any when it is taken.
async fn bind(wanted: Option<u16>) -> Result<TcpListener, Error> {
    if let Some(port) = wanted
        && let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await
    {
        return Ok(listener);
    }
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(Error::Listen)
}

async fn listen(listener: TcpListener, accept: Accept) {
    loop {
        // An error concerns one connection that is gone already, or a lack of descriptors that will pass.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        accept(stream);
    }
}

/// Hands `stream` on, or resets it when nothing is there to take it.
fn admit(stream: TcpStream, is_open: bool, accept: impl FnOnce(TcpStream) -> io::Result<()>) {
    if is_open {
        // Refused when the service went away this very moment: then the stream is closed.
        let _ = accept(stream);
    } else {
        let _ = stream.set_zero_linger();
    }
}
