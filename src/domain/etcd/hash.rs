//! Whether members hold the same keys.

use serde::{Deserialize, Serialize};

/// What a member says of its keyspace up to a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HashReading {
    /// The member's name.
    pub member: String,
    /// CRC-32C of the keys up to the revision (`HashKV`).
    pub hash: u32,
    /// From which revision on the member still has history: hashes compare only when this is equal.
    pub compacted: i64,
}

/// The keyspaces of several members, hashed at one revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyspaceHash {
    /// The revision.
    pub revision: i64,
    /// What each voter says.
    pub readings: Vec<HashReading>,
}

impl KeyspaceHash {
    /// `Some(true)` when every member says the same, `Some(false)` when two that can be compared differ, `None` when
    /// the members cannot be compared now (fewer than two, or compacted at different revisions): ask again.
    pub fn agrees(&self) -> Option<bool> {
        let comparable = |a: &HashReading, b: &HashReading| a.compacted == b.compacted;
        let pairs = || {
            self.readings
                .iter()
                .enumerate()
                .flat_map(|(index, a)| self.readings.iter().skip(index + 1).map(move |b| (a, b)))
        };
        if pairs().any(|(a, b)| comparable(a, b) && a.hash != b.hash) {
            return Some(false);
        }
        (self.readings.len() > 1 && pairs().all(|(a, b)| comparable(a, b))).then_some(true)
    }
}
