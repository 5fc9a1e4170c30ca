//! Whether a host's key is the one that was recorded: files of known hosts, read as OpenSSH reads them.
//!
//! Source: OpenSSH `hostfile.c` (`hostkeys_foreach`, `check_hostkeys_by_key_or_type`) and `sshconnect.c`
//! (`check_host_key`). Stricter in one point: a matching line that cannot be read refuses the host.

use crate::domain::text::matches_glob;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::path::{Path, PathBuf};

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: PathBuf,
    pub(super) line: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// What the files say of a key. Only `Known` lets a connection go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The key is recorded for the host.
    Known,
    /// Nothing is recorded for the host.
    Unknown,
    /// Another key of the same algorithm is recorded.
    Changed(Place),
    /// Keys are recorded, but none of this algorithm.
    OtherAlgorithm(Place, String),
    /// The key is marked `@revoked`.
    Revoked(Place),
    /// Only a certificate authority is recorded, and the host shows a plain key.
    AuthorityOnly(Place),
    /// The authority that is recorded signed the host's certificate, but it does not hold for this host or now.
    BadCertificate(Place, String),
    /// A line for the host cannot be read, and why.
    Unreadable(Place, String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Marker {
    None,
    Authority,
    Revoked,
}

/// A line that speaks of the host.
struct Entry {
    place: Place,
    marker: Marker,
    algorithm: String,
    blob: Vec<u8>,
}

/// The contents of the files, in the order of the files.
#[derive(Debug, Clone, Default)]
pub(super) struct KnownHosts {
    files: Vec<(PathBuf, String)>,
}

/// A public key as a host shows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct HostKey<'a> {
    /// Name of its type (`ssh-ed25519`, `ssh-rsa`, …).
    pub(super) algorithm: &'a str,
    /// Its wire format.
    pub(super) blob: &'a [u8],
}

/// A host certificate, as far as the judgement needs it; its signature has been verified.
#[derive(Debug, Clone, Copy)]
pub(super) struct HostCertificate<'a> {
    /// The key of the host in it.
    pub(super) key: HostKey<'a>,
    /// Wire format of the key that signed it.
    pub(super) authority: &'a [u8],
    /// Names of hosts that it holds for.
    pub(super) principals: &'a [String],
    /// What else is wrong with it (not for hosts, expired, a critical option), in words.
    pub(super) defect: Option<&'a str>,
}

impl KnownHosts {
    /// Reads files; missing ones are empty.
    pub(super) fn load(paths: &[PathBuf]) -> Result<Self, (PathBuf, std::io::Error)> {
        let mut files = Vec::new();
        for path in paths {
            match std::fs::read(path) {
                Ok(bytes) => files.push((path.clone(), String::from_utf8_lossy(&bytes).into_owned())),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err((path.clone(), error)),
            }
        }
        Ok(Self { files })
    }

    /// The algorithms of the keys recorded for a host (for the host without a port, when nothing is recorded with it).
    pub(super) fn algorithms(&self, host: &str, port: u16) -> Vec<String> {
        let of = |name: String| -> Vec<String> {
            let entries = self.entries(&name).into_iter().flatten();
            entries.filter(|entry| entry.marker == Marker::None).map(|entry| entry.algorithm).collect()
        };
        let algorithms = of(name(host, port));
        if algorithms.is_empty() { of(name(host, 22)) } else { algorithms }
    }

    /// Judges a key. A host on another port than 22 is looked for as `[host]:port`; when nothing at all is recorded
    /// for that, a key recorded for the host without a port is accepted too.
    pub(super) fn check(&self, host: &str, port: u16, key: HostKey<'_>) -> Verdict {
        let verdict = self.check_name(&name(host, port), key);
        if port == 22 || verdict != Verdict::Unknown {
            return verdict;
        }
        match self.check_name(&name(host, 22), key) {
            // what is recorded for port 22 may be another host behind the same address
            Verdict::Changed(_) | Verdict::OtherAlgorithm(..) | Verdict::AuthorityOnly(_) => Verdict::Unknown,
            verdict => verdict,
        }
    }

    /// Whether an authority is recorded for a host: only then is it asked for a certificate.
    pub(super) fn has_authority(&self, host: &str, port: u16) -> bool {
        let names = [name(host, port), name(host, 22)];
        let mut entries = names.iter().flat_map(|name| self.entries(name)).flatten();
        entries.any(|entry| entry.marker == Marker::Authority)
    }

    /// Judges a certificate: neither its key nor its authority may be revoked, an authority recorded for the host must have
    /// signed it, and it must name the host. Signed by an authority that is not recorded, it counts as the plain key in it.
    pub(super) fn check_certificate(
        &self,
        host: &str,
        port: u16,
        certificate: &HostCertificate<'_>,
    ) -> Verdict {
        for name in [name(host, port), name(host, 22)] {
            let entries = match self.readable(&name) {
                Ok(entries) => entries,
                Err(verdict) => return verdict,
            };
            let is_shown =
                |entry: &&Entry| entry.blob == certificate.key.blob || entry.blob == certificate.authority;
            if let Some(entry) = entries.iter().filter(|entry| entry.marker == Marker::Revoked).find(is_shown)
            {
                return Verdict::Revoked(entry.place.clone());
            }
            let by =
                |entry: &&Entry| entry.marker == Marker::Authority && entry.blob == certificate.authority;
            let Some(entry) = entries.iter().find(by) else { continue };
            let host = host.to_ascii_lowercase();
            let is_named = |pattern: &String| matches_glob(&pattern.to_ascii_lowercase(), &host);
            return match certificate.defect {
                Some(why) => Verdict::BadCertificate(entry.place.clone(), why.to_owned()),
                None if certificate.principals.iter().any(is_named) => Verdict::Known,
                None => Verdict::BadCertificate(
                    entry.place.clone(),
                    format!("it is for {}, not for {host}", named(certificate.principals)),
                ),
            };
        }
        self.check(host, port, certificate.key)
    }

