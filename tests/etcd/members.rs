//! Real etcd members with mutual TLS on loopback, in processes that end with their owner.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use pitstop::backend::dial::Dialer;
use pitstop::backend::etcd::{Access, Etcd, EtcdOptions};
use pitstop::domain::etcd::EtcdView;
use pitstop::domain::ids::NodeName;
use pitstop::sim::tls::{Authority, Pair, Subject};
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// One member: its process and its ports.
pub struct Member {
    pub name: String,
    pub client: u16,
    pub peer: u16,
    pub health: u16,
    process: Option<Child>,
}

/// A cluster of members and what a client needs to talk to them.
pub struct Members {
    pub dir: tempfile::TempDir,
    pub all: Vec<Member>,
    /// Further flags of every member.
    flags: Vec<String>,
}

/// Ports that were free a moment ago, all different.
pub fn free_ports(count: usize) -> Vec<u16> {
    let listeners: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
    listeners.iter().map(|listener| listener.local_addr().expect("address").port()).collect()
}

pub fn write_pair(dir: &Path, name: &str, pair: &Pair) {
    std::fs::write(dir.join(format!("{name}.crt")), &pair.cert).expect("write");
    std::fs::write(dir.join(format!("{name}.key")), &pair.key).expect("write");
}

/// A client's certificate of an authority.
pub fn client_of(authority: &Authority) -> Pair {
    let subject =
        Subject { common_name: "pitstop", organization: None, names: &[], server: false, client: true };
    authority.issue(&subject).expect("certificate")
}

/// A server's certificate for this machine's loopback.
pub fn server_of(authority: &Authority) -> Pair {
    let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
    let subject =
        Subject { common_name: "etcd", organization: None, names: &names, server: true, client: true };
    authority.issue(&subject).expect("certificate")
}

impl Members {
    /// Starts `count` members, `cp-1` to `cp-N`, and waits until all are healthy and one leads.
    pub async fn start(count: usize) -> Self {
        Self::start_with(count, &[]).await
    }

    /// The same with further flags.
    pub async fn start_with(count: usize, flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("directory");
        let authority = Authority::generate("etcd-ca").expect("authority");
        std::fs::write(dir.path().join("ca.crt"), &authority.pair.cert).expect("write");
        write_pair(dir.path(), "server", &server_of(&authority));
        write_pair(dir.path(), "client", &client_of(&authority));
        let ports = free_ports(count * 3);
        let all = (0..count)
            .map(|index| Member {
                name: format!("cp-{}", index + 1),
                client: ports[index * 3],
                peer: ports[index * 3 + 1],
                health: ports[index * 3 + 2],
                process: None,
            })
            .collect();
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let mut members = Self { dir, all, flags };
        let initial = members.initial_cluster();
        for index in 0..count {
            members.launch(index, &initial, "new");
        }
        let etcd = members.etcd();
        members.until(&etcd, |view| healthy(view) == count && view.leader().is_some()).await;
        members
    }

    pub fn initial_cluster(&self) -> String {
        let peers: Vec<String> = self
            .all
            .iter()
            .map(|member| format!("{}=https://127.0.0.1:{}", member.name, member.peer))
            .collect();
        peers.join(",")
    }

