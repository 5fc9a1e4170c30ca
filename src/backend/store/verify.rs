//! Whether bytes are a whole etcd snapshot, checked while they stream and again from the disk.
//!
//! A snapshot is the member's bbolt file followed by the SHA-256 of all of it (etcd `server/etcdserver/api/v3rpc/
//! maintenance.go`). `etcdctl snapshot status` does not check that digest; this does.

use super::part::{hex, sidecar};
use super::writer::forget_cached;
use super::{SnapshotFile, SnapshotMeta};
use crate::backend::error::Error;
use crate::domain::report::FailureKind;
use ring::digest::{Context, SHA256};
use std::io::Read;
use std::path::Path;

/// Bytes of the digest at the end.
pub(crate) const TRAILER: usize = 32;
/// bbolt's magic number, in the meta page behind the page header of 16 bytes.
const MAGIC: u32 = 0xED0C_DAED;
/// Magic, version and page size.
const HEAD: usize = 28;

/// Takes the bytes of a file in any portions, and judges them at the end.
pub(crate) trait Judge: Send {
    /// The next bytes.
    fn update(&mut self, bytes: &[u8]);

    /// SHA-256 of everything (hex), or in words what is wrong with it.
    fn finish(self: Box<Self>) -> Result<String, String>;
}

/// Takes anything.
pub(crate) struct Whole(Context);

impl Default for Whole {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl Judge for Whole {
    fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(self: Box<Self>) -> Result<String, String> {
        Ok(hex(self.0.finish().as_ref()))
    }
}

/// Takes a snapshot of etcd only.
pub(crate) struct Check {
    hash: Context,
    head: Vec<u8>,
    tail: Vec<u8>,
    size: u64,
}

impl Default for Check {
    fn default() -> Self {
        Self { hash: Context::new(&SHA256), head: Vec::new(), tail: Vec::new(), size: 0 }
    }
}

impl Judge for Check {
    fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        let missing = (HEAD - self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..missing]);
        if bytes.len() >= TRAILER {
            let (body, tail) = bytes.split_at(bytes.len() - TRAILER);
            self.hash.update(&self.tail);
            self.hash.update(body);
            self.tail.clear();
            self.tail.extend_from_slice(tail);
        } else {
            self.tail.extend_from_slice(bytes);
            let surplus = self.tail.len().saturating_sub(TRAILER);
            self.hash.update(&self.tail[..surplus]);
            self.tail.drain(..surplus);
        }
    }

    fn finish(mut self: Box<Self>) -> Result<String, String> {
        let Some(size) = self.size.checked_sub(TRAILER as u64).filter(|_| self.head.len() == HEAD) else {
            return Err(format!("it ends after {} bytes", self.size));
        };
        let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|index| self.head[at + index]));
        let page = u64::from(word(24));
        if word(16) != MAGIC || !page.is_power_of_two() {
            return Err("it does not begin as a database file of etcd does".to_owned());
        }
        if !size.is_multiple_of(page) {
            return Err(format!(
                "{} bytes are not a whole number of pages and a digest: it was cut off, or the digest is missing",
                self.size
            ));
        }
        let digest = self.hash.clone().finish();
        let digest = digest.as_ref();
        if digest != self.tail {
            return Err(format!(
                "its digest is {}, but it was sent with {}: bytes were changed on the way to the disk, or on it",
                hex(digest),
                hex(&self.tail)
            ));
        }
        self.hash.update(&self.tail);
        Ok(hex(self.hash.finish().as_ref()))
    }
}

/// Reads a snapshot and its sidecar from the disk and checks everything. Reads the whole file: not on a thread
/// that must answer.
pub fn verify(path: &Path) -> Result<SnapshotFile, Error> {
    let fail = |message: String| {
        Error::new(FailureKind::Local, "verify snapshot", path.display().to_string(), message)
    };
    let io = |error: std::io::Error| fail(error.to_string());
    let meta = std::fs::read(sidecar(path)).map_err(|error| fail(format!("its sidecar: {error}")))?;
    let meta: SnapshotMeta =
        serde_json::from_slice(&meta).map_err(|error| fail(format!("its sidecar: {error}")))?;
    let mut file = std::fs::File::open(path).map_err(io)?;
    forget_cached(&file, 0, 0);
    // what is inside a sealed file was judged before it was sealed; only its reader can look again
    let mut judge: Box<dyn Judge> =
        if meta.sealed.is_some() { Box::new(Whole::default()) } else { Box::new(Check::default()) };
    let (mut size, mut buffer) = (0_u64, vec![0; 256 * 1024]);
    loop {
        let count = file.read(&mut buffer).map_err(io)?;
        if count == 0 {
            break;
        }
        size += count as u64;
        judge.update(&buffer[..count]);
    }
    let sha256 = judge.finish().map_err(fail)?;
    if (size, &sha256) != (meta.size, &meta.sha256) {
        return Err(fail(format!("it is whole, but not the file that its sidecar describes ({sha256})")));
    }
    Ok(SnapshotFile { path: path.to_owned(), meta })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use ring::digest::digest;

    /// The smallest thing that passes: pages with a meta magic, and their digest.
    pub(in super::super) fn snapshot(pages: usize) -> Vec<u8> {
        let mut bytes = vec![0_u8; pages * 4096];
        bytes[16..20].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[24..28].copy_from_slice(&4096_u32.to_le_bytes());
        let trailer = digest(&SHA256, &bytes);
        bytes.extend_from_slice(trailer.as_ref());
        bytes
    }

    fn judge(bytes: &[u8], portion: usize) -> Result<String, String> {
        let mut check = Box::new(Check::default());
        bytes.chunks(portion).for_each(|chunk| check.update(chunk));
        check.finish()
    }

    #[test]
    fn a_whole_snapshot_passes_in_any_portions() {
        let bytes = snapshot(3);
        let whole = hex(digest(&SHA256, &bytes).as_ref());
        for portion in [1, 7, 31, 32, 33, 4096, 100_000] {
            assert_eq!(judge(&bytes, portion).as_deref(), Ok(whole.as_str()), "{portion}");
        }
    }

    #[test]
    fn every_defect_is_named() {
        let whole = snapshot(3);
        let mut flipped = whole.clone();
        flipped[5000] ^= 1;
        assert!(judge(&flipped, 4096).expect_err("flipped").contains("changed on the way"));
        assert!(judge(&whole[..9000], 4096).expect_err("cut").contains("whole number of pages"));
        assert!(
            judge(&whole[..whole.len() - 32], 4096).expect_err("no digest").contains("digest is missing")
        );
        assert!(judge(&whole[..20], 4096).expect_err("short").contains("ends after 20"));
        assert!(judge(&[], 1).expect_err("empty").contains("ends after 0"));
        let mut foreign = whole;
        foreign[17] ^= 1;
        assert!(judge(&foreign, 4096).expect_err("foreign").contains("database file"));
    }
}
