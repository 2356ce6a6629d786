//! Words of the stack: reads of 8 bytes that find their segment once and not for every word.

use std::cell::Cell;

use crate::capture::Memory;
use crate::model::{Addr, Unreadable};

/// Reads words of one thread's stack. Remembers the segment of the last read: the next one is nearly always in it.
pub struct Words<'t> {
    memory: &'t Memory,
    window: Cell<(Addr, &'t [u8])>,
}

impl<'t> Words<'t> {
    /// Reads from `memory`.
    pub fn new(memory: &'t Memory) -> Words<'t> {
        Words { memory, window: Cell::new((Addr(0), &[])) }
    }

    /// The memory that is read.
    pub fn memory(&self) -> &'t Memory {
        self.memory
    }

    /// The word at an address.
    pub fn get(&self, addr: Addr) -> Result<u64, Unreadable> {
        if let Some(word) = self.in_window(addr) {
            return Ok(word);
        }
        if let Some(segment) = self.memory.segment_at(addr) {
            self.window.set((segment.start, &segment.bytes));
        }
        self.in_window(addr).map_or_else(|| self.memory.u64(addr), Ok)
    }

    /// A little-endian number of 1, 2, 4 or 8 bytes.
    pub fn sized(&self, addr: Addr, size: u8) -> Result<u64, Unreadable> {
        match size {
            1 => self.memory.u8(addr).map(u64::from),
            2 => self.memory.u16(addr).map(u64::from),
            4 => self.memory.u32(addr).map(u64::from),
            _ => self.get(addr),
        }
    }

    fn in_window(&self, addr: Addr) -> Option<u64> {
        let (start, bytes) = self.window.get();
        let from = usize::try_from(addr.since(start)?).ok()?;
        bytes.get(from..)?.first_chunk::<8>().copied().map(u64::from_le_bytes)
    }
}
