//! How etcd is reached: straight, through SSH, or not at all; and with which certificates.

use crate::backend::error::Error;
use crate::domain::ids::NodeName;
use crate::domain::report::FailureKind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The way to the members.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Straight when certificates are configured, else through SSH when hosts are reachable that way.
    #[default]
    Auto,
    /// TLS straight to the members.
    Direct,
    /// TLS through a tunnel to each control-plane host's own loopback.
    Ssh,
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
}

/// The three certificate files, when all are configured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Files<'a> {
    pub(super) ca: &'a Path,
    pub(super) cert: &'a Path,
    pub(super) key: &'a Path,
}

/// The way that was decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Direct,
    Ssh,
}

impl Route {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Ssh => "ssh",
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

    /// Decides the way, or says why there is none.
    pub(super) fn route(&self, has_hosts: bool) -> Result<Route, Error> {
        let none =
            |why: &str, hint: &str| Err(Error::new(FailureKind::Local, "reach etcd", "", why).hint(hint));
        let may_go_straight = self.files().is_some() || self.is_plain();
        match self.access {
            Access::None => none("etcd access is switched off", "set etcd.access in the configuration"),
            Access::Direct if !may_go_straight => none(
                "direct access needs a CA, a client certificate and its key",
                "set etcd.ca, etcd.cert and etcd.key in the configuration",
            ),
            Access::Direct => Ok(Route::Direct),
            Access::Ssh if has_hosts => Ok(Route::Ssh),
            Access::Ssh => none("SSH is not configured", "set ssh in the configuration"),
            Access::Auto if may_go_straight && (!self.endpoints.is_empty() || !has_hosts) => {
                Ok(Route::Direct)
            }
            Access::Auto if has_hosts => Ok(Route::Ssh),
            Access::Auto => none(
                "neither etcd certificates nor SSH are configured",
                "set etcd.ca, etcd.cert and etcd.key, or ssh, in the configuration",
            ),
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
            server_name: None,
            endpoints: endpoints.into_iter().collect(),
        }
    }

    #[test]
    fn auto_prefers_what_is_configured() {
        let route = |files, endpoints, hosts| options(Access::Auto, files, endpoints).route(hosts).ok();
        assert_eq!(route(true, true, true), Some(Route::Direct));
        assert_eq!(route(true, false, true), Some(Route::Ssh));
        assert_eq!(route(true, false, false), Some(Route::Direct));
        assert_eq!(route(false, true, true), Some(Route::Ssh));
        assert_eq!(route(false, false, false), None);
    }

    #[test]
    fn no_way_is_explained() {
        let why = |access, hosts| options(access, false, false).route(hosts).expect_err("no way").to_string();
        assert!(why(Access::Direct, true).contains("client certificate"), "{}", why(Access::Direct, true));
        assert!(why(Access::Ssh, false).contains("SSH is not configured"));
        assert!(why(Access::None, true).contains("switched off"));
    }
}
