//! Logging in with what needs more than a plain key: a passphrase, a certificate; and hosts that show certificates.

use super::server::{Agent, Server, generate, must, public};
use super::{node, whoami};
use pitstop::backend::dial::Dialer;
use pitstop::backend::host::{Hosts, SshOptions};
use pitstop::domain::host::HostQuestion;
use pitstop::domain::report::FailureKind;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const PLANTED: &str = "correct horse battery staple";

fn secret() -> Zeroizing<String> {
    Zeroizing::new(PLANTED.to_owned())
}

fn passphrases(hosts: &Hosts) -> Vec<String> {
    let questions = hosts.questions().borrow().clone();
    questions
        .into_iter()
        .filter_map(|question| match question {
            HostQuestion::Passphrase(path) => Some(path),
            HostQuestion::HostKey(_) => None,
        })
        .collect()
}

#[tokio::test]
async fn an_encrypted_key_asks_for_its_passphrase_once_and_never_tells_it() {
    let server = Server::start("");
    for (kind, format) in [("ed25519", "RFC4716"), ("rsa", "PEM"), ("ecdsa", "PKCS8")] {
        let key = generate(server.dir.path(), &format!("locked_{kind}"), kind, "");
        server.authorize(&key);
        let path = key.display().to_string();
        must("ssh-keygen", &["-q", "-p", "-N", PLANTED, "-m", format, "-f", &path]);
        let options = SshOptions { identity_files: vec![key.clone()], ..server.options() };
        let hosts = Hosts::new(options, Dialer::tcp());
        let error = hosts.run(&node(), &["true"]).await.expect_err("locked");
        assert_eq!(error.kind, FailureKind::Unauthorized);
        assert!(error.to_string().contains("needs a passphrase"), "{error}");
        assert_eq!(passphrases(&hosts), std::slice::from_ref(&path));

        let wrong = hosts.unlock(&key, Zeroizing::new("PLANTED-WRONG".to_owned())).await.expect_err("wrong");
        assert!(wrong.to_string().ends_with("the passphrase is wrong"), "{wrong}");
        assert!(!format!("{wrong:?}").contains("PLANTED-WRONG"));
        assert_eq!(passphrases(&hosts), [path], "{format}: still open");

        hosts.unlock(&key, secret()).await.expect("unlocked");
        assert_eq!(passphrases(&hosts), Vec::<String>::new());
        let output = hosts.run(&node(), &["true"]).await.expect("logged in");
        assert_eq!(output.status, Some(0));
        assert!(!format!("{hosts:?}").contains(PLANTED));
    }
    let log = std::fs::read_to_string(server.path("sshd.log")).expect("log");
    assert!(!log.contains(PLANTED));
}

/// Signs a key with the authority at `ca`.
fn sign(ca: &Path, public_key: &Path, principal: &str, more: &[&str]) {
    let (ca, file) = (ca.display().to_string(), public_key.display().to_string());
    let base = ["-q", "-s", &ca, "-I", "a certificate", "-n", principal];
    must("ssh-keygen", &[&base[..], more, &[&file]].concat());
}

#[tokio::test]
async fn user_certificates_log_in_from_files_and_from_an_agent() {
    let dir = tempfile::tempdir().expect("dir");
    let ca = generate(dir.path(), "ca", "ed25519", "");
    let server = Server::start(&format!("TrustedUserCAKeys {}", ca.with_extension("pub").display()));
    for kind in ["ed25519", "rsa", "ecdsa"] {
        let key = generate(dir.path(), kind, kind, "");
        let with = |certificates: Vec<PathBuf>| SshOptions {
            identity_files: vec![key.clone()],
            certificates,
            ..server.options()
        };
        whoami(with(Vec::new())).await.expect_err("the key alone is not known");
        sign(&ca, &key.with_extension("pub"), &server.user, &[]);
        assert_eq!(whoami(with(Vec::new())).await.expect(kind), server.user);
        let agent = Agent::start(&tempfile::tempdir_in(dir.path()).expect("dir").keep());
        agent.add(&key);
        let by_agent = SshOptions {
            identity_files: vec![server.path("none")],
            agent: true,
            agent_socket: Some(agent.socket.clone()),
            ..server.options()
        };
        assert_eq!(whoami(by_agent).await.expect("by the agent"), server.user, "{kind}");
        // elsewhere than beside the key, it has to be named
        let moved = dir.path().join(format!("{kind}.moved"));
        std::fs::rename(dir.path().join(format!("{kind}-cert.pub")), &moved).expect("move");
        whoami(with(Vec::new())).await.expect_err("nobody names it");
        assert_eq!(whoami(with(vec![moved])).await.expect("named"), server.user);
    }
    // made out to somebody else
    let key = generate(dir.path(), "foreign", "ed25519", "");
    sign(&ca, &key.with_extension("pub"), "somebody-else", &[]);
    let options = SshOptions { identity_files: vec![key], ..server.options() };
    let error = whoami(options).await.expect_err("another's");
    assert!(error.to_string().contains("with certificate \"a certificate\": refused"), "{error}");
}

