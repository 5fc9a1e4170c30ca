//! A host as an SSH client sees it, over a stream in memory, on a paused clock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use russh::client::{self, AuthResult};
use russh::keys::PrivateKeyWithHashAlg;
use russh::{ChannelMsg, ChannelOpenFailure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Facts, Files, Host, HostFaults, HostParts, Sudo};
use crate::sim::Credentials;
use crate::sim::etcd::{Ensemble, EtcdSpec, MemberFaults};
use crate::sim::machine::{BOOT, Machine, MachineSpec, RebootOutcome, SHUTDOWN};
use crate::sim::pace::Pace;
use crate::sim::pki::ControlPlanePki;
use crate::sim::trouble::SharedFaults;
use crate::sim::wire::{self, Dial};

struct Bench {
    host: Host,
    credentials: Credentials,
    _stop: tokio_util::sync::DropGuard,
}

fn bench(faults: HostFaults) -> Bench {
    let stop = CancellationToken::new();
    let spec = MachineSpec {
        name: "cp-1".into(),
        address: "10.0.0.11".into(),
        control_plane: true,
        off: false,
        reboot: RebootOutcome::Normal,
    };
    let machine = Machine::new(spec, Pace::default(), stop.clone());
    let credentials = Credentials::generate().unwrap();
    let pki = ControlPlanePki::issue(&credentials, "cp-1", "10.0.0.11", &[]).unwrap();
    let files = Files::of_control_plane(&credentials, &pki, &machine, "3.6.5", "v1.34.2").unwrap();
    let members = [(machine.clone(), MemberFaults::default())];
    let etcd = Ensemble::start(EtcdSpec::default(), "3.6.5", &members, Pace::default(), &stop);
    let echo: Dial = Arc::new(|| {
        let (near, mut far) = wire::pair();
        tokio::spawn(async move {
            let mut word = [0; 4];
            far.read_exact(&mut word).await.unwrap();
            far.write_all(&word).await.unwrap();
        });
        Ok(near)
    });
    let facts = Facts { kernel: "6.8.0-87-generic".into(), os: "Ubuntu 24.04.3 LTS".into() };
    let services = BTreeMap::from([(2379, echo)]);
    let faults = SharedFaults::new(faults.into());
    let parts = HostParts { machine, facts, faults, files, etcd: Some(etcd), ports: services };
    let host = Host::new(parts, &credentials, Pace::default(), stop.clone()).unwrap();
    Bench { host, credentials, _stop: stop.drop_guard() }
}

struct Trusting;

impl client::Handler for Trusting {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        _key: &russh::keys::PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

impl Bench {
    async fn login(&self) -> client::Handle<Trusting> {
        let (near, far) = wire::pair();
        self.host.accept(far).unwrap();
        let mut session = client::connect_stream(Arc::default(), near, Trusting).await.unwrap();
        let key = PrivateKeyWithHashAlg::new(Arc::new(self.credentials.operator_key().unwrap()), None);
        let answer = session.authenticate_publickey("ops", key).await.unwrap();
        assert!(matches!(answer, AuthResult::Success));
        session
    }

