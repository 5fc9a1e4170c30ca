//! The hosts of the simulated cluster: an SSH server per machine, with the commands that node maintenance needs.

mod archive;
mod commands;
mod etcd_health;
mod files;
mod filter;
mod server;
mod shell;
mod sudo;
mod systemd;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::etcd::Ensemble;
use super::machine::Machine;
use super::pace::Pace;
use super::trouble::SharedFaults;
use super::wire::Dial;
use super::{Credentials, Error};
pub use files::Files;

/// How long a machine had been up when the simulation began.
const UP_BEFORE: Duration = Duration::from_hours(41 * 24 + 7);
/// From the begin of a shutdown until sessions are cut, at speed 1.
const SESSION_END: Duration = Duration::from_secs(1);

/// What the operator may do by `sudo -n`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sudo {
    /// `NOPASSWD: ALL`.
    #[default]
    All,
    /// `NOPASSWD: /usr/bin/systemctl reboot` and nothing else.
    RebootOnly,
    /// Everything, but only with a password.
    Password,
    /// Nothing.
    None,
}

/// What differs on a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HostFaults {
    /// What sudo allows.
    pub sudo: Sudo,
    /// A block lock refuses the reboot.
    pub reboot_inhibited: bool,
    /// The connection breaks before the reboot command's status arrives.
    pub reboot_cuts: bool,
    /// `systemctl reboot` gives up waiting and says no, but the job is queued: the host reboots.
    pub reboot_denied_in_vain: bool,
    /// Logins are refused, not connections, while the host goes down (`pam_nologin`).
    pub no_logins_while_stopping: bool,
    /// `sshd` forwards no connections.
    pub forwarding_prohibited: bool,
    /// A kernel is loaded: a reboot would be a kexec.
    pub kexec_loaded: bool,
    /// `/run/nextroot` exists: a reboot would be a soft reboot.
    pub nextroot: bool,
    /// `/run/reboot-required` exists.
    pub reboot_required: bool,
    /// Unattended upgrades are at work.
    pub upgrading: bool,
    /// `/boot` has no room left.
    pub boot_full: bool,
    /// Connections are accepted and nothing is ever said.
    pub hang: bool,
    /// The kernel release that runs, when it is not the one from the start.
    pub kernel: Option<String>,
}

/// Names and versions of a host's software.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Kernel release.
    pub kernel: String,
    /// Name of the operating system, as in `PRETTY_NAME`.
    pub os: String,
}

/// One host; clones are the same host.
#[derive(Clone)]
pub struct Host {
    inner: Arc<Inner>,
}

struct Inner {
    machine: Machine,
    pace: Pace,
    facts: Facts,
    faults: SharedFaults,
    files: Files,
    etcd: Option<Ensemble>,
    ports: BTreeMap<u16, Dial>,
    ssh: Arc<russh::server::Config>,
    operator: russh::keys::PublicKey,
    started: Instant,
    stop: CancellationToken,
}

/// What a host is made of.
pub struct HostParts {
    /// The computer.
    pub machine: Machine,
    /// Names and versions.
    pub facts: Facts,
    /// What differs.
    pub faults: SharedFaults,
    /// Its files.
    pub files: Files,
    /// The etcd whose member runs here.
    pub etcd: Option<Ensemble>,
    /// Services on its loopback interface, by port.
    pub ports: BTreeMap<u16, Dial>,
}

impl Host {
    /// A host that lets in the operator of `credentials`; its connections end when `stop` is cancelled.
    pub fn new(
        parts: HostParts,
        credentials: &Credentials,
        pace: Pace,
        stop: CancellationToken,
    ) -> Result<Self, Error> {
        let ssh = server::config(credentials.host_key(parts.machine.name())?);
        let inner = Inner {
            machine: parts.machine,
            pace,
            facts: parts.facts,
            faults: parts.faults,
            files: parts.files,
            etcd: parts.etcd,
            ports: parts.ports,
            ssh: Arc::new(ssh),
            operator: credentials.operator_key()?.public_key().clone(),
            started: Instant::now(),
            stop,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The computer.
    pub fn machine(&self) -> &Machine {
        &self.inner.machine
    }

    /// What differs now.
    pub fn faults(&self) -> HostFaults {
        self.inner.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes what differs.
    pub fn change_faults(&self, change: impl FnOnce(&mut HostFaults)) {
        change(&mut self.inner.faults.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Release of the kernel that runs.
    fn kernel(&self) -> String {
        self.faults().kernel.unwrap_or_else(|| self.inner.facts.kernel.clone())
    }

    /// How long the kernel has been running.
    fn uptime(&self) -> Duration {
        let power = self.inner.machine.power().borrow().clone();
        let since = power.since.max(self.inner.started);
        let before = if power.boots == 1 { UP_BEFORE } else { Duration::ZERO };
        before + since.elapsed()
    }
}
