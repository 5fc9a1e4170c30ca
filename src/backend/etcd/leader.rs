//! Questions and requests that need the cluster as a whole: leadership, reads with a quorum, hashes.

use super::look::DEADLINE;
use super::{Etcd, Slot};
use crate::backend::error::Error;
use crate::domain::etcd::{EtcdView, HashReading, KeyspaceHash, MemberRow};
use crate::domain::guard::{Change, Permit};
use crate::domain::ids::NodeName;
use crate::domain::report::FailureKind;
use crate::proto::{HashKvRequest, MoveLeaderRequest, RangeRequest};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use tonic::Code;

/// The transfer itself: the server gives up after its election timeout, and k3s sets 5 s for that.
const MOVE: Duration = Duration::from_secs(12);
/// How long members are asked whether they see the new leader, and how often.
const CONFIRM: (Duration, Duration) = (Duration::from_secs(5), Duration::from_millis(100));
/// A hash reads the whole keyspace.
const HASH: Duration = Duration::from_mins(1);

impl Etcd {
    /// Moves the leadership away from a node, in each cluster that it leads; the names of the members that lead then.
    pub async fn move_leader(&self, away_from: &NodeName, permit: &Permit) -> Result<String, Error> {
        let mut leaders = vec![self.move_leader_here(away_from, permit).await?];
        for other in self.others() {
            leaders.push(other.move_leader_here(away_from, permit).await?);
        }
        leaders.dedup();
        Ok(leaders.join(", "))
    }

    /// Moves the leadership away from the member on a node, to the most caught-up healthy voter elsewhere, and waits until
    /// two members (all that answer, when there are fewer) say so. Returns the name of the member that leads then; when
    /// another member leads already nothing is asked.
    async fn move_leader_here(&self, away_from: &NodeName, permit: &Permit) -> Result<String, Error> {
        permit.check(&Change::MoveLeader(away_from))?;
        let fail = |kind: FailureKind, why: String| {
            Error::new(kind, "move the etcd leader away from", away_from.as_str(), why)
        };
        let view = self.look_whole("move the leadership of").await?;
        let Some(leader) = view.leader() else {
            return Err(fail(FailureKind::Unreachable, "no leader that a majority names".to_owned()));
        };
        if leader.node.as_ref() != Some(away_from) {
            return Ok(leader.label());
        }
        let may_lead = |member: &&MemberRow| {
            member.id != leader.id && !member.learner && member.health.is_healthy() && member.node.is_some()
        };
        let applied = |member: &&MemberRow| member.status.as_ref().map(|status| status.applied);
        let Some(target) = view.members.iter().filter(may_lead).max_by_key(applied) else {
            return Err(fail(FailureKind::Denied, "no other healthy voter could lead".to_owned()));
        };
        let slot = self.slot_of(leader).ok_or_else(|| {
            fail(FailureKind::NotFound, format!("the leader {} is on no known node", leader.label()))
        })?;
        let (link, _) = self.link(&slot).await?;
        let request = MoveLeaderRequest { target_id: target.id };
        let moving = async move { link.maintenance().move_leader(request).await };
        let answer = self.call_once(&slot, "move the etcd leader away from", MOVE, moving).await;
        // whatever the answer was, what the members see decides
        match (self.confirm(&view, target.id).await, answer) {
            (true, _) => Ok(target.label()),
            (false, Err((error, _))) => Err(error),
            (false, Ok(_)) => Err(fail(
                FailureKind::Timeout,
                format!("members do not see {} as the leader", target.label()),
            )),
        }
    }

    /// Whether two members, or all when fewer answer, name a leader within the time for it.
    async fn confirm(&self, view: &EtcdView, leader: u64) -> bool {
        let slots: Vec<Arc<Slot>> =
            view.members.iter().filter(|member| member.speaks()).filter_map(|m| self.slot_of(m)).collect();
        let (within, pause) = CONFIRM;
        let asking = async {
            loop {
                let seen = futures::future::join_all(slots.iter().map(|slot| self.status(slot))).await;
                let answered = seen.iter().filter(|answer| answer.is_ok()).count();
                let agree = seen.iter().flatten().filter(|answer| answer.status.leader == leader).count();
                if agree > 0 && agree >= answered.min(2) {
                    return;
                }
                tokio::time::sleep(pause).await;
            }
        };
        timeout(within, asking).await.is_ok()
    }

