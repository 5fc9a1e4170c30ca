//! The members as a client sees them: gRPC over TLS over a stream in memory, on a paused clock.

use std::time::Duration;

use hyper_util::rt::TokioIo;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::{Door, Ensemble, EtcdSpec, MemberFaults};
use crate::proto::alarm_request::AlarmAction;
use crate::proto::cluster_client::ClusterClient;
use crate::proto::kv_client::KvClient;
use crate::proto::maintenance_client::MaintenanceClient;
use crate::proto::{
    AlarmRequest, HashKvRequest, MemberListRequest, MoveLeaderRequest, RangeRequest, SnapshotRequest,
    StatusRequest, StatusResponse,
};
use crate::sim::machine::{BOOT, Machine, MachineSpec, RebootOutcome, SHUTDOWN};
use crate::sim::pace::Pace;
use crate::sim::tls::{Authority, Clients, Pair, Subject, server_config};
use crate::sim::wire;

struct Bench {
    machines: Vec<Machine>,
    ensemble: Ensemble,
    ca: Authority,
    client: Pair,
    stop: CancellationToken,
}

impl Bench {
    fn new(faults: &[MemberFaults]) -> Self {
        let stop = CancellationToken::new();
        let machine = |n: usize| {
            let spec = MachineSpec {
                name: format!("cp-{n}"),
                address: format!("10.0.0.1{n}"),
                control_plane: true,
                off: false,
                reboot: RebootOutcome::Normal,
            };
            Machine::new(spec, Pace::default(), stop.clone())
        };
        let machines: Vec<Machine> = (1..=faults.len()).map(machine).collect();
        let members: Vec<_> = machines.iter().cloned().zip(faults.iter().cloned()).collect();
        let spec = EtcdSpec { size_kib: 100, used_kib: 60, ..EtcdSpec::default() };
        let ensemble = Ensemble::start(spec, "3.6.5", &members, Pace::default(), &stop);
        let ca = Authority::generate("etcd-ca").unwrap();
        let subject =
            Subject { common_name: "client", organization: None, names: &[], server: false, client: true };
        let client = ca.issue(&subject).unwrap();
        Self { machines, ensemble, ca, client, stop }
    }

    fn healthy() -> Self {
        Self::new(&[MemberFaults::default(), MemberFaults::default(), MemberFaults::default()])
    }

    fn channel(&self, node: &str) -> Channel {
        let names = ["127.0.0.1".to_owned(), node.to_owned()];
        let subject =
            Subject { common_name: node, organization: None, names: &names, server: true, client: true };
        let identity = self.ca.issue(&subject).unwrap();
        let tls = server_config(&identity, &self.ca.pair.cert, Clients::Required, &[b"h2"]).unwrap();
        let door = Door::new(&self.ensemble, node, tls, self.stop.clone());
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&self.ca.pair.cert))
            .identity(Identity::from_pem(&self.client.cert, &self.client.key))
            .domain_name("127.0.0.1");
        Endpoint::from_static("https://etcd.invalid:2379")
            .tls_config(tls)
            .unwrap()
            .connect_with_connector_lazy(tower::service_fn(move |_| {
                let (near, far) = wire::pair();
                let accepted = door.accept(far);
                async move { accepted.map(|()| TokioIo::new(near)) }
            }))
    }

    async fn status(&self, node: &str) -> Result<StatusResponse, tonic::Status> {
        let mut client = MaintenanceClient::new(self.channel(node));
        client.status(StatusRequest {}).await.map(tonic::Response::into_inner)
    }

    fn id(&self, node: &str) -> u64 {
        self.ensemble.member_id(node).unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn members_agree_and_the_log_grows() {
    let bench = Bench::healthy();
    let first = bench.status("cp-1").await.unwrap();
    let second = bench.status("cp-2").await.unwrap();
    assert_eq!(first.leader, bench.id("cp-1"));
    assert_eq!((first.leader, first.raft_term), (second.leader, second.raft_term));
    assert_eq!(first.header.as_ref().unwrap().member_id, bench.id("cp-1"));
    assert_eq!(first.db_size, 100 * 1024);
    assert_eq!((first.storage_version.as_str(), first.errors.len()), ("3.6.0", 0));
    sleep(Duration::from_secs(10)).await;
    let later = bench.status("cp-1").await.unwrap();
    assert!(later.raft_index >= first.raft_index + 50);
    let mut client = ClusterClient::new(bench.channel("cp-3"));
    let list = client.member_list(MemberListRequest { linearizable: true }).await.unwrap().into_inner();
    assert_eq!(list.members.len(), 3);
    assert_eq!(list.members[1].client_ur_ls, ["https://10.0.0.12:2379"]);
    assert!(list.members.iter().all(|member| member.id > u64::from(u32::MAX)));
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_ends_with_the_digest_of_its_bytes() {
    let bench = Bench::healthy();
    let mut client = MaintenanceClient::new(bench.channel("cp-2"));
    let mut stream = client.snapshot(SnapshotRequest {}).await.unwrap().into_inner();
    let mut bytes = Vec::new();
    let mut sizes = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        assert_eq!(message.version, "3.6.0");
        sizes.push((message.blob.len(), message.remaining_bytes));
        bytes.extend_from_slice(&message.blob);
    }
    assert_eq!(sizes, [(32_768, 69_632), (32_768, 36_864), (32_768, 4096), (4096, 0), (32, 0)]);
    let (file, trailer) = bytes.split_at(bytes.len() - 32);
    assert_eq!(Sha256::digest(file)[..], *trailer);
}

#[tokio::test(start_paused = true)]
async fn a_spoiled_snapshot_does_not_match_and_a_cut_one_fails() {
    let spoiled = MemberFaults { corrupt_snapshot: true, ..MemberFaults::default() };
    let cut = MemberFaults { cut_snapshot_after: Some(40_000), ..MemberFaults::default() };
    let bench = Bench::new(&[spoiled, cut, MemberFaults::default()]);
    let mut client = MaintenanceClient::new(bench.channel("cp-1"));
    let mut stream = client.snapshot(SnapshotRequest {}).await.unwrap().into_inner();
    let mut bytes = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        bytes.extend_from_slice(&message.blob);
    }
    let (file, trailer) = bytes.split_at(bytes.len() - 32);
    assert_ne!(Sha256::digest(file)[..], *trailer);

    let mut client = MaintenanceClient::new(bench.channel("cp-2"));
    let mut stream = client.snapshot(SnapshotRequest {}).await.unwrap().into_inner();
    let mut received = 0;
    let failure = loop {
        match stream.message().await {
            Ok(Some(message)) => received += message.blob.len(),
            Ok(None) => panic!("the stream ended as if it were whole"),
            Err(status) => break status,
        }
    };
    assert_eq!((received, failure.code()), (65_536, Code::Unavailable));
}

