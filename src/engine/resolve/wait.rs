//! Waiting: for room in the budget, with the evidence that it comes; and for the pods to be Ready again afterwards.

use super::super::job::{Ending, Job};
use super::{PATIENCE, chosen, facts};
use crate::domain::budget::BudgetRow;
use crate::domain::feed::Delta;
use crate::domain::ids::BudgetKey;
use crate::domain::pod::PodRow;
use crate::domain::remedy::{Remedy, Waiting, analyse, has_room};
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::{Outcome, Progress};
use futures::StreamExt;
use std::time::Duration;
use tokio::time::Instant;

/// How often is looked at what no watch tells (owners, pods' reasons).
const LOOK: Duration = Duration::from_secs(5);
/// The pods of a moved one get this long to be Ready again before it is said that they are not.
const RECOVERY: Duration = Duration::from_mins(5);

/// What a look at the budget comes to.
pub(super) enum Look {
    /// That was awaited.
    Enough,
    /// Not yet, and what is awaited.
    NotYet(String),
}

/// Follows a budget until `judge` has seen enough. `check` is asked now and then besides; its error ends the waiting.
///
/// # Errors
/// The time is over, the budget is gone, it may not be read, or `check` says so.
pub(super) async fn until<Fut>(
    job: &Job,
    key: &BudgetKey,
    limit: Duration,
    judge: impl Fn(&BudgetRow) -> Look,
    mut check: impl FnMut() -> Fut,
) -> Result<BudgetRow, Report>
where
    Fut: Future<Output = Result<(), Report>>,
{
    // what was listed before the last change knows nothing of it
    let mut feed = job.backends().cluster.watch_budgets_anew();
    let end = Instant::now() + limit;
    let mut last = String::new();
    let mut next = Instant::now() + LOOK;
    loop {
        let row = tokio::select! {
            biased;
            () = job.cancel.cancelled() => {
                return Err(Report::new(FailureKind::Cancelled, "stopped while waiting"));
            }
            change = feed.next() => match change {
                Some(Ok(Delta::Reset(rows))) => Some(rows.into_iter().find(|row| row.key == *key)),
                Some(Ok(Delta::Upsert(row))) if row.key == *key => Some(Some(row)),
                Some(Ok(Delta::Remove(row))) if row.key == *key => Some(None),
                Some(Err(error)) if matches!(error.kind, FailureKind::Forbidden | FailureKind::Unauthorized) => {
                    return Err(error.into());
                }
                _ => None,
            },
            () = tokio::time::sleep_until(next) => {
                next = Instant::now() + LOOK;
                check().await?;
                None
            }
            () = tokio::time::sleep_until(end) => {
                let what = format!("budget {key} had no room within {}", crate::domain::time::brief(limit));
                return Err(Report::new(FailureKind::Timeout, what).because(last));
            }
        };
        match row {
            None => {}
            Some(None) => {
                return Err(Report::new(FailureKind::NotFound, format!("budget {key} is gone")));
            }
            Some(Some(row)) => match judge(&row) {
                Look::Enough => return Ok(row),
                Look::NotYet(words) => {
                    if words != last {
                        job.say(words.clone());
                    }
                    last = words;
                }
            },
        }
    }
}

/// Whether an eviction may be asked for.
pub(super) fn room(row: &BudgetRow) -> Look {
    if has_room(row) {
        return Look::Enough;
    }
    Look::NotYet(format!("budget {} needs {} and has {} healthy", row.key, row.desired, row.healthy))
}

/// The remedy of the same name.
pub(super) async fn wait(job: &Job) -> Ending {
    let key = &chosen(job)?.budget;
    // the driver's own deadline must not come first: it would cut the words short
    let limit = PATIENCE.saturating_sub(Duration::from_secs(10));
    let row = until(job, key, limit, room, || still_helps(job)).await?;
    Ok(Outcome::Done(format!("{key} lets {} go now", row.allowed)))
}

/// Looks at everything again: says what is awaited, and ends when that cannot come any more.
async fn still_helps(job: &Job) -> Result<(), Report> {
    let facts = facts(job).await?;
    let analysis = analyse(&facts);
    let items: Vec<String> = analysis
        .findings
        .iter()
        .flat_map(|finding| {
            finding.evidence.iter().map(move |words| format!("{}: {words}", finding.class.code()))
        })
        .collect();
    job.progress(Progress { text: analysis.summary.clone(), items, ..Progress::default() });
    let never = analysis.findings.iter().find(|finding| finding.waiting == Waiting::Never);
    match never.filter(|_| analysis.is_blocked) {
        Some(finding) => Err(Report::new(
            FailureKind::Denied,
            format!("waiting will never resolve it: {}", finding.line()),
        )
        .hint(format!("pitstop plan resolve {}", analysis.budget))),
        None => Ok(()),
    }
}

/// After the pods have moved: says when the budget's pods are all healthy again, or that they are not.
pub(super) async fn aftermath(job: &Job) -> Ending {
    let chosen = chosen(job)?;
    let key = &chosen.budget;
    if matches!(chosen.remedy, Remedy::AllowUnhealthy | Remedy::DeleteUnready) {
        return Ok(unhealthy_as_before(job, key).await);
    }
    let judge = |row: &BudgetRow| {
        if row.is_current() && row.disrupted.is_empty() && row.healthy >= row.expected.max(row.desired) {
            return Look::Enough;
        }
        Look::NotYet(format!("{} of {} pods of {key} are Ready", row.healthy, row.expected))
    };
    let end = Instant::now() + RECOVERY;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let row = match until(job, key, left, &judge, || async { Ok(()) }).await {
            Ok(row) => row,
            Err(report) if matches!(report.kind, FailureKind::Timeout | FailureKind::NotFound) => {
                return Ok(Outcome::Warned(report.causes.first().cloned().unwrap_or(report.message)));
            }
            Err(report) => return Err(report),
        };
        // the disruption controller may not have seen yet what was done
        let ready = ready(job, &row).await?;
        if ready >= row.healthy {
            return Ok(Outcome::Done(format!(
                "{} of {} pods of {key} are Ready; it asks for {}",
                row.healthy, row.expected, row.demand
            )));
        }
        let words = format!("{ready} of {} pods of {key} are Ready", row.expected);
        if Instant::now() >= end {
            return Ok(Outcome::Warned(words));
        }
        job.say(words);
        tokio::time::sleep(job.backends().settings.timing.poll).await;
    }
}

/// The pods of a budget that are Ready, by their own word.
async fn ready(job: &Job, budget: &BudgetRow) -> Result<i32, Report> {
    let cluster = &job.backends().cluster;
    let pods = job.patiently("reading the pods", || cluster.pods_in(&budget.key.namespace)).await?;
    let is_ready = |pod: &&PodRow| budget.covers(pod) && pod.ready && pod.deleting.is_none();
    Ok(i32::try_from(pods.iter().filter(is_ready).count()).unwrap_or(i32::MAX))
}

/// What was not Ready before is not expected to be Ready now.
async fn unhealthy_as_before(job: &Job, key: &BudgetKey) -> Outcome {
    match job.backends().cluster.budget(key).await {
        Ok(found) => Outcome::Done(format!(
            "{} of {} pods of {key} are Ready; it asks for {}",
            found.row.healthy, found.row.expected, found.spec
        )),
        Err(error) => Outcome::Warned(error.to_string()),
    }
}
