//! The bytes of a simulated database file: laid out as bbolt lays them out, filled by a formula.
//!
//! Sources: bbolt `internal/common/page.go` and `meta.go` (page header, meta page, FNV-1a checksum).

use bytes::{BufMut, Bytes, BytesMut};
use sha2::{Digest, Sha256};

/// Page size in bytes.
pub const PAGE: u64 = 4096;
/// Bytes in a message of a snapshot stream, as in etcd.
pub const BLOB: u64 = 32 * 1024;

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
const FLAG_LEAF: u16 = 0x02;
const FLAG_META: u16 = 0x04;
const FLAG_FREELIST: u16 = 0x10;

/// One point in time of a database, to be read once from its begin to its end.
pub struct Database {
    seed: u64,
    revision: u64,
    pages: u64,
    next: u64,
    hash: Sha256,
}

impl Database {
    /// `size` bytes (a multiple of [`PAGE`]) of cluster `seed` at `revision`.
    pub fn new(seed: u64, revision: u64, size: u64) -> Self {
        Self { seed, revision, pages: size / PAGE, next: 0, hash: Sha256::new() }
    }

    /// Bytes that have not been read.
    pub fn remaining(&self) -> u64 {
        (self.pages - self.next) * PAGE
    }

    /// The next [`BLOB`] bytes or what is left; `None` at the end.
    pub fn blob(&mut self) -> Option<Bytes> {
        let count = (self.pages - self.next).min(BLOB / PAGE);
        if count == 0 {
            return None;
        }
        let mut blob = BytesMut::with_capacity(usize::try_from(count * PAGE).unwrap_or_default());
        for page in self.next..self.next + count {
            self.write_page(page, &mut blob);
        }
        self.next += count;
        self.hash.update(&blob);
        Some(blob.freeze())
    }

    /// SHA-256 of everything read: the trailer of the stream.
    pub fn digest(&self) -> Bytes {
        Bytes::copy_from_slice(&self.hash.clone().finalize())
    }

    fn write_page(&self, page: u64, out: &mut BytesMut) {
        let end = out.len() + usize::try_from(PAGE).unwrap_or_default();
        let flags = match page {
            0 | 1 => FLAG_META,
            2 => FLAG_FREELIST,
            _ => FLAG_LEAF,
        };
        out.put_u64_le(page);
        out.put_u16_le(flags);
        out.put_u16_le(0);
        out.put_u32_le(0);
        match flags {
            FLAG_META => self.write_meta(page, out),
            FLAG_LEAF => self.fill(page, end, out),
            _ => {}
        }
        out.resize(end, 0);
    }

    fn write_meta(&self, page: u64, out: &mut BytesMut) {
        let begin = out.len();
        out.put_u32_le(MAGIC);
        out.put_u32_le(VERSION);
        out.put_u32_le(u32::try_from(PAGE).unwrap_or_default());
        out.put_u32_le(0);
        out.put_u64_le(3); // root bucket's page
        out.put_u64_le(0); // root bucket's sequence
        out.put_u64_le(2); // free list's page
        out.put_u64_le(self.pages); // high water mark
        out.put_u64_le(2 * self.revision + page); // transaction
        let checksum = fnv1a(&out[begin..]);
        out.put_u64_le(checksum);
    }

    /// Numbers that look random (splitmix64), so that the file does not compress to nothing.
    fn fill(&self, page: u64, end: usize, out: &mut BytesMut) {
        let mut state = self.seed ^ page.wrapping_mul(0x2545_F491_4F6C_DD1D) ^ self.revision.rotate_left(17);
        while out.len() + 8 <= end {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut word = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            out.put_u64_le(word ^ (word >> 31));
        }
    }
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(size: u64, revision: u64) -> (Vec<u8>, Bytes) {
        let mut database = Database::new(42, revision, size);
        let mut all = Vec::new();
        while let Some(blob) = database.blob() {
            all.extend_from_slice(&blob);
        }
        (all, database.digest())
    }

    #[test]
    fn has_whole_pages_a_meta_magic_and_the_digest_of_its_bytes() {
        let (bytes, digest) = read(10 * PAGE, 5);
        assert_eq!(bytes.len(), 10 * 4096);
        assert_eq!(&bytes[16..20], &0xED0C_DAED_u32.to_le_bytes());
        assert_eq!(fnv1a(&bytes[16..72]).to_le_bytes(), bytes[72..80]);
        assert_eq!(Sha256::digest(&bytes)[..], digest[..]);
    }

    #[test]
    fn depends_on_the_revision_only() {
        assert_eq!(read(20 * PAGE, 5).1, read(20 * PAGE, 5).1);
        assert_ne!(read(20 * PAGE, 5).1, read(20 * PAGE, 6).1);
    }
}
