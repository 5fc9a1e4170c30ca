//! Where etcd lives and what a client needs there, by what the API tells of nodes and of the control plane's pods. Pure.

use crate::domain::ids::{NodeName, PodKey};
use crate::domain::node::NodeRow;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A pod of the control plane, as far as the discovery reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ControlPod {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// Its node.
    pub node: Option<NodeName>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Command and arguments of all containers.
    pub words: Vec<String>,
}

/// Who set the cluster up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distribution {
    /// kubeadm with etcd in static pods.
    Kubeadm,
    /// An etcd on other hosts, named in the API server's arguments.
    External,
    /// kubespray and its like: etcd as a service of the hosts.
    Service,
    /// RKE2.
    Rke2,
    /// k3s with embedded etcd.
    K3s,
    /// kops with etcd-manager.
    Kops,
    /// OpenShift.
    #[serde(rename = "openshift")]
    OpenShift,
    /// k0s.
    K0s,
}

/// Where an etcd lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Who set it up.
    pub distribution: Distribution,
    /// Its name where there is more than one (`main`, `events`); empty when it is the only one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The clients' port on each member's own loopback.
    pub port: u16,
    /// Nodes that host a member.
    pub nodes: Vec<NodeName>,
    /// `host:port` of members that no node answers to. That they are on other hosts is not proven by it: a node need not
    /// know each of its addresses (one that is translated on the way).
    pub external: Vec<String>,
    /// Authority, client certificate and key on a control-plane host; `{node}` stands for its name.
    pub certs: [String; 3],
    /// The data directory.
    pub data_dir: String,
    /// `--quota-backend-bytes`, when it is set.
    pub quota: Option<u64>,
    /// The pods that run members, by node; a port of theirs is a port of the host's loopback.
    #[serde(skip)]
    pub pods: BTreeMap<NodeName, PodKey>,
    /// The port of the host's loopback on which metrics and health are told without TLS, where there is one.
    #[serde(skip)]
    pub health_port: Option<u16>,
    /// Further clusters that hold a part of the API's data: quorum has to hold in all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Place>,
}

impl Place {
    /// The name in the members' certificates, when it is not the address: etcd-manager gives them names of its own, and
    /// localhost.
    pub fn server_name(&self) -> Option<&'static str> {
        (self.distribution == Distribution::Kops).then_some("localhost")
    }

    /// `etcd`, `etcd events`.
    pub fn label(&self) -> String {
        format!("etcd {}", self.name).trim_end().to_owned()
    }
}

/// What was found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Discovery {
    /// Here it is.
    Found(Place),
    /// There is none that could be reached; why, and what to do instead.
    NotAvailable {
        /// Why.
        why: String,
        /// What to do.
        hint: String,
    },
    /// Nothing that is known fits.
    Unknown,
}

/// Finds out where etcd lives. Pods decide before labels, labels before names of versions.
pub fn discover(nodes: &[NodeRow], pods: &[ControlPod]) -> Discovery {
    let etcd = |key: &str, value: &str| -> Vec<&ControlPod> {
        pods.iter().filter(|pod| pod.labels.get(key).is_some_and(|label| label == value)).collect()
    };
    let main = etcd("k8s-app", "etcd-manager-main");
    if !main.is_empty() {
        return Discovery::Found(kops(&main, &etcd("k8s-app", "etcd-manager-events")));
    }
    let openshift = pods.iter().filter(|pod| {
        pod.namespace == "openshift-etcd" && pod.labels.get("app").is_some_and(|app| app == "etcd")
    });
    let openshift: Vec<&ControlPod> = openshift.collect();
    if !openshift.is_empty() {
        return Discovery::Found(place(Distribution::OpenShift, &openshift));
    }
    let stacked = etcd("component", "etcd");
    if !stacked.is_empty() {
        let is_rke2 = nodes.iter().any(|row| row.version.contains("+rke2"));
        let distribution = if is_rke2 { Distribution::Rke2 } else { Distribution::Kubeadm };
        return Discovery::Found(place(distribution, &stacked));
    }
    by_nodes(nodes).unwrap_or_else(|| by_servers(nodes, pods))
}

