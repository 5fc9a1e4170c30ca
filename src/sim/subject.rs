//! Reads whom a client certificate names: common name and organizations, straight from its DER bytes.
//!
//! Source: RFC 5280, section 4.1 (order of the fields of a certificate), X.690 (tags and lengths).

/// Content of the object identifier 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// Content of the object identifier 2.5.4.10.
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_ID: u8 = 0x06;
/// `[0]`: the version, absent in version 1.
const EXPLICIT_0: u8 = 0xa0;

/// Whom a certificate names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Name {
    /// Common name.
    pub common_name: String,
    /// Organizations, in their order.
    pub organizations: Vec<String>,
}

/// The subject of a certificate; `None` when these are not the bytes of one.
pub fn of(der: &[u8]) -> Option<Name> {
    let (certificate, _) = take(der, SEQUENCE)?;
    let (mut fields, _) = take(certificate, SEQUENCE)?;
    if fields.first() == Some(&EXPLICIT_0) {
        fields = skip(fields)?;
    }
    // serial number, signature algorithm, issuer, validity
    for _ in 0..4 {
        fields = skip(fields)?;
    }
    let (mut subject, _) = take(fields, SEQUENCE)?;
    let mut name = Name::default();
    while !subject.is_empty() {
        let (mut parts, rest) = take(subject, SET)?;
        subject = rest;
        while !parts.is_empty() {
            let (attribute, rest) = take(parts, SEQUENCE)?;
            parts = rest;
            let (kind, value) = take(attribute, OBJECT_ID)?;
            let (_, text, _) = element(value)?;
            let text = String::from_utf8_lossy(text).into_owned();
            match kind {
                COMMON_NAME => name.common_name = text,
                ORGANIZATION => name.organizations.push(text),
                _ => {}
            }
        }
    }
    Some(name)
}

/// The content of the first element, which must have this tag, and what follows it.
fn take(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(bytes)?;
    (found == tag).then_some((content, rest))
}

fn skip(bytes: &[u8]) -> Option<&[u8]> {
    element(bytes).map(|(_, _, rest)| rest)
}

/// Tag and content of the first element, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, bytes) = bytes.split_first()?;
    let (&first, mut bytes) = bytes.split_first()?;
    let mut length = usize::from(first);
    if first >= 0x80 {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 4 || bytes.len() < count {
            return None;
        }
        length = bytes[..count].iter().fold(0, |sum, byte| (sum << 8) | usize::from(*byte));
        bytes = &bytes[count..];
    }
    (bytes.len() >= length).then(|| (tag, &bytes[..length], &bytes[length..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::tls::{Authority, Subject, certificates};

    #[test]
    fn reads_what_was_issued_and_nothing_from_garbage() {
        let authority = Authority::generate("kubernetes").unwrap();
        let subject = Subject {
            common_name: "jané",
            organization: Some("system:masters"),
            names: &[],
            server: false,
            client: true,
        };
        let der = certificates(&authority.issue(&subject).unwrap().cert).unwrap().remove(0);
        let name = of(&der).unwrap();
        assert_eq!(name.common_name, "jané");
        assert_eq!(name.organizations, ["system:masters"]);
        for end in 0..der.len() {
            let _ = of(&der[..end]);
        }
        assert_eq!(of(b"\x30\x84\xff\xff\xff\xff"), None);
    }
}
