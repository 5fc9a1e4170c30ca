//! Gates: what must be true before something irreversible, judged from one reading of the world.
//!
//! [`scene`] reads, the other files judge; judging is pure, so each rule has a plain test. A source that did not
//! answer gives an [`Unknown`](Verdict::Unknown) gate, and an unknown gate is not open.

mod backups;
mod baseline;
mod budgets;
mod cluster;
mod detail;
mod etcd;
mod host;
mod locks;
mod network;
mod nodes;
mod pods;
pub mod scene;
mod world;

#[cfg(test)]
mod baseline_tests;
#[cfg(test)]
mod etcd_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod topology_tests;

pub use baseline::Baseline;
pub use detail::Details;
pub use pods::manifests;
pub use scene::{Purpose, Scene, Steady};

use crate::domain::gate::{Gate, Offender, Verdict};
use crate::domain::report::Report;

/// Stable names of the gates.
#[expect(missing_docs, reason = "the words of each gate stand where it is judged")]
pub mod names {
    pub const API: &str = "api";
    pub const ENDPOINTS: &str = "api-endpoints";
    pub const LEADERS: &str = "leaders";
    pub const NETWORK: &str = "network";
    pub const DNS: &str = "dns";
    pub const CORDONS: &str = "cordons";
    pub const BUDGETS: &str = "budgets";
    pub const STEADY: &str = "steady";
    pub const RIGHTS: &str = "permissions";
    pub const LOCKS: &str = "locks";
    pub const TARGET: &str = "node";
    pub const CONTROL_PLANES: &str = "control-planes";
    pub const WORKERS: &str = "workers";
    pub const STATIC_PODS: &str = "static-pods";
    pub const CRITICAL_PODS: &str = "critical-pods";
    pub const HOST_IDENTITY: &str = "host-identity";
    pub const HOST_READY: &str = "host-ready";
    pub const BOOT: &str = "boot-id";
    pub const ETCD_QUORUM: &str = "etcd-quorum";
    pub const ETCD_HEALTHY: &str = "etcd-healthy";
    pub const ETCD_READ: &str = "etcd-read";
    pub const ETCD_MEMBER: &str = "etcd-member";
    pub const ETCD_HASH: &str = "etcd-hash";
    pub const ETCD_BACKUP: &str = "etcd-backup";

    /// Before a reboot, on every node.
    pub const COMMON: [&str; 10] = [
        API,
        ENDPOINTS,
        LEADERS,
        RIGHTS,
        LOCKS,
        TARGET,
        CONTROL_PLANES,
        STATIC_PODS,
        HOST_IDENTITY,
        HOST_READY,
    ];
    /// Before a reboot, on nodes with a control plane or etcd.
    pub const ETCD: [&str; 4] = [ETCD_QUORUM, ETCD_HEALTHY, ETCD_READ, ETCD_BACKUP];
    /// After a reboot, on every node.
    pub const RETURN: [&str; 12] = [
        API,
        ENDPOINTS,
        LEADERS,
        TARGET,
        BOOT,
        CONTROL_PLANES,
        WORKERS,
        STEADY,
        STATIC_PODS,
        CRITICAL_PODS,
        NETWORK,
        DNS,
    ];
    /// After a reboot, on nodes with a control plane or etcd.
    pub const ETCD_RETURN: [&str; 3] = [ETCD_MEMBER, ETCD_HEALTHY, ETCD_HASH];
    /// Of the whole cluster.
    pub const CHECK: [&str; 16] = [
        API,
        ENDPOINTS,
        LEADERS,
        LOCKS,
        CORDONS,
        CONTROL_PLANES,
        WORKERS,
        STEADY,
        STATIC_PODS,
        CRITICAL_PODS,
        NETWORK,
        DNS,
        BUDGETS,
        ETCD_QUORUM,
        ETCD_HEALTHY,
        ETCD_BACKUP,
    ];
}

/// All gates of a scene's purpose.
pub fn judge(scene: &Scene) -> Vec<Gate> {
    let mut gates = vec![cluster::api(scene), cluster::endpoints(scene), cluster::leaders(scene)];
    match &scene.purpose {
        Purpose::Before { run, is_locked, lock } => {
            let own = locks::Own { run: run.as_ref(), is_locked: *is_locked, choice: *lock };
            gates.push(cluster::rights(scene));
            gates.push(locks::locks(scene, own));
            gates.push(nodes::target(scene));
            gates.push(nodes::control_planes(scene));
            gates.push(pods::static_pods(scene));
            gates.push(host::identity(scene));
            gates.push(host::ready(scene));
            if scene.is_master {
                gates.extend([etcd::quorum(scene), etcd::healthy(scene), etcd::read(scene)]);
                gates.push(backups::backups(scene));
            }
        }
        Purpose::Return { memory, .. } => {
            gates.push(nodes::target(scene));
            gates.push(host::boot(scene, memory));
            gates.push(nodes::control_planes(scene));
            gates.extend([nodes::workers(scene), nodes::steady(scene)]);
            gates.push(pods::static_pods(scene));
            gates.push(pods::critical(scene, false));
            gates.extend([network::network(scene), network::dns(scene)]);
            if scene.is_master {
                gates.extend([etcd::member(scene, memory), etcd::healthy(scene), etcd::hash(scene)]);
            }
        }
        Purpose::Check | Purpose::Between { .. } => {
            gates.push(locks::locks(scene, locks::Own::default()));
            gates.push(locks::cordons(scene));
            gates.push(nodes::control_planes(scene));
            gates.push(nodes::workers(scene));
            gates.push(nodes::steady(scene));
            gates.push(pods::static_pods(scene));
            gates.push(pods::critical(scene, true));
            gates.extend([network::network(scene), network::dns(scene), budgets::budgets(scene)]);
            gates.extend([etcd::quorum(scene), etcd::healthy(scene), backups::backups(scene)]);
        }
        Purpose::Settle { .. } => {
            gates.push(nodes::target(scene));
            gates.push(nodes::control_planes(scene));
            gates.extend([nodes::workers(scene), nodes::steady(scene)]);
            gates.push(pods::static_pods(scene));
            gates.push(pods::critical(scene, true));
            if scene.is_master {
                gates.push(etcd::healthy(scene));
            }
        }
    }
    gates
}

/// The gates that are not open.
pub fn closed(gates: &[Gate]) -> Vec<&Gate> {
    gates.iter().filter(|gate| !gate.verdict.is_open()).collect()
}

/// A gate from a rule's answer: offenders, or evidence.
fn verdict(scene: &Scene, name: &str, asks: &str, offenders: Vec<Offender>, evidence: String) -> Gate {
    if offenders.is_empty() {
        Gate::new(name, asks, Verdict::Passed, evidence, scene.at)
    } else {
        Gate::failed(name, asks, offenders, scene.at)
    }
}

/// A gate whose source did not answer.
fn unknown(scene: &Scene, name: &str, asks: &str, why: &Report) -> Gate {
    Gate::new(name, asks, Verdict::Unknown, why.line(), scene.at)
}

/// A gate that has nothing to judge here.
fn not_applicable(scene: &Scene, name: &str, asks: &str, why: &str) -> Gate {
    Gate::new(name, asks, Verdict::NotApplicable, why, scene.at)
}