/// Distributions that run etcd, or what they have instead, outside of pods.
fn by_nodes(nodes: &[NodeRow]) -> Option<Discovery> {
    let any = |holds: &dyn Fn(&NodeRow) -> bool| nodes.iter().any(holds);
    let version = |word: &str| any(&|row| row.version.contains(word));
    let label = |key: &str| any(&|row| row.labels.contains_key(key));
    let none = |why: &str, hint: &str| Some(Discovery::NotAvailable { why: why.into(), hint: hint.into() });
    let hosts = |holds: &dyn Fn(&NodeRow) -> bool| -> Vec<NodeName> {
        nodes.iter().filter(|row| holds(row)).map(|row| row.name.clone()).collect()
    };
    if any(&|row| row.os_image.starts_with("Talos")) {
        return none(
            "Talos keeps etcd's certificates to itself and has no SSH",
            "use talosctl etcd status, talosctl etcd snapshot; or give certificates of your own in etcd.ca, cert and key with access = \"direct\"",
        );
    }
    if label("microk8s.io/cluster") {
        return none("MicroK8s keeps its state in dqlite, which is no etcd", "use microk8s dbctl backup");
    }
    if version("+k3s") || version("+rke2") {
        let with_etcd = hosts(&NodeRow::is_labelled_etcd);
        let (distribution, name) =
            if version("+k3s") { (Distribution::K3s, "k3s") } else { (Distribution::Rke2, "RKE2") };
        if with_etcd.is_empty() {
            return none(
                &format!("{name} keeps its state in SQLite or in another database here: no node has etcd"),
                &format!("back up /var/lib/rancher/{}/server/db, or that database", name.to_lowercase()),
            );
        }
        return Some(Discovery::Found(Place { nodes: with_etcd, ..usual(distribution) }));
    }
    if version("+k0s") {
        let controllers = hosts(&NodeRow::is_control_plane);
        if controllers.is_empty() {
            return none(
                "k0s runs its controllers, and etcd with them, on hosts that are no nodes",
                "name them in etcd.endpoints with certificates in etcd.ca, cert and key; or use k0s etcd member-list, k0s backup",
            );
        }
        return Some(Discovery::Found(Place { nodes: controllers, ..usual(Distribution::K0s) }));
    }
    let managed = [("-eks-", "EKS"), ("-gke.", "GKE")].into_iter().find(|(word, _)| version(word));
    let managed = managed.map(|(_, name)| name).or(label("kubernetes.azure.com/cluster").then_some("AKS"));
    if let Some(name) = managed.filter(|_| !any(&NodeRow::is_control_plane)) {
        return none(
            &format!("{name} manages the control plane, and etcd with it"),
            "its provider answers for it",
        );
    }
    (!nodes.is_empty() && !any(&|row| row.is_control_plane() || row.is_labelled_etcd())).then(|| {
        Discovery::NotAvailable {
            why: "no node of the control plane is visible: it is managed, or on hosts that are no nodes"
                .into(),
            hint: "name the members in etcd.endpoints if they can be reached".into(),
        }
    })
}

/// By the arguments of API servers that run as pods: an etcd of the hosts, or on others.
fn by_servers(nodes: &[NodeRow], pods: &[ControlPod]) -> Discovery {
    let is_server = |pod: &&ControlPod| {
        pod.labels.values().any(|label| label == "kube-apiserver")
            && flag(&pod.words, "--etcd-servers").is_some()
    };
    let Some(server) = pods.iter().find(is_server) else { return Discovery::Unknown };
    let urls = flag(&server.words, "--etcd-servers").unwrap_or_default();
    let cert = |name: &str| flag(&server.words, name).unwrap_or_default().to_owned();
    let certs = [cert("--etcd-cafile"), cert("--etcd-certfile"), cert("--etcd-keyfile")];
    let mut place = served(nodes, urls.split(','), &certs);
    // /events#https://10.0.0.1:2383;https://10.0.0.2:2383
    let overrides = flag(&server.words, "--etcd-servers-overrides").unwrap_or_default();
    for (what, urls) in overrides.split(',').filter_map(|one| one.split_once('#')) {
        let name = what.rsplit('/').next().unwrap_or_default().to_owned();
        place.others.push(Place { name, ..served(nodes, urls.split(';'), &certs) });
        "main".clone_into(&mut place.name);
    }
    Discovery::Found(place)
}

/// A cluster by the URLs that an API server uses: on nodes, on the API servers' own hosts, or elsewhere.
fn served<'a>(nodes: &[NodeRow], urls: impl Iterator<Item = &'a str>, certs: &[String; 3]) -> Place {
    let authority =
        |url: &str| url.split_once("://").map_or(url, |(_, rest)| rest).trim_end_matches('/').to_owned();
    let authorities: Vec<String> = urls.map(|url| authority(url.trim())).collect();
    let host = |authority: &str| authority.rsplit_once(':').map_or(authority, |(host, _)| host).to_owned();
    let port = authorities.first().and_then(|authority| port_of(authority)).unwrap_or(2379);
    let usual = |distribution| Place { certs: certs.clone(), port, ..usual(distribution) };
    let is_local = |authority: &String| matches!(&*host(authority), "127.0.0.1" | "localhost" | "[::1]");
    if authorities.iter().all(is_local) {
        let masters = nodes.iter().filter(|row| row.is_control_plane()).map(|row| row.name.clone());
        return Place { nodes: masters.collect(), ..usual(Distribution::Service) };
    }
    let (mut found, mut external) = (Vec::new(), Vec::new());
    for authority in authorities {
        match nodes.iter().find(|row| row.answers_to(&host(&authority))) {
            Some(row) => found.push(row.name.clone()),
            None => external.push(authority),
        }
    }
    let distribution = if external.is_empty() { Distribution::Service } else { Distribution::External };
    Place { nodes: found, external, ..usual(distribution) }
}

