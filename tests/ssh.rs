//! The host port against a real OpenSSH server on loopback. Nothing here can reboot the machine that runs it: where a
//! reboot is asked for, the server runs a script of the test instead of any command.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/ended.rs"]
mod ended;
#[path = "ssh/login.rs"]
mod login;
#[path = "ssh/machine.rs"]
mod machine;
#[path = "support/rows.rs"]
mod rows;
#[path = "ssh/runs.rs"]
mod runs;
#[path = "ssh/server.rs"]
mod server;
#[path = "scenarios/stage.rs"]
#[expect(dead_code, reason = "stories are played elsewhere")]
mod stage;
#[path = "scenarios/story.rs"]
mod story;
#[path = "ssh/sudo.rs"]
mod sudo;
#[path = "ssh/way.rs"]
mod way;

use pitstop::backend::dial::{Dialer, Stream};
use pitstop::backend::error::Error;
use pitstop::backend::host::{Contents, Hosts, RebootAnswer, SshOptions};
use pitstop::domain::host::Privilege;
use pitstop::domain::node::NodeRow;
use pitstop::domain::plan::Kind;
use pitstop::domain::report::FailureKind;
use server::{Agent, Server, generate, must, public, run};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

/// The node whose host the server is.
fn node() -> NodeRow {
    rows::node("cp-1", "127.0.0.1")
}

async fn whoami(options: SshOptions) -> Result<String, Error> {
    let output = Hosts::new(options, Dialer::tcp()).run(&node(), &["id", "-un"]).await?;
    assert_eq!(output.status, Some(0), "{output:?}");
    Ok(output.stdout.trim().to_owned())
}

#[tokio::test]
async fn keys_of_all_kinds_log_in_and_refusals_name_each_key() {
    let server = Server::start("");
    let with = |files: &[PathBuf]| SshOptions { identity_files: files.to_vec(), ..server.options() };
    assert_eq!(whoami(server.options()).await.expect("ed25519"), server.user);
    for kind in ["rsa", "ecdsa"] {
        let key = generate(server.dir.path(), kind, kind, "");
        server.authorize(&key);
        assert_eq!(whoami(with(&[key])).await.expect(kind), server.user);
    }
    let pem = generate(server.dir.path(), "pem", "rsa", "");
    server.authorize(&pem);
    must("ssh-keygen", &["-q", "-p", "-N", "", "-m", "PEM", "-f", &pem.display().to_string()]);
    assert!(std::fs::read_to_string(&pem).expect("key").contains("BEGIN RSA PRIVATE KEY"));
    assert_eq!(whoami(with(&[pem])).await.expect("PKCS#1"), server.user);

    let wrong = generate(server.dir.path(), "wrong", "ed25519", "");
    let locked = generate(server.dir.path(), "locked", "ed25519", "open sesame");
    let open = generate(server.dir.path(), "open", "ed25519", "");
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o644)).expect("mode");
    let files = [wrong, locked, open, server.path("none")];
    let error = whoami(with(&files)).await.expect_err("no key fits");
    assert_eq!(error.kind, FailureKind::Unauthorized);
    let words = error.to_string();
    for part in
        ["wrong: refused", "locked: needs a passphrase", "open: others may read it", "none: No such file"]
    {
        assert!(words.contains(part), "{part}: {words}");
    }
    let order = [&files[..1], &[server.path("good")]].concat();
    assert_eq!(whoami(with(&order)).await.expect("the second key"), server.user);
}

#[tokio::test]
async fn an_agent_logs_in_and_holds_the_key_of_a_locked_file() {
    let server = Server::start("");
    let agent = Agent::start(server.dir.path());
    let options = |files: Vec<PathBuf>| SshOptions {
        identity_files: files,
        agent: true,
        agent_socket: Some(agent.socket.clone()),
        ..server.options()
    };
    let error = whoami(options(vec![server.path("none")])).await.expect_err("no keys");
    assert!(error.to_string().contains("agent: holds no keys"), "{error}");

    // more keys than a server lets one try, the right one last: the file's public half says which it is
    for number in 0..8 {
        agent.add(&generate(server.dir.path(), &format!("other{number}"), "ed25519", ""));
    }
    let key = generate(server.dir.path(), "agent_rsa", "rsa", "");
    agent.add(&key);
    server.authorize(&key);
    must("ssh-keygen", &["-q", "-p", "-N", "open sesame", "-f", &key.display().to_string()]);
    assert_eq!(whoami(options(vec![key])).await.expect("by the agent"), server.user);

    let gone = SshOptions { agent_socket: Some(server.path("gone")), agent: true, ..server.options() };
    assert_eq!(whoami(gone).await.expect("the file does without the agent"), server.user);
}

