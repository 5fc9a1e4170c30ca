//! One connection to a cluster: its watches, the rounds over etcd, the questions to hosts. Dropping it ends them all.

use super::probe;
use crate::backend::etcd::observe_etcd;
use crate::backend::kube::{Cluster, observe};
use crate::console::msg::{Msg, Orphan};
use crate::domain::access;
use crate::domain::etcd::EtcdNews;
use crate::domain::feed::{Liveness, Observation, Source};
use crate::domain::ids::{Generation, NodeName, RunId};
use crate::domain::node::NodeRow;
use crate::domain::standing::Standing;
use crate::engine::standing::verify;
use crate::engine::{Backends, journal, locate};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

/// How often the etcd members are asked.
const ETCD_EVERY: Duration = Duration::from_secs(2);
/// How often our rights are asked for, and how soon again when that failed.
const ACCESS_EVERY: Duration = Duration::from_mins(5);
const ACCESS_RETRY: Duration = Duration::from_secs(5);
/// How often the objects of other tools are looked at.
const ACTORS_EVERY: Duration = Duration::from_secs(10);
/// How soon the cluster is asked again for what it could not tell of an earlier run.
const STANDING_RETRY: Duration = Duration::from_secs(5);
/// How many questions to hosts may wait.
const PROBES: usize = 1024;

/// A connection under way.
pub(super) struct Link {
    /// What runs are given.
    pub(super) backends: Backends,
    probes: Option<mpsc::Sender<NodeRow>>,
    generation: Generation,
    cancel: CancellationToken,
    is_locating: Arc<AtomicBool>,
    _ends: DropGuard,
}

impl Link {
    /// Starts everything that watches; each tells `to`, marked with the generation.
    pub(super) fn open(backends: Backends, generation: Generation, to: &mpsc::Sender<Msg>) -> Self {
        let cancel = CancellationToken::new();
        let seen = observe(&backends.cluster, generation, cancel.child_token());
        tokio::spawn(tell_seen(seen, generation, to.clone()));
        match &backends.etcd {
            Some(etcd) => {
                let news = observe_etcd(etcd.clone(), ETCD_EVERY, cancel.child_token());
                tokio::spawn(tell_etcd(news, generation, to.clone()));
            }
            None => absent(to, generation, Source::Etcd, "not to be reached, by the configuration"),
        }
        let until = cancel.child_token();
        let asking = tell_access(backends.cluster.clone(), generation, to.clone());
        tokio::spawn(async move { until.run_until_cancelled(asking).await });
        let until = cancel.child_token();
        let looking = tell_actors(backends.cluster.clone(), generation, to.clone());
        tokio::spawn(async move { until.run_until_cancelled(looking).await });
        let probes = if let Some(hosts) = &backends.hosts {
            let (ask, asked) = mpsc::channel(PROBES);
            probe::spawn(hosts.clone(), generation, asked, to.clone(), cancel.child_token());
            let telling = super::hosts::tell_questions(hosts.questions(), generation, to.clone());
            let until = cancel.child_token();
            tokio::spawn(async move {
                let _ = until.run_until_cancelled(telling).await;
            });
            Some(ask)
        } else {
            absent(to, generation, Source::Ssh, "not to be used, by the configuration");
            None
        };
        Self {
            backends,
            probes,
            generation,
            is_locating: Arc::default(),
            cancel: cancel.clone(),
            _ends: cancel.drop_guard(),
        }
    }

    /// Asks a management controller for its machine's power.
    pub(super) fn ask_power(&self, node: NodeName, to: &mpsc::Sender<Msg>) {
        let bmc = self.backends.settings.service.bmc.get(&node).cloned();
        super::hosts::ask_power(bmc, self.generation, node, to.clone());
    }

    /// Asks hosts whether they need a reboot.
    pub(super) fn ask_need(&self, rows: Vec<NodeRow>, to: &mpsc::Sender<Msg>) {
        if let Some(hosts) = &self.backends.hosts {
            super::hosts::ask_need(
                hosts.clone(),
                self.generation,
                rows,
                to.clone(),
                self.cancel.child_token(),
            );
        }
    }

