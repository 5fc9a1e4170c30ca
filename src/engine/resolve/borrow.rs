//! Changes for a while, and paying them back.

use super::super::job::{Ending, Job};
use super::chosen;
use crate::backend::error::Error;
use crate::backend::kube::BudgetDetail;
use crate::domain::debt::{BudgetSpec, Debt};
use crate::domain::guard::Change;
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::Outcome;
use std::time::Duration;

/// Paying back inside a step may take this long before it is left to the undo.
const PATIENCE: Duration = Duration::from_mins(1);

/// What became of a debt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Paid {
    /// It is as it was before.
    Restored(String),
    /// Nobody owes anything any more, and why: the object is gone, or somebody else has changed it.
    Foreign(String),
}

/// Changes a budget, with the debt written down before. An attempt that was answered by a conflict looks again: the
/// spec must still be the one that the debt names.
pub(super) async fn change_budget(
    job: &Job,
    was: &BudgetDetail,
    ours: BudgetSpec,
    why: &str,
) -> Result<(), Report> {
    let chosen = chosen(job)?;
    let before = was.spec;
    job.owe(Debt::BudgetChanged {
        budget: was.row.key.clone(),
        uid: was.row.uid.clone(),
        before,
        ours,
        why: why.to_owned(),
    })
    .await?;
    let words = format!("change budget {} to {ours}", was.row.key);
    let cluster = &job.backends().cluster;
    job.patiently("changing the budget", || async {
        let now = cluster.budget(&was.row.key).await?;
        if now.row.uid != was.row.uid {
            return Err(foreign(&format!("budget {} is another one by now", was.row.key)));
        }
        if now.spec == ours {
            return Ok(());
        }
        if now.spec != before {
            return Err(foreign(&format!("somebody changed budget {} to {}", was.row.key, now.spec)));
        }
        let change = Change::Borrow(&chosen.budget, chosen.remedy);
        let request = cluster.patch_budget(&now, &ours, &change, job.permit());
        job.change(&words, request).await.map(drop)
    })
    .await
}

/// Not a conflict that passes by looking again: somebody decided otherwise.
fn foreign(words: &str) -> Error {
    Error::from(Report::new(FailureKind::Refused, words).hint("find out who; then look at the block again"))
}

/// Pays every debt of the run back, and adds to the ending what that came to.
pub(super) async fn settle(job: &Job, ending: Ending) -> Ending {
    let mut words = Vec::new();
    for debt in job.memory().debts.into_iter().rev() {
        match tokio::time::timeout(PATIENCE, pay_back(job, &debt)).await {
            Ok(Ok(text)) => words.push(text),
            Ok(Err(report)) => return Err(still_owed(ending, &debt, &report.to_string())),
            Err(_) => return Err(still_owed(ending, &debt, "no answer within a minute")),
        }
    }
    if words.is_empty() {
        return ending;
    }
    let words = words.join("; ");
    match ending {
        Ok(Outcome::Done(text)) => Ok(Outcome::Done(format!("{text}; {words}"))),
        Ok(Outcome::Warned(text)) => Ok(Outcome::Warned(format!("{text}; {words}"))),
        Err(report) => Err(report.because(words)),
        other => other,
    }
}

fn still_owed(ending: Ending, debt: &Debt, why: &str) -> Report {
    let report = match ending {
        Err(report) => report,
        Ok(_) => Report::new(FailureKind::Refused, "the pods have moved"),
    };
    report.because(format!("{}: not put back yet: {why}", debt.what())).hint(debt.command())
}

/// Pays one debt back where the object still has our value, strikes it out, and says what was done or found.
///
/// # Errors
/// The API is away for longer than the caller waits, or refuses.
pub async fn pay_back(job: &Job, debt: &Debt) -> Result<String, Report> {
    let paid = job.patiently("putting back", || attempt(job, debt)).await;
    let words = match paid {
        Ok(Paid::Restored(words)) => words,
        Ok(Paid::Foreign(words)) => {
            job.warn(words.clone()).await;
            words
        }
        Err(report) if report.kind == FailureKind::NotFound => {
            format!("{}: it does not exist any more", debt.brief())
        }
        Err(report) => return Err(report.hint(debt.command())),
    };
    job.paid(debt).await?;
    Ok(words)
}

