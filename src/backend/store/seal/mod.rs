//! Files sealed for the readers that the configuration names, in the format of age: the holder of the key opens them with
//! `age --decrypt`, this program never can.
//!
//! Source: the age format, version 1 (<https://age-encryption.org/v1>): a header with the file key wrapped for each X25519
//! recipient, and the content in chunks of 64 KiB under ChaCha20-Poly1305. Every primitive is ring's. The crate `age` is not
//! used: it brings some ninety crates along, a second generation of the same primitives among them.

mod bech32;
mod stream;

use super::keep;
use super::part::{Part, hex, sidecar};
use crate::backend::error::Error;
use crate::domain::guard::{Change, Permit};
use crate::domain::report::FailureKind;
use ring::digest::{Context, SHA256};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use stream::Sealer;
use tokio::io::AsyncReadExt;

/// Ending of a sealed file.
pub const ENDING: &str = "age";
const OP: &str = "seal";

/// Somebody for whom files are sealed, by a public key: `age1…`. No secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Recipient {
    text: String,
    key: [u8; 32],
}

impl FromStr for Recipient {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("{text:?} is no recipient of age (age1…): {why}");
        if text.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
            // never shown again: it would end in a log
            return Err(
                "this is a secret key of age: name its public key (age1…), see age-keygen -y".to_owned()
            );
        }
        let key = bech32::decode("age", text).map_err(wrong)?;
        let key = key.try_into().map_err(|_| wrong("it does not hold 32 bytes"))?;
        Ok(Self { text: text.to_owned(), key })
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Recipient {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// What a sealed file holds: part of its sidecar, whose own digest and size are of the sealed file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// SHA-256 of what is inside, in hex.
    pub sha256: String,
    /// Its size in bytes.
    pub size: u64,
    /// For whom: public keys.
    pub recipients: Vec<String>,
}

/// Whether a file of that name is one of the kind `ending` (`db`, `tar`), sealed or not.
pub(super) fn is_kind(path: &Path, ending: &str) -> bool {
    let bare = plain_name(path);
    bare.extension().is_some_and(|found| found == ending)
}

/// The name of what is inside.
pub fn plain_name(path: &Path) -> PathBuf {
    if path.extension().is_some_and(|found| found == ENDING) {
        path.with_extension("")
    } else {
        path.to_owned()
    }
}

