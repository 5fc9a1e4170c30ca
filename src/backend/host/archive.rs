//! Files of a host as one tar file on this side: `/etc/kubernetes` with its keys, before the host is touched.

use super::exec::Piece;
use super::tar::Check;
use super::{Hosts, Output};
use crate::backend::clock;
use crate::backend::error::Error;
use crate::backend::store::part::{Part, hex};
use crate::backend::store::{ArchiveFile, ArchiveMeta, safe_for_name, stamp_for_name};
use crate::domain::guard::{Change, Permit};
use crate::domain::node::NodeRow;
use crate::domain::report::FailureKind;
use ring::digest::{Context, SHA256};
use std::path::Path;
use std::time::Duration;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long the stream may be quiet.
const QUIET: Duration = Duration::from_secs(30);

impl Hosts {
    /// Stores files of the host (`paths` relative to `/`, such as `etc/kubernetes`) as tar in a directory. The file is
    /// readable by its owner only: it holds private keys. `progress` gets the number of bytes so far. On any failure,
    /// and when cancelled, nothing is left behind.
    pub async fn archive(
        &self,
        node: &NodeRow,
        paths: &[&str],
        dir: &Path,
        progress: impl Fn(u64) + Send + Sync,
        cancel: &CancellationToken,
        permit: &Permit,
    ) -> Result<ArchiveFile, Error> {
        permit.check(&Change::Snapshot)?;
        match cancel.run_until_cancelled(self.archive_slowly(node, paths, dir, progress)).await {
            Some(result) => result,
            None => {
                Err(Error::new(FailureKind::Cancelled, "archive files of", node.name.as_str(), "cancelled"))
            }
        }
    }

    async fn archive_slowly(
        &self,
        node: &NodeRow,
        paths: &[&str],
        dir: &Path,
        progress: impl Fn(u64) + Send + Sync,
    ) -> Result<ArchiveFile, Error> {
        let target = self.target(node)?;
        let fail = |kind: FailureKind, message: String| {
            Error::new(kind, "archive files of", target.label(), message)
        };
        let taken = clock::now();
        let boot_id = self.boot_id_of(&target).await?;
        let tar = [&["tar", "-C", "/", "-cf", "-", "--"], paths].concat();
        let argv = self.as_root(&target, &tar).await?;
        let subject = safe_for_name(&paths.first().copied().unwrap_or("files").replace('/', "-"));
        let name = format!("{}-{subject}-{}.tar", safe_for_name(node.name.as_str()), stamp_for_name(taken));
        let mut part = Part::create(dir, &name).await?;
        let mut running = self.start(&target, &argv).await?;
        let (mut check, mut errors, mut hash) = (Check::default(), Vec::new(), Context::new(&SHA256));
        loop {
            let piece = timeout(QUIET, running.next()).await;
            let Ok(piece) = piece else {
                return Err(fail(FailureKind::Timeout, format!("nothing came for {} s", QUIET.as_secs())));
            };
            match piece {
                Some(Piece::Out(data)) => {
                    check.update(&data);
                    hash.update(&data);
                    part.write(&data).await?;
                    progress(part.size());
                }
                Some(Piece::Err(data)) if errors.len() < 64 * 1024 => errors.extend_from_slice(&data),
                Some(Piece::Err(_)) => {}
                None => break,
            }
        }
        if running.status() != Some(0) {
            let stderr = String::from_utf8_lossy(&errors).into_owned();
            let output = Output { stdout: String::new(), stderr, status: running.status(), signal: None };
            return Err(output.failure(&argv, &target));
        }
        let (entries, files) = check.finish().map_err(|why| fail(FailureKind::Unexpected, why))?;
        let describe = |size, sha256| ArchiveMeta {
            node: node.name.0.clone(),
            boot_id,
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            entries,
            files,
            sha256,
            size,
            taken,
            sealed: None,
        };
        let (path, meta) = part.finish(hex(hash.finish().as_ref()), describe).await?;
        Ok(ArchiveFile { path, meta })
    }
}
