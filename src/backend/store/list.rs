//! What is in a directory of snapshots.

use super::part::sidecar;
use super::{SnapshotFile, SnapshotMeta, verify};
use crate::backend::error::Error;
use crate::domain::report::FailureKind;
use std::io;
use std::path::{Path, PathBuf};

/// A snapshot file in the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed {
    /// With a sidecar and of the size that it says; not read.
    Snapshot(Box<SnapshotFile>),
    /// Something that cannot be relied on, and why.
    Odd(PathBuf, String),
}

impl Listed {
    fn of(path: PathBuf, size: u64) -> Self {
        let meta: Result<SnapshotMeta, String> = std::fs::read(sidecar(&path))
            .map_err(|error| format!("its sidecar: {error}"))
            .and_then(|text| serde_json::from_slice(&text).map_err(|error| format!("its sidecar: {error}")));
        match meta {
            Ok(meta) if meta.size == size => Self::Snapshot(Box::new(SnapshotFile { path, meta })),
            Ok(meta) => Self::Odd(path, format!("has {size} bytes, its sidecar says {}", meta.size)),
            Err(why) => Self::Odd(path, why),
        }
    }
}

/// The snapshots of a directory, newest first, the odd ones last. Files that are still being written, or were left
/// so (`.part`), are never listed. A missing directory is an empty one.
pub fn list(dir: &Path) -> Result<Vec<Listed>, Error> {
    let fail = |error: io::Error| {
        Error::new(FailureKind::Local, "list", dir.display().to_string(), error.to_string())
    };
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(fail(error)),
    };
    let mut listed = Vec::new();
    for entry in entries {
        let path = entry.map_err(fail)?.path();
        if !super::seal::is_kind(&path, "db") {
            continue;
        }
        match path.metadata() {
            Ok(meta) if meta.is_file() => listed.push(Listed::of(path, meta.len())),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
            _ => {}
        }
    }
    listed.sort_by_key(|item| match item {
        Listed::Snapshot(file) => (0, std::cmp::Reverse(file.meta.taken), file.path.clone()),
        Listed::Odd(path, _) => (1, std::cmp::Reverse(crate::domain::time::Stamp::default()), path.clone()),
    });
    Ok(listed)
}

/// The newest snapshot of a cluster (of any, without an id) that is whole when read from the disk now.
/// Reads files as a whole: not on a thread that must answer.
pub fn newest_verified(dir: &Path, cluster_id: Option<&str>) -> Result<Option<SnapshotFile>, Error> {
    let files = list(dir)?.into_iter().filter_map(|item| match item {
        Listed::Snapshot(file) if cluster_id.is_none_or(|id| id == file.meta.cluster_id) => Some(file.path),
        _ => None,
    });
    Ok(files.into_iter().find_map(|path| verify(&path).ok()))
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::part::Part;
    use super::super::verify::tests::snapshot;
    use super::*;
    use crate::backend::store::verify::{self, Judge as _};
    use crate::domain::time::Stamp;

    pub(in super::super) async fn store(dir: &Path, name: &str, taken: i64) -> PathBuf {
        let mut part = Part::create(dir, name).await.expect("create");
        let bytes = snapshot(3);
        part.write(&bytes).await.expect("write");
        let mut check = Box::new(verify::Check::default());
        check.update(&bytes);
        let sha256 = check.finish().expect("whole");
        let describe = |size, sha256| SnapshotMeta {
            cluster_id: "ab".into(),
            revision: 1,
            version: "3.5.21".into(),
            sha256,
            member: "cp-1".into(),
            size,
            taken: Stamp(taken),
            has_quorum: true,
            members: Vec::new(),
            place: None,
            sealed: None,
        };
        part.finish(sha256, describe).await.expect("finish").0
    }

    #[tokio::test]
    async fn the_newest_whole_one_is_found() {
        let dir = tempfile::tempdir().expect("dir");
        let dir = dir.path();
        let old = store(dir, "old.db", 1).await;
        let new = store(dir, "new.db", 2).await;
        std::fs::write(dir.join("late.db.part"), "x").expect("write");
        std::fs::write(dir.join("bare.db"), "x").expect("write");
        let listed = list(dir).expect("list");
        let names: Vec<_> = listed
            .iter()
            .map(|item| match item {
                Listed::Snapshot(file) => file.path.clone(),
                Listed::Odd(path, _) => path.clone(),
            })
            .collect();
        assert_eq!(names, [new.clone(), old.clone(), dir.join("bare.db")]);
        assert_eq!(newest_verified(dir, Some("ab")).expect("read").map(|file| file.path), Some(new.clone()));
        assert_eq!(newest_verified(dir, Some("cd")).expect("read"), None);

        let mut bytes = std::fs::read(&new).expect("read");
        bytes[6000] ^= 1;
        std::fs::write(&new, bytes).expect("write");
        assert!(verify(&new).expect_err("changed").to_string().contains("changed on the way"));
        assert_eq!(newest_verified(dir, None).expect("read").map(|file| file.path), Some(old));
    }

    #[test]
    fn a_missing_directory_is_empty() {
        assert_eq!(list(Path::new("/nonexistent/snapshots")).expect("list"), []);
    }
}
