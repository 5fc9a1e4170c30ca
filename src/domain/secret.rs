//! Texts that may leave this machine, without the secrets in them: passwords, tokens, keys and certificates.
//!
//! What a text *names* as a secret goes (`password=…`, `"token": "…"`, `Bearer …`, `--token …`, the login in an
//! address), and so does what has the *shape* of one (PEM blocks, JSON web tokens, bootstrap tokens, the prefixes of
//! well-known services, long mixed strings as base64 makes them). Plain hexadecimal digits stay, as uids, boot ids and
//! image digests look the same.

/// What stands in the place of a secret.
pub const REMOVED: &str = "[removed]";

/// Words that, in the name of a value, say that the value is secret.
const NAMES: [&str; 21] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "access_key",
    "access-key",
    "accesskey",
    "private_key",
    "private-key",
    "privatekey",
    "credential",
    "authorization",
    "key-data",
    "certificate-data",
    "authority-data",
    "webhook",
];

/// How secrets of well-known makers begin, and how long they are at least.
const PREFIXES: [(&str, usize); 20] = [
    ("eyJ", 20),
    ("LS0tLS1CRUdJTi", 14),
    ("AKIA", 20),
    ("ASIA", 20),
    ("ghp_", 20),
    ("gho_", 20),
    ("ghu_", 20),
    ("ghs_", 20),
    ("github_pat_", 20),
    ("glpat-", 16),
    ("xoxb-", 12),
    ("xoxp-", 12),
    ("xoxa-", 12),
    ("xapp-", 12),
    ("sk-", 20),
    ("hvs.", 16),
    ("npm_", 20),
    ("ya29.", 16),
    ("AIza", 30),
    ("dop_v1_", 20),
];

/// Whether a value of this name is a secret.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    NAMES.iter().any(|word| name.contains(word))
}

/// What the words before mean for the next one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    /// It may be the name of a secret: a sign of equality would make the next word its value.
    Name,
    /// The next word is a secret.
    Sign,
}

/// The text without its secrets; each is replaced by [`REMOVED`].
pub fn scrub(text: &str) -> String {
    let text = without_pem(text);
    let mut out = String::with_capacity(text.len());
    let mut before = Before::Nothing;
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        let is_word = !is_separator(first);
        let end = rest.find(|ch| is_separator(ch) == is_word).unwrap_or(rest.len());
        let (piece, after) = rest.split_at(end);
        rest = after;
        if is_word {
            before = word(piece, before, &mut out);
        } else {
            if !piece.chars().all(|ch| ch.is_whitespace() || matches!(ch, '"' | '\'')) {
                before = Before::Nothing;
            }
            out.push_str(piece);
        }
    }
    out
}

fn is_separator(ch: char) -> bool {
    ch.is_whitespace()
        || matches!(
            ch,
            '"' | '\'' | '`' | ',' | ';' | '(' | ')' | '[' | ']' | '{' | '}' | '<' | '>' | '|' | '&'
        )
}

/// Writes a word without what is secret in it.
fn word(word: &str, before: Before, out: &mut String) -> Before {
    let is_scheme = |word: &str| matches!(word.to_ascii_lowercase().as_str(), "bearer" | "basic");
    let value = word.trim_start_matches(['=', ':']);
    let has_sign = value.len() < word.len();
    let is_value = before == Before::Sign || (before == Before::Name && has_sign);
    if value.is_empty() || is_scheme(value) {
        out.push_str(word);
        return if is_value || !value.is_empty() { Before::Sign } else { Before::Nothing };
    }
    if is_value {
        out.push_str(&word[..word.len() - value.len()]);
        out.push_str(REMOVED);
        return Before::Nothing;
    }
    if let Some((scheme, address)) = word.split_once("://") {
        out.push_str(&format!("{scheme}://"));
        out.push_str(&without_login(address));
        return Before::Nothing;
    }
    if let Some(at) = word.find(['=', ':']) {
        let (name, value) = word.split_at(at);
        if is_secret_name(name) {
            let value = value.trim_start_matches(['=', ':']);
            out.push_str(&word[..word.len() - value.len()]);
            if value.is_empty() {
                return Before::Sign;
            }
            out.push_str(REMOVED);
            return Before::Nothing;
        }
    }
    out.push_str(&without_shapes(word));
    match is_secret_name(word) {
        true if word.starts_with("--") => Before::Sign,
        true => Before::Name,
        false => Before::Nothing,
    }
}

/// `user:pass@host/x?token=y` without login, without what a query names, and without the path of a webhook.
fn without_login(address: &str) -> String {
    let (authority, path) = address.find('/').map_or((address, ""), |at| address.split_at(at));
    let host = authority.rsplit_once('@').map(|(_, host)| format!("{REMOVED}@{host}"));
    let host = host.unwrap_or_else(|| authority.to_owned());
    let lower = address.to_ascii_lowercase();
    if lower.contains("hook") {
        return if path.len() > 1 { format!("{host}/{REMOVED}") } else { host };
    }
    match path.split_once('?') {
        Some((path, query)) => {
            let (name, value) = query.split_once('=').unwrap_or((query, ""));
            let value = if is_secret_name(name) { REMOVED.to_owned() } else { without_shapes(value) };
            format!("{host}{}?{name}={value}", without_shapes(path))
        }
        None => format!("{host}{}", without_shapes(path)),
    }
}

