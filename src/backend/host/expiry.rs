//! When the certificates on a host end. A node whose kubelet, API server or etcd has an expired certificate does not come back
//! from a reboot (kubeadm, RKE2, k3s and k0s keep them in the places below).

use super::{Hosts, Target};
use crate::backend::error::Error;
use crate::domain::host::HostFinding;
use crate::domain::text::clean;
use crate::domain::time::{Stamp, brief};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::time::Duration;

/// A certificate that ends within this time blocks the reboot.
const SOON: Duration = Duration::from_hours(7 * 24);
/// It is made once, for a year, and never again: the kubelet serves with it whatever its end, and comes back with it.
const SELF_MADE: &str = "/var/lib/kubelet/pki/kubelet.crt";
/// So many files are read at the same time (`MaxSessions` is 10 by default).
const AT_ONCE: usize = 4;
/// Certificates by path, and what they are of. Those that are not there are left out.
const PLACES: [(&str, &str); 14] = [
    ("/var/lib/kubelet/pki/kubelet-client-current.pem", "the kubelet's client certificate"),
    (SELF_MADE, "the kubelet's serving certificate"),
    ("/etc/kubernetes/pki/apiserver.crt", "the API server's certificate"),
    ("/etc/kubernetes/pki/apiserver-kubelet-client.crt", "the API server's certificate for kubelets"),
    ("/etc/kubernetes/pki/apiserver-etcd-client.crt", "the API server's certificate for etcd"),
    ("/etc/kubernetes/pki/front-proxy-client.crt", "the front proxy's certificate"),
    ("/etc/kubernetes/pki/etcd/server.crt", "etcd's server certificate"),
    ("/etc/kubernetes/pki/etcd/peer.crt", "etcd's peer certificate"),
    ("/etc/kubernetes/pki/etcd/healthcheck-client.crt", "etcd's health check certificate"),
    ("/var/lib/rancher/rke2/server/tls/serving-kube-apiserver.crt", "the API server's certificate"),
    ("/var/lib/rancher/rke2/server/tls/etcd/server-client.crt", "etcd's client certificate"),
    ("/var/lib/rancher/k3s/server/tls/serving-kube-apiserver.crt", "the API server's certificate"),
    ("/var/lib/rancher/k3s/server/tls/etcd/server-client.crt", "etcd's client certificate"),
    ("/var/lib/k0s/pki/server.crt", "the API server's certificate"),
];

impl Hosts {
    /// What ends soon or has ended, and what could not be read. A file may hold a key beside its certificate (the kubelet's
    /// does): its content goes no further than here, and is overwritten.
    pub(super) async fn expiry(
        &self,
        target: &Target,
        as_root: bool,
        now: Stamp,
    ) -> Result<Vec<HostFinding>, Error> {
        let prefix = if as_root { self.as_root(target, &[]).await? } else { Vec::new() };
        let mut answers = Vec::new();
        for some in PLACES.chunks(AT_ONCE) {
            let argvs: Vec<Vec<&str>> =
                some.iter().map(|(path, _)| [&prefix[..], &["cat", path]].concat()).collect();
            let reads = argvs.iter().map(|argv| self.run_on(target, argv));
            let read = futures::future::join_all(reads).await;
            answers.extend(some.iter().zip(read).map(|(place, output)| (place.0, place.1, output)));
        }
        let mut findings = Vec::new();
        let mut unread = Vec::new();
        for (path, what, output) in answers {
            let output = output?;
            let text = zeroize::Zeroizing::new(output.stdout);
            match output.status {
                Some(0) => findings.extend(judge(&text, path, what, now)),
                Some(_) if output.stderr.contains("No such file") || output.stderr.contains("not found") => {}
                _ => unread.push(path),
            }
        }
        if !unread.is_empty() {
            let text = format!(
                "whether these certificates end soon is not known (they cannot be read): {}",
                unread.join(", ")
            );
            findings.push(HostFinding { check: "certificates".to_owned(), blocks: false, text });
        }
        Ok(findings)
    }
}

