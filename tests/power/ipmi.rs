//! `ipmi_sim` of `OpenIPMI`: a BMC with one machine that is off.

use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The password of the user `ipmiusr`.
pub const PASSWORD: &str = "PLANTED-good";

/// A simulator, in a process that ends with its owner.
pub struct Simulator {
    pub dir: tempfile::TempDir,
    pub port: u16,
    process: Child,
}

/// Whether a program is there; said loudly when it is not.
#[expect(clippy::print_stderr, reason = "who runs the tests is to see what was not run")]
fn is_installed(program: &str) -> bool {
    let looked = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    let is_there = looked.is_ok_and(|output| output.status.success());
    if !is_there {
        eprintln!("passed over: {program} is not installed; tests/run installs it");
    }
    is_there
}

impl Simulator {
    /// `None` = it is not installed (`tests/run` installs it); said loudly.
    pub fn start() -> Option<Self> {
        for program in ["ipmi_sim", "ipmitool"] {
            if !is_installed(program) {
                return None;
            }
        }
        let dir = tempfile::tempdir().expect("dir");
        let port =
            UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("write");
        let power = dir.path().join("power");
        write("power", "0");
        let script = dir.path().join("chassis");
        // ipmi_sim asks: `get power`, `set power 1`
        let text = format!(
            "#!/bin/sh\nshift\nverb=$1; shift\nwhile [ $# -gt 0 ]; do\n  case \"$verb $1\" in\n    'get power') echo \"power:$(cat {0})\"; shift ;;\n    \
             'set power') echo \"$2\" > {0}; shift 2 ;;\n    'set '*) shift 2 ;;\n    *) echo \"$1:0\"; shift ;;\n  esac\ndone\n",
            power.display()
        );
        std::fs::write(&script, text).expect("write");
        make_executable(&script);
        write(
            "lan.conf",
            &format!(
                "name \"sim\"\nset_working_mc 0x20\nstartlan 1\n  addr 127.0.0.1 {port}\n  priv_limit admin\n  \
                 allowed_auths_callback none md2 md5 straight\n  allowed_auths_user none md2 md5 straight\n  \
                 allowed_auths_operator none md2 md5 straight\n  allowed_auths_admin none md2 md5 straight\n  \
                 guid a123456789abcdefa123456789abcdef\nendlan\nchassis_control \"{} 0x20\"\n\
                 user 1 true \"\" \"test\" user 10 none md2 md5 straight\n\
                 user 2 true \"ipmiusr\" \"{PASSWORD}\" admin 10 none md2 md5 straight\n",
                script.display()
            ),
        );
        write(
            "sim.emu",
            "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02\nsel_enable 0x20 1000 0x0a\nmc_enable 0x20\n",
        );
        let process = Command::new("ipmi_sim")
            .arg("-n")
            .arg("-c")
            .arg(dir.path().join("lan.conf"))
            .arg("-f")
            .arg(dir.path().join("sim.emu"))
            .arg("-s")
            .arg(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("ipmi_sim");
        let sim = Self { dir, port, process };
        sim.wait();
        Some(sim)
    }

    fn wait(&self) {
        for _ in 0..50 {
            let asked = Command::new("ipmitool")
                .args([
                    "-I",
                    "lanplus",
                    "-H",
                    "127.0.0.1",
                    "-p",
                    &self.port.to_string(),
                    "-U",
                    "ipmiusr",
                    "-E",
                ])
                .args(["-N", "1", "-R", "1", "chassis", "power", "status"])
                .env("IPMI_PASSWORD", PASSWORD)
                .output();
            if asked.is_ok_and(|output| output.status.success()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("ipmi_sim does not answer");
    }
}

fn make_executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("mode");
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
