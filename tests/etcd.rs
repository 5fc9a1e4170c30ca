//! The etcd port against real etcd members (mutual TLS on loopback), and against one that lies.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/ended.rs"]
mod ended;
#[path = "etcd/large.rs"]
mod large;
#[path = "etcd/liar.rs"]
mod liar;
#[path = "etcd/members.rs"]
mod members;
#[path = "etcd/reboot.rs"]
mod reboot;
#[path = "support/rows.rs"]
mod rows;
#[path = "scenarios/stage.rs"]
#[expect(dead_code, reason = "stories are played elsewhere")]
mod stage;
#[path = "scenarios/story.rs"]
mod story;
#[path = "etcd/trouble.rs"]
mod trouble;
#[path = "etcd/ways.rs"]
mod ways;

use liar::{Lie, serve};
use members::{Members, client_of, free_ports, healthy, write_pair};
use pitstop::backend::dial::Dialer;
use pitstop::backend::etcd::{Access, Etcd, EtcdOptions, observe_etcd};
use pitstop::backend::store;
use pitstop::domain::etcd::{EtcdNews, MemberHealth};
use pitstop::domain::feed::Liveness;
use pitstop::domain::ids::NodeName;
use pitstop::domain::plan::Kind;
use pitstop::domain::report::FailureKind;
use pitstop::sim::tls::Authority;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

fn names_in(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .map(|entries| {
            entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned()).collect()
        })
        .unwrap_or_default();
    names.sort();
    names
}

#[tokio::test]
async fn a_healthy_cluster_is_seen_as_it_is() {
    let members = Members::start(3).await;
    let etcd = members.etcd();
    etcd.set_nodes(&["cp-1", "cp-2", "cp-3"].map(|name| rows::node(name, "127.0.0.1")));
    for key in 0..50 {
        members.etcdctl(0, &["put", &format!("/registry/pods/{key}"), &"x".repeat(500)]);
    }

    let view = etcd.look().await.expect("view");
    assert_eq!(view.quorum().expect("quorum").words(), "etcd 3/3, can lose 1");
    assert_eq!((view.access.as_str(), view.disagreement.as_deref()), ("direct", None));
    assert_eq!(view.concerns(), Vec::<String>::new());
    let told = members.etcdctl(0, &["endpoint", "status", "-w", "json"]);
    let told: serde_json::Value = serde_json::from_str(&told).expect("json");
    let status = &told[0]["Status"];
    assert_eq!(view.cluster_id, status["header"]["cluster_id"].as_u64());
    let first = view.on_node(&"cp-1".into()).expect("cp-1");
    assert_eq!((Some(first.id), first.name.as_str()), (status["header"]["member_id"].as_u64(), "cp-1"));
    let said = first.status.as_ref().expect("status");
    assert_eq!((said.version.as_str(), said.revision), (status["version"].as_str().expect("version"), 51));
    assert_eq!(Some(said.term), status["raftTerm"].as_u64());
    assert_eq!(Some(said.leader), status["leader"].as_u64());
    assert!(said.db_size > 0 && said.db_in_use <= said.db_size && said.quota.is_none(), "{said:?}");
    assert!(view.members.iter().all(|member| member.lag.is_some_and(|lag| lag < 10)), "{view:?}");

    let hashes = etcd.hash_kv().await.expect("hashes");
    assert_eq!((hashes.revision, hashes.readings.len(), hashes.agrees()), (51, 3, Some(true)), "{hashes:?}");
    let took = etcd.linearizable_read(&"cp-1".into()).await.expect("read");
    assert!(took < Duration::from_secs(2));
}

