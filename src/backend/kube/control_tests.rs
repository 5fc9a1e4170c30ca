//! Where etcd is found, by pods as each distribution writes them.

use super::*;
use crate::domain::etcd::place::{Discovery, Place, discover};
use crate::domain::node::{NodeRow, sample};
use serde_json::{Value, json};

fn pods(items: Value) -> Vec<ControlPod> {
    let list: ListWire =
        serde_json::from_value(json!({ "kind": "PodList", "items": items })).expect("a list");
    list.items.into_iter().map(ControlPod::from).collect()
}

fn masters(version: &str, labels: &[(&str, &str)]) -> Vec<NodeRow> {
    (1..=3)
        .map(|n| NodeRow {
            name: format!("cp-{n}").as_str().into(),
            roles: std::iter::once("control-plane".to_owned())
                .chain(labels.iter().any(|(key, _)| key.ends_with("/etcd")).then(|| "etcd".to_owned()))
                .collect(),
            version: version.to_owned(),
            address: Some(format!("10.0.0.{n}")),
            labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            ..sample()
        })
        .collect()
}

fn on_each(pod: impl Fn(&str, u8) -> Value) -> Value {
    (1..=3).map(|n| pod(&format!("cp-{n}"), n)).collect()
}

fn kubeadm(node: &str, n: u8) -> Value {
    json!({
        "metadata": {
            "name": format!("etcd-{node}"), "namespace": "kube-system", "uid": format!("uid-{n}"),
            "labels": { "component": "etcd", "tier": "control-plane" },
            "annotations": { "kubeadm.kubernetes.io/etcd.advertise-client-urls": format!("https://10.0.0.{n}:2379") },
        },
        "spec": { "nodeName": node, "hostNetwork": true, "containers": [{ "name": "etcd", "command": [
            "etcd", format!("--advertise-client-urls=https://10.0.0.{n}:2379"), "--cert-file=/etc/kubernetes/pki/etcd/server.crt",
            "--client-cert-auth=true", "--data-dir=/var/lib/etcd", "--listen-metrics-urls=http://127.0.0.1:2381",
            format!("--listen-client-urls=https://127.0.0.1:2379,https://10.0.0.{n}:2379"),
        ] }] },
    })
}

fn rke2(node: &str, n: u8) -> Value {
    json!({
        "metadata": {
            "name": format!("etcd-{node}"), "namespace": "kube-system", "uid": format!("uid-{n}"),
            "labels": { "component": "etcd", "tier": "control-plane" },
        },
        "spec": { "nodeName": node, "hostNetwork": true, "containers": [{ "name": "etcd", "command": ["etcd"],
            "args": ["--config-file=/var/lib/rancher/rke2/server/db/etcd/config"] }] },
    })
}

fn kops(what: &'static str, port: u16) -> impl Fn(&str, u8) -> Value {
    move |node, n| {
        let command = format!(
            "mkfifo /tmp/pipe; (tee -a /var/log/etcd.log < /tmp/pipe & ) ; exec /etcd-manager \
             --backup-store=s3://state/backups/etcd/{what} --client-urls=https://__name__:{port} \
             --cluster-name=etcd-{what} --containerized=true > /tmp/pipe 2>&1"
        );
        json!({
            "metadata": {
                "name": format!("etcd-manager-{what}-{node}"), "namespace": "kube-system", "uid": format!("uid-{what}-{n}"),
                "labels": { "k8s-app": format!("etcd-manager-{what}") },
            },
            "spec": { "nodeName": node, "hostNetwork": true, "containers": [
                { "name": "etcd-manager", "command": ["/bin/sh", "-c", command] },
            ] },
        })
    }
}

fn openshift(node: &str, n: u8) -> Value {
    json!({
        "metadata": {
            "name": format!("etcd-{node}"), "namespace": "openshift-etcd", "uid": format!("uid-{n}"),
            "labels": { "app": "etcd", "k8s-app": "etcd", "etcd": "true" },
        },
        "spec": { "nodeName": node, "hostNetwork": true, "containers": [
            { "name": "etcdctl", "command": ["/bin/bash", "-c", "trap TERM INT; sleep infinity & wait"] },
            { "name": "etcd", "command": ["/bin/sh", "-c", "exec etcd --listen-client-urls=https://0.0.0.0:2379"] },
        ] },
    })
}

/// An API server in a static pod, as kubespray and kubeadm with an external etcd have it.
fn server(urls: &'static str) -> impl Fn(&str, u8) -> Value {
    move |node, n| {
        json!({
            "metadata": {
                "name": format!("kube-apiserver-{node}"), "namespace": "kube-system", "uid": format!("uid-{n}"),
                "labels": { "component": "kube-apiserver", "tier": "control-plane" },
            },
            "spec": { "nodeName": node, "containers": [{ "name": "kube-apiserver", "command": [
                "kube-apiserver", "--etcd-cafile=/etc/ssl/etcd/ssl/ca.pem", "--etcd-certfile=/etc/ssl/etcd/ssl/node.pem",
                "--etcd-keyfile=/etc/ssl/etcd/ssl/node-key.pem", format!("--etcd-servers={urls}"),
            ] }] },
        })
    }
}

