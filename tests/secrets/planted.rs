//! A place where everything that gives access is known by heart, so that it can be looked for afterwards.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use super::proxy::Proxy;
use super::redfish;
use super::served::{Served, pitstop};
use super::server::{BUCKET, KEY_ID, SECRET, serve};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

pub const PASSPHRASE: &str = "planted-passphrase-of-ssh";
pub const WRONG_KEY: &str = "planted-and-wrong-secret";
const TOKEN: &str = "planted-session-token";
const EXEC: &str = "planted-exec-plugin-token";
const PROXY: &str = "planted-proxy-word";
const HOOK: &str = "planted-webhook-path";
const REFRESH: &str = "planted-refresh-token";
const CLIENT: &str = "planted-client-secret";
const AZURE: &str = "planted-azure-account-key";

/// A simulated cluster with a store, a proxy, a webhook and a management controller around it.
pub struct Site {
    pub served: Served,
    pub bmc: redfish::Server,
    pub posted: Arc<Mutex<Vec<String>>>,
    environment: Vec<(String, String)>,
    secrets: Vec<String>,
}

fn must(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|error| {
        panic!("{program} cannot be started ({error}): tests/run installs what the tests need")
    });
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn write(path: &Path, text: &str) -> String {
    std::fs::write(path, text).expect("write");
    path.display().to_string()
}

impl Site {
    pub async fn new() -> Self {
        let served = Served::start("default");
        let (home, sim) = (served.home().to_owned(), served.sim());
        let store = serve(&home.join("s3")).await;
        let proxy = Proxy::start(&store, Some(&format!("ann:{PROXY}"))).await;
        let posted = Arc::new(Mutex::new(Vec::new()));
        let hook = listen(Arc::clone(&posted)).await;
        let bmc = redfish::Server::start().await;
        let mut secrets = key_lines(&sim);

        let identity = sim.join("id_ed25519").display().to_string();
        must("ssh-keygen", &["-q", "-p", "-P", "", "-N", PASSPHRASE, "-f", &identity]);
        secrets.extend(key_lines(&sim));
        let age = home.join("age.key");
        must("age-keygen", &["-o", &age.display().to_string()]);
        let reader = must("age-keygen", &["-y", &age.display().to_string()]).trim().to_owned();
        let key = std::fs::read_to_string(&age).expect("read");
        secrets.extend(key.lines().filter(|line| !line.starts_with('#')).map(str::to_owned));

        exec_plugin(&sim);
        let password = write(&home.join("bmc-password"), &format!("{}\n", redfish::PASSWORD));
        configure(&sim, &reader, &bmc, &password);
        let google = serde_json::json!({
            "type": "authorized_user", "client_id": "ann", "client_secret": CLIENT, "refresh_token": REFRESH,
        });
        let google = write(&home.join("google.json"), &google.to_string());
        let proxy = format!("http://ann:{PROXY}@{}", proxy.address);
        let environment = [
            ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            ("AWS_ACCESS_KEY_ID", KEY_ID),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_SESSION_TOKEN", TOKEN),
            ("AWS_ENDPOINT_URL", "http://store.test:9000"),
            ("HTTP_PROXY", &proxy),
            ("HTTPS_PROXY", &proxy),
            ("PITSTOP_WEBHOOK", &format!("{hook}/services/{HOOK}")),
            ("GOOGLE_APPLICATION_CREDENTIALS", &google),
            ("AZURE_STORAGE_ACCOUNT_NAME", "planted"),
            ("AZURE_STORAGE_ACCOUNT_KEY", &STANDARD.encode(AZURE)),
            ("USER", "ann"),
        ];
        let environment =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        secrets.extend(words());
        Self { served, bmc, posted, environment, secrets }
    }

    /// What every command gets.
    pub fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    /// The binary, with everything planted around it, as talkative as it can be.
    pub fn command(&self, [kubeconfig, config]: [&str; 2]) -> Command {
        let mut command = pitstop(self.served.home());
        command.arg("--kubeconfig").arg(self.served.sim().join(kubeconfig));
        command.arg("--config").arg(self.served.sim().join(config));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.args(["--log-level", "trace"]);
        command
    }

    /// The first secret that stands in a text.
    pub fn leak(&self, bytes: &[u8]) -> Option<&str> {
        let text = String::from_utf8_lossy(bytes);
        self.secrets.iter().map(String::as_str).find(|secret| text.contains(secret))
    }

