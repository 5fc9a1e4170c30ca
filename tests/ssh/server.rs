//! A real OpenSSH server on loopback with keys of its own, in a process that ends with its owner.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use pitstop::backend::dial::Dialer;
use pitstop::backend::host::{Hosts, SshOptions};
use std::fmt::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// A server, its keys and a client's keys.
pub struct Server {
    pub dir: tempfile::TempDir,
    pub port: u16,
    pub user: String,
    process: Child,
}

fn missing(program: &str, error: &std::io::Error) -> ! {
    panic!("{program} cannot be started ({error}): tests/run installs what the tests need")
}

/// Runs a program to its end.
pub fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    output.unwrap_or_else(|error| missing(program, &error))
}

/// Runs a program that must succeed and returns what it printed.
pub fn must(program: &str, arguments: &[&str]) -> String {
    let output = run(program, arguments);
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Makes a key pair and returns the private key's path.
pub fn generate(dir: &Path, name: &str, kind: &str, passphrase: &str) -> PathBuf {
    let path = dir.join(name);
    let bits = if kind == "rsa" { "2048" } else { "256" };
    let file = path.display().to_string();
    must("ssh-keygen", &["-q", "-t", kind, "-b", bits, "-N", passphrase, "-C", name, "-f", &file]);
    path
}

/// Type and key of a public key file, without the comment.
pub fn public(private: &Path) -> String {
    let text = std::fs::read_to_string(private.with_extension("pub")).expect("public key");
    text.split(' ').take(2).collect::<Vec<_>>().join(" ").trim().to_owned()
}

impl Server {
    /// Starts a server that accepts the key `good` and shows an ed25519 key of its own.
    pub fn start(extra: &str) -> Self {
        Self::with_host_keys(&["ed25519"], extra)
    }

    /// Starts a server with host keys of these kinds; `extra` goes into its configuration.
    pub fn with_host_keys(kinds: &[&str], extra: &str) -> Self {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path();
        generate(path, "good", "ed25519", "");
        let host_keys = kinds.iter().map(|kind| generate(path, &format!("host_{kind}"), kind, ""));
        let host_keys: Vec<PathBuf> = host_keys.collect();
        std::fs::copy(path.join("good.pub"), path.join("authorized")).expect("copy");
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("port").port();
        let file = |name: &str| path.join(name).display().to_string();
        let mut config = String::new();
        let _ =
            writeln!(config, "Port {port}\nListenAddress 127.0.0.1\nPidFile none\nUsePAM no\nStrictModes no");
        for key in &host_keys {
            let _ = writeln!(config, "HostKey {}", key.display());
        }
        let _ = writeln!(config, "AuthorizedKeysFile {}\nPasswordAuthentication no", file("authorized"));
        let _ =
            writeln!(config, "KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n{extra}");
        std::fs::write(path.join("sshd_config"), config).expect("write");
        let user = must("id", &["-un"]).trim().to_owned();
        if user == "root" {
            std::fs::create_dir_all("/run/sshd").expect("the directory that sshd runs in");
        }
        let process = spawn(&path.join("sshd_config"));
        let server = Self { dir, port, user, process };
        server.wait();
        server.know(&format!("[127.0.0.1]:{port} {}\n", public(&server.path("host_ed25519"))));
        server
    }

    /// Stops it and starts it again: it reads its certificate anew.
    pub fn restart(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        self.process = spawn(&self.path("sshd_config"));
        self.wait();
    }

    /// Ends it and all its connections at once, as a machine does that goes down.
    pub fn stop(&mut self) {
        self.signal_all("-KILL");
        let _ = self.process.wait();
    }

    /// Sends a signal to it and everything that it has started.
    pub fn signal_all(&self, signal: &str) {
        let mut all = vec![self.process.id()];
        let mut at = 0;
        while let Some(parent) = all.get(at) {
            all.extend(children(*parent));
            at += 1;
        }
        for process in all {
            // some end with the others
            let _ = run("kill", &[signal, &process.to_string()]);
        }
    }

    /// Starts it again, as a machine does that comes up.
    pub fn start_again(&mut self) {
        self.process = spawn(&self.path("sshd_config"));
    }

    fn wait(&self) {
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!(
            "sshd does not listen: {}",
            std::fs::read_to_string(self.path("sshd.log")).unwrap_or_default()
        );
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes the file of known hosts.
    pub fn know(&self, text: &str) {
        std::fs::write(self.path("known_hosts"), text).expect("write");
    }

    /// Accepts one more key.
    pub fn authorize(&self, private: &Path) {
        let file = self.path("authorized");
        let text = std::fs::read_to_string(&file).expect("read") + &public(private) + "\n";
        std::fs::write(file, text).expect("write");
    }

    pub fn options(&self) -> SshOptions {
        SshOptions {
            user: Some(self.user.clone()),
            port: Some(self.port),
            identity_files: vec![self.path("good")],
            known_hosts: vec![self.path("known_hosts")],
            agent: false,
            ..SshOptions::default()
        }
    }

    pub fn hosts(&self) -> Hosts {
        Hosts::new(self.options(), Dialer::tcp())
    }

    /// Whether OpenSSH's own client trusts this server with the present file of known hosts.
    pub fn does_ssh_trust(&self) -> bool {
        let option = |name: &str, value: &str| format!("-o{name}={value}");
        let output = run(
            "ssh",
            &[
                "-F/dev/null",
                "-oBatchMode=yes",
                "-oStrictHostKeyChecking=yes",
                "-oGlobalKnownHostsFile=/dev/null",
                &option("UserKnownHostsFile", &self.path("known_hosts").display().to_string()),
                &option("IdentityFile", &self.path("good").display().to_string()),
                "-oIdentitiesOnly=yes",
                "-oUpdateHostKeys=no",
                &format!("-p{}", self.port),
                &format!("{}@127.0.0.1", self.user),
                "true",
            ],
        );
        output.status.success()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The processes that one has started, by proc(5): the parent is the second word after the name.
fn children(parent: u32) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_string_lossy().parse().ok());
    ids.filter(|id: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
        after.split_whitespace().nth(1) == Some(&parent.to_string())
    })
    .collect()
}

fn spawn(config: &Path) -> Child {
    let log = std::fs::File::create(config.with_file_name("sshd.log")).expect("log");
    Command::new(sshd())
        .args(["-D", "-e", "-f", &config.display().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| missing("sshd", &error))
}

fn sshd() -> &'static str {
    let places = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/sbin/sshd"];
    places.into_iter().find(|place| Path::new(place).exists()).unwrap_or("sshd")
}

/// An agent with a socket of its own.
pub struct Agent {
    pub socket: PathBuf,
    process: Child,
}

impl Agent {
    pub fn start(dir: &Path) -> Self {
        let socket = dir.join("agent.sock");
        let agent = Command::new("ssh-agent")
            .args(["-D", "-a", &socket.display().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_or_else(
                |error| missing("ssh-agent", &error),
                |process| Self { socket: socket.clone(), process },
            );
        for _ in 0..200 {
            if std::os::unix::net::UnixStream::connect(&socket).is_ok() {
                return agent;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("ssh-agent does not listen");
    }

    /// Takes a key without a passphrase.
    pub fn add(&self, private: &Path) {
        let added = Command::new("ssh-add")
            .arg("-q")
            .arg(private)
            .env("SSH_AUTH_SOCK", &self.socket)
            .status()
            .unwrap_or_else(|error| missing("ssh-add", &error));
        assert!(added.success());
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
