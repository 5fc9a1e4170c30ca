//! The files of a host: `/etc/kubernetes` as kubeadm writes it, and what else is read during maintenance.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::commands::lines;
use crate::sim::machine::Machine;
use crate::sim::pki::ControlPlanePki;
use crate::sim::tls::{Authority, Pair, Subject};
use crate::sim::{Credentials, Error};

/// One regular file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Content.
    pub content: Vec<u8>,
    /// Permission bits; the owner is root.
    pub mode: u32,
}

/// Regular files by absolute path; directories are those that paths imply.
#[derive(Clone, Debug, Default)]
pub struct Files {
    files: BTreeMap<String, File>,
}

impl Files {
    /// What a control plane has.
    pub fn of_control_plane(
        credentials: &Credentials,
        pki: &ControlPlanePki,
        machine: &Machine,
        etcd: &str,
        kubernetes: &str,
    ) -> Result<Self, Error> {
        let mut files = Self::of_worker(credentials, machine)?;
        let accounts = Authority::generate("sa")?.pair;
        files.add("pki/sa.pub", 0o600, &accounts.cert);
        files.add("pki/sa.key", 0o600, &accounts.key);
        files.add("pki/ca.key", 0o600, &credentials.api_authority.pair.key);
        files.add_pair("pki/front-proxy-ca", &credentials.front_proxy_authority.pair);
        files.add_pair("pki/etcd/ca", &credentials.etcd_authority.pair);
        files.add_pair("pki/apiserver", &pki.apiserver);
        files.add_pair("pki/apiserver-kubelet-client", &pki.apiserver_kubelet_client);
        files.add_pair("pki/apiserver-etcd-client", &pki.apiserver_etcd_client);
        files.add_pair("pki/front-proxy-client", &pki.front_proxy_client);
        files.add_pair("pki/etcd/server", &pki.etcd_server);
        files.add_pair("pki/etcd/peer", &pki.etcd_peer);
        files.add_pair("pki/etcd/healthcheck-client", &pki.etcd_healthcheck_client);
        let local = format!("https://{}:6443", machine.address());
        let users: &[(&str, &str, Option<&str>)] = &[
            ("admin.conf", Credentials::API_USER, Some(Credentials::API_GROUP)),
            ("controller-manager.conf", "system:kube-controller-manager", None),
            ("scheduler.conf", "system:kube-scheduler", None),
        ];
        for (file, user, group) in users {
            files.add_kubeconfig(file, credentials, user, *group, &local)?;
        }
        for (component, text) in manifests(machine, etcd, kubernetes) {
            files.add(&format!("manifests/{component}.yaml"), 0o600, &text);
        }
        Ok(files)
    }

    /// What every node has.
    pub fn of_worker(credentials: &Credentials, machine: &Machine) -> Result<Self, Error> {
        let mut files = Self::default();
        files.add("pki/ca.crt", 0o644, credentials.api_ca());
        let user = format!("system:node:{}", machine.name());
        let server = "https://api.pitstop-sim.internal:6443";
        files.add_kubeconfig("kubelet.conf", credentials, &user, Some("system:nodes"), server)?;
        Ok(files)
    }

    /// A file.
    pub fn get(&self, path: &str) -> Option<&File> {
        self.files.get(path)
    }

    /// Whether there is a directory of that path.
    pub fn has_directory(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        self.files.keys().any(|file| file.strip_prefix(path).is_some_and(|rest| rest.starts_with('/')))
    }

