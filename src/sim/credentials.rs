//! Keys of the simulated cluster: authorities, the operator's certificates, SSH keys.

use std::fmt::Write as _;

use russh::keys::PrivateKey;
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Error;
use super::tls::{Authority, Pair, Subject};

/// The account on the simulated hosts.
pub const SSH_USER: &str = "ops";

/// Everything secret in a simulated cluster; stored so that clients of an earlier run still fit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Credentials {
    /// Signs API servers, kubelets and users.
    pub api_authority: Authority,
    /// Signs etcd members and their clients.
    pub etcd_authority: Authority,
    /// Signs the aggregation layer's client.
    pub front_proxy_authority: Authority,
    /// The administrator's certificate for the API.
    pub api_client: Pair,
    /// The operator's certificate for etcd.
    pub etcd_client: Pair,
    /// The operator's private SSH key (ed25519, OpenSSH format).
    pub ssh_key: String,
    /// What the SSH host keys are made from.
    host_seed: [u8; 32],
}

impl Credentials {
    /// The administrator's user name.
    pub const API_USER: &str = "kubernetes-admin";
    /// The administrator's group.
    pub const API_GROUP: &str = "system:masters";

    /// New keys.
    pub fn generate() -> Result<Self, Error> {
        let api_authority = Authority::generate("kubernetes")?;
        let etcd_authority = Authority::generate("etcd-ca")?;
        let client = |common_name, organization| Subject {
            common_name,
            organization,
            names: &[],
            server: false,
            client: true,
        };
        Ok(Self {
            api_client: api_authority.issue(&client(Self::API_USER, Some(Self::API_GROUP)))?,
            etcd_client: etcd_authority.issue(&client("pitstop-operator", None))?,
            front_proxy_authority: Authority::generate("front-proxy-ca")?,
            api_authority,
            etcd_authority,
            ssh_key: ssh_key(&rand::random(), "ops@pitstop-sim")?.to_openssh(LineEnding::LF)?.to_string(),
            host_seed: rand::random(),
        })
    }

    /// The authority's certificate that API clients need (PEM).
    pub fn api_ca(&self) -> &str {
        &self.api_authority.pair.cert
    }

    /// The authority's certificate that etcd clients need (PEM).
    pub fn etcd_ca(&self) -> &str {
        &self.etcd_authority.pair.cert
    }

    /// The private host key of a node: always the same for the same name.
    pub fn host_key(&self, node: &str) -> Result<PrivateKey, Error> {
        let seed = Sha256::new().chain_update(self.host_seed).chain_update(node).finalize();
        ssh_key(&seed.into(), node)
    }

    /// The operator's key pair.
    pub fn operator_key(&self) -> Result<PrivateKey, Error> {
        Ok(PrivateKey::from_openssh(&self.ssh_key)?)
    }

    /// A `known_hosts` file: one line for each pair of node name and host pattern (`10.0.0.11` or `[127.0.0.1]:40001`).
    pub fn known_hosts<'a>(
        &self,
        hosts: impl IntoIterator<Item = (&'a str, String)>,
    ) -> Result<String, Error> {
        let mut text = String::new();
        for (node, pattern) in hosts {
            let mut key = self.host_key(node)?.public_key().clone();
            key.set_comment(node);
            let _ = writeln!(text, "{pattern} {}", key.to_openssh()?);
        }
        Ok(text)
    }
}

fn ssh_key(seed: &[u8; 32], comment: &str) -> Result<PrivateKey, Error> {
    let pair = Ed25519Keypair::from_seed(seed);
    Ok(PrivateKey::new(KeypairData::Ed25519(pair), comment)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survive_being_stored_and_fit_any_host() {
        let first = Credentials::generate().unwrap();
        let again: Credentials = serde_json::from_str(&serde_json::to_string(&first).unwrap()).unwrap();
        let public = |credentials: &Credentials, node| {
            credentials.host_key(node).unwrap().public_key().to_openssh().unwrap()
        };
        assert_eq!(public(&first, "cp-1"), public(&again, "cp-1"));
        assert_ne!(public(&first, "cp-1"), public(&first, "cp-2"));
        let known = again.known_hosts([("worker-1", "[127.0.0.1]:4001".to_owned())]).unwrap();
        assert!(known.starts_with("[127.0.0.1]:4001 ssh-ed25519 AAAA"), "{known}");
        assert!(again.ssh_key.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----"));
    }
}
