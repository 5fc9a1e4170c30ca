//! The header and the chunks of a sealed file.

use super::Recipient;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use ring::rand::{SecureRandom, SystemRandom};
use ring::{hkdf, hmac};
use zeroize::Zeroizing;

/// Bytes of content in one chunk.
pub const CHUNK: usize = 64 * 1024;
const VERSION: &str = "age-encryption.org/v1";
const FAILED: &str = "the cryptographic library failed";

/// Seals content of any length, in any portions.
pub struct Sealer {
    key: LessSafeKey,
    counter: u64,
    pending: Zeroizing<Vec<u8>>,
}

impl Sealer {
    /// A sealer with a fresh key, and the header that goes before the content.
    pub fn new(recipients: &[Recipient]) -> Result<(Self, Vec<u8>), &'static str> {
        if recipients.is_empty() {
            return Err("nobody is named for whom it is to be sealed");
        }
        let random = SystemRandom::new();
        let mut file_key = Zeroizing::new([0_u8; 16]);
        random.fill(file_key.as_mut()).map_err(|_| FAILED)?;
        let mut header = format!("{VERSION}\n");
        for recipient in recipients {
            let (share, body) = wrap(&random, recipient, file_key.as_ref())?;
            header.push_str(&format!(
                "-> X25519 {}\n{}\n",
                STANDARD_NO_PAD.encode(share),
                STANDARD_NO_PAD.encode(body)
            ));
        }
        header.push_str("---");
        let key = derive(file_key.as_ref(), &[], b"header")?;
        let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()), header.as_bytes());
        header.push_str(&format!(" {}\n", STANDARD_NO_PAD.encode(mac.as_ref())));
        let mut nonce = [0_u8; 16];
        random.fill(&mut nonce).map_err(|_| FAILED)?;
        let key = cipher(derive(file_key.as_ref(), &nonce, b"payload")?.as_ref())?;
        let mut bytes = header.into_bytes();
        bytes.extend_from_slice(&nonce);
        Ok((Self { key, counter: 0, pending: Zeroizing::new(Vec::with_capacity(2 * CHUNK)) }, bytes))
    }

    /// Takes content; returns what is sealed by it. A whole chunk waits until more comes: the last one is marked.
    pub fn update(&mut self, content: &[u8]) -> Result<Vec<u8>, &'static str> {
        self.pending.extend_from_slice(content);
        let mut sealed = Vec::new();
        while self.pending.len() > CHUNK {
            let chunk: Vec<u8> = self.pending.drain(..CHUNK).collect();
            sealed.extend(self.seal(chunk, false)?);
        }
        Ok(sealed)
    }

    /// The last chunk.
    pub fn finish(mut self) -> Result<Vec<u8>, &'static str> {
        let chunk = std::mem::take(&mut *self.pending);
        self.seal(chunk, true)
    }

    fn seal(&mut self, mut chunk: Vec<u8>, is_last: bool) -> Result<Vec<u8>, &'static str> {
        let mut nonce = [0_u8; 12];
        nonce[3..11].copy_from_slice(&self.counter.to_be_bytes());
        nonce[11] = u8::from(is_last);
        self.counter += 1;
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut chunk)
            .map_err(|_| FAILED)?;
        Ok(chunk)
    }
}

/// The file key for one recipient: our share of the agreement, and the key under what was agreed on.
fn wrap(
    random: &SystemRandom,
    recipient: &Recipient,
    file_key: &[u8],
) -> Result<(Vec<u8>, Vec<u8>), &'static str> {
    let ours = EphemeralPrivateKey::generate(&X25519, random).map_err(|_| FAILED)?;
    let share = ours.compute_public_key().map_err(|_| FAILED)?.as_ref().to_vec();
    let salt = [share.as_slice(), &recipient.key].concat();
    let theirs = UnparsedPublicKey::new(&X25519, recipient.key);
    let info = format!("{VERSION}/X25519");
    let key = agree_ephemeral(ours, &theirs, |shared| derive(shared, &salt, info.as_bytes()))
        .map_err(|_| "a recipient's key is not one that can be agreed with")??;
    let mut body = file_key.to_vec();
    // a key of its own for this one message
    let nonce = Nonce::assume_unique_for_key([0; 12]);
    cipher(key.as_ref())?.seal_in_place_append_tag(nonce, Aad::empty(), &mut body).map_err(|_| FAILED)?;
    Ok((share, body))
}

