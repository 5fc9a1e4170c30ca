//! What SSH needs from the engineer: the passphrase of a key, and a word on a host key that nobody has recorded.
//!
//! Nothing waits here. A connection that cannot be made leaves its question behind and fails; whoever has an answer gives it,
//! and the next attempt uses it. Passphrases are used at once and forgotten; the key that one opened stays in memory.

use super::Hosts;
use super::keys;
use super::known_hosts::{HostKey, KnownHosts, Verdict};
use crate::backend::error::Error;
use crate::domain::host::{HostQuestion, UnknownHost};
use crate::domain::report::FailureKind;
use russh::keys::{PrivateKey, PublicKey};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;
use zeroize::Zeroizing;

/// Open questions, and the keys that were opened.
pub(super) struct Desk {
    questions: watch::Sender<Vec<HostQuestion>>,
    keys: Mutex<BTreeMap<PathBuf, Arc<PrivateKey>>>,
}

impl Default for Desk {
    fn default() -> Self {
        Self { questions: watch::Sender::new(Vec::new()), keys: Mutex::default() }
    }
}

impl Desk {
    /// Leaves a question, unless it stands already.
    pub(super) fn ask(&self, question: HostQuestion) {
        self.questions.send_if_modified(|questions| {
            let is_new = !questions.contains(&question);
            if is_new {
                // a host asks about one key: the newest
                questions.retain(|asked| !is_same_host(asked, &question));
                questions.push(question);
            }
            is_new
        });
    }

    /// Takes questions away that are answered.
    pub(super) fn settle(&self, is_settled: impl Fn(&HostQuestion) -> bool) {
        self.questions.send_if_modified(|questions| {
            let before = questions.len();
            questions.retain(|question| !is_settled(question));
            questions.len() != before
        });
    }

    /// A key that was opened with its passphrase.
    pub(super) fn key(&self, path: &Path) -> Option<Arc<PrivateKey>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned()
    }
}

fn is_same_host(a: &HostQuestion, b: &HostQuestion) -> bool {
    matches!((a, b), (HostQuestion::HostKey(a), HostQuestion::HostKey(b)) if a.name == b.name)
}

impl Hosts {
    /// The questions that stand open, as they come and go.
    pub fn questions(&self) -> watch::Receiver<Vec<HostQuestion>> {
        self.inner.desk.questions.subscribe()
    }

    /// Opens an encrypted key file with its passphrase and keeps the key in memory, until the process ends. The passphrase is
    /// overwritten when this returns; it is in no error.
    pub async fn unlock(&self, path: &Path, passphrase: Zeroizing<String>) -> Result<(), Error> {
        let shown = path.display().to_string();
        let fail = |why: &str| Error::new(FailureKind::Unauthorized, "open the key", &shown, why);
        let file = path.to_owned();
        // bcrypt takes its time on purpose
        let opened = tokio::task::spawn_blocking(move || keys::open(&file, &passphrase)).await;
        let key = match opened {
            Ok(Ok(key)) => key,
            Ok(Err(why)) => return Err(fail(&why)),
            Err(_) => return Err(fail("it could not be opened")),
        };
        let mut kept = self.inner.desk.keys.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(path.to_owned(), Arc::new(key));
        drop(kept);
        self.inner.desk.settle(|question| *question == HostQuestion::Passphrase(shown.clone()));
        Ok(())
    }

    /// Records a host key that was asked about, in our own file of known hosts (`record` in the options). Only a key that a
    /// host has shown, and that no file speaks against, can be recorded; a changed or revoked one never.
    pub fn trust(&self, host: &UnknownHost) -> Result<(), Error> {
        let fail = |kind, why: &str| Error::new(kind, "record the key of", &host.name, why);
        let question = HostQuestion::HostKey(host.clone());
        if !self.inner.desk.questions.borrow().contains(&question) {
            return Err(fail(FailureKind::Conflict, "this key was not shown, or another one was meanwhile"));
        }
        let file = PathBuf::from(&host.file);
        let known = KnownHosts::load(std::slice::from_ref(&file))
            .map_err(|(_, error)| fail(FailureKind::Local, &error.to_string()))?;
        let key = PublicKey::from_openssh(&host.key)
            .map_err(|error| fail(FailureKind::Unexpected, &error.to_string()))?;
        let blob = key.to_bytes().map_err(|error| fail(FailureKind::Unexpected, &error.to_string()))?;
        let algorithm = key.algorithm();
        let shown = HostKey { algorithm: algorithm.as_str(), blob: &blob };
        match known.check_name(&host.name, shown) {
            Verdict::Known => {}
            Verdict::Unknown | Verdict::AuthorityOnly(_) => {
                append(&file, &format!("{} {}\n", host.name, host.key))
                    .map_err(|error| fail(FailureKind::Local, &format!("{}: {error}", file.display())))?;
            }
            _ => return Err(fail(FailureKind::Identity, "the file speaks against this key")),
        }
        self.inner.desk.settle(|asked| *asked == question);
        Ok(())
    }
}

/// Adds a line; on the disk when this returns. The file is made for its owner only.
fn append(file: &Path, line: &str) -> std::io::Result<()> {
    if let Some(dir) = file.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    let is_open_ended = std::fs::read(file).is_ok_and(|text| !text.is_empty() && !text.ends_with(b"\n"));
    let mut out = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(file)?;
    let line = if is_open_ended { format!("\n{line}") } else { line.to_owned() };
    out.write_all(line.as_bytes())?;
    out.sync_all()
}
