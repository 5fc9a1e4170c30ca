//! etcd members over gRPC: what they say of themselves, who leads, snapshots.
//!
//! One connection per member, so that every answer is of the member that was asked. Nothing here uses the endpoints that
//! members advertise: a member is reached by its node, straight or through something else, and known by the id in its
//! answers. Where a distribution has more than one etcd, each is one of these, held by the first.

mod connect;
mod credentials;
mod fault;
mod health;
mod heard;
mod leader;
mod look;
mod metrics;
mod options;
mod slots;
mod snapshot;
mod tls;
mod view;

pub use look::observe_etcd;
pub use options::{Access, EtcdOptions};

use super::dial::Dialer;
use super::error::Error;
use super::host::Hosts;
use super::kube::Cluster;
use crate::domain::etcd::place::{Discovery, Place};
use crate::domain::ids::{NodeName, PodKey};
use crate::domain::node::NodeRow;
use crate::domain::report::FailureKind;
use connect::Link;
use options::{Means, Route};
use slots::Way;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tls::Tls;
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
    /// The API server, for port-forwards.
    pods: OnceLock<Cluster>,
    slots: Mutex<BTreeMap<NodeName, Arc<Slot>>>,
    memory: Mutex<Memory>,
    tls: tokio::sync::Mutex<Tls>,
    place: Mutex<Option<Discovery>>,
    /// The further clusters of the place.
    others: Mutex<Vec<Etcd>>,
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
    /// In the order in which they are tried; never empty.
    ways: Vec<Way>,
    /// The pod that runs it.
    pod: Option<PodKey>,
    /// For messages.
    label: String,
    link: tokio::sync::Mutex<Option<Link>>,
    /// What was wrong with the ways that were tried before the present one, in words.
    tried: Mutex<Vec<String>>,
}

impl Slot {
    fn address(&self) -> &str {
        self.ways.first().map_or("", |way| &way.address)
    }

    /// No way to it needs TLS.
    fn is_plain(&self) -> bool {
        self.ways.iter().all(Way::is_plain)
    }
}

impl Etcd {
    /// Nothing is contacted yet. Endpoints that are configured are known from the start; the others with
    /// [`Etcd::set_nodes`].
    pub fn new(options: EtcdOptions, dialer: Dialer, hosts: Option<Hosts>) -> Self {
        let inner = Inner {
            options,
            dialer,
            hosts,
            pods: OnceLock::new(),
            slots: Mutex::default(),
            memory: Mutex::default(),
            tls: tokio::sync::Mutex::default(),
            place: Mutex::default(),
            others: Mutex::default(),
        };
        let etcd = Self { inner: Arc::new(inner) };
        etcd.set_nodes(&[]);
        etcd
    }

    /// The same with an API server, which forwards ports to the pods of members.
    #[must_use]
    pub fn through(self, cluster: Cluster) -> Self {
        // a second one is the same cluster
        let _ = self.inner.pods.set(cluster);
        self.set_nodes(&[]);
        self
    }

    /// Whether it is not known yet where etcd lives.
    pub fn wants_place(&self) -> bool {
        lock(&self.inner.place).is_none()
    }

    /// Tells where etcd lives, as far as it was found out. What the configuration says wins.
    pub fn set_place(&self, found: Discovery) {
        if let Discovery::Found(place) = &found {
            *lock(&self.inner.others) = place.others.iter().map(|other| self.beside(other)).collect();
        }
        *lock(&self.inner.place) = Some(found);
    }

    /// A further cluster on the same nodes: the same certificates and ways, other ports.
    fn beside(&self, place: &Place) -> Self {
        let Inner { options, dialer, hosts, pods, .. } = &*self.inner;
        let endpoints = options.endpoints.iter();
        let endpoints =
            endpoints.map(|(node, address)| (node.clone(), slots::with_port(address, place.port))).collect();
        let options = EtcdOptions { endpoints, ..options.clone() };
        let other = Self::new(options, dialer.clone(), hosts.clone());
        other.set_place(Discovery::Found(place.clone()));
        match pods.get() {
            Some(cluster) => other.through(cluster.clone()),
            None => other,
        }
    }

    /// The further clusters of the place, each by its name.
    pub fn beside_it(&self) -> Vec<(String, Self)> {
        self.others().into_iter().map(|other| (other.name(), other)).collect()
    }

    /// The further clusters of the place.
    fn others(&self) -> Vec<Self> {
        lock(&self.inner.others).clone()
    }

    /// Where etcd lives, when that was looked for.
    pub fn place(&self) -> Option<Discovery> {
        lock(&self.inner.place).clone()
    }

    /// There is no etcd that could be reached here, and none is configured.
    pub fn is_absent(&self) -> bool {
        let is_none = matches!(*lock(&self.inner.place), Some(Discovery::NotAvailable { .. }));
        let options = &self.inner.options;
        let is_told =
            options.files().is_some() || !options.endpoints.is_empty() || !options.command.is_empty();
        is_none && options.access == Access::Auto && !is_told
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
        for other in self.others() {
            other.set_nodes(nodes);
        }
        let Ok(routes) = self.routes() else { return };
        let place = self.found();
        let wanted = slots::wanted(&self.inner.options, &routes, place.as_ref(), nodes);
        let what = place.map_or_else(|| "etcd".to_owned(), |place| place.label());
        let mut slots = lock(&self.inner.slots);
        let old = std::mem::take(&mut *slots);
        for slots::Wanted { name, row, ways, pod } in wanted {
            let is_same = |slot: &&Arc<Slot>| {
                let place = |row: Option<&NodeRow>| row.map(|row| (row.uid.clone(), row.address.clone()));
                slot.ways == ways && slot.pod == pod && place(slot.row.as_ref()) == place(row)
            };
            let slot = old.get(&name).filter(is_same).cloned().unwrap_or_else(|| {
                let addresses: BTreeSet<&str> = ways.iter().map(|way| way.address.as_str()).collect();
                let addresses: Vec<&str> = addresses.into_iter().collect();
                let label = format!("{what} on {name} ({})", addresses.join(", "));
                Arc::new(Slot {
                    node: name.clone(),
                    row: row.cloned(),
                    ways,
                    pod,
                    label,
                    link: tokio::sync::Mutex::default(),
                    tried: Mutex::default(),
                })
            });
            slots.insert(name, slot);
        }
    }

    fn routes(&self) -> Result<Vec<Route>, Error> {
        if let Some(Discovery::NotAvailable { why, hint }) = self.place().filter(|_| self.is_absent()) {
            return Err(
                Error::new(FailureKind::Local, "reach etcd", "", format!("not available: {why}")).hint(hint)
            );
        }
        let means = Means { hosts: self.inner.hosts.is_some(), pods: self.inner.pods.get().is_some() };
        self.inner.options.routes(means)
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
