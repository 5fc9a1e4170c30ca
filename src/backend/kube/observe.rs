//! Everything that the console shows of a cluster, as one bounded stream of observations.
//!
//! One task reads all watches and passes on what changed. When its reader is slow the watches stop reading too; pods come
//! in batches. When the API answers again after it did not, every watch is opened anew at once.

use super::events::Teller;
use super::rows::{Beat, BeatWire, BudgetWire, EventWire, Lock, LockWire, NodeWire, PodWire, VolumeWire};
use super::watch::{self, Scope};
use super::{Cluster, lease, probe};
use crate::backend::clock;
use crate::backend::error::Error;
use crate::domain::feed::{Delta, Kept, Liveness, Observation};
use crate::domain::ids::{Generation, NodeName};
use crate::domain::log::{Level, LogLine, Origin};
use crate::domain::node::NodeRow;
use crate::domain::time::Stamp;
use futures::StreamExt as _;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// Observations that wait for their reader.
const QUEUE: usize = 64;
/// Pods of one batch at most.
const BATCH: usize = 512;
/// How often signs of life of the kubelets are passed on.
const BEATS: Duration = Duration::from_secs(10);
/// How often the endpoints of the API are read again.
const ENDPOINTS: Duration = Duration::from_mins(1);

/// Watches nodes, pods, budgets, heartbeats, the maintenance lease and Events for ever and reports what changes.
/// Ends when `cancel` is cancelled or the receiver is dropped. `generation` only marks what it traces: the caller puts it
/// beside what it receives.
pub fn observe(
    cluster: &Cluster,
    generation: Generation,
    cancel: CancellationToken,
) -> mpsc::Receiver<Observation> {
    let (to, from) = mpsc::channel(QUEUE);
    let cluster = cluster.clone();
    tokio::spawn(async move {
        tracing::debug!(generation = generation.0, context = cluster.context(), "observing begins");
        let out = Out { to: to.clone() };
        tokio::select! {
            () = cancel.cancelled() => {}
            () = to.closed() => {}
            () = run(&cluster, out) => {}
        }
        tracing::debug!(generation = generation.0, "observing ends");
    });
    from
}

fn fields(of: &str) -> Scope {
    let all = "/api/v1/events".to_owned();
    Scope::long("list events", "watch events", all).fields(format!("involvedObject.kind={of}"))
}

/// Ends only by being dropped.
async fn run(cluster: &Cluster, out: Out) {
    let (wake, woken) = tokio::sync::watch::channel(0_u64);
    let inner = &cluster.inner;
    let woken = || Some(woken.clone());
    let mut nodes = watch::feed::<NodeWire>(inner, super::scope_of_nodes(), woken());
    let mut pods = watch::feed::<PodWire>(inner, super::scope_of_pods(), woken()).ready_chunks(BATCH);
    let mut budgets = watch::feed::<BudgetWire>(inner, super::scope_of_budgets(), woken());
    let mut volumes = watch::feed::<VolumeWire>(inner, super::scope_of_volumes(), woken());
    let mut beats = watch::feed::<BeatWire>(inner, super::scope_of_beats(), woken());
    let lock = Scope::long(
        "read the maintenance lease",
        "watch the maintenance lease",
        lease::leases(cluster.maintenance_namespace()),
    );
    let mut lock =
        watch::feed::<LockWire>(inner, lock.fields(format!("metadata.name={}", lease::NAME)), woken());
    let mut of_nodes = watch::feed::<EventWire>(inner, fields("Node"), woken());
    let mut of_pods = watch::feed::<EventWire>(inner, fields("Pod"), woken());
    let mut answers = probe::start(inner);
    let mut beat = tokio::time::interval(BEATS);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut endpoints = tokio::time::interval(ENDPOINTS);
    endpoints.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut state = State::new(out, wake);
    state.out.send(Observation::Liveness(Liveness::Connecting)).await;
    loop {
        tokio::select! {
            Some(answer) = answers.recv() => state.answered(cluster, answer).await,
            Some(word) = nodes.next() => state.nodes(word).await,
            Some(words) = pods.next() => state.pods(words).await,
            Some(word) = budgets.next() => if let Some(delta) = state.sort("budgets", Kept::Budgets, word).await {
                state.out.send(Observation::Budgets(delta)).await;
            },
            Some(word) = volumes.next() => if let Some(delta) = state.sort("persistent volumes", Kept::Volumes, word).await {
                state.out.send(Observation::Volumes(delta)).await;
            },
            Some(word) = beats.next() => state.beats(word).await,
            Some(word) = lock.next() => state.lock(word).await,
            Some(word) = of_nodes.next() => if let Some(delta) = state.sort("events of nodes", Kept::Events, word).await {
                state.events(true, delta).await;
            },
            Some(word) = of_pods.next() => if let Some(delta) = state.sort("events of pods", Kept::Events, word).await {
                state.events(false, delta).await;
            },
            _ = beat.tick() => state.flush().await,
            // whoever may not read it simply has no other endpoints
            _ = endpoints.tick() => drop(cluster.learn_endpoints().await),
        }
    }
}

