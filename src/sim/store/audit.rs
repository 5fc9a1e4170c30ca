//! What the server was asked to change, request by request: what tests and `GET /sim/history` look at.

use std::collections::VecDeque;

use serde::Serialize;
use serde_json::Value;

/// How many requests are kept.
pub const KEPT: usize = 16_384;

/// A request that changed, or tried to change, something.
#[derive(Debug, Clone, Serialize)]
pub struct Audit {
    /// When it was answered, RFC 3339 with microseconds.
    pub time: String,
    /// Kubernetes verb: `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// Path without the query.
    pub path: String,
    /// The query, without the question mark.
    pub query: String,
    /// Who asked.
    pub user: String,
    /// `User-Agent` of the client.
    pub agent: String,
    /// HTTP code of the answer.
    pub code: u16,
    /// Message of a failure; empty on success.
    pub message: String,
    /// The request's body, null when it was empty or not JSON.
    pub body: Value,
}

#[derive(Debug, Default)]
pub(super) struct AuditLog {
    entries: VecDeque<Audit>,
}

impl AuditLog {
    pub(super) fn push(&mut self, entry: Audit) {
        self.entries.push_back(entry);
        if self.entries.len() > KEPT {
            self.entries.pop_front();
        }
    }

    pub(super) fn all(&self) -> Vec<Audit> {
        self.entries.iter().cloned().collect()
    }
}
