//! Takes the maintenance lease, and gives it back.

use crate::backend::clock::now;
use crate::backend::error::Error;
use crate::backend::kube::{LeaseClaim, LeaseRefused};
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::Outcome;
use crate::domain::time::brief;
use crate::engine::job::{Ending, Job};
use crate::engine::lock::{Keeper, WATCH_LIMIT, refusal, watch_idle};
use std::sync::Arc;

/// Takes the lease for this run and keeps it alive from here on.
pub(super) async fn take(job: &Job) -> Ending {
    let settings = &job.backends().settings;
    let claim = LeaseClaim {
        namespace: settings.lease_namespace.clone(),
        holder: settings.holder.clone(),
        run: job.shared.run.clone(),
        step: job.step.kind.name().to_owned(),
        node: job.step.node.clone(),
        lasts: settings.timing.lease,
        adopt: false,
        watched: None,
    };
    let held = job.patiently("taking the maintenance lock", || attempt(job, claim.clone())).await;
    let held = held.map_err(|report| explain(report, &claim.namespace))?;
    let words = match &held.adopted {
        Some(row) => format!("held as {}; taken over from {}", claim.holder, row.words(now())),
        None => format!("held as {}", claim.holder),
    };
    // one's own, or what the engineer said is to be taken over, is what was asked for; anything else is worth a look
    let is_expected =
        held.adopted.as_ref().is_none_or(|row| row.holder == claim.holder || settings.adopt_lock);
    let from = held.adopted.as_ref().and_then(|row| row.run.clone());
    let keeper = Keeper::start(job.backends().cluster.clone(), held, job.permit().clone());
    job.shared.keep(Some(Arc::new(keeper)));
    job.remember(|memory| memory.took_over = from)?;
    Ok(if is_expected { Outcome::Done(words) } else { Outcome::Warned(words) })
}

async fn attempt(job: &Job, mut claim: LeaseClaim) -> Result<crate::backend::kube::LeaseHeld, Error> {
    let cluster = &job.backends().cluster;
    let settings = &job.backends().settings;
    if let Some(row) = cluster.lease_read(&claim.namespace).await?
        && row.run.as_ref() != Some(&claim.run)
    {
        if row.in_the_way(&settings.holder, settings.adopt_lock, now()).is_some() {
            return Err(refusal(LeaseRefused::Held(Box::new(row))));
        }
        if row.tombstone.is_none() {
            let span = row.lasts.min(WATCH_LIMIT);
            job.say(format!(
                "the lock of {} looks abandoned: watching for {} that nobody renews it",
                row.holder,
                brief(span)
            ));
            watch_idle(cluster, &row, &claim.namespace, settings.timing.poll, &job.cancel).await?;
            claim.watched = row.renewed;
        }
        claim.adopt = true;
    }
    let change = "take the maintenance lock";
    job.change(change, async { cluster.lease_take(&claim, job.permit()).await.map_err(refusal) }).await
}

fn explain(report: Report, namespace: &str) -> Report {
    match report.kind {
        FailureKind::Denied => report.hint(format!(
            "wait for that run to end; when it is dead: run with --adopt-lock, or kubectl -n {namespace} delete lease pitstop"
        )),
        FailureKind::Forbidden if report.hint.is_none() => report.hint(format!(
            "the role needs get, create, update and patch on leases.coordination.k8s.io in namespace {namespace}"
        )),
        _ => report,
    }
}

/// Gives the lease back.
pub(super) async fn give_back(job: &Job) -> Ending {
    let Some(keeper) = job.shared.keeper() else {
        return Ok(Outcome::Skipped("this run does not hold the maintenance lock".to_owned()));
    };
    if let Some(words) = keeper.gone() {
        job.shared.keep(None);
        return Ok(Outcome::Warned(format!("the lock was lost before: {words}")));
    }
    let change = "give the maintenance lock back";
    let released = job.patiently(change, || job.change(change, keeper.give_back(None))).await;
    released?;
    job.shared.keep(None);
    Ok(Outcome::Done("given back".to_owned()))
}