#[tokio::test]
async fn hosts_are_trusted_as_openssh_trusts_them() {
    let server = Server::with_host_keys(&["ed25519", "rsa"], "");
    let port = server.port;
    let name = format!("[127.0.0.1]:{port}");
    let [ed, rsa, other] = ["host_ed25519", "host_rsa", "good"].map(|key| public(&server.path(key)));
    let other_rsa = public(&generate(server.dir.path(), "foreign_rsa", "rsa", ""));
    let trusted = [
        format!("{name} {ed}\n"),
        format!("# comment\n\n{name} {ed} comment\n"),
        format!("{name}\t{}\n", ed.replace(' ', "\t")),
        format!("  {name}   {}\n", ed.replace(' ', "   ")),
        format!("[127.0.0.*]:{port} {ed}\n"),
        format!("[127.0.0.?]:* {ed}\n"),
        format!("other,{name} {ed}\n"),
        format!("127.0.0.1 {ed}\n"),
        format!("{name} {rsa}\n"),
        format!("{name} {other_rsa}\n{name} {ed}\n"),
        format!("@revoked * {other}\n{name} {ed}\n"),
    ];
    let refused = [
        (String::new(), "is not known"),
        (format!("127.0.0.2 {ed}\n"), "is not known"),
        (format!("[127.0.0.1]:1 {ed}\n"), "is not known"),
        (format!("{name},!{name} {ed}\n"), "is not known"),
        (format!("{name} {other}\n"), "another key than the one in"),
        (format!("127.0.0.1 {other}\n"), "is not known"),
        (format!("{name} {ed}\n@revoked * {ed}\n"), "is revoked"),
        (format!("@revoked {name} {ed}\n{name} {ed}\n"), "is revoked"),
        (format!("@cert-authority {name} {ed}\n"), "shows a plain key"),
    ];
    // what OpenSSH's own look-up finds is never called unknown here, and what it does not find is
    let file = server.path("known_hosts").display().to_string();
    let is_found = || run("ssh-keygen", &["-F", &name, "-f", &file]).status.success();
    for text in &trusted {
        server.know(text);
        assert!(server.does_ssh_trust(), "OpenSSH itself: {text}");
        // a line without a port holds for every port, as far as its key is the one that is shown
        assert!(is_found() || text.starts_with("127.0.0.1 "), "ssh-keygen -F: {text}");
        assert_eq!(whoami(server.options()).await.expect(text), server.user);
    }
    for (text, words) in &refused {
        server.know(text);
        assert_eq!(is_found(), *words != "is not known", "ssh-keygen -F: {text}");
        assert!(!server.does_ssh_trust(), "OpenSSH itself: {text}");
        let error = whoami(server.options()).await.expect_err(text);
        assert_eq!(error.kind, FailureKind::Identity, "{error}");
        assert!(error.to_string().contains(words), "{words}: {error}");
    }
    // hashed by ssh-keygen, found by ssh-keygen, trusted by both
    server.know(&format!("{name} {ed}\n"));
    must("ssh-keygen", &["-q", "-H", "-f", &file]);
    assert!(std::fs::read_to_string(&file).expect("file").starts_with("|1|") && is_found());
    assert!(server.does_ssh_trust());
    assert_eq!(whoami(server.options()).await.expect("hashed"), server.user);
    // stricter than OpenSSH: a broken line for the host refuses it
    server.know(&format!("{name} ssh-ed25519 AAAA\n{name} {ed}\n"));
    let error = whoami(server.options()).await.expect_err("broken line");
    assert!(error.to_string().contains("known_hosts:1 cannot be read"), "{error}");
}

#[tokio::test]
async fn an_unknown_host_is_shown_with_what_to_check_and_add() {
    let server = Server::start("");
    server.know("");
    let error = whoami(server.options()).await.expect_err("unknown");
    let hint = error.hint.clone().expect("hint");
    let printed = must("ssh-keygen", &["-lf", &server.path("host_ed25519.pub").display().to_string()]);
    let fingerprint = printed.split(' ').nth(1).expect("fingerprint").to_owned();
    assert!(error.to_string().contains(&fingerprint), "{fingerprint}: {error}");
    let line = hint.rsplit_once("known_hosts: ").expect("the line to add").1;
    server.know(&format!("{line}\n"));
    assert!(server.does_ssh_trust(), "{line}");
    assert_eq!(whoami(server.options()).await.expect("added"), server.user);
}