#[tokio::test]
async fn leadership_is_moved_and_a_snapshot_is_stored_and_restored() {
    let members = Members::start(3).await;
    let etcd = members.etcd();
    for key in 0..50 {
        members.etcdctl(0, &["put", &format!("/registry/pods/{key}"), &"x".repeat(500)]);
    }
    let view = etcd.look().await.expect("view");
    let leader = view.leader().expect("leader").clone();
    let node = leader.node.clone().expect("on a node");
    let permit = rows::permit(Kind::Reboot, &[node.as_str()]);
    let moved = etcd.move_leader(&node, &permit).await.expect("moved");
    assert_ne!(moved, leader.name);
    let now = etcd.look().await.expect("view");
    assert_eq!(now.leader().map(|member| member.name.clone()), Some(moved.clone()));
    assert_eq!(etcd.move_leader(&node, &permit).await.expect("nothing to do"), moved);
    let other = NodeName::from(moved.as_str());
    let denied = etcd.move_leader(&other, &permit).await.expect_err("not covered by the permit");
    assert_eq!(denied.kind, FailureKind::Denied);

    let dir = members.path("snapshots");
    let reported = Mutex::new(Vec::new());
    let progress = |done, total| reported.lock().expect("lock").push((done, total));
    let cancel = CancellationToken::new();
    let file = etcd.snapshot(Some(&node), &dir, progress, &cancel, &permit).await.expect("snapshot");
    assert_ne!(file.meta.member, node.0);
    assert_ne!(file.meta.member, moved, "a follower serves it");
    assert_eq!((file.meta.revision, file.meta.cluster_id.len()), (51, 16));
    let name = file.path.file_name().expect("name").to_string_lossy().into_owned();
    assert_eq!(names_in(&dir), [name.clone(), format!("{name}.json")]);
    let total = file.meta.size - 32;
    assert_eq!(reported.lock().expect("lock").last(), Some(&(total, total)));
    assert_eq!(store::verify(&file.path).expect("whole"), file);
    assert_eq!(store::newest_verified(&dir, Some(&file.meta.cluster_id)).expect("list"), Some(file.clone()));
    let line = format!("{}  {}\n", file.meta.sha256, file.path.display());
    std::fs::write(members.path("sums"), line).expect("write");
    let sums = Command::new("sha256sum").arg("-c").arg(members.path("sums")).output().expect("sha256sum");
    assert!(sums.status.success(), "{sums:?}");
    let judged = members.etcdctl(0, &["snapshot", "status", &file.path.display().to_string(), "-w", "json"]);
    let judged: serde_json::Value = serde_json::from_str(&judged).expect("json");
    assert_eq!(judged["revision"], 51);
    let restored = members.path("restored");
    let into = format!("--data-dir={}", restored.display());
    members.etcdctl(0, &["snapshot", "restore", &file.path.display().to_string(), &into]);
    assert!(restored.join("member/snap/db").exists());
}

#[tokio::test]
async fn a_stopped_member_costs_the_margin_and_a_hung_one_falls_silent_in_time() {
    let mut members = Members::start(3).await;
    let etcd = members.etcd();
    let view = etcd.look().await.expect("view");
    let leader = view.leader().expect("leader").name.clone();
    let followers: Vec<String> =
        view.members.iter().map(|member| member.name.clone()).filter(|name| *name != leader).collect();
    let before = view.on_node(&followers[0].as_str().into()).and_then(|member| member.status.clone());

    let hung = members.index_of(&followers[0]);
    members.signal(hung, "-STOP");
    // its threads stop one after the other: one more answer may be on its way
    members.until(&etcd, |view| healthy(view) == 2).await;
    let begun = Instant::now();
    let view = etcd.look().await.expect("view");
    assert!(begun.elapsed() < Duration::from_secs(4), "took {:?}", begun.elapsed());
    let silent = view.on_node(&followers[0].as_str().into()).expect("still in the view");
    let MemberHealth::Silent(report) = &silent.health else { panic!("{silent:?}") };
    assert_eq!(report.kind, FailureKind::Timeout);
    assert!(silent.status.as_ref().map(|status| status.at) >= before.map(|status| status.at), "{silent:?}");
    assert_eq!(view.quorum().expect("quorum").words(), "etcd 2/3, can lose 0");
    members.signal(hung, "-CONT");
    members.until(&etcd, |view| healthy(view) == 3).await;

    let stopped = members.index_of(&followers[1]);
    members.stop(stopped);
    let view = etcd.look().await.expect("view");
    assert_eq!(view.quorum().expect("quorum").margin(), Some(0));
    let gone = view.on_node(&followers[1].as_str().into()).expect("still in the view");
    assert!(
        matches!(&gone.health, MemberHealth::Silent(report) if report.kind == FailureKind::Unreachable),
        "{gone:?}"
    );
    assert!(gone.status.is_some(), "the last status is kept");
    assert!(gone.concerns()[0].contains("does not answer"), "{:?}", gone.concerns());

    let initial = members.initial_cluster();
    members.launch(stopped, &initial, "existing");
    members.until(&etcd, |view| healthy(view) == 3 && view.concerns().is_empty()).await;
}

