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
    /// Only a certificate authority is recorded.
    AuthorityOnly(Place),
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

    fn check_name(&self, name: &str, key: HostKey<'_>) -> Verdict {
        let mut entries = Vec::new();
        for entry in self.entries(name) {
            match entry {
                Ok(entry) => entries.push(entry),
                Err((place, why)) => return Verdict::Unreadable(place, why),
            }
        }
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
mod tests {
    use super::*;

    fn blob(algorithm: &str, fill: u8) -> Vec<u8> {
        let mut blob = u32::try_from(algorithm.len()).expect("short").to_be_bytes().to_vec();
        blob.extend_from_slice(algorithm.as_bytes());
        blob.extend_from_slice(&[0, 0, 0, 32]);
        blob.extend_from_slice(&[fill; 32]);
        blob
    }

    const ED: &str = "ssh-ed25519";
    const RSA: &str = "ssh-rsa";

    fn key(algorithm: &str, fill: u8) -> String {
        format!("{algorithm} {}", BASE64.encode(blob(algorithm, fill)))
    }

    fn check(text: &str, host: &str, port: u16, algorithm: &str, fill: u8) -> Verdict {
        let known = KnownHosts { files: vec![(PathBuf::from("f"), text.to_owned())] };
        known.check(host, port, HostKey { algorithm, blob: &blob(algorithm, fill) })
    }

    fn at(line: usize) -> Place {
        Place { file: PathBuf::from("f"), line }
    }

    fn hashed(name: &str) -> String {
        let salt = [9_u8; 20];
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
        let tag = ring::hmac::sign(&key, name.as_bytes());
        format!("|1|{}|{}", BASE64.encode(salt), BASE64.encode(tag.as_ref()))
    }

    #[test]
    fn plain_lines() {
        let text = format!("# comment\n\ncp-1,10.0.0.1 {}\n", key(ED, 1));
        assert_eq!(check(&text, "cp-1", 22, ED, 1), Verdict::Known);
        assert_eq!(check(&text, "10.0.0.1", 22, ED, 1), Verdict::Known);
        assert_eq!(check(&text, "CP-1", 22, ED, 1), Verdict::Known);
        assert_eq!(check(&text, "cp-2", 22, ED, 1), Verdict::Unknown);
        assert_eq!(check(&text, "cp-1", 22, ED, 2), Verdict::Changed(at(3)));
        assert_eq!(check(&text, "cp-1", 22, RSA, 1), Verdict::OtherAlgorithm(at(3), ED.into()));
    }

    #[test]
    fn blanks_and_case_as_openssh_reads_them() {
        let text = format!("  CP-1 \t {}  a comment\n", key(ED, 1).replace(' ', " \t "));
        assert_eq!(check(&text, "cp-1", 22, ED, 1), Verdict::Known);
    }

    #[test]
    fn other_ports() {
        let text = format!("[10.0.0.1]:2222 {}\n10.0.0.2 {}\n", key(ED, 1), key(ED, 2));
        assert_eq!(check(&text, "10.0.0.1", 2222, ED, 1), Verdict::Known);
        assert_eq!(check(&text, "10.0.0.1", 22, ED, 1), Verdict::Unknown);
        assert_eq!(check(&text, "10.0.0.1", 2222, ED, 9), Verdict::Changed(at(1)));
        // recorded without a port
        assert_eq!(check(&text, "10.0.0.2", 2222, ED, 2), Verdict::Known);
        assert_eq!(check(&text, "10.0.0.2", 2222, ED, 9), Verdict::Unknown);
    }

    #[test]
    fn patterns_and_negation() {
        let text = format!("10.0.0.*,!10.0.0.9 {}\n[*.lab]:22?? {}\n", key(ED, 1), key(ED, 2));
        assert_eq!(check(&text, "10.0.0.1", 22, ED, 1), Verdict::Known);
        assert_eq!(check(&text, "10.0.0.9", 22, ED, 1), Verdict::Unknown);
        assert_eq!(check(&text, "a.lab", 2222, ED, 2), Verdict::Known);
        assert_eq!(check(&text, "a.lab", 3222, ED, 2), Verdict::Unknown);
    }

    #[test]
    fn hashed_names() {
        let text = format!("{} {}\n{} {}\n", hashed("cp-1"), key(ED, 1), hashed("[cp-2]:2222"), key(ED, 2));
        assert_eq!(check(&text, "cp-1", 22, ED, 1), Verdict::Known);
        assert_eq!(check(&text, "cp-2", 2222, ED, 2), Verdict::Known);
        assert_eq!(check(&text, "cp-2", 22, ED, 2), Verdict::Unknown);
        assert_eq!(check("|1|zz|zz ssh-ed25519 x", "cp-1", 22, ED, 2), Verdict::Unknown);
    }

    #[test]
    fn a_revoked_key_is_refused_wherever_it_stands() {
        let text = format!("cp-1 {}\n@revoked * {}\n", key(ED, 1), key(ED, 1));
        assert_eq!(check(&text, "cp-1", 22, ED, 1), Verdict::Revoked(at(2)));
        let text = format!("cp-1 {}\n@revoked * {}\n", key(ED, 1), key(ED, 7));
        assert_eq!(check(&text, "cp-1", 22, ED, 1), Verdict::Known);
        // by the name without a port too
        let text = format!("@revoked cp-1 {}\ncp-1 {}\n", key(ED, 1), key(ED, 1));
        assert_eq!(check(&text, "cp-1", 2222, ED, 1), Verdict::Revoked(at(1)));
    }

    #[test]
    fn an_authority_is_no_key() {
        let text = format!("@cert-authority *.lab {}\n", key(ED, 1));
        assert_eq!(check(&text, "a.lab", 22, ED, 1), Verdict::AuthorityOnly(at(1)));
    }

    #[test]
    fn a_matching_line_that_cannot_be_read_refuses() {
        let good = key(ED, 1);
        for broken in
            ["cp-1", "cp-1 ssh-ed25519", "cp-1 ssh-ed25519 %%%", "@maybe cp-1 x y", "cp-1 ssh-rsa AAAA"]
        {
            let text = format!("{broken}\ncp-1 {good}\n");
            assert!(
                matches!(check(&text, "cp-1", 22, ED, 1), Verdict::Unreadable(at, _) if at.line == 1),
                "{broken}"
            );
            let elsewhere = text.replace("cp-1", "cp-9");
            assert_eq!(check(&elsewhere, "cp-1", 22, ED, 1), Verdict::Unknown, "{broken}");
        }
    }

    #[test]
    fn recorded_algorithms_are_those_of_the_name() {
        let text = format!("[h]:2222 {}\nh {}\n@revoked h {}\n", key(RSA, 1), key(ED, 1), key("ssh-dss", 1));
        let known = KnownHosts { files: vec![(PathBuf::from("f"), text)] };
        assert_eq!(known.algorithms("h", 2222), [RSA]);
        assert_eq!(known.algorithms("h", 22), [ED]);
        assert_eq!(known.algorithms("h", 2223), [ED]);
        assert_eq!(known.algorithms("g", 22), Vec::<String>::new());
    }
}
