//! What the gates ask about the whole cluster: its clock, its leaders, its name service, its DaemonSets, and nodes that
//! came and went.

use super::request::{Ask, path};
use super::rows::{LeaseWire, tidy, time};
use super::{Cluster, lease};
use crate::backend::clock;
use crate::backend::error::Error;
use crate::domain::actor::{Actor, DaemonRow, Leader};
use crate::domain::ids::NodeName;
use crate::domain::report::FailureKind;
use crate::domain::time::Stamp;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// Components of the control plane that elect a leader.
const ELECTED: [&str; 2] = ["kube-controller-manager", "kube-scheduler"];
/// Namespace of their leases, and of the name service.
const HOME: &str = "kube-system";
/// The name service's Service, whatever serves it.
const DNS: &str = "kube-dns";

/// A list whose items are read one by one.
#[derive(Deserialize)]
pub(super) struct Items<T> {
    #[serde(default = "Vec::new")]
    pub(super) items: Vec<T>,
}

impl Cluster {
    /// The time by the API server's clock, from the `Date` of an answer (whole seconds); by ours when it gives none.
    ///
    /// Stamps that a server or a kubelet wrote are held against this, not against the clock of this machine.
    pub async fn server_time(&self) -> Result<Stamp, Error> {
        let ask = Ask::get("read the server's time", "", "/version".into()).within(Duration::from_secs(10));
        let answer = self.inner.ask(&ask).await?;
        Ok(answer.date.unwrap_or_else(clock::now))
    }

    /// Who leads the controller manager and the scheduler; a component without a Lease is left out.
    pub async fn leaders(&self) -> Result<Vec<Leader>, Error> {
        let read = |component: &'static str| async move {
            let to = format!("{}/{component}", lease::leases(HOME));
            let found =
                self.inner.fetch::<LeaseWire>(&Ask::get("read the leader's lease", component, to)).await;
            match found {
                Ok(wire) => Ok(Some(wire.leader(component))),
                Err(error) if error.kind == FailureKind::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        };
        let (one, two) = futures::join!(read(ELECTED[0]), read(ELECTED[1]));
        Ok([one?, two?].into_iter().flatten().collect())
    }

    /// How many addresses answer for the cluster's name service, and how many there are; `None` = there is no Service
    /// `kube-system/kube-dns`.
    pub async fn dns_endpoints(&self) -> Result<Option<(usize, usize)>, Error> {
        let slices = path(&["apis", "discovery.k8s.io", "v1", "namespaces", HOME, "endpointslices"]);
        let ask = Ask::get("read the name service's endpoints", DNS, slices)
            .query("labelSelector", &format!("kubernetes.io/service-name={DNS}"));
        let found: Items<SliceWire> = self.inner.fetch(&ask).await?;
        if found.items.is_empty() {
            let service = path(&["api", "v1", "namespaces", HOME, "services", DNS]);
            return match self.inner.ask(&Ask::get("read the name service", DNS, service)).await {
                Ok(_) => Ok(Some((0, 0))),
                Err(error) if error.kind == FailureKind::NotFound => Ok(None),
                Err(error) => Err(error),
            };
        }
        let all: Vec<&EndpointWire> =
            found.items.iter().flat_map(|slice| slice.endpoints.iter().flatten()).collect();
        let ready = all.iter().filter(|endpoint| endpoint.conditions.ready != Some(false)).count();
        Ok(Some((ready, all.len())))
    }

    /// All DaemonSets, and the lock that kured writes on its own.
    pub async fn daemons(&self) -> Result<(Vec<DaemonRow>, Vec<KuredLock>), Error> {
        let ask = Ask::get("list daemonsets", "", path(&["apis", "apps", "v1", "daemonsets"]));
        let found: Items<DaemonWire> = self.inner.fetch(&ask).await?;
        let locks = found.items.iter().filter_map(DaemonWire::kured_lock).collect();
        Ok((found.items.into_iter().map(DaemonWire::row).collect(), locks))
    }