/// Seals a stored file for these readers and removes what it was made from, which was verified when it was stored. The sealed
/// file stands beside it as `NAME.age`, readable by its owner only, flushed and read back, with a sidecar. On a failure the
/// plain file stays.
///
/// # Errors
/// The file cannot be read or is not the one that its sidecar describes, or the sealed one cannot be written.
pub async fn seal(file: &Path, recipients: &[Recipient], permit: &Permit) -> Result<PathBuf, Error> {
    permit.check(&Change::Snapshot)?;
    let fail = |why: String| Error::new(FailureKind::Local, OP, file.display().to_string(), why);
    let text = std::fs::read(sidecar(file)).map_err(|error| fail(format!("its sidecar: {error}")))?;
    let mut meta: Value =
        serde_json::from_slice(&text).map_err(|error| fail(format!("its sidecar: {error}")))?;
    let dir = file.parent().unwrap_or(Path::new("."));
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let mut part = Part::create(dir, &format!("{name}.{ENDING}")).await?;
    let (mut sealer, header) = Sealer::new(recipients).map_err(|why| fail(why.to_owned()))?;
    let (mut inside, mut outside, mut size) = (Context::new(&SHA256), Context::new(&SHA256), 0_u64);
    let mut from = tokio::fs::File::open(file).await.map_err(|error| fail(error.to_string()))?;
    let mut written = header;
    let mut buffer = vec![0; stream::CHUNK];
    loop {
        outside.update(&written);
        part.write(&written).await?;
        let count = from.read(&mut buffer).await.map_err(|error| fail(error.to_string()))?;
        if count == 0 {
            break;
        }
        inside.update(&buffer[..count]);
        size += count as u64;
        written = sealer.update(&buffer[..count]).map_err(|why| fail(why.to_owned()))?;
    }
    let rest = sealer.finish().map_err(|why| fail(why.to_owned()))?;
    outside.update(&rest);
    part.write(&rest).await?;
    let inside = hex(inside.finish().as_ref());
    if meta["sha256"] != inside.as_str() {
        return Err(fail("it is not the file that its sidecar describes".to_owned()));
    }
    let sealed =
        Sealed { sha256: inside, size, recipients: recipients.iter().map(ToString::to_string).collect() };
    let describe = move |size: u64, sha256: String| {
        meta["sealed"] = serde_json::json!(sealed);
        meta["size"] = size.into();
        meta["sha256"] = sha256.into();
        meta
    };
    let (path, _) = part.finish(hex(outside.finish().as_ref()), describe).await?;
    keep::remove(file, permit)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::super::list::tests::store;
    use super::super::{newest_verified, verify};
    use super::*;
    use crate::domain::config::Policy;
    use crate::domain::guard::{Assent, Request, World, grant};

    use crate::domain::plan::Kind;

    #[test]
    fn recipients_are_read_and_secrets_refused_unseen() {
        let text = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
        let recipient: Recipient = text.parse().expect("a recipient");
        assert_eq!(recipient.to_string(), text);
        let mut mistyped = text.to_owned();
        mistyped.replace_range(20..21, "q");
        assert!(mistyped.parse::<Recipient>().is_err());
        assert!("ssh-ed25519 AAAA".parse::<Recipient>().is_err());
        let secret = "AGE-SECRET-KEY-1QQPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L";
        let error = secret.parse::<Recipient>().expect_err("a secret");
        assert!(!error.contains("QQPZRY") && error.contains("age-keygen -y"), "{error}");
    }

    fn permit() -> Permit {
        let wanted = Request::new(Kind::Snapshot, Vec::new());
        let world = World { nodes: None, etcd: None, lock: None };
        grant(&Policy::default(), &wanted, world, Assent::Key).expect("permit")
    }

    #[tokio::test]
    async fn a_sealed_snapshot_takes_the_place_of_the_plain_one_and_is_verified_as_it_lies_there() {
        let dir = tempfile::tempdir().expect("dir");
        let dir = dir.path();
        let plain = store(dir, "etcd-ab-1.db", 1).await;
        let before = verify(&plain).expect("whole").meta;
        let text = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
        let path = seal(&plain, &[text.parse().expect("reader")], &permit()).await.expect("sealed");
        assert_eq!(path, dir.join("etcd-ab-1.db.age"));
        assert!(!plain.exists() && !sidecar(&plain).exists(), "the plain one is gone");
        let found = newest_verified(dir, Some("ab")).expect("read").expect("found");
        let inside = found.meta.sealed.clone().expect("sealed");
        assert_eq!((found.path, inside.sha256, inside.size), (path.clone(), before.sha256, before.size));
        assert_eq!(inside.recipients, [text]);
        let mut bytes = std::fs::read(&path).expect("read");
        assert!(bytes.starts_with(b"age-encryption.org/v1\n-> X25519 "));
        bytes[6000] ^= 1;
        std::fs::write(&path, bytes).expect("write");
        assert!(verify(&path).is_err() && newest_verified(dir, None).expect("read").is_none());
    }

    #[test]
    fn kinds_are_told_by_what_is_inside() {
        assert!(is_kind(Path::new("a/etcd-1.db"), "db") && is_kind(Path::new("a/etcd-1.db.age"), "db"));
        assert!(!is_kind(Path::new("etcd-1.db.json"), "db") && !is_kind(Path::new("etcd-1.age"), "db"));
        assert_eq!(plain_name(Path::new("/s/etcd-1.db.age")), Path::new("/s/etcd-1.db"));
    }
}
