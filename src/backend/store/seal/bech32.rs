//! Bech32, as far as public keys of age need it (BIP 173, without its limit of length).

const LETTERS: &str = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
/// Letters of the checksum.
const CHECK: usize = 6;

/// The bytes of a lower-case text with that prefix, when its checksum is right.
pub fn decode(prefix: &str, text: &str) -> Result<Vec<u8>, &'static str> {
    let rest =
        text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('1')).ok_or("its prefix is another")?;
    let values: Option<Vec<u8>> =
        rest.chars().map(|letter| LETTERS.find(letter).and_then(|place| u8::try_from(place).ok())).collect();
    let values = values.ok_or("it holds a letter that cannot stand there")?;
    let high = prefix.bytes().map(|letter| letter >> 5);
    let low = prefix.bytes().map(|letter| letter & 31);
    if values.len() < CHECK || checksum(high.chain([0]).chain(low).chain(values.iter().copied())) != 1 {
        return Err("its checksum is wrong: a letter is mistyped");
    }
    bytes(&values[..values.len() - CHECK])
}

fn checksum(values: impl Iterator<Item = u8>) -> u32 {
    const GENERATORS: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    values.fold(1, |sum, value| {
        let top = sum >> 25;
        let next = ((sum & 0x01ff_ffff) << 5) ^ u32::from(value);
        GENERATORS
            .iter()
            .enumerate()
            .filter(|(bit, _)| (top >> bit) & 1 == 1)
            .fold(next, |next, (_, generator)| next ^ generator)
    })
}

/// Groups of five bits as bytes; what is left over must be zero.
fn bytes(values: &[u8]) -> Result<Vec<u8>, &'static str> {
    let (mut all, mut buffer, mut bits) = (Vec::new(), 0_u32, 0);
    for value in values {
        buffer = (buffer << 5) | u32::from(*value);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            all.push(u8::try_from((buffer >> bits) & 0xff).unwrap_or_default());
            buffer &= (1 << bits) - 1;
        }
    }
    if bits >= 5 || buffer != 0 { Err("its end is not well-formed") } else { Ok(all) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_held() {
        // a valid text of BIP 173
        let text = "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw";
        assert_eq!(decode("abcdef", text).expect("valid").len(), 20);
        assert!(decode("abcdef", &text.replace("qqqx", "qqpx")).is_err());
        assert!(decode("abc", text).is_err());
        assert!(decode("abcdef", "abcdef1b").is_err());
    }
}