/// A place by the arguments of etcd's own pods.
fn place(distribution: Distribution, pods: &[&ControlPod]) -> Place {
    let mut place = hosted(usual(distribution), pods);
    for pod in pods {
        if let Some(dir) = flag(&pod.words, "--data-dir").filter(|dir| dir.starts_with('/')) {
            dir.clone_into(&mut place.data_dir);
        }
        let urls = flag(&pod.words, "--listen-client-urls").unwrap_or_default();
        let local = urls.split(',').find(|url| url.contains("//127.0.0.1:") || url.contains("//localhost:"));
        if let Some(port) = local.and_then(port_of) {
            place.port = port;
        }
        if let Some(urls) = flag(&pod.words, "--listen-metrics-urls") {
            let mut plain = urls.split(',').filter(|url| url.trim().starts_with("http://"));
            place.health_port = plain.find_map(port_of);
        }
        place.quota =
            place.quota.or(flag(&pod.words, "--quota-backend-bytes").and_then(|bytes| bytes.parse().ok()));
    }
    place
}

/// The clusters of kops: one for everything, and one for events.
fn kops(main: &[&ControlPod], events: &[&ControlPod]) -> Place {
    let mut place = managed("main", 4001, main);
    if !events.is_empty() {
        place.others.push(managed("events", 4002, events));
    }
    place
}

/// A cluster of etcd-manager, whose arguments are no etcd's, and stand in one word for a shell: its data is on a volume of its
/// own, and its members' certificates are for names of its own and for localhost.
fn managed(name: &str, port: u16, pods: &[&ControlPod]) -> Place {
    let mut place = hosted(usual(Distribution::Kops), pods);
    let words = pods.iter().flat_map(|pod| &pod.words).flat_map(|word| word.split_whitespace());
    let mut urls = words.filter_map(|word| word.strip_prefix("--client-urls="));
    name.clone_into(&mut place.name);
    place.port = urls.find_map(|urls| port_of(urls.split(',').next()?)).unwrap_or(port);
    place
}

/// The nodes and pods of a place.
fn hosted(mut place: Place, pods: &[&ControlPod]) -> Place {
    for pod in pods {
        let Some(node) = pod.node.clone() else { continue };
        let key = PodKey { namespace: pod.namespace.clone(), name: pod.name.clone(), uid: pod.uid.clone() };
        place.pods.insert(node, key);
    }
    place.nodes = place.pods.keys().cloned().collect();
    place
}

/// The port at the end of a URL or authority.
fn port_of(url: &str) -> Option<u16> {
    url.trim().trim_end_matches('/').rsplit_once(':')?.1.parse().ok()
}

/// What a distribution does when nothing else is said.
fn usual(distribution: Distribution) -> Place {
    use Distribution as D;
    let (port, dir, certs) = match distribution {
        D::Kubeadm | D::External | D::Service => (
            2379,
            "/var/lib/etcd",
            ["etcd/ca.crt", "etcd/healthcheck-client.crt", "etcd/healthcheck-client.key"]
                .map(|file| format!("/etc/kubernetes/pki/{file}")),
        ),
        D::Rke2 => (2379, "/var/lib/rancher/rke2/server/db/etcd", rancher("rke2")),
        D::K3s => (2379, "/var/lib/rancher/k3s/server/db/etcd", rancher("k3s")),
        D::Kops => (
            4001,
            "/mnt/master-vol",
            ["etcd-ca.crt", "etcd-client.crt", "etcd-client.key"]
                .map(|file| format!("/etc/kubernetes/pki/kube-apiserver/{file}")),
        ),
        D::OpenShift => (
            2379,
            "/var/lib/etcd",
            [
                "configmaps/etcd-all-bundles/server-ca-bundle.crt",
                "secrets/etcd-all-certs/etcd-peer-{node}.crt",
                "secrets/etcd-all-certs/etcd-peer-{node}.key",
            ]
            .map(|file| format!("/etc/kubernetes/static-pod-resources/etcd-certs/{file}")),
        ),
        D::K0s => (
            2379,
            "/var/lib/k0s/etcd",
            ["etcd/ca.crt", "apiserver-etcd-client.crt", "apiserver-etcd-client.key"]
                .map(|file| format!("/var/lib/k0s/pki/{file}")),
        ),
    };
    Place {
        distribution,
        port,
        nodes: Vec::new(),
        external: Vec::new(),
        certs,
        data_dir: dir.to_owned(),
        quota: None,
        name: String::new(),
        pods: BTreeMap::new(),
        health_port: matches!(distribution, D::Kubeadm | D::Rke2 | D::K3s).then_some(2381),
        others: Vec::new(),
    }
}

fn rancher(name: &str) -> [String; 3] {
    ["server-ca.crt", "client.crt", "client.key"]
        .map(|file| format!("/var/lib/rancher/{name}/server/tls/etcd/{file}"))
}

/// The value of `--flag=value` or `--flag value`.
fn flag<'a>(words: &'a [String], name: &str) -> Option<&'a str> {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.strip_prefix(name) {
            Some("") => return words.next().map(String::as_str),
            Some(rest) if rest.starts_with('=') => return Some(&rest[1..]),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
#[path = "place/tests.rs"]
mod tests;