    async fn text(&self, line: &str) -> String {
        let output = self.host.run(line).await;
        assert_eq!(output.status, 0, "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    async fn failure(&self, line: &str) -> (u32, String) {
        let output = self.host.run(line).await;
        (output.status, String::from_utf8(output.stderr).unwrap())
    }
}

/// Standard output, standard error and status of a command; no status when the connection broke.
async fn exec(session: &client::Handle<Trusting>, line: &str) -> (Vec<u8>, Vec<u8>, Option<u32>) {
    let mut channel = session.channel_open_session().await.unwrap();
    channel.exec(true, line).await.unwrap();
    let (mut stdout, mut stderr, mut status) = (Vec::new(), Vec::new(), None);
    while let Some(message) = channel.wait().await {
        match message {
            ChannelMsg::Data { data } => stdout.extend_from_slice(&data),
            ChannelMsg::ExtendedData { data, ext: 1 } => stderr.extend_from_slice(&data),
            ChannelMsg::ExitStatus { exit_status } => status = Some(exit_status),
            _ => {}
        }
    }
    (stdout, stderr, status)
}

#[tokio::test(start_paused = true)]
async fn commands_answer_on_both_streams_with_a_status() {
    let bench = bench(HostFaults::default());
    let session = bench.login().await;
    let (stdout, _, status) = exec(&session, "cat /proc/sys/kernel/random/boot_id").await;
    assert_eq!(String::from_utf8(stdout).unwrap().trim(), bench.host.machine().boot_id());
    assert_eq!(status, Some(0));
    let (stdout, stderr, status) = exec(&session, "mkfs /dev/sda").await;
    assert!(stdout.is_empty());
    assert!(String::from_utf8(stderr).unwrap().contains("command not found"));
    assert_eq!(status, Some(127));
}

#[tokio::test(start_paused = true)]
async fn a_stranger_is_not_let_in() {
    let bench = bench(HostFaults::default());
    let stranger = Credentials::generate().unwrap();
    let (near, far) = wire::pair();
    bench.host.accept(far).unwrap();
    let mut session = client::connect_stream(Arc::default(), near, Trusting).await.unwrap();
    let key = PrivateKeyWithHashAlg::new(Arc::new(stranger.operator_key().unwrap()), None);
    assert!(!session.authenticate_publickey("ops", key).await.unwrap().success());
}

#[tokio::test(start_paused = true)]
async fn a_reboot_is_accepted_ends_the_connection_and_changes_the_boot_id() {
    let bench = bench(HostFaults::default());
    let session = bench.login().await;
    let before = bench.host.machine().boot_id();
    let (_, _, status) = exec(&session, "sudo -n /usr/bin/systemctl reboot").await;
    assert_eq!(status, Some(0));
    sleep(SHUTDOWN).await;
    assert!(session.is_closed());
    assert!(bench.host.accept(wire::pair().1).is_err(), "it is off");
    sleep(BOOT + Duration::from_secs(1)).await;
    let session = bench.login().await;
    let (stdout, ..) = exec(&session, "cat /proc/sys/kernel/random/boot_id").await;
    assert_ne!(String::from_utf8(stdout).unwrap().trim(), before);
}

#[tokio::test(start_paused = true)]
async fn a_reboot_may_break_the_connection_before_its_status() {
    let bench = bench(HostFaults { reboot_cuts: true, ..HostFaults::default() });
    let session = bench.login().await;
    let (_, _, status) = exec(&session, "sudo -n /usr/bin/systemctl reboot").await;
    assert_eq!(status, None);
    assert!(bench.host.machine().power().borrow().stopping);
}

#[tokio::test(start_paused = true)]
async fn a_refused_reboot_says_why() {
    let bench = bench(HostFaults { reboot_inhibited: true, ..HostFaults::default() });
    let (status, text) = bench.failure("sudo -n /usr/bin/systemctl reboot").await;
    assert!(status == 1 && text.starts_with("Operation inhibited by"), "{text}");
    assert!(bench.text("systemd-inhibit --list --mode=block").await.contains("unattended-upgr"));
    let (status, text) = bench.failure("systemctl reboot").await;
    assert!(status == 1 && text.contains("Interactive authentication required"));
    assert!(!bench.host.machine().power().borrow().stopping);
}

#[tokio::test(start_paused = true)]
async fn sudo_answers_as_its_rules_say() {
    let bench = bench(HostFaults::default());
    for (sudo, truth, listing) in
        [(Sudo::All, 0, 0), (Sudo::RebootOnly, 1, 0), (Sudo::Password, 1, 1), (Sudo::None, 1, 1)]
    {
        bench.host.change_faults(|faults| faults.sudo = sudo);
        assert_eq!(bench.host.run("sudo -n true").await.status, truth, "{sudo:?}");
        let listed = bench.host.run("sudo -n -l /usr/bin/systemctl reboot").await.status;
        assert_eq!(listed, listing, "{sudo:?}");
    }
    bench.host.change_faults(|faults| faults.sudo = Sudo::RebootOnly);
    assert!(bench.text("sudo -n -l -l").await.contains("Options: !authenticate"));
    assert_eq!(bench.failure("sudo -n cat /etc/machine-id").await.1, "sudo: a password is required\n");
}

#[tokio::test(start_paused = true)]
async fn tells_what_a_reboot_needs_to_know() {
    let bench = bench(HostFaults { kexec_loaded: true, ..HostFaults::default() });
    for (line, answer) in [
        ("cat /sys/kernel/kexec_loaded", "1\n"),
        ("uname -r", "6.8.0-87-generic\n"),
        ("whoami", "ops\n"),
        ("id -u", "1000\n"),
        ("sudo -n id -u", "0\n"),
        ("systemctl is-system-running", "running\n"),
        ("systemctl list-jobs", "No jobs running.\n"),
        ("test -e /run/nextroot && echo soft || echo hard", "hard\n"),
        ("sh -c 'cat /proc/uptime | wc -l'", "1\n"),
        (
            "curl -fsS http://127.0.0.1:2381/readyz?verbose",
            "[+]data_corruption ok\n[+]serializable_read ok\n[+]linearizable_read ok\nok\n",
        ),
    ] {
        assert_eq!(bench.text(line).await, answer, "{line}");
    }
    assert!(bench.text("df -P /boot").await.contains("/dev/sda2"));
    assert!(bench.text("cat /etc/os-release").await.contains("VERSION_ID=\"24.04\""));
    let (status, text) = bench.failure("cat /etc/kubernetes/pki/ca.key").await;
    assert_eq!((status, text.as_str()), (1, "cat: /etc/kubernetes/pki/ca.key: Permission denied\n"));
    assert!(bench.text("sudo -n cat /etc/kubernetes/pki/ca.key").await.contains("PRIVATE KEY"));
}

#[tokio::test(start_paused = true)]
async fn tar_streams_the_kubernetes_files() {
    let bench = bench(HostFaults::default());
    let session = bench.login().await;
    let (stdout, stderr, status) = exec(&session, "sudo -n tar -C / -cf - etc/kubernetes").await;
    assert_eq!((status, stderr.len(), stdout.len() % 10_240), (Some(0), 0, 0));
    let names: Vec<String> = stdout
        .chunks(512)
        .filter(|block| &block[257..262] == b"ustar")
        .map(|block| String::from_utf8_lossy(&block[..100]).trim_end_matches('\0').to_owned())
        .collect();
    for name in ["etc/kubernetes/", "etc/kubernetes/pki/etcd/ca.key", "etc/kubernetes/manifests/etcd.yaml"] {
        assert!(names.iter().any(|known| known == name), "{name} is not in {names:?}");
    }
    let (_, stderr, status) = exec(&session, "tar -C / -cf - etc/kubernetes").await;
    assert_eq!(status, Some(2));
    assert!(String::from_utf8(stderr).unwrap().contains("Permission denied"));
}

#[tokio::test(start_paused = true)]
async fn forwards_to_its_own_ports_only() {
    let bench = bench(HostFaults::default());
    let session = bench.login().await;
    let channel = session.channel_open_direct_tcpip("127.0.0.1", 2379, "127.0.0.1", 1).await.unwrap();
    let mut stream = channel.into_stream();
    stream.write_all(b"ping").await.unwrap();
    let mut word = [0; 4];
    stream.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"ping");
    let refusal = session.channel_open_direct_tcpip("127.0.0.1", 80, "127.0.0.1", 1).await.unwrap_err();
    assert!(matches!(refusal, russh::Error::ChannelOpenFailure(ChannelOpenFailure::ConnectFailed)));
    bench.host.change_faults(|faults| faults.forwarding_prohibited = true);
    let refusal = session.channel_open_direct_tcpip("127.0.0.1", 2379, "127.0.0.1", 1).await.unwrap_err();
    let expected = ChannelOpenFailure::AdministrativelyProhibited;
    assert!(matches!(refusal, russh::Error::ChannelOpenFailure(reason) if reason == expected));
}
