//! More pods for a while: scale the owner up (or raise its autoscaler's minimum), move the pods, scale back; or let the
//! owner replace all its pods by itself.

use super::super::job::{Ending, Job};
use super::wait::{self, Look};
use super::{ACCEPTS, PATIENCE, chosen, facts, moves};
use crate::backend::clock::{now, rfc3339};
use crate::domain::budget::BudgetRow;
use crate::domain::debt::{Debt, ObjectKey};
use crate::domain::guard::Change;
use crate::domain::remedy::facts::{Autoscaler, Workload};
use crate::domain::remedy::{Facts, Remedy, analyse};
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::Outcome;
use tokio::time::Instant;

/// The workload of the pods that are to move.
fn workload(facts: &Facts) -> Result<Workload, Report> {
    let workloads = facts.workloads.as_ref().map_err(|why| Report::new(FailureKind::Unexpected, why))?;
    let of_target = facts.targets().find_map(|pod| workloads.iter().find(|workload| workload.owns(&pod.row)));
    of_target
        .or_else(|| facts.only_workload())
        .cloned()
        .ok_or_else(|| Report::new(FailureKind::Denied, "the pods have no workload that could be scaled"))
}

/// Scales up, moves the pods, waits until the new ones are Ready. Scaling back is the caller's.
pub(super) async fn surge(job: &Job) -> Ending {
    let facts = facts(job).await?;
    let key = chosen(job)?.budget.clone();
    let targets = chosen(job)?.targets.clone();
    if facts.targets().next().is_none() {
        return Ok(Outcome::Done("the pods are gone already".to_owned()));
    }
    let workload = workload(&facts)?;
    let delta = analyse(&facts).offer(Remedy::Surge).and_then(|offer| offer.surge).ok_or_else(|| {
        Report::new(FailureKind::Denied, "more pods would not help: the block is another one by now")
    })?;
    let borrowed = match &workload.autoscaler {
        Ok(Some(autoscaler)) => raise(job, &workload, autoscaler, delta).await?,
        _ => scale_up(job, &workload, delta).await?,
    };
    for target in &targets {
        wait::until(job, &key, PATIENCE, wait::room, || still_ours(job, &borrowed)).await?;
        let words = moves::evict(job, target, ACCEPTS).await?;
        job.note(words).await;
        moves::gone(job, target, PATIENCE).await?;
    }
    let judge = |row: &BudgetRow| {
        if row.is_current() && row.healthy >= row.expected && row.disrupted.is_empty() {
            return Look::Enough;
        }
        Look::NotYet(format!("{} of {} pods are Ready; scaling back when all are", row.healthy, row.expected))
    };
    wait::until(job, &key, PATIENCE, judge, || still_ours(job, &borrowed)).await?;
    Ok(Outcome::Done(format!("{} moved, the new ones are Ready", super::pods(targets.len()))))
}

async fn scale_up(job: &Job, workload: &Workload, delta: i32) -> Result<Debt, Report> {
    let cluster = &job.backends().cluster;
    let owner = &workload.key;
    let was = job.patiently("reading the scale", || cluster.scale(owner)).await?;
    let debt = Debt::OwnerScaled { owner: owner.clone(), before: was.replicas, ours: was.replicas + delta };
    job.owe(debt.clone()).await?;
    let Debt::OwnerScaled { before, ours, .. } = &debt else { return Ok(debt) };
    let chosen = chosen(job)?;
    job.patiently("scaling up", || async {
        let seen = cluster.scale(owner).await?;
        if seen.replicas == *ours {
            return Ok(());
        }
        if seen.replicas != *before || seen.uid != owner.uid {
            return Err(changed(owner, &seen.replicas.to_string()).into());
        }
        let change = Change::Borrow(&chosen.budget, chosen.remedy);
        let request = cluster.set_scale(owner, &seen, *ours, &change, job.permit());
        job.change(&format!("scale {owner} from {before} to {ours}"), request).await.map(drop)
    })
    .await?;
    job.say(format!("{owner} is scaled from {before} to {ours}"));
    Ok(debt)
}

/// An autoscaler would undo a scale: its minimum goes up instead.
async fn raise(job: &Job, workload: &Workload, autoscaler: &Autoscaler, delta: i32) -> Result<Debt, Report> {
    let cluster = &job.backends().cluster;
    let key = &autoscaler.key;
    let replicas = job.patiently("reading the scale", || cluster.scale(&workload.key)).await?.replicas;
    let was = job.patiently("reading the autoscaler", || cluster.bound(key)).await?;
    let ours = replicas + delta;
    let debt = Debt::HpaRaised { autoscaler: key.clone(), before: was.min, ours };
    job.owe(debt.clone()).await?;
    let chosen = chosen(job)?;
    job.patiently("raising the autoscaler's minimum", || async {
        let seen = cluster.bound(key).await?;
        if seen.min == Some(ours) {
            return Ok(());
        }
        if seen.min != was.min || seen.uid != key.uid {
            return Err(changed(key, &seen.min.unwrap_or(1).to_string()).into());
        }
        let change = Change::Borrow(&chosen.budget, chosen.remedy);
        let request = cluster.set_bound(key, &seen, Some(ours), &change, job.permit());
        job.change(&format!("raise minReplicas of {key} to {ours}"), request).await.map(drop)
    })
    .await?;
    job.say(format!("{key} keeps at least {ours}"));
    Ok(debt)
}

