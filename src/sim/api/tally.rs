//! How often what was asked: every request that the server answered, also reads and watches.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use super::access::Attributes;
use super::request::Call;

/// Requests that are alike.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Counted {
    /// The client: its `User-Agent` up to the slash.
    pub agent: String,
    /// Verb.
    pub verb: String,
    /// `nodes`, `pods/eviction`, or the path when it leads to no objects.
    pub resource: String,
    /// HTTP code of the answer; a watch counts when it begins.
    pub code: u16,
    /// How often.
    pub count: u64,
}

/// How often each status code was the answer.
type Codes = BTreeMap<u16, u64>;

/// All counts; clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    counts: Arc<Mutex<BTreeMap<[String; 3], Codes>>>,
}

impl Tally {
    pub(super) fn count(&self, call: &Call, code: u16) {
        let what = Attributes::of(call);
        let agent = call.agent().split('/').next().unwrap_or_default().to_owned();
        let resource = if what.path.is_empty() { what.resource() } else { what.path };
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry([agent, what.verb, resource]).or_default().entry(code).or_default() += 1;
    }

    pub(super) fn all(&self) -> Vec<Counted> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = counts.iter().flat_map(|([agent, verb, resource], codes)| {
            codes.iter().map(|(code, count)| Counted {
                agent: agent.clone(),
                verb: verb.clone(),
                resource: resource.clone(),
                code: *code,
                count: *count,
            })
        });
        lines.collect()
    }
}
