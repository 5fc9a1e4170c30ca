//! etcd members over gRPC: what they say of themselves, who leads, snapshots.
//!
//! One connection per member, so that every answer is of the member that was asked. Nothing here uses the endpoints that
//! members advertise: a member is reached by its node, straight or through SSH, and known by the id in its answers.

mod connect;
mod credentials;
mod fault;
mod leader;
mod look;
mod options;
mod snapshot;
mod view;

pub use look::observe_etcd;
pub use options::{Access, EtcdOptions};

use super::dial::Dialer;
use super::error::Error;
use super::host::Hosts;
use crate::domain::ids::NodeName;
use crate::domain::node::NodeRow;
use connect::Link;
use options::Route;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use view::Memory;

/// The etcd cluster of the Kubernetes cluster; clones are the same.
#[derive(Clone)]
pub struct Etcd {
    inner: Arc<Inner>,
}

struct Inner {
    options: EtcdOptions,
    dialer: Dialer,
    hosts: Option<Hosts>,
    slots: Mutex<BTreeMap<NodeName, Arc<Slot>>>,
    memory: Mutex<Memory>,
    tls: tokio::sync::Mutex<Option<Arc<rustls::ClientConfig>>>,
}

impl fmt::Debug for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Etcd").field("access", &self.inner.options.access).finish_non_exhaustive()
    }
}

/// A place where a member is looked for.
struct Slot {
    node: NodeName,
    /// The node's row, when it is a node of the cluster.
    row: Option<NodeRow>,
    /// `host:port`, as dialled from here or from the node itself.
    address: String,
    /// For messages.
    label: String,
    link: tokio::sync::Mutex<Option<Link>>,
}

impl Etcd {
    /// Nothing is contacted yet. Endpoints that are configured are known from the start; the others with
    /// [`Etcd::set_nodes`].
    pub fn new(options: EtcdOptions, dialer: Dialer, hosts: Option<Hosts>) -> Self {
        let inner = Inner {
            options,
            dialer,
            hosts,
            slots: Mutex::default(),
            memory: Mutex::default(),
            tls: tokio::sync::Mutex::default(),
        };
        let etcd = Self { inner: Arc::new(inner) };
        etcd.set_nodes(&[]);
        etcd
    }

    /// Tells which nodes there are now; members are looked for on those with a control-plane or etcd role and at the
    /// configured endpoints. Connections to places that did not change are kept.
    pub fn set_nodes(&self, nodes: &[NodeRow]) {
        let Ok(route) = self.route() else { return };
        let mut slots = lock(&self.inner.slots);
        let mut wanted = BTreeMap::new();
        let endpoints = &self.inner.options.endpoints;
        for name in endpoints.keys() {
            wanted.insert(name.clone(), nodes.iter().find(|row| row.name == *name));
        }
        for row in nodes.iter().filter(|row| row.is_control_plane() || row.is_labelled_etcd()) {
            wanted.insert(row.name.clone(), Some(row));
        }
        let old = std::mem::take(&mut *slots);
        for (name, row) in wanted {
            let default = match (route, row.and_then(|row| row.address.as_ref())) {
                (Route::Ssh, _) => Some("127.0.0.1:2379".to_owned()),
                (Route::Direct, Some(address)) if address.contains(':') => Some(format!("[{address}]:2379")),
                (Route::Direct, Some(address)) => Some(format!("{address}:2379")),
                (Route::Direct, None) => None,
            };
            let Some(address) = endpoints.get(&name).cloned().or(default) else { continue };
            let is_same = |slot: &&Arc<Slot>| {
                let place = |row: Option<&NodeRow>| row.map(|row| (row.uid.clone(), row.address.clone()));
                slot.address == address && place(slot.row.as_ref()) == place(row)
            };
            let slot = old.get(&name).filter(is_same).cloned().unwrap_or_else(|| {
                let label = format!("etcd on {name} ({address})");
                Arc::new(Slot {
                    node: name.clone(),
                    row: row.cloned(),
                    address,
                    label,
                    link: tokio::sync::Mutex::default(),
                })
            });
            slots.insert(name, slot);
        }
    }

    fn route(&self) -> Result<Route, Error> {
        self.inner.options.route(self.inner.hosts.is_some())
    }

    fn slots(&self) -> Vec<Arc<Slot>> {
        lock(&self.inner.slots).values().cloned().collect()
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        lock(&self.inner.memory)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
