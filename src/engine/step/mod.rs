//! What each step does. One file per kind, or per pair of kinds that belong together.
//!
//! A step reads before it changes, announces each change, looks at the effect, and says in words what it achieved.
//! It may be dropped at any await: what it has announced stands in the journal.

mod back;
mod backup;
mod cordon;
mod drain;
mod gates;
mod leader;
mod lock;
mod reboot;
mod residual;

use super::job::{Ending, Job};
use crate::domain::plan::StepKind;

/// Carries a step out.
pub async fn perform(job: &Job) -> Ending {
    match job.step.kind {
        StepKind::Preflight => gates::preflight(job).await,
        StepKind::Lock => lock::take(job).await,
        StepKind::Backup => backup::backup(job).await,
        StepKind::Predict => drain::predict(job).await,
        StepKind::Cordon => cordon::cordon(job).await,
        StepKind::MoveLeader => leader::move_away(job).await,
        StepKind::Drain => drain::drain(job).await,
        StepKind::Residual => residual::residual(job).await,
        StepKind::Recheck => gates::recheck(job).await,
        StepKind::Reboot => reboot::reboot(job).await,
        StepKind::Down => reboot::down(job).await,
        StepKind::Back => back::back(job).await,
        StepKind::Verify => gates::verify(job).await,
        StepKind::Uncordon => cordon::uncordon(job).await,
        StepKind::Settle => gates::settle(job).await,
        StepKind::Unlock => lock::give_back(job).await,
    }
}