#[tokio::test]
async fn a_lost_quorum_is_said_and_a_snapshot_is_still_possible() {
    let mut members = Members::start(3).await;
    let etcd = members.etcd();
    members.stop(1);
    members.stop(2);
    let lost = |view: &pitstop::domain::etcd::EtcdView| {
        view.quorum().is_some_and(|quorum| quorum.margin().is_none()) && view.leader().is_none()
    };
    let view = members.until(&etcd, |view| lost(view) && healthy(view) == 0).await;
    let survivor = view.on_node(&"cp-1".into()).expect("cp-1");
    assert_eq!(survivor.health, MemberHealth::Unhealthy(vec!["sees no leader".into()]));
    let error = etcd.linearizable_read(&"cp-2".into()).await.expect_err("no quorum");
    assert_eq!(error.kind, FailureKind::Unreachable);
    let permit = rows::permit(Kind::Snapshot, &[]);
    let dir = members.path("snapshots");
    let file =
        etcd.snapshot(None, &dir, |_, _| {}, &CancellationToken::new(), &permit).await.expect("snapshot");
    assert_eq!(file.meta.member, "cp-1");
    let besides =
        etcd.snapshot(Some(&"cp-1".into()), &dir, |_, _| {}, &CancellationToken::new(), &permit).await;
    assert!(besides.expect_err("none left").to_string().contains("besides the one on cp-1"));
}

#[tokio::test]
async fn a_joining_learner_is_shown_and_does_not_vote() {
    let mut members = Members::start(1).await;
    let ports = free_ports(2);
    let peer = format!("--peer-urls=https://127.0.0.1:{}", ports[1]);
    members.etcdctl(0, &["member", "add", "cp-2", "--learner", &peer]);
    let etcd = members.etcd();
    let view = members.until(&etcd, |view| view.members.len() == 2).await;
    assert!(view.members.iter().any(|member| member.health == MemberHealth::Unstarted && member.learner));
    assert_eq!(view.quorum().expect("quorum").words(), "etcd 1/1, can lose 0");

    members.add("cp-2", ports[0], ports[1]);
    let initial = members.initial_cluster();
    members.launch(1, &initial, "existing");
    let etcd = members.etcd();
    let view = members.until(&etcd, |view| healthy(view) == 2).await;
    let learner = view.on_node(&"cp-2".into()).expect("cp-2");
    assert!(learner.learner && learner.concerns().iter().any(|text| text.contains("learner")), "{learner:?}");
    assert_eq!(view.quorum().expect("quorum").voters, 1);
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let members = Members::start(1).await;
    let stranger = Authority::generate("stranger").expect("authority");
    write_pair(members.dir.path(), "stranger", &client_of(&stranger));
    std::fs::write(members.path("stranger-ca.crt"), &stranger.pair.cert).expect("write");
    let look = async |options: EtcdOptions| {
        Etcd::new(options, Dialer::tcp(), None).look().await.expect_err("refused")
    };
    let good = || members.options();

    let options = EtcdOptions {
        cert: Some(members.path("stranger.crt")),
        key: Some(members.path("stranger.key")),
        ..good()
    };
    let error = look(options).await;
    assert_eq!(error.kind, FailureKind::Unauthorized, "{error}");
    assert!(error.to_string().contains("refused our client certificate"), "{error}");

    let error = look(EtcdOptions { ca: Some(members.path("stranger-ca.crt")), ..good() }).await;
    assert_eq!(error.kind, FailureKind::Identity, "{error}");
    assert!(error.to_string().contains("not signed by the configured authority"), "{error}");

    let error = look(EtcdOptions { server_name: Some("kubernetes".into()), ..good() }).await;
    assert_eq!(error.kind, FailureKind::Identity, "{error}");
    assert!(error.to_string().contains("not for kubernetes, but for"), "{error}");

    let nobody = free_ports(1)[0];
    let endpoints = [(NodeName::from("cp-1"), format!("127.0.0.1:{nobody}"))].into();
    let error = look(EtcdOptions { endpoints, ..good() }).await;
    assert_eq!(error.kind, FailureKind::Unreachable, "{error}");
    assert!(error.to_string().contains("refused"), "{error}");

    let endpoints = [(NodeName::from("cp-1"), format!("http://127.0.0.1:{}", members.all[0].client))].into();
    let error = look(EtcdOptions { endpoints, ..good() }).await;
    assert_eq!(error.kind, FailureKind::Unreachable, "{error}");

    let error = look(EtcdOptions { key: Some(members.path("none.key")), ..good() }).await;
    assert_eq!(error.kind, FailureKind::Local, "{error}");
    assert!(error.to_string().contains("none.key"), "{error}");
}

