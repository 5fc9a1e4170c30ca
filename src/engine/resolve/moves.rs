//! One pod at a time: evicted where the budget has room, deleted where it was decided so; awaited by uid.

use super::super::job::{Ending, Job};
use super::{PATIENCE, chosen, pods};
use crate::backend::error::{Error, Refusal};
use crate::backend::kube::Eviction;
use crate::domain::budget::BudgetRow;
use crate::domain::feed::Delta;
use crate::domain::remedy::{Resolution, Target};
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::Outcome;
use crate::domain::time::brief;
use futures::StreamExt;
use std::time::Duration;
use tokio::time::Instant;

/// A drain that waits for a pod hears within this time that it is to be left.
const HEEDED: Duration = Duration::from_secs(10);
/// The pause before a refused eviction is asked for again, unless the server names another.
const AGAIN: Duration = Duration::from_secs(1);

/// Evicts this very pod; returns when the server has accepted it, or when it is gone.
///
/// # Errors
/// Refused for a reason that does not pass, or not accepted in time.
pub(super) async fn evict(job: &Job, target: &Target, limit: Duration) -> Result<String, Report> {
    let end = Instant::now() + limit;
    let cluster = &job.backends().cluster;
    let change = format!("evict {} ({})", target.pod, target.pod.uid);
    loop {
        let request = cluster.evict(&target.pod, &target.node, None, job.permit());
        let error = match job.change(&change, request).await {
            Ok(Eviction::Accepted) => return Ok(format!("{} was let go", target.pod)),
            Ok(Eviction::Gone) => return Ok(format!("{} was gone already", target.pod)),
            Err(error) => error,
        };
        if !may_pass(&error) || Instant::now() >= end {
            return Err(error.into());
        }
        // somebody else's eviction of the same pod counts: what was changed for it goes back the sooner
        if let Ok(found) = cluster.pod_as_is(&target.pod).await
            && found.is_none_or(|(row, _)| row.deleting.is_some())
        {
            return Ok(format!("{} was let go by another eviction", target.pod));
        }
        let pause = error.retry_after.unwrap_or(AGAIN).min(end.saturating_duration_since(Instant::now()));
        job.say(format!("{}: {error}; again in {}", target.pod, brief(pause)));
        tokio::select! {
            () = job.cancel.cancelled() => {
                return Err(Report::new(FailureKind::Cancelled, "stopped before the eviction"));
            }
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Whether the same eviction may be accepted a moment later.
fn may_pass(error: &Error) -> bool {
    match &error.refusal {
        Some(
            Refusal::BudgetFull { .. } | Refusal::BudgetStale { .. } | Refusal::Throttled | Refusal::Conflict,
        ) => true,
        // what no rule of evictions explains (the server or etcd away) passes as for any other request
        Some(Refusal::Other) | None => error.kind.is_passing(),
        Some(_) => false,
    }
}

/// Waits until this very pod is gone.
///
/// # Errors
/// It is still there when the time is over: says what holds it.
pub(super) async fn gone(job: &Job, target: &Target, limit: Duration) -> Result<(), Report> {
    let cluster = &job.backends().cluster;
    let mut feed = cluster.watch_node_pods(&target.node);
    let end = Instant::now() + limit;
    let mut held = String::new();
    loop {
        let change = tokio::select! {
            biased;
            () = job.cancel.cancelled() => {
                return Err(Report::new(FailureKind::Cancelled, "stopped while the pod was going"));
            }
            change = feed.next() => change,
            () = tokio::time::sleep_until(end) => {
                let what = format!("{} was still there after {}", target.pod, brief(limit));
                return Err(Report::new(FailureKind::Timeout, what).because(held));
            }
        };
        let row = match change {
            Some(Ok(Delta::Reset(rows))) => match rows.into_iter().find(|row| row.key == target.pod) {
                None => return Ok(()),
                row => row,
            },
            Some(Ok(Delta::Remove(row))) if row.key == target.pod => return Ok(()),
            Some(Ok(Delta::Upsert(row))) if row.key == target.pod => Some(row),
            Some(Err(error)) if matches!(error.kind, FailureKind::Forbidden | FailureKind::Unauthorized) => {
                return Err(error.into());
            }
            _ => None,
        };
        if let Some(row) = row {
            held = if row.finalizers.is_empty() {
                "its containers have not stopped yet".to_owned()
            } else {
                format!("held by finalizer {}", row.finalizers.join(", "))
            };
            job.say(format!("{} is going: {held}", target.pod));
        }
    }
}

/// Deletes the pods that are not Ready, each in the very state in which it was looked at.
pub(super) async fn delete_unready(job: &Job) -> Ending {
    let mut done = Vec::new();
    for target in &chosen(job)?.targets {
        done.push(delete_as_seen(job, target).await?);
    }
    Ok(Outcome::Done(if done.is_empty() { pods(0) } else { done.join("; ") }))
}

async fn delete_as_seen(job: &Job, target: &Target) -> Result<String, Report> {
    let cluster = &job.backends().cluster;
    let change = format!("delete {} ({}), which is not Ready", target.pod, target.pod.uid);
    let what = "deleting the pod that is not Ready";
    let words = job
        .patiently(what, || async {
            // read anew before each attempt: the status of a crashing pod changes all the time
            let Some((row, version)) = cluster.pod_as_is(&target.pod).await? else {
                return Ok(format!("{} was gone already", target.pod));
            };
            if row.ready {
                return Err(Error::from(
                    Report::new(FailureKind::Refused, format!("{} is Ready by now: not deleted", target.pod))
                        .hint("look at the block again"),
                ));
            }
            if row.deleting.is_none() {
                let request = cluster.delete_pod_as_seen(&target.pod, &version, &target.node, job.permit());
                job.change(&change, request).await?;
            }
            Ok(format!("{} was deleted, not Ready", target.pod))
        })
        .await?;
    gone(job, target, PATIENCE).await?;
    Ok(words)
}

/// Deletes a healthy pod past its budget.
pub(super) async fn delete_healthy(job: &Job) -> Ending {
    let chosen = chosen(job)?;
    let target = chosen
        .targets
        .first()
        .ok_or_else(|| Report::new(FailureKind::Denied, "no pod was named that is to be deleted"))?;
    let cluster = &job.backends().cluster;
    let change = format!("delete {} ({}) past its budget", target.pod, target.pod.uid);
    let began = Instant::now();
    let answer = job
        .patiently("deleting the pod", || async {
            // another replica may have been lost since it was confirmed, or since the attempt before this one
            match cluster.pod_as_is(&target.pod).await? {
                None => return Ok(Eviction::Gone),
                Some((row, _)) if row.deleting.is_some() => return Ok(Eviction::Accepted),
                Some(_) => {}
            }
            let before = cluster.budget(&chosen.budget).await?.row;
            as_confirmed(chosen, &before)?;
            job.note(format!(
                "{} has {} healthy and needs {} right before the deletion",
                chosen.budget, before.healthy, before.desired
            ))
            .await;
            let request = cluster.delete_pod(&target.pod, &target.node, None, job.permit());
            job.change(&change, request).await
        })
        .await?;
    gone(job, target, PATIENCE).await?;
    Ok(Outcome::Done(match answer {
        Eviction::Accepted => {
            format!("{} was deleted and is gone after {}", target.pod, brief(began.elapsed()))
        }
        Eviction::Gone => format!("{} was gone already", target.pod),
    }))
}

/// What is deleted past a budget is deleted only while no fewer pods are healthy than when that was confirmed.
///
/// # Errors
/// There are fewer.
pub(super) fn as_confirmed(chosen: &Resolution, now: &BudgetRow) -> Result<(), Report> {
    match chosen.healthy {
        Some(confirmed) if now.healthy < confirmed => Err(Report::new(
            FailureKind::Refused,
            format!(
                "{} has {} healthy, and had {confirmed} when the deletion was confirmed: nothing was deleted",
                chosen.budget, now.healthy
            ),
        )
        .hint("look at the block again")),
        _ => Ok(()),
    }
}

/// Has the drain that waits for the pod leave it where it is.
pub(super) async fn skip_pod(job: &Job) -> Ending {
    let target = chosen(job)?
        .targets
        .first()
        .ok_or_else(|| Report::new(FailureKind::Denied, "no pod was named that is to stay"))?;
    if !job.backends().reserved.excuse(&target.pod, HEEDED).await {
        let words = format!("no drain of this console waits for {} now", target.pod);
        return Err(Report::new(FailureKind::Denied, words)
            .hint("try again while a drain waits for it; one that has failed has to be tried again first"));
    }
    Ok(Outcome::Done(format!("{} stays on {}; the drain goes on without it", target.pod, target.node)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_away_ends_no_remedy() {
        let told = |kind, refusal| Error { refusal, ..Error::new(kind, "evict", "shop/a", "no") };
        for kind in [FailureKind::Timeout, FailureKind::Unreachable] {
            assert!(may_pass(&told(kind, Some(Refusal::Other))), "{kind:?}");
            assert!(may_pass(&told(kind, None)), "{kind:?}");
        }
        assert!(!may_pass(&told(FailureKind::Unexpected, Some(Refusal::Other))));
        assert!(!may_pass(&told(FailureKind::Refused, Some(Refusal::TwoBudgets))));
    }
}
