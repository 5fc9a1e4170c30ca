//! Which boot a node is in: by its host's word over SSH; where hosts are not reached, by its kubelet's.

use crate::backend::clock::now;
use crate::backend::error::Error;
use crate::domain::node::NodeRow;
use crate::domain::time::Stamp;
use crate::engine::job::Job;
use std::time::Duration;

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

/// Who answers for the boot, over several looks. A host answers for itself. A Node object says the old boot all the time that
/// its machine is away: only a kubelet that goes on reporting says that it is still in it.
#[derive(Default)]
pub(super) struct Witness {
    beat: Option<Stamp>,
    seen: Option<Stamp>,
}

impl Witness {
    /// The boot id now.
    pub(super) async fn boot_now(&mut self, job: &Job, row: &NodeRow) -> Result<String, Error> {
        let Some(hosts) = &job.backends().hosts else {
            let node = job.backends().cluster.node(&row.name).await?;
            let is_new = self.beat.is_some() && node.heartbeat > self.beat;
            if is_new && node.is_ready() {
                self.seen = Some(now());
            }
            self.beat = node.heartbeat.or(self.beat);
            return Ok(node.boot_id);
        };
        self.seen = None;
        let boot = hosts.boot_id(row).await?;
        self.seen = Some(now());
        Ok(boot)
    }

    /// Whether somebody said so of late: the host with its last answer, the kubelet within the time in which it has to report.
    pub(super) fn is_sure(&self, fresh: Duration) -> bool {
        self.seen.is_some_and(|seen| now().since(seen) <= fresh)
    }
}
