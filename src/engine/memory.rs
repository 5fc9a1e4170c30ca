//! What a run remembers from one step for a later one; kept in the journal with every change.

use super::gate::Baseline;
use crate::domain::checklist::Component;
use crate::domain::debt::Debt;
use crate::domain::found::Found;
use crate::domain::ids::{NodeName, PodKey, RunId};
use crate::domain::node::NodeRow;
use crate::domain::time::Stamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// The etcd member of the node before it was touched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberBefore {
    /// Its id.
    pub id: u64,
    /// The cluster's id.
    pub cluster_id: Option<u64>,
    /// The highest commit index of any member.
    pub index: u64,
    /// The store's revision by this member's own word.
    #[serde(default)]
    pub revision: i64,
    /// The cluster's name, where there is more than one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cluster: String,
}

impl Memory {
    /// Notes whether a node is unschedulable by this run's doing.
    pub fn note_cordon(&mut self, node: &NodeName, is_ours: bool) {
        if is_ours {
            self.cordoned.insert(node.clone());
        } else {
            self.cordoned.remove(node);
        }
        self.has_cordoned = !self.cordoned.is_empty();
    }
}

/// What is remembered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// How things were found before anything was touched.
    #[serde(default)]
    pub found: Option<Found>,
    /// The node's uid: another one is another node.
    pub node_uid: Option<String>,
    /// The node as it was last seen before the reboot: its address is needed while the API is away.
    pub node: Option<NodeRow>,
    /// The run whose lock this run took over.
    #[serde(default)]
    pub took_over: Option<RunId>,
    /// Whether this run made a node unschedulable.
    pub has_cordoned: bool,
    /// The nodes that it made unschedulable, and not schedulable again.
    #[serde(default)]
    pub cordoned: BTreeSet<NodeName>,
    /// When every gate was last found open before the reboot.
    #[serde(default)]
    pub rechecked: Option<Stamp>,
    /// The boot id at the beginning of the run, or when the patch command had ended: another one before we asked is a reboot
    /// by somebody else.
    #[serde(default)]
    pub boot_at_start: Option<String>,
    /// The boot id before the reboot, by the host's word.
    pub boot_before: Option<String>,
    /// The kubelet's last sign of life before the reboot.
    pub heartbeat_before: Option<Stamp>,
    /// The host was asked to reboot (or may have been: written before asking).
    pub reboot_requested: Option<Stamp>,
    /// The command of a roll was started for the node, and how it ended is not known yet.
    #[serde(default)]
    pub command_started: Option<Stamp>,
    /// The command of a roll that was run for the node instead of a reboot.
    #[serde(default)]
    pub serviced: Option<String>,
    /// What of the node is another than before that command, in words.
    #[serde(default)]
    pub changed: Option<String>,
    /// The etcd member of the node.
    pub member_before: Option<MemberBefore>,
    /// The step that moves the etcd leadership away was carried out: it must not be on the node when that goes down.
    #[serde(default)]
    pub leads_elsewhere: bool,
    /// When the snapshot of this run was taken.
    #[serde(default)]
    pub snapshot_taken: Option<Stamp>,
    /// The node's members of further clusters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members_beside: Vec<MemberBefore>,
    /// Since when the node is Ready, as it was found on its return: another time tells that it went once more.
    #[serde(default)]
    pub returned: Option<Stamp>,
    /// What was not in order before.
    pub baseline: Baseline,
    /// Hashes of the static pods' manifests, by namespace and name.
    #[serde(default)]
    pub manifests: BTreeMap<String, String>,
    /// The components before anything was touched; `None` = they were not counted.
    #[serde(default)]
    pub components: Option<Vec<Component>>,
    /// Pods that the engineer has the drains of this run leave where they are.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub excused: BTreeSet<PodKey>,
    /// Pods (uid) that were let go or went, by the drain's step: read again from the answers in the journal.
    #[serde(skip)]
    pub moved: BTreeMap<usize, BTreeSet<String>>,
    /// The snapshot that was taken.
    pub snapshot: Option<PathBuf>,
    /// Those of further clusters, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub snapshots_beside: BTreeMap<String, PathBuf>,
    /// The archive of the host's files.
    pub archive: Option<PathBuf>,
    /// What was changed on the way and is owed back, in the order of the changes.
    #[serde(default)]
    pub debts: Vec<Debt>,
    /// Everything that was ever borrowed, each with what was there before the first change: also what was given back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub borrowed: Vec<Debt>,
}

impl Memory {
    /// Notes something that is borrowed. What was there before us is what the first change found.
    pub fn borrow(&mut self, debt: Debt) {
        for list in [&mut self.borrowed, &mut self.debts] {
            if !list.iter().any(|known| known.is_about_the_same(&debt)) {
                list.push(debt.clone());
            }
        }
    }

    /// Everything that was ever borrowed, by what an older version wrote too.
    pub fn ever_borrowed(&self) -> Vec<Debt> {
        let mut all = self.borrowed.clone();
        for debt in &self.debts {
            if !all.iter().any(|known| known.is_about_the_same(debt)) {
                all.push(debt.clone());
            }
        }
        all
    }
}
