//! The word before an object: a lock that nobody waited for is there, a thin one, or the place of the object's SyncBlock.

use super::evidence;
use super::holders::{Held, Holders};
use crate::capture::Memory;
use crate::model::{Addr, Gap, Known};

/// Bytes from an object back to its header's word.
const BACK: u64 = 4;
// Bits of the word. Source: dotnet/runtime src/coreclr/vm/syncblk.h of 8.0 to 10.0.
const IS_HASH_OR_SYNC_BLOCK: u32 = 1 << 27;
const IS_HASH: u32 = 1 << 26;
const INDEX: u32 = IS_HASH - 1;
const THREAD_ID: u32 = 0xffff;
const RECURSION: u32 = 0x3f_0000;
const RECURSION_SHIFT: u32 = 16;

/// What the word says of the object's lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtimes::coreclr) enum Header {
    /// Nobody has it.
    Free,
    /// Somebody has it.
    Thin(Thin),
    /// It is in the SyncBlock with this place in the table.
    SyncBlock(u32),
}

/// A thin lock that somebody has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtimes::coreclr) struct Thin {
    /// The owner's managed id.
    pub(in crate::runtimes::coreclr) id: u32,
    /// How often he has taken it.
    pub(in crate::runtimes::coreclr) recursion: u32,
}

impl Header {
    /// What a word says.
    pub(in crate::runtimes::coreclr) fn of(word: u32) -> Header {
        let id = word & THREAD_ID;
        match word {
            _ if word & IS_HASH_OR_SYNC_BLOCK == 0 && id == 0 => Header::Free,
            // The word counts how often more than once.
            _ if word & IS_HASH_OR_SYNC_BLOCK == 0 => {
                Header::Thin(Thin { id, recursion: ((word & RECURSION) >> RECURSION_SHIFT).saturating_add(1) })
            }
            // A hash code leaves no room for a lock: who takes one makes a SyncBlock.
            _ if word & IS_HASH != 0 => Header::Free,
            _ => Header::SyncBlock(word & INDEX),
        }
    }

    /// The word before an object.
    pub(in crate::runtimes::coreclr) fn read(memory: &Memory, object: Addr) -> Known<Header> {
        let at = object.minus(BACK).ok_or_else(|| Gap::Corrupt(format!("an object at {object}")))?;
        Ok(Header::of(memory.u32(at)?))
    }
}

impl Thin {
    /// Who has it.
    pub(in crate::runtimes::coreclr) fn held(self, holders: &Holders<'_>) -> Held {
        holders.by_thread(holders.of_id(self.id), Some(self.recursion), evidence::OBJECT_HEADER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thin_lock_has_its_owners_managed_id_and_how_often_he_took_it_again() {
        // specimen-9.0.22: taken twice by the thread with the managed id 6.
        let thin = |recursion| Header::Thin(Thin { id: 6, recursion });
        assert_eq!(Header::of(0x0001_0006), thin(2));
        assert_eq!(Header::of(0x0000_0006), thin(1));
        // A hash code, an index of a SyncBlock, nothing; a finalizer that has run leaves the lock alone.
        assert_eq!(Header::of(0x0c00_0006), Header::Free);
        assert_eq!(Header::of(0x0800_0006), Header::SyncBlock(6));
        assert_eq!(Header::of(0), Header::Free);
        assert_eq!(Header::of(0x4000_0006), thin(1));
    }
}
