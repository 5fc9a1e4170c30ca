//! A verified etcd snapshot off the node, and the files that a control plane cannot be rebuilt without.

mod copies;
mod files;
mod pace;

use crate::backend::clock::now;
use crate::backend::etcd::Etcd;
use crate::backend::store::{self, Listed, Location, SnapshotFile, here, seal};
use crate::domain::etcd::scheduled::newest;
use crate::domain::node::NodeRow;
use crate::domain::plan::Kind;
use crate::domain::report::{FailureKind, Report};
use crate::domain::run::Outcome;
use crate::domain::text::{bytes, count};
use crate::domain::time::brief;
use crate::engine::job::{Ending, Job};
use crate::engine::settings::Settings;
use futures::FutureExt;
use pace::Pace;
use std::path::PathBuf;
use std::time::Duration;

/// What was done, and whether any of it needs a second look.
#[derive(Default)]
struct Account {
    words: Vec<String>,
    is_odd: bool,
}

impl Account {
    fn add(&mut self, words: String) {
        self.words.push(words);
    }

    fn warn(&mut self, words: String) {
        self.is_odd = true;
        self.words.push(words);
    }

    fn outcome(self) -> Outcome {
        let words = self.words.join("; ");
        if self.is_odd { Outcome::Warned(words) } else { Outcome::Done(words) }
    }
}

/// Takes both; a snapshot that cannot be taken fails the step, missing files are said.
pub(super) async fn backup(job: &Job) -> Ending {
    let mut account = Account::default();
    let nodes = job.patiently("reading the nodes", || job.backends().cluster.nodes()).await;
    let rows = nodes.as_deref().unwrap_or_default();
    if let Err(report) = &nodes {
        // a snapshot needs no API: the members may be configured by address
        job.warn(format!("the nodes cannot be read: {report}")).await;
    }
    let on_node = place(job, rows)?;
    let file = snapshot(job, rows, &mut account).await?;
    let mut stored = vec![file.path.clone()];
    let mut clusters = vec![file.meta.cluster_id.clone()];
    for (name, etcd) in job.backends().etcd.iter().flat_map(Etcd::beside_it) {
        let file = snapshot_beside(job, &name, &etcd, &mut account).await?;
        clusters.push(file.meta.cluster_id.clone());
        stored.push(file.path);
    }
    stored.extend(files::save(job, &mut account).await?);
    let files = seal_all(job, stored, &mut account).await?;
    copy_all(job, &files, on_node.is_some(), &mut account).await?;
    if let Some(node) = on_node.filter(|_| job.backends().settings.backup.upload.is_none()) {
        account.warn(format!("it lies on {node} itself: copy it elsewhere"));
    }
    account.words.extend(scheduled(job).await);
    for (cluster, good) in clusters.iter().zip(&files) {
        account.words.extend(copies::clear_up(job, cluster, good).await);
    }
    Ok(account.outcome())
}

/// How old the newest backup is that the cluster makes by itself; nothing where none is known or none can be read (the gate
/// `etcd-backup` says so).
async fn scheduled(job: &Job) -> Option<String> {
    let backups = job.backends().cluster.etcd_backups().await.ok()?;
    newest(&backups).map(|backup| format!("scheduled: {}", backup.words(now())))
}

/// The node that the files would lie on, when this program runs on one. Refused when it is the node to be rebooted and
/// no copy goes elsewhere.
fn place(job: &Job, rows: &[NodeRow]) -> Result<Option<String>, Report> {
    let settings = &job.backends().settings;
    let target = job.step.node.as_ref();
    let is_here = |row: &&NodeRow| here::is_on_machine(&settings.snapshot_dir, &row.boot_id);
    let rows = rows.iter().filter(|row| target.is_none_or(|node| row.name == *node));
    let Some(row) = rows.filter(is_here).min_by_key(|row| !row.is_control_plane()) else { return Ok(None) };
    if target.is_some() && !goes_elsewhere(settings, &row.boot_id) {
        let why = format!(
            "{} lies on {} itself, which is to be rebooted: that is no backup",
            settings.snapshot_dir.display(),
            row.name
        );
        return Err(Report::new(FailureKind::Denied, why).hint(
            "run pitstop elsewhere, or set [cluster.X.snapshot] dir to a network file system or upload to a bucket",
        ));
    }
    Ok(Some(row.name.0.clone()))
}

fn goes_elsewhere(settings: &Settings, boot_id: &str) -> bool {
    settings.backup.upload.as_ref().is_some_and(|upload| match &upload.to {
        Location::Bucket(_) => true,
        Location::Directory(dir) => !here::is_on_machine(dir, boot_id),
    })
}

/// What this run stored lately is not stored again when the step is tried once more, or the run resumed.
const RECENT: Duration = Duration::from_mins(30);

/// The oldest that the snapshot of this run may be when its node is rebooted. A drain that is waited for, or a run that was
/// left over night, makes it old.
const FRESH: Duration = Duration::from_hours(1);

/// Whether the snapshot that this run took, or a newer one of the same place, is recent enough for the reboot. A backup that was
/// left out by the engineer is nobody's promise.
pub(super) fn still_recent(job: &Job) -> Result<(), Report> {
    let Some(taken) = job.memory().snapshot_taken else { return Ok(()) };
    let age = now().since(taken);
    if age <= FRESH {
        return Ok(());
    }
    let newest = store::list(&job.backends().settings.snapshot_dir).ok().and_then(|list| {
        list.into_iter().find_map(|item| match item {
            Listed::Snapshot(file) if file.meta.has_quorum => Some(file.meta.taken),
            _ => None,
        })
    });
    if newest.is_some_and(|newest| newest > taken && now().since(newest) <= FRESH) {
        return Ok(());
    }
    let why = format!("the etcd snapshot of this run is {} old, {} are allowed", brief(age), brief(FRESH));
    Err(Report::new(FailureKind::Denied, why)
        .hint("take another with pitstop snapshot, then try this step again"))
}

