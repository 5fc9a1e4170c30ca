//! The directory of a served cluster: files for clients, and what the next run needs to be the same cluster to them.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::credentials::SSH_USER;
use super::error::Error;
use super::serve::CONTEXT;
use super::{Cluster, Credentials, Pace};

/// Port by service: `api`, `api/NODE`, `etcd/NODE`, `ssh/NODE`.
pub type Ports = BTreeMap<String, u16>;

/// File that only the next run reads.
const MEMORY: &str = ".sim.json";

/// What an earlier run left.
#[derive(Deserialize)]
pub struct Remembered {
    /// Its keys.
    pub credentials: Credentials,
    /// Its ports.
    pub ports: Ports,
}

#[derive(Serialize)]
struct Memory<'a> {
    credentials: &'a Credentials,
    ports: &'a Ports,
}

/// Paths of the files for clients.
pub struct ClientFiles {
    /// For kubectl and others.
    pub kubeconfig: PathBuf,
    /// For pitstop.
    pub config: PathBuf,
    /// For ssh.
    pub known_hosts: PathBuf,
    /// For ssh.
    pub identity: PathBuf,
}

/// An existing directory.
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// Opens `path`, made (0700) when it is not there.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let error = |source| Error::File { path: path.display().to_string(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(error)?;
        Ok(Self { path: path.canonicalize().map_err(error)? })
    }

    /// What an earlier run left; `None` when there is nothing or it cannot be read.
    pub fn recall(&self) -> Option<Remembered> {
        let text = fs::read(self.path.join(MEMORY)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Leaves something for the next run.
    pub fn remember(&self, credentials: &Credentials, ports: &Ports) -> Result<(), Error> {
        let text = serde_json::to_string(&Memory { credentials, ports })
            .map_err(|error| Error::Certificate(error.to_string()))?;
        self.write(MEMORY, &text).map(drop)
    }

    /// Writes what clients read.
    pub fn write_clients_files(&self, cluster: &Cluster, ports: &Ports) -> Result<ClientFiles, Error> {
        let credentials = cluster.credentials();
        let etcd = self.path.join("etcd");
        let private = fs::DirBuilder::new().recursive(true).mode(0o700).create(&etcd);
        private.map_err(|source| Error::File { path: etcd.display().to_string(), source })?;
        self.write("etcd/ca.crt", credentials.etcd_ca())?;
        self.write("etcd/client.crt", &credentials.etcd_client.cert)?;
        self.write("etcd/client.key", &credentials.etcd_client.key)?;
        let hosts = of_service(ports, "ssh/").map(|(node, port)| (node, format!("[127.0.0.1]:{port}")));
        Ok(ClientFiles {
            kubeconfig: self.write("kubeconfig", &kubeconfig(credentials, ports))?,
            known_hosts: self.write("known_hosts", &credentials.known_hosts(hosts)?)?,
            identity: self.write("id_ed25519", &credentials.ssh_key)?,
            config: self.write("config.toml", &self.config(cluster, ports)?)?,
        })
    }

    /// Replaces a file (0600) as a whole: a reader sees the old or the new one.
    fn write(&self, name: &str, text: &str) -> Result<PathBuf, Error> {
        let path = self.path.join(name);
        let fresh = path.with_added_extension("new");
        let write = || -> std::io::Result<()> {
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
            file.write_all(text.as_bytes())?;
            fs::rename(&fresh, &path)
        };
        write().map_err(|source| Error::File { path: path.display().to_string(), source })?;
        Ok(path)
    }

    fn config(&self, cluster: &Cluster, ports: &Ports) -> Result<String, Error> {
        let path = |name: &str| self.path.join(name).display().to_string();
        let addresses = |service| {
            of_service(ports, service).map(|(node, port)| (node, format!("127.0.0.1:{port}"))).collect()
        };
        let context = ContextConfig {
            etcd: EtcdConfig {
                access: "direct",
                ca: path("etcd/ca.crt"),
                cert: path("etcd/client.crt"),
                key: path("etcd/client.key"),
                server_name: "127.0.0.1",
                endpoints: addresses("etcd/"),
            },
            ssh: SshConfig {
                user: SSH_USER,
                identity_files: [path("id_ed25519")],
                known_hosts: [path("known_hosts")],
                agent: false,
                addresses: addresses("ssh/"),
            },
            snapshot: SnapshotConfig { dir: path("snapshots") },
            timing: TimingConfig::at(cluster.pace()),
        };
        let config = Config { cluster: BTreeMap::from([(CONTEXT, context)]) };
        toml::to_string(&config).map_err(|error| Error::Certificate(error.to_string()))
    }
}

/// Nodes and ports of the services whose names begin with `prefix`.
fn of_service<'a>(ports: &'a Ports, prefix: &'a str) -> impl Iterator<Item = (&'a str, u16)> {
    ports.iter().filter_map(move |(name, port)| name.strip_prefix(prefix).map(|node| (node, *port)))
}

