//! The Kubernetes API as pitstop uses it: rows out, a few guarded changes in.
//!
//! [`Cluster`] is a cheap handle on one cluster. Reading needs nothing but the handle; every change takes a
//! [`Permit`](crate::domain::guard::Permit) and checks it. No request that changes something is repeated behind the
//! caller's back, except a patch that the server refused because something else about the object had changed (409) and
//! that is still right after looking again.
//!
//! The files: `connect` (kubeconfig), `endpoints` (which API server), `request` and `fault` (one request, its failure in
//! words), `rows` (objects to rows), `watch` and `observe` (changes), `cordon`, `evict` and `refusal`, `owners` and `borrow` (a
//! block, looked into and got out of), `lease`, `access`.

mod access;
mod admission;
mod backoff;
mod backups;
mod borrow;
mod connect;
mod control;
mod cordon;
mod daemonsets;
mod endpoints;
mod events;
mod evict;
mod fault;
mod forward;
mod last;
mod lease;
mod mark;
mod observe;
mod others;
mod owners;
mod probe;
mod recent;
pub mod refusal;
mod request;
mod rows;
mod service;
mod survey;
mod watch;

#[cfg(test)]
mod testing;

pub use borrow::{Bound, Scale};
pub use endpoints::Readiness;
pub use observe::observe;
pub use owners::BudgetDetail;
pub use refusal::Refusal;
pub use survey::{KuredLock, Stops};

use crate::backend::error::Error;
use crate::domain::budget::BudgetRow;
use crate::domain::feed::Delta;
use crate::domain::ids::{NodeName, RunId};
use crate::domain::lock::LeaseRow;
use crate::domain::node::NodeRow;
use crate::domain::placement::VolumeRow;
use crate::domain::pod::PodRow;
use crate::domain::report::FailureKind;
use endpoints::{Route, Routes};
use fault::Who;
use futures::stream::BoxStream;
use request::{Ask, path};
use rows::{BeatWire, BudgetWire, NodeWire, PodWire, Wire as _};
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use watch::Scope;

/// How the cluster is found and who we are there, as kubectl's flags of the same names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KubeOptions {
    /// `--kubeconfig`: one file; else `$KUBECONFIG`, `~/.kube/config`, the pod's service account.
    pub kubeconfig: Option<PathBuf>,
    /// `--context`.
    pub context: Option<String>,
    /// `--cluster`.
    pub cluster: Option<String>,
    /// `--user`.
    pub user: Option<String>,
    /// `--as`.
    pub as_user: Option<String>,
    /// `--as-group`.
    pub as_groups: Vec<String>,
    /// `--request-timeout`; `None` = a deadline chosen per call, zero = no deadline.
    pub request_timeout: Option<Duration>,
    /// The namespace of the maintenance lease; `None` = `kube-system`.
    pub maintenance_namespace: Option<String>,
    /// Refuses every request that changes something, whatever asks for it.
    pub read_only: bool,
}

/// A stream of changes of a table. It reconnects and lists again by itself and never ends; an `Err` is a word about
/// a failed attempt, after which the stream goes on (the next good news is a `Delta::Reset`).
pub type Feed<R> = BoxStream<'static, Result<Delta<R>, Error>>;

/// A handle on one cluster.
#[derive(Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
    maintenance_namespace: Arc<str>,
}

struct Inner {
    context: String,
    routes: Routes,
    who: Who,
    request_timeout: Option<Duration>,
    read_only: bool,
    daemonsets: daemonsets::Known,
    recent: recent::Recent,
}

/// How an accepted eviction or deletion ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eviction {
    /// The server accepted it; the pod goes within its grace.
    Accepted,
    /// The pod was gone already.
    Gone,
}