/// A word whose parts between `=`, `:`, `@` and `/` do not look like secrets, nor it as a whole.
fn without_shapes(word: &str) -> String {
    if is_secret_shape(word) {
        return REMOVED.to_owned();
    }
    let mut out = String::with_capacity(word.len());
    let mut rest = word;
    while !rest.is_empty() {
        let end = rest.find(['=', ':', '@', '/']).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        out.push_str(if is_secret_shape(part) { REMOVED } else { part });
        let sign = after.len().min(1);
        out.push_str(&after[..sign]);
        rest = &after[sign..];
    }
    out
}

fn is_secret_shape(part: &str) -> bool {
    let part = part.trim_end_matches(['.', ':', '=']);
    let by_prefix = PREFIXES.iter().any(|(prefix, least)| part.starts_with(prefix) && part.len() >= *least);
    by_prefix || is_bootstrap_token(part) || is_long_mixture(part)
}

/// `abcdef.0123456789abcdef`, as kubeadm makes them.
fn is_bootstrap_token(part: &str) -> bool {
    let is_plain = |text: &str| text.chars().all(|ch| ch.is_ascii_lowercase() || ch.is_ascii_digit());
    part.split_once('.').is_some_and(|(id, secret)| {
        id.len() == 6
            && secret.len() == 16
            && is_plain(id)
            && is_plain(secret)
            && part.contains(char::is_numeric)
    })
}

/// At least 32 characters of base64 (or its form for addresses) with upper case, lower case and digits, three each.
fn is_long_mixture(part: &str) -> bool {
    let is_base64 = |ch: char| ch.is_ascii_alphanumeric() || matches!(ch, '+' | '/' | '_' | '-' | '=');
    let count = |is: fn(&char) -> bool| part.chars().filter(is).count();
    part.len() >= 32
        && !part.starts_with('/')
        && part.chars().all(is_base64)
        && count(char::is_ascii_uppercase) >= 3
        && count(char::is_ascii_lowercase) >= 3
        && count(char::is_ascii_digit) >= 3
}

/// Blocks from `-----BEGIN` to the end of their `-----END …-----`, or to the end of the text.
fn without_pem(text: &str) -> String {
    const BEGIN: &str = "-----BEGIN";
    const END: &str = "-----END";
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(BEGIN) {
        out.push_str(&rest[..at]);
        out.push_str(REMOVED);
        let block = &rest[at..];
        let end = block.find(END).map(|end| end + END.len());
        let close = end.and_then(|end| block[end..].find("-----").map(|close| end + close + 5));
        rest = close.map_or("", |close| &block[close..]);
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_as_a_secret_goes() {
        let cases = [
            ("login with password=hunter2 failed", "login with password=[removed] failed"),
            ("password: hunter2, user: ops", "password: [removed], user: ops"),
            ("token = abc, the token expired", "token = [removed], the token expired"),
            (r#"{"token":"abc","node":"cp-1"}"#, r#"{"token":"[removed]","node":"cp-1"}"#),
            ("Authorization: Bearer abc.def", "Authorization: Bearer [removed]"),
            ("kubeadm join --token x1 --v 5", "kubeadm join --token [removed] --v 5"),
            ("AWS_SECRET_ACCESS_KEY=abc/def", "AWS_SECRET_ACCESS_KEY=[removed]"),
            ("https://ops:pw@host:6443/x", "https://[removed]@host:6443/x"),
            ("https://hooks.slack.com/services/T0/B0/xyz", "https://hooks.slack.com/[removed]"),
            ("https://host/x?token=abc", "https://host/x?token=[removed]"),
        ];
        for (text, expected) in cases {
            assert_eq!(scrub(text), expected);
        }
    }

    #[test]
    fn what_looks_like_a_secret_goes() {
        for secret in [
            "eyJhbGciOiJSUzI1NiIs.eyJpc3MiOiJrdWJl.c2lnbmF0dXJl",
            "AKIAIOSFODNN7EXAMPLE",
            "ghp_0123456789abcdefghij",
            "abcdef.0123456789abcdef",
            "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY1234",
            "-----BEGIN RSA PRIVATE KEY----- MIIEow -----END RSA PRIVATE KEY-----",
        ] {
            let text = scrub(&format!("before {secret} after"));
            assert_eq!(text, "before [removed] after", "{secret}");
        }
        assert_eq!(scrub("x -----BEGIN CERTIFICATE----- MIIB"), "x [removed]");
    }

    #[test]
    fn ordinary_words_stay() {
        for text in [
            "run reboot-cp-1-20251120T090000-ab12 is done",
            "boot 5f0c3f0e-6ad5-4b4e-8a7e-0a4c6a7d0f5e, image sha256:0123456789abcdef0123456789abcdef",
            "the token expired; MountVolume.SetUp failed: secret \"db\" not found",
            "kubectl uncordon cp-1 --context pitstop-sim",
            "evicting team-a/api-7d9c5b8f6d-x2x4z: maxUnavailable=0",
            "/var/lib/etcd/member/snap/Snapshot-20251120T090000Z-cp-1-etcd.db",
            "",
        ] {
            assert_eq!(scrub(text), text);
        }
    }
}
