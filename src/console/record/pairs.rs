//! Maps whose keys are not texts, as lists of key and value (JSON knows only texts as keys).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

/// Key and value of each entry, in order.
///
/// # Errors
/// As the serializer's.
pub fn serialize<K: Serialize, V: Serialize, S: Serializer>(
    map: &BTreeMap<K, V>,
    to: S,
) -> Result<S::Ok, S::Error> {
    to.collect_seq(map)
}

/// The map of the listed entries.
///
/// # Errors
/// As the deserializer's.
pub fn deserialize<'de, K, V, D>(from: D) -> Result<BTreeMap<K, V>, D::Error>
where
    K: Ord + Deserialize<'de>,
    V: Deserialize<'de>,
    D: Deserializer<'de>,
{
    let entries: Vec<(K, V)> = Vec::deserialize(from)?;
    Ok(entries.into_iter().collect())
}
