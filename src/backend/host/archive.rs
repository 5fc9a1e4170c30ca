//! Files of a host as one tar file on this side: `/etc/kubernetes` with its keys, before the host is touched.

use super::exec::Piece;
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
/// A tar file is made of blocks of this size.
const BLOCK: usize = 512;

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
        let entries = check.finish().map_err(|why| fail(FailureKind::Unexpected, why))?;
        let describe = |size, sha256| ArchiveMeta {
            node: node.name.0.clone(),
            boot_id,
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            entries,
            sha256,
            size,
            taken,
        };
        let (path, meta) = part.finish(hex(hash.finish().as_ref()), describe).await?;
        Ok(ArchiveFile { path, meta })
    }
}

/// Follows the headers of a tar stream: counts entries and knows whether it ended properly.
#[derive(Default)]
struct Check {
    block: Vec<u8>,
    /// Blocks of content until the next header.
    content: u64,
    entries: u64,
    zero_blocks: u64,
    defect: Option<String>,
}

impl Check {
    fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let count = (BLOCK - self.block.len()).min(bytes.len());
            self.block.extend_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            if self.block.len() == BLOCK {
                self.take_block();
                self.block.clear();
            }
        }
    }

    fn take_block(&mut self) {
        if self.content > 0 {
            self.content -= 1;
        } else if self.block.iter().all(|byte| *byte == 0) {
            self.zero_blocks += 1;
        } else if self.defect.is_none() && self.zero_blocks == 0 {
            match header_size(&self.block) {
                Some(size) => {
                    // names longer than 100 characters come in a block of their own kind
                    let is_entry = !matches!(self.block[156], b'L' | b'K' | b'x' | b'g');
                    self.entries += u64::from(is_entry);
                    self.content = size.div_ceil(BLOCK as u64);
                }
                None => self.defect = Some("what came is not a tar file".to_owned()),
            }
        }
    }

    /// The number of entries, or in words why the stream is not a whole archive.
    fn finish(self) -> Result<u64, String> {
        if let Some(defect) = self.defect {
            return Err(defect);
        }
        if self.content > 0 || !self.block.is_empty() || self.zero_blocks < 2 {
            return Err("the archive was cut off".to_owned());
        }
        if self.entries == 0 { Err("the archive is empty".to_owned()) } else { Ok(self.entries) }
    }
}

/// The size of the content that follows a header; `None` = it is no header.
fn header_size(block: &[u8]) -> Option<u64> {
    if block.get(257..262) != Some(b"ustar") {
        return None;
    }
    let field = block.get(124..136)?;
    if field[0] & 0x80 != 0 {
        // GNU's binary form for sizes from 8 GiB on
        return Some(field[4..].iter().fold(0, |size, byte| size << 8 | u64::from(*byte)));
    }
    let text = std::str::from_utf8(field).ok()?;
    u64::from_str_radix(text.trim_matches(['\0', ' ']), 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar(dir: &Path) -> Vec<u8> {
        let output = std::process::Command::new("tar")
            .arg("-C")
            .arg(dir)
            .args(["-cf", "-", "a"])
            .output()
            .expect("tar");
        assert!(output.status.success());
        output.stdout
    }

    fn judge(bytes: &[u8], portion: usize) -> Result<u64, String> {
        let mut check = Check::default();
        bytes.chunks(portion).for_each(|chunk| check.update(chunk));
        check.finish()
    }

    #[test]
    fn a_real_archive_is_counted_and_a_cut_one_noticed() {
        let dir = tempfile::tempdir().expect("dir");
        let deep = dir.path().join("a").join("n".repeat(120));
        std::fs::create_dir_all(&deep).expect("dirs");
        std::fs::write(deep.join("key"), vec![7; 5000]).expect("write");
        std::fs::write(dir.path().join("a/empty"), "").expect("write");
        let bytes = tar(dir.path());
        for portion in [1, 511, 512, 4096] {
            assert_eq!(judge(&bytes, portion), Ok(4), "{portion}");
        }
        assert!(judge(&bytes[..4000], 512).is_err());
        assert!(judge(&bytes[..4100], 512).is_err());
        assert!(
            judge(b"Sorry, user ops is not allowed to execute tar. ".repeat(20).as_slice(), 512).is_err()
        );
        assert!(judge(&[0; 1024], 512).is_err());
    }
}
