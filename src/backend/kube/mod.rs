//! The Kubernetes API as pitstop uses it: rows out, a few guarded changes in.
//!
//! [`Cluster`] is a cheap handle on one cluster. Reading needs nothing but the handle; every change takes a
//! [`Permit`](crate::domain::guard::Permit) and checks it. No request that changes something is repeated behind
//! the caller's back.
//!
//! Not there yet: the bodies of most calls. What is missing answers with an error that says so.

pub mod refusal;

use crate::backend::error::Error;
use crate::domain::budget::BudgetRow;
use crate::domain::feed::{Delta, Observation};
use crate::domain::guard::Permit;
use crate::domain::ids::{Generation, NodeName, PodKey, RunId};
use crate::domain::lock::LeaseRow;
use crate::domain::node::{CordonNote, NodeRow};
use crate::domain::pod::PodRow;
use crate::domain::report::FailureKind;
use futures::stream::BoxStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

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
}

/// A stream of changes of a table. It reconnects and lists again by itself and never ends; an `Err` is a word about
/// a failed attempt, after which the stream goes on (the next good news is a `Delta::Reset`).
pub type Feed<R> = BoxStream<'static, Result<Delta<R>, Error>>;

/// A handle on one cluster.
#[derive(Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
}

struct Inner {
    context: String,
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

fn unbuilt(op: &'static str) -> Error {
    Error::new(FailureKind::Local, op, "", "this part of pitstop is not built yet")
}

#[expect(clippy::unused_async, reason = "bodies follow")]
impl Cluster {
    /// Reads the kubeconfig as kubectl does and prepares a client. Asks nothing of the network (an exec plugin may).
    ///
    /// # Errors
    /// Local ones only: a file or context that is missing or cannot be read, each with what to do about it.
    pub async fn connect(options: &KubeOptions) -> Result<Self, Error> {
        let _ = options;
        Err(unbuilt("connect"))
    }

    /// A handle over a given client (the simulated cluster's router).
    pub fn from_client(client: ::kube::Client, context: &str) -> Self {
        drop(client);
        Self { inner: Arc::new(Inner { context: context.to_owned() }) }
    }

    /// The context's name.
    pub fn context(&self) -> &str {
        &self.inner.context
    }

    /// The server's version: `v1.34.2`.
    pub async fn version(&self) -> Result<String, Error> {
        Err(unbuilt("read the version"))
    }

    /// All nodes.
    pub async fn nodes(&self) -> Result<Vec<NodeRow>, Error> {
        Err(unbuilt("list nodes"))
    }

    /// One node.
    pub async fn node(&self, name: &NodeName) -> Result<NodeRow, Error> {
        let _ = name;
        Err(unbuilt("read node"))
    }

    /// All pods of all namespaces.
    pub async fn pods(&self) -> Result<Vec<PodRow>, Error> {
        Err(unbuilt("list pods"))
    }

    /// The pods bound to a node.
    pub async fn pods_on(&self, node: &NodeName) -> Result<Vec<PodRow>, Error> {
        let _ = node;
        Err(unbuilt("list pods"))
    }

    /// All budgets.
    pub async fn budgets(&self) -> Result<Vec<BudgetRow>, Error> {
        Err(unbuilt("list budgets"))
    }

    /// Whether a DaemonSet of `apps/v1` exists.
    pub async fn daemonset_exists(&self, namespace: &str, name: &str) -> Result<bool, Error> {
        let _ = (namespace, name);
        Err(unbuilt("read DaemonSet"))
    }

    /// Volumes attached to a node (names of its VolumeAttachments, each with its volume).
    pub async fn attachments_on(&self, node: &NodeName) -> Result<Vec<String>, Error> {
        let _ = node;
        Err(unbuilt("list volume attachments"))
    }

    /// Makes a node unschedulable and notes who did it, in one patch that holds only for this very node (uid) and
    /// only if nobody else changed `spec.unschedulable` meanwhile. Returns the node as it is after it.
    pub async fn cordon(&self, node: &NodeRow, note: &CordonNote, permit: &Permit) -> Result<NodeRow, Error> {
        let _ = (node, note, permit);
        Err(unbuilt("cordon"))
    }

    /// Makes a node schedulable and removes our notes from it.
    pub async fn uncordon(&self, node: &NodeRow, permit: &Permit) -> Result<NodeRow, Error> {
        let _ = (node, permit);
        Err(unbuilt("uncordon"))
    }

