//! One reading of the world for the gates: every source asked once, at the same time, failures kept as answers.

use super::baseline::Baseline;
use super::world::{Flaps, Wishes, World};
use crate::backend::clock::now;
use crate::backend::error::Error;
use crate::backend::kube::{Cluster, Readiness};
use crate::domain::access;
use crate::domain::actor::{Actor, DaemonRow, Leader};
use crate::domain::budget::BudgetRow;
use crate::domain::etcd::scheduled::ScheduledBackup;
use crate::domain::etcd::{EtcdView, KeyspaceHash};
use crate::domain::feed::{Row, Table};
use crate::domain::host::{HostFacts, HostReadiness};
use crate::domain::ids::{NodeName, RunId};
use crate::domain::lock::{LeaseRow, LockChoice};
use crate::domain::node::NodeRow;
use crate::domain::plan::Kind;
use crate::domain::pod::PodRow;
use crate::domain::report::{FailureKind, Report};
use crate::domain::time::Stamp;
use crate::engine::memory::Memory;
use crate::engine::settings::{Backends, Settings};
use futures::FutureExt;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What a reading is for: decides what is asked.
#[derive(Debug, Clone)]
pub enum Purpose {
    /// Before a node is touched, or rebooted.
    Before {
        /// Our own run: its lock is no obstacle.
        run: Option<RunId>,
        /// The run took the lock already: that it is not ours is an obstacle.
        is_locked: bool,
        /// What about the lock.
        lock: LockChoice,
    },
    /// After the reboot.
    Return {
        /// What was remembered before it.
        memory: Box<Memory>,
        /// What the first reading that passed found: a second one must find the same.
        steady: Option<Box<Steady>>,
        /// Nodes that are in work beside it, on purpose.
        beside: BTreeSet<NodeName>,
    },
    /// The last look.
    Settle {
        /// What was remembered before the reboot.
        memory: Box<Memory>,
        /// Nodes that are in work beside it, on purpose.
        beside: BTreeSet<NodeName>,
    },
    /// The whole cluster, no node in particular.
    Check,
    /// The same between two nodes of a roll, against how it was before: what was not in order then is kept apart.
    Between {
        /// How it was before.
        baseline: Box<Baseline>,
        /// What the first reading that passed found: a second one must find the same.
        steady: Option<Box<Steady>>,
        /// Nodes that are in work meanwhile, on purpose.
        beside: BTreeSet<NodeName>,
    },
}

/// Two looks at etcd, some seconds apart.
#[derive(Debug, Clone)]
pub struct Samples {
    /// The first.
    pub first: Result<EtcdView, Report>,
    /// The second, on which everything but the stability rests.
    pub second: Result<EtcdView, Report>,
}

/// What must stay the same from one reading to the next, so that what comes and goes does not pass.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Steady {
    /// Restarts of each static and each critical pod, by namespace and name.
    pub restarts: BTreeMap<String, u32>,
    /// Since when each node is Ready.
    pub ready_since: BTreeMap<NodeName, Option<Stamp>>,
}

impl Steady {
    /// Of a scene.
    pub fn of(scene: &Scene) -> Self {
        let is_watched = |pod: &&PodRow| pod.mirror || super::pods::is_critical(pod);
        let pods = scene.pods.iter().flatten().filter(is_watched);
        let nodes = scene.nodes.iter().flat_map(|nodes| nodes.values());
        Self {
            restarts: pods.map(|pod| (pod.key.to_string(), pod.restarts)).collect(),
            ready_since: nodes.map(|row| (row.name.clone(), row.ready_since)).collect(),
        }
    }

    /// How a node differs from it, in words.
    pub fn differs(&self, row: &NodeRow) -> Option<String> {
        let then = self.ready_since.get(&row.name)?;
        (*then != row.ready_since).then(|| "stopped being Ready between two readings".to_owned())
    }
}

/// A right that was asked for, and what the API server said: `Ok(Some(why))` = no.
#[derive(Debug, Clone)]
pub struct Right {
    /// The right, in words: `patch nodes`.
    pub what: String,
    /// The answer.
    pub answer: Result<Option<String>, Report>,
}

/// An API server's address, and how fast it said that it is ready.
pub type Endpoint = (String, Result<Duration, Report>);

