//! From the API's JSON to rows: only the fields that a row needs are read, everything else is skipped while parsing.
//!
//! No typed object of a whole pod ever exists, so 10,000 pods cost what their rows cost.

mod attachment;
mod budget;
mod daemonset;
mod event;
mod lease;
mod marks;
mod node;
mod pod;
mod quantity;
mod rules;
mod volume;

pub(super) use attachment::AttachmentWire;
pub(super) use budget::BudgetWire;
pub(super) use daemonset::DaemonSetWire;
pub(super) use event::{EventRow, EventWire};
pub(super) use lease::{Beat, BeatWire, LeaseWire, Lock, LockWire, step as lease_step};
pub(super) use node::{MANAGER, NodeWire};
pub(super) use pod::PodWire;
pub(super) use volume::VolumeWire;

use crate::backend::clock;
use crate::domain::feed::Row;
use crate::domain::text::clean;
use crate::domain::time::Stamp;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

/// An object as it is read, and the row that it becomes.
pub(super) trait Wire: DeserializeOwned + Send + 'static {
    /// The row.
    type Row: Row<Key: Send> + Send + 'static;
    /// `metadata.resourceVersion`.
    fn version(&self) -> &str;
    /// The row; `None` = not of interest.
    fn row(self) -> Option<Self::Row>;
}

/// `metadata`, with annotation values and managed fields only where they are asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "A: Deserialize<'de>, M: Deserialize<'de> + Default"))]
pub(super) struct Meta<A = IgnoredAny, M = IgnoredAny> {
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub namespace: String,
    #[serde(default)]
    pub uid: String,
    #[serde(default)]
    pub resource_version: String,
    #[serde(default)]
    pub generation: i64,
    #[serde(default, deserialize_with = "time")]
    pub creation_timestamp: Option<Stamp>,
    #[serde(default, deserialize_with = "time")]
    pub deletion_timestamp: Option<Stamp>,
    #[serde(default)]
    pub deletion_grace_period_seconds: Option<i64>,
    #[serde(default, deserialize_with = "nullable")]
    pub labels: BTreeMap<String, String>,
    #[serde(default = "BTreeMap::new", deserialize_with = "nullable")]
    pub annotations: BTreeMap<String, A>,
    #[serde(default, deserialize_with = "nullable")]
    pub owner_references: Vec<OwnerWire>,
    #[serde(default, deserialize_with = "nullable")]
    pub finalizers: Vec<String>,
    #[serde(default)]
    pub managed_fields: M,
}

/// One of `metadata.ownerReferences`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OwnerWire {
    #[serde(default)]
    pub api_version: String,
    #[serde(default)]
    pub kind: String,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub uid: String,
    #[serde(default)]
    pub controller: Option<bool>,
}

/// A condition.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Condition {
    #[serde(rename = "type")]
    pub kind: String,
    pub status: String,
    pub reason: String,
    pub message: String,
    #[serde(deserialize_with = "time")]
    pub last_heartbeat_time: Option<Stamp>,
    #[serde(deserialize_with = "time")]
    pub last_transition_time: Option<Stamp>,
}

/// Reads `null` as the default, as Go does.
pub(super) fn nullable<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

/// Reads an RFC 3339 time; what is not one counts as absent.
pub(super) fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Stamp>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.and_then(|text| clock::parse(&text)))
}

/// [`clean`], without a copy for the common text that is clean already.
pub(super) fn tidy(text: String) -> String {
    let is_plain = text.len() <= 4096 && text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if is_plain { text } else { clean(&text) }
}

/// Keys and values, tidied.
pub(super) fn tidy_map(map: BTreeMap<String, String>) -> BTreeMap<String, String> {
    map.into_iter().map(|(key, value)| (tidy(key), tidy(value))).collect()
}

/// Items, tidied, without spare room.
pub(super) fn tidy_all(items: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut items: Vec<String> = items.into_iter().map(tidy).collect();
    items.shrink_to_fit();
    items
}
