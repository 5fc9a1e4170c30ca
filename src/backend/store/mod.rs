//! Verified files on disk: etcd snapshots and archives, each with a sidecar that says what it is.
//!
//! A file gets its name only after it was written, flushed and read back; before that it is called `NAME.part` and is
//! removed when anything goes wrong. Beside `NAME` stands `NAME.json`, the sidecar.

pub mod here;
pub mod keep;
pub mod list;
pub mod object;
pub(crate) mod part;
pub mod remote;
pub mod seal;
pub mod verify;
mod writer;

pub use list::{Listed, list, newest_verified};
pub use remote::{Location, S3Options, Upload};
pub use seal::{Recipient, Sealed};
pub use verify::verify;

use crate::domain::etcd::place::Place;
use crate::domain::ids::NodeName;
use crate::domain::time::Stamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What a snapshot is: the content of its sidecar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotMeta {
    /// Cluster id, in hex.
    pub cluster_id: String,
    /// The store's revision when the snapshot was begun; the snapshot holds at least this.
    pub revision: i64,
    /// Server version of the member.
    pub version: String,
    /// SHA-256 of the whole file, in hex.
    pub sha256: String,
    /// Name of the member that it was read from.
    pub member: String,
    /// Size of the file in bytes (the database and 32 bytes of its own digest).
    pub size: u64,
    /// When it was begun.
    pub taken: Stamp,
    /// Whether the cluster had a quorum then. Without one the member may have missed the last writes.
    #[serde(default = "yes")]
    pub has_quorum: bool,
    /// The members at that time: what a restore needs when nobody can be asked any more.
    #[serde(default)]
    pub members: Vec<MemberMeta>,
    /// Where etcd lived, when that was found out.
    #[serde(default)]
    pub place: Option<Place>,
    /// What is inside, when the file is sealed: then digest and size above are of the sealed file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<Sealed>,
}

/// A member as a sidecar keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberMeta {
    /// Its id, in hex.
    pub id: String,
    /// Its name; empty = it was never started.
    pub name: String,
    /// The node that hosted it.
    pub node: Option<NodeName>,
    /// What it advertised to the other members.
    pub peer_urls: Vec<String>,
    /// Whether it did not vote.
    pub learner: bool,
}

fn yes() -> bool {
    true
}

/// A snapshot on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotFile {
    /// The file.
    pub path: PathBuf,
    /// Its sidecar's content.
    pub meta: SnapshotMeta,
}

/// What an archive of a host's files is: the content of its sidecar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveMeta {
    /// The node.
    pub node: String,
    /// The boot that the host was in.
    pub boot_id: String,
    /// What was asked for, relative to `/`.
    pub paths: Vec<String>,
    /// Number of entries.
    pub entries: u64,
    /// SHA-256 (hex) of each regular file in it, by its name there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// SHA-256 of the file, in hex.
    pub sha256: String,
    /// Size of the file in bytes.
    pub size: u64,
    /// When it was begun.
    pub taken: Stamp,
    /// What is inside, when the file is sealed: then digest and size above are of the sealed file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<Sealed>,
}

/// An archive (tar) on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveFile {
    /// The file.
    pub path: PathBuf,
    /// Its sidecar's content.
    pub meta: ArchiveMeta,
}

/// A stamp for file names: `20260921T141320Z`.
pub(crate) fn stamp_for_name(stamp: Stamp) -> String {
    jiff::Timestamp::from_millisecond(stamp.0)
        .map_or_else(|_| stamp.0.to_string(), |time| time.strftime("%Y%m%dT%H%M%SZ").to_string())
}

/// A name from outside as part of a file name: letters, digits, `-` and `.`; everything else becomes `_`.
pub(crate) fn safe_for_name(text: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-.".contains(c) { c } else { '_' };
    let name: String = text.chars().take(100).map(safe).collect();
    if name.starts_with('.') || name.is_empty() { format!("_{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_their_directory() {
        assert_eq!(safe_for_name("../../etc/passwd"), "_.._.._etc_passwd");
        assert_eq!(safe_for_name("cp-1.example.org"), "cp-1.example.org");
        assert_eq!(safe_for_name(""), "_");
        assert_eq!(stamp_for_name(Stamp(1_790_000_000_123)), "20260921T141320Z");
    }
}