/// Who signs, for which name, with what else, what is recorded, and what comes of it.
type Case<'a> = (&'a Path, &'a str, &'a [&'a str], String, Result<(), &'a str>);

#[tokio::test]
async fn host_certificates_are_held_against_the_recorded_authority() {
    let dir = tempfile::tempdir().expect("dir");
    let ca = generate(dir.path(), "ca", "ed25519", "");
    let other = generate(dir.path(), "other", "ed25519", "");
    let certificate = dir.path().join("cert.pub");
    let server = Server::start(&format!("HostCertificate {}", certificate.display()));
    let host_key = server.path("host_ed25519.pub");
    let name = format!("[127.0.0.1]:{}", server.port);
    // sshd reads its certificate when it starts
    let certify = |server: &mut Server, by: &Path, principal: &str, more: &[&str]| {
        sign(by, &host_key, principal, &[&["-h"][..], more].concat());
        std::fs::rename(server.path("host_ed25519-cert.pub"), &certificate).expect("certificate");
        server.restart();
    };
    let mut server = server;
    let authority = format!("@cert-authority {name} {}\n", public(&ca));
    let plain = format!("{name} {}\n", public(&server.path("host_ed25519")));
    let revoked = format!("@revoked * {}\n", public(&ca));
    let cases: [Case<'_>; 8] = [
        (&ca, "127.0.0.1", &[], authority.clone(), Ok(())),
        (&ca, "127.0.0.1", &[], plain.clone(), Ok(())),
        (&ca, "other.host", &[], authority.clone(), Err("it is for other.host")),
        (&ca, "127.0.0.1", &["-V", "20200101:20200102"], authority.clone(), Err("it has expired")),
        (&ca, "127.0.0.1", &["-O", "critical:x@y"], authority.clone(), Err("critical option x@y")),
        (&other, "127.0.0.1", &[], authority.clone(), Err("another authority")),
        (&other, "127.0.0.1", &[], format!("{authority}{plain}"), Ok(())),
        (&ca, "127.0.0.1", &[], format!("{authority}{revoked}"), Err("revoked")),
    ];
    for (by, principal, more, known, wanted) in cases {
        certify(&mut server, by, principal, more);
        server.know(&known);
        assert_eq!(server.does_ssh_trust(), wanted.is_ok(), "OpenSSH itself: {principal} {more:?} {known}");
        match (whoami(server.options()).await, wanted) {
            (Ok(user), Ok(())) => assert_eq!(user, server.user),
            (Err(error), Err(words)) => {
                assert_eq!(error.kind, FailureKind::Identity, "{error}");
                assert!(error.to_string().contains(words), "{words}: {error}");
            }
            (answer, wanted) => panic!("{principal} {more:?}: {answer:?}, but {wanted:?}"),
        }
    }
}

#[tokio::test]
async fn an_unknown_host_is_asked_about_and_recorded_in_our_own_file_only() {
    let server = Server::start("");
    server.know("");
    let record = server.path("state/known_hosts");
    let options = SshOptions { record: Some(record.clone()), ..server.options() };
    let hosts = Hosts::new(options.clone(), Dialer::tcp());
    hosts.run(&node(), &["true"]).await.expect_err("unknown");
    let questions = hosts.questions().borrow().clone();
    let [HostQuestion::HostKey(host)] = &questions[..] else { panic!("{questions:?}") };
    let printed = must("ssh-keygen", &["-lf", &server.path("host_ed25519.pub").display().to_string()]);
    assert!(printed.contains(&host.fingerprint), "{printed}");
    assert_eq!(host.node, Some(node().name));

    let mut forged = host.clone();
    forged.key = public(&server.path("good"));
    assert_eq!(hosts.trust(&forged).expect_err("never shown").kind, FailureKind::Conflict);
    hosts.trust(host).expect("recorded");
    assert_eq!(*hosts.questions().borrow(), Vec::<HostQuestion>::new());
    hosts.run(&node(), &["true"]).await.expect("trusted now");
    let file = record.display().to_string();
    must("ssh-keygen", &["-F", &host.name, "-f", &file]);
    let (text, theirs) = (
        std::fs::read_to_string(&record).expect("ours"),
        server.path("known_hosts").metadata().expect("theirs"),
    );
    assert_eq!((text, theirs.len()), (format!("{} {}\n", host.name, host.key), 0));

    // a changed key is refused, and there is nothing to answer
    std::fs::write(&record, format!("{} {}\n", host.name, public(&server.path("good")))).expect("write");
    let hosts = Hosts::new(options, Dialer::tcp());
    let error = hosts.run(&node(), &["true"]).await.expect_err("changed");
    assert!(error.to_string().contains("another key than the one in"), "{error}");
    assert_eq!(*hosts.questions().borrow(), Vec::<HostQuestion>::new());
    assert_eq!(hosts.trust(host).expect_err("not asked").kind, FailureKind::Conflict);
}
