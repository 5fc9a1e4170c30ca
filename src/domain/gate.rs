//! Gates: checks that must pass on fresh, known data before something irreversible happens.

use super::ids::NodeName;
use super::time::{Stamp, brief};
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

/// Something that keeps a gate from passing: an object, what is wrong with it, and what can be done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offender {
    /// Kind of the object: `Node`, `Pod`, `PodDisruptionBudget`, `Lease`, `EtcdMember`, `APIServer`, or another tool's kind.
    pub kind: String,
    /// Its namespace, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// What is wrong, in words.
    pub what: String,
    /// Whose it is: the workload behind a pod, who cordoned a node, who holds a lock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Since when, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Stamp>,
    /// What the reader can do about it, or look at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The newest Event about it, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// The last line of its log, where that was asked for; without secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// The node that it is on: when that node is away, this is a consequence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeName>,
}

impl Offender {
    /// An object without a namespace, and what is wrong with it.
    pub fn new(kind: &str, name: impl Into<String>, what: impl Into<String>) -> Self {
        Self { kind: kind.to_owned(), name: name.into(), what: what.into(), ..Self::default() }
    }

    /// In a namespace.
    #[must_use]
    pub fn within(mut self, namespace: &str) -> Self {
        self.namespace = (!namespace.is_empty()).then(|| namespace.to_owned());
        self
    }

    /// Whose it is.
    #[must_use]
    pub fn of(mut self, owner: impl Into<String>) -> Self {
        self.owner = Some(owner.into());
        self
    }

    /// Since when.
    #[must_use]
    pub fn since(mut self, since: Option<Stamp>) -> Self {
        self.since = since;
        self
    }

    /// What can be done.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// On which node.
    #[must_use]
    pub fn on(mut self, node: Option<&NodeName>) -> Self {
        self.node = node.cloned();
        self
    }

    /// `shop/frontend-1`, or the bare name.
    pub fn title(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{namespace}/{}", self.name),
            None => self.name.clone(),
        }
    }

    /// Object and what is wrong: `worker-1 is not Ready`.
    pub fn words(&self) -> String {
        format!("{} {}", self.title(), self.what)
    }

    /// Everything in one line: `Node worker-1 is not Ready | owner: … | for 5m | hint: …`.
    pub fn line(&self, now: Stamp) -> String {
        let mut line = format!("{} {}", self.kind, self.words());
        if let Some(owner) = &self.owner {
            line.push_str(&format!(" | owner: {owner}"));
        }
        if let Some(since) = self.since {
            line.push_str(&format!(" | for {}", brief(now.since(since))));
        }
        for (label, words) in [("event", &self.event), ("log", &self.log), ("hint", &self.hint)] {
            if let Some(words) = words {
                line.push_str(&format!(" | {label}: {words}"));
            }
        }
        line
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
    /// When whoever waits for it gives up; `None` = nobody waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Stamp>,
    /// What keeps it from passing, object by object; empty unless it failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offenders: Vec<Offender>,
}

impl Gate {
    /// A reading.
    pub fn new(name: &str, asks: &str, verdict: Verdict, evidence: impl Into<String>, at: Stamp) -> Self {
        let evidence = evidence.into();
        let (name, asks) = (name.to_owned(), asks.to_owned());
        Self { name, asks, verdict, evidence, at, deadline: None, offenders: Vec::new() }
    }

    /// One that failed because of these.
    pub fn failed(name: &str, asks: &str, offenders: Vec<Offender>, at: Stamp) -> Self {
        let words: Vec<String> = offenders.iter().map(Offender::words).collect();
        Self { offenders, ..Self::new(name, asks, Verdict::Failed, words.join("; "), at) }
    }

    /// Who waits for it gives up then.
    #[must_use]
    pub fn until(mut self, deadline: Option<Stamp>) -> Self {
        self.deadline = deadline;
        self
    }

    /// The same reading, not passed any more when its data is older than `limit`.
    #[must_use]
    pub fn aged(mut self, now: Stamp, limit: Duration) -> Self {
        let age = now.since(self.at);
        if self.verdict == Verdict::Passed && age > limit {
            self.verdict = Verdict::Unknown;
            self.evidence = format!("read {} ago, too old: {}", brief(age), self.evidence);
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
        "api" | "permissions" | "workers" | "steady" | "critical-pods" | "dns" | "etcd-backup" => None,
        "control-planes" | "static-pods" | "leaders" | "api-endpoints" if is_after_reboot => None,
        "node" if !is_after_reboot => None,
        "control-planes" | "static-pods" | "leaders" | "api-endpoints" => Some(Unacceptable::ControlPlane),
        "node" | "network" => Some(Unacceptable::Node),
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
