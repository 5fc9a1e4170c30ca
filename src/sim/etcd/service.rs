//! What one member answers, call by call, with etcd's own codes and texts.

use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::Stream;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::Ensemble;
use super::database::Database;
use super::state::{MemberState, State};
use crate::proto::alarm_request::AlarmAction;
use crate::proto::cluster_server::Cluster;
use crate::proto::kv_server::Kv;
use crate::proto::maintenance_server::Maintenance;
use crate::proto::{
    AlarmMember, AlarmRequest, AlarmResponse, AlarmType, DefragmentRequest, DefragmentResponse,
    DowngradeInfo, HashKvRequest, HashKvResponse, Member, MemberListRequest, MemberListResponse,
    MoveLeaderRequest, MoveLeaderResponse, RangeRequest, RangeResponse, ResponseHeader, SnapshotRequest,
    SnapshotResponse, StatusRequest, StatusResponse,
};

/// How long moving the leader takes, at speed 1.
const MOVE_LEADER: Duration = Duration::from_millis(110);
/// How long a defragmentation takes, at speed 1.
const DEFRAGMENT: Duration = Duration::from_secs(1);

/// One member's services.
#[derive(Clone)]
pub struct MemberService {
    ensemble: Ensemble,
    index: usize,
}

impl MemberService {
    /// The member at `index`.
    pub fn new(ensemble: Ensemble, index: usize) -> Self {
        Self { ensemble, index }
    }

    /// Never ends while the member hangs.
    async fn wake(&self) -> Result<MemberState, Status> {
        match self.ensemble.member(self.index) {
            Some(member) if member.faults.hang => std::future::pending().await,
            Some(member) if member.up => Ok(member),
            _ => Err(Status::unavailable("etcdserver: server stopped")),
        }
    }

    /// As [`Self::wake`], and what a learner does not serve is refused.
    async fn wake_voter(&self) -> Result<MemberState, Status> {
        let member = self.wake().await?;
        if member.faults.learner {
            return Err(Status::unavailable("etcdserver: rpc not supported for learner"));
        }
        Ok(member)
    }

    /// Waits for a leader that a quorum follows.
    async fn agree(&self) -> Result<(), Status> {
        if self.ensemble.serves_in_time().await {
            return Ok(());
        }
        Err(Status::unavailable("etcdserver: request timed out"))
    }

    fn header(&self, state: &State) -> ResponseHeader {
        ResponseHeader {
            cluster_id: state.cluster_id,
            member_id: state.members[self.index].id,
            revision: state.revision(self.index, Instant::now()),
            raft_term: state.term,
        }
    }

    fn storage_version(&self) -> String {
        // Known since 3.6: the version's first two numbers and a zero.
        let mut parts =
            self.ensemble.version().split('.').map(|part| part.parse::<u32>().unwrap_or_default());
        let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if (major, minor) >= (3, 6) { format!("{major}.{minor}.0") } else { String::new() }
    }

    fn status_of(&self, state: &State) -> StatusResponse {
        let now = Instant::now();
        let member = &state.members[self.index];
        let spec = self.ensemble.spec();
        let mut errors = Vec::new();
        if state.leader.is_none() {
            errors.push("etcdserver: no leader".to_owned());
        }
        for (id, alarm) in &state.alarms {
            let name = AlarmType::try_from(*alarm).map_or("NONE", |alarm| alarm.as_str_name());
            errors.push(format!("memberID:{id} alarm:{name} "));
        }
        let is_new = !self.storage_version().is_empty();
        StatusResponse {
            header: Some(self.header(state)),
            version: self.ensemble.version().to_owned(),
            db_size: i64::try_from(member.db_size).unwrap_or(i64::MAX),
            leader: state.leader.map_or(0, |index| state.members[index].id),
            raft_index: state.known(self.index, now),
            raft_term: state.term,
            raft_applied_index: state.applied(self.index, now),
            errors,
            db_size_in_use: i64::try_from(member.db_size.min(spec.used_kib * 1024)).unwrap_or(i64::MAX),
            is_learner: member.faults.learner,
            storage_version: self.storage_version(),
            db_size_quota: if is_new { i64::try_from(spec.quota_kib * 1024).unwrap_or(i64::MAX) } else { 0 },
            downgrade_info: is_new.then(|| DowngradeInfo {
                enabled: spec.downgrade_to.is_some(),
                target_version: spec.downgrade_to.clone().unwrap_or_default(),
            }),
        }
    }
}

