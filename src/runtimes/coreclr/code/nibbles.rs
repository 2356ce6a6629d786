//! Where a method begins in a heap of code: the nibble map.

use super::super::clr::{Clr, plus};
use crate::capture::Memory;
use crate::model::{Addr, Gap, Known};

/// Bytes of code that a word of the map stands for, and a nibble of it.
// Source: dotnet/runtime src/coreclr/inc/nibblemapmacros.h: eight nibbles of 32 bytes, the most significant first; a nibble is 1 plus the
// place, in steps of 4 bytes, at which a method begins.
const WORD: u64 = 256;
const NIBBLE: u64 = 32;
const STEP: u64 = 4;
/// Longest method, in words of the map: 64 MiB.
const MAX_WORDS: u64 = 1 << 18;

/// The start of the method that an address is in; `None` where there is none.
pub(super) fn start(clr: &Clr, heap: Addr, code: Addr) -> Known<Option<Addr>> {
    let base = clr.ptr(heap, "CodeHeapListNode", "MapBase")?;
    let map = clr.ptr(heap, "CodeHeapListNode", "HeaderMap")?;
    let end = clr.ptr(heap, "CodeHeapListNode", "EndAddress")?;
    let Some(offset) = code.since(base).filter(|_| code < end) else { return Ok(None) };
    find(clr.memory(), map, offset)?.map(|start| plus(base, start)).transpose()
}

/// The place of the last method that begins at or before an offset.
fn find(memory: &Memory, map: Addr, offset: u64) -> Known<Option<u64>> {
    let first = offset / WORD;
    for back in 0..=first.min(MAX_WORDS) {
        let index = first.saturating_sub(back);
        let at = map.plus(index.saturating_mul(4)).ok_or_else(|| Gap::Corrupt(format!("a map of code at {map}")))?;
        let word = memory.u32(at)?;
        // Since .NET 10 a word that a method fills holds the place of its start: a multiple of 16, and 9 plus steps of 4 bytes. No nibble
        // is above 8.
        if word & 0xf > 8 {
            return Ok(Some(
                u64::from(word & !0xf).saturating_add(u64::from((word & 0xf).saturating_sub(9)).saturating_mul(STEP)),
            ));
        }
        let mut begins = (0u64..8).filter_map(|place| {
            let nibble = u64::from(word >> (28 - 4 * place) & 0xf).checked_sub(1)?;
            Some(index.saturating_mul(WORD).saturating_add(place * NIBBLE).saturating_add(nibble * STEP))
        });
        if let Some(start) = begins.rfind(|start| *start <= offset) {
            return Ok(Some(start));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(words: &[u32], offset: u64) -> Option<u64> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        find(&Memory::of_bytes(0x1000, &bytes), Addr(0x1000), offset).unwrap()
    }

    #[test]
    fn a_method_begins_at_the_last_mark_at_or_before_the_code() {
        // Methods at 32 + 4 and at 96 + 28 of the first 256 bytes, one at 0 of the third.
        let words = [0x0208_0000, 0, 0x1000_0000];
        assert_eq!(at(&words, 0), None);
        assert_eq!(at(&words, 35), None);
        assert_eq!(at(&words, 36), Some(36));
        assert_eq!(at(&words, 123), Some(36));
        assert_eq!(at(&words, 124), Some(124));
        assert_eq!(at(&words, 511), Some(124));
        assert_eq!(at(&words, 512), Some(512));
    }

    #[test]
    fn a_word_that_a_method_fills_leads_to_its_start() {
        // A method at 36, then words of it: 32 | 9 + 1.
        assert_eq!(at(&[0x0200_0000, 0x2a, 0x2a], 700), Some(36));
    }

    #[test]
    fn a_map_that_is_not_there_is_a_gap() {
        assert!(find(&Memory::of(0x1000, &[0]), Addr(0x1000), 1 << 20).is_err());
        assert!(find(&Memory::of(0x1000, &[0]), Addr(u64::MAX), 1 << 20).is_err());
    }
}
