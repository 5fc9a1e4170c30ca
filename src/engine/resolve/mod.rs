//! A way out of a block, carried out: looks again, changes as little as it can, and puts back what it changed.
//!
//! Every remedy that borrows (a relaxed budget, a surge) writes its debt to the journal before the change, and pays it
//! back inside the same step, also when something in between failed. What a killed program could not pay back is found
//! in its journal; an abort, `runs abort` and the list at the start do it through the same [`pay_back`].

mod borrow;
mod moves;
mod read;
mod relax;
mod surge;
mod wait;

pub use borrow::pay_back;
pub use read::read;

use super::job::{Ending, Job};
use crate::backend::kube::Cluster;
use crate::domain::ids::BudgetKey;
use crate::domain::remedy::{Analysis, Facts, Remedy, Resolution, analyse, blocks};
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::{Outcome, Progress};
use crate::domain::text::count;
use crate::domain::time::brief;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::time::Duration;
use tokio::time::Instant;

/// How long a remedy waits for anything before it gives up and puts back.
pub(crate) const PATIENCE: Duration = Duration::from_mins(10);
/// How long a remedy may take with all its waiting: its step has two minutes more, in which it puts back.
const LIMIT: Duration = Duration::from_mins(13);
/// An eviction for which there is room gets this long to be accepted.
const ACCEPTS: Duration = Duration::from_mins(1);

/// Why a budget blocks, and which ways there are; reads and changes nothing.
///
/// # Errors
/// There is no such budget, or it cannot be read.
pub async fn look(cluster: &Cluster, budget: &BudgetKey, named: &[String]) -> Result<Analysis, Report> {
    let facts = read(cluster, budget, named).await.map_err(|error| match error.kind {
        // told in one sentence of its own
        FailureKind::NotFound if error.op == read::LOOKUP => Report::new(error.kind, error.message),
        _ => error.into(),
    })?;
    Ok(analyse(&facts))
}

/// What the run is about.
fn chosen(job: &Job) -> Result<&Resolution, Report> {
    job.shared
        .plan
        .resolve
        .as_ref()
        .ok_or_else(|| Report::new(FailureKind::Unexpected, "the plan names no remedy"))
}

/// The facts as they are now, about the pods that were chosen.
async fn facts(job: &Job) -> Result<Facts, Report> {
    let chosen = chosen(job)?;
    let named: Vec<String> = chosen.targets.iter().map(|target| target.pod.name.clone()).collect();
    let cluster = &job.backends().cluster;
    let mut facts = job
        .patiently("reading the budget and its pods", || async {
            match read(cluster, &chosen.budget, &named).await {
                // a pod that has gone meanwhile needs no remedy
                Err(error) if error.kind == FailureKind::NotFound && !named.is_empty() => {
                    read(cluster, &chosen.budget, &[]).await
                }
                facts => facts,
            }
        })
        .await?;
    // the same name with another uid is another pod, and none of ours
    for pod in &mut facts.pods {
        pod.is_target = chosen.targets.iter().any(|target| target.pod == pod.row.key);
    }
    Ok(facts)
}

/// Tells the diagnosis, and fails where the remedy does not apply or something that it needs is missing.
pub(super) async fn diagnose(job: &Job) -> Ending {
    let chosen = chosen(job)?;
    let remedy = chosen.remedy;
    job.say("reading the budget, its pods and their owners");
    let facts = facts(job).await?;
    let analysis = analyse(&facts);
    let items: Vec<String> = analysis.findings.iter().map(crate::domain::remedy::Finding::line).collect();
    job.progress(Progress { text: analysis.summary.clone(), items, ..Progress::default() });
    if !analysis.is_blocked {
        return Ok(Outcome::Done(analysis.summary));
    }
    let moves = !matches!(remedy, Remedy::Wait);
    if moves && !chosen.targets.is_empty() && facts.targets().next().is_none() {
        return Ok(Outcome::Done(format!(
            "{} gone already: there is nothing left to move",
            if chosen.targets.len() == 1 { "the pod is" } else { "the pods are" }
        )));
    }
    judge(&analysis, remedy)
}

fn judge(analysis: &Analysis, remedy: Remedy) -> Ending {
    let Some(offer) = analysis.offer(remedy) else {
        return Err(Report::new(
            FailureKind::Denied,
            format!("{remedy} does not apply to {}: {}", analysis.budget, analysis.summary),
        )
        .hint(format!("pitstop plan resolve {} lists what does", analysis.budget)));
    };
    if let Some(missing) = offer.missing() {
        let why = if missing.why.is_empty() { String::new() } else { format!(" ({})", missing.why) };
        return Err(Report::new(FailureKind::Denied, format!("{remedy} needs {}{why}", missing.what))
            .because(analysis.summary.clone())
            .hint("choose another remedy"));
    }
    let unknown = offer.conditions.iter().filter(|one| one.met == crate::domain::remedy::Met::Unknown);
    let unknown: Vec<&str> = unknown.map(|one| one.what.as_str()).collect();
    if unknown.is_empty() {
        return Ok(Outcome::Done(analysis.summary.clone()));
    }
    Ok(Outcome::Warned(format!("{}; not known: {}", analysis.summary, unknown.join("; "))))
}

