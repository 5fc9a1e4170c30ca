//! Logging in with public keys and certificates: those of an agent and those in files. No passwords.

use super::ask::Desk;
use super::keys::{self, KeyFile, Locked, fingerprint, same};
use super::route::Hop;
use super::trust::Guard;
use crate::backend::error::Error;
use crate::domain::host::HostQuestion;
use crate::domain::report::FailureKind;
use russh::Signer;
use russh::client::{AuthResult, Handle};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::signature::Signer as _;
use russh::keys::ssh_key::Signature;
use russh::keys::ssh_key::private::KeypairData;
use russh::keys::{Algorithm, HashAlg, PrivateKey, PrivateKeyWithHashAlg};
use std::sync::Arc;
use tokio::net::UnixStream;

/// A server gives up after six attempts by default (`MaxAuthTries`).
const MOST_ATTEMPTS: usize = 5;

type Agent = AgentClient<UnixStream>;

/// Offers keys one after another until one is accepted; the error lists what became of each. When an encrypted key might have
/// been the right one, its passphrase is asked for.
pub(super) async fn log_in(handle: &mut Handle<Guard>, hop: &Hop, desk: &Desk) -> Result<(), Error> {
    let mut login = Login { handle, user: &hop.user, notes: Vec::new(), attempts: 0, over: false };
    let files = keys::read_all(&hop.identity_files, &hop.certificates, desk, &mut login.notes);
    if files.is_empty() {
        login.notes.push("no key files".to_owned());
    }
    let mut agent = connect_agent(hop, &mut login.notes).await;
    let (named, others): (Vec<_>, Vec<_>) = match &mut agent {
        Some(agent) => identities(agent, &mut login.notes).await,
        None => Vec::new(),
    }
    .into_iter()
    .partition(|identity| files.iter().any(|file| is_of(identity, file)));
    if let Some(agent) = &mut agent
        && login.with_agent(agent, &named).await
    {
        return Ok(());
    }
    let is_held = |file: &KeyFile| named.iter().any(|identity| is_of(identity, file));
    for file in &files {
        // an agent's key was tried already; its certificates in files were not
        if login.with_certificates(file).await || (!is_held(file) && login.with_file(file).await) {
            return Ok(());
        }
    }
    if let Some(agent) = &mut agent
        && !hop.identities_only
        && login.with_agent(agent, &others).await
    {
        return Ok(());
    }
    for file in files.iter().filter(|file| matches!(file.private, Err(Locked::Passphrase)) && !is_held(file))
    {
        desk.ask(HostQuestion::Passphrase(file.path.display().to_string()));
    }
    Err(refused(&login.notes, hop))
}

fn is_of(identity: &AgentIdentity, file: &KeyFile) -> bool {
    file.public.as_ref().is_some_and(|key| same(key, &identity.public_key()))
}

fn refused(notes: &[String], hop: &Hop) -> Error {
    let message = format!("no key was accepted for {}", hop.user);
    let mut error = Error::new(FailureKind::Unauthorized, "log in to", hop.target.label(), message)
        .hint("give the key's passphrase when asked, add the right key to the agent (ssh-add), or name it in ssh.identity_files");
    error.causes = notes.iter().map(|note| crate::domain::text::clean(note)).collect();
    error
}

struct Login<'a> {
    handle: &'a mut Handle<Guard>,
    user: &'a str,
    /// What became of each key, without any secret.
    notes: Vec<String>,
    attempts: usize,
    over: bool,
}