/// The snapshot that this run took, when it is recent and still whole.
async fn taken_already(path: Option<PathBuf>) -> Option<SnapshotFile> {
    let path = path?;
    let file = tokio::task::spawn_blocking(move || store::verify(&path)).await.ok()?.ok()?;
    (now().since(file.meta.taken) <= RECENT).then_some(file)
}

async fn snapshot(job: &Job, rows: &[NodeRow], account: &mut Account) -> Result<SnapshotFile, Report> {
    if let Some(file) = taken_already(job.memory().snapshot).await {
        account.add(format!("the snapshot that this run took is there, verified: {}", file.path.display()));
        return Ok(file);
    }
    let etcd = job.backends().etcd.as_ref().ok_or_else(|| {
        Report::new(FailureKind::Local, "no snapshot can be taken: etcd is not configured")
            .hint("see [cluster.X.etcd] in the configuration")
    })?;
    if !rows.is_empty() {
        crate::engine::locate(job.backends(), rows).await;
    }
    let file = take(job, etcd, "store an etcd snapshot", account).await?;
    let (path, taken) = (file.path.clone(), file.meta.taken);
    job.remember(|memory| {
        memory.snapshot = Some(path);
        memory.snapshot_taken = Some(taken);
    })?;
    Ok(file)
}

/// The same of a further cluster.
async fn snapshot_beside(
    job: &Job,
    name: &str,
    etcd: &Etcd,
    account: &mut Account,
) -> Result<SnapshotFile, Report> {
    if let Some(file) = taken_already(job.memory().snapshots_beside.remove(name)).await {
        account.add(format!("that of {name} is there, verified: {}", file.path.display()));
        return Ok(file);
    }
    let file = take(job, etcd, &format!("store a snapshot of etcd {name}"), account).await?;
    let (name, path) = (name.to_owned(), file.path.clone());
    job.remember(|memory| {
        memory.snapshots_beside.insert(name, path);
    })?;
    Ok(file)
}

async fn take(job: &Job, etcd: &Etcd, change: &str, account: &mut Account) -> Result<SnapshotFile, Report> {
    let dir = &job.backends().settings.snapshot_dir;
    let file = job
        .patiently("taking an etcd snapshot", || {
            let pace = Pace::new(job, String::new());
            let progress = move |done, total| pace.tell(done, Some(total));
            let request =
                etcd.snapshot(job.step.node.as_ref(), dir, progress, &job.cancel, job.permit()).boxed();
            job.change(change, request)
        })
        .await?;
    account.add(format!(
        "verified snapshot of {} at revision {}, {}: {}",
        file.meta.member,
        file.meta.revision,
        bytes(file.meta.size),
        file.path.display()
    ));
    if !file.meta.has_quorum {
        account.warn(format!(
            "etcd had no quorum then: it holds what {} knew, and may miss the last writes",
            file.meta.member
        ));
    }
    Ok(file)
}

/// Seals what was stored and verified, for the readers that the configuration names; those that an earlier attempt sealed stay
/// as they are. Returns all in their order, the snapshots first.
async fn seal_all(job: &Job, files: Vec<PathBuf>, account: &mut Account) -> Result<Vec<PathBuf>, Report> {
    let recipients = &job.backends().settings.backup.recipients;
    let mut sealed = Vec::new();
    for file in files {
        let is_open = seal::plain_name(&file) == file;
        if recipients.is_empty() || !is_open {
            sealed.push(file);
            continue;
        }
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let whom = count(recipients.len(), "reader");
        let sealing = seal::seal(&file, recipients, job.permit()).boxed();
        let path = job.change(&format!("seal {name} for {whom}"), sealing).await.map_err(|error| {
            Report::from(error).because(format!("the plain file stays: {}", file.display()))
        })?;
        job.remember(|memory| {
            let own = [&mut memory.snapshot, &mut memory.archive].into_iter().flatten();
            for known in own.chain(memory.snapshots_beside.values_mut()).filter(|known| **known == file) {
                known.clone_from(&path);
            }
        })?;
        account.add(format!("sealed for {whom}: {}", path.display()));
        sealed.push(path);
    }
    Ok(sealed)
}

/// Copies what was stored to where copies go. A copy that fails fails the step when it was what was asked for, or when
/// the files lie on the node itself; else there is a backup, and the failure is said.
async fn copy_all(
    job: &Job,
    files: &[PathBuf],
    is_on_node: bool,
    account: &mut Account,
) -> Result<(), Report> {
    let Some(upload) = &job.backends().settings.backup.upload else { return Ok(()) };
    for file in files {
        match copies::copy(job, upload, file).await {
            Ok(words) => account.add(words),
            Err(report)
                if is_on_node
                    || job.shared.plan.kind == Kind::Snapshot
                    || report.kind == FailureKind::Cancelled =>
            {
                let words = account.words.join("; ");
                return Err(report.because(format!("what stays here: {words}")));
            }
            Err(report) => account.warn(format!("NOT copied to {}: {report}", upload.to)),
        }
    }
    Ok(())
}