/// What the maintenance lease is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseClaim {
    /// Namespace of the lease.
    pub namespace: String,
    /// `user@host`.
    pub holder: String,
    /// The run.
    pub run: RunId,
    /// The step it is in.
    pub step: String,
    /// The node in work.
    pub node: Option<NodeName>,
    /// How long one renewal counts.
    pub lasts: Duration,
    /// Take over a lease that is not kept alive any more, or that a failed run left behind.
    pub adopt: bool,
    /// A lease that was watched for as long as a renewal counts, and that nobody renewed: taken over only while it still
    /// is as it was seen.
    pub watched: Option<Box<LeaseRow>>,
}

/// The maintenance lease, held by us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseHeld {
    /// What was claimed.
    pub claim: LeaseClaim,
    /// Whose lease was taken over, when it was.
    pub adopted: Option<LeaseRow>,
    uid: String,
    version: String,
}

/// Why the lease was not given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseRefused {
    /// Somebody else holds it (or left it behind).
    Held(Box<LeaseRow>),
    /// It could not be asked for.
    Failed(Error),
}

impl Cluster {
    /// A handle over a given client (the simulated cluster's router).
    pub fn from_client(client: ::kube::Client, context: &str) -> Self {
        let who = Who { context: context.to_owned(), ..Who::default() };
        Self::over(Route::given(client), who, &KubeOptions::default())
    }

    fn over(route: Route, who: Who, options: &KubeOptions) -> Self {
        Self {
            maintenance_namespace: options.maintenance_namespace.as_deref().unwrap_or("kube-system").into(),
            inner: Arc::new(Inner {
                context: who.context.clone(),
                routes: Routes::new(route),
                who,
                request_timeout: options.request_timeout,
                read_only: options.read_only,
                daemonsets: daemonsets::Known::default(),
                recent: recent::Recent::default(),
            }),
        }
    }

    /// The same cluster for somebody who only looks: every request that changes something is refused here.
    #[must_use]
    pub fn read_only(&self) -> Self {
        let inner = Inner {
            context: self.inner.context.clone(),
            routes: Routes::over(&self.inner.routes),
            who: self.inner.who.clone(),
            request_timeout: self.inner.request_timeout,
            read_only: true,
            daemonsets: daemonsets::Known::default(),
            recent: recent::Recent::default(),
        };
        Self { inner: Arc::new(inner), maintenance_namespace: self.maintenance_namespace.clone() }
    }

    /// The context's name.
    pub fn context(&self) -> &str {
        &self.inner.context
    }

    /// The address in use, as `host:port`.
    pub fn server(&self) -> String {
        self.inner.routes.current().address().to_owned()
    }

    /// The same cluster with its maintenance lease in another namespace; the configuration may know it only after the
    /// context is known.
    #[must_use]
    pub fn with_maintenance_namespace(mut self, namespace: &str) -> Self {
        self.maintenance_namespace = namespace.into();
        self
    }

    /// The namespace of the maintenance lease.
    pub fn maintenance_namespace(&self) -> &str {
        &self.maintenance_namespace
    }

