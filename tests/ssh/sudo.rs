//! What sudo allows, told by a real sudo: each case has sudoers of its own, mounted over the machine's in a namespace of its
//! own, so that nothing of the machine changes. Needs root for that; as another user the cases are passed over, loudly.

use super::node;
use super::server::{Server, run};
use pitstop::domain::host::Privilege;

const REBOOT: &str = "/usr/bin/systemctl reboot";

/// Runs what is asked for as `nobody`, under sudoers of its own.
fn server(sudoers: &str) -> Server {
    let dir = tempfile::tempdir().expect("dir").keep();
    let (rules, script) = (dir.join("sudoers"), dir.join("as-nobody"));
    std::fs::write(&rules, format!("{sudoers}\n")).expect("write");
    // sudo reads rules of root only
    must_succeed("chown", &["0:0", &rules.display().to_string()]);
    must_succeed("chmod", &["440", &rules.display().to_string()]);
    let text = format!(
        "#!/bin/sh\nexec unshare -m -- sh -c 'mount --bind {} /etc/sudoers && exec setpriv --reuid nobody --regid nogroup \
         --clear-groups sh -c \"$SSH_ORIGINAL_COMMAND\"'\n",
        rules.display()
    );
    std::fs::write(&script, text).expect("write");
    must_succeed("chmod", &["-R", "go+rX", &dir.display().to_string()]);
    must_succeed("chmod", &["755", &script.display().to_string()]);
    must_succeed("chmod", &["440", &rules.display().to_string()]);
    Server::start(&format!("ForceCommand {}", script.display()))
}

fn must_succeed(program: &str, arguments: &[&str]) {
    let output = run(program, arguments);
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
}

async fn privilege(sudoers: &str) -> Privilege {
    let server = server(sudoers);
    server.hosts().readiness(&node()).await.expect("readiness").privilege
}

/// Whether files can be mounted over others in a namespace of their own.
pub fn can_mount() -> bool {
    std::process::Command::new("unshare")
        .args(["-m", "mount", "--bind", "/etc/hostname", "/etc/hosts"])
        .output()
        .is_ok_and(|output| output.status.success())
}

#[tokio::test]
async fn each_kind_of_rule_is_told_as_it_is() {
    if !can_mount() {
        eprintln!("passed over: the cases of sudo need root and a mount namespace");
        return;
    }
    assert_eq!(privilege("nobody ALL=(ALL:ALL) NOPASSWD: ALL").await, Privilege::Sudo);
    assert_eq!(privilege(&format!("nobody ALL=(root) NOPASSWD: {REBOOT}")).await, Privilege::RebootOnly);
    // a pseudo-terminal for the command, and none for us, changes nothing
    let with_pty = format!("Defaults use_pty\nnobody ALL=(root) NOPASSWD: {REBOOT}");
    assert_eq!(privilege(&with_pty).await, Privilege::RebootOnly);
    for (rules, words) in [
        ("nobody ALL=(ALL:ALL) ALL".to_owned(), "password is required"),
        (
            "nobody ALL=(ALL:ALL) ALL\nnobody ALL=(root) NOPASSWD: /usr/bin/id".to_owned(),
            "no sudo rule without a password",
        ),
        (format!("nobody ALL=(root) NOPASSWD: {REBOOT} --force"), "no sudo rule without a password"),
        (format!("nobody ALL=(daemon) NOPASSWD: {REBOOT}"), "no sudo rule without a password"),
        (String::from("root ALL=(ALL:ALL) ALL"), "password is required"),
        (format!("Defaults requiretty\nnobody ALL=(root) NOPASSWD: {REBOOT}"), "requiretty"),
    ] {
        match privilege(&rules).await {
            Privilege::Doubtful(why) => assert!(why.contains(words), "{rules}: {why}"),
            other => panic!("{rules}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_host_without_sudo_says_so() {
    let server = Server::start(
        "ForceCommand case \"$SSH_ORIGINAL_COMMAND\" in 'id -u') echo 1000;; sudo*) exit 127;; *) exit 1;; esac",
    );
    let found = server.hosts().readiness(&node()).await.expect("readiness");
    assert_eq!(found.privilege, Privilege::Doubtful("sudo is not there".to_owned()));
}
