//! The way to a host: the operator's own SSH configuration, jump hosts, and names that are none.

use super::server::{Server, generate, must, public};
use super::{node, whoami};
use pitstop::backend::dial::Dialer;
use pitstop::backend::host::{Hosts, OpenSsh, SshOptions};
use pitstop::domain::host::HostQuestion;
use pitstop::domain::report::FailureKind;
use std::path::PathBuf;

fn openssh(config: PathBuf) -> OpenSsh {
    OpenSsh { program: "ssh".into(), config: Some(config) }
}

#[tokio::test]
async fn the_operators_ssh_config_counts_and_ours_wins_over_it() {
    let server = Server::start("");
    let config = server.path("ssh_config");
    let text = format!(
        "Host 127.0.0.1\n  User {}\n  Port {}\n  IdentityFile {}\n  UserKnownHostsFile {}\n  GlobalKnownHostsFile none\n\
         Match host cp-9 exec \"false\"\n  User nobody-at-all\n",
        server.user,
        server.port,
        server.path("good").display(),
        server.path("known_hosts").display()
    );
    std::fs::write(&config, text).expect("write");
    let options =
        SshOptions { agent: false, openssh: Some(openssh(config.clone())), ..SshOptions::default() };
    assert_eq!(whoami(options.clone()).await.expect("all of it from ssh -G"), server.user);

    let wrong = generate(server.dir.path(), "wrong", "ed25519", "");
    let error =
        whoami(SshOptions { identity_files: vec![wrong], ..options.clone() }).await.expect_err("ours wins");
    assert!(error.to_string().contains("wrong: refused"), "{error}");

    std::fs::write(&config, "Host *\n  ProxyCommand nc %h %p\n").expect("write");
    let error = whoami(options.clone()).await.expect_err("not run");
    assert!(error.to_string().contains("ProxyCommand (nc "), "{error}");
    std::fs::write(&config, "Hots *\n").expect("write");
    let error = whoami(options.clone()).await.expect_err("broken");
    assert!(error.to_string().contains("ad configuration option"), "{error}");
    // without the program our own settings decide
    let gone = OpenSsh { program: server.path("no-ssh"), config: None };
    assert_eq!(
        whoami(SshOptions { openssh: Some(gone), ..server.options() }).await.expect("ours"),
        server.user
    );
}

/// To a server through another one.
fn through(jump: &Server, inner: &Server) -> SshOptions {
    SshOptions {
        port: Some(inner.port),
        jump: Some(vec![format!("{}@127.0.0.1:{}", jump.user, jump.port)]),
        record: Some(jump.path("record")),
        ..jump.options()
    }
}

#[tokio::test]
async fn a_jump_host_whose_key_has_changed_is_refused_and_nothing_reaches_the_node() {
    let (jump, inner) = (Server::start(""), Server::start(""));
    let (theirs, recorded) = (public(&inner.path("host_ed25519")), public(&jump.path("good")));
    jump.know(&format!("[127.0.0.1]:{} {recorded}\n[127.0.0.1]:{} {theirs}\n", jump.port, inner.port));
    let hosts = Hosts::new(through(&jump, &inner), Dialer::tcp());
    let error = hosts.run(&node(), &["true"]).await.expect_err("the jump host's key has changed");
    assert_eq!(error.kind, FailureKind::Identity);
    let words = error.to_string();
    assert!(
        words.contains("jump host 127.0.0.1") && words.contains("another key than the one in"),
        "{words}"
    );
    assert_eq!(*hosts.questions().borrow(), Vec::<HostQuestion>::new());
    let log = std::fs::read_to_string(inner.path("sshd.log")).expect("log");
    assert!(!log.contains("Accepted"), "{log}");
}