#[tokio::test]
async fn commands_keep_their_words_their_streams_and_their_status() {
    let server = Server::start("");
    let (hosts, node) = (server.hosts(), node());
    let script = "printf out; printf err >&2; exit 7";
    let output = hosts.run(&node, &["sh", "-c", script]).await.expect("ran");
    assert_eq!((output.stdout.as_str(), output.stderr.as_str(), output.status), ("out", "err", Some(7)));
    let odd = ["a b", "$(id)", "it's", "*", "", "\n", ";"];
    let argv = [&["printf", "%s|"], &odd[..]].concat();
    let output = hosts.run(&node, &argv).await.expect("ran");
    assert_eq!(output.stdout, odd.map(|word| format!("{word}|")).concat());
    let output = hosts.run(&node, &["no-such-program"]).await.expect("ran");
    assert_eq!(output.status, Some(127));
    let output = hosts.run(&node, &["sh", "-c", "kill -TERM $$"]).await.expect("ran");
    assert_eq!((output.status, output.signal.as_deref()), (None, Some("TERM")));
    let output = hosts.run(&node, &["head", "-c", "3000000", "/dev/zero"]).await.expect("ran");
    assert_eq!((output.stdout.len(), output.status), (1024 * 1024, Some(0)));
}

/// Counts connections and keeps a hand on the newest, to cut it.
fn counting() -> (Dialer, Arc<AtomicUsize>, Arc<std::sync::Mutex<CancellationToken>>) {
    let count = Arc::new(AtomicUsize::new(0));
    let cut: Arc<std::sync::Mutex<CancellationToken>> = Arc::default();
    let (counted, cutting) = (Arc::clone(&count), Arc::clone(&cut));
    let dialer = Dialer::new(move |address| {
        counted.fetch_add(1, Ordering::SeqCst);
        let token = CancellationToken::new();
        *cutting.lock().expect("lock") = token.clone();
        Box::pin(async move {
            let mut outer = tokio::net::TcpStream::connect(address).await?;
            let (mut inner, ours) = tokio::io::duplex(64 * 1024);
            tokio::spawn(async move {
                token.run_until_cancelled(tokio::io::copy_bidirectional(&mut inner, &mut outer)).await;
            });
            Ok(Box::new(ours) as Stream)
        })
    });
    (dialer, count, cut)
}

#[tokio::test]
async fn one_connection_is_kept_and_replaced_when_lost() {
    let server = Server::start("");
    let (dialer, count, cut) = counting();
    let (hosts, node) = (Hosts::new(server.options(), dialer), node());
    for _ in 0..3 {
        hosts.run(&node, &["true"]).await.expect("ran");
    }
    let same = hosts.clone();
    let (one, two) = tokio::join!(hosts.run(&node, &["true"]), same.run(&node, &["true"]));
    assert!(one.is_ok() && two.is_ok());
    assert_eq!(count.load(Ordering::SeqCst), 1);
    cut.lock().expect("lock").cancel();
    assert_eq!(hosts.run(&node, &["true"]).await.expect("on a new connection").status, Some(0));
    assert_eq!(count.load(Ordering::SeqCst), 2);
    // lost in the middle: no status, and nothing is run again
    let marks = server.path("marks");
    let script = format!("echo x >> {}; sleep 30", marks.display());
    let argv = ["sh", "-c", &script];
    let running = hosts.run(&node, &argv);
    let cutting = async {
        while !marks.exists() {
            tokio::task::yield_now().await;
        }
        cut.lock().expect("lock").cancel();
    };
    let (output, ()) = tokio::join!(running, cutting);
    let output = output.expect("an answer without a status");
    assert_eq!((output.status, output.signal), (None, None));
    assert_eq!(std::fs::read_to_string(marks).expect("marks"), "x\n");
}

#[tokio::test]
async fn a_host_that_falls_silent_is_noticed_while_a_command_runs() {
    let mut server = Server::start("");
    let (hosts, node) = (server.hosts(), node());
    hosts.run(&node, &["true"]).await.expect("ran");
    server.signal_all("-STOP");
    let begun = tokio::time::Instant::now();
    let error = hosts.run(&node, &["true"]).await.expect_err("nobody there");
    assert!(error.kind.is_passing(), "{error}");
    // a command under way is given up by the questions that go unanswered, before its own time is up
    server.signal_all("-CONT");
    hosts.run(&node, &["true"]).await.expect("ran again");
    let marks = server.path("marks");
    let script = format!("echo x > {}; sleep 60", marks.display());
    let argv = ["sh", "-c", &script];
    let freezing = async {
        while !marks.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        server.signal_all("-STOP");
    };
    let (output, ()) = tokio::join!(hosts.run(&node, &argv), freezing);
    let output = output.expect("an answer without a status");
    assert_eq!((output.status, output.signal), (None, None), "after {:?}", begun.elapsed());
    server.stop();
}

