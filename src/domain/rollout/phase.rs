//! Where a node is on its way through a rolling update, and which role it has.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Where a node is in its turn, in the order of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Has not had its turn, as far as can be told.
    Waiting,
    /// Out of scheduling; no pod has left yet.
    Cordoned,
    /// Pods leave, or all have left.
    Draining,
    /// Not Ready, silent, or its Node object is removed.
    Away,
    /// Here again with something new (boot id, version, uid), but not Ready.
    Back,
    /// Ready again, and still out of scheduling or marked by who drives the roll.
    Ready,
    /// Had its turn: it is as the roll wants it, Ready and schedulable.
    Done,
    /// Did not come back in time, or its driver says that it failed.
    Failed,
}

impl Phase {
    /// All, in order.
    pub const ALL: [Self; 8] = [
        Self::Waiting,
        Self::Cordoned,
        Self::Draining,
        Self::Away,
        Self::Back,
        Self::Ready,
        Self::Done,
        Self::Failed,
    ];

    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Cordoned => "cordoned",
            Self::Draining => "draining",
            Self::Away => "away",
            Self::Back => "back",
            Self::Ready => "ready",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    /// Between the beginning and the end of a turn.
    pub fn is_at_work(self) -> bool {
        matches!(self, Self::Cordoned | Self::Draining | Self::Away | Self::Back | Self::Ready)
    }

    /// Whether a turn is open: at work, or failed on the way.
    pub fn is_in_turn(self) -> bool {
        self.is_at_work() || self == Self::Failed
    }

    /// Whether the next phase of a node may be this one. A node that was away is never seen to be cordoned or drained in the
    /// same turn, except when its kubelet was silent in the middle of a drain; one that failed only ever comes back.
    pub fn may_become(self, next: Self) -> bool {
        use Phase as P;
        match next {
            P::Cordoned => matches!(self, P::Waiting | P::Done | P::Cordoned),
            P::Draining => {
                matches!(self, P::Waiting | P::Done | P::Cordoned | P::Draining | P::Away | P::Ready)
            }
            P::Failed => self.is_in_turn(),
            P::Waiting | P::Away | P::Back | P::Ready | P::Done => true,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The role by which progress is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Runs the control plane.
    ControlPlane,
    /// Runs etcd only.
    Etcd,
    /// Everything else.
    Worker,
}

impl Role {
    /// All, in the order in which tools take them.
    pub const ALL: [Self; 3] = [Self::ControlPlane, Self::Etcd, Self::Worker];

    /// The role of a node, by its labels.
    pub fn of(row: &crate::domain::node::NodeRow) -> Self {
        if row.is_control_plane() {
            Self::ControlPlane
        } else if row.is_labelled_etcd() {
            Self::Etcd
        } else {
            Self::Worker
        }
    }

    /// The word for several: `control plane 2/3, workers 4/9`.
    pub fn word(self) -> &'static str {
        match self {
            Self::ControlPlane => "control plane",
            Self::Etcd => "etcd",
            Self::Worker => "workers",
        }
    }
}
