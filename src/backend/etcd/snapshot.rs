//! Snapshots: streamed from one member, checked on the way, flushed, read back, and only then named.

use super::connect::Link;
use super::{Etcd, Slot, fault};
use crate::backend::clock;
use crate::backend::error::Error;
use crate::backend::store::part::Part;
use crate::backend::store::verify::{Check, TRAILER};
use crate::backend::store::{MemberMeta, SnapshotFile, SnapshotMeta, stamp_for_name};
use crate::domain::etcd::{EtcdView, MemberHealth, MemberRow};
use crate::domain::guard::{Change, Permit};
use crate::domain::ids::NodeName;
use crate::domain::report::FailureKind;
use crate::proto::{SnapshotRequest, SnapshotResponse};
use std::path::Path;
use std::time::Duration;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

/// How long the stream may be quiet.
const QUIET: Duration = Duration::from_secs(30);
const OP: &str = "take a snapshot from";

impl Etcd {
    /// Takes a snapshot of this cluster alone and stores it in a directory.
    ///
    /// It is read from a healthy voter, a follower when there is one, and not from the member on `not_from` unless that is
    /// the only voter. The file gets its name (`etcd-CLUSTER-TIME.db`) and its sidecar (`….db.json`) only when the digest that
    /// the member sent at the end is right, the size is the announced one, and the file was read back from the disk. On any
    /// failure, and when cancelled, nothing is left behind; nothing is ever overwritten. `progress` gets bytes done and
    /// bytes in all.
    pub async fn snapshot(
        &self,
        not_from: Option<&NodeName>,
        dir: &Path,
        progress: impl Fn(u64, u64) + Send + Sync,
        cancel: &CancellationToken,
        permit: &Permit,
    ) -> Result<SnapshotFile, Error> {
        permit.check(&Change::Snapshot)?;
        match cancel.run_until_cancelled(self.snapshot_slowly(not_from, dir, progress)).await {
            Some(result) => result,
            None => Err(Error::new(FailureKind::Cancelled, OP, "etcd", "cancelled")),
        }
    }

    async fn snapshot_slowly(
        &self,
        not_from: Option<&NodeName>,
        dir: &Path,
        progress: impl Fn(u64, u64) + Send + Sync,
    ) -> Result<SnapshotFile, Error> {
        let view = self.look_whole(OP).await?;
        let member = source(&view, not_from)?;
        let (Some(slot), Some(status), Some(cluster_id)) =
            (self.slot_of(member), member.status.as_ref(), view.cluster_id)
        else {
            return Err(Error::new(FailureKind::NotFound, OP, member.label(), "it is on no known node"));
        };
        let taken = clock::now();
        let name = format!("etcd-{cluster_id:016x}-{}.db", stamp_for_name(taken));
        let mut part = Part::create_judged(dir, &name, Box::new(Check::default())).await?;
        let (link, _) = self.link(&slot).await?;
        receive(&link, &slot, &mut part, progress).await?;
        let written = part.end().await?;
        let sha256 = written
            .verdict
            .clone()
            .map_err(|why| refusal(&slot, format!("what came is not a whole snapshot: {why}")))?;
        let describe = |size, sha256| SnapshotMeta {
            cluster_id: format!("{cluster_id:016x}"),
            revision: status.revision,
            version: status.version.clone(),
            sha256,
            member: member.label(),
            size,
            taken,
            has_quorum: view.leader().is_some(),
            members: view.members.iter().map(as_meta).collect(),
            place: self.found(),
            sealed: None,
        };
        let (path, meta) = written.publish(sha256, describe).await?;
        Ok(SnapshotFile { path, meta })
    }
}

fn as_meta(member: &MemberRow) -> MemberMeta {
    MemberMeta {
        id: format!("{:x}", member.id),
        name: member.name.clone(),
        node: member.node.clone(),
        peer_urls: member.peer_urls.clone(),
        learner: member.learner,
    }
}

fn refusal(slot: &Slot, why: String) -> Error {
    Error::new(FailureKind::Unexpected, OP, &slot.label, why)
}

/// Writes the stream to the file, as long as it is announced. What came is judged when the disk gives it back: so the digest
/// that the member sent stands for the line and for the disk, and is reckoned once.
async fn receive(
    link: &Link,
    slot: &Slot,
    part: &mut Part,
    progress: impl Fn(u64, u64),
) -> Result<(), Error> {
    let mut client = link.maintenance();
    let opened = patiently(slot, client.snapshot(SnapshotRequest {})).await?;
    let mut stream: Streaming<SnapshotResponse> = opened.into_inner();
    let mut announced = None;
    while let Some(message) = patiently(slot, stream.message()).await? {
        let left = message.remaining_bytes.saturating_add(message.blob.len() as u64);
        if announced.is_none() {
            part.require_room(left.saturating_add(TRAILER as u64))?;
        }
        let total = *announced.get_or_insert(left);
        part.write(&message.blob).await?;
        progress(part.size().min(total), total);
    }
    let expected = announced.unwrap_or(0).saturating_add(TRAILER as u64);
    if part.size() == expected {
        return Ok(());
    }
    Err(refusal(slot, format!("{} bytes came, {expected} were announced", part.size())))
}

/// Waits for one message, as long as the stream may be quiet.
async fn patiently<T>(slot: &Slot, waiting: impl Future<Output = Result<T, Status>>) -> Result<T, Error> {
    match timeout(QUIET, waiting).await {
        Ok(Ok(message)) => Ok(message),
        Ok(Err(status)) => Err(fault::of_status(OP, &slot.label, &status)),
        Err(_) => {
            slot.link.lock().await.take();
            let why = format!("nothing came for {} s", QUIET.as_secs());
            Err(Error::new(FailureKind::Timeout, OP, &slot.label, why))
        }
    }
}

/// The member to read from: healthy before merely answering (without a quorum a snapshot is still possible), followers
/// before the leader, the most advanced first. Never one with a corruption alarm.
fn source<'a>(view: &'a EtcdView, not_from: Option<&NodeName>) -> Result<&'a MemberRow, Error> {
    let is_corrupt = |member: &MemberRow| matches!(&member.health, MemberHealth::Unhealthy(why) if why.iter().any(|word| word.contains("CORRUPT")));
    let is_only_voter = view.members.iter().filter(|member| !member.learner).count() == 1;
    let may_serve = |member: &&MemberRow| {
        member.speaks()
            && !member.learner
            && !is_corrupt(member)
            && (is_only_voter || not_from.is_none() || member.node.as_ref() != not_from)
    };
    let rank = |member: &&MemberRow| {
        let applied = member.status.as_ref().map_or(0, |status| status.applied);
        (member.health.is_healthy(), !member.is_leader(), applied)
    };
    view.members.iter().filter(may_serve).max_by_key(rank).ok_or_else(|| {
        let besides = not_from.map(|node| format!(" besides the one on {node}")).unwrap_or_default();
        Error::new(FailureKind::Unreachable, OP, "etcd", format!("no member{besides} can give one"))
    })
}
