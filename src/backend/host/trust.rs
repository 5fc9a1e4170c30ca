//! Whether the host that answers is the one that was meant, and what to tell the engineer when it is not.

use super::ask::Desk;
use super::keys::fingerprint;
use super::known_hosts::{HostCertificate, HostKey, KnownHosts, Verdict, name};
use super::route::Hop;
use crate::backend::clock;
use crate::backend::error::Error;
use crate::domain::host::{HostQuestion, UnknownHost};
use crate::domain::report::FailureKind;
use russh::client;
use russh::keys::ssh_key::certificate::CertType;
use russh::keys::{Algorithm, Certificate, HashAlg, PublicKey, PublicKeyOrCertificate};
use std::sync::{Arc, Mutex, PoisonError};

/// What was not trusted, and why.
pub(super) type Refused = Arc<Mutex<Option<(Verdict, PublicKey)>>>;

/// Decides on the host's key while the connection is being opened.
pub(super) struct Guard {
    known: KnownHosts,
    host: String,
    port: u16,
    refused: Refused,
}

impl Guard {
    pub(super) fn new(known: KnownHosts, hop: &Hop, refused: Refused) -> Self {
        Self { known, host: hop.name.clone(), port: hop.target.port, refused }
    }

    fn judge(&self, shown: &PublicKeyOrCertificate, key: &PublicKey) -> Result<Verdict, russh::Error> {
        let blob = key.to_bytes()?;
        let algorithm = key.algorithm();
        let plain = HostKey { algorithm: algorithm.as_str(), blob: &blob };
        let Some(certificate) = shown.certificate() else {
            return Ok(self.known.check(&self.host, self.port, plain));
        };
        let authority = PublicKey::new(certificate.signature_key().clone(), "").to_bytes()?;
        let defect = defect(certificate);
        let shown = HostCertificate {
            key: plain,
            authority: &authority,
            principals: certificate.valid_principals(),
            defect: defect.as_deref(),
        };
        Ok(self.known.check_certificate(&self.host, self.port, &shown))
    }
}

impl client::Handler for Guard {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let key = shown.public_key();
        let verdict = self.judge(shown, &key)?;
        if verdict == Verdict::Known {
            return Ok(true);
        }
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some((verdict, key));
        Ok(false)
    }
}

/// What speaks against a host certificate, apart from whom it names (`PROTOCOL.certkeys`): signature, type, time, options.
fn defect(certificate: &Certificate) -> Option<String> {
    let seconds = u64::try_from(clock::now().0 / 1000).unwrap_or_default();
    if certificate.cert_type() != CertType::Host {
        return Some("it is a user's certificate".to_owned());
    }
    if let Some((option, _)) = certificate.critical_options().iter().next() {
        return Some(format!("it has the critical option {option}, which is not known"));
    }
    if seconds < certificate.valid_after() {
        return Some("it is not valid yet".to_owned());
    }
    if seconds >= certificate.valid_before() {
        return Some("it has expired".to_owned());
    }
    let signer = certificate.signature_key().fingerprint(HashAlg::Sha256);
    certificate.validate_at(seconds, [&signer]).err().map(|_| "its signature does not hold".to_owned())
}

/// The host is not who it should be: says what is recorded where, and what to do about it. A key that nobody has recorded
/// may be answered for; everything else is never overridable.
pub(super) fn not_trusted(verdict: &Verdict, key: &PublicKey, hop: &Hop, desk: &Desk) -> Error {
    let algorithm = key.algorithm();
    let algorithm = algorithm.as_str();
    let shown = format!("{algorithm} {}", fingerprint(key));
    let fail = |message: String| Error::new(FailureKind::Identity, "trust", hop.target.label(), message);
    let changed = "if the host was not set up anew, somebody else answers in its place; \
                   only when its new key is confirmed on its own console, replace the line";
    match verdict {
        Verdict::Known | Verdict::Unknown => {
            ask(key, hop, desk);
            fail(format!("the host's key is not known: {shown}")).hint(how_to_record(key, hop))
        }
        Verdict::Changed(place) => {
            fail(format!("the host shows another key than the one in {place}: {shown}")).hint(changed)
        }
        Verdict::OtherAlgorithm(place, recorded) => {
            fail(format!("the host shows {shown}, but {place} records a key of type {recorded}"))
                .hint(changed)
        }
        Verdict::Revoked(place) => {
            fail(format!("the host's key is revoked in {place}: {shown}")).hint("the host needs a new key")
        }
        Verdict::AuthorityOnly(place) => {
            ask(key, hop, desk);
            fail(format!(
                "a certificate authority is recorded ({place}), but the host shows a plain key, or one that another authority signed: {shown}"
            ))
            .hint(how_to_record(key, hop))
        }
        Verdict::BadCertificate(place, why) => {
            fail(format!("the host's certificate by the authority in {place} does not hold: {why}"))
                .hint("the host needs a new certificate")
        }
        Verdict::Unreadable(place, why) => {
            fail(format!("{place} cannot be read: {why}")).hint("repair or remove the line")
        }
    }
}

fn ask(key: &PublicKey, hop: &Hop, desk: &Desk) {
    let Some(file) = &hop.record else { return };
    desk.ask(HostQuestion::HostKey(UnknownHost {
        node: hop.node.clone(),
        name: name(&hop.name, hop.target.port),
        key: line_of(key),
        algorithm: key.algorithm().as_str().to_owned(),
        fingerprint: fingerprint(key),
        file: file.display().to_string(),
    }));
}

fn line_of(key: &PublicKey) -> String {
    let bare = PublicKey::new(key.key_data().clone(), "");
    bare.to_openssh().unwrap_or_default().trim().to_owned()
}

fn how_to_record(key: &PublicKey, hop: &Hop) -> String {
    let kind = match key.algorithm() {
        Algorithm::Rsa { .. } => "rsa",
        Algorithm::Ecdsa { .. } => "ecdsa",
        _ => "ed25519",
    };
    let file = hop.record.as_ref().or(hop.known_hosts.first());
    let file = file.map_or("~/.ssh/known_hosts".into(), |path| path.to_string_lossy());
    format!(
        "compare it with `ssh-keygen -lf /etc/ssh/ssh_host_{kind}_key.pub` on the host's own console; if it is the same, add to {file}: {} {}",
        name(&hop.name, hop.target.port),
        line_of(key)
    )
}
