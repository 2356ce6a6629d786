//! Sparse arrays of ReadyToRun images.
//!
//! Specification: dotnet/runtime docs/design/coreclr/botr/readytorun-format.md, "Sparse Array"; src/coreclr/vm/nativeformatreader.h.

use super::super::clr::plus;
use super::damage::damaged;
use crate::capture::Memory;
use crate::model::{Addr, Known};

/// Elements that share an entry of the index.
const BLOCK: u32 = 16;

/// The number at an address, and the address behind it.
pub(super) fn number(memory: &Memory, at: Addr) -> Known<(u32, Addr)> {
    // Source: nativeformatreader.h, DecodeUnsigned: as many low bits as bytes follow tell the length: 0, 01, 011, 0111; 01111: four bytes
    // follow.
    let first = memory.u8(at)?;
    let more = u64::from(first.trailing_ones().min(4));
    let mut bytes = [0; 4];
    let behind = plus(at, more.saturating_add(1))?;
    if first.trailing_ones() >= 4 {
        if first & 0x10 != 0 {
            return Err(damaged());
        }
        memory.read(plus(at, 1)?, &mut bytes)?;
        return Ok((u32::from_le_bytes(bytes), behind));
    }
    let len = usize::try_from(more).unwrap_or(0).saturating_add(1);
    memory.read(at, bytes.get_mut(..len).ok_or_else(damaged)?)?;
    Ok((u32::from_le_bytes(bytes) >> first.trailing_ones().saturating_add(1), behind))
}

/// Where the element of an index is; `None` where there is none.
pub(super) fn element(memory: &Memory, array: Addr, index: u32) -> Known<Option<Addr>> {
    // Source: nativeformatreader.h, NativeArray: the count above two bits that tell how wide the entries are.
    let (head, entries) = number(memory, array)?;
    if index >= head >> 2 {
        return Ok(None);
    }
    let block = u64::from(index / BLOCK);
    let offset = match head & 3 {
        0 => u64::from(memory.u8(plus(entries, block)?)?),
        1 => u64::from(memory.u16(plus(entries, block.saturating_mul(2))?)?),
        _ => u64::from(memory.u32(plus(entries, block.saturating_mul(4))?)?),
    };
    let mut at = plus(entries, offset)?;
    let mut bit = BLOCK / 2;
    // A tree of four levels: bit 1 leads to the right, bit 0 to the left, what is left tells how far or which.
    while bit > 0 {
        let (node, behind) = number(memory, at)?;
        if index & bit != 0 {
            if node & 2 != 0 {
                at = plus(at, u64::from(node >> 2))?;
                bit >>= 1;
                continue;
            }
        } else if node & 1 != 0 {
            at = behind;
            bit >>= 1;
            continue;
        }
        // A leaf: the one that is there instead of a subtree.
        let is_it = node & 3 == 0 && node >> 2 == index & (BLOCK - 1);
        return Ok(is_it.then_some(behind));
    }
    Ok(Some(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_tell_their_length_in_their_low_bits() {
        for (bytes, value, len) in [
            (&[0x0e][..], 7, 1),
            (&[0x01 | 0x04, 0x02], 0x81, 2),
            (&[0x03 | 0x08, 0, 0x02], 0x4001, 3),
            (&[0x07 | 0x10, 0, 0, 0x02], 0x20_0001, 4),
            (&[0x0f, 1, 2, 3, 4], 0x0403_0201, 5),
        ] {
            let memory = Memory::of_bytes(0x1000, bytes);
            assert_eq!(number(&memory, Addr(0x1000)), Ok((value, Addr(0x1000 + len))), "{bytes:x?}");
            let cut = Memory::of_bytes(0x1000, &bytes[..bytes.len() - 1]);
            assert!(number(&cut, Addr(0x1000)).is_err());
        }
        assert!(number(&Memory::of_bytes(0x1000, &[0x1f, 0, 0, 0, 0]), Addr(0x1000)).is_err());
    }

    /// An array of 18 elements: the first block holds 3 alone; the second 16 and 17, which share a path.
    fn array() -> Vec<u8> {
        // 18 << 2 | 0 in two bytes: 0x48 << 2 | 1. Entries of a byte, from the first of them on.
        let number = |value: u32| u8::try_from(value << 1).unwrap();
        let mut bytes = vec![0x21, 0x01, 2, 3];
        // A leaf for 3.
        bytes.push(number(3 << 2));
        // Left, left, left, then both: the right one 3 bytes on, behind the node and the left element's two.
        bytes.extend([number(1), number(1), number(1), number(3 << 2 | 3)]);
        bytes.extend([0xa0, 0xa1, 0xb0]);
        bytes
    }

    #[test]
    fn elements_are_found_by_their_index() {
        let memory = Memory::of_bytes(0x1000, &array());
        let found = |index| element(&memory, Addr(0x1000), index);
        assert_eq!(found(3), Ok(Some(Addr(0x1005))));
        assert_eq!((found(16), found(17)), (Ok(Some(Addr(0x1009))), Ok(Some(Addr(0x100b)))));
        for absent in [0, 2, 4, 11, 18, 1000] {
            assert_eq!(found(absent), Ok(None), "{absent}");
        }
    }

    #[test]
    fn a_cut_array_is_a_gap() {
        for len in 0..9 {
            let memory = Memory::of_bytes(0x1000, &array()[..len]);
            assert!(element(&memory, Addr(0x1000), 17).is_err(), "{len}");
        }
    }
}
