//! Which structures and objects have a spelling of their own, and what it is.
//!
//! Input: an [`Instance`]. Output: `2026-05-06 07:08:09Z` of a `DateTime`; nothing of types that are told by their fields. Fields are those of .NET
//! 8 to 10, by name.

use super::Instance;
use super::spelling;
use crate::model::{Gap, Known};

/// Bits of a number of many digits that are read, in words of 32.
const MAX_WORDS: u32 = 1 << 10;

impl Instance<'_> {
    /// What it says in the usual spelling of its type; `None` where it has none.
    pub(super) fn spelled(&self) -> Option<Known<String>> {
        Some(match self.name() {
            "System.DateTime" => self.u64("_dateData").map(spelling::date),
            "System.DateTimeOffset" => self.date_with_offset(),
            "System.DateOnly" => self.u32("_dayNumber").map(|days| spelling::day(days.into())),
            "System.TimeOnly" => self.u64("_ticks").map(spelling::time),
            "System.TimeSpan" => self.i64("_ticks").map(spelling::duration),
            "System.Guid" => self.guid(),
            "System.Decimal" => self.decimal(),
            "System.Int128" => self.halves().map(|number| number.cast_signed().to_string()),
            "System.UInt128" => self.halves().map(|number| number.to_string()),
            "System.Half" => self.place("_value").and_then(|at| Ok(half(self.clr().memory().u16(at)?))),
            "System.Version" => self.version(),
            "System.Numerics.BigInteger" => self.integer(),
            _ => return None,
        })
    }

    fn date_with_offset(&self) -> Known<String> {
        // A short up to .NET 8.
        const SHORT: u8 = 0x06;
        let field = self.field("_offsetMinutes")?;
        let at = self.place_of(&field)?;
        let minutes = match field.element {
            SHORT => i64::from(self.clr().memory().u16(at)?.cast_signed()),
            _ => i64::from(self.clr().memory().u32(at)?.cast_signed()),
        };
        Ok(spelling::date_with_offset(self.inner("_dateTime")?.u64("_dateData")?, minutes))
    }

    fn guid(&self) -> Known<String> {
        let mut bytes = [0; 16];
        self.clr().memory().read(self.place("_a")?, &mut bytes)?;
        Ok(spelling::guid(u128::from_le_bytes(bytes)))
    }

    fn decimal(&self) -> Known<String> {
        Ok(spelling::decimal(self.u32("_flags")?, self.u32("_hi32")?, self.u64("_lo64")?))
    }

    fn halves(&self) -> Known<u128> {
        Ok(u128::from(self.u64("_upper")?) << 64 | u128::from(self.u64("_lower")?))
    }

    /// `1.2.3`; parts that were not given are -1.
    fn version(&self) -> Known<String> {
        let parts = ["_Major", "_Minor", "_Build", "_Revision"].map(|part| self.i32(part));
        let parts: Vec<i32> = parts.into_iter().collect::<Known<_>>()?;
        let given: Vec<String> = parts.iter().take_while(|part| **part >= 0).map(ToString::to_string).collect();
        Ok(given.join("."))
    }

    /// Small ones are their sign alone.
    fn integer(&self) -> Known<String> {
        let sign = self.i32("_sign")?;
        let Some(bits) = self.reference("_bits")? else { return Ok(sign.to_string()) };
        let count = bits.len()?;
        if bits.class.component != 4 {
            return Err(Gap::Unsupported("a number whose digits are kept in another way".to_owned()));
        }
        if count > MAX_WORDS {
            return Err(Gap::Unsupported(format!("a number of {count} words")));
        }
        let words = (0..count).map(|index| Ok(self.clr().memory().u32(bits.element(index)?)?));
        Ok(spelling::integer(sign < 0, &words.collect::<Known<Vec<u32>>>()?))
    }
}

/// A floating point number of 16 bits. Source: IEEE 754, binary16.
fn half(bits: u16) -> String {
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f32::from(bits & 0x3ff));
    let size = match exponent {
        0 => fraction * 2f32.powi(-24),
        0x1f if fraction == 0.0 => f32::INFINITY,
        0x1f => f32::NAN,
        _ => (1.0 + fraction / 1024.0) * 2f32.powi(exponent - 15),
    };
    format!("{:?}", if bits >> 15 == 0 { size } else { -size })
}

#[cfg(test)]
mod tests {
    use super::half;

    #[test]
    fn a_number_of_sixteen_bits_is_a_fraction() {
        assert_eq!(half(0x3e00), "1.5");
        assert_eq!(half(0xc000), "-2.0");
        assert_eq!((half(0x7c00).as_str(), half(0x7e00).as_str(), half(0).as_str()), ("inf", "NaN", "0.0"));
        // Half.Epsilon
        assert_eq!(half(1), "5.9604645e-8");
    }
}
