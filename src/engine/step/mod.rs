//! What each step does. One file per kind, or per pair of kinds that belong together.
//!
//! A step reads before it changes, announces each change, looks at the effect, and says in words what it achieved.
//! It may be dropped at any await: what it has announced stands in the journal.

mod already;
mod back;
mod backup;
mod command;
mod components;
mod cordon;
mod drain;
mod gates;
mod hold;
mod leader;
mod lock;
mod marks;
mod patch;
mod power;
mod predict;
mod presence;
mod reboot;
mod residual;
mod restore;

pub(super) use marks::{take_mark, take_marks};

use super::job::{Ending, Job};
use super::{resolve, roll};
use crate::domain::plan::Kind;
use crate::domain::plan::StepKind;
use futures::FutureExt;
use futures::future::BoxFuture;

/// Carries a step out.
pub fn perform(job: &Job) -> BoxFuture<'_, Ending> {
    match job.step.kind {
        StepKind::Preflight => gates::preflight(job).boxed(),
        StepKind::Lock => lock::take(job).boxed(),
        StepKind::Backup => backup::backup(job).boxed(),
        StepKind::Predict if job.shared.plan.kind == Kind::Roll => roll::predict(job).boxed(),
        StepKind::Predict => predict::predict(job).boxed(),
        StepKind::Cordon => cordon::cordon(job).boxed(),
        StepKind::MoveLeader => leader::move_away(job).boxed(),
        StepKind::Drain => drain::drain(job).boxed(),
        StepKind::Residual => residual::residual(job).boxed(),
        StepKind::Patch => patch::patch(job).boxed(),
        StepKind::Power => power::cycle(job).boxed(),
        StepKind::Recheck => gates::recheck(job).boxed(),
        StepKind::Reboot => reboot::reboot(job).boxed(),
        StepKind::Down => reboot::down(job).boxed(),
        StepKind::Back => back::back(job).boxed(),
        StepKind::Verify => gates::verify(job).boxed(),
        StepKind::Uncordon => cordon::uncordon(job).boxed(),
        StepKind::Settle => gates::settle(job).boxed(),
        StepKind::Unlock => lock::give_back(job).boxed(),
        StepKind::Diagnose => resolve::diagnose(job).boxed(),
        StepKind::Remedy => resolve::remedy(job).boxed(),
        StepKind::Aftermath => resolve::aftermath(job).boxed(),
        StepKind::Restore => restore::restore(job).boxed(),
        StepKind::Clear => lock::clear(job).boxed(),
        StepKind::Taint => marks::mark(job).boxed(),
        StepKind::Turn => roll::put_back_turn(job).boxed(),
        StepKind::Command => command::run(job).boxed(),
        StepKind::Components => components::look(job).boxed(),
        StepKind::Untaint => marks::take_away(job).boxed(),
    }
}
