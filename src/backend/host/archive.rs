//! Files of a host as one tar file on this side: `/etc/kubernetes` with its keys, before the host is touched.

use super::exec::Piece;
use super::tar::{self, Check};
use super::{Hosts, Output, Target};
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
const OP: &str = "archive files of";

/// What an archive is to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// Files and directories of the host, relative to `/`, such as `etc/kubernetes`. With more than one, those that the
    /// host does not have are left out; one at least must be there.
    pub paths: Vec<String>,
    /// What is put before them: names in the archive, and what is called so.
    pub objects: Vec<(String, String)>,
}

impl Contents {
    /// Files of the host only.
    pub fn of(paths: &[&str]) -> Self {
        Self { paths: paths.iter().map(|path| (*path).to_owned()).collect(), objects: Vec::new() }
    }
}

impl Hosts {
    /// Stores files of the host as tar in a directory. The file is readable by its owner only: it holds private keys.
    /// `progress` gets the number of bytes so far. On any failure, and when cancelled, nothing is left behind.
    pub async fn archive(
        &self,
        node: &NodeRow,
        contents: &Contents,
        dir: &Path,
        progress: impl Fn(u64) + Send + Sync,
        cancel: &CancellationToken,
        permit: &Permit,
    ) -> Result<ArchiveFile, Error> {
        permit.check(&Change::Snapshot)?;
        match cancel.run_until_cancelled(self.archive_slowly(node, contents, dir, progress)).await {
            Some(result) => result,
            None => Err(Error::new(FailureKind::Cancelled, OP, node.name.as_str(), "cancelled")),
        }
    }

    async fn archive_slowly(
        &self,
        node: &NodeRow,
        contents: &Contents,
        dir: &Path,
        progress: impl Fn(u64) + Send + Sync,
    ) -> Result<ArchiveFile, Error> {
        let target = self.target(node)?;
        let taken = clock::now();
        let boot_id = self.boot_id_of(&target).await?;
        let paths = self.present(&target, &contents.paths).await?;
        let subject = safe_for_name(&paths.first().copied().unwrap_or("files").replace('/', "-"));
        let name = format!("{}-{subject}-{}.tar", safe_for_name(node.name.as_str()), stamp_for_name(taken));
        let mut part = Part::create(dir, &name).await?;
        let (mut check, mut hash) = (Check::default(), Context::new(&SHA256));
        for (name, text) in &contents.objects {
            let entry = tar::entry(name, text.as_bytes(), taken.0 / 1000);
            check.update(&entry);
            hash.update(&entry);
            part.write(&entry).await?;
        }
        let sink = Sink { part: &mut part, check: &mut check, hash: &mut hash };
        self.receive(&target, &paths, sink, progress).await?;
        let fail = |why: String| Error::new(FailureKind::Unexpected, OP, target.label(), why);
        let (entries, files) = check.finish().map_err(fail)?;
        let objects = contents.objects.iter().map(|(name, _)| name.clone());
        let describe = |size, sha256| ArchiveMeta {
            node: node.name.0.clone(),
            boot_id,
            paths: objects.chain(paths.iter().map(|path| (*path).to_owned())).collect(),
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

    /// Those of the paths that the host has.
    async fn present<'a>(&self, target: &Target, paths: &'a [String]) -> Result<Vec<&'a str>, Error> {
        let all: Vec<&str> = paths.iter().map(String::as_str).collect();
        if all.len() <= 1 {
            // tar itself says what is missing
            return Ok(all);
        }
        let absolute: Vec<String> = paths.iter().map(|path| format!("/{path}")).collect();
        let mut argv = vec!["ls", "-d", "--"];
        argv.extend(absolute.iter().map(String::as_str));
        let argv = self.as_root(target, &argv).await?;
        let output = self.run_on(target, &argv).await?;
        let has = |path: &&str| output.stdout.lines().any(|line| line.strip_prefix('/') == Some(*path));
        let found: Vec<&str> = all.into_iter().filter(has).collect();
        if found.is_empty() { Err(output.failure(&argv, target)) } else { Ok(found) }
    }

    /// Takes the stream of `tar` on the host.
    async fn receive(
        &self,
        target: &Target,
        paths: &[&str],
        sink: Sink<'_>,
        progress: impl Fn(u64) + Send + Sync,
    ) -> Result<(), Error> {
        let tar = [&["tar", "-C", "/", "-cf", "-", "--"], paths].concat();
        let argv = self.as_root(target, &tar).await?;
        let mut running = self.start(target, &argv).await?;
        let mut errors = Vec::new();
        loop {
            let piece = timeout(QUIET, running.next()).await;
            let Ok(piece) = piece else {
                let why = format!("nothing came for {} s", QUIET.as_secs());
                return Err(Error::new(FailureKind::Timeout, OP, target.label(), why));
            };
            match piece {
                Some(Piece::Out(data)) => {
                    sink.check.update(&data);
                    sink.hash.update(&data);
                    sink.part.write(&data).await?;
                    progress(sink.part.size());
                }
                Some(Piece::Err(data)) if errors.len() < 64 * 1024 => errors.extend_from_slice(&data),
                Some(Piece::Err(_)) => {}
                None => break,
            }
        }
        if running.status() == Some(0) {
            return Ok(());
        }
        let stderr = String::from_utf8_lossy(&errors).into_owned();
        let output = Output { stdout: String::new(), stderr, status: running.status(), signal: None };
        Err(output.failure(&argv, target))
    }
}

/// Where a stream goes.
struct Sink<'a> {
    part: &'a mut Part,
    check: &'a mut Check,
    hash: &'a mut Context,
}