    /// How often each node stopped being Ready, by the Events that are kept of it, and how often since `since`.
    pub async fn times_not_ready(&self, since: Stamp) -> Result<BTreeMap<NodeName, Stops>, Error> {
        let ask = Ask::get("list events of nodes", "", "/api/v1/events".into())
            .query("fieldSelector", "involvedObject.kind=Node,reason=NodeNotReady");
        let found: Items<NodeEvent> = self.inner.fetch(&ask).await?;
        let mut times: BTreeMap<NodeName, Stops> = BTreeMap::new();
        for event in found.items.into_iter().filter(|event| event.reason == "NodeNotReady") {
            let Some(last) = event.last() else { continue };
            let known = times.entry(tidy(event.involved_object.name).into()).or_insert(Stops {
                total: 0,
                recent: 0,
                last,
            });
            let count = event.count.unwrap_or(1).max(1);
            known.total += count;
            // a repeated event is counted; what of it lies before `since` cannot be told apart
            known.recent += if last >= since { count } else { 0 };
            known.last = known.last.max(last);
        }
        Ok(times)
    }
}

/// How often a node stopped being Ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stops {
    /// By all Events that are kept (the API server keeps them for an hour, usually).
    pub total: u32,
    /// Lately.
    pub recent: u32,
    /// The last time.
    pub last: Stamp,
}

/// kured's lock: which node it is for, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KuredLock {
    /// Namespace of kured's DaemonSet.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The node that it is held for.
    pub node: Option<NodeName>,
    /// Since when.
    pub since: Option<Stamp>,
}

impl KuredLock {
    /// Whoever holds it, as one who works on a node.
    pub fn actor(&self) -> Actor {
        Actor {
            tool: "kured".to_owned(),
            kind: "DaemonSet".to_owned(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            node: self.node.clone(),
            what: "its lock is held for a reboot".to_owned(),
            since: self.since,
        }
    }
}

#[derive(Deserialize)]
struct SliceWire {
    #[serde(default)]
    endpoints: Option<Vec<EndpointWire>>,
}

#[derive(Deserialize)]
struct EndpointWire {
    #[serde(default)]
    conditions: EndpointConditions,
}

/// An absent `ready` counts as true (the API's own rule).
#[derive(Default, Deserialize)]
#[serde(default)]
struct EndpointConditions {
    ready: Option<bool>,
}

#[derive(Deserialize)]
struct DaemonWire {
    metadata: super::rows::Meta<String>,
    #[serde(default)]
    spec: DaemonSpec,
    #[serde(default)]
    status: DaemonStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DaemonStatus {
    desired_number_scheduled: Option<usize>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DaemonSpec {
    template: Template,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Template {
    metadata: super::rows::Meta,
    spec: TemplateSpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TemplateSpec {
    host_network: bool,
    #[serde(deserialize_with = "super::rows::nullable")]
    priority_class_name: String,
}

impl DaemonWire {
    fn row(self) -> DaemonRow {
        let Template { metadata, spec } = self.spec.template;
        let app =
            ["k8s-app", "app.kubernetes.io/name", "app"].iter().find_map(|key| metadata.labels.get(*key));
        DaemonRow {
            app: app.cloned().map(tidy).unwrap_or_default(),
            namespace: tidy(self.metadata.namespace),
            desired: self.status.desired_number_scheduled,
            name: tidy(self.metadata.name),
            host_network: spec.host_network,
            priority_class: tidy(spec.priority_class_name),
        }
    }

    /// `{"nodeID": "worker-1", "metadata": {…}, "created": "2026-…", "TTL": 0}`; what cannot be read is a lock all the same.
    fn kured_lock(&self) -> Option<KuredLock> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Lock {
            #[serde(rename = "nodeID")]
            node: Option<String>,
            #[serde(deserialize_with = "time")]
            created: Option<Stamp>,
        }
        let keys = ["weave.works/kured-node-lock", "kured.dev/kured-node-lock"];
        let text = keys.iter().find_map(|key| self.metadata.annotations.get(*key))?;
        if text.is_empty() {
            return None;
        }
        let lock: Lock = serde_json::from_str(text).unwrap_or_default();
        Some(KuredLock {
            namespace: tidy(self.metadata.namespace.clone()),
            name: tidy(self.metadata.name.clone()),
            node: lock.node.map(|node| tidy(node).into()),
            since: lock.created,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NodeEvent {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    count: Option<u32>,
    #[serde(default, deserialize_with = "time")]
    last_timestamp: Option<Stamp>,
    #[serde(default, deserialize_with = "time")]
    event_time: Option<Stamp>,
    #[serde(default)]
    involved_object: Involved,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Involved {
    name: String,
}

impl NodeEvent {
    fn last(&self) -> Option<Stamp> {
        self.last_timestamp.or(self.event_time)
    }
}