    /// Looks up what earlier runs in this context left, until the cluster has told.
    pub(super) fn look_at_orphans(&self, orphans: &[Orphan], to: &mpsc::Sender<Msg>) {
        let here = orphans.iter().filter(|orphan| orphan.context == self.backends.settings.context);
        let runs: Vec<RunId> = here.map(|orphan| orphan.run.clone()).collect();
        let (backends, to, until) = (self.backends.clone(), to.clone(), self.cancel.child_token());
        tokio::spawn(async move { until.run_until_cancelled(tell_standing(backends, runs, to)).await });
    }

    /// Tells which nodes there are now.
    pub(super) fn nodes_changed(&self, rows: &[NodeRow]) {
        let Some(etcd) = &self.backends.etcd else { return };
        if etcd.wants_place() && !self.is_locating.swap(true, Ordering::AcqRel) {
            let (backends, rows, flag) =
                (self.backends.clone(), rows.to_vec(), Arc::clone(&self.is_locating));
            tokio::spawn(async move {
                locate(&backends, &rows).await;
                flag.store(false, Ordering::Release);
            });
        } else {
            etcd.set_nodes(rows);
        }
    }

    /// Asks a host for its boot. (When the queue is full, the node keeps "not known".)
    pub(super) fn probe(&self, row: NodeRow) {
        if let Some(probes) = &self.probes {
            let _ = probes.try_send(row);
        }
    }
}

fn absent(to: &mpsc::Sender<Msg>, generation: Generation, source: Source, why: &str) {
    let to = to.clone();
    let msg = Msg::Source(generation, source, Liveness::Absent(why.to_owned()));
    tokio::spawn(async move {
        let _ = to.send(msg).await;
    });
}

/// Passes on what the watches see. Tables must not lose a change, so they wait for room; Events may be dropped, and are
/// counted then.
async fn tell_seen(mut seen: mpsc::Receiver<Observation>, generation: Generation, to: mpsc::Sender<Msg>) {
    let mut dropped = 0;
    while let Some(observation) = seen.recv().await {
        if matches!(observation, Observation::Event(_)) && to.capacity() < to.max_capacity() / 4 {
            dropped += 1;
            continue;
        }
        if dropped > 0 && to.send(Msg::LogDropped(std::mem::take(&mut dropped))).await.is_err() {
            return;
        }
        if to.send(Msg::Seen(generation, observation)).await.is_err() {
            return;
        }
    }
}

/// What the API server allows us, once it answers; asked again now and then, as roles change.
async fn tell_access(cluster: Cluster, generation: Generation, to: mpsc::Sender<Msg>) {
    loop {
        let answers = cluster.answers(access::all()).await;
        let wait = if answers.is_ok() { ACCESS_EVERY } else { ACCESS_RETRY };
        if let Ok(answers) = answers
            && to.send(Msg::Access(generation, answers)).await.is_err()
        {
            return;
        }
        tokio::time::sleep(wait).await;
    }
}

/// What other tools work on, by their own objects.
async fn tell_actors(cluster: Cluster, generation: Generation, to: mpsc::Sender<Msg>) {
    loop {
        let (actors, error) = cluster.rollers().await;
        let msg = Msg::Actors(generation, actors, error.map(|error| error.report()));
        if to.send(msg).await.is_err() {
            return;
        }
        tokio::time::sleep(ACTORS_EVERY).await;
    }
}

/// How what these runs left is now; asked again while the cluster cannot tell.
async fn tell_standing(backends: Backends, mut runs: Vec<RunId>, to: mpsc::Sender<Msg>) {
    while !runs.is_empty() {
        let mut open = Vec::new();
        for run in runs {
            let Ok(record) = journal::find(&backends.settings.state_dir, Some(run.as_str())) else {
                continue;
            };
            let left = verify(&backends.cluster, &backends.settings.lease_namespace, &record).await;
            let is_open = left.iter().any(|one| matches!(one.now, Some(Standing::Unknown(_))));
            if to.send(Msg::Stands(run.clone(), left)).await.is_err() {
                return;
            }
            if is_open {
                open.push(run);
            }
        }
        runs = open;
        tokio::time::sleep(STANDING_RETRY).await;
    }
}

async fn tell_etcd(mut news: mpsc::Receiver<EtcdNews>, generation: Generation, to: mpsc::Sender<Msg>) {
    while let Some(news) = news.recv().await {
        let msg = match news {
            EtcdNews::View(view) => Msg::Etcd(generation, view),
            EtcdNews::Liveness(liveness) => Msg::Source(generation, Source::Etcd, liveness),
        };
        if to.send(msg).await.is_err() {
            return;
        }
    }
}
