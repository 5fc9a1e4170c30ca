//! What files of known hosts say.

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
    for broken in ["cp-1", "cp-1 ssh-ed25519", "cp-1 ssh-ed25519 %%%", "@maybe cp-1 x y", "cp-1 ssh-rsa AAAA"]
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

fn certified(text: &str, principals: &[&str], signed_by: u8, defect: Option<&str>) -> Verdict {
    let known = KnownHosts { files: vec![(PathBuf::from("f"), text.to_owned())] };
    let principals: Vec<String> = principals.iter().map(|name| (*name).to_owned()).collect();
    let (key, authority) = (blob(ED, 7), blob(ED, signed_by));
    let key = HostKey { algorithm: ED, blob: &key };
    let shown = HostCertificate { key, authority: &authority, principals: &principals, defect };
    known.check_certificate("a.lab", 22, &shown)
}

#[test]
fn a_certificate_counts_when_its_authority_is_recorded_and_it_names_the_host() {
    let text = format!("@cert-authority *.lab {}\n", key(ED, 1));
    assert_eq!(certified(&text, &["a.lab"], 1, None), Verdict::Known);
    assert_eq!(certified(&text, &["b.lab", "*.lab"], 1, None), Verdict::Known);
    for (principals, signed_by, defect) in
        [(&["b.lab"][..], 1, None), (&[][..], 1, None), (&["a.lab"][..], 1, Some("it has expired"))]
    {
        let verdict = certified(&text, principals, signed_by, defect);
        assert!(matches!(&verdict, Verdict::BadCertificate(at, _) if at.line == 1), "{verdict:?}");
    }
    // by another authority it is a plain key
    assert_eq!(certified(&text, &["a.lab"], 2, None), Verdict::AuthorityOnly(at(1)));
    let both = format!("{text}a.lab {}\n", key(ED, 7));
    assert_eq!(certified(&both, &["a.lab"], 2, None), Verdict::Known);
}

#[test]
fn a_revoked_authority_or_key_makes_a_certificate_worthless() {
    for revoked in [1, 7] {
        let text = format!("@cert-authority *.lab {}\n@revoked * {}\n", key(ED, 1), key(ED, revoked));
        assert_eq!(certified(&text, &["a.lab"], 1, None), Verdict::Revoked(at(2)), "{revoked}");
    }
}
