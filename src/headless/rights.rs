//! What the API server has to allow before a run begins, and what is asked when only the maintenance lock is out of reach.

use super::run::Manner;
use super::{notice, prompt};
use crate::domain::access;
use crate::domain::guard::Request;
use crate::domain::lock::LockChoice;
use crate::domain::plan::Kind;
use crate::domain::report::{FailureKind, Report};
use crate::engine::Backends;

/// Asks the API server whether it allows everything that the run will do, and names the rule that is missing. Where only the
/// maintenance lock is out of reach, whoever sits at a terminal is asked to go on without it: the ladder's question then asks
/// for that word too. (What cannot be asked now is asked again by the run's gates. What a drain uses
/// before its first change is not asked for beforehand: that keeps its requests few.)
pub(super) async fn may_begin(
    backends: &Backends,
    request: &mut Request,
    manner: &Manner,
) -> Result<(), Report> {
    let mut needed = access::needed(request.kind, request.lock);
    if request.kind == Kind::Drain {
        needed.retain(|right| !right.is_tried_first());
    }
    let Ok(answers) = backends.cluster.answers(needed).await else {
        return Ok(());
    };
    let denied = |why: String| {
        Report::new(FailureKind::Forbidden, format!("{} is not allowed here: {why}", request.kind))
    };
    if let Some(report) = access::refusal(&answers, request.kind) {
        return Err(report);
    }
    let Some(why) =
        access::missing_lock(&answers).filter(|_| matches!(request.kind, Kind::Reboot | Kind::Roll))
    else {
        return Ok(());
    };
    if manner.is_confirmed || !prompt::is_possible() {
        return Err(denied(why)
            .hint("bind the Role pitstop-operator (rbac.yaml), or go on without the lock: --unlocked"));
    }
    notice(&format!(
        "the maintenance lock cannot be used here: {why}; nothing would keep another console away"
    ));
    request.lock = LockChoice::Without;
    Ok(())
}