#[tokio::test]
async fn the_observation_tells_what_is_and_how_alive_it_is() {
    let mut members = Members::start(1).await;
    let cancel = CancellationToken::new();
    let mut news = observe_etcd(members.etcd(), Duration::from_millis(100), cancel.clone());
    assert!(matches!(news.recv().await, Some(EtcdNews::View(view)) if healthy(&view) == 1));
    assert!(matches!(news.recv().await, Some(EtcdNews::Liveness(Liveness::Live(_)))));
    members.stop(0);
    loop {
        match news.recv().await.expect("goes on") {
            EtcdNews::Liveness(Liveness::Failing { last, .. }) => {
                assert!(last.is_some());
                break;
            }
            EtcdNews::Liveness(Liveness::Live(_)) | EtcdNews::View(_) => {}
            EtcdNews::Liveness(other) => panic!("{other:?}"),
        }
    }
    cancel.cancel();
    while news.recv().await.is_some() {}
    let nowhere =
        Etcd::new(EtcdOptions { access: Access::None, ..EtcdOptions::default() }, Dialer::tcp(), None);
    let mut news = observe_etcd(nowhere, Duration::from_secs(5), CancellationToken::new());
    assert!(
        matches!(news.recv().await, Some(EtcdNews::Liveness(Liveness::Absent(why))) if why.contains("switched off"))
    );
}

#[tokio::test]
async fn a_snapshot_that_is_not_whole_leaves_nothing_behind() {
    let cases = [
        (Lie::FlippedByte, "bytes were changed on the way"),
        (Lie::CutStream, "bytes came"),
        (Lie::BrokenStream, "cable"),
        (Lie::NoDigest, "bytes came"),
        (Lie::WrongSize, "were announced"),
        (Lie::NotADatabase, "does not begin as a database"),
    ];
    for (lie, words) in cases {
        let dir = tempfile::tempdir().expect("dir");
        let etcd = serve(lie).await;
        let permit = rows::permit(Kind::Snapshot, &[]);
        let taken = etcd.snapshot(None, dir.path(), |_, _| {}, &CancellationToken::new(), &permit).await;
        let error = taken.expect_err("not whole");
        assert!(error.to_string().contains(words), "{lie:?}: {error}");
        assert_eq!(names_in(dir.path()), Vec::<String>::new(), "{lie:?}");
    }
}

#[tokio::test]
async fn an_honest_stream_passes_and_a_cancelled_one_leaves_nothing_behind() {
    let dir = tempfile::tempdir().expect("dir");
    let permit = rows::permit(Kind::Snapshot, &[]);
    let honest = serve(Lie::None).await;
    let file = honest
        .snapshot(None, dir.path(), |_, _| {}, &CancellationToken::new(), &permit)
        .await
        .expect("whole");
    assert_eq!(store::verify(&file.path).expect("whole"), file);

    let dir = tempfile::tempdir().expect("dir");
    let cancel = CancellationToken::new();
    let hanging = serve(Lie::Hanging).await;
    // cancelled when the first bytes have come
    let progress = |_, _| cancel.cancel();
    let error = hanging.snapshot(None, dir.path(), progress, &cancel, &permit).await.expect_err("cancelled");
    assert_eq!(error.kind, FailureKind::Cancelled);
    assert_eq!(names_in(dir.path()), Vec::<String>::new());
}

#[tokio::test]
async fn without_a_permit_nothing_is_asked() {
    let nowhere = Etcd::new(EtcdOptions::default(), Dialer::tcp(), None);
    let permit = rows::permit(Kind::Drain, &["cp-1"]);
    let dir = tempfile::tempdir().expect("dir");
    let snapshot = nowhere.snapshot(None, dir.path(), |_, _| {}, &CancellationToken::new(), &permit).await;
    assert_eq!(snapshot.expect_err("denied").kind, FailureKind::Denied);
    let moved = nowhere.move_leader(&"cp-1".into(), &permit).await;
    assert_eq!(moved.expect_err("denied").kind, FailureKind::Denied);
}
