//! Certificates for etcd: from files, or read from a control-plane host and kept in memory only.

use super::options::Files;
use crate::backend::error::Error;
use crate::backend::host::Hosts;
use crate::domain::etcd::place::Place;
use crate::domain::node::NodeRow;
use crate::domain::report::FailureKind;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Where a control-plane host keeps a client certificate for its etcd: authority, certificate, key. Tried in turn when
/// it is not known which of them it is; `{node}` stands for the node's name.
const ON_HOSTS: [[&str; 3]; 8] = [
    // kubeadm
    [
        "/etc/kubernetes/pki/etcd/ca.crt",
        "/etc/kubernetes/pki/etcd/healthcheck-client.crt",
        "/etc/kubernetes/pki/etcd/healthcheck-client.key",
    ],
    // kubeadm with an external etcd, or without the health check's certificate
    [
        "/etc/kubernetes/pki/etcd/ca.crt",
        "/etc/kubernetes/pki/apiserver-etcd-client.crt",
        "/etc/kubernetes/pki/apiserver-etcd-client.key",
    ],
    // RKE2
    [
        "/var/lib/rancher/rke2/server/tls/etcd/server-ca.crt",
        "/var/lib/rancher/rke2/server/tls/etcd/client.crt",
        "/var/lib/rancher/rke2/server/tls/etcd/client.key",
    ],
    // k3s
    [
        "/var/lib/rancher/k3s/server/tls/etcd/server-ca.crt",
        "/var/lib/rancher/k3s/server/tls/etcd/client.crt",
        "/var/lib/rancher/k3s/server/tls/etcd/client.key",
    ],
    // kubespray: for administrators, then the API server's
    [
        "/etc/ssl/etcd/ssl/ca.pem",
        "/etc/ssl/etcd/ssl/admin-{node}.pem",
        "/etc/ssl/etcd/ssl/admin-{node}-key.pem",
    ],
    [
        "/etc/ssl/etcd/ssl/ca.pem",
        "/etc/ssl/etcd/ssl/node-{node}.pem",
        "/etc/ssl/etcd/ssl/node-{node}-key.pem",
    ],
    // k0s
    [
        "/var/lib/k0s/pki/etcd/ca.crt",
        "/var/lib/k0s/pki/apiserver-etcd-client.crt",
        "/var/lib/k0s/pki/apiserver-etcd-client.key",
    ],
    // kops
    [
        "/etc/kubernetes/pki/kube-apiserver/etcd-ca.crt",
        "/etc/kubernetes/pki/kube-apiserver/etcd-client.crt",
        "/etc/kubernetes/pki/kube-apiserver/etcd-client.key",
    ],
];

/// Authority, certificate and key as PEM. Whoever holds these holds the cluster: never printed, never written.
pub(super) struct Credentials {
    ca: Vec<u8>,
    cert: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

fn fail(what: impl AsRef<str>, why: impl AsRef<str>) -> Error {
    Error::new(FailureKind::Local, "use the etcd certificate", what, why)
}

/// What the discovery found first, then everything that is usual.
fn candidates(node: &NodeRow, place: Option<&Place>) -> Vec<[String; 3]> {
    let found =
        place.map(|place| place.certs.clone()).filter(|paths| paths.iter().all(|path| !path.is_empty()));
    let usual = ON_HOSTS.map(|paths| paths.map(str::to_owned));
    let mut all: Vec<[String; 3]> = found.into_iter().chain(usual).collect();
    for paths in &mut all {
        for path in paths {
            *path = path.replace("{node}", node.name.as_str());
        }
    }
    all
}

impl Credentials {
    /// From local files.
    pub(super) fn from_files(files: Files<'_>) -> Result<Self, Error> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|error| fail(path.display().to_string(), error.to_string()))
        };
        Ok(Self { ca: read(files.ca)?, cert: read(files.cert)?, key: Zeroizing::new(read(files.key)?) })
    }

    /// From a control-plane host, as root.
    pub(super) async fn from_host(
        hosts: &Hosts,
        node: &NodeRow,
        place: Option<&Place>,
    ) -> Result<Self, Error> {
        let mut last = None;
        for paths in candidates(node, place) {
            match Self::from_paths(hosts, node, &paths).await {
                Ok(credentials) => return Ok(credentials),
                Err(error) if error.code.is_some() => last = last.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        let error = last.unwrap_or_else(|| fail(node.name.as_str(), "none found"));
        Err(error.hint("the login must be allowed to read it with sudo, or give local copies in etcd.ca, etcd.cert and etcd.key"))
    }

    async fn from_paths(hosts: &Hosts, node: &NodeRow, paths: &[String; 3]) -> Result<Self, Error> {
        let [ca, cert, key] = paths;
        Ok(Self {
            ca: hosts.read_as_root(node, ca).await?,
            cert: hosts.read_as_root(node, cert).await?,
            key: Zeroizing::new(hosts.read_as_root(node, key).await?),
        })
    }

    /// A TLS client that trusts the authority and shows the certificate.
    pub(super) fn client(&self) -> Result<Arc<ClientConfig>, Error> {
        let certs = |pem: &[u8], what: &str| -> Result<Vec<CertificateDer<'static>>, Error> {
            let certs: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
            match certs {
                Ok(certs) if !certs.is_empty() => Ok(certs),
                _ => Err(fail(what, "holds no certificate in PEM")),
            }
        };
        let mut roots = RootCertStore::empty();
        for cert in certs(&self.ca, "etcd.ca")? {
            roots.add(cert).map_err(|error| fail("etcd.ca", error.to_string()))?;
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| {
            fail("etcd.key", "holds no private key in PEM that can be used without a passphrase")
        })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let shown = certs(&self.cert, "etcd.cert")?;
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_root_certificates(roots).with_client_auth_cert(shown, key))
            .map_err(|error| fail("etcd.cert", format!("does not go with its key: {error}")))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defects_are_named_and_nothing_is_quoted() {
        let credentials = Credentials {
            ca: b"SECRET".to_vec(),
            cert: b"SECRET".to_vec(),
            key: Zeroizing::new(b"SECRET".to_vec()),
        };
        let error = credentials.client().expect_err("no PEM").to_string();
        assert!(error.contains("etcd.ca") && !error.contains("SECRET"), "{error}");
        assert_eq!(format!("{credentials:?}"), "Credentials");
        let files = Files { ca: Path::new("/none/ca"), cert: Path::new("c"), key: Path::new("k") };
        let error = Credentials::from_files(files).expect_err("missing").to_string();
        assert!(error.contains("/none/ca"), "{error}");
    }
}
