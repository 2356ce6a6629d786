//! Memory of our own straight from the kernel: it takes room only where it is written, and what was not written reads as zeros.

use std::io;
use std::ops::{Deref, DerefMut};

use memmap2::{Advice, MmapMut, MmapOptions};

use crate::FileBytes;

/// Writable memory, at an address that is a multiple of a page's. Given back to the kernel when it is dropped.
#[derive(Debug)]
pub struct Room(MmapMut);

impl Room {
    /// Memory that is written here and there: what is not, however large, costs nothing, also when it is read. Fails where the kernel
    /// reserves no so large range (a limit of address space).
    pub fn sparse(len: usize) -> io::Result<Room> {
        // A huge page would come into being around each word that is written.
        Room::map(len, Advice::NoHugePage)
    }

    /// Memory that is filled from its first byte to its last: in huge pages where the kernel has them, which come into being many times
    /// faster than others.
    pub fn dense(len: usize) -> io::Result<Room> {
        Room::map(len, Advice::HugePage)
    }

    fn map(len: usize, advice: Advice) -> io::Result<Room> {
        let memory = MmapOptions::new().len(len.max(1)).no_reserve_swap().map_anon()?;
        // A kernel without huge pages refuses, and needs no advice.
        let _ = memory.advise(advice);
        Ok(Room(memory))
    }

    /// Takes all of the memory now, so that writing to it does not wait for it. Before Linux 5.14, page by page.
    pub fn fill(&mut self) {
        if self.0.advise(Advice::PopulateWrite).is_err() {
            self.0.iter_mut().step_by(PAGE).for_each(|byte| *byte = 0);
        }
    }

    /// The first `len` bytes, which do not change any more; fewer where there are fewer.
    pub fn into_bytes(self, len: usize) -> io::Result<FileBytes> {
        let len = len.min(self.0.len());
        Ok(FileBytes::from_memory(self.0.make_read_only()?, len))
    }
}

/// Of every architecture that is supported, pages are at least so large.
const PAGE: usize = 4096;

impl Deref for Room {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Room {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of this process that are in memory.
    fn resident() -> u64 {
        let status = std::fs::read_to_string("/proc/self/smaps_rollup").expect("Linux tells");
        let line = status.lines().find_map(|line| line.strip_prefix("Anonymous:")).expect("a line of it");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
    }

    #[test]
    fn what_is_not_written_is_zero_and_takes_no_room_and_what_is_filled_is_there() {
        let before = resident();
        let mut room = Room::sparse(1 << 30).expect("a range");
        room[512 << 20] = 7;
        let bytes = room.into_bytes((1 << 30) - 1).expect("read only");
        assert_eq!(bytes.len(), (1 << 30) - 1);
        assert_eq!(bytes.iter().step_by(1 << 16).map(|byte| u32::from(*byte)).sum::<u32>(), 7);
        let taken = resident().saturating_sub(before);
        assert!(taken < 64 << 20, "{taken} bytes for one that was written");

        let before = resident();
        let mut room = Room::dense(256 << 20).expect("memory");
        room.fill();
        assert!(room.iter().step_by(4096).all(|byte| *byte == 0));
        let taken = resident().saturating_sub(before);
        assert!(taken >= 192 << 20, "{taken} bytes");
    }
}