    /// The server's version: `v1.34.2`.
    pub async fn version(&self) -> Result<String, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Version {
            git_version: String,
        }
        let version: Version = self.inner.fetch(&Ask::get("read the version", "", "/version".into())).await?;
        Ok(crate::domain::text::clean(&version.git_version))
    }

    /// All nodes as their objects say; the last signs of life are those of their status, which may be minutes old.
    pub async fn node_objects(&self) -> Result<Vec<NodeRow>, Error> {
        let begun = Instant::now();
        let rows = self.inner.list::<NodeWire>(&scope_of_nodes()).await?.0;
        self.inner.recent.keep_nodes(begun, &rows);
        Ok(rows)
    }

    /// The same for a prediction: a list that was made at most 2 s ago serves once more.
    pub async fn node_objects_lately(&self) -> Result<Vec<NodeRow>, Error> {
        match self.inner.recent.nodes() {
            Some(rows) => Ok(rows),
            None => self.node_objects().await,
        }
    }

    /// All nodes, each with its last sign of life from its status or its lease, whichever is later.
    ///
    /// Kubelets renew their lease every 10 s and write an unchanged status every 5 min only. Leases that cannot be read
    /// leave the status' word.
    pub async fn nodes(&self) -> Result<Vec<NodeRow>, Error> {
        Ok(self.nodes_and_beats().await?.0)
    }

    /// The same, and whether the kubelets' leases could be read: without them the signs of life are too old.
    pub async fn nodes_and_beats(&self) -> Result<(Vec<NodeRow>, Result<(), Error>), Error> {
        let (of_nodes, of_beats) = (scope_of_nodes(), scope_of_beats());
        let (nodes, beats) =
            futures::join!(self.inner.list::<NodeWire>(&of_nodes), self.inner.list::<BeatWire>(&of_beats));
        let mut rows = nodes?.0;
        let (beats, answer) = match beats {
            Ok((beats, _)) => (beats, Ok(())),
            Err(error) => (Vec::new(), Err(error)),
        };
        for beat in beats {
            if let Some(row) = rows.iter_mut().find(|row| row.name == beat.node) {
                row.heartbeat = row.heartbeat.max(Some(beat.at));
            }
        }
        Ok((rows, answer))
    }

    /// One node as its object says; its last sign of life is that of its status, which may be minutes old.
    pub async fn node_object(&self, name: &NodeName) -> Result<NodeRow, Error> {
        let ask = Ask::get("read node", name.as_str(), path(&["api", "v1", "nodes", name.as_str()]));
        let wire: NodeWire = self.inner.fetch(&ask).await?;
        wire.row()
            .ok_or_else(|| Error::new(FailureKind::Unexpected, "read node", name.as_str(), "it is no node"))
    }

    /// One node, with its last sign of life as for [`nodes`](Self::nodes).
    pub async fn node(&self, name: &NodeName) -> Result<NodeRow, Error> {
        let ask = Ask::get("read node", name.as_str(), path(&["api", "v1", "nodes", name.as_str()]));
        let lease = format!("{}/{name}", lease::leases(lease::BEATS));
        let beat = Ask::get("read the node's lease", name.as_str(), lease);
        let (wire, beat) =
            futures::join!(self.inner.fetch::<NodeWire>(&ask), self.inner.fetch::<BeatWire>(&beat));
        let mut row = wire?.row().ok_or_else(|| {
            Error::new(FailureKind::Unexpected, "read node", name.as_str(), "it is no node")
        })?;
        row.heartbeat = row.heartbeat.max(beat.ok().and_then(BeatWire::row).map(|beat| beat.at));
        Ok(row)
    }

    /// All pods of all namespaces.
    pub async fn pods(&self) -> Result<Vec<PodRow>, Error> {
        let begun = Instant::now();
        let (rows, version) = self.inner.list::<PodWire>(&scope_of_pods()).await?;
        self.inner.recent.keep_pods(begun, &rows, version);
        Ok(rows)
    }

    /// How many pods there were when all were last read; `None` = they never were.
    pub fn known_pods(&self) -> Option<usize> {
        self.inner.recent.count()
    }

    /// The pods of a namespace.
    pub async fn pods_in(&self, namespace: &str) -> Result<Vec<PodRow>, Error> {
        let to = path(&["api", "v1", "namespaces", namespace, "pods"]);
        Ok(self.inner.list::<PodWire>(&Scope::long("list pods", "watch pods", to)).await?.0)
    }

    /// The pods bound to a node.
    pub async fn pods_on(&self, node: &NodeName) -> Result<Vec<PodRow>, Error> {
        Ok(self.inner.list::<PodWire>(&scope_of_pods().fields(format!("spec.nodeName={node}"))).await?.0)
    }

    /// All budgets.
    pub async fn budgets(&self) -> Result<Vec<BudgetRow>, Error> {
        let begun = Instant::now();
        let (rows, version) = self.inner.list::<BudgetWire>(&scope_of_budgets()).await?;
        self.inner.recent.keep_budgets(begun, &rows, version);
        Ok(rows)
    }

    /// The volumes that are not to be reached from every node (local ones, those of a zone).
    pub async fn volumes(&self) -> Result<Vec<VolumeRow>, Error> {
        Ok(self.inner.list::<rows::VolumeWire>(&scope_of_volumes()).await?.0)
    }

    /// Volumes attached to a node: the volume, or the VolumeAttachment's name where it names none.
    pub async fn attachments_on(&self, node: &NodeName) -> Result<Vec<String>, Error> {
        let scope = Scope::long(
            "list volume attachments",
            "watch volume attachments",
            path(&["apis", "storage.k8s.io", "v1", "volumeattachments"]),
        );
        let (all, _) = self.inner.list::<rows::AttachmentWire>(&scope).await?;
        Ok(all.into_iter().filter(|one| one.node == *node).map(|one| one.volume).collect())
    }

    /// The pods bound to a node, as they change; a dead connection shows within 25 s.
    pub fn watch_node_pods(&self, node: &NodeName) -> Feed<PodRow> {
        let scope = scope_of_pods().brisk().fields(format!("spec.nodeName={node}"));
        watch::feed::<PodWire>(&self.inner, scope, None)
    }

    /// All pods of all namespaces, as they change; a dead connection shows within 25 s. When they were read moments ago,
    /// it goes on from there.
    pub fn watch_pods(&self) -> Feed<PodRow> {
        watch::feed_from::<PodWire>(&self.inner, scope_of_pods().brisk(), self.inner.recent.take_pods())
    }

    /// The budgets, as they change; a dead connection shows within 25 s. When they were read moments ago, it goes on from
    /// there.
    pub fn watch_budgets(&self) -> Feed<BudgetRow> {
        let start = self.inner.recent.take_budgets();
        watch::feed_from::<BudgetWire>(&self.inner, scope_of_budgets().brisk(), start)
    }

    /// The budgets from a list that is made now, and as they change: for whoever judges by what has just been done.
    pub fn watch_budgets_anew(&self) -> Feed<BudgetRow> {
        watch::feed::<BudgetWire>(&self.inner, scope_of_budgets().brisk(), None)
    }

    /// One node, as it changes; a dead connection shows within 25 s. When it was cordoned moments ago, it goes on from
    /// there.
    pub fn watch_node(&self, node: &NodeName) -> Feed<NodeRow> {
        let scope = scope_of_nodes().brisk().fields(format!("metadata.name={node}"));
        watch::feed_from::<NodeWire>(&self.inner, scope, self.inner.recent.take_node(node))
    }

    /// The text of `/readyz?verbose` of the server in use, also when it is not ready.
    pub async fn raw_readyz(&self) -> Result<String, Error> {
        let ask = Ask::get("ask readiness", "", "/readyz?verbose".into()).within(Duration::from_secs(10));
        let (_, body) = self.inner.raw(&ask).await?;
        Ok(String::from_utf8_lossy(&body)
            .lines()
            .map(crate::domain::text::clean)
            .collect::<Vec<_>>()
            .join("\n"))
    }
}

fn scope_of_nodes() -> Scope {
    Scope::long("list nodes", "watch nodes", "/api/v1/nodes".into())
}

fn scope_of_beats() -> Scope {
    Scope::long("list node leases", "watch node leases", lease::leases(lease::BEATS))
}

fn scope_of_pods() -> Scope {
    Scope::long("list pods", "watch pods", "/api/v1/pods".into())
}

fn scope_of_budgets() -> Scope {
    Scope::long("list budgets", "watch budgets", "/apis/policy/v1/poddisruptionbudgets".into())
}

fn scope_of_volumes() -> Scope {
    Scope::long("list persistent volumes", "watch persistent volumes", "/api/v1/persistentvolumes".into())
}
