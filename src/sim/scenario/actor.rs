//! Others who maintain the nodes of a simulated cluster, as a scenario writes them down.

use serde::Deserialize;

use super::event::Action;
use super::node::NodeSpec;
use super::settings::Span;
use crate::sim::world::letters;

/// Somebody who works through the nodes by himself. What a tool does not do by default it does not do here.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActorSpec {
    /// Which tool.
    pub kind: ActorKind,
    /// When it begins, counted from the start.
    #[serde(default = "ten_seconds")]
    pub at: Span,
    /// Nodes in the order of their turns; all of them in the tool's own order when empty.
    #[serde(default)]
    pub nodes: Vec<String>,
    /// Kubelet version that nodes have afterwards, when it changes.
    #[serde(default)]
    pub version: Option<String>,
    /// Kernel release that nodes have afterwards, when it changes.
    #[serde(default)]
    pub kernel: Option<String>,
    /// Name of the operating system that nodes have afterwards, when it changes.
    #[serde(default)]
    pub os: Option<String>,
    /// From the end of one turn until the next; the tool's default when absent.
    #[serde(default)]
    pub interval: Option<Span>,
    /// Pause between two steps of one turn, of somebody who works by hand.
    #[serde(default = "fifteen_seconds")]
    pub pause: Span,
    /// From the end of a machine until the one in its place is switched on.
    #[serde(default = "forty_seconds")]
    pub launch: Span,
    /// How long a drain may take; after that the actor gives up. For ever when absent.
    #[serde(default)]
    pub drain_timeout: Option<Span>,
    /// How long the actor waits for a node to be well again before it gives up. For ever when absent.
    #[serde(default)]
    pub patience: Option<Span>,
    /// What is done to a node by hand.
    #[serde(default)]
    pub work: Work,
    /// What somebody does about evictions that are refused.
    #[serde(default)]
    pub relief: Option<Relief>,
}

/// A tool that maintains nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActorKind {
    /// `kops rolling-update cluster`: a new machine in the place of each old one, control planes first.
    Kops,
    /// Cluster API: the new machine first, then the old one goes.
    ClusterApi,
    /// kured: reboots, one node at a time, under a lock on its DaemonSet.
    Kured,
    /// Somebody with kubectl.
    Hand,
}

impl ActorKind {
    /// Whether nodes come back under another name.
    pub fn replaces(self) -> bool {
        matches!(self, ActorKind::Kops | ActorKind::ClusterApi)
    }
}

/// What somebody does to a drained node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// Reboots it.
    #[default]
    Reboot,
    /// Upgrades its kubelet (of a control plane: its static pods too) and leaves the kernel running.
    Upgrade,
}

/// Help for a drain that is blocked.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relief {
    /// How long evictions of one node have been refused.
    pub after: Span,
    /// What somebody does then, once.
    pub action: Action,
}

impl ActorSpec {
    /// Its nodes, in the order of their turns.
    pub fn turns(&self, nodes: &[NodeSpec]) -> Vec<String> {
        if !self.nodes.is_empty() {
            return self.nodes.clone();
        }
        let mut names: Vec<String> =
            nodes.iter().filter(|node| !node.is_spare()).map(|node| node.name.clone()).collect();
        if self.kind == ActorKind::Kured {
            // every agent looks at its own hours: no order that anybody chose
            names.sort_by_key(|name| crate::sim::world::fingerprint(name));
        }
        names
    }

    /// The machine that is to stand in the place of `old`, off until it is launched.
    pub fn successor(&self, old: &NodeSpec) -> NodeSpec {
        let zone = old
            .labels
            .get(super::node::ZONE)
            .map(|zone| format!("-{}", zone.trim_start_matches("zone-")))
            .unwrap_or_default();
        let role = if old.control_plane { "control-plane" } else { "nodes" };
        NodeSpec {
            name: format!("{role}{zone}-{}", letters(&format!("successor of {}", old.name), 4)),
            address: String::new(),
            annotations: std::collections::BTreeMap::new(),
            cordoned: false,
            off: true,
            version: self.version.clone().or_else(|| old.version.clone()),
            kernel: self.kernel.clone().or_else(|| old.kernel.clone()),
            os: self.os.clone().or_else(|| old.os.clone()),
            replaces: old.name.clone(),
            ..old.clone()
        }
    }
}

fn ten_seconds() -> Span {
    Span(std::time::Duration::from_secs(10))
}

fn fifteen_seconds() -> Span {
    Span(std::time::Duration::from_secs(15))
}

fn forty_seconds() -> Span {
    Span(std::time::Duration::from_secs(40))
}
