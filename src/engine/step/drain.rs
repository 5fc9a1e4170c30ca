//! The drain.

use crate::engine::job::{Ending, Job};

/// Drains the node.
pub(super) async fn drain(job: &Job) -> Ending {
    crate::engine::drain::run(job).await
}