/// What was read.
#[derive(Debug, Clone)]
pub struct Scene {
    /// For what.
    pub purpose: Purpose,
    /// When the reading ended.
    pub at: Stamp,
    /// The same by the API server's clock, against which stamps of others are held.
    pub clock: Stamp,
    /// The node that it is about.
    pub node: Option<NodeName>,
    /// Whether that node has a control plane or etcd, as far as it can be told (unknown = yes).
    pub is_master: bool,
    /// Nodes that another run of the same roll has in work.
    pub excused: BTreeSet<NodeName>,
    /// Who we are.
    pub settings: Settings,
    /// The nodes.
    pub nodes: Result<Table<NodeRow>, Report>,
    /// Whether the kubelets' leases could be read; without them the nodes' signs of life are too old.
    pub beats: Result<(), Report>,
    /// All pods.
    pub pods: Result<Vec<PodRow>, Report>,
    /// Each API server's readiness by address.
    pub endpoints: Result<Vec<Endpoint>, Report>,
    /// The addresses of the Service `kubernetes`.
    pub listed: Result<Vec<String>, Report>,
    /// Who leads the controller manager and the scheduler.
    pub leaders: Result<Vec<Leader>, Report>,
    /// DaemonSets.
    pub daemons: Result<Vec<DaemonRow>, Report>,
    /// Ready addresses of the name service, and all; `None` = there is no such Service.
    pub dns: Result<Option<(usize, usize)>, Report>,
    /// Who else is at work, tool by tool; empty = not asked.
    pub actors: Vec<Result<Vec<Actor>, Report>>,
    /// Disruption budgets; `None` = not asked.
    pub budgets: Option<Result<Vec<BudgetRow>, Report>>,
    /// How often nodes stopped being Ready lately, and when last; `None` = not asked.
    pub flaps: Option<Result<Flaps, Report>>,
    /// What backs etcd up by itself; empty = none is known, or not asked.
    pub backups: Result<Vec<ScheduledBackup>, Report>,
    /// The maintenance lease.
    pub lease: Result<Option<LeaseRow>, Report>,
    /// etcd; `None` = not configured.
    pub etcd: Option<Samples>,
    /// A read with the consent of a quorum through a member that is not on the node; `None` = not asked.
    pub quorum_read: Option<Result<Duration, Report>>,
    /// The keyspaces compared; `None` = not asked.
    pub hash: Option<Result<Vec<KeyspaceHash>, Report>>,
    /// The host of the node; `None` = no SSH.
    pub host: Option<Result<HostFacts, Report>>,
    /// Whether the host may be asked to reboot; `None` = no SSH, or not asked.
    pub readiness: Option<Result<HostReadiness, Report>>,
    /// Rights; empty = not asked.
    pub rights: Vec<Right>,
}

impl Scene {
    /// The target's row.
    pub fn target(&self) -> Option<&NodeRow> {
        self.nodes.as_ref().ok()?.get(self.node.as_ref()?)
    }

    /// The control-plane nodes; `None` = the nodes are not known.
    pub fn control_planes(&self) -> Option<Vec<&NodeRow>> {
        Some(self.nodes.as_ref().ok()?.values().filter(|row| row.is_control_plane()).collect())
    }

    /// Compares the members' keyspaces: every member reads all of its keys for that, so it is asked for last, when nothing
    /// else is amiss.
    pub async fn compare(&mut self, backends: &Backends) {
        if let Some(etcd) = &backends.etcd {
            self.hash = Some(etcd.hash_all().await.map_err(Report::from));
        }
    }

    /// What was remembered before the reboot, after it.
    pub fn memory(&self) -> Option<&Memory> {
        match &self.purpose {
            Purpose::Return { memory, .. } | Purpose::Settle { memory, .. } => Some(memory),
            Purpose::Before { .. } | Purpose::Check | Purpose::Between { .. } => None,
        }
    }

    /// What was not in order before anything was touched; `None` = nothing is excused.
    pub fn baseline(&self) -> Option<&Baseline> {
        match &self.purpose {
            Purpose::Between { baseline, .. } => Some(baseline),
            _ => self.memory().map(|memory| &memory.baseline),
        }
    }