    /// The same of this cluster and those beside it.
    pub async fn hash_all(&self) -> Result<Vec<KeyspaceHash>, Error> {
        let others = self.others();
        let all = std::iter::once(self).chain(&others);
        futures::future::join_all(all.map(Self::hash_kv)).await.into_iter().collect()
    }

    /// Hashes the keyspace of every voter that answers at the lowest revision that all have. Reads everything: for a check
    /// after a change, not for every round. Of this cluster alone.
    pub async fn hash_kv(&self) -> Result<KeyspaceHash, Error> {
        let view = self.look_whole("hash the keys of").await?;
        let voters = || view.members.iter().filter(|member| !member.learner && member.speaks());
        let revision = voters().filter_map(|member| Some(member.status.as_ref()?.revision)).min();
        let Some(revision) = revision else {
            return Err(Error::new(FailureKind::Unreachable, "hash the keys of", "etcd", "no voter answers"));
        };
        let asked = voters().filter_map(|member| Some((member, self.slot_of(member)?))).map(
            |(member, slot)| async move {
                let response = self.ask(&slot, "hash the keys of", HASH, |link| async move {
                    Ok(link.maintenance().hash_kv(HashKvRequest { revision }).await?.into_inner())
                });
                let response = response.await?;
                Ok(HashReading {
                    member: member.label(),
                    hash: response.hash,
                    compacted: response.compact_revision,
                })
            },
        );
        let readings: Result<Vec<HashReading>, Error> =
            futures::future::join_all(asked).await.into_iter().collect();
        Ok(KeyspaceHash { revision, readings: readings? })
    }

    /// Reads one key of each cluster, through a healthy voter that is not on a node; the longest time.
    pub async fn linearizable_read(&self, not_on: &NodeName) -> Result<Duration, Error> {
        let others = self.others();
        let all = std::iter::once(self).chain(&others);
        let took = futures::future::join_all(all.map(|etcd| etcd.linearizable_read_here(not_on))).await;
        let took: Vec<Duration> = took.into_iter().collect::<Result<_, _>>()?;
        Ok(took.into_iter().max().unwrap_or_default())
    }

    /// Reads one key through a healthy voter that is not on a node, with the consent of a quorum (`ReadIndex`: no entry in
    /// the log). Returns how long it took.
    async fn linearizable_read_here(&self, not_on: &NodeName) -> Result<Duration, Error> {
        let view = self.look_whole("read from").await?;
        let elsewhere = |member: &&MemberRow| {
            !member.learner
                && member.health.is_healthy()
                && member.node.as_ref().is_some_and(|node| node != not_on)
        };
        let Some(slot) = view.members.iter().filter(elsewhere).find_map(|member| self.slot_of(member)) else {
            let why = format!("no healthy voter besides {not_on}");
            return Err(Error::new(FailureKind::Unreachable, "read from", "etcd", why));
        };
        self.ask(&slot, "read from", DEADLINE, |link| async move {
            let begun = Instant::now();
            let request = RangeRequest { key: b"health".to_vec(), limit: 1, ..RangeRequest::default() };
            match link.kv().range(request).await {
                // with etcd's own users: not for us to read, but answered with a quorum
                Err(status) if status.code() != Code::PermissionDenied => Err(status),
                _ => Ok(begun.elapsed()),
            }
        })
        .await
    }

    /// Where a member is reached.
    pub(super) fn slot_of(&self, member: &MemberRow) -> Option<Arc<Slot>> {
        let node = member.node.as_ref()?;
        self.slots().into_iter().find(|slot| slot.node == *node)
    }
}
