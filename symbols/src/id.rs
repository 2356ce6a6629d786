//! Build ids: what tells two builds of one file apart.

use std::fmt;

/// A build id as in the note `NT_GNU_BUILD_ID`: 1 to 64 bytes, printed as lowercase hex.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BuildId(Box<[u8]>);

/// Longest id accepted. Linkers write 8 (`fast`), 16 (`md5`, `uuid`), 20 (`sha1`) or, by `--build-id=0x…`, any number
/// of bytes; 64 is the length of the longest hash in use.
const MAX_BYTES: usize = 64;

impl BuildId {
    /// An id of these bytes; `None` if there are none or more than 64.
    pub fn from_bytes(bytes: &[u8]) -> Option<BuildId> {
        (1..=MAX_BYTES).contains(&bytes.len()).then(|| BuildId(bytes.into()))
    }

    /// An id from its hexadecimal form, upper or lower case; `None` for anything else.
    pub fn from_hex(text: &str) -> Option<BuildId> {
        let digits: Vec<u8> =
            text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<_>>()?;
        let (pairs, rest) = digits.as_chunks::<2>();
        if !rest.is_empty() {
            return None;
        }
        let bytes: Vec<u8> = pairs.iter().map(|[high, low]| (high << 4) | low).collect();
        BuildId::from_bytes(&bytes)
    }

    /// The bytes as they stand in the note.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BuildId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_printed_lowercase_and_read_in_both_cases() {
        let id = BuildId::from_bytes(&[0xab, 0x01, 0xff]).unwrap();
        assert_eq!(id.to_string(), "ab01ff");
        assert_eq!(BuildId::from_hex("AB01fF"), Some(id));
    }

    #[test]
    fn odd_empty_long_and_foreign_text_is_no_id() {
        for text in ["", "abc", "zz", "+1", "é0", &"00".repeat(65)] {
            assert_eq!(BuildId::from_hex(text), None, "{text}");
        }
        assert!(BuildId::from_hex(&"00".repeat(64)).is_some());
    }
}