/// The way out.
struct Out {
    to: mpsc::Sender<Observation>,
}

impl Out {
    async fn send(&self, observation: Observation) {
        // a reader that is gone ends the task through `closed`
        let _ = self.to.send(observation).await;
    }
}

/// What has to be remembered between observations.
struct State {
    out: Out,
    wake: tokio::sync::watch::Sender<u64>,
    /// Last sign of life by node, and which of them have not been passed on.
    beats: BTreeMap<NodeName, Stamp>,
    fresh: BTreeMap<NodeName, Stamp>,
    /// Boot id by node, and when it was seen to change.
    boots: BTreeMap<NodeName, (String, Option<Stamp>)>,
    of_nodes: Teller,
    of_pods: Teller,
    /// What was complained about, by source, until it works again.
    complaints: BTreeMap<&'static str, String>,
    /// The last good answer of the API, and whether a bad one came after it.
    last: Option<Stamp>,
    has_failed: bool,
    version: Option<String>,
}

impl State {
    fn new(out: Out, wake: tokio::sync::watch::Sender<u64>) -> Self {
        Self {
            out,
            wake,
            beats: BTreeMap::new(),
            fresh: BTreeMap::new(),
            boots: BTreeMap::new(),
            of_nodes: Teller::default(),
            of_pods: Teller::default(),
            complaints: BTreeMap::new(),
            last: None,
            has_failed: false,
            version: None,
        }
    }

    async fn answered(&mut self, cluster: &Cluster, answer: Result<(), Error>) {
        let now = clock::now();
        let liveness = match answer {
            Ok(()) => {
                self.last = Some(now);
                if std::mem::take(&mut self.has_failed) {
                    self.wake.send_modify(|count| *count += 1);
                    self.version = None;
                }
                Liveness::Live(now)
            }
            Err(error) => {
                self.has_failed = true;
                Liveness::Failing { last: self.last, report: error.report() }
            }
        };
        self.out.send(Observation::Liveness(liveness)).await;
        if !self.has_failed
            && self.version.is_none()
            && let Ok(version) = cluster.version().await
        {
            self.version = Some(version.clone());
            self.out.send(Observation::Version(version)).await;
        }
    }

    /// A change, or `None` after a complaint; the first success after a complaint is told.
    async fn sort<R>(
        &mut self,
        source: &'static str,
        kept: Kept,
        word: Result<Delta<R>, Error>,
    ) -> Option<Delta<R>> {
        match word {
            Ok(delta) => {
                if self.complaints.remove(source).is_some() {
                    self.out.send(Observation::Trouble(kept, None)).await;
                    self.tell(Level::Info, format!("{source} are followed again")).await;
                }
                Some(delta)
            }
            Err(error) => {
                let words = error.to_string();
                if self.complaints.get(source) != Some(&words) {
                    self.complaints.insert(source, words.clone());
                    self.out.send(Observation::Trouble(kept, Some(error.report()))).await;
                    self.tell(Level::Warn, words).await;
                }
                None
            }
        }
    }

