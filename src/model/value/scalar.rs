//! Numbers, characters and text as they are shown on a line.

use std::fmt::{self, Display};

use super::{Scalar, Text};

impl Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Scalar::Boolean(0) => f.write_str("false"),
            Scalar::Boolean(1) => f.write_str("true"),
            Scalar::Boolean(other) => write!(f, "true ({other})"),
            Scalar::Signed(number) => number.fmt(f),
            Scalar::Unsigned(number) => number.fmt(f),
            Scalar::Float32(number) => write!(f, "{number:?}"),
            Scalar::Float64(number) => write!(f, "{number:?}"),
            Scalar::Character(unit) => character(unit, f),
            Scalar::Unit(unit) => self::unit(unit, f),
        }
    }
}

/// A character as C writes it, with its number where signed and unsigned ones agree on it.
fn character(unit: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match u8::try_from(unit) {
        Ok(byte) if byte < 0x80 => {
            write!(f, "{byte} '")?;
            escaped(char::from(byte), '\'', f)?;
            f.write_str("'")
        }
        Ok(byte) => write!(f, "'\\x{byte:02x}'"),
        Err(_) => match char::from_u32(unit) {
            Some(letter) => {
                f.write_str("'")?;
                escaped(letter, '\'', f)?;
                f.write_str("'")
            }
            None => write!(f, "{unit:#x}"),
        },
    }
}

/// A character as C# writes it; half of one by its number.
fn unit(unit: u16, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Some(letter) = char::from_u32(unit.into()) else { return write!(f, "'\\u{unit:04x}'") };
    f.write_str("'")?;
    escaped(letter, '\'', f)?;
    f.write_str("'")
}

/// Bytes as a C string literal; `…` behind it where there was more.
impl Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for chunk in self.bytes.utf8_chunks() {
            for letter in chunk.valid().chars() {
                escaped(letter, '"', f)?;
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        f.write_str(if self.cut { "\"…" } else { "\"" })
    }
}

fn escaped(letter: char, quote: char, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match letter {
        '\n' => f.write_str("\\n"),
        '\t' => f.write_str("\\t"),
        '\r' => f.write_str("\\r"),
        '\0' => f.write_str("\\0"),
        letter if letter == quote || letter == '\\' => write!(f, "\\{letter}"),
        letter if letter.is_control() => write!(f, "\\x{:02x}", u32::from(letter)),
        letter => write!(f, "{letter}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_written_as_c_and_rust_write_it() {
        assert_eq!(Scalar::Signed(-1).to_string(), "-1");
        assert_eq!(Scalar::Unsigned(4_294_967_295).to_string(), "4294967295");
        assert_eq!(Scalar::Boolean(1).to_string(), "true");
        assert_eq!(Scalar::Boolean(7).to_string(), "true (7)");
        assert_eq!(Scalar::Float64(3.140_625).to_string(), "3.140625");
        assert_eq!(Scalar::Float32(1.0).to_string(), "1.0");
        assert_eq!(Scalar::Character(0x61).to_string(), "97 'a'");
        assert_eq!(Scalar::Character(0xc8).to_string(), "'\\xc8'");
        assert_eq!(Scalar::Character(0x1f600).to_string(), "'😀'");
        assert_eq!(Scalar::Character(0xd800).to_string(), "0xd800");
        assert_eq!(Scalar::Unit(0xe9).to_string(), "'é'");
        assert_eq!(Scalar::Unit(0xd800).to_string(), "'\\ud800'");
    }

    #[test]
    fn text_is_quoted_and_shows_bytes_that_are_none() {
        let text = |bytes: &[u8], cut| Text { bytes: bytes.to_vec(), cut }.to_string();
        assert_eq!(text(b"a\"b\\\n\xff\x1b", true), "\"a\\\"b\\\\\\n\\xff\\x1b\"…");
        assert_eq!(text("Größe".as_bytes(), false), "\"Größe\"");
    }
}
