//! A simulated machine behind a real SSH server: sshd lives and dies with the machine's power, and what is asked over SSH is
//! answered by real programs. Only boot id, machine id, sudoers and `systemctl` are the test's own, mounted over the machine's
//! in a namespace of each command; without the right to mount they are put into the command's words instead.

use super::server::Server;
use super::sudo::can_mount;
use pitstop::backend::dial::Dialer;
use pitstop::backend::host::{Hosts, SshOptions};
use pitstop::sim::machine::Machine;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::task::JoinHandle;

/// What `systemctl reboot` does before the machine goes.
#[derive(Clone, Copy)]
pub enum Answer {
    /// It ends with status 0 at once.
    Accepts,
    /// It is still there when sshd is stopped: no status comes.
    IsCut,
}

/// The machine's host as SSH shows it.
pub struct Host {
    pub hosts: Hosts,
    root: PathBuf,
    following: JoinHandle<()>,
}

impl Drop for Host {
    fn drop(&mut self) {
        self.following.abort();
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

impl Host {
    pub fn start(machine: &Machine, answer: Answer) -> Self {
        let root = tempfile::tempdir().expect("dir").keep();
        // what the login's own shell would run at its start is no part of this, and must not be killed half-way
        let more = format!("ForceCommand {}\nSetEnv HOME={}", root.join("answer").display(), root.display());
        let server = Server::start(&more);
        lay_out(&root, machine, answer);
        let address = format!("127.0.0.1:{}", server.port);
        let options = SshOptions { addresses: [(machine.name().into(), address)].into(), ..server.options() };
        let following = tokio::spawn(follow(server, machine.clone(), root.clone()));
        Self { hosts: Hosts::new(options, Dialer::tcp()), root, following }
    }

    /// Everything that asked for a reboot, word for word.
    pub fn reboots_asked(&self) -> Vec<String> {
        let asked = std::fs::read_to_string(self.root.join("asked")).unwrap_or_default();
        asked.lines().filter(|line| line.ends_with("systemctl reboot")).map(str::to_owned).collect()
    }
}

/// The files of the machine, and the scripts that answer.
fn lay_out(root: &Path, machine: &Machine, answer: Answer) {
    let write = |name: &str, text: &str, mode: u32| {
        let path = root.join(name);
        std::fs::write(&path, text).expect("write");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("mode");
    };
    let here = root.display();
    std::fs::set_permissions(root, std::fs::Permissions::from_mode(0o755)).expect("mode");
    write("boot_id", &machine.boot_id(), 0o644);
    write("machine-id", &machine.machine_id(), 0o644);
    write("sudoers", "nobody ALL=(root) NOPASSWD: /usr/bin/systemctl reboot\n", 0o440);
    let goes = match answer {
        Answer::Accepts => "exit 0",
        Answer::IsCut => "sleep 60",
    };
    let systemctl = format!(
        "#!/bin/sh\ncase \"$*\" in\nreboot) echo once >> {here}/reboots; {goes} ;;\nis-system-running) echo running ;;\n\
         is-active*) echo inactive; exit 3 ;;\nesac\n"
    );
    write("systemctl", &systemctl, 0o755);
    let inside = format!(
        "#!/bin/sh\nfor pair in boot_id:/proc/sys/kernel/random/boot_id machine-id:/etc/machine-id sudoers:/etc/sudoers \
         systemctl:/usr/bin/systemctl; do\n  mount --bind \"{here}/${{pair%%:*}}\" \"${{pair#*:}}\" || exit 97\ndone\n\
         exec setpriv --reuid nobody --regid nogroup --clear-groups sh -c \"$SSH_ORIGINAL_COMMAND\"\n"
    );
    write("inside", &inside, 0o755);
    let way = if can_mount() && Path::new("/usr/bin/systemctl").exists() {
        format!("exec unshare -mpf --mount-proc -- {here}/inside")
    } else {
        format!(
            "exec sh -c \"$(printf '%s' \"$SSH_ORIGINAL_COMMAND\" | sed -e 's#^sudo -n ##' -e 's#^/usr/bin/systemctl#systemctl#' \
             -e 's#^systemctl#{here}/systemctl#' -e 's#/proc/sys/kernel/random/boot_id#{here}/boot_id#' \
             -e 's#/etc/machine-id#{here}/machine-id#')\""
        )
    };
    write(
        "answer",
        &format!("#!/bin/sh\nprintf '%s\\n' \"$SSH_ORIGINAL_COMMAND\" >> {here}/asked\n{way}\n"),
        0o755,
    );
}

/// Lets the machine reboot when its `systemctl` was told to, and sshd be there when the machine is on.
async fn follow(mut server: Server, machine: Machine, root: PathBuf) {
    let mut power = machine.power();
    let (mut begun, mut was_on) = (0, true);
    loop {
        let asked = std::fs::read_to_string(root.join("reboots")).unwrap_or_default().lines().count();
        if asked > begun {
            begun = asked;
            machine.reboot();
        }
        let now = power.borrow_and_update().clone();
        match (std::mem::replace(&mut was_on, now.on), now.on) {
            (true, false) => server.stop(),
            (false, true) => {
                std::fs::write(root.join("boot_id"), &now.boot_id).expect("boot id");
                server.start_again();
            }
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
