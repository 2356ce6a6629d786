//! Bounds: from which machine instruction on code was made of which instruction of a method.

use super::bits::{Bits, Nibbles};
use super::damage::damaged;
use crate::model::Known;

/// Most bounds of one method.
const MAX: u32 = 1 << 20;
/// Offsets of a method's instructions are stored so much higher: -1 to -3 stand for no instruction, the prologue, the epilogue.
// Source: dotnet/runtime src/coreclr/inc/cordebuginfo.h, enum MappingTypes.
const HIGHER: u32 = 3;

/// From one machine instruction on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Bytes from the start of the method's code.
    pub native: u32,
    /// Bytes from the start of the method's own instructions; `None` for code that was made of none of them in particular.
    pub il: Option<u32>,
}

/// How bounds are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// .NET 8 and 9: in nibbles.
    Nibbles,
    /// .NET 10: in bits.
    Bits,
}

/// Reads the bounds of a method.
pub fn read(bytes: &[u8], packing: Packing) -> Known<Vec<Bound>> {
    match packing {
        Packing::Nibbles => in_nibbles(bytes),
        Packing::Bits => in_bits(bytes),
    }
}

/// The bound that an instruction is in.
pub(super) fn at(bounds: &[Bound], native: u32) -> Option<Bound> {
    // Ascending: the last that begins at or before it.
    bounds.get(bounds.partition_point(|bound| bound.native <= native).checked_sub(1)?).copied()
}

fn in_nibbles(bytes: &[u8]) -> Known<Vec<Bound>> {
    // Source: debuginfostore.cpp of 9.0, DoBounds: a count; for each the distance, the instruction, what the stack holds there.
    let mut nibbles = Nibbles::new(bytes);
    let count = counted(nibbles.number()?)?;
    let mut native = 0u32;
    let mut bound = || {
        native = native.saturating_add(nibbles.number()?);
        let il = nibbles.number()?.checked_sub(HIGHER);
        nibbles.number()?;
        Ok(Bound { native, il })
    };
    (0..count).map(|_| bound()).collect()
}

fn in_bits(bytes: &[u8]) -> Known<Vec<Bound>> {
    // Source: debuginfostore.cpp of 10.0, DoBounds: a count and how many bits either number has less one, in nibbles; from the next byte on for
    // each two bits of what the stack holds, the distance, the instruction.
    let mut nibbles = Nibbles::new(bytes);
    let count = counted(nibbles.number()?)?;
    if count == 0 {
        return Ok(Vec::new());
    }
    let width = |less: u32| if less < 32 { Ok(less.saturating_add(1)) } else { Err(damaged()) };
    let (of_native, of_il) = (width(nibbles.number()?)?, width(nibbles.number()?)?);
    let mut bits = Bits::new(nibbles.rest());
    let mut native = 0u32;
    let mut bound = || {
        bits.number(2)?;
        native = native.saturating_add(bits.number(of_native)?);
        let il = bits.number(of_il)?.checked_sub(HIGHER);
        Ok(Bound { native, il })
    };
    (0..count).map(|_| bound()).collect()
}

fn counted(count: u32) -> Known<u32> {
    if count > MAX { Err(damaged()) } else { Ok(count) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(native: u32, il: Option<u32>) -> Bound {
        Bound { native, il }
    }

    #[test]
    fn bounds_of_9_are_in_nibbles() {
        // 3: {0, prologue (1), 2}, {+12 = 0o14, IL 0 (3), 2}, {+5, no instruction (2), 0}.
        let bytes = [0x03, 0x21, 0x49, 0x23, 0x25, 0x00];
        let expected = [bound(0, None), bound(12, Some(0)), bound(17, None)];
        assert_eq!(read(&bytes, Packing::Nibbles).as_deref(), Ok(&expected[..]));
        for len in 0..5 {
            assert!(read(&bytes[..len], Packing::Nibbles).is_err(), "{len}");
        }
    }

    #[test]
    fn bounds_of_10_are_in_bits() {
        // 3 bounds; 4 bits of distance, 3 of instruction; from the third byte on: 2 0000 001, 2 1100 011, 0 0101 010, the lowest first.
        let words = [2 | 1 << 6, 2 | 12 << 2 | 3 << 6, 5 << 2 | 2 << 6u32];
        let packed = words.iter().rev().fold(0u32, |all, word| all << 9 | word).to_le_bytes();
        let bytes = [&[0x33, 0x02][..], &packed].concat();
        let expected = [bound(0, None), bound(12, Some(0)), bound(17, None)];
        assert_eq!(read(&bytes, Packing::Bits).as_deref(), Ok(&expected[..]));
        for len in 0..6 {
            assert!(read(&bytes[..len], Packing::Bits).is_err(), "{len}");
        }
        assert_eq!(read(&[0], Packing::Bits).as_deref(), Ok(&[][..]));
    }

    #[test]
    fn a_damaged_count_makes_no_room() {
        // 0o777777777: as many bounds as nobody has.
        let bytes = [0xff, 0xff, 0xff, 0xff, 0x07];
        assert!(read(&bytes, Packing::Nibbles).is_err() && read(&bytes, Packing::Bits).is_err());
    }

    #[test]
    fn an_instruction_is_in_the_last_bound_that_begins_before_it() {
        let bounds = [bound(0, None), bound(12, Some(0)), bound(12, Some(4)), bound(20, Some(9))];
        let told = [0, 11, 12, 19, 20, 99].map(|native| at(&bounds, native).and_then(|bound| bound.il));
        assert_eq!(told, [None, None, Some(4), Some(4), Some(9), Some(9)]);
        assert_eq!(at(&bounds[1..], 3), None);
    }
}