#[tokio::test(start_paused = true)]
async fn without_a_quorum_agreement_times_out_and_local_answers_go_on() {
    let bench = Bench::healthy();
    bench.machines[0].power_off();
    bench.machines[1].power_off();
    sleep(Duration::from_secs(3)).await;
    assert!(!bench.ensemble.has_quorum());
    let status = bench.status("cp-3").await.unwrap();
    assert_eq!(status.leader, 0);
    assert_eq!(status.errors, ["etcdserver: no leader"]);
    let before = Instant::now();
    let mut kv = KvClient::new(bench.channel("cp-3"));
    let range = RangeRequest { key: b"health".to_vec(), ..RangeRequest::default() };
    let failure = kv.range(range.clone()).await.unwrap_err();
    assert_eq!((failure.code(), failure.message()), (Code::Unavailable, "etcdserver: request timed out"));
    assert!(before.elapsed() >= Duration::from_secs(7));
    kv.range(RangeRequest { serializable: true, ..range }).await.unwrap();
    let mut maintenance = MaintenanceClient::new(bench.channel("cp-3"));
    let failure = maintenance.move_leader(MoveLeaderRequest { target_id: 1 }).await.unwrap_err();
    assert_eq!((failure.code(), failure.message()), (Code::FailedPrecondition, "etcdserver: not leader"));
    let mut stream = maintenance.snapshot(SnapshotRequest {}).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some());
    bench.machines[1].power_on();
    sleep(Duration::from_secs(15)).await;
    let status = bench.status("cp-2").await.unwrap();
    assert!(status.leader != 0 && status.errors.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_leader_hands_over_when_it_reboots_and_catches_up_after() {
    let bench = Bench::healthy();
    let before = bench.status("cp-2").await.unwrap();
    bench.machines[0].reboot();
    sleep(Duration::from_millis(10)).await;
    let during = bench.status("cp-2").await.unwrap();
    assert_eq!((during.leader, during.raft_term), (bench.id("cp-2"), before.raft_term + 1));
    assert_eq!(bench.status("cp-1").await.unwrap_err().code(), Code::Unavailable);
    sleep(SHUTDOWN + BOOT + Duration::from_millis(6500)).await;
    let (leader, back) = (bench.status("cp-2").await.unwrap(), bench.status("cp-1").await.unwrap());
    assert!(back.raft_applied_index < leader.raft_applied_index, "it starts behind");
    sleep(Duration::from_secs(3)).await;
    let (leader, back) = (bench.status("cp-2").await.unwrap(), bench.status("cp-1").await.unwrap());
    assert_eq!(back.raft_applied_index, leader.raft_applied_index);
    assert_eq!(back.header.unwrap().member_id, bench.id("cp-1"));
}

#[tokio::test(start_paused = true)]
async fn a_lost_leader_is_replaced_after_the_election_timeout() {
    let bench = Bench::healthy();
    bench.machines[0].power_off();
    sleep(Duration::from_millis(100)).await;
    assert_eq!(bench.status("cp-2").await.unwrap().leader, bench.id("cp-1"), "nobody has noticed");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(bench.status("cp-2").await.unwrap().leader, bench.id("cp-2"));
}

#[tokio::test(start_paused = true)]
async fn the_leader_moves_to_a_voter_only() {
    let learner = MemberFaults { learner: true, ..MemberFaults::default() };
    let bench = Bench::new(&[MemberFaults::default(), MemberFaults::default(), learner]);
    let mut client = MaintenanceClient::new(bench.channel("cp-1"));
    let refusal = client.move_leader(MoveLeaderRequest { target_id: bench.id("cp-3") }).await.unwrap_err();
    assert_eq!(refusal.message(), "etcdserver: bad leader transferee");
    client.move_leader(MoveLeaderRequest { target_id: bench.id("cp-2") }).await.unwrap();
    assert_eq!(bench.ensemble.leader().as_deref(), Some("cp-2"));
    let mut learner = ClusterClient::new(bench.channel("cp-3"));
    let refusal = learner.member_list(MemberListRequest { linearizable: false }).await.unwrap_err();
    assert_eq!(refusal.message(), "etcdserver: rpc not supported for learner");
}

#[tokio::test(start_paused = true)]
async fn key_spaces_are_equal_at_one_revision_unless_one_diverged() {
    let diverged = MemberFaults { diverged: true, ..MemberFaults::default() };
    let bench = Bench::new(&[MemberFaults::default(), MemberFaults::default(), diverged]);
    let revision = bench.status("cp-1").await.unwrap().header.unwrap().revision;
    let mut hashes = Vec::new();
    for node in ["cp-1", "cp-2", "cp-3"] {
        let mut client = MaintenanceClient::new(bench.channel(node));
        hashes.push(client.hash_kv(HashKvRequest { revision }).await.unwrap().into_inner().hash);
        let failure = client.hash_kv(HashKvRequest { revision: revision + 1000 }).await.unwrap_err();
        assert_eq!(failure.code(), Code::OutOfRange);
    }
    assert_eq!(hashes[0], hashes[1]);
    assert_ne!(hashes[0], hashes[2]);
}

#[tokio::test(start_paused = true)]
async fn alarms_show_in_status_and_go_when_disarmed() {
    let full = MemberFaults { nospace: true, lag: 900, ..MemberFaults::default() };
    let bench = Bench::new(&[MemberFaults::default(), full, MemberFaults::default()]);
    let status = bench.status("cp-2").await.unwrap();
    assert!(status.errors[0].starts_with(&format!("memberID:{} alarm:NOSPACE", bench.id("cp-2"))));
    assert_eq!(status.raft_index - status.raft_applied_index, 900);
    let mut client = MaintenanceClient::new(bench.channel("cp-1"));
    let disarm = AlarmRequest { action: AlarmAction::Deactivate.into(), member_id: 0, alarm: 0 };
    assert_eq!(client.alarm(disarm).await.unwrap().into_inner().alarms.len(), 1);
    assert!(bench.status("cp-2").await.unwrap().errors.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_hung_member_never_answers_and_does_not_count() {
    let bench = Bench::healthy();
    bench.ensemble.change_faults("cp-1", |faults| faults.hang = true);
    let answer = tokio::time::timeout(Duration::from_mins(1), bench.status("cp-1")).await;
    assert!(answer.is_err());
    assert_eq!(bench.ensemble.leader().as_deref(), Some("cp-2"), "the others go on");
}

#[tokio::test(start_paused = true)]
async fn a_stopped_member_runs_again_only_when_its_machine_does() {
    let bench = Bench::healthy();
    bench.ensemble.change_faults("cp-3", |faults| faults.stopped = true);
    assert!(!bench.ensemble.is_up("cp-3"));
    bench.machines[2].power_off();
    sleep(Duration::from_millis(1)).await;
    bench.ensemble.change_faults("cp-3", |faults| faults.stopped = false);
    assert!(!bench.ensemble.is_up("cp-3"), "the machine is off");
    bench.machines[2].power_on();
    sleep(Duration::from_secs(7)).await;
    assert!(bench.ensemble.is_up("cp-3"));
}
