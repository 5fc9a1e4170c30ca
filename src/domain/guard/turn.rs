//! The turns of a roll: each gets a permit for its own node, and begins only while no control-plane node is away.

use super::{Permit, World, deny_unsafe_reboot};
use crate::domain::ids::NodeName;
use crate::domain::node::NodeRow;
use crate::domain::plan::Kind;
use crate::domain::report::{FailureKind, Report};

impl Permit {
    /// The part of a roll's permit that the run of one of its nodes needs.
    ///
    /// # Errors
    /// It is no permit of a roll, or not for this node.
    pub fn for_turn(&self, kind: Kind, node: &NodeName) -> Result<Self, Report> {
        let may = self.kind == Kind::Roll && self.nodes.contains(node);
        if !may || !matches!(kind, Kind::Reboot | Kind::Drain) {
            let words = format!("no permit for {kind} of {node}: it was given for {}", self.kind);
            return Err(Report::new(FailureKind::Denied, words));
        }
        Ok(Self { kind, nodes: vec![node.clone()], resolve: None, by: self.by.clone() })
    }
}

/// Why the turn of a node may not begin now.
///
/// # Errors
/// Its reboot would break quorum, or a control-plane node is away: no node at all is taken away then.
pub fn may_turn(node: &NodeName, world: World<'_>) -> Result<(), Report> {
    deny_unsafe_reboot(node, world)?;
    let Some(nodes) = world.nodes else {
        return Err(Report::new(FailureKind::Denied, "the nodes are not known"));
    };
    let is_away = |row: &&NodeRow| row.name != *node && row.is_control_plane() && !row.is_ready();
    match nodes.values().find(is_away) {
        None => Ok(()),
        Some(away) => {
            let words = format!(
                "the turn of {node} does not begin: a control-plane node, {}, is away (not Ready)",
                away.name
            );
            Err(Report::new(FailureKind::Denied, words).hint(format!("bring {} back first", away.name)))
        }
    }
}