#[tokio::test]
async fn a_jump_host_carries_the_connection_and_its_key_is_checked_too() {
    let (jump, inner) = (Server::start(""), Server::start(""));
    inner.authorize(&jump.path("good"));
    let known = |with_jump: bool, with_inner: bool| {
        let mut text = String::new();
        for (server, is_in) in [(&jump, with_jump), (&inner, with_inner)] {
            if is_in {
                text += &format!("[127.0.0.1]:{} {}\n", server.port, public(&server.path("host_ed25519")));
            }
        }
        jump.know(&text);
    };
    let options = through(&jump, &inner);
    known(true, true);
    let hosts = Hosts::new(options.clone(), Dialer::tcp());
    let output =
        hosts.run(&node(), &["sh", "-c", "echo $SSH_CONNECTION"]).await.expect("through the jump host");
    assert!(output.stdout.trim().ends_with(&format!(" 127.0.0.1 {}", inner.port)), "{output:?}");
    let log = std::fs::read_to_string(jump.path("sshd.log")).expect("log");
    assert!(log.contains("Accepted publickey"), "{log}");

    // both keys have to be known, and each is asked about by its own name
    known(false, true);
    let hosts = Hosts::new(options.clone(), Dialer::tcp());
    let error = hosts.run(&node(), &["true"]).await.expect_err("the jump host is not known");
    assert_eq!(error.kind, FailureKind::Identity);
    assert!(error.to_string().contains("jump host 127.0.0.1"), "{error}");
    let questions = hosts.questions().borrow().clone();
    assert!(matches!(&questions[..], [HostQuestion::HostKey(host)] if host.node.is_none()), "{questions:?}");
    known(true, false);
    let hosts = Hosts::new(options.clone(), Dialer::tcp());
    let error = hosts.run(&node(), &["true"]).await.expect_err("the node is not known");
    assert!(error.to_string().contains("cp-1 (127.0.0.1"), "{error}");

    // the same by ProxyJump
    known(true, true);
    let config = jump.path("ssh_config");
    let text = format!(
        "Host 127.0.0.1\n  ProxyJump {}@localhost:{}\nHost localhost\n  HostName 127.0.0.1\n",
        jump.user, jump.port
    );
    std::fs::write(&config, text).expect("write");
    let by_config = SshOptions { jump: None, openssh: Some(openssh(config)), ..options.clone() };
    assert_eq!(whoami(by_config).await.expect("ProxyJump"), inner.user);

    drop(jump);
    let error = Hosts::new(options, Dialer::tcp()).run(&node(), &["true"]).await.expect_err("no jump host");
    assert_eq!(error.kind, FailureKind::Unreachable, "{error}");
}

#[tokio::test]
async fn hostile_names_from_the_cluster_reach_no_shell_and_no_option() {
    let server = Server::start("");
    let mark = server.path("mark");
    let config = server.path("ssh_config");
    std::fs::write(&config, format!("Match exec \"touch {}-%h\"\n  User x\n", mark.display()))
        .expect("write");
    for address in [
        format!("-oProxyCommand=touch {}", mark.display()),
        format!("$(touch {})", mark.display()),
        format!("127.0.0.1;touch {}", mark.display()),
        format!("`touch {}`", mark.display()),
        "a\nProxyCommand x".to_owned(),
        "-G".to_owned(),
    ] {
        let mut hostile = node();
        hostile.address = Some(address.clone());
        let options = SshOptions { openssh: Some(openssh(config.clone())), ..server.options() };
        let hosts = Hosts::new(options, Dialer::tcp());
        let error = hosts.run(&hostile, &["true"]).await.expect_err(&address);
        assert_eq!(error.kind, FailureKind::Denied, "{error}");
    }
    let left = std::fs::read_dir(server.dir.path()).expect("dir").flatten();
    let marks: Vec<_> =
        left.filter(|entry| entry.file_name().to_string_lossy().starts_with("mark")).collect();
    assert!(marks.is_empty(), "{marks:?}");
    // a hostile name of a node is only ever shown
    let mut odd = node();
    odd.name = "$(touch x); -oProxyCommand=y".into();
    let output =
        server.hosts().run(&odd, &["echo", "hello"]).await.expect("the name is no part of a command");
    assert_eq!(output.stdout, "hello\n");
    must(
        "ssh-keygen",
        &[
            "-F",
            &format!("[127.0.0.1]:{}", server.port),
            "-f",
            &server.path("known_hosts").display().to_string(),
        ],
    );
}
