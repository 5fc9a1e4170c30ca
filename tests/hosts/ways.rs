//! How members are reached when a way is closed: the next one is taken, and what was wrong is said.

use crate::{Site, dialer};
use pitstop::backend::etcd::{Access, Etcd, EtcdOptions};
use pitstop::backend::kube::{Cluster, KubeOptions};
use pitstop::domain::etcd::MemberHealth;
use pitstop::domain::etcd::place::discover;
use pitstop::domain::plan::Kind;
use pitstop::domain::report::FailureKind;
use pitstop::sim::api::faults::Matching;
use pitstop::sim::host::Sudo;
use tokio_util::sync::CancellationToken;

const MASTERS: [&str; 3] = ["cp-1", "cp-2", "cp-3"];

/// The API of a site, served on loopback.
async fn api(site: &Site) -> (pitstop::sim::Served, Cluster) {
    let served = pitstop::sim::serve(&site.cluster, &site.dir.path().join("served")).await.expect("served");
    let kube = KubeOptions { kubeconfig: Some(served.kubeconfig.clone()), ..KubeOptions::default() };
    let cluster = Cluster::connect(&kube).await.expect("a kubeconfig");
    (served, cluster)
}

fn files(site: &Site, access: Access) -> EtcdOptions {
    let file = |name: &str| Some(site.dir.path().join("served/etcd").join(name));
    EtcdOptions {
        access,
        ca: file("ca.crt"),
        cert: file("client.crt"),
        key: file("client.key"),
        ..EtcdOptions::default()
    }
}

async fn located(site: &Site, etcd: Etcd, cluster: &Cluster) -> Etcd {
    let etcd = etcd.through(cluster.clone());
    let pods = cluster.control_pods().await.expect("pods");
    etcd.set_place(discover(&site.nodes, &pods));
    etcd.set_nodes(&site.nodes);
    etcd
}

#[tokio::test]
async fn a_port_forward_leads_to_each_pod() {
    let site = Site::new();
    let (_served, cluster) = api(&site).await;
    let etcd = Etcd::new(files(&site, Access::PortForward), dialer(&site.cluster), None);
    let error = etcd.look().await.expect_err("no API server");
    assert!(error.to_string().contains("no API server"), "{error}");
    let etcd = located(&site, etcd, &cluster).await;
    let view = etcd.look().await.expect("through the API server");
    assert_eq!(view.words().as_deref(), Some("etcd 3/3, can lose 1"), "{view:#?}");
    assert_eq!((view.access.as_str(), view.tried.len()), ("port-forward", 0));
    let permit = rows_permit(Kind::Snapshot);
    let (dir, cancel) = (site.dir.path().join("snapshots"), CancellationToken::new());
    let file = etcd.snapshot(None, &dir, |_, _| {}, &cancel, &permit).await.expect("a snapshot");
    assert_eq!(file.meta.size, 512 * 1024 + 32);

    site.cluster.ensemble().change_faults("cp-3", |faults| faults.stopped = true);
    let view = etcd.look().await.expect("the others answer");
    let MemberHealth::Silent(report) = &view.on_node(&"cp-3".into()).expect("cp-3").health else {
        panic!("{view:#?}")
    };
    assert!(report.line().contains("dial tcp4 127.0.0.1:2379"), "{}", report.line());

    // no certificate at all: the health port, through the same way
    let bare = EtcdOptions { access: Access::PortForward, ..EtcdOptions::default() };
    let bare = located(&site, Etcd::new(bare, dialer(&site.cluster), None), &cluster).await;
    let view = bare.look().await.expect("health ports");
    assert_eq!(view.access, "health port, port-forward");
    assert_eq!(view.members.iter().filter(|member| member.health.is_healthy()).count(), 2, "{view:#?}");
    assert!(view.tried.iter().any(|words| words.starts_with("cp-3: ")), "{:?}", view.tried);
}

#[tokio::test]
async fn a_role_without_the_right_is_told_which_one() {
    let site = Site::new();
    let (_served, cluster) = api(&site).await;
    let resource = Some("pods/portforward".to_owned());
    site.cluster.faults().forbid(Matching { resource, ..Matching::default() });
    let etcd = Etcd::new(files(&site, Access::PortForward), dialer(&site.cluster), None);
    let error = located(&site, etcd, &cluster).await.look().await.expect_err("forbidden");
    assert_eq!(error.kind, FailureKind::Forbidden, "{error}");
    assert!(error.to_string().contains("pods/portforward"), "{error}");
}

#[tokio::test]
async fn where_hosts_forward_nothing_the_api_server_does() {
    let site = Site::new();
    let (_served, cluster) = api(&site).await;
    for node in MASTERS {
        site.cluster.host(node).expect("host").change_faults(|faults| faults.forwarding_prohibited = true);
    }
    let etcd = located(&site, site.etcd(), &cluster).await;
    let view = etcd.look().await.expect("by the second way, with certificates from the hosts");
    assert_eq!(view.words().as_deref(), Some("etcd 3/3, can lose 1"), "{view:#?}");
    assert_eq!(view.access, "port-forward");
    assert!(view.tried.iter().any(|words| words.starts_with("cp-1: ssh: ") && words.contains("forbids it")));
    // both closed: each is named with its reason
    let options = EtcdOptions { access: Access::Auto, ..EtcdOptions::default() };
    let etcd = Etcd::new(options, dialer(&site.cluster), Some(site.hosts.clone())).through(cluster);
    etcd.set_nodes(&site.nodes);
    let error = etcd.look().await.expect_err("no pod is known").to_string();
    assert!(
        error.contains("ssh: ") && error.contains("port-forward: ") && error.contains("no pod"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn without_sudo_the_health_ports_are_read_over_ssh() {
    let site = Site::new();
    for node in MASTERS {
        site.cluster.host(node).expect("host").change_faults(|faults| faults.sudo = Sudo::RebootOnly);
    }
    let etcd = site.etcd();
    let view = etcd.look().await.expect("health ports");
    assert_eq!(view.access, "health port, ssh");
    assert_eq!(view.members.len(), 3);
    assert!(view.members.iter().all(|member| member.health.is_healthy()), "{view:#?}");
    assert!(view.quorum().is_none(), "nothing follows from it");
    let leaders: Vec<_> = view.members.iter().filter(|member| member.is_leader()).collect();
    assert_eq!(leaders.iter().filter_map(|member| member.node.clone()).collect::<Vec<_>>(), ["cp-1".into()]);
    site.cluster.ensemble().change_faults("cp-2", |faults| faults.nospace = true);
    let view = etcd.look().await.expect("health ports");
    assert!(view.members.iter().all(|member| !member.health.is_healthy()), "{view:#?}");
    site.cluster.ensemble().change_faults("cp-2", |faults| faults.nospace = false);
    // and where the host forwards nothing either, curl asks there
    for node in MASTERS {
        site.cluster.host(node).expect("host").change_faults(|faults| faults.forwarding_prohibited = true);
    }
    let view = etcd.look().await.expect("by curl");
    assert!(view.members.iter().all(|member| member.health.is_healthy()), "{view:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_off_keeps_nobody_from_the_certificates_of_the_others() {
    let site = Site::new();
    site.cluster.host("cp-1").expect("host").change_faults(|faults| faults.hang = true);
    let view = site.etcd().look().await.expect("certificates of another host");
    assert_eq!(view.words().as_deref(), Some("etcd 2/3, can lose 0"), "{view:#?}");
}

fn rows_permit(kind: Kind) -> pitstop::domain::guard::Permit {
    crate::rows::permit(kind, &[])
}
