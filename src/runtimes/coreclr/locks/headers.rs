//! The word before an object: a lock that nobody waited for is there, a thin one.

use super::evidence;
use super::holders::{Held, Holders};
use crate::capture::Memory;
use crate::model::{Addr, Gap, Known};

/// Bytes from an object back to its header's word.
const BACK: u64 = 4;
// Bits of the word. Source: dotnet/runtime src/coreclr/vm/syncblk.h of 8.0 to 10.0.
const IS_HASH_OR_SYNC_BLOCK: u32 = 1 << 27;
const THREAD_ID: u32 = 0xffff;
const RECURSION: u32 = 0x3f_0000;
const RECURSION_SHIFT: u32 = 16;

/// A thin lock that somebody has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtimes::coreclr) struct Thin {
    /// The owner's managed id.
    pub(in crate::runtimes::coreclr) id: u32,
    /// How often he has taken it.
    pub(in crate::runtimes::coreclr) recursion: u32,
}

impl Thin {
    /// The lock in a header's word; `None` where nobody has it, or it is elsewhere.
    pub(in crate::runtimes::coreclr) fn of(word: u32) -> Option<Thin> {
        let id = word & THREAD_ID;
        if word & IS_HASH_OR_SYNC_BLOCK != 0 || id == 0 {
            return None;
        }
        // The word counts how often more than once.
        Some(Thin { id, recursion: ((word & RECURSION) >> RECURSION_SHIFT).saturating_add(1) })
    }

    /// The lock in the header of an object.
    pub(in crate::runtimes::coreclr) fn read(memory: &Memory, object: Addr) -> Known<Option<Thin>> {
        let at = object.minus(BACK).ok_or_else(|| Gap::Corrupt(format!("an object at {object}")))?;
        Ok(Thin::of(memory.u32(at)?))
    }

    /// Who has it.
    pub(in crate::runtimes::coreclr) fn held(self, holders: &Holders<'_>) -> Held {
        holders.by_thread(holders.of_id(self.id), self.recursion, evidence::OBJECT_HEADER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thin_lock_has_its_owners_managed_id_and_how_often_he_took_it_again() {
        // specimen-9.0.22: taken twice by the thread with the managed id 6.
        assert_eq!(Thin::of(0x0001_0006), Some(Thin { id: 6, recursion: 2 }));
        assert_eq!(Thin::of(0x0000_0006), Some(Thin { id: 6, recursion: 1 }));
        // A hash code, an index of a SyncBlock, nothing; a finalizer that has run leaves the lock alone.
        assert_eq!(Thin::of(0x0c00_0006), None);
        assert_eq!(Thin::of(0x0800_0006), None);
        assert_eq!(Thin::of(0), None);
        assert_eq!(Thin::of(0x4000_0006), Some(Thin { id: 6, recursion: 1 }));
    }
}