    /// Starts the process of a member.
    pub fn launch(&mut self, index: usize, initial: &str, state: &str) {
        let dir = self.dir.path().to_owned();
        let member = &mut self.all[index];
        let file = |name: &str| dir.join(name).display().to_string();
        let log = std::fs::File::create(dir.join(format!("{}.log", member.name))).expect("log");
        let client = format!("https://127.0.0.1:{}", member.client);
        let peer = format!("https://127.0.0.1:{}", member.peer);
        let health = format!("http://127.0.0.1:{}", member.health);
        let process = Command::new("etcd")
            .args(["--name", &member.name, "--data-dir", &file(&format!("{}.data", member.name))])
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--listen-metrics-urls", &health])
            .args(["--initial-cluster", initial, "--initial-cluster-state", state])
            .args([
                "--initial-cluster-token",
                "test",
                "--heartbeat-interval",
                "50",
                "--election-timeout",
                "500",
            ])
            .args(["--client-cert-auth", "--trusted-ca-file", &file("ca.crt")])
            .args(["--cert-file", &file("server.crt"), "--key-file", &file("server.key")])
            .args(["--peer-client-cert-auth", "--peer-trusted-ca-file", &file("ca.crt")])
            .args(["--peer-cert-file", &file("server.crt"), "--peer-key-file", &file("server.key")])
            .args(&self.flags)
            .env("ETCD_UNSUPPORTED_ARCH", std::env::consts::ARCH.replace("aarch64", "arm64"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        member.process = Some(process.unwrap_or_else(|error| {
            panic!("etcd cannot be started ({error}): tests/run installs what the tests need")
        }));
    }

    /// One more member, not started yet.
    pub fn add(&mut self, name: &str, client: u16, peer: u16) {
        let health = free_ports(1)[0];
        self.all.push(Member { name: name.to_owned(), client, peer, health, process: None });
    }

    /// Sends a signal to a member's process.
    pub fn signal(&self, index: usize, signal: &str) {
        let process = self.all[index].process.as_ref().expect("running");
        let sent = Command::new("kill").args([signal, &process.id().to_string()]).status().expect("kill");
        assert!(sent.success(), "kill {signal}");
    }

    /// Stops a member and waits until its process has ended.
    pub fn stop(&mut self, index: usize) {
        self.signal(index, "-TERM");
        let ended = self.all[index].process.take().map(|mut process| process.wait());
        assert!(matches!(ended, Some(Ok(_))));
    }

    pub fn index_of(&self, name: &str) -> usize {
        self.all.iter().position(|member| member.name == name).expect("a member of that name")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn options(&self) -> EtcdOptions {
        let endpoint =
            |member: &Member| (NodeName(member.name.clone()), format!("127.0.0.1:{}", member.client));
        EtcdOptions {
            access: Access::Direct,
            ca: Some(self.path("ca.crt")),
            cert: Some(self.path("client.crt")),
            key: Some(self.path("client.key")),
            server_name: None,
            endpoints: self.all.iter().map(endpoint).collect(),
            command: Vec::new(),
        }
    }

    pub fn etcd(&self) -> Etcd {
        Etcd::new(self.options(), Dialer::tcp(), None)
    }

    /// etcd's own client for a member.
    pub fn client(&self, index: usize) -> Command {
        let mut command = Command::new("etcdctl");
        command
            .env("ETCDCTL_API", "3")
            .arg(format!("--endpoints=https://127.0.0.1:{}", self.all[index].client))
            .arg(format!("--cacert={}", self.path("ca.crt").display()))
            .arg(format!("--cert={}", self.path("client.crt").display()))
            .arg(format!("--key={}", self.path("client.key").display()));
        command
    }

    /// Puts a value that is too long for a command line; whether etcd took it.
    pub fn put(&self, index: usize, key: &str, value: &[u8]) -> bool {
        let mut child = self
            .client(index)
            .args(["put", key])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("etcdctl");
        child.stdin.take().expect("its input").write_all(value).expect("written");
        child.wait().expect("ended").success()
    }

    /// Fills the store with so many values of 1 MiB, no two alike.
    pub fn fill(&self, count: usize) {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        for number in 0..count {
            let word = || {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                seed
            };
            let value: Vec<u8> =
                std::iter::repeat_with(word).take(128 * 1024).flat_map(u64::to_le_bytes).collect();
            assert!(self.put(0, &format!("/registry/large/{number}"), &value), "put {number}");
        }
    }

    /// Runs etcd's own client against a member.
    pub fn etcdctl(&self, index: usize, arguments: &[&str]) -> String {
        let output = self.client(index).args(arguments).output().unwrap_or_else(|error| {
            panic!("etcdctl cannot be started ({error}): tests/run installs what the tests need")
        });
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "etcdctl {arguments:?}: {errors}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// Looks until a condition holds.
    pub async fn until(&self, etcd: &Etcd, holds: impl Fn(&EtcdView) -> bool) -> EtcdView {
        let mut last = String::new();
        for _ in 0..300 {
            match etcd.look().await {
                Ok(view) if holds(&view) => return view,
                Ok(view) => last = format!("{view:#?}"),
                Err(error) => last = error.to_string(),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("it did not come to be; the last view was {last}\n{}", self.logs());
    }

    fn logs(&self) -> String {
        self.all.iter().fold(String::new(), |mut all, member| {
            let text =
                std::fs::read_to_string(self.path(&format!("{}.log", member.name))).unwrap_or_default();
            let tail: Vec<&str> = text.lines().rev().take(10).collect();
            let _ =
                writeln!(all, "{}:\n{}", member.name, tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
            all
        })
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        for member in &mut self.all {
            if let Some(mut process) = member.process.take() {
                let _ = process.kill();
                let _ = process.wait();
            }
        }
    }
}

pub fn healthy(view: &EtcdView) -> usize {
    view.members.iter().filter(|member| member.health.is_healthy()).count()
}