fn as_member(member: &MemberState) -> Member {
    let address = &member.address;
    let has_started = !member.faults.unstarted;
    Member {
        id: member.id,
        name: if has_started { member.node.clone() } else { String::new() },
        peer_ur_ls: vec![format!("https://{address}:2380")],
        client_ur_ls: if has_started { vec![format!("https://{address}:2379")] } else { Vec::new() },
        is_learner: member.faults.learner,
    }
}

#[tonic::async_trait]
impl Kv for MemberService {
    /// Holds no keys: what a caller learns is whether the cluster answers.
    async fn range(&self, request: Request<RangeRequest>) -> Result<Response<RangeResponse>, Status> {
        let request = request.into_inner();
        if request.key.is_empty() {
            return Err(Status::invalid_argument("etcdserver: key is not provided"));
        }
        if request.serializable {
            self.wake().await?;
        } else {
            self.wake_voter().await?;
            self.agree().await?;
        }
        let state = self.ensemble.lock();
        Ok(Response::new(RangeResponse { header: Some(self.header(&state)), ..RangeResponse::default() }))
    }
}

#[tonic::async_trait]
impl Cluster for MemberService {
    async fn member_list(
        &self,
        request: Request<MemberListRequest>,
    ) -> Result<Response<MemberListResponse>, Status> {
        self.wake_voter().await?;
        if request.into_inner().linearizable {
            self.agree().await?;
        }
        let state = self.ensemble.lock();
        let members = state.members.iter().map(as_member).collect();
        Ok(Response::new(MemberListResponse { header: Some(self.header(&state)), members }))
    }
}

