//! The drain.

use crate::engine::job::{Ending, Job};

/// Drains the node.
pub(super) async fn drain(job: &Job) -> Ending {
    if let Some(outcome) = Box::pin(crate::engine::resolve::before_deletions(job)).await? {
        return Ok(outcome);
    }
    crate::engine::drain::run(job).await
}
