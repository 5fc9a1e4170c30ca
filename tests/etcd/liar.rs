//! A member that answers like etcd and sends spoilt snapshots.

use futures::stream::{self, BoxStream};
use pitstop::backend::dial::{Dialer, Stream};
use pitstop::backend::etcd::{Access, Etcd, EtcdOptions};
use pitstop::domain::ids::NodeName;
use pitstop::proto::cluster_server::{Cluster, ClusterServer};
use pitstop::proto::maintenance_server::{Maintenance, MaintenanceServer};
use pitstop::proto::{
    AlarmRequest, AlarmResponse, DefragmentRequest, DefragmentResponse, HashKvRequest, HashKvResponse,
    Member, MemberListRequest, MemberListResponse, MoveLeaderRequest, MoveLeaderResponse, ResponseHeader,
    SnapshotRequest, SnapshotResponse, StatusRequest, StatusResponse,
};
use sha2::{Digest, Sha256};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// What is wrong with the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    None,
    FlippedByte,
    /// Ends early, as if all had been sent.
    CutStream,
    /// Ends early with an error.
    BrokenStream,
    NoDigest,
    /// Announces more than it sends.
    WrongSize,
    NotADatabase,
    /// Stops in the middle and says nothing more.
    Hanging,
}

const ID: u64 = 0x11;
const PAGES: usize = 40;

fn header() -> ResponseHeader {
    ResponseHeader { cluster_id: 0xabc, member_id: ID, revision: 9, raft_term: 2 }
}

/// Serves one such member in memory.
pub async fn serve(lie: Lie) -> Etcd {
    let (sender, receiver) = mpsc::channel::<DuplexStream>(4);
    let incoming = ReceiverStream::new(receiver).map(Ok::<_, std::io::Error>);
    let router = tonic::transport::Server::builder()
        .add_service(MaintenanceServer::new(Liar(lie)))
        .add_service(ClusterServer::new(Liar(lie)));
    tokio::spawn(router.serve_with_incoming(incoming));
    let dialer = Dialer::new(move |_| {
        let sender = sender.clone();
        Box::pin(async move {
            let (ours, theirs) = tokio::io::duplex(64 * 1024);
            sender
                .send(theirs)
                .await
                .map_err(|_| std::io::Error::from(std::io::ErrorKind::ConnectionRefused))?;
            Ok(Box::new(ours) as Stream)
        })
    });
    let options = EtcdOptions {
        access: Access::Direct,
        endpoints: [(NodeName::from("cp-1"), "http://liar:2379".to_owned())].into(),
        ..EtcdOptions::default()
    };
    Etcd::new(options, dialer, None)
}

struct Liar(Lie);

impl Liar {
    fn messages(&self) -> Vec<Result<SnapshotResponse, Status>> {
        let mut db = vec![0x5a_u8; PAGES * 4096];
        let magic: u32 = if self.0 == Lie::NotADatabase { 0xDEAD_BEEF } else { 0xED0C_DAED };
        db[16..20].copy_from_slice(&magic.to_le_bytes());
        db[24..28].copy_from_slice(&4096_u32.to_le_bytes());
        let digest = Sha256::digest(&db).to_vec();
        if self.0 == Lie::FlippedByte {
            db[PAGES * 2048] ^= 0x20;
        }
        let total = db.len() + if self.0 == Lie::WrongSize { 4096 } else { 0 };
        let mut sent = 0;
        let mut messages = Vec::new();
        for blob in db.chunks(32 * 1024) {
            sent += blob.len();
            messages.push(Ok(SnapshotResponse {
                header: None,
                remaining_bytes: (total - sent) as u64,
                blob: blob.to_vec().into(),
                version: String::new(),
            }));
        }
        messages.push(Ok(SnapshotResponse { blob: digest.into(), ..SnapshotResponse::default() }));
        match self.0 {
            Lie::CutStream => messages.truncate(2),
            Lie::NoDigest => {
                messages.pop();
            }
            Lie::BrokenStream => {
                messages.truncate(2);
                messages.push(Err(Status::unavailable("somebody pulled the cable")));
            }
            _ => {}
        }
        messages
    }
}

#[tonic::async_trait]
impl Cluster for Liar {
    async fn member_list(
        &self,
        _: Request<MemberListRequest>,
    ) -> Result<Response<MemberListResponse>, Status> {
        let member = Member {
            id: ID,
            name: "cp-1".into(),
            peer_ur_ls: vec!["http://liar:2380".into()],
            client_ur_ls: vec!["http://liar:2379".into()],
            is_learner: false,
        };
        Ok(Response::new(MemberListResponse { header: Some(header()), members: vec![member] }))
    }
}

#[tonic::async_trait]
impl Maintenance for Liar {
    type SnapshotStream = BoxStream<'static, Result<SnapshotResponse, Status>>;

    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        Ok(Response::new(StatusResponse {
            header: Some(header()),
            version: "3.5.21".into(),
            db_size: 4096,
            leader: ID,
            raft_index: 20,
            raft_term: 2,
            raft_applied_index: 20,
            ..StatusResponse::default()
        }))
    }

    async fn snapshot(&self, _: Request<SnapshotRequest>) -> Result<Response<Self::SnapshotStream>, Status> {
        let messages = stream::iter(self.messages());
        Ok(Response::new(if self.0 == Lie::Hanging {
            Box::pin(messages.take(1).chain(stream::pending()))
        } else {
            Box::pin(messages)
        }))
    }

    async fn alarm(&self, _: Request<AlarmRequest>) -> Result<Response<AlarmResponse>, Status> {
        Err(Status::unimplemented("not asked"))
    }

    async fn defragment(
        &self,
        _: Request<DefragmentRequest>,
    ) -> Result<Response<DefragmentResponse>, Status> {
        Err(Status::unimplemented("not asked"))
    }

    async fn hash_kv(&self, _: Request<HashKvRequest>) -> Result<Response<HashKvResponse>, Status> {
        Err(Status::unimplemented("not asked"))
    }

    async fn move_leader(
        &self,
        _: Request<MoveLeaderRequest>,
    ) -> Result<Response<MoveLeaderResponse>, Status> {
        Err(Status::unimplemented("not asked"))
    }
}