/// A name, what is seen of nodes and pods, and what is found: who, port, nodes, members elsewhere, pods to forward to, health
/// port, CA.
type Row = (&'static str, Vec<NodeRow>, Value, &'static str);

fn distributions() -> [Row; 8] {
    let etcd = [("node-role.kubernetes.io/etcd", "true")];
    [
        (
            "kubeadm",
            masters("v1.34.2", &[]),
            on_each(kubeadm),
            "Kubeadm 2379 3 0 3 Some(2381) /etc/kubernetes/pki/etcd/ca.crt",
        ),
        (
            "RKE2",
            masters("v1.33.1+rke2r1", &etcd),
            on_each(rke2),
            "Rke2 2379 3 0 3 Some(2381) /var/lib/rancher/rke2/server/tls/etcd/server-ca.crt",
        ),
        (
            "k3s",
            masters("v1.33.1+k3s1", &etcd),
            json!([]),
            "K3s 2379 3 0 0 Some(2381) /var/lib/rancher/k3s/server/tls/etcd/server-ca.crt",
        ),
        (
            "kops",
            masters("v1.32.0", &[]),
            on_each(kops("main", 4001)),
            "Kops 4001 3 0 3 None /etc/kubernetes/pki/kube-apiserver/etcd-ca.crt",
        ),
        (
            "OpenShift",
            masters("v1.31.4", &[]),
            on_each(openshift),
            "OpenShift 2379 3 0 3 None /etc/kubernetes/static-pod-resources/etcd-certs/configmaps/etcd-all-bundles/server-ca-bundle.crt",
        ),
        (
            "kubespray",
            masters("v1.32.0", &[]),
            on_each(server("https://10.0.0.1:2379,https://10.0.0.2:2379,https://10.0.0.3:2379")),
            "Service 2379 3 0 0 None /etc/ssl/etcd/ssl/ca.pem",
        ),
        (
            "kubeadm, external",
            masters("v1.34.2", &[]),
            on_each(server("https://10.9.0.1:2379,https://10.9.0.2:2379,https://10.9.0.3:2379")),
            "External 2379 0 3 0 None /etc/ssl/etcd/ssl/ca.pem",
        ),
        ("k0s", masters("v1.32.1+k0s", &[]), json!([]), "K0s 2379 3 0 0 None /var/lib/k0s/pki/etcd/ca.crt"),
    ]
}

#[test]
fn each_distribution_is_recognised_by_its_objects() {
    for (name, nodes, items, expected) in distributions() {
        let Discovery::Found(place) = discover(&nodes, &pods(items)) else { panic!("{name} is not found") };
        let Place { distribution, port, nodes, external, pods, health_port, certs, .. } = place;
        let found = format!(
            "{distribution:?} {port} {} {} {} {health_port:?} {}",
            nodes.len(),
            external.len(),
            pods.len(),
            certs[0]
        );
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn kops_has_a_second_cluster_on_its_own_port() {
    let mut items = on_each(kops("main", 4001));
    let events = on_each(kops("events", 4002));
    if let (Some(all), Some(events)) = (items.as_array_mut(), events.as_array()) {
        all.extend(events.iter().cloned());
    }
    let Discovery::Found(place) = discover(&masters("v1.32.0", &[]), &pods(items)) else { panic!("found") };
    let [events] = &place.others[..] else { panic!("{place:?}") };
    assert_eq!((place.name.as_str(), events.name.as_str(), events.port), ("main", "events", 4002));
    assert_eq!(events.pods[&"cp-3".into()].name, "etcd-manager-events-cp-3");
    assert_eq!(events.pods[&"cp-3".into()].uid, "uid-events-3");
}

#[test]
fn what_has_no_etcd_says_why() {
    let with = |version: &str, labels: &[(&str, &str)], os: &str| {
        let mut nodes = masters(version, labels);
        for row in &mut nodes {
            os.clone_into(&mut row.os_image);
        }
        match discover(&nodes, &[]) {
            Discovery::NotAvailable { why, hint } => format!("{why} ({hint})"),
            other => panic!("{version}: {other:?}"),
        }
    };
    assert!(with("v1.34.2", &[], "Talos (v1.9.1)").contains("talosctl"));
    assert!(with("v1.32.3", &[("microk8s.io/cluster", "true")], "Ubuntu 24.04").contains("dqlite"));
    assert!(with("v1.33.1+k3s1", &[], "Ubuntu 24.04").starts_with("k3s keeps its state in SQLite"));
    let managed = |version: &str, label: (&str, &str)| {
        let mut nodes = masters(version, &[label]);
        for row in &mut nodes {
            row.roles = vec!["worker".to_owned()];
        }
        match discover(&nodes, &[]) {
            Discovery::NotAvailable { why, .. } => why,
            other => panic!("{version}: {other:?}"),
        }
    };
    assert!(managed("v1.31.2-eks-7f9249a", ("a", "b")).starts_with("EKS manages"));
    assert!(managed("v1.31.2-gke.100", ("a", "b")).starts_with("GKE manages"));
    assert!(managed("v1.31.2", ("kubernetes.azure.com/cluster", "x")).starts_with("AKS manages"));
}