type Blobs = Pin<Box<dyn Stream<Item = Result<SnapshotResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Maintenance for MemberService {
    type SnapshotStream = Blobs;

    async fn alarm(&self, request: Request<AlarmRequest>) -> Result<Response<AlarmResponse>, Status> {
        self.wake_voter().await?;
        self.agree().await?;
        let request = request.into_inner();
        Ok(Response::new(self.ensemble.update(|state| {
            state.append();
            let is_asked = |(id, alarm): &(u64, i32)| {
                (request.member_id == 0 || request.member_id == *id)
                    && (request.alarm == i32::from(AlarmType::None) || request.alarm == *alarm)
            };
            let mut named: Vec<(u64, i32)> = state.alarms.iter().copied().filter(is_asked).collect();
            match request.action() {
                AlarmAction::Get => {}
                AlarmAction::Deactivate => state.alarms.retain(|alarm| !is_asked(alarm)),
                AlarmAction::Activate if request.alarm != i32::from(AlarmType::None) => {
                    named = vec![(request.member_id, request.alarm)];
                    state.alarms.extend(named.iter().copied());
                }
                AlarmAction::Activate => named.clear(),
            }
            let alarms = named.into_iter().map(|(member_id, alarm)| AlarmMember { member_id, alarm });
            AlarmResponse { header: Some(self.header(state)), alarms: alarms.collect() }
        })))
    }

    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        self.wake().await?;
        let state = self.ensemble.lock();
        Ok(Response::new(self.status_of(&state)))
    }

    async fn defragment(
        &self,
        _: Request<DefragmentRequest>,
    ) -> Result<Response<DefragmentResponse>, Status> {
        self.wake_voter().await?;
        tokio::time::sleep(self.ensemble.pace().of(DEFRAGMENT)).await;
        let used = (self.ensemble.spec().used_kib * 1024).next_multiple_of(4096);
        self.ensemble.update(|state| {
            let member = &mut state.members[self.index];
            member.db_size = member.db_size.min(used).max(4 * 4096);
        });
        Ok(Response::new(DefragmentResponse { header: None }))
    }

    async fn hash_kv(&self, request: Request<HashKvRequest>) -> Result<Response<HashKvResponse>, Status> {
        self.wake_voter().await?;
        let state = self.ensemble.lock();
        let newest = state.revision(self.index, Instant::now());
        let revision = match request.into_inner().revision {
            0 => newest,
            asked => asked,
        };
        if revision < state.compacted() {
            return Err(Status::out_of_range("etcdserver: mvcc: required revision has been compacted"));
        }
        if revision > newest {
            return Err(Status::out_of_range("etcdserver: mvcc: required revision is a future revision"));
        }
        Ok(Response::new(HashKvResponse {
            header: Some(self.header(&state)),
            hash: state.hash(self.index, revision),
            compact_revision: state.compacted(),
            hash_revision: if self.storage_version().is_empty() { 0 } else { revision },
        }))
    }

    async fn snapshot(&self, _: Request<SnapshotRequest>) -> Result<Response<Blobs>, Status> {
        let member = self.wake().await?;
        let (seed, revision) = {
            let state = self.ensemble.lock();
            (state.cluster_id, state.revision(self.index, Instant::now()))
        };
        let stream = SnapshotStream {
            database: Database::new(seed, revision.unsigned_abs(), member.db_size),
            version: self.storage_version(),
            cut_after: member.faults.cut_snapshot_after,
            flip_at: member.faults.corrupt_snapshot.then_some(member.db_size / 2),
            sent: 0,
            ended: false,
        };
        let blobs = futures::stream::unfold(stream, |mut stream| async move {
            let message = stream.message()?;
            Some((message, stream))
        });
        Ok(Response::new(Box::pin(blobs)))
    }

    async fn move_leader(
        &self,
        request: Request<MoveLeaderRequest>,
    ) -> Result<Response<MoveLeaderResponse>, Status> {
        self.wake_voter().await?;
        let target = request.into_inner().target_id;
        let target = {
            let state = self.ensemble.lock();
            if state.leader != Some(self.index) {
                return Err(Status::failed_precondition("etcdserver: not leader"));
            }
            let target = state.members.iter().position(|member| member.id == target && member.is_voter());
            target.ok_or_else(|| Status::failed_precondition("etcdserver: bad leader transferee"))?
        };
        tokio::time::sleep(self.ensemble.pace().of(MOVE_LEADER)).await;
        let moved = self.ensemble.update(|state| {
            let may = state.is_serving() && state.leader == Some(self.index) && state.may_lead(target);
            if may && target != self.index {
                state.elect(target);
            }
            may
        });
        if !moved {
            self.agree().await?;
            return Err(Status::unavailable("etcdserver: request timed out, leader transfer took too long"));
        }
        Ok(Response::new(MoveLeaderResponse { header: None }))
    }
}

/// The messages of one snapshot: the file in blobs, then the digest of the whole.
struct SnapshotStream {
    database: Database,
    version: String,
    cut_after: Option<u64>,
    flip_at: Option<u64>,
    sent: u64,
    ended: bool,
}

impl SnapshotStream {
    fn message(&mut self) -> Option<Result<SnapshotResponse, Status>> {
        if self.ended {
            return None;
        }
        if self.cut_after.is_some_and(|limit| self.sent >= limit) {
            self.ended = true;
            return Some(Err(Status::unavailable("error reading from server: EOF")));
        }
        let blob = if let Some(blob) = self.database.blob() {
            self.spoil(blob)
        } else {
            self.ended = true;
            self.database.digest()
        };
        Some(Ok(SnapshotResponse {
            header: None,
            remaining_bytes: self.database.remaining(),
            blob,
            version: self.version.clone(),
        }))
    }

    fn spoil(&mut self, blob: Bytes) -> Bytes {
        let begin = self.sent;
        self.sent += blob.len() as u64;
        let flip = self.flip_at.filter(|at| (begin..self.sent).contains(at));
        let Some(at) = flip.and_then(|at| usize::try_from(at - begin).ok()) else { return blob };
        let mut spoiled = BytesMut::from(&blob[..]);
        spoiled[at] ^= 0x01;
        spoiled.freeze()
    }
}
