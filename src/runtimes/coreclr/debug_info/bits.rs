//! Numbers in nibbles and in bits.

use super::damage::damaged;
use crate::model::Known;

/// Numbers of three bits a nibble, the most significant first; the fourth bit tells that there are more. The low nibble of a byte comes first.
// Source: dotnet/runtime src/coreclr/inc/nibblestream.h, NibbleReader.
pub(super) struct Nibbles<'a> {
    bytes: &'a [u8],
    /// Nibbles taken.
    taken: usize,
}

impl<'a> Nibbles<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Nibbles<'a> {
        Nibbles { bytes, taken: 0 }
    }

    fn nibble(&mut self) -> Known<u8> {
        let byte = *self.bytes.get(self.taken / 2).ok_or_else(damaged)?;
        let nibble = if self.taken.is_multiple_of(2) { byte & 0xf } else { byte >> 4 };
        self.taken = self.taken.saturating_add(1);
        Ok(nibble)
    }

    /// A number without a sign.
    pub(super) fn number(&mut self) -> Known<u32> {
        /// Nibbles of 32 bits.
        const MOST: usize = 11;
        let mut number = 0u32;
        for _ in 0..MOST {
            let nibble = self.nibble()?;
            number = number << 3 | u32::from(nibble & 7);
            if nibble & 8 == 0 {
                return Ok(number);
            }
        }
        Err(damaged())
    }

    /// A number with a sign, which is its lowest bit.
    pub(super) fn signed(&mut self) -> Known<i32> {
        let number = self.number()?;
        let value = (number >> 1).cast_signed();
        Ok(if number & 1 == 0 { value } else { value.saturating_neg() })
    }

    /// Bytes of which something was taken.
    pub(super) fn bytes_taken(&self) -> u64 {
        self.taken.div_ceil(2) as u64
    }

    /// What follows the last of them.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.taken.div_ceil(2)..).unwrap_or_default()
    }
}

/// Numbers of so many bits, the least significant first.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    taken: usize,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Bits<'a> {
        Bits { bytes, taken: 0 }
    }

    /// The next number, of at most 32 bits.
    pub(super) fn number(&mut self, bits: u32) -> Known<u32> {
        let mut number = 0u64;
        let mut got = 0u32;
        while got < bits.min(32) {
            let byte = u64::from(*self.bytes.get(self.taken / 8).ok_or_else(damaged)?);
            let within = u32::try_from(self.taken % 8).unwrap_or(0);
            let count = (8 - within).min(bits.min(32).saturating_sub(got));
            number |= (byte >> within & ((1 << count) - 1)) << got;
            got = got.saturating_add(count);
            self.taken = self.taken.saturating_add(count as usize);
        }
        u32::try_from(number).map_err(|_| damaged())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nibbles_have_three_bits_each_the_most_significant_first() {
        // 5; then 0b001_010 = 10 in two nibbles; then 0o123 = 83 in three.
        let bytes = [0x95, 0x92, 0x3a];
        let mut nibbles = Nibbles::new(&bytes);
        assert_eq!((nibbles.number(), nibbles.number(), nibbles.number()), (Ok(5), Ok(10), Ok(83)));
        assert_eq!((nibbles.bytes_taken(), nibbles.rest()), (3, &[][..]));
        assert!(nibbles.number().is_err());
        let mut half = Nibbles::new(&[0x02, 0xff]);
        assert_eq!((half.number(), half.bytes_taken(), half.rest()), (Ok(2), 1, &[0xff][..]));
        assert!(Nibbles::new(&[0xff; 20]).number().is_err(), "no number has so many nibbles");
    }

    #[test]
    fn bits_cross_bytes() {
        // 0b10, then 0b1_0110 = 22, then 0x1ff.
        let bytes = [0b1101_1010, 0xff, 0];
        let mut bits = Bits::new(&bytes);
        assert_eq!((bits.number(2), bits.number(5), bits.number(9)), (Ok(2), Ok(22), Ok(0x1ff)));
        assert_eq!(bits.number(8), Ok(0));
        assert!(bits.number(1).is_err());
        assert_eq!(Bits::new(&[1, 2, 3, 4]).number(32), Ok(0x0403_0201));
        assert_eq!(Bits::new(&[]).number(0), Ok(0));
    }
}
