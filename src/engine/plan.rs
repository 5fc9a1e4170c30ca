//! From a request to a plan: what will be done, in words and as commands a person could type. Pure.

use super::settings::{Backends, Settings, Timing};
use crate::backend::etcd::Etcd;
use crate::domain::etcd::EtcdView;
use crate::domain::feed::{Row, Table};
use crate::domain::guard::Request;
use crate::domain::ids::NodeName;
use crate::domain::lock::LockChoice;
use crate::domain::node::NodeRow;
use crate::domain::plan::{Kind, Plan, Step, StepKind};
use crate::domain::report::Report;
use std::collections::BTreeSet;
use std::time::Duration;

mod resolve;
mod roll;
mod words;

pub(crate) use roll::child;

/// What a plan is made from.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The nodes, as far as they are known.
    pub nodes: Table<NodeRow>,
    /// The etcd members, as far as they are known.
    pub etcd: Option<EtcdView>,
    /// Where a member is looked for, whether it answers or not.
    pub etcd_hosts: BTreeSet<NodeName>,
    /// Whether hosts are reached over SSH.
    pub has_ssh: bool,
    /// Whether etcd is to be reached.
    pub has_etcd: bool,
    /// Places and times.
    pub settings: Settings,
}

impl Facts {
    /// From tables that are kept anyway (the console).
    pub fn new(backends: &Backends, nodes: Table<NodeRow>, etcd: Option<EtcdView>) -> Self {
        Self {
            nodes,
            etcd,
            etcd_hosts: backends.etcd.as_ref().map(Etcd::hosts).unwrap_or_default(),
            has_ssh: backends.hosts.is_some(),
            has_etcd: backends.etcd.is_some(),
            settings: backends.settings.clone(),
        }
    }

    /// By asking now (the command line). etcd that does not answer is left unknown: the gates will say so.
    ///
    /// # Errors
    /// The nodes cannot be read.
    pub async fn read(backends: &Backends) -> Result<Self, Report> {
        let rows = backends.cluster.node_objects().await?;
        let etcd = match &backends.etcd {
            Some(etcd) => {
                super::locate(backends, &rows).await;
                etcd.look().await.ok()
            }
            None => None,
        };
        let nodes = rows.into_iter().map(|row| (row.key(), row)).collect();
        Ok(Self::new(backends, nodes, etcd))
    }

    /// A control-plane node, a node that hosts etcd, or one of which neither can be told.
    pub fn is_master(&self, node: &NodeName) -> bool {
        self.nodes.get(node).is_none_or(|row| row.is_control_plane() || row.is_labelled_etcd())
            || self.etcd_hosts.contains(node)
            || self.etcd.as_ref().is_some_and(|etcd| etcd.is_host(node))
    }
}

/// The plan for a request.
pub fn plan(request: &Request, facts: &Facts) -> Plan {
    let drain = &request.drain;
    let steps = match request.kind {
        Kind::Cordon => request.nodes.iter().map(words::cordon).collect(),
        Kind::Uncordon => request.nodes.iter().map(words::uncordon_now).collect(),
        Kind::Drain => drains(request, facts),
        Kind::Reboot => request.nodes.iter().flat_map(|node| reboot(node, request, facts)).collect(),
        Kind::PowerCycle => request.nodes.iter().flat_map(|node| power_cycle(node, request, facts)).collect(),
        Kind::Snapshot => vec![words::snapshot(None, facts, false)],
        Kind::Unlock => vec![words::clear(request.nodes.first(), &facts.settings)],
        Kind::Resolve => request.resolve.iter().flat_map(|chosen| resolve::steps(chosen, drain)).collect(),
        Kind::Roll => return roll::plan(request, facts),
    };
    Plan {
        kind: request.kind,
        nodes: request.nodes.clone(),
        steps,
        drain: drain.clone(),
        lock: request.lock,
        resolve: request.resolve.clone(),
        parent: None,
        roll: None,
    }
}