#[tokio::test]
async fn facts_are_this_machines_own() {
    let server = Server::start("");
    let (hosts, node) = (server.hosts(), node());
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let facts = hosts.facts(&node).await.expect("facts");
    assert_eq!(facts.boot_id, read("/proc/sys/kernel/random/boot_id"));
    assert_eq!(hosts.boot_id(&node).await.expect("boot id"), facts.boot_id);
    assert_eq!(facts.machine_id, read("/etc/machine-id"));
    assert_eq!(facts.kernel, must("uname", &["-r"]).trim());
    assert!(!facts.os.is_empty() && facts.uptime.as_secs() > 0, "{facts:?}");
    let readiness = hosts.readiness(&node).await.expect("readiness");
    if server.user == "root" {
        assert_eq!(readiness.privilege, Privilege::Root);
    }
}

#[tokio::test]
async fn tunnels_carry_bytes_and_their_refusals_are_told_apart() {
    let server = Server::start("");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("listener");
    let address = listener.local_addr().expect("address").to_string();
    let echo = async {
        let (mut stream, _) = listener.accept().await.expect("connection");
        let (mut read, mut write) = stream.split();
        tokio::io::copy(&mut read, &mut write).await.expect("copy");
    };
    let (hosts, node) = (server.hosts(), node());
    let asking = async {
        let mut stream = hosts.tunnel(&node, &address).await.expect("tunnel");
        stream.write_all(b"ping").await.expect("write");
        let mut back = [0; 4];
        stream.read_exact(&mut back).await.expect("read");
        assert_eq!(&back, b"ping");
        stream.shutdown().await.expect("end");
    };
    tokio::join!(echo, asking);
    drop(listener);
    let error = hosts.tunnel(&node, &address).await.err().expect("closed port");
    assert_eq!(error.kind, FailureKind::Unreachable, "{error}");
    let shut = Server::start("AllowTcpForwarding no");
    let error = shut.hosts().tunnel(&node, &address).await.err().expect("forbidden");
    assert_eq!(error.kind, FailureKind::Forbidden, "{error}");
    assert!(error.hint.is_some_and(|hint| hint.contains("AllowTcpForwarding")));
}

#[tokio::test]
async fn archives_are_whole_private_and_described() {
    // without sudo's part, so that the test needs none
    let server = Server::start("ForceCommand eval \"${SSH_ORIGINAL_COMMAND#sudo -n }\"");
    let source = server.path("kubernetes");
    std::fs::create_dir_all(source.join("pki")).expect("dirs");
    std::fs::write(source.join("pki/ca.key"), "KEY").expect("write");
    std::fs::write(source.join("big"), vec![7_u8; 300_000]).expect("write");
    let wanted = source.display().to_string();
    let (hosts, node, permit) = (server.hosts(), node(), rows::permit(Kind::Reboot, &["cp-1"]));
    let (dir, cancel) = (server.path("backups"), CancellationToken::new());
    let last = AtomicUsize::new(0);
    let progress = |bytes: u64| last.store(usize::try_from(bytes).expect("small"), Ordering::SeqCst);
    let file = hosts
        .archive(&node, &Contents::of(&[wanted.trim_start_matches('/')]), &dir, progress, &cancel, &permit)
        .await
        .expect("archive");
    assert_eq!(last.load(Ordering::SeqCst) as u64, file.meta.size);
    assert_eq!((file.meta.entries, file.meta.node.as_str()), (4, "cp-1"));
    assert_eq!(file.path.metadata().expect("file").permissions().mode() & 0o777, 0o600);
    let sum = must("sha256sum", &[&file.path.display().to_string()]);
    assert!(sum.starts_with(&file.meta.sha256), "{sum}");
    let listed = must("tar", &["-tf", &file.path.display().to_string()]);
    assert!(listed.contains("pki/ca.key") && listed.lines().count() == 4, "{listed}");

    let error = hosts
        .archive(&node, &Contents::of(&["no/such/dir"]), &dir, |_| {}, &cancel, &permit)
        .await
        .expect_err("missing");
    assert!(error.to_string().contains("tar: "), "{error}");
    let names = std::fs::read_dir(&dir).expect("dir").count();
    assert_eq!(names, 2, "the archive and its sidecar, nothing of the failed one");
    let denied = rows::permit(Kind::Drain, &["cp-1"]);
    let error = hosts
        .archive(&node, &Contents::of(&["etc"]), &dir, |_| {}, &cancel, &denied)
        .await
        .expect_err("denied");
    assert_eq!(error.kind, FailureKind::Denied);
}

