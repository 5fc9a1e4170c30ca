//! Takes the maintenance lease, and gives it back.

use crate::backend::clock::now;
use crate::backend::error::Error;
use crate::backend::kube::{LeaseClaim, LeaseRefused};
use crate::domain::lock::LeaseRow;
use crate::domain::plan::Kind;
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::Outcome;
use crate::domain::time::brief;
use crate::engine::job::{Ending, Job};
use crate::engine::lock::{Keeper, WATCH_LIMIT, refusal, watch_idle};
use std::sync::Arc;

/// Takes the lease for this run and keeps it alive from here on.
pub(super) async fn take(job: &Job) -> Ending {
    if let Some(words) = is_beside(job).await? {
        return Ok(Outcome::Skipped(words));
    }
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
    let from = held.adopted.as_ref().and_then(|row| row.run.clone()).filter(|run| *run != claim.run);
    let words = match &held.adopted {
        Some(row) => format!("held as {}; taken over from {}", claim.holder, row.words(now())),
        None => format!("held as {}", claim.holder),
    };
    let keeper = Keeper::start(job.backends().cluster.clone(), held, job.permit().clone());
    job.shared.keep(Some(Arc::new(keeper)));
    if from.is_some() {
        job.remember(|memory| memory.took_over = from)?;
    }
    Ok(Outcome::Done(words))
}

/// A power cycle helps a run on that waits for the very node: beside that run's lock it needs none of its own.
async fn is_beside(job: &Job) -> Result<Option<String>, Report> {
    if job.shared.plan.kind != Kind::PowerCycle {
        return Ok(None);
    }
    let settings = &job.backends().settings;
    let read = || job.backends().cluster.lease_read(&settings.lease_namespace);
    let row = job.patiently("reading the maintenance lock", read).await?;
    let beside = row.filter(|row| row.is_of(&settings.holder, job.step.node.as_ref()));
    Ok(beside.map(|row| format!("the lock is held for that node already, by {}", row.words(now()))))
}

async fn attempt(job: &Job, mut claim: LeaseClaim) -> Result<crate::backend::kube::LeaseHeld, Error> {
    let cluster = &job.backends().cluster;
    let present = cluster.lease_read(&claim.namespace).await?;
    if let Some(row) = &present
        && row.run.as_ref() == Some(&claim.run)
    {
        // our own, of a process that ended: only one has the run's journal, so that nobody else renews it
        claim.adopt = row.tombstone.is_some();
    } else if let Some(row) = present {
        if row.in_the_way(&claim.holder, job.shared.plan.lock, now()).is_some() {
            return Err(refusal(LeaseRefused::Held(Box::new(row))));
        }
        if row.tombstone.is_none() {
            claim.watched = watch(job, &row, &claim.namespace).await?.map(Box::new);
        }
        claim.adopt = true;
    }
    let change = "take the maintenance lock";
    job.change(change, async { cluster.lease_take(&claim, job.permit()).await.map_err(refusal) }).await
}

/// Watches a lease that nobody marked as left behind, and says so meanwhile.
async fn watch(job: &Job, row: &LeaseRow, namespace: &str) -> Result<Option<LeaseRow>, Error> {
    let span = brief(row.lasts.min(WATCH_LIMIT));
    job.say(format!("the lock of {} looks abandoned: watching for {span} that nobody renews it", row.holder));
    let poll = job.backends().settings.timing.poll;
    watch_idle(&job.backends().cluster, row, namespace, poll, &job.cancel).await
}

fn explain(report: Report, namespace: &str) -> Report {
    match report.kind {
        FailureKind::Denied => report.hint(format!(
            "wait for that run to end; when it is dead: run with --adopt-lock, or clear it with pitstop runs unlock (Lease {namespace}/pitstop)"
        )),
        FailureKind::Forbidden if report.hint.is_none() => report.hint(format!(
            "the role needs get, create, update and patch on leases.coordination.k8s.io in namespace {namespace}; or go on without the lock: --unlocked"
        )),
        _ => report,
    }
}

/// Gives the lease back.
pub(super) async fn give_back(job: &Job) -> Ending {
    let Some(keeper) = job.shared.keeper() else { return give_back_of_earlier(job).await };
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

/// Clears a lease that another run left behind; nothing else is touched.
pub(super) async fn clear(job: &Job) -> Ending {
    let namespace = job.backends().settings.lease_namespace.as_str();
    let cluster = &job.backends().cluster;
    let read = || cluster.lease_read(namespace);
    let Some(row) = job.patiently("reading the maintenance lock", read).await? else {
        return Ok(Outcome::Skipped("nobody holds the maintenance lock".to_owned()));
    };
    let words = row.words(now());
    let attempt = || async {
        let mut seen = row.clone();
        if row.tombstone.is_none() {
            match watch(job, &row, namespace).await? {
                Some(row) => seen = row,
                None => return Ok(()),
            }
        }
        let request = async { cluster.lease_clear(namespace, &seen, job.permit()).await.map_err(refusal) };
        job.change("clear the maintenance lock", request).await
    };
    job.patiently("clearing the maintenance lock", attempt).await.map_err(alive)?;
    let left = left_by(job, &row).await;
    Ok(match left {
        None => Outcome::Done(format!("cleared; it was held by {words}")),
        Some(left) => Outcome::Warned(format!("cleared; it was held by {words}; {left}")),
    })
}

fn alive(report: Report) -> Report {
    match report.kind {
        FailureKind::Denied => report.hint("it is kept alive: only its holder can end that run"),
        _ => report,
    }
}

/// What that run left changed on its node, as far as it can be seen.
async fn left_by(job: &Job, row: &LeaseRow) -> Option<String> {
    let (node, run) = (row.node.as_ref()?, row.run.as_ref()?);
    let found = job.backends().cluster.node(node).await.ok()?;
    let note = found.cordon.filter(|note| note.run.as_ref() == Some(run))?;
    Some(format!(
        "{node} is still cordoned by {} for that run: look at it, then kubectl uncordon {node}",
        note.holder
    ))
}

/// The lease that an earlier process of this run took, and could not give back any more.
async fn give_back_of_earlier(job: &Job) -> Ending {
    let cluster = &job.backends().cluster;
    let namespace = job.backends().settings.lease_namespace.clone();
    let what = "reading the maintenance lock";
    let row = job.patiently(what, || cluster.lease_read(&namespace)).await?;
    match row {
        None => Ok(Outcome::Skipped("nobody holds the maintenance lock".to_owned())),
        Some(row) if row.run.as_ref() != Some(&job.shared.run) => {
            let words = row.words(now());
            Ok(Outcome::Skipped(format!("this run does not hold the maintenance lock, but {words}")))
        }
        Some(_) => {
            take(job).await?;
            Box::pin(give_back(job)).await
        }
    }
}
