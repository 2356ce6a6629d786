//! Numbers, characters and truth values from their bits.

use symbols::Encoding;

use crate::model::value::Scalar;
use crate::model::{Gap, Known};

/// A number of `bits` bits, the higher ones of `raw` being zero, in its encoding.
pub(super) fn number(encoding: Encoding, raw: u128, bits: u64) -> Known<Scalar> {
    match encoding {
        Encoding::Boolean => Ok(Scalar::Boolean(raw)),
        Encoding::Signed => Ok(Scalar::Signed(signed(raw, bits))),
        Encoding::Unsigned => Ok(Scalar::Unsigned(raw)),
        Encoding::Character => match u32::try_from(raw) {
            Ok(unit) => Ok(Scalar::Character(unit)),
            Err(_) => Err(Gap::Unsupported(format!("a character of {bits} bits"))),
        },
        Encoding::Float => match bits {
            32 => Ok(Scalar::Float32(f32::from_bits(low(raw)))),
            64 => Ok(Scalar::Float64(f64::from_bits(u64::try_from(raw).unwrap_or(u64::MAX)))),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_in_its_encoding() {
        let read = |encoding, raw, bits| number(encoding, raw, bits).expect("a number");
        assert_eq!(read(Encoding::Signed, 0xffff_ffff, 32), Scalar::Signed(-1));
        assert_eq!(read(Encoding::Signed, 0x7f, 8), Scalar::Signed(127));
        assert_eq!(read(Encoding::Signed, 0b101, 3), Scalar::Signed(-3));
        assert_eq!(read(Encoding::Unsigned, 0xffff_ffff, 32), Scalar::Unsigned(0xffff_ffff));
        assert_eq!(read(Encoding::Boolean, 7, 8), Scalar::Boolean(7));
        assert_eq!(read(Encoding::Float, 0x4009_2000_0000_0000, 64), Scalar::Float64(3.140_625));
        assert_eq!(read(Encoding::Character, 0x61, 8), Scalar::Character(0x61));
        assert!(number(Encoding::Float, 0, 80).is_err());
        assert!(number(Encoding::Character, u128::MAX, 128).is_err());
    }
}