/// Drains: what is foretold of any node can stop the run before one is touched. All nodes are cordoned first, as kubectl
/// does it, so that no pod moves from one to the next and has to move again.
fn drains(request: &Request, facts: &Facts) -> Vec<Step> {
    let (nodes, drain) = (&request.nodes, &request.drain);
    let mut steps: Vec<Step> = nodes.iter().map(|node| words::predict(node, drain)).collect();
    steps.extend(nodes.iter().map(words::cordon));
    if drain.parallel > 1 && nodes.len() > 1 {
        steps.push(words::drain_together(nodes, drain));
    } else {
        steps.extend(nodes.iter().map(|node| words::drain(node, drain)));
    }
    // with a worker nothing else is at stake; two control-plane nodes must not be emptied at the same time
    let master = nodes.iter().find(|node| facts.is_master(node));
    if let Some(node) = master.filter(|_| !matches!(request.lock, LockChoice::Without | LockChoice::Parent)) {
        steps.insert(0, words::lock(node, &facts.settings));
        steps.push(words::unlock(node, &facts.settings));
    }
    steps
}

/// A power cycle. Whoever cuts the power of a control-plane node holds the lock, as for its reboot; where the lock cannot be
/// reached because the API is away with the node, it can be left out.
fn power_cycle(node: &NodeName, request: &Request, facts: &Facts) -> Vec<Step> {
    let is_locked = facts.is_master(node) && request.lock != LockChoice::Without;
    let cycle = words::power_cycle(node, is_locked);
    if !is_locked {
        return vec![cycle];
    }
    let lock = Step { may_skip: true, ..words::lock(node, &facts.settings) };
    vec![lock, cycle, words::unlock(node, &facts.settings)]
}

/// The whole way of a reboot; what does not apply to the node is shown as such.
fn reboot(node: &NodeName, request: &Request, facts: &Facts) -> Vec<Step> {
    let drain = &request.drain;
    let is_master = facts.is_master(node);
    let timing = &facts.settings.timing;
    let only_master = |step: Step| {
        let why = format!("{node} hosts no control plane and no etcd");
        Step { not_applicable: (!is_master).then_some(why), ..step }
    };
    let locked = |step: Step| {
        let why = match request.lock {
            LockChoice::Without => {
                "the engineer goes on without the maintenance lock: nothing keeps another console away"
            }
            LockChoice::Parent => "the roll that this run is a part of holds the maintenance lock",
            LockChoice::Take | LockChoice::Adopt => "",
        };
        Step { not_applicable: (!why.is_empty()).then(|| why.to_owned()), ..step }
    };
    let mut steps = vec![
        words::preflight(node, is_master, timing),
        locked(words::lock(node, &facts.settings)),
        only_master(words::snapshot(Some(node), facts, true)),
        words::predict(node, drain),
        words::cordon(node),
        only_master(words::move_leader(node, facts)),
        words::drain(node, drain),
        words::residual(node),
    ];
    steps.extend(words::patch(node, &facts.settings));
    steps.extend([
        words::recheck(node, is_master, timing),
        words::reboot(node, &facts.settings),
        words::down(node, &facts.settings),
        words::back(node, timing),
        words::verify(node, is_master, timing),
        words::uncordon(node),
        words::settle(node, is_master, timing),
        locked(words::unlock(node, &facts.settings)),
    ]);
    steps
}

/// The quiet time that a plan was made with.
pub(crate) fn quiet(plan: &Plan, timing: &Timing) -> Duration {
    let settle = plan.steps.iter().find(|step| step.kind == StepKind::Settle);
    settle.map_or(timing.settle, |step| step.timeout.saturating_sub(gate_time(timing)))
}

/// Time for reading all gates: two etcd samples, and every call with its own deadline.
fn gate_time(timing: &Timing) -> Duration {
    timing.etcd_sample_interval + Duration::from_mins(1)
}

#[cfg(test)]
#[path = "plan/tests.rs"]
mod tests;
