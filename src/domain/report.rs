//! What went wrong, as data that may cross into the console, a journal or JSON.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What a failure means for the next step; decided by codes and causes, never by text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The credentials were not accepted (HTTP 401, SSH authentication, TLS client certificate).
    Unauthorized,
    /// Known, but not allowed (HTTP 403).
    Forbidden,
    /// The object does not exist (HTTP 404).
    NotFound,
    /// Somebody else changed the object, or a precondition did not hold (HTTP 409).
    Conflict,
    /// A list or watch is too old to go on (HTTP 410).
    Gone,
    /// Asked to come back later (HTTP 429 without a budget's cause).
    Throttled,
    /// A name cannot be resolved, a connection is refused or lost.
    Unreachable,
    /// No answer within the deadline.
    Timeout,
    /// The other side's identity is not the expected one (TLS certificate, SSH host key, cluster or boot id).
    Identity,
    /// The other side said no for a reason of its own (validation, webhook, sudo, inhibitor).
    Refused,
    /// pitstop itself said no (policy, gate, missing permit).
    Denied,
    /// A local matter: configuration, file, disk.
    Local,
    /// An answer that makes no sense.
    Unexpected,
    /// Stopped by the operator.
    Cancelled,
}

impl FailureKind {
    /// Whether the same request may succeed later without anybody changing anything.
    pub fn is_passing(self) -> bool {
        matches!(self, Self::Throttled | Self::Unreachable | Self::Timeout | Self::Conflict | Self::Gone)
    }
}

/// A failure in words: what happened, why, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Decides behaviour.
    pub kind: FailureKind,
    /// One sentence: what could not be done to what.
    pub message: String,
    /// The chain of reasons, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// What the reader can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Report {
    /// A report of one sentence.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), causes: Vec::new(), hint: None }
    }

    /// Adds a reason.
    #[must_use]
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// Says what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Message, causes and hint in one line.
    pub fn line(&self) -> String {
        let mut line = self.message.clone();
        for cause in &self.causes {
            line.push_str(": ");
            line.push_str(cause);
        }
        if let Some(hint) = &self.hint {
            line.push_str(" (");
            line.push_str(hint);
            line.push(')');
        }
        line
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line())
    }
}

impl std::error::Error for Report {}
