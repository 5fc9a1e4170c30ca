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
