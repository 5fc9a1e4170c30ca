//! How etcd is reached: which ways there are, in which order they are tried, and with which certificates.

use crate::backend::error::Error;
use crate::domain::ids::NodeName;
use crate::domain::report::FailureKind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The way to the members.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// The command when one is configured; straight when endpoints and certificates are. Else, for each member, what works
    /// first of: SSH (works while the API is away), a port-forward (needs no host), straight to the node's address.
    #[default]
    Auto,
    /// TLS straight to the members.
    Direct,
    /// TLS through a tunnel to each control-plane host's own loopback.
    Ssh,
    /// TLS through the API server's port-forward to each member's pod.
    PortForward,
    /// TLS over the input and output of a program on this machine.
    Command,
    /// Not at all.
    None,
}

/// What the configuration says of etcd.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EtcdOptions {
    /// The way.
    pub access: Access,
    /// PEM file of the authority that signed the members' certificates.
    pub ca: Option<PathBuf>,
    /// PEM file of our client certificate.
    pub cert: Option<PathBuf>,
    /// PEM file of its key.
    pub key: Option<PathBuf>,
    /// The name that the members' certificates must bear, when it is not the address that is dialled.
    pub server_name: Option<String>,
    /// Address (`host:port`, or `http://host:port` without TLS) by node; the default is the node's `InternalIP` and port 2379,
    /// or 127.0.0.1:2379 on the node itself through SSH.
    pub endpoints: BTreeMap<NodeName, String>,
    /// The program of [`Access::Command`] and its arguments; `{node}`, `{address}` and `{port}` are filled in.
    pub command: Vec<String>,
}

/// The three certificate files, when all are configured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Files<'a> {
    pub(super) ca: &'a Path,
    pub(super) cert: &'a Path,
    pub(super) key: &'a Path,
}

/// What there is to go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Means {
    /// Hosts over SSH.
    pub(super) hosts: bool,
    /// An API server that forwards ports.
    pub(super) pods: bool,
}

/// One way to a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Route {
    Command,
    Direct,
    Ssh,
    PortForward,
}

impl Route {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Direct => "direct",
            Self::Ssh => "ssh",
            Self::PortForward => "port-forward",
        }
    }
}

impl EtcdOptions {
    pub(super) fn files(&self) -> Option<Files<'_>> {
        Some(Files { ca: self.ca.as_deref()?, cert: self.cert.as_deref()?, key: self.key.as_deref()? })
    }

    fn is_plain(&self) -> bool {
        !self.endpoints.is_empty() && self.endpoints.values().all(|address| address.starts_with("http://"))
    }

    /// The ways, in the order in which they are tried; or why there is none.
    pub(super) fn routes(&self, means: Means) -> Result<Vec<Route>, Error> {
        let none =
            |why: &str, hint: &str| Err(Error::new(FailureKind::Local, "reach etcd", "", why).hint(hint));
        let may_go_straight = self.files().is_some() || self.is_plain();
        match self.access {
            Access::None => none("etcd access is switched off", "set etcd.access in the configuration"),
            Access::Direct if !may_go_straight => none(
                "direct access needs a CA, a client certificate and its key",
                "set etcd.ca, etcd.cert and etcd.key in the configuration",
            ),
            Access::Direct => Ok(vec![Route::Direct]),
            Access::Ssh if means.hosts => Ok(vec![Route::Ssh]),
            Access::Ssh => none("SSH is not configured", "set ssh in the configuration"),
            Access::PortForward if means.pods => Ok(vec![Route::PortForward]),
            Access::PortForward => none("there is no API server to go through", "choose another etcd.access"),
            Access::Command if self.command.is_empty() => {
                none("no command is configured", "set etcd.command in the configuration")
            }
            Access::Command => Ok(vec![Route::Command]),
            Access::Auto if !self.command.is_empty() => Ok(vec![Route::Command]),
            Access::Auto if may_go_straight && !self.endpoints.is_empty() => Ok(vec![Route::Direct]),
            Access::Auto => {
                let all = [
                    (Route::Ssh, means.hosts),
                    (Route::PortForward, means.pods),
                    (Route::Direct, self.files().is_some()),
                ];
                let there: Vec<Route> =
                    all.into_iter().filter(|(_, is_there)| *is_there).map(|(route, _)| route).collect();
                if there.is_empty() {
                    return none(
                        "neither etcd certificates nor SSH are configured",
                        "set etcd.ca, etcd.cert and etcd.key, or ssh, in the configuration",
                    );
                }
                Ok(there)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(access: Access, files: bool, endpoints: bool) -> EtcdOptions {
        let file = |name: &str| files.then(|| PathBuf::from(name));
        let endpoints = endpoints.then(|| (NodeName::from("cp-1"), "10.0.0.1:2379".to_owned()));
        EtcdOptions {
            access,
            ca: file("ca"),
            cert: file("cert"),
            key: file("key"),
            endpoints: endpoints.into_iter().collect(),
            ..EtcdOptions::default()
        }
    }

    #[test]
    fn auto_tries_what_there_is_in_its_order() {
        use Route::{Command, Direct, PortForward, Ssh};
        let routes = |files, endpoints, hosts, pods| {
            options(Access::Auto, files, endpoints).routes(Means { hosts, pods }).unwrap_or_default()
        };
        assert_eq!(routes(true, true, true, true), [Direct], "the endpoints say it");
        assert_eq!(routes(true, false, true, true), [Ssh, PortForward, Direct]);
        assert_eq!(routes(false, false, true, true), [Ssh, PortForward]);
        assert_eq!(routes(true, false, false, false), [Direct]);
        assert_eq!(routes(false, true, true, false), [Ssh]);
        assert_eq!(routes(false, false, false, false), []);
        let with_command = EtcdOptions { command: vec!["nc".into()], ..options(Access::Auto, true, true) };
        assert_eq!(with_command.routes(Means { hosts: true, pods: true }).unwrap(), [Command]);
    }

    #[test]
    fn no_way_is_explained() {
        let why = |access, hosts| {
            let means = Means { hosts, pods: false };
            options(access, false, false).routes(means).expect_err("no way").to_string()
        };
        assert!(why(Access::Direct, true).contains("client certificate"), "{}", why(Access::Direct, true));
        assert!(why(Access::Ssh, false).contains("SSH is not configured"));
        assert!(why(Access::PortForward, true).contains("no API server"));
        assert!(why(Access::Command, true).contains("no command is configured"));
        assert!(why(Access::None, true).contains("switched off"));
    }
}
