//! Gates: checks that must pass on fresh, known data before something irreversible happens.

use super::time::Stamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a gate says. Only `Passed`, `NotApplicable` and `Accepted` open it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// True on fresh data.
    Passed,
    /// False.
    Failed,
    /// Could not be read, or too old: not passed.
    Unknown,
    /// Does not apply here, and why is in the evidence.
    NotApplicable,
    /// Not passed, but the engineer accepted it, with a reason.
    Accepted(String),
}

impl Verdict {
    /// Whether the run may go on.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Passed | Self::NotApplicable | Self::Accepted(_))
    }
}

/// One reading of one gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// Stable name (`etcd-quorum`, `nodes-ready`, …).
    pub name: String,
    /// What is asked, in words (`every other control-plane node is Ready`).
    pub asks: String,
    /// The answer.
    pub verdict: Verdict,
    /// What the answer rests on, in words: figures, offenders by name.
    pub evidence: String,
    /// When the data was read.
    pub at: Stamp,
}

impl Gate {
    /// A reading.
    pub fn new(name: &str, asks: &str, verdict: Verdict, evidence: impl Into<String>, at: Stamp) -> Self {
        Self { name: name.to_owned(), asks: asks.to_owned(), verdict, evidence: evidence.into(), at }
    }

    /// The same reading, not passed any more when its data is older than `limit`.
    #[must_use]
    pub fn aged(mut self, now: Stamp, limit: Duration) -> Self {
        let age = now.since(self.at);
        if self.verdict == Verdict::Passed && age > limit {
            self.verdict = Verdict::Unknown;
            self.evidence = format!("read {} ago, too old: {}", super::time::brief(age), self.evidence);
        }
        self
    }
}

/// Why a gate cannot be accepted, whatever the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unacceptable {
    /// The etcd cluster could lose its quorum or its data.
    Quorum,
    /// It is not certain that the host is the node.
    Identity,
    /// It is not certain that the node has rebooted.
    Boot,
    /// Another control-plane node is away, or its components are.
    ControlPlane,
    /// The host itself says that it must not or may not reboot now.
    Host,
    /// Somebody else is at work.
    Lock,
    /// The node has to be Ready before pods may be placed on it.
    Node,
    /// Nobody said that it can be.
    Unlisted,
}

impl Unacceptable {
    /// The reason in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Quorum => "etcd could lose its quorum or its data",
            Self::Identity => "it is not certain that the host is this node",
            Self::Boot => "it is not certain that the node has rebooted",
            Self::ControlPlane => "another control-plane node, or a part of it, is away",
            Self::Host => "the host itself speaks against a reboot",
            Self::Lock => "somebody else is at work: adopt or clear their lock instead",
            Self::Node => "pods must not be placed on a node that is not Ready",
            Self::Unlisted => "it is not among the gates that can be accepted",
        }
    }
}

/// Why a gate cannot be accepted; `None` = it can, with a reason.
///
/// Before the reboot, everything that makes the reboot itself unsafe is out of reach. After it, the node is judged: what is
/// about the other nodes can be accepted then, as making this one schedulable does not harm them.
pub fn unacceptable(gate: &str, is_after_reboot: bool) -> Option<Unacceptable> {
    match gate {
        "api" | "permissions" | "workers" | "critical-pods" => None,
        "control-planes" | "static-pods" if is_after_reboot => None,
        "node" if !is_after_reboot => None,
        "control-planes" | "static-pods" => Some(Unacceptable::ControlPlane),
        "node" => Some(Unacceptable::Node),
        "locks" => Some(Unacceptable::Lock),
        "host-identity" => Some(Unacceptable::Identity),
        "host-ready" => Some(Unacceptable::Host),
        "boot-id" => Some(Unacceptable::Boot),
        "etcd-quorum" | "etcd-healthy" | "etcd-read" | "etcd-member" | "etcd-hash" => {
            Some(Unacceptable::Quorum)
        }
        _ => Some(Unacceptable::Unlisted),
    }
}
