//! What is sealed here is opened by Debian's `age` and by nobody without a key.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use super::permit;
use pitstop::backend::store::Recipient;
use pitstop::backend::store::seal::seal;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn tool(name: &str, arguments: &[&Path]) -> Output {
    Command::new(name).args(arguments).output().unwrap_or_else(|error| {
        panic!("{name} cannot be started ({error}): tests/run installs what the tests need")
    })
}

/// A new key: its file, and whom it makes a reader.
fn key(dir: &Path, name: &str) -> (PathBuf, Recipient) {
    let file = dir.join(name);
    assert!(tool("age-keygen", &[Path::new("-o"), &file]).status.success());
    let public = tool("age-keygen", &[Path::new("-y"), &file]).stdout;
    let public = String::from_utf8(public).expect("text");
    (file, public.trim().parse().expect("a recipient"))
}

fn open(key: &Path, sealed: &Path) -> Output {
    tool("age", &[Path::new("--decrypt"), Path::new("-i"), key, sealed])
}

/// A stored file with the sidecar that says what it is.
fn stored(dir: &Path, length: usize) -> (PathBuf, Vec<u8>) {
    let bytes: Vec<u8> = (0..length).map(|at| u8::try_from(at * 31 % 251).expect("a byte")).collect();
    let file = dir.join(format!("cp-1-etc-kubernetes-{length}.tar"));
    std::fs::write(&file, &bytes).expect("write");
    let sha256 = Sha256::digest(&bytes).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let sidecar = format!("{{\"sha256\": \"{sha256}\", \"size\": {length}, \"node\": \"cp-1\"}}\n");
    std::fs::write(format!("{}.json", file.display()), sidecar).expect("write");
    (file, bytes)
}

#[tokio::test]
async fn age_opens_what_was_sealed_with_each_readers_key_and_no_other() {
    let dir = tempfile::tempdir().expect("dir");
    let dir = dir.path();
    let (ann, for_ann) = key(dir, "ann.key");
    let (bob, for_bob) = key(dir, "bob.key");
    let (eve, _) = key(dir, "eve.key");
    // around the ends of a chunk of 64 KiB, where the format has its corners
    for length in [0, 1, 65_535, 65_536, 65_537, 131_072, 1_000_000] {
        let (file, bytes) = stored(dir, length);
        let sealed = seal(&file, &[for_ann.clone(), for_bob.clone()], &permit()).await.expect("sealed");
        assert!(!file.exists(), "only the sealed one stays");
        for key in [&ann, &bob] {
            let opened = open(key, &sealed);
            assert!(opened.status.success(), "{length}: {}", String::from_utf8_lossy(&opened.stderr));
            assert!(opened.stdout == bytes, "{length}: other bytes");
        }
        let refused = open(&eve, &sealed);
        assert!(!refused.status.success() && refused.stdout.is_empty(), "{length}");
        let mut bytes = std::fs::read(&sealed).expect("read");
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(&sealed, bytes).expect("write");
        assert!(!open(&ann, &sealed).status.success(), "{length}: a changed byte is noticed");
    }
}
