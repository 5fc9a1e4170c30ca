//! Puts back what a run changed on the way: only what still has the value that we set.

use crate::domain::debt::Debt;
use crate::domain::run::Outcome;
use crate::engine::job::{Ending, Job};
use crate::engine::resolve::pay_back;

/// Pays back the debt of the step, or all debts of the run, the last one first.
pub(super) async fn restore(job: &Job) -> Ending {
    let debts = match &job.step.debt {
        Some(debt) => vec![Debt::clone(debt)],
        None => job.memory().debts,
    };
    let mut words = Vec::new();
    for debt in debts.iter().rev() {
        words.push(pay_back(job, debt).await?);
    }
    if words.is_empty() {
        return Ok(Outcome::Skipped("nothing is owed back".to_owned()));
    }
    Ok(Outcome::Done(words.join("; ")))
}
