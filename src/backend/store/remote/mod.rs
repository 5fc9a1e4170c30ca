//! Copies of stored files elsewhere: a bucket of an object store, or another directory.
//!
//! A copy counts when its sidecar stands beside it. The file goes first; it is read back as a whole and compared; only
//! then is the sidecar written, read back and compared. A bucket never shows a file whose upload was cut off.

mod aws;
mod bucket;
mod client;
mod directory;
mod fault;
mod location;

pub use location::{Bucket, Location, Scheme};

use super::part::sidecar;
use crate::backend::error::Error;
use crate::domain::guard::{Change, Permit};
use crate::domain::report::FailureKind;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// What is said of S3 beyond its address, where the environment and the AWS files do not say it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct S3Options {
    /// `https://host:port` of a compatible store; default: Amazon's own.
    pub endpoint: Option<String>,
    /// Region; default: `AWS_REGION`, the profile's, `us-east-1`.
    pub region: Option<String>,
    /// Profile in the file of credentials; default: `AWS_PROFILE`, `default`.
    pub profile: Option<String>,
    /// File of credentials; default: `AWS_SHARED_CREDENTIALS_FILE`, `~/.aws/credentials`.
    pub credentials: Option<PathBuf>,
    /// PEM file of the authorities to trust instead of the machine's own; default: `AWS_CA_BUNDLE`.
    pub ca: Option<PathBuf>,
}

/// Where copies go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The place.
    pub to: Location,
    /// How S3 is reached, when it is that.
    pub s3: S3Options,
}

/// A copy that was read back and found equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Where it is: a URL, or a path.
    pub at: String,
    /// Its size in bytes.
    pub size: u64,
}

/// What a sidecar says of its file, whatever else it says.
#[derive(Debug, Clone, Deserialize)]
struct Expected {
    sha256: String,
    size: u64,
}

/// A stored file with its sidecar, about to be copied.
struct Original<'a> {
    path: &'a Path,
    name: String,
    sidecar: Vec<u8>,
    expected: Expected,
}

const OP: &str = "copy";

impl<'a> Original<'a> {
    fn read(path: &'a Path) -> Result<Self, Error> {
        let fail = |why: String| Error::new(FailureKind::Local, OP, path.display().to_string(), why);
        let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| fail("no name".into()))?;
        let sidecar = std::fs::read(sidecar(path)).map_err(|error| fail(format!("its sidecar: {error}")))?;
        let expected =
            serde_json::from_slice(&sidecar).map_err(|error| fail(format!("its sidecar: {error}")))?;
        Ok(Self { path, name: name.to_owned(), sidecar, expected })
    }

    fn changed(&self) -> Error {
        let why = "the file is not the one that its sidecar describes";
        Error::new(FailureKind::Local, OP, self.path.display().to_string(), why)
    }
}

impl Upload {
    /// Copies a stored file and its sidecar, and compares what arrived. Nothing is overwritten. On a failure, and when
    /// cancelled, what was sent does not count: it has no sidecar, and is removed where that is possible. `progress`
    /// gets the bytes sent and read back, and twice the size.
    pub async fn copy(
        &self,
        file: &Path,
        progress: impl Fn(u64, u64) + Send + Sync,
        cancel: &CancellationToken,
        permit: &Permit,
    ) -> Result<Copied, Error> {
        permit.check(&Change::Snapshot)?;
        let original = Original::read(file)?;
        match &self.to {
            Location::Directory(dir) => directory::copy(&original, dir, &progress, cancel).await,
            Location::Bucket(bucket) => {
                let store = bucket::open(bucket, &self.s3)?;
                bucket::copy(&original, bucket, store.as_ref(), &progress, cancel).await
            }
        }
    }
}
