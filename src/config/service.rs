//! `[cluster.X.reboot]` and `[cluster.X.bmc.NODE]`: who reboots a node, and how its power is reached.

use super::file::{ClusterConfig, Span};
use crate::backend::power::{Bmc, PasswordFrom, Protocol};
use crate::engine::service::{Executor, Patch, Service};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// Who reboots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// `systemctl reboot` over SSH.
    #[default]
    Ssh,
    /// A program on this machine.
    Command,
    /// The engineer.
    Manual,
}

/// `[cluster.X.reboot]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RebootConfig {
    /// Who reboots.
    pub executor: By,
    /// The program and its words, for `command`.
    pub command: Vec<String>,
    /// Its deadline.
    pub command_timeout: Span,
    /// What runs on the host before, over SSH; empty = nothing.
    pub patch: Vec<String>,
    /// Its deadline.
    pub patch_timeout: Span,
    /// How a machine is replaced, in words.
    pub replace: Option<String>,
}

impl Default for RebootConfig {
    fn default() -> Self {
        Self {
            executor: By::default(),
            command: Vec::new(),
            command_timeout: Span(Duration::from_mins(2)),
            patch: Vec::new(),
            patch_timeout: Span(Duration::from_mins(30)),
            replace: None,
        }
    }
}

/// Which protocol a controller speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BmcKind {
    /// IPMI, through `ipmitool`.
    Ipmi,
    /// Redfish.
    Redfish,
}

/// `[cluster.X.bmc.NODE]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BmcConfig {
    /// The protocol.
    pub kind: BmcKind,
    /// Host name or address.
    pub host: String,
    /// Port.
    #[serde(default)]
    pub port: Option<u16>,
    /// Login.
    pub user: String,
    /// File whose first line is the password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// Program whose first line of output is the password.
    #[serde(default)]
    pub password_command: Vec<String>,
    /// `lanplus` or `lan` (IPMI).
    #[serde(default)]
    pub interface: Option<String>,
    /// `ipmitool` (IPMI).
    #[serde(default)]
    pub ipmitool: Option<PathBuf>,
    /// Authority of the certificate (Redfish).
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// SHA-256 of the certificate (Redfish).
    #[serde(default)]
    pub fingerprint: Option<String>,
    /// Path of the system (Redfish).
    #[serde(default)]
    pub system: Option<String>,
    /// Log in with a session (Redfish).
    #[serde(default)]
    pub session: bool,
}

impl BmcConfig {
    /// Every path in it.
    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        self.password_file.iter_mut().chain(&mut self.ca)
    }

    fn bmc(&self) -> Bmc {
        let protocol = match self.kind {
            BmcKind::Ipmi => Protocol::Ipmi {
                program: self.ipmitool.clone().unwrap_or_else(|| PathBuf::from("ipmitool")),
                interface: self.interface.clone().unwrap_or_else(|| "lanplus".to_owned()),
            },
            BmcKind::Redfish => Protocol::Redfish {
                ca: self.ca.clone(),
                fingerprint: self.fingerprint.clone(),
                system: self.system.clone(),
                session: self.session,
            },
        };
        let password = match &self.password_file {
            Some(path) => PasswordFrom::File(path.clone()),
            None => PasswordFrom::Command(self.password_command.clone()),
        };
        Bmc { host: self.host.clone(), port: self.port, user: self.user.clone(), password, protocol }
    }
}

/// `[cluster.X.command.NAME]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandConfig {
    /// The program and its words, with `{node}` and `{address}` filled in.
    pub argv: Vec<String>,
    /// Its deadline.
    #[serde(default = "half_an_hour")]
    pub timeout: Span,
}

fn half_an_hour() -> Span {
    Span(Duration::from_mins(30))
}

impl ClusterConfig {
    /// For the engine.
    pub fn service(&self) -> Service {
        let reboot = &self.reboot;
        let executor = match reboot.executor {
            By::Ssh => Executor::Ssh,
            By::Command => Executor::Command(reboot.command.clone()),
            By::Manual => Executor::Manual,
        };
        let patch = (!reboot.patch.is_empty())
            .then(|| Patch { argv: reboot.patch.clone(), limit: reboot.patch_timeout.0 });
        Service {
            executor,
            command_limit: reboot.command_timeout.0,
            patch,
            commands: self
                .command
                .iter()
                .map(|(name, command)| {
                    (name.clone(), Patch { argv: command.argv.clone(), limit: command.timeout.0 })
                })
                .collect(),
            bmc: self.bmc.iter().map(|(node, bmc)| (node.clone(), bmc.bmc())).collect(),
            replace: reboot.replace.clone(),
        }
    }
}