const BOOT: &str = "11111111-2222-3333-4444-555555555555";

/// A server that runs nothing but this script, whatever is asked for; `reboot` is what it does when asked to reboot.
fn rebooting(reboot: &str) -> Server {
    let dir = tempfile::tempdir().expect("dir").keep();
    let script = dir.join("answer");
    let text = format!(
        "#!/bin/sh\necho \"$SSH_ORIGINAL_COMMAND\" >> {}/asked\ncase \"$SSH_ORIGINAL_COMMAND\" in\n\
         'id -u') echo 1000 ;;\n'cat /proc/sys/kernel/random/boot_id') echo {BOOT} ;;\n\
         'sudo -n /usr/bin/systemctl reboot') {reboot} ;;\n*) exit 127 ;;\nesac\n",
        dir.display()
    );
    std::fs::write(&script, text).expect("write");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("mode");
    Server::start(&format!("ForceCommand {}", script.display()))
}

async fn ask(reboot: &str, boot_id: &str) -> (Result<RebootAnswer, Error>, Vec<String>) {
    let server = rebooting(reboot);
    let mut node = node();
    boot_id.clone_into(&mut node.boot_id);
    let answer = server.hosts().reboot(&node, &rows::permit(Kind::Reboot, &["cp-1"]), async { Ok(()) }).await;
    let config = std::fs::read_to_string(server.path("sshd_config")).expect("config");
    let script =
        config.lines().find_map(|line| line.strip_prefix("ForceCommand ")).expect("script").to_owned();
    let asked = std::fs::read_to_string(PathBuf::from(&script).with_file_name("asked")).unwrap_or_default();
    std::fs::remove_dir_all(PathBuf::from(script).parent().expect("dir")).expect("remove");
    let asked = asked.lines().filter(|line| line.contains("systemctl")).map(str::to_owned).collect();
    (answer, asked)
}

#[tokio::test]
async fn a_reboot_is_asked_for_once_and_answered_honestly() {
    let asked_once = vec!["sudo -n /usr/bin/systemctl reboot".to_owned()];
    let (answer, asked) = ask("exit 0", BOOT).await;
    assert_eq!(answer.expect("requested"), RebootAnswer::Requested { status: Some(0) });
    assert_eq!(asked, asked_once);

    let (answer, asked) = ask("kill -9 $PPID; sleep 5", "").await;
    assert_eq!(answer.expect("cut without a status"), RebootAnswer::Requested { status: None });
    assert_eq!(asked, asked_once);

    let (answer, asked) = ask("echo 'sudo: a password is required' >&2; exit 1", BOOT).await;
    let error = answer.expect_err("refused");
    assert_eq!((error.kind, error.code), (FailureKind::Refused, Some(1)));
    assert!(error.to_string().contains("sudo: a password is required"), "{error}");
    assert_eq!(asked, asked_once);

    let (answer, asked) = ask("exit 0", "99999999-2222-3333-4444-555555555555").await;
    assert_eq!(answer.expect_err("another host").kind, FailureKind::Identity);
    assert_eq!(asked, Vec::<String>::new(), "the wrong host was asked to reboot");

    let server = rebooting("exit 0");
    let denied =
        server.hosts().reboot(&node(), &rows::permit(Kind::Reboot, &["cp-2"]), async { Ok(()) }).await;
    assert_eq!(denied.expect_err("not covered").kind, FailureKind::Denied);
}

#[tokio::test]
async fn nobody_there_is_unreachable_and_silence_times_out() {
    let server = Server::start("");
    let nobody =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("port");
    let options = SshOptions { port: Some(nobody.port()), ..server.options() };
    let error = whoami(options).await.expect_err("nobody");
    assert_eq!(error.kind, FailureKind::Unreachable, "{error}");
    let mut homeless = node();
    homeless.address = None;
    let error = server.hosts().boot_id(&homeless).await.expect_err("no address");
    assert!(error.to_string().contains("ssh.addresses"), "{error}");
    // a peer that accepts and says nothing
    tokio::time::pause();
    let silent = Dialer::new(|_| {
        Box::pin(async {
            let (ours, theirs) = tokio::io::duplex(1024);
            tokio::spawn(async move {
                let _held = theirs;
                std::future::pending::<()>().await;
            });
            Ok(Box::new(ours) as Stream)
        })
    });
    let error = Hosts::new(server.options(), silent).boot_id(&node()).await.expect_err("silent");
    assert_eq!(error.kind, FailureKind::Timeout, "{error}");
}
