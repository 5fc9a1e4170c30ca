//! `pitstop plan restore`: how to get etcd back from the newest verified snapshot. Changes nothing, and runs nothing.

use super::{Exit, Format, json, line};
use crate::backend::store::seal::plain_name;
use crate::backend::store::{SnapshotFile, newest_verified};
use crate::domain::etcd::place::{Discovery, Place};
use crate::domain::report::{FailureKind, Report};
use crate::domain::restore::{Part, Peer, Recipe, Source, recipe};
use crate::domain::text::bytes;
use crate::engine::{Backends, locate};
use serde::Serialize;
use std::time::Duration;
use tokio::time::timeout;

/// How long the cluster is asked; it may well be down when this is read.
const ASK: Duration = Duration::from_secs(10);

/// What `-o json` writes.
#[derive(Debug, Serialize)]
struct Page<'a> {
    context: &'a str,
    snapshot: &'a SnapshotFile,
    notes: &'a [String],
    parts: &'a [Part],
}

/// Finds the snapshot and prints the way.
///
/// # Errors
/// No snapshot in the directory is whole.
pub async fn restore(backends: &Backends, format: Format) -> Result<Exit, Report> {
    let (cluster_id, place) = timeout(ASK, ask(backends)).await.unwrap_or_default();
    let dir = backends.settings.snapshot_dir.clone();
    let wanted = cluster_id.clone();
    let reading = tokio::task::spawn_blocking(move || newest_verified(&dir, wanted.as_deref()));
    let found = reading.await.map_err(|error| Report::new(FailureKind::Unexpected, error.to_string()))??;
    let Some(file) = found else {
        let dir = backends.settings.snapshot_dir.display();
        return Err(Report::new(FailureKind::NotFound, format!("no whole snapshot of this cluster lies in {dir}"))
            .hint("pitstop snapshot takes one, as long as a member runs, even without a quorum; copies in a bucket must be fetched first, with their .json"));
    };
    let place = place.or_else(|| file.meta.place.clone());
    let mut recipe = recipe(&source(&file), &peers(&file), place.as_ref());
    if cluster_id.is_none() {
        let why = format!(
            "etcd does not answer: the newest whole snapshot of any cluster in the directory was taken, that of {}; make sure that it is yours",
            file.meta.cluster_id
        );
        recipe.notes.insert(0, why);
    }
    match format {
        Format::Json => json(&Page {
            context: &backends.settings.context,
            snapshot: &file,
            notes: &recipe.notes,
            parts: &recipe.parts,
        })?,
        Format::Text => write(&file, &recipe)?,
    }
    Ok(Exit::Done)
}

/// The id of the cluster and where it lives, as far as anybody answers.
async fn ask(backends: &Backends) -> (Option<String>, Option<Place>) {
    if let Ok(nodes) = backends.cluster.node_objects().await {
        locate(backends, &nodes).await;
    }
    let Some(etcd) = &backends.etcd else { return (None, None) };
    let place = match etcd.place() {
        Some(Discovery::Found(place)) => Some(place),
        _ => None,
    };
    let view = etcd.look().await.ok();
    (view.and_then(|view| view.cluster_id).map(|id| format!("{id:016x}")), place)
}

fn source(file: &SnapshotFile) -> Source {
    let plain = plain_name(&file.path);
    let name = plain.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let inside = file.meta.sealed.as_ref();
    Source {
        file: plain.display().to_string(),
        name,
        sha256: inside.map_or(&file.meta.sha256, |inside| &inside.sha256).clone(),
        sealed: inside.map(|_| (file.path.display().to_string(), file.meta.sha256.clone())),
        cluster_id: file.meta.cluster_id.clone(),
        revision: file.meta.revision,
        version: file.meta.version.clone(),
        has_quorum: file.meta.has_quorum,
        stamp: crate::backend::store::stamp_for_name(file.meta.taken),
    }
}

fn peers(file: &SnapshotFile) -> Vec<Peer> {
    let members = file.meta.members.iter();
    members
        .map(|member| Peer {
            id: member.id.clone(),
            name: member.name.clone(),
            node: member.node.clone(),
            url: member.peer_urls.first().cloned(),
            learner: member.learner,
        })
        .collect()
}

fn write(file: &SnapshotFile, recipe: &Recipe) -> Result<(), Report> {
    let meta = &file.meta;
    line("restore etcd: printed for you to read and type, never run by pitstop")?;
    line(&format!(
        "snapshot {}, {}, verified now; of {} at revision {}, taken {}",
        file.path.display(),
        bytes(meta.size),
        meta.member,
        meta.revision,
        super::text::date(meta.taken)
    ))?;
    for member in &meta.members {
        let node = member.node.as_ref().map_or("no known node", |node| node.as_str());
        line(&format!(
            "    member {} {} on {node}: {}",
            member.id,
            member.name,
            member.peer_urls.join(", ")
        ))?;
    }
    for note in &recipe.notes {
        line(&format!("  ! {note}"))?;
    }
    for (index, part) in recipe.parts.iter().enumerate() {
        line(&format!("{}. {}", index + 1, part.what))?;
        for text in &part.lines {
            line(&format!("     {text}"))?;
        }
    }
    Ok(())
}
