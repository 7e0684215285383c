//! SHA-256 fingerprints as values: how they are written and read. Who makes them says over what.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A SHA-256, written as 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint(pub [u8; 32]);

/// A text that is no fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a fingerprint; write it as 64 digits, 0 to 9 and a to f")]
pub struct NotFingerprint;

impl fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl FromStr for Fingerprint {
    type Err = NotFingerprint;
    fn from_str(given: &str) -> Result<Self, NotFingerprint> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(NotFingerprint),
        };
        let (pairs, rest) = given.as_bytes().as_chunks::<2>();
        let mut bytes = [0; 32];
        if pairs.len() != bytes.len() || !rest.is_empty() {
            return Err(NotFingerprint);
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Ok(Fingerprint(bytes))
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = NotFingerprint;
    fn try_from(given: String) -> Result<Self, NotFingerprint> {
        given.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> String {
        fingerprint.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_it_is_written_and_nothing_else_is() {
        let bytes: [u8; 32] = std::array::from_fn(|place| u8::try_from(place * 8).unwrap() ^ 0x0f);
        let written = Fingerprint(bytes).to_string();
        assert!(written.starts_with("0f071f17"), "{written}");
        assert_eq!(written.parse(), Ok(Fingerprint(bytes)));
        for wrong in ["", &written[1..], &written.to_uppercase(), &format!("{written}0"), &written.replace('1', "g")] {
            assert_eq!(wrong.parse::<Fingerprint>(), Err(NotFingerprint), "{wrong}");
        }
    }
}
