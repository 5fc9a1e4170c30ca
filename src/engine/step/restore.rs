//! Puts back what a run changed on the way: only what still has the value that we set.

use crate::domain::debt::Debt;
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::Outcome;
use crate::engine::job::{Ending, Job};

/// Pays back the debt of the step, or all debts of the run, the last one first.
pub(super) async fn restore(job: &Job) -> Ending {
    let debts = match &job.step.debt {
        Some(debt) => vec![Debt::clone(debt)],
        None => job.memory().debts,
    };
    if debts.is_empty() {
        return Ok(Outcome::Skipped("nothing is owed back".to_owned()));
    }
    let report = Report::new(FailureKind::Local, "this version cannot put it back by itself yet");
    Err(debts.iter().rev().fold(report, |report, debt| report.because(debt.what()).hint(debt.command())))
}
