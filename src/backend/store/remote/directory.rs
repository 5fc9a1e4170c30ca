//! To another directory: written, flushed, read back and named as every stored file is.

use super::{Copied, OP, Original};
use crate::backend::error::Error;
use crate::backend::store::part::{Part, hex, sidecar};
use crate::domain::report::FailureKind;
use ring::digest::{Context, SHA256};
use std::path::Path;
use tokio::io::AsyncReadExt;
use tokio_util::sync::CancellationToken;

pub(super) async fn copy(
    original: &Original<'_>,
    dir: &Path,
    progress: &(dyn Fn(u64, u64) + Send + Sync),
    cancel: &CancellationToken,
) -> Result<Copied, Error> {
    let copying = copy_slowly(original, dir, progress);
    cancel.run_until_cancelled(copying).await.unwrap_or_else(|| {
        Err(Error::new(FailureKind::Cancelled, OP, original.path.display().to_string(), "cancelled"))
    })
}

async fn copy_slowly(
    original: &Original<'_>,
    dir: &Path,
    progress: &(dyn Fn(u64, u64) + Send + Sync),
) -> Result<Copied, Error> {
    let local = |error: std::io::Error| {
        Error::new(FailureKind::Local, OP, original.path.display().to_string(), error.to_string())
    };
    let size = original.expected.size;
    let there = dir.join(&original.name);
    if let Ok(known) = tokio::fs::read(sidecar(&there)).await {
        let at = there.display().to_string();
        // an earlier try copied it: it counts when it is read back whole now
        let read = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).ok();
        let is_same = read(&known).is_some_and(|known| Some(known) == read(&original.sidecar));
        if is_same && digest(&there).await.map_err(local)? == original.expected.sha256 {
            return Ok(Copied { at, size });
        }
        let why = "another file of that name exists already; it is not overwritten";
        return Err(Error::new(FailureKind::Conflict, OP, at, why));
    }
    let mut part = Part::create(dir, &original.name).await?;
    part.require_room(size)?;
    let mut file = tokio::fs::File::open(original.path).await.map_err(local)?;
    let (mut hash, mut buffer) = (Context::new(&SHA256), vec![0; 1024 * 1024]);
    loop {
        let count = file.read(&mut buffer).await.map_err(local)?;
        if count == 0 {
            break;
        }
        hash.update(&buffer[..count]);
        part.write(&buffer[..count]).await?;
        progress(part.size().min(size), size.saturating_mul(2));
    }
    let sha256 = hex(hash.finish().as_ref());
    if (part.size(), &sha256) != (size, &original.expected.sha256) {
        return Err(original.changed());
    }
    let meta: serde_json::Value = serde_json::from_slice(&original.sidecar).unwrap_or_default();
    let (path, _) = part.finish(sha256, move |_, _| meta).await?;
    progress(size.saturating_mul(2), size.saturating_mul(2));
    Ok(Copied { at: path.display().to_string(), size })
}

/// The SHA-256 of a file, read as a whole.
async fn digest(path: &Path) -> std::io::Result<String> {
    let mut file = tokio::fs::File::open(path).await?;
    let (mut hash, mut buffer) = (Context::new(&SHA256), vec![0; 1024 * 1024]);
    loop {
        match file.read(&mut buffer).await? {
            0 => return Ok(hex(hash.finish().as_ref())),
            count => hash.update(&buffer[..count]),
        }
    }
}
