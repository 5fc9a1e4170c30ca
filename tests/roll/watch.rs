//! Looks over the shoulder of the simulated server while nodes are rolled: who is away at the same time, and how often each
//! node boots.

use pitstop::sim::store::Store;
use pitstop::sim::store::feed::Subscription;
use pitstop::sim::store::resources::NODES;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What is known of one node.
#[derive(Debug, Clone, Default)]
struct Known {
    is_master: bool,
    zone: String,
    is_away: bool,
    boots: BTreeSet<String>,
    marked: bool,
}

/// Everything that was seen.
pub struct Watch {
    changes: Subscription,
    nodes: BTreeMap<String, Known>,
    /// The most control-plane nodes away at a time.
    pub masters: usize,
    /// The most workers away at a time.
    pub workers: usize,
    /// The most workers of one zone away at a time.
    pub of_zone: usize,
    /// Nodes in the order in which they first went away.
    pub order: Vec<String>,
    /// A worker was away while a control-plane node was.
    pub mixed: bool,
}

fn is_ready(node: &Value) -> bool {
    let conditions = node["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

impl Watch {
    pub fn new(store: &Store) -> Self {
        let (revision, nodes) = store.list_at(&NODES, None);
        let mut watch = Self {
            changes: store.subscribe(Some(revision)).expect("a fresh revision"),
            nodes: BTreeMap::new(),
            masters: 0,
            workers: 0,
            of_zone: 0,
            order: Vec::new(),
            mixed: false,
        };
        for node in nodes {
            watch.see(&node);
        }
        watch
    }

    /// Looks until it is told to stop; what it saw comes back.
    pub fn look(mut self, stop: CancellationToken) -> JoinHandle<Self> {
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    change = self.changes.next() => match change {
                        Some(change) => self.see(&change.object),
                        None => panic!("the feed was lost"),
                    },
                    () = stop.cancelled() => return self,
                }
            }
        })
    }

    fn see(&mut self, node: &Arc<Value>) {
        if node["kind"] != "Node" {
            return;
        }
        let name = node["metadata"]["name"].as_str().expect("a name").to_owned();
        let labels = &node["metadata"]["labels"];
        let known = self.nodes.entry(name.clone()).or_default();
        known.is_master = !labels["node-role.kubernetes.io/control-plane"].is_null();
        known.zone = labels["topology.kubernetes.io/zone"].as_str().unwrap_or_default().to_owned();
        let was_away = known.is_away;
        known.is_away = node["spec"]["unschedulable"] == true || !is_ready(node);
        let taints = node["spec"]["taints"].as_array().map(Vec::as_slice).unwrap_or_default();
        known.marked = taints.iter().any(|taint| taint["key"] == "pitstop.dev/scheduled");
        if let Some(boot) = node["status"]["nodeInfo"]["bootID"].as_str() {
            known.boots.insert(boot.to_owned());
        }
        if known.is_away && !was_away && !self.order.contains(&name) {
            self.order.push(name);
        }
        self.count();
    }

    fn count(&mut self) {
        let away = || self.nodes.values().filter(|known| known.is_away);
        let masters = away().filter(|known| known.is_master).count();
        let workers = away().filter(|known| !known.is_master).count();
        let mut zones: BTreeMap<&str, usize> = BTreeMap::new();
        for known in away().filter(|known| !known.is_master) {
            *zones.entry(&known.zone).or_default() += 1;
        }
        self.masters = self.masters.max(masters);
        self.workers = self.workers.max(workers);
        self.of_zone = self.of_zone.max(zones.values().max().copied().unwrap_or(0));
        self.mixed |= masters > 0 && workers > 0;
    }

    /// How often a node booted while it was looked at.
    pub fn reboots(&self, node: &str) -> usize {
        self.nodes[node].boots.len() - 1
    }

    /// Nodes that are away, or marked, at the end.
    pub fn unsettled(&self) -> Vec<&str> {
        let is_odd = |known: &Known| known.is_away || known.marked;
        self.nodes.iter().filter(|(_, known)| is_odd(known)).map(|(name, _)| name.as_str()).collect()
    }
}