    /// Whether a node is in work beside the one that this is about.
    pub fn is_beside(&self, node: &NodeName) -> bool {
        match &self.purpose {
            Purpose::Return { beside, .. }
            | Purpose::Settle { beside, .. }
            | Purpose::Between { beside, .. } => beside.contains(node),
            Purpose::Before { .. } | Purpose::Check => false,
        }
    }

    /// What the first good reading found.
    pub fn steady(&self) -> Option<&Steady> {
        match &self.purpose {
            Purpose::Return { steady, .. } | Purpose::Between { steady, .. } => steady.as_deref(),
            _ => None,
        }
    }

    /// Reads everything that the purpose asks for. Never fails: what does not answer is part of the scene.
    pub async fn read(backends: &Backends, node: Option<&NodeName>, purpose: Purpose) -> Self {
        Self::read_for(backends, node, false, purpose).await
    }

    /// The same for a step whose plan says that the node hosts etcd (`was_master`): that it cannot be seen now is no proof
    /// that it does not.
    pub async fn read_for(
        backends: &Backends,
        node: Option<&NodeName>,
        was_master: bool,
        purpose: Purpose,
    ) -> Self {
        Self::gather(backends, node, was_master, purpose).boxed().await
    }

    async fn gather(
        backends: &Backends,
        node: Option<&NodeName>,
        was_master: bool,
        purpose: Purpose,
    ) -> Self {
        let cluster = &backends.cluster;
        let settings = &backends.settings;
        let (rows, beats) = nodes(cluster).boxed().await;
        let target =
            rows.as_ref().ok().and_then(|rows| rows.iter().find(|row| Some(&row.name) == node).cloned());
        if let Ok(rows) = &rows {
            crate::engine::locate(backends, rows).boxed().await;
        }
        let has_masters = rows.as_ref().map_or(true, |rows| rows.iter().any(NodeRow::is_control_plane));
        let wants = Wants::of(&purpose);
        // stamps are as old as the reading of the nodes, which came first
        let clock = cluster.server_time().await.unwrap_or_else(|_| now());
        let ((pods, api, lease), world, (etcd, host, readiness, rights)) = futures::join!(
            common(backends).boxed(),
            World::read(cluster, clock, wants.world).boxed(),
            special(backends, target.as_ref(), has_masters, &wants).boxed(),
        );
        let may_host = backends.etcd.as_ref().zip(node).is_some_and(|(etcd, node)| etcd.may_host(node));
        let is_known = was_master || had_member(&purpose) || may_host;
        let is_master = is_known || is_master(target.as_ref(), node, etcd.as_ref());
        // after the samples, so that a member has been matched to its node
        let quorum_read = quorum_read(backends, node, wants.quorum_read && is_master).boxed().await;
        let at = now();
        let (listed, endpoints) = api;
        Self {
            purpose,
            at,
            clock,
            node: node.cloned(),
            is_master,
            excused: BTreeSet::new(),
            settings: settings.clone(),
            nodes: rows.map(|rows| rows.into_iter().map(|row| (row.key(), row)).collect()),
            beats,
            pods: pods.map_err(Report::from),
            endpoints: endpoints.map(readable).map_err(Report::from),
            listed: listed.map_err(Report::from),
            leaders: world.leaders,
            daemons: world.daemons,
            dns: world.dns,
            actors: world.actors,
            budgets: world.budgets,
            flaps: world.flaps,
            backups: world.backups,
            lease: lease.map_err(Report::from),
            etcd,
            quorum_read,
            hash: None,
            host,
            readiness,
            rights,
        }
    }
}

/// The nodes, and whether their leases could be read.
async fn nodes(cluster: &Cluster) -> (Result<Vec<NodeRow>, Report>, Result<(), Report>) {
    match cluster.nodes_and_beats().await {
        Ok((rows, beats)) => (Ok(rows), beats.map_err(Report::from)),
        Err(error) => (Err(Report::from(error)), Ok(())),
    }
}

fn readable(list: Vec<Readiness>) -> Vec<Endpoint> {
    list.into_iter().map(|(at, answer)| (at, answer.map_err(Report::from))).collect()
}

/// The node hosted a member before its reboot.
fn had_member(purpose: &Purpose) -> bool {
    match purpose {
        Purpose::Return { memory, .. } | Purpose::Settle { memory, .. } => memory.member_before.is_some(),
        Purpose::Before { .. } | Purpose::Check | Purpose::Between { .. } => false,
    }
}

