//! A host as SSH shows it: who it is, how long it is up, and what would stand in the way of a reboot.

use super::ids::NodeName;
use super::time::Stamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Whether the login may ask the host to reboot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Privilege {
    /// The login is root: no sudo is needed.
    Root,
    /// `sudo -n` may run everything.
    Sudo,
    /// `sudo -n` may run exactly the reboot, and not everything.
    RebootOnly,
    /// Not allowed, or it cannot be told before trying; why, in words.
    Doubtful(String),
}

impl Privilege {
    /// Whether a reboot is known to be allowed.
    pub fn may_reboot(&self) -> bool {
        !matches!(self, Self::Doubtful(_))
    }

    /// Whether files of root may be read.
    pub fn may_read_as_root(&self) -> bool {
        matches!(self, Self::Root | Self::Sudo)
    }
}

/// Something on the host that matters to a reboot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFinding {
    /// Stable name of the check (`kexec`, `soft-reboot`, `scheduled-shutdown`, `inhibitor`, `package-manager`,
    /// `privilege`, `system`, `shutdown-job`, `boot-room`, `certificates`).
    pub check: String,
    /// Whether the reboot should not be asked for while this holds; the others are worth a look.
    pub blocks: bool,
    /// What was found, in words.
    pub text: String,
}

/// What a host told about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// When it was read.
    pub at: Stamp,
    /// `/proc/sys/kernel/random/boot_id`: another value is another boot.
    pub boot_id: String,
    /// `/etc/machine-id`; empty when it could not be read.
    pub machine_id: String,
    /// Time since the kernel started.
    pub uptime: Duration,
    /// Running kernel (`uname -r`).
    pub kernel: String,
    /// `PRETTY_NAME` of `/etc/os-release`.
    pub os: String,
}

impl HostFacts {
    /// When the kernel started, by the host's uptime.
    pub fn booted(&self) -> Stamp {
        Stamp(self.at.0.saturating_sub(i64::try_from(self.uptime.as_millis()).unwrap_or(i64::MAX)))
    }
}

/// Whether a host may be asked to reboot, and what stands in the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostReadiness {
    /// When it was read.
    pub at: Stamp,
    /// Whether the login may reboot.
    pub privilege: Privilege,
    /// What stands in the way of a reboot, or is worth a look.
    pub findings: Vec<HostFinding>,
}

impl HostReadiness {
    /// The findings that speak against asking for a reboot.
    pub fn blocking(&self) -> impl Iterator<Item = &HostFinding> {
        self.findings.iter().filter(|finding| finding.blocks)
    }
}

/// A host key that nobody has recorded yet. It is public: nothing here is a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnknownHost {
    /// The node behind it; `None` = a jump host.
    pub node: Option<NodeName>,
    /// Name under which it would be recorded: `host`, or `[host]:port` where the port is not 22.
    pub name: String,
    /// Type and key, as a file of known hosts has them.
    pub key: String,
    /// Type of the key (`ssh-ed25519`).
    pub algorithm: String,
    /// `SHA256:…`, as `ssh-keygen -l` prints it.
    pub fingerprint: String,
    /// The file that it would be added to.
    pub file: String,
}

/// Something that SSH needs from the engineer before it can go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostQuestion {
    /// No other key was accepted, and this one is encrypted: its path.
    Passphrase(String),
    /// The host shows a key that is not recorded anywhere.
    HostKey(UnknownHost),
}

impl HostQuestion {
    /// In one line, for the log and the header's help.
    pub fn words(&self) -> String {
        match self {
            Self::Passphrase(path) => format!("the key {path} needs its passphrase"),
            Self::HostKey(host) => {
                format!(
                    "the host {} shows a key that is not recorded: {} {}",
                    host.name, host.algorithm, host.fingerprint
                )
            }
        }
    }
}

/// Whether a host needs a reboot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// It does, and why.
    Needed(Vec<String>),
    /// No marker is there, and the newest kernel on the disk runs.
    NotNeeded,
    /// It cannot be told, and why.
    Unknown(String),
}

/// An answer to whether a host needs a reboot, and when it was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebootNeed {
    /// When it was read.
    pub at: Stamp,
    /// The answer.
    pub need: Need,
}
