//! The budget gives way for one eviction, or for pods that are not Ready; what it asked for before comes back at once.

use super::super::job::{Ending, Job};
use super::{ACCEPTS, chosen, facts, moves, wait};
use crate::backend::kube::BudgetDetail;
use crate::domain::budget::{BudgetRow, UnhealthyPolicy};
use crate::domain::debt::BudgetSpec;
use crate::domain::remedy::{Remedy, Target, analyse, has_room};
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::Outcome;
use std::time::Duration;

/// The disruption controller gets this long to compute the changed budget.
const COMPUTES: Duration = Duration::from_mins(2);

async fn detail(job: &Job) -> Result<BudgetDetail, Report> {
    let key = &chosen(job)?.budget;
    let cluster = &job.backends().cluster;
    job.patiently("reading the budget", || cluster.budget(key)).await
}

fn first(job: &Job) -> Result<&Target, Report> {
    chosen(job)?
        .targets
        .first()
        .ok_or_else(|| Report::new(FailureKind::Denied, "no pod was named that is to move"))
}

/// Relaxes, waits for room, evicts that pod. The restore is the caller's, whatever this comes to.
pub(super) async fn relax(job: &Job) -> Ending {
    let target = first(job)?;
    let was = detail(job).await?;
    let facts = facts(job).await?;
    if facts.pod(&target.pod).is_none() {
        return Ok(Outcome::Done(format!("{} was gone already", target.pod)));
    }
    if has_room(&was.row) {
        return Ok(Outcome::Done(moves::evict(job, target, ACCEPTS).await?));
    }
    let relaxed = analyse(&facts).offer(Remedy::Relax).and_then(|offer| offer.relaxed).ok_or_else(|| {
        Report::new(FailureKind::Denied, "no change of the budget would let exactly one pod go")
    })?;
    let ours = BudgetSpec { demand: relaxed, ..was.spec };
    super::borrow::change_budget(job, &was, ours, &format!("one eviction, of {}", target.pod)).await?;
    job.say(format!("{} asks for {relaxed} until {} is let go", was.row.key, target.pod));
    let judge = |row: &BudgetRow| {
        if row.demand == relaxed && has_room(row) {
            return wait::Look::Enough;
        }
        wait::Look::NotYet(format!(
            "waiting for the disruption controller: generation {} of {}",
            row.observed, row.generation
        ))
    };
    wait::until(job, &was.row.key, COMPUTES, judge, || async { Ok(()) }).await?;
    Ok(Outcome::Done(moves::evict(job, target, ACCEPTS).await?))
}

/// Lets the pods go that are not Ready.
pub(super) async fn allow_unhealthy(job: &Job) -> Ending {
    let was = detail(job).await?;
    let facts = facts(job).await?;
    let unready: Vec<Target> = chosen(job)?
        .targets
        .iter()
        .filter(|target| {
            facts.pod(&target.pod).is_some_and(|pod| !pod.row.ready && pod.row.deleting.is_none())
        })
        .cloned()
        .collect();
    if unready.is_empty() {
        return Ok(Outcome::Done("none of the pods is still there and not Ready".to_owned()));
    }
    let ours = BudgetSpec { unhealthy: Some(UnhealthyPolicy::AlwaysAllow), ..was.spec };
    super::borrow::change_budget(job, &was, ours, "pods that are not Ready").await?;
    let mut done = Vec::new();
    for target in &unready {
        // Ready by now: the policy is not for this one, and the budget would be asked
        let now = job.backends().cluster.pod_as_is(&target.pod).await.map_err(Report::from)?;
        if now.is_some_and(|(row, _)| row.ready) {
            done.push(format!("{} is Ready by now and stays", target.pod));
            continue;
        }
        done.push(moves::evict(job, target, ACCEPTS).await?);
    }
    Ok(Outcome::Done(done.join("; ")))
}
