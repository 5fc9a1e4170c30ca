//! Other ways to real members: a program's input and output, health ports without a certificate, two clusters.

use crate::members::{Members, healthy};
use crate::rows;
use pitstop::backend::dial::{Dialer, Stream};
use pitstop::backend::etcd::{Access, Etcd, EtcdOptions};
use pitstop::domain::etcd::MemberHealth;
use pitstop::domain::etcd::place::{ControlPod, discover};
use pitstop::domain::ids::NodeName;
use pitstop::domain::node::NodeRow;
use pitstop::domain::plan::Kind;
use pitstop::domain::report::FailureKind;
use std::collections::BTreeMap;
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// What `nc HOST PORT` does, in bash.
const CONNECT: &str = "exec 3<>/dev/tcp/$1/$2 || exit 1\ncat <&3 &\ncat >&3\nkill $! 2>/dev/null\n";

fn script(dir: &Path, name: &str, text: &str) -> Vec<String> {
    let path = dir.join(name);
    std::fs::write(&path, text).expect("a script");
    vec!["bash".to_owned(), path.display().to_string()]
}

fn with(mut command: Vec<String>, words: &[&str]) -> Vec<String> {
    command.extend(words.iter().map(|word| (*word).to_owned()));
    command
}

fn nodes() -> Vec<NodeRow> {
    ["cp-1", "cp-2", "cp-3"].map(|name| rows::node(name, "127.0.0.1")).into()
}

#[tokio::test]
async fn a_program_carries_the_connection() {
    let members = Members::start(3).await;
    let command = with(script(members.dir.path(), "nc", CONNECT), &["{address}", "{port}"]);
    let options = EtcdOptions { access: Access::Command, command: command.clone(), ..members.options() };
    let etcd = Etcd::new(options, Dialer::tcp(), None);
    etcd.set_nodes(&nodes());
    let view = members.until(&etcd, |view| healthy(view) == 3).await;
    assert_eq!(view.access, "command");
    assert_eq!(view.words().as_deref(), Some("etcd 3/3, can lose 1"));
    let permit = rows::permit(Kind::Snapshot, &[]);
    let (dir, cancel) = (members.path("snapshots"), CancellationToken::new());
    etcd.snapshot(None, &dir, |_, _| {}, &cancel, &permit).await.expect("a snapshot through a program");

    let failing = |text: &str| {
        let command = script(members.dir.path(), "failing", text);
        let options = EtcdOptions { access: Access::Command, command, ..members.options() };
        Etcd::new(options, Dialer::tcp(), None)
    };
    let error =
        failing("echo first >&2; echo 'no route to host' >&2; exit 1").look().await.expect_err("no way");
    assert!(error.to_string().contains("bash: no route to host"), "{error}");
    let silent = failing("exec sleep 60").look().await.expect_err("nothing comes");
    assert_eq!(silent.kind, FailureKind::Timeout, "{silent}");

    let options = EtcdOptions { access: Access::Command, ..members.options() };
    let error = Etcd::new(options, Dialer::tcp(), None).look().await.expect_err("no program");
    assert!(error.to_string().contains("no command is configured"), "{error}");
}

#[tokio::test]
async fn health_ports_fill_the_pane_without_a_certificate() {
    let mut members = Members::start(3).await;
    let known = members.etcd().look().await.expect("with a certificate");
    let mut text = String::from("case $1 in\n");
    for member in &members.all {
        text.push_str(&format!("{}) set -- 127.0.0.1 {};;\n", member.name, member.health));
    }
    text.push_str("esac\n");
    text.push_str(CONNECT);
    let command = with(script(members.dir.path(), "health", &text), &["{node}"]);
    let options = EtcdOptions { access: Access::Command, command, ..EtcdOptions::default() };
    let etcd = Etcd::new(options, Dialer::tcp(), None);
    etcd.set_nodes(&nodes());

    let view = etcd.look().await.expect("without a certificate");
    assert_eq!(view.access, "health port, command");
    let of = |view: &pitstop::domain::etcd::EtcdView| -> BTreeMap<u64, Option<NodeName>> {
        view.members.iter().map(|member| (member.id, member.node.clone())).collect()
    };
    assert_eq!(of(&view), of(&known));
    assert_eq!(healthy(&view), 3, "{view:#?}");
    let leads: Vec<u64> = view.members.iter().filter(|member| member.is_leader()).map(|m| m.id).collect();
    assert_eq!(leads, [known.leader().expect("a leader").id]);
    for (told, known) in view.members.iter().zip(&known.members) {
        let (told, known) = (told.status.as_ref().expect("told"), known.status.as_ref().expect("known"));
        assert_eq!((&told.version, told.term), (&known.version, 0));
        assert!(told.db_size > 0 && told.applied > 0 && told.quota == Some(2 << 30), "{told:?}");
        assert_eq!(told.revision, known.revision);
    }
    // good as it looks, nothing follows from it for the quorum
    assert!(view.quorum().is_none() && view.leader().is_none());
    assert!(view.unseen.as_ref().is_some_and(|words| words.contains("no certificate")), "{:?}", view.unseen);
    assert_eq!(view.words().as_deref(), Some("etcd: 3 answer, quorum not known"));

    let (gone, rest) = (2, [0, 1]);
    members.stop(gone);
    let view = members.until(&etcd, |view| healthy(view) == 2).await;
    let away = view.on_node(&"cp-3".into()).expect("it stays in the view");
    assert!(matches!(away.health, MemberHealth::Silent(_)) && away.status.is_some(), "{away:?}");
    members.signal(rest[0], "-STOP");
    let view = members.until(&etcd, |view| healthy(view) == 0).await;
    members.signal(rest[0], "-CONT");
    let alone = view.on_node(&"cp-2".into()).expect("cp-2");
    let MemberHealth::Unhealthy(why) = &alone.health else {
        assert!(matches!(alone.health, MemberHealth::Silent(_)), "{alone:?}");
        return;
    };
    assert!(!why.is_empty());
}

