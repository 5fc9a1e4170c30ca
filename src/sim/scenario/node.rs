//! Nodes of a scenario: generated ones, refined or joined by named ones.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Scenario;
use super::settings::Span;
use crate::sim::etcd::MemberFaults;
use crate::sim::host::HostFaults;
use crate::sim::machine::{MachineSpec, RebootOutcome};

/// Label of a node's zone.
pub const ZONE: &str = "topology.kubernetes.io/zone";

/// A node and the machine under it. As `[[node]]` it refines the generated node of that name or adds one.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeSpec {
    /// Its name.
    pub name: String,
    /// A control plane with an etcd member.
    pub control_plane: bool,
    /// Internal IP address; given by its place when empty.
    pub address: String,
    /// Further labels.
    pub labels: BTreeMap<String, String>,
    /// Further annotations.
    pub annotations: BTreeMap<String, String>,
    /// Further taints, as `key=value:Effect`.
    pub taints: Vec<String>,
    /// Cordoned before anybody came.
    pub cordoned: bool,
    /// Its machine is off from the start.
    pub off: bool,
    /// How many pods fit; 110 when absent.
    pub pods: Option<u32>,
    /// CPU that pods may ask for, as a quantity; 4 on control planes and 8 on workers when absent.
    pub cpu: Option<String>,
    /// Memory that pods may ask for, as a quantity; 8 and 32 GB when absent.
    pub memory: Option<String>,
    /// Kubelet version, when it differs from the cluster's.
    pub version: Option<String>,
    /// Kernel release, when it differs from the cluster's.
    pub kernel: Option<String>,
    /// Name of the operating system, when it differs from the cluster's.
    pub os: Option<String>,
    /// Static pods that a control plane lacks: `kube-scheduler`.
    pub without: Vec<String>,
    /// How far its clock is ahead.
    pub clock_ahead: Option<Span>,
    /// What is wrong with its etcd member.
    pub etcd: MemberFaults,
    /// What differs on its host.
    pub host: HostFaults,
    /// What a reboot leads to: `normal`, `keeps-boot-id`, `never-returns`, `ignored`.
    pub reboot: Reboot,
    /// Its kubelet falters after a boot.
    pub unsteady: Option<Unsteady>,
    /// The node in whose place an actor puts this machine; empty for a node that is there from the start.
    #[serde(skip)]
    pub replaces: String,
}

/// A kubelet that is ready and not ready by turns, and whose containers start anew each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unsteady {
    /// From one loss of readiness to the next; not ready for half of it.
    pub every: Span,
    /// How many times; for ever when absent.
    #[serde(default)]
    pub times: Option<u32>,
}

/// What a reboot leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reboot {
    /// Down and up with a new boot id.
    #[default]
    Normal,
    /// Services go and come back, the kernel stays (soft reboot).
    KeepsBootId,
    /// Down for good.
    NeverReturns,
    /// Nothing happens.
    Ignored,
}

impl NodeSpec {
    /// Whether it is not there from the start: an actor brings it.
    pub fn is_spare(&self) -> bool {
        !self.replaces.is_empty()
    }

    /// The computer under it.
    pub fn machine(&self) -> MachineSpec {
        MachineSpec {
            name: self.name.clone(),
            address: self.address.clone(),
            control_plane: self.control_plane,
            off: self.off,
            reboot: match self.reboot {
                Reboot::Normal => RebootOutcome::Normal,
                Reboot::KeepsBootId => RebootOutcome::KeepsBootId,
                Reboot::NeverReturns => RebootOutcome::NeverReturns,
                Reboot::Ignored => RebootOutcome::Ignored,
            },
        }
    }
}

/// Puts nodes that have no zone into the zones `a` and up in turn, control planes and workers each for themselves.
fn spread(nodes: &mut [NodeSpec], zones: u32) {
    for control_plane in [true, false] {
        let all = nodes.iter_mut().filter(|node| node.control_plane == control_plane);
        for (node, zone) in all.zip((0..zones).cycle()) {
            let letter = char::from(b'a' + u8::try_from(zone % 26).unwrap_or_default());
            node.labels.entry(ZONE.to_owned()).or_insert_with(|| format!("zone-{letter}"));
        }
    }
}

/// All nodes, control planes first, then the machines that actors bring; addresses are 10.0.0.11 and up for control planes, 10.0.1.11 and up for workers.
pub fn expand(scenario: &Scenario) -> Vec<NodeSpec> {
    let generated = |name: String, control_plane| NodeSpec { name, control_plane, ..NodeSpec::default() };
    let mut nodes: Vec<NodeSpec> = (1..=scenario.size.control_planes)
        .map(|n| generated(format!("cp-{n}"), true))
        .chain((1..=scenario.size.workers).map(|n| generated(format!("worker-{n}"), false)))
        .collect();
    for spec in &scenario.nodes {
        match nodes.iter_mut().find(|node| node.name == spec.name) {
            Some(node) => {
                let control_plane = node.control_plane;
                *node = spec.clone();
                node.control_plane |= control_plane;
            }
            None => nodes.push(spec.clone()),
        }
    }
    nodes.sort_by_key(|node| !node.control_plane);
    spread(&mut nodes, scenario.size.zones);
    for actor in scenario.actors.iter().filter(|actor| actor.kind.replaces()) {
        let turns = actor.turns(&nodes);
        let old = turns.iter().filter_map(|name| nodes.iter().find(|node| node.name == *name));
        let fresh: Vec<NodeSpec> = old.map(|old| actor.successor(old)).collect();
        nodes.extend(fresh);
    }
    let (mut control_planes, mut workers) = (10, 0);
    for node in &mut nodes {
        let place = if node.control_plane { &mut control_planes } else { &mut workers };
        *place += 1;
        if node.address.is_empty() {
            let (high, low) = if node.control_plane {
                (0, *place)
            } else {
                (1 + (*place - 1) / 240, 11 + (*place - 1) % 240)
            };
            node.address = format!("10.0.{high}.{low}");
        }
    }
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_nodes_refine_or_join_the_generated_ones() {
        let text = "[size]\ncontrol_planes = 1\nworkers = 1\n[[node]]\nname = \"cp-1\"\noff = true\n[[node]]\nname = \"gpu\"";
        let nodes = Scenario::parse(text).unwrap().node_specs();
        let seen: Vec<_> = nodes.iter().map(|n| (n.name.as_str(), n.control_plane, n.off)).collect();
        assert_eq!(seen, [("cp-1", true, true), ("worker-1", false, false), ("gpu", false, false)]);
        assert_eq!(nodes[0].address, "10.0.0.11");
        assert_eq!(nodes[2].address, "10.0.1.12");
    }

    #[test]
    fn addresses_of_many_workers_differ() {
        let nodes = Scenario::parse("[size]\nworkers = 600").unwrap().node_specs();
        let addresses: std::collections::BTreeSet<_> = nodes.iter().map(|n| &n.address).collect();
        assert_eq!(addresses.len(), 603);
    }
}
