//! A snapshot of the size that real clusters have, against etcd's own tools and a real restore.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use super::members::{Members, free_ports, healthy};
use super::rows;
use pitstop::backend::store;
use pitstop::domain::plan::Kind;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// A member started on restored data; ends with the test.
struct Restored(Child);

impl Drop for Restored {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn judged(members: &Members, file: &Path) -> serde_json::Value {
    let text = members.etcdctl(0, &["snapshot", "status", &file.display().to_string(), "-w", "json"]);
    serde_json::from_str(&text).expect("json")
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_megabytes_are_snapshotted_and_restored() {
    let members = Members::start(3).await;
    members.fill(200);
    let etcd = members.etcd();
    members
        .until(&etcd, |view| healthy(view) == 3 && view.members.iter().all(|row| row.lag == Some(0)))
        .await;

    let dir = members.path("snapshots");
    let told = Mutex::new(Vec::new());
    let progress = |done, total| told.lock().expect("lock").push((done, total));
    let permit = rows::permit(Kind::Snapshot, &[]);
    let file =
        etcd.snapshot(None, &dir, progress, &CancellationToken::new(), &permit).await.expect("snapshot");
    assert!(file.meta.size > 200 * 1024 * 1024 && file.meta.has_quorum, "{file:?}");
    assert_eq!(file.meta.members.len(), 3);
    let told = told.into_inner().expect("lock");
    assert!(
        told.len() > 1000 && told.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 == pair[1].1)
    );
    assert_eq!(told.last(), Some(&(file.meta.size - 32, file.meta.size - 32)));
    assert_eq!(store::verify(&file.path).expect("whole").meta, file.meta);

    let theirs = members.path("theirs.db");
    let from = members.index_of(&file.meta.member);
    members.etcdctl(from, &["snapshot", "save", &theirs.display().to_string()]);
    let (ours, theirs) = (judged(&members, &file.path), judged(&members, &theirs));
    for key in ["hash", "revision", "totalKey"] {
        assert_eq!(ours[key], theirs[key], "{key}: {ours} {theirs}");
    }
    assert_eq!(ours["revision"], file.meta.revision);

    let restored = start_restored(&members, &file.path);
    let got = restored.1.as_str();
    assert_eq!(got.trim(), "200", "keys in the restored etcd");
}

/// Restores as a cluster of one, starts it, and counts the keys.
fn start_restored(members: &Members, file: &Path) -> (Restored, String) {
    let data = members.path("restored");
    let ports = free_ports(2);
    let (client, peer) = (format!("http://127.0.0.1:{}", ports[0]), format!("http://127.0.0.1:{}", ports[1]));
    let name = ["--name", "new", "--initial-cluster-token", "after"];
    let cluster = format!("new={peer}");
    let place = ["--initial-cluster", &cluster, "--initial-advertise-peer-urls", &peer];
    let data = data.display().to_string();
    let file = file.display().to_string();
    let restore = [&["snapshot", "restore", &file, "--data-dir", &data], &name[..], &place[..]].concat();
    members.etcdctl(0, &restore);
    let log = std::fs::File::create(members.path("restored.log")).expect("log");
    let process = Command::new("etcd")
        .args(["--name", "new", "--data-dir", &data])
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &cluster])
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("etcd");
    let running = Restored(process);
    let count = Command::new("etcdctl")
        .env("ETCDCTL_API", "3")
        .args([&format!("--endpoints={client}"), "--dial-timeout=20s", "--command-timeout=20s"])
        .args(["get", "/registry/large/", "--prefix", "--keys-only"])
        .output()
        .expect("etcdctl");
    let keys = String::from_utf8_lossy(&count.stdout);
    let keys = keys.lines().filter(|line| line.starts_with("/registry/")).count();
    (running, keys.to_string())
}