    fn readable(&self, name: &str) -> Result<Vec<Entry>, Verdict> {
        let entries = self.entries(name).into_iter();
        entries.map(|entry| entry.map_err(|(place, why)| Verdict::Unreadable(place, why))).collect()
    }

    /// Judges a key by the name under which it would be recorded.
    pub(super) fn check_name(&self, name: &str, key: HostKey<'_>) -> Verdict {
        let entries = match self.readable(name) {
            Ok(entries) => entries,
            Err(verdict) => return verdict,
        };
        let with = |marker: Marker| entries.iter().filter(move |entry| entry.marker == marker);
        if let Some(entry) = with(Marker::Revoked).find(|entry| entry.blob == key.blob) {
            return Verdict::Revoked(entry.place.clone());
        }
        if with(Marker::None).any(|entry| entry.blob == key.blob) {
            return Verdict::Known;
        }
        if let Some(entry) = with(Marker::None).find(|entry| entry.algorithm == key.algorithm) {
            return Verdict::Changed(entry.place.clone());
        }
        if let Some(entry) = with(Marker::None).next() {
            return Verdict::OtherAlgorithm(entry.place.clone(), entry.algorithm.clone());
        }
        match with(Marker::Authority).next() {
            Some(entry) => Verdict::AuthorityOnly(entry.place.clone()),
            None => Verdict::Unknown,
        }
    }

    /// The lines that speak of a name.
    fn entries(&self, name: &str) -> Vec<Result<Entry, (Place, String)>> {
        let mut entries = Vec::new();
        for (file, text) in &self.files {
            for (index, line) in text.lines().enumerate() {
                if let Some(entry) = read_line(line, name) {
                    let place = Place { file: file.clone(), line: index + 1 };
                    entries.push(match entry {
                        Ok((marker, algorithm, blob)) => Ok(Entry { place, marker, algorithm, blob }),
                        Err(why) => Err((place, why)),
                    });
                }
            }
        }
        entries
    }
}

fn named(principals: &[String]) -> String {
    if principals.is_empty() { "no host by name".to_owned() } else { principals.join(", ") }
}

/// The name under which a host is recorded.
pub(super) fn name(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == 22 { host } else { format!("[{host}]:{port}") }
}

/// The files that OpenSSH reads when none are named.
pub(super) fn default_files(home: Option<&Path>) -> Vec<PathBuf> {
    let own = home
        .into_iter()
        .flat_map(|home| ["known_hosts", "known_hosts2"].map(|name| home.join(".ssh").join(name)));
    own.chain(["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"].map(PathBuf::from)).collect()
}

type Line = Result<(Marker, String, Vec<u8>), String>;

/// `None` = does not speak of the name.
fn read_line(line: &str, name: &str) -> Option<Line> {
    let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
    let first = words.next().filter(|word| !word.starts_with('#'))?;
    let (marker, patterns) = match first {
        "@revoked" => (Ok(Marker::Revoked), words.next()?),
        "@cert-authority" => (Ok(Marker::Authority), words.next()?),
        _ if first.starts_with('@') => (Err(format!("unknown marker {first}")), words.next()?),
        _ => (Ok(Marker::None), first),
    };
    if !is_match(patterns, name) {
        return None;
    }
    Some(marker.and_then(|marker| {
        let algorithm = words.next().ok_or("the key is missing")?;
        let blob =
            BASE64.decode(words.next().ok_or("the key is missing")?).map_err(|error| error.to_string())?;
        // a key begins with the length and the name of its type
        let named = blob.get(4..4 + algorithm.len()) == Some(algorithm.as_bytes())
            && blob.first_chunk::<4>().map(|length| u32::from_be_bytes(*length) as usize)
                == Some(algorithm.len());
        if named {
            Ok((marker, algorithm.to_owned(), blob))
        } else {
            Err(format!("the key is not of type {algorithm}"))
        }
    }))
}

fn is_match(patterns: &str, name: &str) -> bool {
    if let Some(hashed) = patterns.strip_prefix("|1|") {
        return is_hash_of(hashed, name);
    }
    let mut matched = false;
    for pattern in patterns.split(',') {
        let (negated, pattern) = match pattern.strip_prefix('!') {
            Some(pattern) => (true, pattern),
            None => (false, pattern),
        };
        if !pattern.is_empty() && matches_glob(&pattern.to_ascii_lowercase(), name) {
            if negated {
                return false;
            }
            matched = true;
        }
    }
    matched
}

/// `salt|hash`: HMAC-SHA-1 of the name with the salt as key, both in base64.
fn is_hash_of(hashed: &str, name: &str) -> bool {
    let decoded = hashed
        .split_once('|')
        .and_then(|(salt, hash)| Some((BASE64.decode(salt).ok()?, BASE64.decode(hash).ok()?)));
    let Some((salt, hash)) = decoded else { return false };
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
    ring::hmac::verify(&key, name.as_bytes(), &hash).is_ok()
}

#[cfg(test)]
#[path = "known_hosts_tests.rs"]
mod tests;
