//! A tar stream on its way: whether it is whole, and the digest of each file in it.
//!
//! Source: POSIX `pax` interchange format (`ustar` headers, records of kind `x`), and GNU tar's long names (kind `L`).

use crate::backend::store::part::hex;
use ring::digest::{Context, SHA256};
use std::collections::BTreeMap;

/// A tar file is made of blocks of this size.
const BLOCK: usize = 512;
/// Longest name that is believed.
const LONGEST: u64 = 64 * 1024;

/// Follows the headers of a tar stream: counts entries, digests files, and knows whether it ended properly.
#[derive(Default)]
pub(super) struct Check {
    block: Vec<u8>,
    /// Bytes of content until the next header, padding aside.
    content: u64,
    now: Content,
    /// What the next entry is called, when its own header has no room for it.
    long_name: Option<String>,
    entries: u64,
    files: BTreeMap<String, String>,
    zero_blocks: u64,
    defect: Option<String>,
}

/// A regular file of the root user as an entry of a tar file, to stand before others. The name has 100 bytes at most; `written`
/// is in seconds of Unix time.
pub(super) fn entry(name: &str, content: &[u8], written: i64) -> Vec<u8> {
    let mut header = [0_u8; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &name.as_bytes()[..name.len().min(100)]);
    put(100, b"0000600\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{:011o}\0", content.len()).as_bytes());
    put(136, format!("{:011o}\0", written.max(0)).as_bytes());
    // the sum is made with blanks in its own place; then the kind of a regular file
    put(148, b"        0");
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let padding = content.len().next_multiple_of(BLOCK) - content.len();
    [&header[..], content, &[0; BLOCK][..padding]].concat()
}

/// What the content at hand is.
#[derive(Default)]
enum Content {
    /// Nothing that is looked at.
    #[default]
    Other,
    /// A file of that name.
    File(String, Box<Context>),
    /// A name of the next entry (GNU).
    LongName(Vec<u8>),
    /// Records about the next entry (pax).
    Records(Vec<u8>),
}

impl Check {
    /// The next bytes.
    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let count = (BLOCK - self.block.len()).min(bytes.len());
            self.block.extend_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            if self.block.len() == BLOCK {
                let block = std::mem::take(&mut self.block);
                self.take_block(&block);
            }
        }
    }

    fn take_block(&mut self, block: &[u8]) {
        if self.content > 0 {
            let count = usize::try_from(self.content).unwrap_or(BLOCK).min(BLOCK);
            self.take_content(&block[..count]);
            self.content -= count as u64;
            if self.content == 0 {
                self.end_content();
            }
        } else if block.iter().all(|byte| *byte == 0) {
            self.zero_blocks += 1;
        } else if self.defect.is_none() && self.zero_blocks == 0 {
            match header_size(block) {
                Some(size) => self.begin(block, size),
                None => self.defect = Some("what came is not a tar file".to_owned()),
            }
        }
    }

    fn begin(&mut self, header: &[u8], size: u64) {
        let kind = header[156];
        // names longer than 100 characters come in a block of their own kind
        let is_entry = !matches!(kind, b'L' | b'K' | b'x' | b'g');
        self.entries += u64::from(is_entry);
        self.now = match kind {
            b'0' | 0 | b'7' => {
                let name = self.long_name.take().unwrap_or_else(|| name(header));
                Content::File(name, Box::new(Context::new(&SHA256)))
            }
            b'L' if size <= LONGEST => Content::LongName(Vec::new()),
            b'x' if size <= LONGEST => Content::Records(Vec::new()),
            _ => Content::Other,
        };
        if is_entry {
            self.long_name = None;
        }
        self.content = size;
        if size == 0 {
            self.end_content();
        }
    }

    fn take_content(&mut self, bytes: &[u8]) {
        match &mut self.now {
            Content::File(_, hash) => hash.update(bytes),
            Content::LongName(text) | Content::Records(text) => text.extend_from_slice(bytes),
            Content::Other => {}
        }
    }

    fn end_content(&mut self) {
        match std::mem::take(&mut self.now) {
            Content::File(name, hash) => {
                self.files.insert(name, hex(hash.finish().as_ref()));
            }
            Content::LongName(text) => self.long_name = Some(text_until_zero(&text)),
            Content::Records(text) => self.long_name = path_record(&text).or(self.long_name.take()),
            Content::Other => {}
        }
    }

    /// The number of entries and the files' digests, or in words why the stream is not a whole archive.
    pub(super) fn finish(self) -> Result<(u64, BTreeMap<String, String>), String> {
        if let Some(defect) = self.defect {
            return Err(defect);
        }
        if self.content > 0 || !self.block.is_empty() || self.zero_blocks < 2 {
            return Err("the archive was cut off".to_owned());
        }
        if self.entries == 0 {
            Err("the archive is empty".to_owned())
        } else {
            Ok((self.entries, self.files))
        }
    }
}

