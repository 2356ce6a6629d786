//! A value of type `any` as Go's runtime prints it after `panic: `.

use crate::capture::Memory;
use crate::model::{Addr, Gap, Known};

use super::image::Image;

/// Longest text and longest name of a type, in bytes.
const MAX_TEXT: u64 = 64 << 10;
const MAX_NAME: u64 = 1 << 10;

// Source: Go src/internal/abi/type.go, type Type (runtime/type.go before 1.21): Size_ 0, PtrBytes 8, Hash 16, TFlag 20, Align_ 21,
// FieldAlign_ 22, Kind_ 23, Equal 24, GCData 32, Str 40, PtrToThis 44; the same from Go 1.14 to 1.26.
const FLAGS: u64 = 20;
const KIND: u64 = 23;
const NAME: u64 = 40;
/// The name begins with a star that is not the type's. Source: the same, TFlagExtraStar, TFlagNamed.
const EXTRA_STAR: u8 = 1 << 1;
const NAMED: u8 = 1 << 2;
/// Source: the same, KindMask.
const KIND_MASK: u8 = 31;

/// The value of an interface: its type's address, then its data's.
pub(super) fn of_any(memory: &Memory, image: &Image, at: Addr) -> Known<String> {
    let kind = memory.ptr(at)?;
    let data = memory.ptr(at.plus(8).ok_or_else(|| Gap::Corrupt(format!("a panic at {at}")))?)?;
    if kind.0 == 0 {
        return Ok("nil".to_owned());
    }
    let part = |offset: u64| kind.plus(offset).ok_or_else(|| Gap::Corrupt(format!("a type at {kind}")));
    let named = memory.u8(part(FLAGS)?)? & NAMED != 0;
    let number = memory.u8(part(KIND)?)? & KIND_MASK;
    let Some(value) = basic(memory, number, data)? else {
        return Ok(format!("({}) {data}", name(memory, image, kind)?));
    };
    // A type of the program's own is printed around its value; `string`, `int` are named, too.
    let name = if named { name(memory, image, kind).ok().filter(|name| name.contains('.')) } else { None };
    Ok(match name {
        Some(name) if number == STRING => format!("{name}(\"{value}\")"),
        Some(name) => format!("{name}({value})"),
        None => value,
    })
}

// Source: Go src/internal/abi/type.go, the constants of Kind.
const BOOL: u8 = 1;
const STRING: u8 = 24;

/// A value of a basic kind as text; `None` for other kinds.
fn basic(memory: &Memory, kind: u8, data: Addr) -> Known<Option<String>> {
    let signed = |value: i64| Some(value.to_string());
    Ok(match kind {
        BOOL => Some(if memory.u8(data)? == 0 { "false" } else { "true" }.to_owned()),
        3 => signed(i64::from(memory.u8(data)?.cast_signed())),
        4 => signed(i64::from(memory.u16(data)?.cast_signed())),
        5 => signed(i64::from(memory.u32(data)?.cast_signed())),
        2 | 6 => signed(memory.u64(data)?.cast_signed()),
        8 => Some(memory.u8(data)?.to_string()),
        9 => Some(memory.u16(data)?.to_string()),
        10 => Some(memory.u32(data)?.to_string()),
        7 | 11 | 12 => Some(memory.u64(data)?.to_string()),
        13 => Some(float(f64::from(f32::from_bits(memory.u32(data)?)))),
        14 => Some(float(f64::from_bits(memory.u64(data)?))),
        STRING => Some(string(memory, data)?),
        _ => None,
    })
}

/// `+1.500000e+000`, as Go's `print` writes it.
// Source: Go src/runtime/print.go, printfloat: six digits behind the point, three of the exponent.
fn float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let text = format!("{:.6e}", value.abs());
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if value.is_sign_negative() { '-' } else { '+' };
    format!("{sign}{digits}e{}{:03}", if exponent < 0 { '-' } else { '+' }, exponent.unsigned_abs())
}

/// A string: pointer and length.
pub(super) fn string(memory: &Memory, at: Addr) -> Known<String> {
    let text = memory.ptr(at)?;
    let len = memory.u64(at.plus(8).ok_or_else(|| Gap::Corrupt(format!("a string at {at}")))?)?;
    if len > MAX_TEXT {
        return Err(Gap::Corrupt(format!("a string of {len} bytes")));
    }
    Ok(String::from_utf8_lossy(memory.slice(text, len)?).into_owned())
}