fn changed(key: &ObjectKey, to: &str) -> Report {
    Report::new(FailureKind::Refused, format!("somebody set {key} to {to} meanwhile"))
        .hint("an autoscaler or a GitOps tool keeps it: suspend that first, or choose another remedy")
}

/// Somebody who takes the surge back is not fought: it is said, and the remedy ends.
async fn still_ours(job: &Job, debt: &Debt) -> Result<(), Report> {
    let cluster = &job.backends().cluster;
    match debt {
        Debt::OwnerScaled { owner, ours, .. } => {
            let seen = job.patiently("reading the scale", || cluster.scale(owner)).await?;
            if seen.replicas == *ours { Ok(()) } else { Err(changed(owner, &seen.replicas.to_string())) }
        }
        Debt::HpaRaised { autoscaler, ours, .. } => {
            let seen = job.patiently("reading the autoscaler", || cluster.bound(autoscaler)).await?;
            let min = seen.min.unwrap_or(1);
            if min == *ours { Ok(()) } else { Err(changed(autoscaler, &min.to_string())) }
        }
        Debt::BudgetChanged { .. } | Debt::NodesMarked { .. } => Ok(()),
    }
}

/// Restarts the rollout, and waits until it is complete and none of the pods is left.
pub(super) async fn restart(job: &Job) -> Ending {
    let first = facts(job).await?;
    if first.targets().next().is_none() && !chosen(job)?.targets.is_empty() {
        return Ok(Outcome::Done("the pods are gone already".to_owned()));
    }
    let workload = workload(&first)?;
    let key = workload.key.clone();
    // one that is under way already (of an attempt before) is waited for, not begun anew
    if is_complete(&workload) {
        let stamp = rfc3339(now());
        let chosen = chosen(job)?;
        let cluster = &job.backends().cluster;
        let change = Change::Borrow(&chosen.budget, chosen.remedy);
        job.patiently("restarting the rollout", || async {
            let request = cluster.restart_rollout(&key, &stamp, &change, job.permit());
            job.change(&format!("restart the rollout of {key}"), request).await
        })
        .await?;
    }
    rolled_out(job, &workload).await?;
    for target in &chosen(job)?.targets {
        moves::gone(job, target, PATIENCE).await?;
    }
    Ok(Outcome::Done(format!("{key} was rolled out anew; its pods have left the node")))
}

/// `kubectl rollout status`: the status is of the present spec, and all pods are of the present template and available.
fn is_complete(workload: &Workload) -> bool {
    let (rollout, wanted) = (&workload.rollout, workload.replicas.unwrap_or(1));
    rollout.observed >= rollout.generation
        && rollout.updated == wanted
        && rollout.replicas == wanted
        && rollout.available == wanted
}

async fn rolled_out(job: &Job, before: &Workload) -> Result<(), Report> {
    let end = Instant::now() + PATIENCE;
    let owner = crate::domain::pod::Owner {
        api_version: before.key.api_version.clone(),
        kind: before.key.kind.clone(),
        name: before.key.name.clone(),
        uid: before.key.uid.clone(),
    };
    let cluster = &job.backends().cluster;
    loop {
        let seen =
            job.patiently("reading the rollout", || cluster.workload(&before.key.namespace, &owner)).await?;
        let rollout = &seen.rollout;
        let is_new = rollout.generation > before.rollout.generation || !is_complete(before);
        if is_new && is_complete(&seen) {
            return Ok(());
        }
        let words = format!(
            "{}: {} of {} updated, {} available",
            seen.key,
            rollout.updated,
            seen.replicas.unwrap_or(1),
            rollout.available
        );
        if let Some((false, reason)) = &rollout.progressing {
            return Err(Report::new(FailureKind::Refused, format!("{} is stuck: {reason}", seen.key))
                .because(words)
                .hint(format!("kubectl -n {} rollout undo {}", seen.key.namespace, seen.word())));
        }
        if Instant::now() >= end {
            return Err(Report::new(FailureKind::Timeout, "the rollout did not end").because(words));
        }
        job.say(words);
        tokio::select! {
            () = job.cancel.cancelled() => {
                return Err(Report::new(FailureKind::Cancelled, "stopped while the rollout went on"));
            }
            () = tokio::time::sleep(job.backends().settings.timing.poll) => {}
        }
    }
}
