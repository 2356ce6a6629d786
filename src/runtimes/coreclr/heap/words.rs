//! The words of a heap's objects, read from a piece of the dump at a time.

use crate::capture::Memory;
use crate::model::{Addr, Unreadable};

/// Bytes that are looked up at once.
const PIECE: u64 = 64 << 10;

/// Reads words near each other without looking for each.
pub(super) struct Words<'m> {
    memory: &'m Memory,
    start: Addr,
    piece: &'m [u8],
}

impl<'m> Words<'m> {
    /// Of this memory; nothing is read yet.
    pub(super) fn of(memory: &'m Memory) -> Words<'m> {
        Words { memory, start: Addr(0), piece: &[] }
    }

    /// The 64-bit word at an address.
    #[inline]
    pub(super) fn word(&mut self, at: Addr) -> Result<u64, Unreadable> {
        match self.bytes(at) {
            Some(bytes) => Ok(u64::from_le_bytes(bytes)),
            None => self.memory.u64(at),
        }
    }

    /// The 32-bit word at an address.
    #[inline]
    pub(super) fn half(&mut self, at: Addr) -> Result<u32, Unreadable> {
        match self.bytes(at) {
            Some(bytes) => Ok(u32::from_le_bytes(bytes)),
            None => self.memory.u32(at),
        }
    }

    /// So many bytes from an address on; `None` where not all of them are in one run of the dump's memory.
    #[inline]
    pub(super) fn slice(&mut self, at: Addr, bytes: u64) -> Option<&'m [u8]> {
        self.bytes::<1>(at)?;
        let from = usize::try_from(at.since(self.start)?).ok()?;
        let end = from.checked_add(usize::try_from(bytes).ok()?)?;
        self.piece.get(from..end).or_else(|| self.memory.slice(at, bytes).ok())
    }

    /// At most so many bytes from an address on, as far as they are in one run of the dump's memory.
    pub(super) fn slice_up_to(&self, at: Addr, bytes: u64) -> Option<&'m [u8]> {
        self.memory.slice_up_to(at, bytes).ok()
    }

    /// Those at an address, where they are of one piece.
    #[inline]
    fn bytes<const N: usize>(&mut self, at: Addr) -> Option<[u8; N]> {
        if let Some(bytes) = self.in_piece(at) {
            return Some(bytes);
        }
        self.piece = self.memory.slice_up_to(at, PIECE).ok()?;
        self.start = at;
        self.in_piece(at)
    }

    #[inline]
    fn in_piece<const N: usize>(&self, at: Addr) -> Option<[u8; N]> {
        let from = usize::try_from(at.since(self.start)?).ok()?;
        self.piece.get(from..)?.first_chunk().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_memory_wherever_pieces_end() {
        let words: Vec<u64> = (0..20_000).collect();
        let memory = Memory::of(0x1000, &words);
        let mut read = Words::of(&memory);
        for at in [0x1000, 0x1008, 0x1004, 0x1000 + PIECE - 4, 0x1000 + PIECE, 0x1000 + 19_999 * 8, 0x1010] {
            assert_eq!(read.word(Addr(at)), memory.u64(Addr(at)), "{at:#x}");
            assert_eq!(read.half(Addr(at)), memory.u32(Addr(at)), "{at:#x}");
        }
        assert!(read.word(Addr(0x1000 + 19_999 * 8 + 1)).is_err() && read.half(Addr(0xffc)).is_err());
        assert_eq!(read.word(Addr(0x1018)), Ok(3));
        for (at, bytes) in
            [(0x1010, 24), (0x1000 + PIECE - 8, 16), (0x1000, 20_000 * 8), (0x1008, 20_000 * 8), (0xff8, 16)]
        {
            assert_eq!(read.slice(Addr(at), bytes), memory.slice(Addr(at), bytes).ok(), "{at:#x}");
        }
    }
}
