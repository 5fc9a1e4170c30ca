//! The rung of a run that goes on without the maintenance lock.

use super::Rung;

/// Whoever goes on without the lock types that too: nothing keeps another console away.
pub(super) fn without_lock(rung: Rung) -> Rung {
    match rung {
        Rung::TypeName(name) => Rung::TypeName(format!("{name} unlocked")),
        Rung::TypeContext(context) => Rung::TypeContext(format!("{context} unlocked")),
        Rung::Key => Rung::TypeName("unlocked".to_owned()),
    }
}