/// The pods of kops' two clusters.
fn managed() -> Vec<ControlPod> {
    let pod = |what: &str, node: &str| ControlPod {
        namespace: "kube-system".to_owned(),
        name: format!("etcd-manager-{what}-{node}"),
        uid: format!("uid-{what}-{node}"),
        node: Some(node.into()),
        labels: [("k8s-app".to_owned(), format!("etcd-manager-{what}"))].into(),
        words: vec!["/etcd-manager".to_owned()],
    };
    let on = |what: &'static str| ["cp-1", "cp-2", "cp-3"].map(move |node| pod(what, node));
    on("main").into_iter().chain(on("events")).collect()
}

/// Three nodes, each with an address of its own.
fn addressed() -> Vec<NodeRow> {
    (1..=3).map(|n| rows::node(&format!("cp-{n}"), &format!("10.0.0.{n}"))).collect()
}

/// A network in which these addresses lead to ports of this machine.
fn network(ports: BTreeMap<String, u16>) -> Dialer {
    Dialer::new(move |address| {
        let port = ports.get(&address).copied();
        Box::pin(async move {
            let port = port.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::ConnectionRefused))?;
            let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
            Ok(Box::new(stream) as Stream)
        })
    })
}

/// What a client has that knows nothing but the files of some members.
fn located(options: EtcdOptions, ports: BTreeMap<String, u16>) -> Etcd {
    let options = EtcdOptions { access: Access::Direct, endpoints: BTreeMap::new(), ..options };
    let (nodes, etcd) = (addressed(), Etcd::new(options, network(ports), None));
    etcd.set_place(discover(&nodes, &managed()));
    etcd.set_nodes(&nodes);
    etcd
}

#[tokio::test]
async fn a_second_cluster_that_refuses_is_unknown_and_not_good() {
    let (main, events) = tokio::join!(Members::start(3), Members::start(3));
    let mut ports: BTreeMap<String, u16> = BTreeMap::new();
    for (n, (first, second)) in (1..).zip(main.all.iter().zip(&events.all)) {
        ports.insert(format!("10.0.0.{n}:4001"), first.client);
        ports.insert(format!("10.0.0.{n}:4002"), second.client);
    }
    // both authorities are trusted, and each cluster accepts the clients of its own only
    let read = |members: &Members| std::fs::read_to_string(members.path("ca.crt")).expect("a file");
    let both = main.path("both.crt");
    std::fs::write(&both, read(&main) + &read(&events)).expect("written");
    let etcd = located(EtcdOptions { ca: Some(both), ..main.options() }, ports);
    let view = etcd.look().await.expect("the main cluster answers");
    assert_eq!((healthy(&view), view.others.len()), (3, 1));
    assert!(view.others[0].quorum().is_none() && view.others[0].unseen.is_some(), "{:#?}", view.others[0]);
    let words = view.words().expect("words");
    assert_eq!(words, "etcd main 3/3, can lose 1; etcd events: quorum not known");
}

#[tokio::test]
async fn both_clusters_of_kops_are_looked_at() {
    let mut members = Members::start(3).await;
    // the same members twice over: as different as two clusters are to who looks at them
    let ports = (1..=3)
        .flat_map(|n| [4001, 4002].map(|port| (format!("10.0.0.{n}:{port}"), members.all[n - 1].client)))
        .collect();
    let etcd = located(members.options(), ports);
    let view = members.until(&etcd, |view| view.clusters().all(|cluster| healthy(cluster) == 3)).await;
    assert_eq!(view.words().as_deref(), Some("etcd main 3/3, can lose 1; etcd events 3/3, can lose 1"));
    assert_eq!(etcd.hash_all().await.expect("hashes").len(), 2);
    etcd.linearizable_read(&"cp-1".into()).await.expect("read in both");
    let (name, beside) = etcd.beside_it().into_iter().next().expect("events");
    let (dir, permit) = (members.path("snapshots"), rows::permit(Kind::Snapshot, &[]));
    let taken = beside.snapshot(None, &dir, |_, _| {}, &CancellationToken::new(), &permit).await;
    let place = taken.expect("a snapshot of events").meta.place.expect("a place");
    assert_eq!((name.as_str(), place.name.as_str(), place.port), ("events", "events", 4002));
    members.stop(0);
    let view = members.until(&etcd, |view| view.clusters().all(|cluster| healthy(cluster) == 2)).await;
    let words = view.words().expect("words");
    assert_eq!(words, "etcd main 2/3, can lose 0; etcd events 2/3, can lose 0");
}
