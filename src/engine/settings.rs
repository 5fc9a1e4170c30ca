//! What the engine is given: the back ends, and plain choices about places and times.

use crate::backend::etcd::Etcd;
use crate::backend::host::Hosts;
use crate::backend::kube::Cluster;
use crate::backend::store::{Recipient, Upload};
use crate::domain::checklist::ComponentSpec;
use crate::domain::window::Windows;
use crate::engine::drain::Reserved;
use crate::engine::probe::Watchman;
use crate::engine::service::Service;
use std::path::PathBuf;
use std::time::Duration;

/// Everything a run needs to reach the world.
#[derive(Clone)]
pub struct Backends {
    /// The Kubernetes API.
    pub cluster: Cluster,
    /// The etcd members; `None` = not configured.
    pub etcd: Option<Etcd>,
    /// The hosts over SSH; `None` = not configured.
    pub hosts: Option<Hosts>,
    /// Who has the word at which budget: drains and resolutions of this process share it.
    pub reserved: Reserved,
    /// The probes of this cluster, shared by all runs of this process.
    pub watchman: Watchman,
    /// Places and times.
    pub settings: Settings,
}

/// Choices as plain data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The context in use, for the journal.
    pub context: String,
    /// Who we are, as noted on nodes and in the lease: `user@host`.
    pub holder: String,
    /// Namespace of the maintenance lease.
    pub lease_namespace: String,
    /// Where snapshots and archives go.
    pub snapshot_dir: PathBuf,
    /// Copies and retention.
    pub backup: Backup,
    /// Our state directory; journals go to `runs/` in it.
    pub state_dir: PathBuf,
    /// Times.
    pub timing: Timing,
    /// Who reboots nodes, and what else is done to their hosts.
    pub service: Service,
    /// What the checklist of components holds beside what a cluster needs anyway.
    pub components: Vec<ComponentSpec>,
}

/// What becomes of snapshots and archives besides being stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backup {
    /// Where copies go; `None` = nowhere.
    pub upload: Option<Upload>,
    /// How many snapshots of a cluster, and archives of a node, stay in the directory; 0 = all.
    pub keep: usize,
    /// For whom what is stored is sealed; empty = it is not.
    pub recipients: Vec<Recipient>,
    /// How old the newest scheduled backup of etcd may be that succeeded; `None` = nothing is demanded.
    pub max_age: Option<Duration>,
}

/// How long things may take, and how often they are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// Quiet time before the last look of a worker's run.
    pub settle: Duration,
    /// The same for a control-plane node, or one that hosts etcd.
    pub settle_control_plane: Duration,
    /// Time between the two readings of the gates after a reboot.
    pub verify_interval: Duration,
    /// Time between the two samples that tell a stable etcd leader from an election storm.
    pub etcd_sample_interval: Duration,
    /// How often something is asked again that cannot be watched.
    pub poll: Duration,
    /// A heartbeat or a reading older than this is not fresh.
    pub fresh: Duration,
    /// A host that was asked to reboot must be gone within this time.
    pub gone: Duration,
    /// A host that is gone must answer again within this time.
    pub back: Duration,
    /// A host that answers must have a Ready node within this time.
    pub ready: Duration,
    /// The gates after a reboot must pass within this time.
    pub verify: Duration,
    /// How long a renewal of the maintenance lease counts; it is renewed three times as often.
    pub lease: Duration,
    /// When runs may change things by themselves.
    pub windows: Windows,
}

impl Timing {
    /// The quiet time for a node by its role.
    pub fn quiet(&self, is_master: bool) -> Duration {
        if is_master { self.settle_control_plane } else { self.settle }
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            settle: Duration::from_secs(10),
            settle_control_plane: Duration::from_secs(10),
            verify_interval: Duration::from_secs(10),
            etcd_sample_interval: Duration::from_secs(5),
            poll: Duration::from_secs(1),
            // a kubelet writes its status every 10 s at most and at least every 5 min, but renews its lease every 10 s
            fresh: Duration::from_secs(40),
            gone: Duration::from_mins(2),
            back: Duration::from_mins(10),
            ready: Duration::from_mins(5),
            verify: Duration::from_mins(5),
            lease: Duration::from_mins(1),
            windows: Windows::default(),
        }
    }
}