    async fn tell(&self, level: Level, text: String) {
        let line = LogLine { at: clock::now(), level, origin: Origin::System, op: None, node: None, text };
        self.out.send(Observation::Event(line)).await;
    }

    async fn nodes(&mut self, word: Result<Delta<NodeRow>, Error>) {
        let Some(delta) = self.sort("nodes", Kept::Nodes, word).await else { return };
        let delta = match delta {
            Delta::Reset(rows) => {
                let known: Vec<NodeName> = rows.iter().map(|row| row.name.clone()).collect();
                self.beats.retain(|name, _| known.contains(name));
                self.boots.retain(|name, _| known.contains(name));
                Delta::Reset(rows.into_iter().map(|row| self.complete(row)).collect())
            }
            Delta::Upsert(row) => Delta::Upsert(self.complete(row)),
            Delta::Remove(row) => {
                self.beats.remove(&row.name);
                self.boots.remove(&row.name);
                Delta::Remove(row)
            }
        };
        self.out.send(Observation::Nodes(delta)).await;
    }

    /// Adds what the Node object does not say itself.
    fn complete(&mut self, mut row: NodeRow) -> NodeRow {
        row.heartbeat = row.heartbeat.max(self.beats.get(&row.name).copied());
        let boot = self.boots.entry(row.name.clone()).or_insert_with(|| (row.boot_id.clone(), None));
        if boot.0 != row.boot_id && !row.boot_id.is_empty() {
            // the first boot id of a new node is none that we saw come
            let seen = (!boot.0.is_empty()).then(clock::now);
            *boot = (row.boot_id.clone(), seen);
        }
        row.booted = row.booted.or(boot.1);
        row
    }

    async fn pods(&mut self, words: Vec<Result<Delta<crate::domain::pod::PodRow>, Error>>) {
        let mut batch = Vec::with_capacity(words.len());
        for word in words {
            if let Some(delta) = self.sort("pods", Kept::Pods, word).await {
                if matches!(delta, Delta::Reset(_)) {
                    batch.clear();
                }
                batch.push(delta);
            }
        }
        if !batch.is_empty() {
            self.out.send(Observation::Pods(batch)).await;
        }
    }

    async fn beats(&mut self, word: Result<Delta<Beat>, Error>) {
        let Some(delta) = self.sort("node leases", Kept::Heartbeats, word).await else { return };
        let is_reset = matches!(delta, Delta::Reset(_));
        let beats = match delta {
            Delta::Reset(beats) => beats,
            Delta::Upsert(beat) => vec![beat],
            Delta::Remove(_) => Vec::new(),
        };
        for Beat { node, at } in beats {
            self.beats.insert(node.clone(), at);
            self.fresh.insert(node, at);
        }
        if is_reset {
            self.flush().await;
        }
    }

    async fn flush(&mut self) {
        if !self.fresh.is_empty() {
            let beats = std::mem::take(&mut self.fresh).into_iter().collect();
            self.out.send(Observation::Heartbeats(beats)).await;
        }
    }

    async fn lock(&mut self, word: Result<Delta<Lock>, Error>) {
        let Some(delta) = self.sort("the maintenance lease", Kept::Lock, word).await else { return };
        let lock = match delta {
            Delta::Reset(rows) => rows.into_iter().next().and_then(|lock| lock.0),
            Delta::Upsert(lock) => lock.0,
            Delta::Remove(_) => None,
        };
        self.out.send(Observation::Lock(lock)).await;
    }

    async fn events(&mut self, of_nodes: bool, delta: Delta<super::rows::EventRow>) {
        let teller = if of_nodes { &mut self.of_nodes } else { &mut self.of_pods };
        for line in teller.lines(delta, clock::now()) {
            self.out.send(Observation::Event(line)).await;
        }
    }
}

#[cfg(test)]
#[path = "observe_tests.rs"]
mod tests;
