//! Numbers in a stream of bits, the least significant first.

use super::damage::{cut, damaged};
use crate::model::Known;

/// A place in the stream.
pub(super) struct Stream<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Stream<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Stream<'a> {
        Stream { bytes, position: 0 }
    }

    /// The same from a bit on.
    pub(super) fn at(bytes: &'a [u8], position: usize) -> Stream<'a> {
        Stream { bytes, position }
    }

    /// Bits before the next.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// The next bit.
    pub(super) fn bit(&mut self) -> Known<bool> {
        let byte = *self.bytes.get(self.position / 8).ok_or_else(cut)?;
        let bit = byte >> (self.position % 8) & 1 != 0;
        self.position = self.position.saturating_add(1);
        Ok(bit)
    }

    /// The next number of so many bits, at most 32.
    pub(super) fn bits(&mut self, count: u32) -> Known<u32> {
        let mut number = 0;
        for place in 0..count.min(32) {
            number |= u32::from(self.bit()?) << place;
        }
        Ok(number)
    }

    /// The next number, in groups of so many bits, the lowest first, each followed by a bit that tells whether there is one more.
    // Source: gcinfodecoder.h, BitStreamReader::DecodeVarLengthUnsigned.
    pub(super) fn number(&mut self, base: u32) -> Known<u32> {
        self.groups(base).and_then(|(number, _)| u32::try_from(number).map_err(|_| damaged()))
    }

    /// The same with a sign: the highest bit of the last group.
    pub(super) fn signed(&mut self, base: u32) -> Known<i32> {
        let (number, bits) = self.groups(base)?;
        let unused = 64u32.saturating_sub(bits);
        i32::try_from((number << unused).cast_signed() >> unused).map_err(|_| damaged())
    }

    /// The number, and how many bits it has.
    fn groups(&mut self, base: u32) -> Known<(u64, u32)> {
        /// Bits of the longest number: 32, and a group beyond.
        const MOST: u32 = 40;
        let (mut number, mut taken) = (0u64, 0u32);
        loop {
            number |= u64::from(self.bits(base)?) << taken;
            taken = taken.saturating_add(base);
            if !self.bit()? {
                return Ok((number, taken));
            }
            if taken > MOST {
                return Err(damaged());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_in_groups_the_lowest_first() {
        // Of three bits: 5; then 0b010 and more, 0b001: 10. Read from the lowest bit on: 101 0, 010 1, 001 0.
        let bytes = [0b1010_0101, 0b0001];
        let mut stream = Stream::new(&bytes);
        assert_eq!((stream.number(3), stream.number(3), stream.position()), (Ok(5), Ok(10), 12));
        assert!(stream.number(6).is_err());
    }

    #[test]
    fn a_sign_is_the_highest_bit_of_the_last_group() {
        // Of six bits: 63 is -1; 31 is itself; 31 and more, 1: 95; 0 and more, 63: -64.
        let of = |bits: u32| Stream::new(&bits.to_le_bytes()).signed(6);
        assert_eq!([of(63), of(31), of(31 | 1 << 6 | 1 << 7), of(1 << 6 | 63 << 7)], [Ok(-1), Ok(31), Ok(95), Ok(-64)]);
    }

    #[test]
    fn a_number_without_end_is_damaged() {
        assert!(Stream::new(&[0xff; 64]).number(2).is_err());
        assert!(Stream::new(&[0xff; 64]).signed(6).is_err());
        assert!(Stream::at(&[0xff; 2], 15).bits(2).is_err());
    }
}