    /// How many are known.
    pub fn secrets(&self) -> usize {
        self.secrets.len()
    }
}

/// What was planted word by word, plain and as headers carry it.
fn words() -> Vec<String> {
    let plain = [
        PASSPHRASE,
        WRONG_KEY,
        SECRET,
        TOKEN,
        EXEC,
        PROXY,
        HOOK,
        REFRESH,
        CLIENT,
        AZURE,
        redfish::PASSWORD,
        "PLANTED-token",
    ];
    let mut words = Vec::new();
    for secret in plain {
        words.push(secret.to_owned());
        words.push(STANDARD.encode(secret));
    }
    for pair in [format!("ann:{PROXY}"), format!("ops:{}", redfish::PASSWORD)] {
        words.push(STANDARD.encode(pair));
    }
    words
}

/// Every file below a directory.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let paths = entries.map(|entry| entry.expect("entry").path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Every line of key material under a directory, and the values of a kubeconfig that give access.
fn key_lines(sim: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for path in files(sim) {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let mut is_private = false;
        for line in text.lines() {
            is_private =
                (is_private || line.contains("PRIVATE KEY-----") || line.contains("BEGIN CERTIFICATE"))
                    && !line.contains("-----END");
            if is_private && !line.starts_with("-----") {
                found.push(line.trim().to_owned());
            }
            for key in ["client-key-data:", "client-certificate-data:", "token:", "password:"] {
                found.extend(line.trim().strip_prefix(key).map(|value| value.trim().to_owned()));
            }
        }
    }
    found.retain(|secret| secret.len() >= 12);
    found
}

/// Makes the kubeconfig ask a program for the credentials that stood in it.
fn exec_plugin(sim: &Path) {
    let path = sim.join("kubeconfig");
    let text = std::fs::read_to_string(&path).expect("read");
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(key)).expect("a value");
        String::from_utf8(STANDARD.decode(line.trim()).expect("base64")).expect("PEM")
    };
    let told = serde_json::json!({
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {
            "token": EXEC,
            "clientCertificateData": value("client-certificate-data:"),
            "clientKeyData": value("client-key-data:"),
        },
    });
    let told = told.to_string();
    let program = write(&sim.join("credential.json"), &told);
    let broken = write(&sim.join("broken.json"), &told[..told.len() / 2]);
    let users = text.find("users:").expect("users");
    let with = |file: &str| {
        format!(
            "{}users:\n- name: pitstop-sim-admin\n  user:\n    exec:\n      apiVersion: client.authentication.k8s.io/v1\n      command: cat\n      args: [{file}]\n      interactiveMode: Never\n",
            &text[..users]
        )
    };
    write(&sim.join("kubeconfig-broken"), &with(&broken));
    write(&path, &with(&program));
}

fn configure(sim: &Path, reader: &str, bmc: &redfish::Server, password: &str) {
    let path = sim.join("config.toml");
    let text = std::fs::read_to_string(&path).expect("configuration");
    let table = "[cluster.pitstop-sim.snapshot]\n";
    assert!(text.contains(table), "{text}");
    let text = text
        .replace(table, &format!("{table}upload = \"s3://{BUCKET}/etcd\"\nrecipients = [\"{reader}\"]\n"));
    let text = format!(
        "{text}\n[cluster.pitstop-sim.bmc.worker-1]\nkind = \"redfish\"\nhost = \"localhost\"\nport = {}\nuser = \"ops\"\npassword_file = \"{password}\"\nfingerprint = \"{}\"\n",
        bmc.port, bmc.fingerprint
    );
    write(&path, &text);
    let mistaken = text.replace(reader, "AGE-SECRET-KEY-1PLANTEDQQPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L");
    write(&sim.join("config-mistaken.toml"), &mistaken);
}

/// Takes what is posted.
async fn listen(posted: Arc<Mutex<Vec<String>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("address");
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let posted = Arc::clone(&posted);
            tokio::spawn(async move {
                let (mut text, mut piece) = (String::new(), [0; 4096]);
                while !text.contains("\"}") {
                    match socket.read(&mut piece).await {
                        Ok(count @ 1..) => text.push_str(&String::from_utf8_lossy(&piece[..count])),
                        _ => break,
                    }
                }
                let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
                posted.lock().expect("lock").push(body);
                let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
            });
        }
    });
    format!("http://{address}")
}
