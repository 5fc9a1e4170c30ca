//! Logging in with public keys: those of an agent and those in files. No passwords, no passphrases.

use super::SshOptions;
use super::session::Guard;
use crate::backend::error::Error;
use crate::domain::report::FailureKind;
use russh::client::{AuthResult, Handle};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Algorithm, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::UnixStream;

/// A server gives up after six attempts by default (`MaxAuthTries`).
const MOST_ATTEMPTS: usize = 5;

type Agent = AgentClient<UnixStream>;

/// A key file: what could be read of it.
struct KeyFile {
    path: PathBuf,
    /// Known even of an encrypted key, in most formats.
    public: Option<PublicKey>,
    private: Result<Arc<PrivateKey>, String>,
}

/// Offers keys one after another until one is accepted; the error lists what became of each.
pub(super) async fn log_in(
    handle: &mut Handle<Guard>,
    options: &SshOptions,
    target: &str,
) -> Result<(), Error> {
    let mut login = Login { handle, user: &options.user, notes: Vec::new(), attempts: 0, over: false };
    let files: Vec<KeyFile> = key_files(options, &mut login.notes);
    let mut agent = if options.agent { connect_agent(options, &mut login.notes).await } else { None };
    let (named, others): (Vec<_>, Vec<_>) = match &mut agent {
        Some(agent) => identities(agent, &mut login.notes).await,
        None => Vec::new(),
    }
    .into_iter()
    .partition(|identity| {
        files.iter().any(|file| file.public.as_ref().is_some_and(|key| same(key, &identity.public_key())))
    });
    if let Some(agent) = &mut agent
        && login.with_agent(agent, &named).await
    {
        return Ok(());
    }
    for file in &files {
        let is_held = |identity: &AgentIdentity| {
            file.public.as_ref().is_some_and(|key| same(key, &identity.public_key()))
        };
        if !named.iter().any(is_held) && login.with_file(file).await {
            return Ok(());
        }
    }
    if let Some(agent) = &mut agent
        && login.with_agent(agent, &others).await
    {
        return Ok(());
    }
    Err(refused(&login.notes, options, target))
}

fn refused(notes: &[String], options: &SshOptions, target: &str) -> Error {
    let message = if notes.is_empty() {
        format!("there is no key to log in as {}", options.user)
    } else {
        format!("no key was accepted for {}", options.user)
    };
    let mut error = Error::new(FailureKind::Unauthorized, "log in to", target, message)
        .hint("add the right key to the agent (ssh-add), or name it in ssh.identity_files");
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

    async fn with_file(&mut self, file: &KeyFile) -> bool {
        let what = file.path.display().to_string();
        let key = match &file.private {
            Ok(key) => Arc::clone(key),
            Err(why) => {
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

async fn connect_agent(options: &SshOptions, notes: &mut Vec<String>) -> Option<Agent> {
    let named = options.agent_socket.clone().or_else(|| std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from));
    let Some(socket) = named else {
        notes.push("agent: SSH_AUTH_SOCK is not set".to_owned());
        return None;
    };
    match AgentClient::connect_uds(&socket).await {
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

fn key_files(options: &SshOptions, notes: &mut Vec<String>) -> Vec<KeyFile> {
    if !options.identity_files.is_empty() {
        return options.identity_files.iter().map(|path| read_key(path)).collect();
    }
    let Some(home) = std::env::var_os("HOME").map(PathBuf::from) else { return Vec::new() };
    let paths = ["id_ed25519", "id_ecdsa", "id_rsa"].map(|name| home.join(".ssh").join(name));
    let files: Vec<KeyFile> = paths.iter().filter(|path| path.exists()).map(|path| read_key(path)).collect();
    if files.is_empty() {
        notes.push(format!("{}: no key files", home.join(".ssh").display()));
    }
    files
}

/// Reads a key file. Errors name the file's defect and never quote its content.
fn read_key(path: &Path) -> KeyFile {
    let beside = || {
        let mut name = path.as_os_str().to_owned();
        name.push(".pub");
        russh::keys::ssh_key::PublicKey::read_openssh_file(Path::new(&name)).ok()
    };
    let fail = |public: Option<PublicKey>, why: String| KeyFile {
        path: path.to_owned(),
        public: public.or_else(beside),
        private: Err(why),
    };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return fail(None, error.to_string()),
    };
    let is_open = path.metadata().is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0);
    if is_open {
        return fail(None, "others may read it; ssh would not use it either: chmod 600".to_owned());
    }
    let outline = PrivateKey::from_openssh(&text).ok();
    let is_encrypted = outline.as_ref().is_some_and(PrivateKey::is_encrypted)
        || text.contains("BEGIN ENCRYPTED PRIVATE KEY")
        || text.contains("Proc-Type: 4,ENCRYPTED");
    let public = outline.map(|key| key.public_key().clone());
    if is_encrypted {
        return fail(public, "needs a passphrase; add it to an agent (ssh-add) instead".to_owned());
    }
    match russh::keys::decode_secret_key(&text, None) {
        Ok(key) => KeyFile {
            path: path.to_owned(),
            public: Some(key.public_key().clone()),
            private: Ok(Arc::new(key)),
        },
        Err(_) => fail(public, "is not a private key in a known format".to_owned()),
    }
}

fn same(a: &PublicKey, b: &PublicKey) -> bool {
    a.key_data() == b.key_data()
}

/// `SHA256:…`, as `ssh-keygen -l` prints it.
pub(super) fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defects_of_key_files_are_named_and_nothing_is_quoted() {
        let dir = tempfile::tempdir().expect("dir");
        let write = |name: &str, text: &str, mode: u32| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).expect("write");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("mode");
            read_key(&path).private.expect_err("not usable")
        };
        assert!(write("open", "SECRET", 0o644).contains("chmod 600"));
        assert!(!write("junk", "SECRET", 0o600).contains("SECRET"));
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n";
        assert!(write("pkcs8", encrypted, 0o600).contains("ssh-add"));
        assert!(read_key(&dir.path().join("none")).private.expect_err("missing").contains("No such file"));
    }
}
