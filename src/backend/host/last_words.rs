//! What the kubelet of a host logged last: read when its node does not become Ready. Read-only.

use super::Hosts;
use crate::backend::error::Error;
use crate::domain::node::NodeRow;
use crate::domain::secret::scrub;
use crate::domain::text::clean;

/// The units that a kubelet runs in: of kubeadm and most others, k3s, RKE2, k0s. journalctl(1) passes over those that are not
/// there.
const JOURNAL: [&str; 18] = [
    "journalctl",
    "--no-pager",
    "-o",
    "cat",
    "-n",
    "5",
    "-u",
    "kubelet",
    "-u",
    "k3s",
    "-u",
    "k3s-agent",
    "-u",
    "rke2-server",
    "-u",
    "rke2-agent",
    "-u",
    "k0scontroller",
];
/// A line is cut after so many characters.
const MOST: usize = 300;

impl Hosts {
    /// The last lines of the kubelet's log, without secrets; as root, or else as the login may read it.
    ///
    /// # Errors
    /// The host does not answer, or does not let the log be read.
    pub async fn kubelet_log(&self, node: &NodeRow) -> Result<Vec<String>, Error> {
        let target = self.target(node)?;
        let as_root = self.as_root(&target, &JOURNAL).await?;
        let mut output = self.run_on(&target, &as_root).await?;
        if output.status != Some(0) && as_root.len() > JOURNAL.len() {
            output = self.run_on(&target, &JOURNAL).await?;
        }
        if output.status != Some(0) {
            return Err(output.failure(&JOURNAL, &target));
        }
        let short = |line: &str| clean(&scrub(line).chars().take(MOST).collect::<String>());
        Ok(output.stdout.lines().map(short).filter(|line| !line.trim().is_empty()).collect())
    }
}
