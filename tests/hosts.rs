//! The host and etcd ports together, on the simulated cluster, with a paused clock: what a maintenance run asks of them.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "support/rows.rs"]
mod rows;
#[path = "hosts/ways.rs"]
mod ways;

use pitstop::backend::dial::{Dialer, Stream};
use pitstop::backend::error::Error;
use pitstop::backend::etcd::{Access, Etcd, EtcdOptions};
use pitstop::backend::host::{Contents, Hosts, RebootAnswer, SshOptions};
use pitstop::backend::store;
use pitstop::domain::etcd::{EtcdView, MemberHealth};
use pitstop::domain::host::Privilege;
use pitstop::domain::node::NodeRow;
use pitstop::domain::plan::Kind;
use pitstop::domain::report::FailureKind;
use pitstop::sim::Cluster;
use pitstop::sim::host::Sudo;
use pitstop::sim::pace::Pace;
use pitstop::sim::scenario::Scenario;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const SMALL: &str = "
    [size]
    control_planes = 3
    workers = 1
    [etcd]
    size_kib = 512
    used_kib = 256
    leader = \"cp-1\"
";

/// A simulated cluster and the ways to it.
struct Site {
    cluster: Arc<Cluster>,
    dir: tempfile::TempDir,
    options: SshOptions,
    hosts: Hosts,
    nodes: Vec<NodeRow>,
}

impl Site {
    fn new() -> Self {
        let scenario = Scenario::parse(SMALL).expect("scenario");
        let cluster = Arc::new(Cluster::start(scenario, Pace::new(1.0)).expect("cluster"));
        let dir = tempfile::tempdir().expect("dir");
        let credentials = cluster.credentials();
        let key = dir.path().join("id_ed25519");
        std::fs::write(&key, &credentials.ssh_key).expect("write");
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("mode");
        let known = dir.path().join("known_hosts");
        let machines =
            || cluster.machines().iter().map(|machine| (machine.name(), machine.address().to_owned()));
        std::fs::write(&known, credentials.known_hosts(machines()).expect("keys")).expect("write");
        let options = SshOptions {
            user: Some("ops".to_owned()),
            identity_files: vec![key],
            known_hosts: vec![known],
            agent: false,
            ..SshOptions::default()
        };
        let nodes = cluster
            .machines()
            .iter()
            .filter(|machine| machine.is_control_plane())
            .map(|machine| NodeRow {
                boot_id: machine.boot_id(),
                ..rows::node(machine.name(), machine.address())
            })
            .collect();
        let hosts = Hosts::new(options.clone(), dialer(&cluster));
        Self { cluster, dir, options, hosts, nodes }
    }

    /// etcd through SSH, with certificates read from the hosts.
    fn etcd(&self) -> Etcd {
        let options = EtcdOptions { access: Access::Auto, ..EtcdOptions::default() };
        let etcd = Etcd::new(options, dialer(&self.cluster), Some(self.hosts.clone()));
        etcd.set_nodes(&self.nodes);
        etcd
    }

    fn node(&self, name: &str) -> &NodeRow {
        self.nodes.iter().find(|node| node.name.as_str() == name).expect("a node of that name")
    }
}

fn dialer(cluster: &Arc<Cluster>) -> Dialer {
    let cluster = Arc::clone(cluster);
    Dialer::new(move |address| {
        let cluster = Arc::clone(&cluster);
        Box::pin(async move { Ok(Box::new(cluster.dial(&address).await?) as Stream) })
    })
}

fn words(view: &EtcdView) -> String {
    view.quorum().expect("members").words()
}

