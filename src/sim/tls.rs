//! Certificate authorities and TLS for the simulated API servers and etcd members (ECDSA P-256, ring).

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde::{Deserialize, Serialize};

use super::Error;

/// How long a leaf certificate is valid, in years, as kubeadm makes them.
const LEAF_YEARS: i16 = 1;
/// How long an authority is valid, in years, as kubeadm makes them.
const AUTHORITY_YEARS: i16 = 10;

/// A certificate and its private key, both PEM.
#[derive(Clone, Serialize, Deserialize)]
pub struct Pair {
    /// The certificate.
    pub cert: String,
    /// The private key (PKCS#8).
    pub key: String,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").finish_non_exhaustive()
    }
}

/// Whom a certificate names and what it is good for.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Common name: the user for the API server.
    pub common_name: &'a str,
    /// Organization: the group for the API server. (`rcgen` writes at most one.)
    pub organization: Option<&'a str>,
    /// Host names and IP addresses; empty for a client's certificate.
    pub names: &'a [String],
    /// May serve TLS.
    pub server: bool,
    /// May be shown by a client.
    pub client: bool,
}

/// A certificate authority: its certificate, its key and its name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Authority {
    /// Common name.
    pub name: String,
    /// Certificate and key.
    pub pair: Pair,
}

impl Authority {
    /// A new authority.
    pub fn generate(name: &str) -> Result<Self, Error> {
        let key = KeyPair::generate()?;
        let cert = Self::params(name)?.self_signed(&key)?;
        Ok(Self { name: name.to_owned(), pair: Pair { cert: cert.pem(), key: key.serialize_pem() } })
    }

    /// A new key and a certificate for it, signed by this authority.
    pub fn issue(&self, subject: &Subject<'_>) -> Result<Pair, Error> {
        let issuer = Issuer::new(Self::params(&self.name)?, KeyPair::from_pem(&self.pair.key)?);
        let mut params = CertificateParams::new(subject.names)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, subject.common_name);
        if let Some(organization) = subject.organization {
            params.distinguished_name.push(DnType::OrganizationName, organization);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        if subject.server {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        if subject.client {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        }
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, LEAF_YEARS);
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &issuer)?;
        Ok(Pair { cert: cert.pem(), key: key.serialize_pem() })
    }

    fn params(name: &str) -> Result<CertificateParams, Error> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
            KeyUsagePurpose::KeyCertSign,
        ];
        set_validity(&mut params, AUTHORITY_YEARS);
        Ok(params)
    }
}

fn set_validity(params: &mut CertificateParams, years: i16) {
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let from = today.yesterday().unwrap_or(today);
    let day = |year: i16| {
        // Day 28 at the most: it exists in every month of every year.
        let day = from.day().clamp(1, 28);
        rcgen::date_time_ymd(year.into(), from.month().unsigned_abs(), day.unsigned_abs())
    };
    params.not_before = day(from.year());
    params.not_after = day(from.year().saturating_add(years));
}

/// Whether a client must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clients {
    /// Without one the handshake fails, as with etcd.
    Required,
    /// Without one the client is anonymous, as with an API server.
    Optional,
}

/// A TLS server that shows `identity` and accepts clients of the authority `client_ca` (PEM).
pub fn server_config(
    identity: &Pair,
    client_ca: &str,
    clients: Clients,
    alpn: &[&[u8]],
) -> Result<Arc<ServerConfig>, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for cert in certificates(client_ca)? {
        roots.add(cert)?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let verifier = match clients {
        Clients::Required => verifier,
        Clients::Optional => verifier.allow_unauthenticated(),
    };
    let verifier = verifier.build().map_err(|error| Error::Certificate(error.to_string()))?;
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())
        .map_err(|error| Error::Certificate(error.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(&identity.cert)?, key)?;
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

/// The certificates of a PEM text.
pub fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Error::Certificate(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_that_was_stored_issues_certificates_that_its_first_self_verifies() {
        let first = Authority::generate("etcd-ca").unwrap();
        let text = serde_json::to_string(&first).unwrap();
        let again: Authority = serde_json::from_str(&text).unwrap();
        let names = ["cp-1".to_owned(), "10.0.0.11".to_owned()];
        let subject = Subject {
            common_name: "cp-1",
            organization: Some("system:nodes"),
            names: &names,
            server: true,
            client: true,
        };
        let leaf = again.issue(&subject).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificates(&first.pair.cert).unwrap().remove(0)).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let der = certificates(&leaf.cert).unwrap().remove(0);
        verifier.verify_client_cert(&der, &[], rustls::pki_types::UnixTime::now()).unwrap();
    }
}