    /// Asks for the eviction of this very pod (uid). One request, no repetition; a refusal says why in
    /// [`Error::refusal`].
    pub async fn evict(
        &self,
        pod: &PodKey,
        node: &NodeName,
        grace: Option<i64>,
        permit: &Permit,
    ) -> Result<Eviction, Error> {
        let _ = (pod, node, grace, permit);
        Err(unbuilt("evict"))
    }

    /// Deletes this very pod (uid) past its budget (`--disable-eviction`).
    pub async fn delete_pod(
        &self,
        pod: &PodKey,
        node: &NodeName,
        grace: Option<i64>,
        permit: &Permit,
    ) -> Result<Eviction, Error> {
        let _ = (pod, node, grace, permit);
        Err(unbuilt("delete pod"))
    }

    /// The pods bound to a node, as they change.
    pub fn watch_node_pods(&self, node: &NodeName) -> Feed<PodRow> {
        let _ = node;
        Box::pin(futures::stream::once(async { Err(unbuilt("watch pods")) }))
    }

    /// The budgets, as they change.
    pub fn watch_budgets(&self) -> Feed<BudgetRow> {
        Box::pin(futures::stream::once(async { Err(unbuilt("watch budgets")) }))
    }

    /// One node, as it changes.
    pub fn watch_node(&self, node: &NodeName) -> Feed<NodeRow> {
        let _ = node;
        Box::pin(futures::stream::once(async { Err(unbuilt("watch node")) }))
    }

    /// Takes the maintenance lease when it is free, ours already (same run), or may be adopted.
    pub async fn lease_take(&self, claim: &LeaseClaim, permit: &Permit) -> Result<LeaseHeld, LeaseRefused> {
        let _ = (claim, permit);
        Err(LeaseRefused::Failed(unbuilt("take the maintenance lease")))
    }

    /// Keeps the lease alive and notes the step. `Held` = somebody took it.
    pub async fn lease_renew(
        &self,
        held: &mut LeaseHeld,
        step: &str,
        permit: &Permit,
    ) -> Result<(), LeaseRefused> {
        let _ = (held, step, permit);
        Err(LeaseRefused::Failed(unbuilt("renew the maintenance lease")))
    }

    /// Gives the lease back; with a tombstone it stays, marked as left behind by a failed run.
    pub async fn lease_release(
        &self,
        held: &LeaseHeld,
        tombstone: Option<&str>,
        permit: &Permit,
    ) -> Result<(), LeaseRefused> {
        let _ = (held, tombstone, permit);
        Err(LeaseRefused::Failed(unbuilt("release the maintenance lease")))
    }

    /// Who holds the maintenance lease; `None` = nobody.
    pub async fn lease_read(&self, namespace: &str) -> Result<Option<LeaseRow>, Error> {
        let _ = namespace;
        Err(unbuilt("read the maintenance lease"))
    }

    /// Asks the server whether we may; `Some(why)` = no, with the missing rule in words.
    /// Empty `group` = the core group; empty `subresource` and `namespace` = none.
    pub async fn may(
        &self,
        verb: &str,
        group: &str,
        resource: &str,
        subresource: &str,
        namespace: &str,
    ) -> Result<Option<String>, Error> {
        let _ = (verb, group, resource, subresource, namespace);
        Err(unbuilt("ask for permission"))
    }

    /// `/readyz` of each API server by its own endpoint, with the time it took; only the one of the kubeconfig where the
    /// others are not known.
    pub async fn ready_endpoints(&self) -> Result<Vec<(String, Result<Duration, Error>)>, Error> {
        Err(unbuilt("ask the API servers"))
    }

    /// The text of `/readyz?verbose` of the server in use, also when it is not ready.
    pub async fn raw_readyz(&self) -> Result<String, Error> {
        Err(unbuilt("ask /readyz"))
    }
}

/// Watches nodes, pods, budgets, heartbeats, the maintenance lease and Events for ever and reports what changes.
/// Ends when `cancel` is cancelled or the receiver is dropped.
pub fn observe(
    cluster: &Cluster,
    generation: Generation,
    cancel: CancellationToken,
) -> mpsc::Receiver<Observation> {
    let _ = (cluster, generation, cancel);
    let (to, from) = mpsc::channel(1);
    drop(to);
    from
}