#[derive(Serialize)]
struct Config<'a> {
    cluster: BTreeMap<&'a str, ContextConfig<'a>>,
}

#[derive(Serialize)]
struct ContextConfig<'a> {
    etcd: EtcdConfig<'a>,
    ssh: SshConfig<'a>,
    snapshot: SnapshotConfig,
    timing: TimingConfig,
}

#[derive(Serialize)]
struct EtcdConfig<'a> {
    access: &'a str,
    ca: String,
    cert: String,
    key: String,
    server_name: &'a str,
    endpoints: BTreeMap<&'a str, String>,
}

#[derive(Serialize)]
struct SshConfig<'a> {
    user: &'a str,
    identity_files: [String; 1],
    known_hosts: [String; 1],
    agent: bool,
    addresses: BTreeMap<&'a str, String>,
}

#[derive(Serialize)]
struct SnapshotConfig {
    dir: String,
}

/// Pauses that a run makes on purpose, as short as the cluster is fast.
#[derive(Serialize)]
struct TimingConfig {
    settle: String,
    verify_interval: String,
    etcd_sample_interval: String,
    poll: String,
}

impl TimingConfig {
    fn at(pace: Pace) -> Self {
        let short = |seconds| format!("{}ms", pace.of(Duration::from_secs(seconds)).as_millis().max(50));
        Self { settle: short(10), verify_interval: short(10), etcd_sample_interval: short(5), poll: short(1) }
    }
}

/// A kubeconfig with a context for the load-balanced endpoint and one (`CONTEXT-NODE`) for each API server.
fn kubeconfig(credentials: &Credentials, ports: &Ports) -> String {
    let ca = STANDARD.encode(credentials.api_ca());
    let cert = STANDARD.encode(&credentials.api_client.cert);
    let key = STANDARD.encode(&credentials.api_client.key);
    let mut endpoints = vec![(CONTEXT.to_owned(), ports.get("api").copied().unwrap_or_default())];
    endpoints.extend(of_service(ports, "api/").map(|(node, port)| (format!("{CONTEXT}-{node}"), port)));
    let clusters: Vec<String> = endpoints
        .iter()
        .map(|(name, port)| {
            format!(
                "- name: {name}\n  cluster:\n    server: https://127.0.0.1:{port}\n    \
                 certificate-authority-data: {ca}\n"
            )
        })
        .collect();
    let contexts: Vec<String> = endpoints
        .iter()
        .map(|(name, _)| {
            format!("- name: {name}\n  context:\n    cluster: {name}\n    user: {CONTEXT}-admin\n")
        })
        .collect();
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: {CONTEXT}\nclusters:\n{}contexts:\n{}users:\n\
         - name: {CONTEXT}-admin\n  user:\n    client-certificate-data: {cert}\n    client-key-data: {key}\n",
        clusters.concat(),
        contexts.concat(),
    )
}
