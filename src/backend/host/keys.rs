//! Private keys in files, and the certificates beside them. Errors name a file's defect and never quote its content.

use super::ask::Desk;
use russh::keys::{Certificate, HashAlg, PrivateKey, PublicKey};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a private key cannot be used.
#[derive(Debug)]
pub(super) enum Locked {
    /// It needs a passphrase.
    Passphrase,
    /// Something else, in words.
    Defect(String),
}

/// A key file: what could be read of it.
pub(super) struct KeyFile {
    pub(super) path: PathBuf,
    /// Known even of an encrypted key, in most formats.
    pub(super) public: Option<PublicKey>,
    pub(super) private: Result<Arc<PrivateKey>, Locked>,
    /// User certificates for this key.
    pub(super) certificates: Vec<Certificate>,
}

/// Reads the named files with the certificates that belong to them.
pub(super) fn read_all(
    paths: &[PathBuf],
    certificates: &[PathBuf],
    desk: &Desk,
    notes: &mut Vec<String>,
) -> Vec<KeyFile> {
    let mut others = Vec::new();
    for path in certificates {
        match Certificate::read_file(path) {
            Ok(certificate) => others.push(certificate),
            Err(_) => notes.push(format!("{}: is not a certificate that can be read", path.display())),
        }
    }
    paths
        .iter()
        .map(|path| {
            let mut file = read(path, desk);
            let own = Certificate::read_file(&with_suffix(path, "-cert.pub")).ok();
            let is_of_it = |certificate: &&Certificate| {
                file.public.as_ref().is_some_and(|key| key.key_data() == certificate.public_key())
            };
            file.certificates = own.iter().chain(&others).filter(is_of_it).cloned().collect();
            file
        })
        .collect()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Reads a key file.
fn read(path: &Path, desk: &Desk) -> KeyFile {
    let beside = || PublicKey::read_openssh_file(with_suffix(path, ".pub")).ok();
    let fail = |public: Option<PublicKey>, why: Locked| KeyFile {
        path: path.to_owned(),
        public: public.or_else(beside),
        private: Err(why),
        certificates: Vec::new(),
    };
    let defect = |why: String| fail(None, Locked::Defect(why));
    let text = match std::fs::read_to_string(path) {
        Ok(text) => zeroize::Zeroizing::new(text),
        Err(error) => return defect(error.to_string()),
    };
    let is_open = path.metadata().is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0);
    if is_open {
        return defect("others may read it; ssh would not use it either: chmod 600".to_owned());
    }
    let of = |key: Arc<PrivateKey>| KeyFile {
        path: path.to_owned(),
        public: Some(key.public_key().clone()),
        private: Ok(key),
        certificates: Vec::new(),
    };
    let outline = PrivateKey::from_openssh(text.as_str()).ok();
    let is_encrypted = outline.as_ref().is_some_and(PrivateKey::is_encrypted)
        || text.contains("BEGIN ENCRYPTED PRIVATE KEY")
        || text.contains("Proc-Type: 4,ENCRYPTED");
    let public = outline.map(|key| key.public_key().clone());
    if is_encrypted {
        return match desk.key(path) {
            // opened before; a file that was replaced since has another key
            Some(key) if public.as_ref().is_none_or(|public| same(public, key.public_key())) => of(key),
            _ => fail(public, Locked::Passphrase),
        };
    }
    match russh::keys::decode_secret_key(&text, None) {
        Ok(key) => of(Arc::new(key)),
        Err(_) => fail(public, Locked::Defect("is not a private key in a known format".to_owned())),
    }
}

/// Opens an encrypted key file.
pub(super) fn open(path: &Path, passphrase: &str) -> Result<PrivateKey, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let text = zeroize::Zeroizing::new(text);
    russh::keys::decode_secret_key(&text, Some(passphrase)).map_err(|_| "the passphrase is wrong".to_owned())
}

pub(super) fn same(a: &PublicKey, b: &PublicKey) -> bool {
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
        let desk = Desk::default();
        let write = |name: &str, text: &str, mode: u32| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).expect("write");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("mode");
            format!("{:?}", read(&path, &desk).private.expect_err("not usable"))
        };
        assert!(write("open", "SECRET", 0o644).contains("chmod 600"));
        assert!(!write("junk", "SECRET", 0o600).contains("SECRET"));
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n";
        assert_eq!(write("pkcs8", encrypted, 0o600), "Passphrase");
        let missing = read(&dir.path().join("none"), &desk).private.expect_err("missing");
        assert!(matches!(missing, Locked::Defect(why) if why.contains("No such file")));
    }
}