type Common = (
    Result<Vec<PodRow>, Error>,
    (Result<Vec<String>, Error>, Result<Vec<Readiness>, Error>),
    Result<Option<LeaseRow>, Error>,
);

/// What every purpose asks: pods, API servers, the maintenance lease.
async fn common(backends: &Backends) -> Common {
    let cluster = &backends.cluster;
    futures::join!(
        cluster.pods(),
        cluster.api_servers(),
        cluster.lease_read(&backends.settings.lease_namespace)
    )
}

type Special =
    (Option<Samples>, Option<Result<HostFacts, Report>>, Option<Result<HostReadiness, Report>>, Vec<Right>);

/// What some purposes ask: etcd twice, the host, our rights.
async fn special(backends: &Backends, target: Option<&NodeRow>, has_masters: bool, wants: &Wants) -> Special {
    futures::join!(
        samples(backends, has_masters),
        host_facts(backends, target),
        host_readiness(backends, target, wants.readiness),
        rights(backends, wants.rights.clone()),
    )
}

/// What is asked beyond the common.
struct Wants {
    readiness: bool,
    rights: Vec<access::Right>,
    quorum_read: bool,
    world: Wishes,
}

impl Wants {
    fn of(purpose: &Purpose) -> Self {
        let is_before = matches!(purpose, Purpose::Before { .. });
        let is_whole = matches!(purpose, Purpose::Check | Purpose::Between { .. });
        Self {
            readiness: is_before,
            rights: match purpose {
                Purpose::Before { lock, .. } => access::needed(Kind::Reboot, *lock),
                _ => Vec::new(),
            },
            quorum_read: is_before,
            world: Wishes { actors: is_before || is_whole, budgets: is_whole },
        }
    }
}

fn is_master(target: Option<&NodeRow>, node: Option<&NodeName>, etcd: Option<&Samples>) -> bool {
    let hosts_member = || {
        let view = etcd.and_then(|samples| samples.second.as_ref().ok());
        node.zip(view).is_some_and(|(node, view)| view.is_host(node))
    };
    target.is_none_or(|row| row.is_control_plane() || row.is_labelled_etcd()) || hosts_member()
}

/// Two looks; none where there is no etcd to be reached and no control plane either (a managed one).
async fn samples(backends: &Backends, has_masters: bool) -> Option<Samples> {
    let etcd = backends.etcd.as_ref().filter(|etcd| has_masters || !etcd.is_absent())?;
    let first = etcd.look().await.map_err(Report::from);
    if first.is_err() {
        return Some(Samples { second: first.clone(), first });
    }
    tokio::time::sleep(backends.settings.timing.etcd_sample_interval).await;
    let second = etcd.look().await.map_err(Report::from);
    Some(Samples { first, second })
}

async fn host_facts(backends: &Backends, target: Option<&NodeRow>) -> Option<Result<HostFacts, Report>> {
    Some(backends.hosts.as_ref()?.facts(target?).boxed().await.map_err(Report::from))
}

async fn host_readiness(
    backends: &Backends,
    target: Option<&NodeRow>,
    is_wanted: bool,
) -> Option<Result<HostReadiness, Report>> {
    if !is_wanted {
        return None;
    }
    Some(backends.hosts.as_ref()?.readiness(target?).boxed().await.map_err(Report::from))
}

async fn quorum_read(
    backends: &Backends,
    node: Option<&NodeName>,
    is_wanted: bool,
) -> Option<Result<Duration, Report>> {
    let (etcd, node) = (backends.etcd.as_ref()?, node?);
    if !is_wanted {
        return None;
    }
    Some(etcd.linearizable_read(node).await.map_err(Report::from))
}

async fn rights(backends: &Backends, wanted: Vec<access::Right>) -> Vec<Right> {
    let asked = wanted.into_iter().map(|right| async move {
        let answer = backends.cluster.answer(&right).await;
        Right { what: right.words(), answer: answer.map_err(Report::from) }
    });
    futures::future::join_all(asked).await
}

/// For a source that is not configured.
pub(super) fn absent(what: &str) -> Report {
    Report::new(FailureKind::Local, what)
}
