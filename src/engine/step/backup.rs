//! A verified etcd snapshot off the node, and the files that a control plane cannot be rebuilt without.

use crate::domain::plan::Kind;
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::{Outcome, Progress};
use crate::domain::text::bytes;
use crate::engine::job::{Ending, Job};
use futures::FutureExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How often the progress of a stream is told.
const EVERY: Duration = Duration::from_millis(250);

/// What is archived of a control-plane host, relative to `/`.
const FILES: [&str; 1] = ["etc/kubernetes"];

/// Takes both; a snapshot that cannot be taken fails the step, missing files are said.
pub(super) async fn backup(job: &Job) -> Ending {
    let snapshot = snapshot(job).await?;
    let Some(node) = job.step.node.as_ref().filter(|_| job.shared.plan.kind == Kind::Reboot) else {
        return Ok(Outcome::Done(snapshot));
    };
    match archive(job).await {
        Ok(Some(words)) => Ok(Outcome::Done(format!("{snapshot}; {words}"))),
        Ok(None) => {
            Ok(Outcome::Warned(format!("{snapshot}; /etc/kubernetes of {node} was not saved: no SSH")))
        }
        Err(report) if report.kind == FailureKind::Cancelled => Err(report),
        Err(report) => {
            Ok(Outcome::Warned(format!("{snapshot}; /etc/kubernetes of {node} was not saved: {report}")))
        }
    }
}

/// Whether the last showing of a progress is long enough ago.
fn is_due(shown: &Mutex<Option<Instant>>) -> bool {
    let now = Instant::now();
    let mut last = shown.lock().unwrap_or_else(PoisonError::into_inner);
    let is_due = last.is_none_or(|at| now.duration_since(at) >= EVERY);
    if is_due {
        *last = Some(now);
    }
    is_due
}

/// A snapshot that this run took lately is not taken again.
const RECENT: Duration = Duration::from_mins(30);

/// Whether a file of an earlier attempt is still there, whole and recent.
fn is_recent(path: &Path) -> bool {
    let Ok(file) = std::fs::metadata(path) else { return false };
    let age = file.modified().ok().and_then(|at| at.elapsed().ok());
    file.len() > 0 && age.is_some_and(|age| age <= RECENT)
}

async fn snapshot(job: &Job) -> Result<String, Report> {
    if let Some(path) = job.memory().snapshot.filter(|path| is_recent(path)) {
        return Ok(format!("the snapshot that this run took is there: {}", path.display()));
    }
    let etcd = job.backends().etcd.as_ref().ok_or_else(|| {
        Report::new(FailureKind::Local, "no snapshot can be taken: etcd is not configured")
            .hint("see [cluster.X.etcd] in the configuration")
    })?;
    let nodes = job.patiently("reading the nodes", || job.backends().cluster.nodes()).await;
    match nodes {
        Ok(nodes) => etcd.set_nodes(&nodes),
        // a snapshot needs no API: the members may be configured by address
        Err(report) => job.warn(format!("the nodes cannot be read: {report}")).await,
    }
    let dir = &job.backends().settings.snapshot_dir;
    let file = job
        .patiently("taking an etcd snapshot", || {
            let shown = Mutex::new(None::<Instant>);
            let progress = move |done: u64, total: u64| {
                if !is_due(&shown) && done < total {
                    return;
                }
                job.progress(Progress {
                    text: format!("{} of {}", bytes(done), bytes(total)),
                    done: Some(done),
                    total: Some(total),
                    ..Progress::default()
                });
            };
            let request =
                etcd.snapshot(job.step.node.as_ref(), dir, progress, &job.cancel, job.permit()).boxed();
            job.change("store an etcd snapshot", request)
        })
        .await?;
    let path = file.path.clone();
    job.remember(|memory| memory.snapshot = Some(path))?;
    Ok(format!(
        "verified snapshot of {} at revision {}, {}: {}",
        file.meta.member,
        file.meta.revision,
        bytes(file.meta.size),
        file.path.display()
    ))
}

async fn archive(job: &Job) -> Result<Option<String>, Report> {
    if let Some(path) = job.memory().archive.filter(|path| is_recent(path)) {
        return Ok(Some(format!("/etc/kubernetes is there: {}", path.display())));
    }
    let Some(hosts) = &job.backends().hosts else { return Ok(None) };
    let node = job.node()?;
    let row = job.patiently("reading the node", || job.backends().cluster.node(node)).await?;
    let dir = &job.backends().settings.snapshot_dir;
    let progress = |done: u64| job.say(format!("archiving /etc/kubernetes: {}", bytes(done)));
    let request = hosts.archive(&row, &FILES, dir, progress, &job.cancel, job.permit()).boxed();
    let file = job.change(&format!("archive /etc/kubernetes of {node}"), request).await?;
    let path = file.path.clone();
    job.remember(|memory| memory.archive = Some(path))?;
    Ok(Some(format!("/etc/kubernetes, {}: {}", bytes(file.meta.size), file.path.display())))
}