fn judge(text: &str, path: &str, what: &str, now: Stamp) -> Option<HostFinding> {
    let finding = |blocks, text| Some(HostFinding { check: "certificates".to_owned(), blocks, text });
    // the first one is the holder's own; others are its authorities
    let Some(Ok(certificate)) = CertificateDer::pem_slice_iter(text.as_bytes()).next() else {
        return finding(false, format!("{what} cannot be understood: {}", clean(path)));
    };
    let Some(end) = not_after(&certificate) else {
        return finding(false, format!("when {what} ends cannot be told: {}", clean(path)));
    };
    if path == SELF_MADE {
        let has_ended = || finding(false, format!("{what} ended {} ago ({path})", brief(now.since(end))));
        return (end.0 <= now.0).then(has_ended).flatten();
    }
    if end.0 <= now.0 {
        return finding(
            true,
            format!("{what} ended {} ago ({path}): the node would not come back", brief(now.since(end))),
        );
    }
    let left = end.since(now);
    (left <= SOON)
        .then(|| finding(true, format!("{what} ends in {} ({path}): renew it first", brief(left))))
        .flatten()
}

/// The end of an X.509 certificate's validity (RFC 5280, 4.1): certificate → its signed part → the fifth field, after the
/// version where there is one.
fn not_after(der: &[u8]) -> Option<Stamp> {
    let (_, certificate, _) = element(der)?;
    let (_, mut signed, _) = element(certificate)?;
    let (tag, _, rest) = element(signed)?;
    if tag == 0xa0 {
        signed = rest;
    }
    // serial number, algorithm, issuer
    for _ in 0..3 {
        signed = element(signed)?.2;
    }
    let (_, validity, _) = element(signed)?;
    let (_, _, end) = element(validity)?;
    let (tag, text, _) = element(end)?;
    let text = std::str::from_utf8(text).ok()?;
    let digits = text.strip_suffix('Z')?;
    let full = match (tag, digits.len()) {
        // UTCTime: years from 50 on are of the last century
        (0x17, 12) => format!("{}{digits}", if digits[..2] < *"50" { "20" } else { "19" }),
        (0x18, 14) => digits.to_owned(),
        _ => return None,
    };
    let part = |range: std::ops::Range<usize>| full.get(range)?.parse::<i16>().ok();
    let small = |range: std::ops::Range<usize>| full.get(range)?.parse::<i8>().ok();
    let at = jiff::civil::DateTime::new(
        part(0..4)?,
        small(4..6)?,
        small(6..8)?,
        small(8..10)?,
        small(10..12)?,
        small(12..14)?,
        0,
    )
    .ok()?;
    let at = at.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(Stamp(at.timestamp().as_millisecond()))
}

/// The first element of DER: its tag, its content, and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 4 || rest.len() < count {
            return None;
        }
        let (bytes, rest) = rest.split_at(count);
        (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
    };
    (rest.len() >= length).then(|| (tag, &rest[..length], &rest[length..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    fn certificate(year: i32, month: u8, day: u8) -> String {
        let mut params = CertificateParams::new(vec!["x".to_owned()]).expect("params");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, month, day);
        let key = KeyPair::generate().expect("key");
        params.self_signed(&key).expect("certificate").pem()
    }

    fn judged(pem: &str) -> Option<(bool, String)> {
        // 2026-11-20T00:00:00Z
        let now = Stamp(1_795_132_800_000);
        judge(pem, "/p", "it", now).map(|finding| (finding.blocks, finding.text))
    }

    #[test]
    fn certificates_that_end_within_a_week_block() {
        assert_eq!(judged(&certificate(2027, 1, 1)), None);
        assert_eq!(judged(&certificate(2126, 1, 1)), None, "GeneralizedTime");
        let (blocks, text) = judged(&certificate(2026, 11, 24)).expect("soon");
        assert!(blocks && text.contains("ends in 4d"), "{text}");
        let (blocks, text) = judged(&certificate(2026, 11, 10)).expect("ended");
        assert!(blocks && text.contains("ended 10d"), "{text}");
    }

    #[test]
    fn the_kubelets_own_certificate_keeps_no_node_away() {
        let now = Stamp(1_795_132_800_000);
        let old = judge(&certificate(2026, 11, 10), SELF_MADE, "it", now).expect("said");
        assert!(!old.blocks && old.text.contains("ended 10d"), "{}", old.text);
        assert_eq!(judge(&certificate(2026, 11, 24), SELF_MADE, "it", now), None);
    }

    #[test]
    fn what_is_no_certificate_is_said_to_be_none() {
        let (blocks, text) = judged("garbage PLANTED").expect("not understood");
        assert!(!blocks && !text.contains("PLANTED"), "{text}");
        assert_eq!(not_after(&[0x30, 0x82, 0xff, 0xff]), None);
    }
}
