//! One fixture for each way to set a cluster up.

use super::*;

fn node(name: &str, version: &str, role: &str) -> NodeRow {
    NodeRow {
        name: name.into(),
        uid: name.into(),
        roles: vec![role.into()],
        version: version.into(),
        address: Some(format!("10.0.0.{}", name.rsplit('-').next().unwrap_or("1"))),
        ..crate::domain::node::sample()
    }
}

fn masters(version: &str) -> Vec<NodeRow> {
    ["cp-1", "cp-2", "cp-3"].map(|name| node(name, version, "control-plane")).into()
}

fn pod(label: (&str, &str), on: &str, words: &[&str]) -> ControlPod {
    ControlPod {
        namespace: "kube-system".into(),
        name: format!("{}-{on}", label.1),
        uid: format!("uid-{}-{on}", label.1),
        node: Some(on.into()),
        labels: [(label.0.to_owned(), label.1.to_owned())].into(),
        words: words.iter().map(|word| (*word).to_owned()).collect(),
    }
}

fn found(nodes: &[NodeRow], pods: &[ControlPod]) -> Place {
    match discover(nodes, pods) {
        Discovery::Found(place) => place,
        other => panic!("{other:?}"),
    }
}

fn why(nodes: &[NodeRow], pods: &[ControlPod]) -> String {
    match discover(nodes, pods) {
        Discovery::NotAvailable { why, hint } => {
            assert!(!hint.is_empty());
            why
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn kubeadm_with_its_own_arguments() {
    let words = [
        "etcd",
        "--data-dir=/srv/etcd",
        "--listen-client-urls=https://127.0.0.1:12379,https://10.0.0.1:12379",
        "--quota-backend-bytes",
        "8589934592",
    ];
    let pods = ["cp-1", "cp-2", "cp-3"].map(|on| pod(("component", "etcd"), on, &words));
    let place = found(&masters("v1.34.2"), &pods);
    assert_eq!((place.distribution, place.port, place.nodes.len()), (Distribution::Kubeadm, 12379, 3));
    assert_eq!((&*place.data_dir, place.quota, place.health_port), ("/srv/etcd", Some(8 << 30), Some(2381)));
    assert_eq!(place.pods[&NodeName::from("cp-2")].to_string(), "kube-system/etcd-cp-2");
    assert_eq!(place.certs[1], "/etc/kubernetes/pki/etcd/healthcheck-client.crt");
}

#[test]
fn rke2_has_the_same_pods_and_other_paths() {
    let pods = [pod(("component", "etcd"), "cp-1", &["etcd", "--config-file=/var/lib/rancher/x"])];
    let place = found(&masters("v1.33.1+rke2r1"), &pods);
    assert_eq!(place.distribution, Distribution::Rke2);
    assert_eq!(place.certs[0], "/var/lib/rancher/rke2/server/tls/etcd/server-ca.crt");
    assert_eq!(place.data_dir, "/var/lib/rancher/rke2/server/db/etcd");
}

#[test]
fn k3s_has_etcd_only_where_a_label_says_so() {
    let mut nodes = masters("v1.33.1+k3s1");
    assert!(why(&nodes, &[]).contains("SQLite"));
    nodes[1].labels.insert("node-role.kubernetes.io/etcd".into(), "true".into());
    nodes[1].roles.push("etcd".into());
    let place = found(&nodes, &[]);
    assert_eq!((place.distribution, place.nodes), (Distribution::K3s, vec!["cp-2".into()]));
}

#[test]
fn kops_has_two_clusters() {
    let pods = [
        pod(("k8s-app", "etcd-manager-main"), "cp-1", &["/etcd-manager"]),
        pod(
            ("k8s-app", "etcd-manager-events"),
            "cp-1",
            &[
                "/bin/sh",
                "-c",
                "/etcd-manager --client-urls=https://__name__:4102 --cluster-name=etcd-events",
            ],
        ),
    ];
    let place = found(&masters("v1.32.0"), &pods);
    assert_eq!((place.distribution, &*place.name, place.port), (Distribution::Kops, "main", 4001));
    let [events] = &place.others[..] else { panic!("{place:?}") };
    assert_eq!((&*events.name, events.port, events.nodes.len()), ("events", 4102, 1));
    assert_eq!(events.pods[&NodeName::from("cp-1")].name, "etcd-manager-events-cp-1");
    assert_eq!((events.label().as_str(), events.health_port), ("etcd events", None));
    assert!(found(&masters("v1.32.0"), &pods[..1]).others.is_empty());
}

#[test]
fn openshift_has_a_certificate_for_each_node() {
    let mut etcd = pod(("app", "etcd"), "cp-1", &[]);
    etcd.namespace = "openshift-etcd".into();
    let place = found(&masters("v1.31.4"), &[etcd]);
    assert_eq!(place.distribution, Distribution::OpenShift);
    assert!(place.certs[1].ends_with("etcd-peer-{node}.crt"));
}

#[test]
fn an_etcd_of_the_hosts_is_found_by_the_api_servers_arguments() {
    let words = [
        "kube-apiserver",
        "--etcd-servers=https://10.0.0.1:2379,https://10.0.0.2:2379,https://10.0.0.3:2379",
        "--etcd-cafile=/etc/ssl/etcd/ssl/ca.pem",
        "--etcd-certfile=/etc/ssl/etcd/ssl/node-cp-1.pem",
        "--etcd-keyfile=/etc/ssl/etcd/ssl/node-cp-1-key.pem",
    ];
    let place = found(&masters("v1.32.0"), &[pod(("component", "kube-apiserver"), "cp-1", &words)]);
    assert_eq!((place.distribution, place.nodes.len()), (Distribution::Service, 3));
    assert_eq!(place.certs[0], "/etc/ssl/etcd/ssl/ca.pem");

    let words = [
        "kube-apiserver",
        "--etcd-servers=https://10.9.9.1:2379,https://10.9.9.2:2379",
        "--etcd-cafile=/pki/ca",
    ];
    let place = found(&masters("v1.32.0"), &[pod(("component", "kube-apiserver"), "cp-1", &words)]);
    assert_eq!(place.distribution, Distribution::External);
    assert_eq!(place.external, ["10.9.9.1:2379", "10.9.9.2:2379"]);

    // nodes that know an address of theirs, or a name; one that nobody knows makes no other one external
    let mut nodes = masters("v1.32.0");
    nodes[0].addresses = vec!["203.0.113.1".into(), "fd00::1".into()];
    let words = [
        "kube-apiserver",
        "--etcd-servers=https://[fd00::1]:2379,https://CP-2:2379,https://203.0.113.9:2379",
    ];
    let place = found(&nodes, &[pod(("component", "kube-apiserver"), "cp-1", &words)]);
    assert_eq!(place.nodes, ["cp-1".into(), "cp-2".into()]);
    assert_eq!(place.external, ["203.0.113.9:2379"]);

    let words = [
        "kube-apiserver",
        "--etcd-servers=https://10.0.0.1:2379",
        "--etcd-servers-overrides=/events#https://10.0.0.1:2383;https://10.0.0.2:2383",
    ];
    let place = found(&masters("v1.32.0"), &[pod(("component", "kube-apiserver"), "cp-1", &words)]);
    assert_eq!((&*place.name, place.others.len()), ("main", 1));
    assert_eq!(
        (&*place.others[0].name, place.others[0].port, place.others[0].nodes.len()),
        ("events", 2383, 2)
    );

    let words = ["kube-apiserver", "--etcd-servers", "https://127.0.0.1:2379"];
    let place = found(&masters("v1.32.0"), &[pod(("k8s-app", "kube-apiserver"), "cp-1", &words)]);
    assert_eq!((place.distribution, place.nodes.len()), (Distribution::Service, 3));
}

#[test]
fn what_has_no_etcd_to_reach_is_said() {
    let mut talos = masters("v1.34.2");
    talos[0].os_image = "Talos (v1.9.1)".into();
    assert!(why(&talos, &[]).contains("Talos"));
    let mut microk8s = masters("v1.34.2");
    microk8s[0].labels.insert("microk8s.io/cluster".into(), "true".into());
    assert!(why(&microk8s, &[]).contains("dqlite"));
    assert!(why(&[node("ip-1", "v1.31.2-eks-7f9249a", "worker")], &[]).starts_with("EKS"));
    assert!(why(&[node("gke-1", "v1.31.2-gke.100", "worker")], &[]).starts_with("GKE"));
    let mut aks = node("aks-1", "v1.31.2", "worker");
    aks.labels.insert("kubernetes.azure.com/cluster".into(), "x".into());
    assert!(why(&[aks], &[]).starts_with("AKS"));
    assert!(why(&[node("w-1", "v1.31.2", "worker")], &[]).contains("no node of the control plane"));
    assert!(why(&[node("w-1", "v1.31.2+k0s", "worker")], &[]).contains("k0s"));
    assert_eq!(found(&masters("v1.31.2+k0s"), &[]).data_dir, "/var/lib/k0s/etcd");
}

#[test]
fn what_fits_nothing_stays_unknown() {
    assert_eq!(discover(&masters("v1.34.2"), &[]), Discovery::Unknown);
    assert_eq!(discover(&[], &[]), Discovery::Unknown);
}
