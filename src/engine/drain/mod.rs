//! The drain: evictions as fast as budgets allow, driven by what is seen and not by a clock.
//!
//! One watch on pods, one on budgets, one on each node. At most one eviction per budget is on its way over all nodes of
//! the run (and over all runs of the process, see [`Reserved`]), and up to [`IN_FLIGHT`] over all; each is for one very
//! pod (uid). Pods go in waves: ordinary ones first, then by priority, cluster DNS last. A pod is done when that uid is
//! gone. The API going away stops nothing: the watches come back, and so do the evictions.
//!
//! The files: `fleet` (the loop over all nodes), `feeds` (what it listens to), `board` and `entry` (the pods of a node),
//! `ledger` and `reserved` (the budgets), `answer` (what a refusal means), `successor` (where pods
//! run afterwards), `estimate` and `show` (how far it is).

mod answer;
mod board;
mod entry;
mod estimate;
mod feeds;
mod fleet;
mod ledger;
mod reserved;
mod show;
mod successor;
#[cfg(test)]
mod tests;

pub use reserved::{Hold, Purpose, Reserved};

use super::job::{Ending, Job};
use std::time::Duration;

/// Evictions on their way at the same time, over all budgets and nodes.
pub const IN_FLIGHT: usize = 16;

/// The shortest time after which something is looked at again when nothing was seen.
const TICK: Duration = Duration::from_secs(1);

/// Drains the node of the job's step, or all nodes of the plan when the step names none; the step's deadline is enforced
/// from outside.
///
/// # Errors
/// A pod that may not be moved without an option, before anything is sent; a missing right; a node uncordoned by somebody,
/// or replaced.
pub async fn run(job: &Job) -> Ending {
    let nodes = match &job.step.node {
        Some(node) => vec![node.clone()],
        None => job.shared.plan.nodes.clone(),
    };
    fleet::Fleet::new(job, nodes).drive().await
}