fn text_until_zero(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    crate::domain::text::clean(&String::from_utf8_lossy(&bytes[..end]))
}

/// The name in a header: its prefix and its name.
fn name(header: &[u8]) -> String {
    let (name, prefix) = (text_until_zero(&header[..100]), text_until_zero(&header[345..500]));
    // GNU's own headers keep times where POSIX keeps the prefix
    let is_posix = header.get(257..263) == Some(b"ustar\0".as_slice());
    if prefix.is_empty() || !is_posix { name } else { format!("{prefix}/{name}") }
}

/// The record `path` of pax records: `LENGTH path=NAME`, each on a line.
fn path_record(records: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(records);
    let mut paths = text.lines().filter_map(|line| line.split_once(' ')?.1.strip_prefix("path="));
    paths.next().map(crate::domain::text::clean)
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
    use std::path::Path;

    fn tar(dir: &Path, format: &str) -> Vec<u8> {
        let output = std::process::Command::new("tar")
            .arg("-C")
            .arg(dir)
            .args([&format!("--format={format}"), "-cf", "-", "a"])
            .output()
            .expect("tar");
        assert!(output.status.success());
        output.stdout
    }

    fn judge(bytes: &[u8], portion: usize) -> Result<(u64, BTreeMap<String, String>), String> {
        let mut check = Check::default();
        bytes.chunks(portion).for_each(|chunk| check.update(chunk));
        check.finish()
    }

    #[test]
    fn a_real_archive_is_counted_its_files_digested_and_a_cut_one_noticed() {
        let dir = tempfile::tempdir().expect("dir");
        let deep = dir.path().join("a").join("n".repeat(120));
        std::fs::create_dir_all(&deep).expect("dirs");
        std::fs::write(deep.join("key"), vec![7; 5000]).expect("write");
        std::fs::write(dir.path().join("a/empty"), "").expect("write");
        let digest = |bytes: &[u8]| hex(ring::digest::digest(&SHA256, bytes).as_ref());
        let long = format!("a/{}/key", "n".repeat(120));
        let files = BTreeMap::from([("a/empty".to_owned(), digest(b"")), (long, digest(&[7; 5000]))]);
        for format in ["gnu", "posix"] {
            let bytes = tar(dir.path(), format);
            for portion in [1, 511, 512, 4096] {
                assert_eq!(judge(&bytes, portion), Ok((4, files.clone())), "{format} {portion}");
            }
            assert!(judge(&bytes[..4000], 512).is_err());
            assert!(judge(&bytes[..4100], 512).is_err());
        }
        assert!(
            judge(b"Sorry, user ops is not allowed to execute tar. ".repeat(20).as_slice(), 512).is_err()
        );
        assert!(judge(&[0; 1024], 512).is_err());
    }

    #[test]
    fn an_entry_of_ours_stands_before_those_of_tar() {
        let dir = tempfile::tempdir().expect("dir");
        std::fs::create_dir(dir.path().join("a")).expect("dir");
        std::fs::write(dir.path().join("a/file"), "x").expect("write");
        let name = "configmaps/kube-system/kubeadm-config.json";
        let bytes = [entry(name, &[b'y'; 700], 1_790_000_000), tar(dir.path(), "gnu")].concat();
        let (entries, files) = judge(&bytes, 512).expect("whole");
        assert_eq!((entries, files.len()), (3, 2));
        let path = dir.path().join("both.tar");
        std::fs::write(&path, &bytes).expect("write");
        let read = |arguments: &[&str]| {
            let output = std::process::Command::new("tar").args(arguments).arg(&path).output().expect("tar");
            assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
            String::from_utf8(output.stdout).expect("text")
        };
        assert_eq!(read(&["-tf"]), format!("{name}\na/\na/file\n"));
        assert!(read(&["--utc", "-tvf"]).starts_with("-rw------- 0/0             700 2026-09-21 14:13"));
        assert_eq!(read(&["-O", "--wildcards", "-x", "configmaps/*", "-f"]), "y".repeat(700));
    }
}
