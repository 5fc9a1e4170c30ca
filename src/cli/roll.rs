//! Flags about rolls, and the pauses that runs of one node share with them.

use crate::domain::roll::{Quota, RollAction, RollOptions};
use clap::Args;
use std::time::Duration;

/// The quiet time before the last look of a run, and the pause of a roll after each node, by the node's role.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Intervals {
    /// Quiet time before the last look at a control-plane node [default: [cluster.X.timing] settle_control_plane];
    /// for roll: the pause after each [default: 15s]
    #[arg(long = "control-plane-interval", visible_alias = "master-interval", value_name = "TIME", value_parser = super::seconds_or_span)]
    pub control_plane: Option<Duration>,
    /// The same for a worker [default: [cluster.X.timing] settle; for roll: 15s]
    #[arg(long = "node-interval", value_name = "TIME", value_parser = super::seconds_or_span)]
    pub node: Option<Duration>,
}

/// How a roll goes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Roll")]
pub struct RollFlags {
    /// For roll: what is done to each node: reboot, drain-only, or command:NAME of [cluster.X.command.NAME]
    #[arg(long, default_value = "reboot", value_name = "ACTION")]
    pub action: RollAction,
    /// For roll: how many workers may be away at a time, counting those that are away already: a number, or a percentage
    /// of the workers rolled
    #[arg(long, default_value = "1", value_name = "N|P%")]
    pub max_unavailable: Quota,
    /// For roll: the first worker goes alone, and is looked at before the others begin (the default)
    #[arg(long, overrides_with = "no_canary")]
    pub canary: bool,
    /// For roll: the first worker is like the others
    #[arg(long, overrides_with = "canary")]
    pub no_canary: bool,
    /// For roll with --yes: the pause after that first worker
    #[arg(long, default_value = "1m", value_name = "TIME", value_parser = super::seconds_or_span)]
    pub canary_pause: Duration,
    /// For roll: other nodes still begin after one has failed
    #[arg(long)]
    pub keep_going: bool,
    /// For roll: every node of the cluster
    #[arg(long, conflicts_with_all = ["nodes", "selector"])]
    pub all: bool,
}

impl RollFlags {
    /// With the pauses.
    pub fn options(&self, intervals: Intervals) -> RollOptions {
        let usual = RollOptions::default();
        RollOptions {
            action: self.action.clone(),
            max_unavailable: self.max_unavailable,
            control_plane_interval: intervals.control_plane.unwrap_or(usual.control_plane_interval),
            node_interval: intervals.node.unwrap_or(usual.node_interval),
            canary: !self.no_canary,
            canary_pause: self.canary_pause,
            keep_going: self.keep_going,
        }
    }
}
