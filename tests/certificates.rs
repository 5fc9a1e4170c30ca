//! The API server's certificate changes in the middle of a run, by a real process over real sockets: a new one of the same
//! authority is nothing, one of another authority stops the run with a reason, and it is gone on with when that is over.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pitstop::sim::{Cluster, Credentials, Pace, Scenario, Served, serve};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::sync::watch;
use tokio_rustls::{TlsAcceptor, TlsConnector};

type Authority = rcgen::CertifiedIssuer<'static, rcgen::KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    Authority::self_signed(params, rcgen::KeyPair::generate().expect("a key")).expect("an authority")
}

fn identity(authority: &Authority) -> Arc<ServerConfig> {
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
    let certificate = params.signed_by(&key, authority).expect("a certificate");
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("its key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key);
    Arc::new(config.expect("an identity"))
}

/// Stands before the simulated API server with a certificate that can be changed.
struct Front {
    port: u16,
    identity: Arc<Mutex<Arc<ServerConfig>>>,
    turn: watch::Sender<u64>,
}

impl Front {
    async fn open(first: Arc<ServerConfig>, behind: TlsConnector, to: std::net::SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let identity = Arc::new(Mutex::new(first));
        let (turn, cut) = watch::channel(0);
        let shown = identity.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = TlsAcceptor::from(shown.lock().expect("whole").clone());
                let (behind, mut cut) = (behind.clone(), cut.clone());
                cut.mark_unchanged();
                tokio::spawn(async move {
                    let pass = async {
                        let mut near = acceptor.accept(stream).await?;
                        let name = ServerName::from(to.ip());
                        let mut far = behind.connect(name, TcpStream::connect(to).await?).await?;
                        copy_bidirectional(&mut near, &mut far).await
                    };
                    tokio::select! {
                        _ = pass => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self { port, identity, turn }
    }

    /// Another certificate from now on; every open connection breaks.
    fn show(&self, identity: Arc<ServerConfig>) {
        *self.identity.lock().expect("whole") = identity;
        self.turn.send_modify(|turn| *turn += 1);
    }
}

struct Lab {
    cluster: Cluster,
    dir: tempfile::TempDir,
    front: Front,
    ours: Authority,
    served: Served,
}

impl Lab {
    async fn open() -> Self {
        let cluster = Cluster::start(Scenario::load("default").expect("a scenario"), Pace::new(50.0));
        let cluster = cluster.expect("a cluster");
        let dir = tempfile::tempdir().expect("a directory");
        let served = serve(&cluster, &dir.path().join("sim")).await.expect("served");
        let text = std::fs::read_to_string(&served.kubeconfig).expect("a kubeconfig");
        let ours = authority("front");
        let front = Front::open(identity(&ours), behind(cluster.credentials()), served.api).await;
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let ca = STANDARD.encode(ours.pem());
        for line in &mut lines {
            if line.contains("certificate-authority-data:") {
                *line = format!("    certificate-authority-data: {ca}");
            } else if line.contains("server: https://") {
                *line = format!("    server: https://127.0.0.1:{}", front.port);
            }
        }
        std::fs::write(dir.path().join("kubeconfig"), lines.join("\n")).expect("a kubeconfig");
        Self { cluster, dir, front, ours, served }
    }

    fn pitstop(&self, args: &[&str]) -> Command {
        let home = self.dir.path();
        let mut command = Command::new(env!("CARGO_BIN_EXE_pitstop"));
        command.env_clear().env("HOME", home).env("XDG_STATE_HOME", home.join("state")).env("USER", "ann");
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command.arg("--kubeconfig").arg(home.join("kubeconfig")).arg("--config").arg(&self.served.config);
        command.args(args).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs it to its end; `meanwhile` happens when the step of this number begins. Its events and what it said besides.
    async fn run(
        &self,
        args: &[&str],
        step: u64,
        meanwhile: impl FnOnce(&Front),
    ) -> (ExitStatus, Vec<Value>, String) {
        let errors = self.dir.path().join("errors");
        let file = std::fs::File::create(&errors).expect("a file");
        let mut child = self.pitstop(args).stdout(Stdio::piped()).stderr(file).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let (mut events, mut meanwhile) = (Vec::new(), Some(meanwhile));
        while let Some(line) = lines.next_line().await.expect("text") {
            let event: Value = serde_json::from_str(&line).expect("JSON");
            if event["event"] == "step_started"
                && event["step"] == step
                && let Some(meanwhile) = meanwhile.take()
            {
                meanwhile(&self.front);
            }
            events.push(event);
        }
        assert!(meanwhile.is_none(), "step {step} did not begin: {events:#?}");
        let status = child.wait().await.expect("its end");
        (status, events, std::fs::read_to_string(errors).expect("text"))
    }

    fn run_id(&self) -> String {
        let runs: PathBuf = self.dir.path().join("state/pitstop/runs");
        let file = std::fs::read_dir(runs).expect("journals").next().expect("one").expect("one").path();
        file.file_stem().expect("a name").to_string_lossy().into_owned()
    }

    /// One reboot, and no pod evicted twice.
    fn judge(&self) {
        for machine in self.cluster.machines() {
            assert_eq!(machine.reboots(), u32::from(machine.name() == "cp-1"), "{}", machine.name());
        }
        let mut evicted: BTreeMap<String, usize> = BTreeMap::new();
        for line in self.cluster.store().history() {
            if line.path.ends_with("/eviction") && line.code < 300 {
                *evicted.entry(line.path).or_default() += 1;
            }
        }
        assert!(!evicted.is_empty() && evicted.values().all(|times| *times == 1), "{evicted:?}");
    }
}

/// The way from the front to the real one, with the operator's certificate.
fn behind(credentials: &Credentials) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(credentials.api_ca().as_bytes()) {
        roots.add(root.expect("PEM")).expect("a root");
    }
    let pair = &credentials.api_client;
    let cert: Vec<_> =
        CertificateDer::pem_slice_iter(pair.cert.as_bytes()).map(|one| one.expect("PEM")).collect();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_client_auth_cert(cert, PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("PEM"));
    TlsConnector::from(Arc::new(config.expect("a client")))
}

const REBOOT: [&str; 6] = ["run", "reboot", "cp-1", "--yes", "-o", "json"];
const CORDON: u64 = 4;
const DRAIN: u64 = 6;

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_of_the_same_authority_is_nothing() {
    let lab = Lab::open().await;
    let (status, events, errors) = lab.run(&REBOOT, DRAIN, |front| front.show(identity(&lab.ours))).await;
    assert!(status.success(), "{status:?} {errors}\n{:#?}", events.last());
    lab.judge();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_another_authority_stops_the_run_with_a_reason_until_it_is_over() {
    for step in [CORDON, DRAIN] {
        let lab = Lab::open().await;
        let (status, events, errors) =
            lab.run(&REBOOT, step, |front| front.show(identity(&authority("stranger")))).await;
        assert_eq!(status.code(), Some(1), "step {step}: {errors}\n{events:#?}");
        let words = serde_json::to_string(&events).expect("JSON");
        assert!(words.contains("is not signed by the authority of the kubeconfig"), "step {step}: {words}");
        assert!(lab.cluster.machines().iter().all(|machine| machine.reboots() == 0), "step {step}");
        lab.front.show(identity(&lab.ours));
        let id = lab.run_id();
        let (status, events, errors) =
            lab.run(&["runs", "resume", &id, "--yes", "-o", "json"], DRAIN, |_| {}).await;
        assert!(status.success(), "step {step}: {status:?} {errors}\n{:#?}", events.last());
        lab.judge();
    }
}