impl Login<'_> {
    /// Counts an attempt; false when there have been enough.
    fn may_try(&mut self, what: &str) -> bool {
        if self.over || self.attempts >= MOST_ATTEMPTS {
            self.notes.push(format!("{what}: not offered, {} keys were refused before", self.attempts));
            return false;
        }
        self.attempts += 1;
        true
    }

    async fn with_agent(&mut self, agent: &mut Agent, identities: &[AgentIdentity]) -> bool {
        for identity in identities {
            let public = identity.public_key();
            let what = format!("agent key {}", fingerprint(&public));
            let Some(hash) = self.hash_for(&public.algorithm(), &what).await else { continue };
            if !self.may_try(&what) {
                continue;
            }
            let answer = match identity {
                AgentIdentity::PublicKey { key, .. } => {
                    self.handle.authenticate_publickey_with(self.user, key.clone(), hash, agent).await
                }
                AgentIdentity::Certificate { certificate, .. } => {
                    self.handle
                        .authenticate_certificate_with(self.user, certificate.clone(), hash, agent)
                        .await
                }
            };
            if self.is_accepted(&what, answer.map_err(|error| error.to_string())) {
                return true;
            }
        }
        false
    }

    /// The certificates of a key file that can be used.
    async fn with_certificates(&mut self, file: &KeyFile) -> bool {
        let Ok(key) = &file.private else { return false };
        for certificate in &file.certificates {
            let what = format!("{} with certificate {:?}", file.path.display(), certificate.key_id());
            let Some(hash) = self.hash_for(&key.algorithm(), &what).await else { continue };
            if !self.may_try(&what) {
                continue;
            }
            let mut signer = FileKey(Arc::clone(key));
            let answer = self
                .handle
                .authenticate_certificate_with(self.user, certificate.clone(), hash, &mut signer)
                .await;
            if self.is_accepted(&what, answer.map_err(|NotSigned(why)| why.to_owned())) {
                return true;
            }
        }
        false
    }

    async fn with_file(&mut self, file: &KeyFile) -> bool {
        let what = file.path.display().to_string();
        let key = match &file.private {
            Ok(key) => Arc::clone(key),
            Err(Locked::Passphrase) => {
                self.notes.push(format!("{what}: needs a passphrase"));
                return false;
            }
            Err(Locked::Defect(why)) => {
                self.notes.push(format!("{what}: {why}"));
                return false;
            }
        };
        let Some(hash) = self.hash_for(&key.algorithm(), &what).await else { return false };
        if !self.may_try(&what) {
            return false;
        }
        let answer =
            self.handle.authenticate_publickey(self.user, PrivateKeyWithHashAlg::new(key, hash)).await;
        self.is_accepted(&what, answer.map_err(|error| error.to_string()))
    }

    /// The hash for a signature: RSA needs SHA-2, other keys none. `None` = the host knows only SHA-1.
    async fn hash_for(&mut self, algorithm: &Algorithm, what: &str) -> Option<Option<HashAlg>> {
        if !matches!(algorithm, Algorithm::Rsa { .. }) {
            return Some(None);
        }
        match self.handle.best_supported_rsa_hash().await {
            Ok(Some(None)) => {
                self.notes.push(format!("{what}: the host accepts RSA only with SHA-1, which is not used"));
                None
            }
            Ok(Some(hash)) => Some(hash),
            // the host does not say: every OpenSSH since 7.2 can do this
            Ok(None) | Err(_) => Some(Some(HashAlg::Sha256)),
        }
    }

    fn is_accepted(&mut self, what: &str, answer: Result<AuthResult, String>) -> bool {
        match answer {
            Ok(AuthResult::Success) => return true,
            Ok(AuthResult::Failure { partial_success: true, .. }) => {
                self.notes.push(format!("{what}: accepted, but the host asks for more than a key"));
                self.over = true;
            }
            Ok(AuthResult::Failure { .. }) => self.notes.push(format!("{what}: refused")),
            Err(why) => {
                self.notes.push(format!("{what}: {why}"));
                self.over = self.handle.is_closed();
            }
        }
        false
    }
}

/// Signs with a key from a file, as an agent would: a certificate is proven by the key that is in it.
struct FileKey(Arc<PrivateKey>);

/// Why there is no signature.
struct NotSigned(&'static str);

impl From<russh::SendError> for NotSigned {
    fn from(_: russh::SendError) -> Self {
        Self("the connection was lost")
    }
}

impl Signer for FileKey {
    type Error = NotSigned;

    async fn auth_sign(
        &mut self,
        _: &AgentIdentity,
        hash: Option<HashAlg>,
        mut to_sign: Vec<u8>,
    ) -> Result<Vec<u8>, NotSigned> {
        let signature: Signature = match self.0.key_data() {
            // an RSA key signs with the hash that was agreed on
            KeypairData::Rsa(key) => {
                (key, hash).try_sign(&to_sign).map_err(|_| NotSigned("the key cannot sign"))?
            }
            _ => (*self.0).try_sign(&to_sign).map_err(|_| NotSigned("the key cannot sign"))?,
        };
        // a string (RFC 4251) that holds the algorithm's name and the signature proper, each a string again
        let (name, value) = (signature.algorithm().to_string(), signature.as_bytes().to_vec());
        let inner = [string(name.as_bytes()), string(&value)].concat();
        to_sign.extend_from_slice(&string(&inner));
        Ok(to_sign)
    }
}

fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or_default();
    [&length.to_be_bytes(), bytes].concat()
}

async fn connect_agent(hop: &Hop, notes: &mut Vec<String>) -> Option<Agent> {
    let socket = hop.agent.as_ref()?;
    match AgentClient::connect_uds(socket).await {
        Ok(agent) => Some(agent),
        Err(error) => {
            notes.push(format!("agent at {}: {error}", socket.display()));
            None
        }
    }
}

async fn identities(agent: &mut Agent, notes: &mut Vec<String>) -> Vec<AgentIdentity> {
    match agent.request_identities().await {
        Ok(identities) => {
            if identities.is_empty() {
                notes.push("agent: holds no keys".to_owned());
            }
            identities
        }
        Err(error) => {
            notes.push(format!("agent: {error}"));
            Vec::new()
        }
    }
}
