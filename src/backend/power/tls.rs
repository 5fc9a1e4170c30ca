//! TLS to a BMC. Their certificates are seldom signed by an authority that a system knows: the configuration names the
//! authority, or the certificate itself by its fingerprint. Neither = no connection.

use crate::backend::error::Error;
use crate::domain::report::FailureKind;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;

/// The configuration for one BMC.
pub(super) fn config(
    ca: Option<&Path>,
    fingerprint: Option<&str>,
    label: &str,
) -> Result<ClientConfig, Error> {
    let fail = |why: String| Error::new(FailureKind::Local, "prepare TLS for", label, why);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| fail(error.to_string()))?;
    if let Some(wanted) = fingerprint {
        let wanted = normal(wanted);
        if wanted.len() != 64 || !wanted.chars().all(|c| c.is_ascii_hexdigit()) {
            return Err(fail("the fingerprint is not a SHA-256 in hex".to_owned()));
        }
        let verifier = Arc::new(Pinned { wanted, provider });
        return Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth());
    }
    let Some(path) = ca else {
        return Err(fail("neither ca nor fingerprint is configured: its certificate cannot be judged".to_owned())
            .hint(format!("openssl s_client -connect HOST:443 </dev/null | openssl x509 -noout -fingerprint -sha256  # for {label}, over a network that you trust")));
    };
    let mut roots = RootCertStore::empty();
    let certificates =
        CertificateDer::pem_file_iter(path).map_err(|error| fail(format!("{}: {error}", path.display())))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| fail(format!("{}: {error}", path.display())))?;
        roots.add(certificate).map_err(|error| fail(format!("{}: {error}", path.display())))?;
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Lower case, without colons.
fn normal(fingerprint: &str) -> String {
    fingerprint.trim().trim_start_matches("sha256:").replace(':', "").to_ascii_lowercase()
}

/// SHA-256 of a certificate, in hex.
pub(super) fn fingerprint(certificate: &[u8]) -> String {
    crate::backend::store::part::hex(&Sha256::digest(certificate))
}

/// Trusts exactly one certificate. That the other side holds its key is still proven by the handshake.
#[derive(Debug)]
struct Pinned {
    wanted: String,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if fingerprint(end_entity) == self.wanted {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
