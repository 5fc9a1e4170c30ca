//! Retention: which stored files are beyond the number to keep, and their removal. The last good one always stays.

use super::part::sidecar;
use super::{ArchiveMeta, Listed, list, verify};
use crate::backend::error::Error;
use crate::domain::guard::{Change, Permit};
use crate::domain::report::FailureKind;
use std::io;
use std::path::{Path, PathBuf};

/// The snapshots of a cluster beyond the newest `keep`, oldest last; none with `keep` 0.
///
/// `good` is the one that was verified just now. When it is not among those that stay, the ones that stay are read until
/// one is found whole; when none is, nothing is surplus. What cannot be relied on (no sidecar, another size) is neither
/// counted nor removed: that is for a person to look at. Nor is what was taken without a quorum: it may hold less than an
/// older one, and must not push that out.
pub fn surplus(
    dir: &Path,
    cluster_id: &str,
    keep: usize,
    good: Option<&Path>,
) -> Result<Vec<PathBuf>, Error> {
    if keep == 0 {
        return Ok(Vec::new());
    }
    let ours = list(dir)?.into_iter().filter_map(|item| match item {
        Listed::Snapshot(file) if file.meta.cluster_id == cluster_id && file.meta.has_quorum => {
            Some(file.path)
        }
        _ => None,
    });
    let ours: Vec<PathBuf> = ours.collect();
    let (stay, go) = ours.split_at(keep.min(ours.len()));
    let is_good = |path: &PathBuf| Some(path.as_path()) == good;
    if go.is_empty() || !(stay.iter().any(is_good) || stay.iter().any(|path| verify(path).is_ok())) {
        return Ok(Vec::new());
    }
    Ok(go.iter().filter(|path| !is_good(path)).cloned().collect())
}

/// The archives of a node beyond the newest `keep`; none with `keep` 0.
pub fn surplus_archives(dir: &Path, node: &str, keep: usize) -> Result<Vec<PathBuf>, Error> {
    if keep == 0 {
        return Ok(Vec::new());
    }
    let mut ours = Vec::new();
    for path in files(dir)? {
        let is_archive = super::seal::is_kind(&path, "tar");
        let meta = std::fs::read(sidecar(&path)).ok().filter(|_| is_archive);
        let meta: Option<ArchiveMeta> = meta.and_then(|text| serde_json::from_slice(&text).ok());
        if let Some(meta) = meta.filter(|meta| meta.node == node)
            && path.metadata().is_ok_and(|found| found.len() == meta.size)
        {
            ours.push((meta.taken, path));
        }
    }
    ours.sort_by(|a, b| b.cmp(a));
    Ok(ours.into_iter().skip(keep).map(|(_, path)| path).collect())
}

/// Removes a stored file and its sidecar; the file first, so that no file is left without one.
pub fn remove(path: &Path, permit: &Permit) -> Result<(), Error> {
    permit.check(&Change::Snapshot)?;
    for path in [path.to_owned(), sidecar(path)] {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(&path, &error)),
            _ => {}
        }
    }
    Ok(())
}

fn files(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    match std::fs::read_dir(dir) {
        Ok(entries) => Ok(entries.filter_map(|entry| Some(entry.ok()?.path())).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(fail(dir, &error)),
    }
}

fn fail(path: &Path, error: &io::Error) -> Error {
    Error::new(FailureKind::Local, "clear up", path.display().to_string(), error.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::list::tests::store;
    use super::*;

    fn spoil(path: &Path) {
        let mut bytes = std::fs::read(path).expect("read");
        bytes[6000] ^= 1;
        std::fs::write(path, bytes).expect("write");
    }

    #[tokio::test]
    async fn the_newest_stay_and_the_last_good_one_always() {
        let dir = tempfile::tempdir().expect("dir");
        let dir = dir.path();
        let mut files = Vec::new();
        for age in 1..=4 {
            files.push(store(dir, &format!("{age}.db"), age).await);
        }
        let gone = |keep, good: Option<&Path>| surplus(dir, "ab", keep, good).expect("surplus");
        assert_eq!(gone(0, None), Vec::<PathBuf>::new(), "0 keeps all");
        assert_eq!(gone(2, None), [files[1].clone(), files[0].clone()]);
        assert_eq!(gone(2, Some(&files[0])), [files[1].clone()], "the good one is old and stays");
        assert_eq!(surplus(dir, "cd", 1, None).expect("surplus"), Vec::<PathBuf>::new(), "another cluster's");
        spoil(&files[3]);
        assert_eq!(gone(2, None).len(), 2, "the third is whole");
        spoil(&files[2]);
        assert_eq!(gone(2, None), Vec::<PathBuf>::new(), "none that would stay is whole");
        assert_eq!(gone(2, Some(&files[1])), Vec::<PathBuf>::new());
    }
}