/// Carries the remedy out.
pub(super) async fn remedy(job: &Job) -> Ending {
    let chosen = chosen(job)?;
    // what an attempt before this one borrowed goes back first: a debt names what was there before anybody borrowed, so that
    // a second loan on top of it could not be paid back
    borrow::settle(job, Ok(Outcome::Done(String::new()))).await?;
    // the room that a changed budget makes is for this remedy alone: no drain of this process spends it meanwhile
    let changes_budget = matches!(chosen.remedy, Remedy::Relax | Remedy::AllowUnhealthy);
    let _hold = if changes_budget { Some(job.backends().reserved.hold(&chosen.budget).await) } else { None };
    let ending = in_time(job, carry_out(job, chosen.remedy).boxed()).await;
    // whatever happened in between: what was borrowed goes back
    borrow::settle(job, ending).await
}

async fn carry_out(job: &Job, remedy: Remedy) -> Ending {
    if let Some(outcome) = eased(job).boxed().await? {
        return Ok(outcome);
    }
    let way = match remedy {
        Remedy::Wait => wait::wait(job).boxed(),
        Remedy::Surge => surge::surge(job).boxed(),
        Remedy::Restart => surge::restart(job).boxed(),
        Remedy::AllowUnhealthy => relax::allow_unhealthy(job).boxed(),
        Remedy::Relax => relax::relax(job).boxed(),
        Remedy::DeleteUnready => moves::delete_unready(job).boxed(),
        Remedy::DeleteHealthy => moves::delete_healthy(job).boxed(),
        Remedy::SkipPod => moves::skip_pod(job).boxed(),
        other => {
            let words = format!("{other} is explained, not carried out");
            return Err(Report::new(FailureKind::Denied, words));
        }
    };
    way.await
}

/// A remedy gives up in time to put back what it borrowed: the driver's deadline would drop it in the middle.
async fn in_time(job: &Job, mut work: BoxFuture<'_, Ending>) -> Ending {
    let began = Instant::now();
    loop {
        let end = began + LIMIT + job.extra();
        tokio::select! {
            biased;
            ending = &mut work => return ending,
            () = tokio::time::sleep_until(end) => {}
        }
        if Instant::now() >= began + LIMIT + job.extra() {
            let words = format!("the remedy did not end within {}", brief(LIMIT + job.extra()));
            let last = job.shared.voice.last_progress(job.index).map(|progress| progress.text);
            let report = Report::new(FailureKind::Timeout, words);
            return Err(last.into_iter().fold(report, Report::because));
        }
    }
}

/// What blocks no more since it was chosen needs no remedy: its pods go as every drain has them go, within their budget.
async fn eased(job: &Job) -> Result<Option<Outcome>, Report> {
    let chosen = chosen(job)?;
    let evicts = match chosen.remedy {
        Remedy::Surge | Remedy::AllowUnhealthy | Remedy::DeleteUnready | Remedy::DeleteHealthy => true,
        Remedy::Restart => false,
        _ => return Ok(None),
    };
    let facts = facts(job).await?;
    let is_gone = !chosen.targets.is_empty() && facts.targets().next().is_none();
    if blocks(&facts) || is_gone {
        return Ok(None);
    }
    if !evicts || chosen.targets.is_empty() {
        let words = format!("{} blocks nothing now: a drain evicts its pods as usual", chosen.budget);
        return Ok(Some(Outcome::Skipped(words)));
    }
    let mut done = vec![format!("{} has room by now", chosen.budget)];
    for target in chosen.targets.iter().filter(|target| facts.pod(&target.pod).is_some()) {
        wait::until(job, &chosen.budget, PATIENCE, wait::room, || async { Ok(()) }).await?;
        done.push(moves::evict(job, target, ACCEPTS).await?);
        moves::gone(job, target, PATIENCE).await?;
    }
    Ok(Some(Outcome::Done(done.join("; "))))
}

/// Before a node's pods are deleted past all budgets: whether that is still what was chosen. An outcome = it is not needed
/// any more, and nothing is deleted.
///
/// # Errors
/// Fewer pods are healthy than when it was chosen.
pub(super) async fn before_deletions(job: &Job) -> Result<Option<Outcome>, Report> {
    let Some(chosen) = &job.shared.plan.resolve else { return Ok(None) };
    // what was begun is brought to its end
    if chosen.remedy != Remedy::DisableEviction || job.memory().moved.contains_key(&job.index) {
        return Ok(None);
    }
    let facts = facts(job).await?;
    if !blocks(&facts) {
        return Ok(Some(Outcome::Skipped(format!(
            "{} blocks nothing now: nothing was deleted; drain the node as usual",
            chosen.budget
        ))));
    }
    moves::as_confirmed(chosen, &facts.budget)?;
    Ok(None)
}

/// Waits until the budget's pods are Ready again; says what it then asks for.
pub(super) async fn aftermath(job: &Job) -> Ending {
    wait::aftermath(job).await
}

fn pods(number: usize) -> String {
    count(number, "pod")
}