fn cipher(key: &[u8]) -> Result<LessSafeKey, &'static str> {
    UnboundKey::new(&CHACHA20_POLY1305, key).map(LessSafeKey::new).map_err(|_| FAILED)
}

/// HKDF-SHA-256, 32 bytes.
fn derive(secret: &[u8], salt: &[u8], info: &[u8]) -> Result<Zeroizing<[u8; 32]>, &'static str> {
    let mut key = Zeroizing::new([0; 32]);
    let pseudo_random = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(secret);
    let info = [info];
    let expanded = pseudo_random.expand(&info, hkdf::HKDF_SHA256).map_err(|_| FAILED)?;
    expanded.fill(key.as_mut()).map_err(|_| FAILED)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a reader with the private key does; every step of it checks one of ours.
    fn open(sealed: &[u8], private: EphemeralPrivateKey) -> Vec<u8> {
        let public = private.compute_public_key().expect("public");
        let end = sealed.windows(5).position(|window| window == b"\n--- ").expect("end of the header");
        let line_end = end + 5 + sealed[end + 5..].iter().position(|byte| *byte == b'\n').expect("line");
        let header = std::str::from_utf8(&sealed[..line_end]).expect("text");
        let lines: Vec<&str> = header.lines().collect();
        let decode = |text: &str| STANDARD_NO_PAD.decode(text).expect("base64");
        assert_eq!(lines[0], VERSION);
        let share = decode(lines[1].strip_prefix("-> X25519 ").expect("a stanza"));
        let salt = [share.as_slice(), public.as_ref()].concat();
        let info = format!("{VERSION}/X25519");
        let theirs = UnparsedPublicKey::new(&X25519, share.clone());
        let key = agree_ephemeral(private, &theirs, |shared| derive(shared, &salt, info.as_bytes()))
            .expect("agreed");
        let mut body = decode(lines[2]);
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        let wrapping = cipher(key.expect("key").as_ref()).expect("cipher");
        let file_key = wrapping.open_in_place(nonce, Aad::empty(), &mut body).expect("unwrapped").to_vec();
        let mac = decode(lines.last().and_then(|line| line.strip_prefix("--- ")).expect("mac"));
        let key = derive(&file_key, &[], b"header").expect("key");
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_ref());
        hmac::verify(&key, &sealed[..end + 4], &mac).expect("the header is whole");
        let (nonce, chunks) = sealed[line_end + 1..].split_at(16);
        let key = cipher(derive(&file_key, nonce, b"payload").expect("key").as_ref()).expect("cipher");
        let mut content = Vec::new();
        let mut all = chunks.chunks(CHUNK + 16).enumerate().peekable();
        while let Some((count, chunk)) = all.next() {
            let mut nonce = [0_u8; 12];
            nonce[3..11].copy_from_slice(&(count as u64).to_be_bytes());
            nonce[11] = u8::from(all.peek().is_none());
            let mut chunk = chunk.to_vec();
            let nonce = Nonce::assume_unique_for_key(nonce);
            content.extend_from_slice(key.open_in_place(nonce, Aad::empty(), &mut chunk).expect("a chunk"));
        }
        content
    }

    #[test]
    fn what_was_sealed_is_opened_by_its_reader_whatever_its_length() {
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 17] {
            let private = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new()).expect("key");
            let key = private.compute_public_key().expect("public").as_ref().try_into().expect("32 bytes");
            let reader = Recipient { text: String::new(), key };
            let content: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).expect("a byte")).collect();
            let (mut sealer, mut sealed) = Sealer::new(&[reader]).expect("sealer");
            for portion in content.chunks(10_000) {
                sealed.extend(sealer.update(portion).expect("update"));
            }
            sealed.extend(sealer.finish().expect("finish"));
            assert!(length < 100 || !sealed.windows(40).any(|window| window == &content[..40]), "{length}");
            assert_eq!(open(&sealed, private), content, "{length}");
        }
        assert!(Sealer::new(&[]).is_err());
    }
}
