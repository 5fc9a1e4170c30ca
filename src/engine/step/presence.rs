//! Which boot a node is in: by its host's word over SSH; where hosts are not reached, by its kubelet's.

use crate::backend::error::Error;
use crate::domain::node::NodeRow;
use crate::engine::job::Job;

/// The boot id now.
pub(super) async fn boot_now(job: &Job, row: &NodeRow) -> Result<String, Error> {
    match &job.backends().hosts {
        Some(hosts) => hosts.boot_id(row).await,
        None => job.backends().cluster.node(&row.name).await.map(|row| row.boot_id),
    }
}

/// Whether the host itself is asked.
pub(super) fn is_by_host(job: &Job) -> bool {
    job.backends().hosts.is_some()
}
