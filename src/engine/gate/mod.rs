//! Gates: what must be true before something irreversible, judged from one reading of the world.
//!
//! [`scene`] reads, the other files judge; judging is pure, so each rule has a plain test. A source that did not
//! answer gives an [`Unknown`](Verdict::Unknown) gate, and an unknown gate is not open.

mod cluster;
mod etcd;
mod host;
mod nodes;
mod pods;
pub mod scene;

#[cfg(test)]
mod tests;

pub use pods::{Baseline, baseline};
pub use scene::{Purpose, Scene};

use crate::domain::gate::{Gate, Verdict};
use crate::domain::lock::LockChoice;
use crate::domain::report::Report;

/// Stable names of the gates.
#[expect(missing_docs, reason = "the words of each gate stand where it is judged")]
pub mod names {
    pub const API: &str = "api";
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

    /// Before a reboot, on every node.
    pub const COMMON: [&str; 8] =
        [API, RIGHTS, LOCKS, TARGET, CONTROL_PLANES, STATIC_PODS, HOST_IDENTITY, HOST_READY];
    /// Before a reboot, on nodes with a control plane or etcd.
    pub const ETCD: [&str; 3] = [ETCD_QUORUM, ETCD_HEALTHY, ETCD_READ];
    /// After a reboot, on every node.
    pub const RETURN: [&str; 6] = [API, TARGET, BOOT, CONTROL_PLANES, STATIC_PODS, CRITICAL_PODS];
    /// After a reboot, on nodes with a control plane or etcd.
    pub const ETCD_RETURN: [&str; 3] = [ETCD_MEMBER, ETCD_HEALTHY, ETCD_HASH];
}

/// All gates of a scene's purpose.
pub fn judge(scene: &Scene) -> Vec<Gate> {
    let mut gates = vec![cluster::api(scene)];
    match &scene.purpose {
        Purpose::Before { run, is_locked, lock } => {
            gates.push(cluster::rights(scene));
            gates.push(cluster::locks(scene, run.as_ref(), *is_locked, *lock));
            gates.push(nodes::target(scene));
            gates.push(nodes::control_planes(scene));
            gates.push(pods::static_pods(scene));
            gates.push(host::identity(scene));
            gates.push(host::ready(scene));
            if scene.is_master {
                gates.extend([etcd::quorum(scene), etcd::healthy(scene), etcd::read(scene)]);
            }
        }
        Purpose::Return { memory } => {
            gates.push(nodes::target(scene));
            gates.push(host::boot(scene, memory));
            gates.push(nodes::control_planes(scene));
            gates.push(pods::static_pods(scene));
            gates.push(pods::critical(scene, &memory.baseline));
            if scene.is_master {
                gates.extend([etcd::member(scene, memory), etcd::healthy(scene), etcd::hash(scene)]);
            }
        }
        Purpose::Check => {
            gates.push(cluster::locks(scene, None, false, LockChoice::Take));
            gates.push(nodes::control_planes(scene));
            gates.push(nodes::workers(scene));
            gates.push(pods::static_pods(scene));
            gates.push(pods::critical(scene, &Baseline::default()));
            gates.extend([etcd::quorum(scene), etcd::healthy(scene)]);
        }
        Purpose::Settle { memory } => {
            gates.push(nodes::target(scene));
            gates.push(nodes::control_planes(scene));
            gates.push(pods::static_pods(scene));
            gates.push(pods::critical(scene, &memory.baseline));
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
fn verdict(scene: &Scene, name: &str, asks: &str, offenders: &[String], evidence: String) -> Gate {
    if offenders.is_empty() {
        Gate::new(name, asks, Verdict::Passed, evidence, scene.at)
    } else {
        Gate::new(name, asks, Verdict::Failed, offenders.join("; "), scene.at)
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
