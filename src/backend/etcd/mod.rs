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
mod slots;
mod snapshot;
mod view;

pub use look::observe_etcd;
pub use options::{Access, EtcdOptions};

use super::dial::Dialer;
use super::error::Error;
use super::host::Hosts;
use crate::domain::etcd::place::{Discovery, Place};
use crate::domain::ids::NodeName;
use crate::domain::node::NodeRow;
use crate::domain::report::FailureKind;
use connect::Link;
use options::Route;
use std::collections::{BTreeMap, BTreeSet};
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
    tls: Mutex<Option<Arc<rustls::ClientConfig>>>,
    place: Mutex<Option<Discovery>>,
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
            tls: Mutex::default(),
            place: Mutex::default(),
        };
        let etcd = Self { inner: Arc::new(inner) };
        etcd.set_nodes(&[]);
        etcd
    }

    /// Whether it would help to know where etcd lives: not when the configuration says it.
    pub fn wants_place(&self) -> bool {
        self.inner.options.endpoints.is_empty() && lock(&self.inner.place).is_none()
    }

    /// Tells where etcd lives, as far as it was found out. What the configuration says wins.
    pub fn set_place(&self, found: Discovery) {
        *lock(&self.inner.place) = Some(found);
    }

    /// Where etcd lives, when that was looked for.
    pub fn place(&self) -> Option<Discovery> {
        lock(&self.inner.place).clone()
    }

    /// There is no etcd that could be reached here, and none is configured.
    pub fn is_absent(&self) -> bool {
        let is_none = matches!(*lock(&self.inner.place), Some(Discovery::NotAvailable { .. }));
        is_none && self.inner.options.access == Access::Auto && self.inner.options.files().is_none()
    }

    /// Whether a member is looked for on a node: by its role, by what was found out, or by the configuration. Nobody has to
    /// answer for that.
    pub fn may_host(&self, node: &NodeName) -> bool {
        lock(&self.inner.slots).contains_key(node)
    }

    /// The nodes of [`Etcd::may_host`].
    pub fn hosts(&self) -> BTreeSet<NodeName> {
        lock(&self.inner.slots).keys().cloned().collect()
    }

    fn found(&self) -> Option<Place> {
        match self.place() {
            Some(Discovery::Found(place)) => Some(place),
            _ => None,
        }
    }

    /// Tells which nodes there are now; members are looked for on those with a control-plane or etcd role, where the
    /// discovery found them, and at the configured endpoints. Connections to places that did not change are kept.
    pub fn set_nodes(&self, nodes: &[NodeRow]) {
        let Ok(route) = self.route() else { return };
        let wanted = slots::wanted(&self.inner.options, route, self.found().as_ref(), nodes);
        let mut slots = lock(&self.inner.slots);
        let old = std::mem::take(&mut *slots);
        for (name, row, address) in wanted {
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
        if let Some(Discovery::NotAvailable { why, hint }) = self.place().filter(|_| self.is_absent()) {
            return Err(
                Error::new(FailureKind::Local, "reach etcd", "", format!("not available: {why}")).hint(hint)
            );
        }
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
