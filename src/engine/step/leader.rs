//! Moves the etcd leadership away from the node, so that nobody waits for an election.

use crate::domain::report::{FailureKind, Report};
use crate::domain::run::Outcome;
use crate::engine::job::{Ending, Job};

/// Moves it when the node's member leads.
pub(super) async fn move_away(job: &Job) -> Ending {
    let node = job.node()?;
    let etcd = job
        .backends()
        .etcd
        .as_ref()
        .ok_or_else(|| Report::new(FailureKind::Local, "etcd is not configured"))?;
    let view = job.patiently("looking at etcd", || etcd.look()).await?;
    let Some(member) = view.on_node(node) else {
        return Ok(Outcome::Skipped(format!("{node} hosts no etcd member that is known")));
    };
    match view.leader() {
        Some(leader) if leader.id != member.id => {
            return Ok(Outcome::Skipped(format!("{} leads, not {node}", leader.label())));
        }
        Some(_) => {}
        None => {
            return Err(Report::new(
                FailureKind::Denied,
                "etcd has no leader that a majority of the voters names",
            )
            .hint("wait until etcd is healthy, then try again"));
        }
    }
    let change = format!("move the etcd leadership away from {node}");
    let leader = job
        .patiently("moving the leadership", || job.change(&change, etcd.move_leader(node, job.permit())))
        .await?;
    Ok(Outcome::Done(format!("{leader} leads now")))
}
