//! Moves the etcd leadership away from the node, so that nobody waits for an election.

use crate::domain::etcd::EtcdView;
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::Outcome;
use crate::engine::job::{Ending, Job};

/// Moves it when the node's member leads, and remembers that it is not to lead when it goes down.
pub(super) async fn move_away(job: &Job) -> Ending {
    let outcome = look_and_move(job).await?;
    if !job.memory().leads_elsewhere {
        job.remember(|memory| memory.leads_elsewhere = true)?;
    }
    Ok(outcome)
}

/// An election may have brought it back while the node was drained: right before the reboot it is moved once more. What it was
/// left out of by the engineer is only said.
pub(super) async fn still_elsewhere(job: &Job, view: Option<&EtcdView>) -> Result<Option<String>, Report> {
    let node = job.node()?;
    let clusters = view.into_iter().flat_map(EtcdView::clusters).filter(|view| view.members.len() > 1);
    let mut leaders = clusters.filter_map(EtcdView::leader);
    let leads = leaders.any(|leader| leader.node.as_ref() == Some(node));
    match (leads, job.memory().leads_elsewhere) {
        (false, _) => Ok(None),
        (true, false) => Ok(Some(format!("{node} leads etcd: its leadership was not moved away"))),
        (true, true) => {
            job.note(format!("the etcd leadership came back to {node}: moving it away once more")).await;
            match look_and_move(job).await? {
                Outcome::Done(words) => Ok(Some(words)),
                _ => Ok(None),
            }
        }
    }
}

async fn look_and_move(job: &Job) -> Ending {
    let node = job.node()?;
    let etcd = job
        .backends()
        .etcd
        .as_ref()
        .ok_or_else(|| Report::new(FailureKind::Local, "etcd is not configured"))?;
    let view = job.patiently("looking at etcd", || etcd.look()).await?;
    let clusters: Vec<&EtcdView> =
        view.clusters().filter(|cluster| cluster.on_node(node).is_some()).collect();
    if clusters.is_empty() {
        return Ok(Outcome::Skipped(format!("{node} hosts no etcd member that is known")));
    }
    let mut elsewhere = Vec::new();
    for cluster in &clusters {
        match cluster.leader() {
            Some(leader) if leader.node.as_ref() != Some(node) => elsewhere.push(leader.label()),
            Some(_) => {}
            None => {
                let why = || format!("{} has no leader that a majority of the voters names", cluster.label());
                let why = cluster.unseen.clone().unwrap_or_else(why);
                return Err(
                    Report::new(FailureKind::Denied, why).hint("wait until etcd is healthy, then try again")
                );
            }
        }
    }
    if elsewhere.len() == clusters.len() {
        elsewhere.dedup();
        return Ok(Outcome::Skipped(format!("{} leads, not {node}", elsewhere.join(", "))));
    }
    let change = format!("move the etcd leadership away from {node}");
    let leader = job
        .patiently("moving the leadership", || job.change(&change, etcd.move_leader(node, job.permit())))
        .await?;
    Ok(Outcome::Done(format!("{leader} leads now")))
}
