//! `[cluster.X.ssh]`: how hosts are reached.

use crate::backend::host::{OpenSsh, SshOptions};
use crate::domain::ids::NodeName;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// `[cluster.X.ssh]`. What it leaves out, the operator's own SSH configuration decides.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SshConfig {
    /// Whether hosts are reached over SSH at all.
    pub enabled: bool,
    /// Login.
    pub user: Option<String>,
    /// Port.
    pub port: Option<u16>,
    /// Private keys.
    pub identity_files: Vec<PathBuf>,
    /// User certificates, beside `KEY-cert.pub`.
    pub certificates: Vec<PathBuf>,
    /// Known host keys.
    pub known_hosts: Vec<PathBuf>,
    /// Where a host key is recorded that was answered for; default: `known_hosts` in the state directory.
    pub record: Option<PathBuf>,
    /// Offer the agent's keys.
    pub agent: bool,
    /// Jump hosts, the outermost first.
    pub jump: Option<Vec<String>>,
    /// Ask `ssh -G` for the operator's own configuration.
    pub use_ssh_config: bool,
    /// Another file than the usual ones for it.
    pub ssh_config: Option<PathBuf>,
    /// Ask hosts by themselves whether they need a reboot.
    pub ask_reboot_needed: bool,
    /// Address by node.
    pub addresses: BTreeMap<NodeName, String>,
}

impl Default for SshConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            user: None,
            port: None,
            identity_files: Vec::new(),
            certificates: Vec::new(),
            known_hosts: Vec::new(),
            record: None,
            agent: true,
            jump: None,
            use_ssh_config: true,
            ssh_config: None,
            ask_reboot_needed: false,
            addresses: BTreeMap::new(),
        }
    }
}

impl SshConfig {
    /// Every path in it.
    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let lists = [&mut self.identity_files, &mut self.certificates, &mut self.known_hosts];
        lists.into_iter().flatten().chain(&mut self.record).chain(&mut self.ssh_config)
    }

    /// For the back end; `None` = hosts are not to be reached.
    pub fn options(&self, state_dir: &Path) -> Option<SshOptions> {
        let openssh = || OpenSsh { program: PathBuf::from("ssh"), config: self.ssh_config.clone() };
        self.enabled.then(|| SshOptions {
            user: self.user.clone(),
            port: self.port,
            identity_files: self.identity_files.clone(),
            certificates: self.certificates.clone(),
            known_hosts: self.known_hosts.clone(),
            record: Some(self.record.clone().unwrap_or_else(|| state_dir.join("known_hosts"))),
            agent: self.agent,
            agent_socket: None,
            jump: self.jump.clone(),
            openssh: self.use_ssh_config.then(openssh),
            asks_reboot_need: self.ask_reboot_needed,
            addresses: self.addresses.clone(),
        })
    }
}