#[tokio::test(start_paused = true)]
async fn a_reboot_is_followed_through_the_boot_id_and_the_member() {
    let site = Site::new();
    let (etcd, node) = (site.etcd(), site.node("cp-1"));
    let view = etcd.look().await.expect("through SSH, with certificates read by sudo");
    assert_eq!((words(&view).as_str(), view.access.as_str()), ("etcd 3/3, can lose 1", "ssh"));
    assert_eq!(view.leader().and_then(|leader| leader.node.clone()), Some("cp-1".into()));
    assert_eq!(view.concerns(), Vec::<String>::new());

    let permit = rows::permit(Kind::Reboot, &["cp-1"]);
    let moved = etcd.move_leader(&node.name, &permit).await.expect("moved");
    assert_eq!(site.cluster.ensemble().leader(), Some(moved.clone()));

    let before = site.hosts.facts(node).await.expect("facts");
    assert_eq!(before.boot_id, node.boot_id);
    let answer = site.hosts.reboot(node, &permit, async { Ok(()) }).await.expect("requested");
    assert_eq!(answer, RebootAnswer::Requested { status: Some(0) });
    let down = async {
        while site.hosts.boot_id(node).await.is_ok_and(|id| id == before.boot_id) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), down).await.expect("goes down");
    let view = etcd.look().await.expect("the others answer");
    assert_eq!(words(&view), "etcd 2/3, can lose 0");
    let away = view.on_node(&node.name).expect("still in the view");
    assert!(matches!(away.health, MemberHealth::Silent(_)) && away.status.is_some(), "{away:?}");
    assert!(etcd.linearizable_read(&node.name).await.is_ok());

    let back = async {
        loop {
            match site.hosts.facts(node).await {
                Ok(facts) if facts.boot_id != before.boot_id => return facts,
                _ => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        }
    };
    let after = tokio::time::timeout(Duration::from_mins(2), back).await.expect("comes back");
    assert!(after.uptime < before.uptime || after.uptime < Duration::from_mins(2), "{after:?}");
    assert_eq!(after.boot_id, site.cluster.machine("cp-1").expect("machine").boot_id());
    let healthy = async {
        while etcd.look().await.is_ok_and(|view| words(&view) != "etcd 3/3, can lose 1") {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), healthy).await.expect("the member is back");
    assert_eq!(etcd.hash_kv().await.expect("hashes").agrees(), Some(true));
    // the row is of the boot before: asking again is refused
    let again = site.hosts.reboot(node, &permit, async { Ok(()) }).await.expect_err("stale row");
    assert_eq!(again.kind, FailureKind::Identity);
    assert_eq!(site.cluster.machine("cp-1").expect("machine").reboots(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reboot_that_is_refused_or_cut_is_told_apart() {
    let site = Site::new();
    let reboot = async |name| {
        site.hosts.reboot(site.node(name), &rows::permit(Kind::Reboot, &[name]), async { Ok(()) }).await
    };
    let host = |name| site.cluster.host(name).expect("host");
    let stop = async { Err(Error::new(FailureKind::Cancelled, "reboot", "cp-1", "stopped before it")) };
    let cp1 = site.node("cp-1");
    let stopped = site.hosts.reboot(cp1, &rows::permit(Kind::Reboot, &["cp-1"]), stop).await;
    assert_eq!(stopped.expect_err("stopped").kind, FailureKind::Cancelled);
    host("cp-1").change_faults(|faults| faults.sudo = Sudo::Password);
    let error = reboot("cp-1").await.expect_err("a password is needed");
    assert_eq!((error.kind, error.code), (FailureKind::Refused, Some(1)));
    assert!(error.hint.is_some_and(|hint| hint.contains("NOPASSWD")));
    host("cp-2").change_faults(|faults| faults.reboot_inhibited = true);
    let error = reboot("cp-2").await.expect_err("inhibited");
    assert_eq!(error.kind, FailureKind::Refused);
    host("cp-3").change_faults(|faults| faults.reboot_cuts = true);
    let answer = reboot("cp-3").await.expect("cut");
    assert_eq!(answer, RebootAnswer::Requested { status: None });
    let is_going = |name| !site.cluster.machine(name).expect("machine").power().borrow().is_serving();
    assert_eq!(["cp-1", "cp-2", "cp-3"].map(is_going), [false, false, true]);
}

#[tokio::test(start_paused = true)]
async fn what_stands_in_the_way_is_found() {
    let site = Site::new();
    let (host, node) = (site.cluster.host("cp-1").expect("host"), site.node("cp-1"));
    let clear = site.hosts.readiness(node).await.expect("readiness");
    assert_eq!((clear.privilege, clear.findings), (Privilege::Sudo, Vec::new()));
    host.change_faults(|faults| {
        faults.sudo = Sudo::RebootOnly;
        faults.reboot_inhibited = true;
        faults.kexec_loaded = true;
        faults.nextroot = true;
        faults.upgrading = true;
    });
    let readiness = site.hosts.readiness(node).await.expect("readiness");
    assert_eq!(readiness.privilege, Privilege::RebootOnly);
    let found: Vec<(&str, bool)> =
        readiness.findings.iter().map(|finding| (finding.check.as_str(), finding.blocks)).collect();
    let expected = [("kexec", false), ("soft-reboot", true), ("inhibitor", true), ("package-manager", true)];
    assert_eq!(found, expected);
    host.change_faults(|faults| faults.sudo = Sudo::None);
    let readiness = site.hosts.readiness(node).await.expect("readiness");
    assert!(!readiness.privilege.may_reboot(), "{readiness:?}");
}

#[tokio::test(start_paused = true)]
async fn backups_are_whole_and_leave_nothing_behind_when_they_are_not() {
    let site = Site::new();
    let etcd = site.etcd();
    let permit = rows::permit(Kind::Reboot, &["cp-2"]);
    let (dir, cancel) = (site.dir.path().join("snapshots"), CancellationToken::new());
    let file =
        etcd.snapshot(Some(&"cp-2".into()), &dir, |_, _| {}, &cancel, &permit).await.expect("snapshot");
    assert_eq!((file.meta.member.as_str(), file.meta.size), ("cp-3", 512 * 1024 + 32));
    assert_eq!(store::verify(&file.path).expect("whole"), file);
    let paths = Contents::of(&["etc/kubernetes"]);
    let archive =
        site.hosts.archive(site.node("cp-2"), &paths, &dir, |_| {}, &cancel, &permit).await.expect("archive");
    let listed = std::process::Command::new("tar").arg("-tf").arg(&archive.path).output().expect("tar");
    let listed = String::from_utf8(listed.stdout).expect("text");
    assert!(listed.contains("etc/kubernetes/pki/ca.key"), "{listed}");
    assert_eq!(archive.meta.entries, listed.lines().count() as u64);
    assert_eq!(store::list(&dir).expect("list").len(), 1, "an archive is no snapshot");

    let count = || std::fs::read_dir(&dir).expect("dir").count();
    assert_eq!(count(), 4);
    site.cluster.ensemble().change_faults("cp-3", |faults| faults.corrupt_snapshot = true);
    tokio::time::advance(Duration::from_secs(2)).await;
    let error =
        etcd.snapshot(Some(&"cp-2".into()), &dir, |_, _| {}, &cancel, &permit).await.expect_err("flipped");
    assert!(error.to_string().contains("changed on the way"), "{error}");
    site.cluster.ensemble().change_faults("cp-3", |faults| {
        faults.corrupt_snapshot = false;
        faults.cut_snapshot_after = Some(100_000);
    });
    let error =
        etcd.snapshot(Some(&"cp-2".into()), &dir, |_, _| {}, &cancel, &permit).await.expect_err("cut");
    assert_eq!(error.kind, FailureKind::Unreachable, "{error}");
    assert_eq!(count(), 4, "nothing of the failed ones is left");
}

#[tokio::test(start_paused = true)]
async fn no_way_to_etcd_is_explained() {
    let site = Site::new();
    for name in ["cp-1", "cp-2", "cp-3"] {
        site.cluster.host(name).expect("host").change_faults(|faults| faults.sudo = Sudo::RebootOnly);
    }
    let unseen =
        site.etcd().look().await.expect("the health ports").unseen.expect("certificates cannot be read");
    assert!(unseen.contains("sudo: a password is required"), "{unseen}");
    assert!(unseen.contains("etcd.ca"), "what to do: {unseen}");
    for name in ["cp-1", "cp-2", "cp-3"] {
        site.cluster.host(name).expect("host").change_faults(|faults| {
            faults.sudo = Sudo::All;
            faults.forwarding_prohibited = true;
        });
    }
    let error = site.etcd().look().await.expect_err("no tunnels");
    assert_eq!(error.kind, FailureKind::Forbidden, "{error}");
    assert!(error.to_string().contains("AllowTcpForwarding"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_hung_member_costs_one_deadline_and_a_hung_host_one_connection() {
    let site = Site::new();
    let etcd = site.etcd();
    etcd.look().await.expect("view");
    site.cluster.ensemble().change_faults("cp-2", |faults| faults.hang = true);
    let begun = tokio::time::Instant::now();
    let view = etcd.look().await.expect("view");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(words(&view), "etcd 2/3, can lose 0");
    site.cluster.ensemble().change_faults("cp-2", |faults| faults.hang = false);
    assert_eq!(words(&etcd.look().await.expect("view")), "etcd 3/3, can lose 1");

    site.cluster.host("cp-3").expect("host").change_faults(|faults| faults.hang = true);
    let strangers = Hosts::new(site.options.clone(), dialer(&site.cluster));
    let error = strangers.boot_id(site.node("cp-3")).await.expect_err("hangs");
    assert_eq!(error.kind, FailureKind::Timeout, "{error}");
}
