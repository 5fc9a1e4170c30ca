//! Copies elsewhere, and what is too old to keep.

use super::pace::Pace;
use crate::backend::error::Error;
use crate::backend::store::{Upload, keep};
use crate::domain::report::{FailureKind, Report};
use crate::domain::text::count;
use crate::engine::job::Job;
use futures::FutureExt;
use std::path::{Path, PathBuf};

/// Copies one file to where copies go; in words where it is then.
pub(super) async fn copy(job: &Job, upload: &Upload, file: &Path) -> Result<String, Report> {
    let to = &upload.to;
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let pace = Pace::new(job, format!("to {to}, and read back: "));
    let progress = |done, total| pace.tell(done, Some(total));
    let request = upload.copy(file, progress, &job.cancel, job.permit()).boxed();
    let copied = job.change(&format!("copy {name} to {to}"), request).await?;
    Ok(format!("copied to {}, read back and equal", copied.at))
}

/// Removes what is beyond the number to keep; in words what went. Never a reason to fail.
pub(super) async fn clear_up(job: &Job, cluster_id: &str, good: &Path) -> Option<String> {
    let settings = &job.backends().settings;
    let (dir, keep) = (settings.snapshot_dir.clone(), settings.backup.keep);
    let (node, cluster, good) = (job.step.node.clone(), cluster_id.to_owned(), good.to_owned());
    let listing = tokio::task::spawn_blocking(move || {
        let mut gone = keep::surplus(&dir, &cluster, keep, Some(&good))?;
        if let Some(node) = node {
            gone.extend(keep::surplus_archives(&dir, node.as_str(), keep)?);
        }
        Ok::<Vec<PathBuf>, Error>(gone)
    });
    let found = listing.await.unwrap_or_else(|error| {
        Err(Error::new(FailureKind::Unexpected, "clear up", "old snapshots", error.to_string()))
    });
    let found = match found {
        Ok(found) if found.is_empty() => return None,
        Ok(found) => found,
        Err(error) => {
            job.warn(format!("nothing old was removed: {error}")).await;
            return None;
        }
    };
    let mut removed = 0;
    for path in &found {
        let change = format!("remove {}, beyond the newest {keep}", path.display());
        match job.change(&change, async { keep::remove(path, job.permit()) }).await {
            Ok(()) => removed += 1,
            Err(error) => job.warn(error.to_string()).await,
        }
    }
    (removed > 0).then(|| format!("{} removed", count(removed, "old file")))
}