async fn attempt(job: &Job, debt: &Debt) -> Result<Paid, Error> {
    match debt {
        Debt::BudgetChanged { .. } => budget(job, debt).await,
        Debt::OwnerScaled { .. } => owner(job, debt).await,
        Debt::HpaRaised { .. } => autoscaler(job, debt).await,
        Debt::NodesMarked { nodes } => super::super::step::take_marks(job, nodes).await.map(Paid::Restored),
    }
}

async fn budget(job: &Job, debt: &Debt) -> Result<Paid, Error> {
    let Debt::BudgetChanged { budget: key, uid, before, ours, .. } = debt else { return Ok(nothing()) };
    let cluster = &job.backends().cluster;
    let now = cluster.budget(key).await?;
    if now.row.uid != *uid {
        return Ok(Paid::Foreign(format!("budget {key} is another one by now: left alone")));
    }
    if now.spec == *before {
        return Ok(Paid::Restored(format!("budget {key} asks for {before} as before")));
    }
    if now.spec != *ours {
        return Ok(Paid::Foreign(format!(
            "budget {key} asks for {}, which is neither ours ({ours}) nor what was there ({before}): left alone",
            now.spec
        )));
    }
    let request = cluster.patch_budget(&now, before, &Change::Restore, job.permit());
    job.restore(&format!("put budget {key} back to {before}"), request).await?;
    Ok(Paid::Restored(format!("budget {key} asks for {before} again")))
}

async fn owner(job: &Job, debt: &Debt) -> Result<Paid, Error> {
    let Debt::OwnerScaled { owner, before, ours } = debt else { return Ok(nothing()) };
    let cluster = &job.backends().cluster;
    let now = cluster.scale(owner).await?;
    if now.uid != owner.uid {
        return Ok(Paid::Foreign(format!("{owner} is another one by now: left alone")));
    }
    if now.replicas == *before {
        return Ok(Paid::Restored(format!("{owner} has {before} replicas as before")));
    }
    if now.replicas != *ours {
        return Ok(Paid::Foreign(format!(
            "{owner} has {} replicas, which is neither ours ({ours}) nor what was there ({before}): left alone",
            now.replicas
        )));
    }
    let request = cluster.set_scale(owner, &now, *before, &Change::Restore, job.permit());
    job.restore(&format!("scale {owner} back to {before}"), request).await?;
    Ok(Paid::Restored(format!("{owner} is scaled back to {before}")))
}

async fn autoscaler(job: &Job, debt: &Debt) -> Result<Paid, Error> {
    let Debt::HpaRaised { autoscaler: key, before, ours } = debt else { return Ok(nothing()) };
    let cluster = &job.backends().cluster;
    let now = cluster.bound(key).await?;
    let words = before.map_or_else(|| "its default".to_owned(), |count| count.to_string());
    if now.uid != key.uid {
        return Ok(Paid::Foreign(format!("{key} is another one by now: left alone")));
    }
    if now.min == *before {
        return Ok(Paid::Restored(format!("{key} keeps at least {words} as before")));
    }
    if now.min != Some(*ours) {
        return Ok(Paid::Foreign(format!(
            "{key} keeps at least {}, which is neither ours ({ours}) nor what was there ({words}): left alone",
            now.min.unwrap_or(1)
        )));
    }
    let request = cluster.set_bound(key, &now, *before, &Change::Restore, job.permit());
    job.restore(&format!("put minReplicas of {key} back to {words}"), request).await?;
    Ok(Paid::Restored(format!("{key} keeps at least {words} again")))
}

fn nothing() -> Paid {
    Paid::Restored(String::new())
}