/// The type's name: `main.receipt`, `*errors.errorString`.
fn name(memory: &Memory, image: &Image, kind: Addr) -> Known<String> {
    let lost = || Gap::NotRecorded(format!("the name of the type at {kind}"));
    let offset = memory.u32(kind.plus(NAME).ok_or_else(lost)?)?;
    let at = image.name(kind, offset).ok_or_else(lost)?;
    // One byte of flags, the length as a varint (of at most two bytes here), the bytes.
    // Source: Go src/internal/abi/type.go, type Name; two bytes of length, the larger first, before 1.17.
    let byte = |offset: u64| Ok::<u8, Gap>(memory.u8(at.plus(offset).ok_or_else(lost)?)?);
    let low = byte(1)?;
    let (len, start) =
        if low & 0x80 == 0 { (u64::from(low), 2) } else { (u64::from(low & 0x7f) | (u64::from(byte(2)?) << 7), 3) };
    if len == 0 || len > MAX_NAME {
        return Err(lost());
    }
    let text = String::from_utf8_lossy(memory.slice(at.plus(start).ok_or_else(lost)?, len)?).into_owned();
    let flags = memory.u8(kind.plus(FLAGS).ok_or_else(lost)?)?;
    let bare = if flags & EXTRA_STAR != 0 { text.strip_prefix('*') } else { None };
    Ok(bare.map(str::to_owned).unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The type at 0x1000 with its name at 0x1040, the interface at 0x1080, its data at 0x10a0, a text at 0x10c0.
    fn value(kind: u8, flags: u8, name: &str, data: [u64; 2]) -> Known<String> {
        let mut bytes = vec![0u8; 0x100];
        bytes[20] = flags;
        bytes[23] = kind | 0x20; // A flag that shares the byte.
        bytes[40] = 0x40;
        bytes[0x41] = u8::try_from(name.len()).unwrap();
        bytes[0x42..0x42 + name.len()].copy_from_slice(name.as_bytes());
        for (index, word) in [0x1000, 0x10a0, 0, 0, data[0], data[1]].into_iter().enumerate() {
            bytes[0x80 + index * 8..0x88 + index * 8].copy_from_slice(&word.to_le_bytes());
        }
        bytes[0xc0..0xc5].copy_from_slice(b"hello");
        let image = Image::with_types(Addr(0x1000), Addr(0x1100));
        of_any(&Memory::of_bytes(0x1000, &bytes), &image, Addr(0x1080))
    }

    // What `go run` of Go 1.19 prints for these values.
    #[test]
    fn values_are_written_as_go_prints_them() {
        assert_eq!(value(STRING, NAMED | EXTRA_STAR, "*string", [0x10c0, 5]), Ok("hello".to_owned()));
        assert_eq!(value(STRING, NAMED | EXTRA_STAR, "*main.name", [0x10c0, 5]), Ok("main.name(\"hello\")".to_owned()));
        assert_eq!(value(2, NAMED | EXTRA_STAR, "*int", [42, 0]), Ok("42".to_owned()));
        assert_eq!(value(2, NAMED | EXTRA_STAR, "*main.code", [7, 0]), Ok("main.code(7)".to_owned()));
        assert_eq!(value(5, NAMED | EXTRA_STAR, "*int32", [0xffff_ffff, 0]), Ok("-1".to_owned()));
        assert_eq!(value(BOOL, NAMED | EXTRA_STAR, "*bool", [1, 0]), Ok("true".to_owned()));
        assert_eq!(value(14, NAMED | EXTRA_STAR, "*float64", [1.5f64.to_bits(), 0]), Ok("+1.500000e+000".to_owned()));
        assert_eq!(value(25, NAMED | EXTRA_STAR, "*main.receipt", [0, 0]), Ok("(main.receipt) 0x10a0".to_owned()));
        assert_eq!(value(22, 0, "*main.receipt", [0, 0]), Ok("(*main.receipt) 0x10a0".to_owned()));
    }

    #[test]
    fn a_text_that_cannot_be_there_is_a_gap() {
        assert!(value(STRING, 0, "string", [0x10c0, u64::MAX]).is_err());
        assert!(value(STRING, 0, "string", [0x9000, 5]).is_err());
    }

    #[test]
    fn floats_have_three_digits_of_exponent() {
        assert_eq!(float(-0.001), "-1.000000e-003");
        assert_eq!(float(0.0), "+0.000000e+000");
        assert_eq!(float(f64::INFINITY), "+Inf");
    }
}
