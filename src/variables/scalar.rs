//! Numbers, characters and text as they are shown.

use symbols::Encoding;

use crate::model::{Gap, Known};

/// A number of `bits` bits, the higher ones of `raw` being zero, in its encoding.
pub(super) fn number(encoding: Encoding, raw: u128, bits: u64) -> Known<String> {
    match encoding {
        Encoding::Boolean => Ok(match raw {
            0 => "false".to_owned(),
            1 => "true".to_owned(),
            other => format!("true ({other})"),
        }),
        Encoding::Signed => Ok(signed(raw, bits).to_string()),
        Encoding::Unsigned => Ok(raw.to_string()),
        Encoding::Character => Ok(character(raw)),
        Encoding::Float => match bits {
            32 => Ok(format!("{:?}", f32::from_bits(low(raw)))),
            64 => Ok(format!("{:?}", f64::from_bits(u64::try_from(raw).unwrap_or(u64::MAX)))),
            _ => Err(Gap::Unsupported(format!("a floating point number of {bits} bits"))),
        },
        Encoding::Other => Err(Gap::Unsupported("the encoding of its type".to_owned())),
    }
}

/// A two's complement number of `bits` bits.
pub(super) fn signed(raw: u128, bits: u64) -> i128 {
    let unused = 128u64.checked_sub(bits).and_then(|unused| u32::try_from(unused).ok()).filter(|unused| *unused < 128);
    match unused {
        // Shifted up and back down, so that the sign bit fills what is above it.
        Some(unused) => (raw << unused).cast_signed() >> unused,
        None => 0,
    }
}

fn low(raw: u128) -> u32 {
    u32::try_from(raw & u128::from(u32::MAX)).unwrap_or(u32::MAX)
}

/// A character as C writes it, with its number where signed and unsigned ones agree on it.
fn character(raw: u128) -> String {
    match u8::try_from(raw) {
        Ok(byte) if byte < 0x80 => format!("{byte} '{}'", escaped(char::from(byte), '\'')),
        Ok(byte) => format!("'\\x{byte:02x}'"),
        Err(_) => match u32::try_from(raw).ok().and_then(char::from_u32) {
            Some(letter) => format!("'{}'", escaped(letter, '\'')),
            None => format!("{raw:#x}"),
        },
    }
}

/// Bytes as a C string literal; `…` behind it where there was more.
pub(super) fn quoted(bytes: &[u8], cut: bool) -> String {
    let mut text = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            text.push_str(&escaped(letter, '"'));
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text.push_str(if cut { "\"…" } else { "\"" });
    text
}

fn escaped(letter: char, quote: char) -> String {
    match letter {
        '\n' => "\\n".to_owned(),
        '\t' => "\\t".to_owned(),
        '\r' => "\\r".to_owned(),
        '\0' => "\\0".to_owned(),
        letter if letter == quote || letter == '\\' => format!("\\{letter}"),
        letter if letter.is_control() => format!("\\x{:02x}", u32::from(letter)),
        letter => letter.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_in_its_encoding() {
        let shown = |encoding, raw, bits| number(encoding, raw, bits).unwrap_or_default();
        assert_eq!(shown(Encoding::Signed, 0xffff_ffff, 32), "-1");
        assert_eq!(shown(Encoding::Signed, 0x7f, 8), "127");
        assert_eq!(shown(Encoding::Signed, 0b101, 3), "-3");
        assert_eq!(shown(Encoding::Unsigned, 0xffff_ffff, 32), "4294967295");
        assert_eq!(shown(Encoding::Boolean, 1, 8), "true");
        assert_eq!(shown(Encoding::Boolean, 7, 8), "true (7)");
        assert_eq!(shown(Encoding::Float, 0x4009_2000_0000_0000, 64), "3.140625");
        assert_eq!(shown(Encoding::Character, 0x61, 8), "97 'a'");
        assert_eq!(shown(Encoding::Character, 0xc8, 8), "'\\xc8'");
        assert!(number(Encoding::Float, 0, 80).is_err());
    }

    #[test]
    fn text_is_quoted_and_shows_bytes_that_are_none() {
        assert_eq!(quoted(b"a\"b\\\n\xff\x1b", true), "\"a\\\"b\\\\\\n\\xff\\x1b\"…");
        assert_eq!(quoted("Größe".as_bytes(), false), "\"Größe\"");
    }
}