    /// The file at `path`, or all files below the directory `path`.
    pub fn below<'a>(&'a self, path: &str) -> impl Iterator<Item = (&'a str, &'a File)> + use<'a> {
        let path = path.trim_end_matches('/').to_owned();
        self.files.iter().map(|(name, file)| (name.as_str(), file)).filter(move |(name, _)| {
            name.strip_prefix(path.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    fn add(&mut self, path: &str, mode: u32, text: &str) {
        let content = text.as_bytes().to_vec();
        self.files.insert(format!("/etc/kubernetes/{path}"), File { content, mode });
    }

    fn add_pair(&mut self, path: &str, pair: &Pair) {
        self.add(&format!("{path}.crt"), 0o644, &pair.cert);
        self.add(&format!("{path}.key"), 0o600, &pair.key);
    }

    fn add_kubeconfig(
        &mut self,
        path: &str,
        credentials: &Credentials,
        user: &str,
        group: Option<&str>,
        server: &str,
    ) -> Result<(), Error> {
        let subject =
            Subject { common_name: user, organization: group, names: &[], server: false, client: true };
        let pair = credentials.api_authority.issue(&subject)?;
        let text = format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- name: kubernetes\n  cluster:\n    server: {server}\n    \
             certificate-authority-data: {}\nusers:\n- name: {user}\n  user:\n    client-certificate-data: {}\n    \
             client-key-data: {}\ncontexts:\n- name: {user}@kubernetes\n  context:\n    cluster: kubernetes\n    \
             user: {user}\ncurrent-context: {user}@kubernetes\n",
            STANDARD.encode(credentials.api_ca()),
            STANDARD.encode(&pair.cert),
            STANDARD.encode(&pair.key),
        );
        self.add(path, 0o600, &text);
        Ok(())
    }
}

/// The static pods' manifests: component and text.
fn manifests(machine: &Machine, etcd: &str, kubernetes: &str) -> [(&'static str, String); 4] {
    let address = machine.address();
    let name = machine.name();
    let pki = "/etc/kubernetes/pki";
    let pod = |component: &str, image: &str, arguments: &[String]| {
        let arguments = lines(arguments.iter().map(|argument| format!("    - {argument}")));
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  labels:\n    component: {component}\n    tier: control-plane\n  \
             name: {component}\n  namespace: kube-system\nspec:\n  containers:\n  - name: {component}\n    \
             image: {image}\n    command:\n    - {component}\n{arguments}  hostNetwork: true\n  \
             priorityClassName: system-node-critical\n"
        )
    };
    let of_kubernetes = |component: &str| format!("registry.k8s.io/{component}:{kubernetes}");
    let controller = |component: &str, file: &str| {
        let conf = format!("--kubeconfig=/etc/kubernetes/{file}");
        pod(component, &of_kubernetes(component), &[conf, "--leader-elect=true".to_owned()])
    };
    let etcd_arguments = [
        format!("--name={name}"),
        format!("--advertise-client-urls=https://{address}:2379"),
        format!("--listen-client-urls=https://127.0.0.1:2379,https://{address}:2379"),
        "--listen-metrics-urls=http://127.0.0.1:2381".to_owned(),
        "--data-dir=/var/lib/etcd".to_owned(),
        format!("--cert-file={pki}/etcd/server.crt"),
        format!("--key-file={pki}/etcd/server.key"),
        format!("--trusted-ca-file={pki}/etcd/ca.crt"),
        "--client-cert-auth=true".to_owned(),
    ];
    let api_arguments = [
        format!("--advertise-address={address}"),
        "--etcd-servers=https://127.0.0.1:2379".to_owned(),
        format!("--etcd-cafile={pki}/etcd/ca.crt"),
        format!("--etcd-certfile={pki}/apiserver-etcd-client.crt"),
        format!("--etcd-keyfile={pki}/apiserver-etcd-client.key"),
        format!("--client-ca-file={pki}/ca.crt"),
        format!("--tls-cert-file={pki}/apiserver.crt"),
        format!("--tls-private-key-file={pki}/apiserver.key"),
    ];
    [
        ("etcd", pod("etcd", &format!("registry.k8s.io/etcd:{etcd}-0"), &etcd_arguments)),
        ("kube-apiserver", pod("kube-apiserver", &of_kubernetes("kube-apiserver"), &api_arguments)),
        ("kube-controller-manager", controller("kube-controller-manager", "controller-manager.conf")),
        ("kube-scheduler", controller("kube-scheduler", "scheduler.conf")),
    ]
}
