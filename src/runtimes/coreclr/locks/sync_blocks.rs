//! The runtime's table of objects that have more than fits in their headers: a lock that was waited for, for instance.
//!
//! Input: the runtime's variables. Output: [`SyncBlock`]s, in the order of the table. Specification: dotnet/runtime
//! docs/design/datacontracts/SyncBlock.md; src/coreclr/vm/syncblk.h of 8.0 to 10.0.

use rustc_hash::{FxHashMap, FxHashSet};

use super::evidence;
use super::headers::Header;
use super::holders::{Held, Holders};
use super::kinds;
use super::lock::lock;
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Gap, Known, Lock};
use crate::runtimes::coreclr::clr::{Clr, plus};
use crate::runtimes::coreclr::threads::{ManagedThread, ManagedThreads};

/// Most entries: an object's header has 26 bits for them.
const MAX_ENTRIES: u32 = 1 << 26;
// Bits of `AwareLock::LockState`. Source: syncblk.h.
const LOCKED: u32 = 1;
const WAITERS_SHIFT: u32 = 6;

/// The table.
#[derive(Clone, Debug, Default)]
pub struct SyncBlocks {
    /// Its entries that are in use, in its order.
    pub all: Vec<SyncBlock>,
    /// Entries that are not.
    pub free: u32,
    /// Why the table ends early; `None` where it is whole.
    pub cut: Option<Gap>,
    by_address: FxHashMap<Addr, usize>,
    by_object: FxHashMap<Addr, usize>,
    /// Places of entries without a structure: nobody has taken the object's lock since.
    bare: FxHashSet<u32>,
}

/// An entry as it is in the table.
enum Entry {
    Free,
    Bare,
    Used(SyncBlock),
}

/// An entry.
#[derive(Clone, Debug)]
pub struct SyncBlock {
    /// Its place in the table, from 1, which is what the object's header has.
    pub index: u32,
    /// The structure.
    pub address: Addr,
    /// Whose it is.
    pub object: Addr,
    /// Its lock; a gap where the structure is not in the dump, as in small ones of createdump.
    pub state: Known<State>,
}

/// The lock in an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Whether somebody has it.
    pub is_locked: bool,
    /// How often.
    pub recursion: u32,
    /// The owner: a thread's structure, or since .NET 10 its managed id.
    pub owner: u64,
    /// The owner's OS id.
    pub tid: u32,
    /// Threads that wait to take it.
    pub waiters: u32,
}

impl SyncBlocks {
    /// Reads it.
    pub(in crate::runtimes::coreclr) fn read(clr: &Clr, job: &Job) -> Result<SyncBlocks, Error> {
        let mut blocks = SyncBlocks::default();
        let mut meter = job.meter();
        let place = || {
            let cache = clr.global("SyncBlockCache")?;
            let count = clr.u32(cache, "SyncBlockCache", "FreeSyncTableIndex")?;
            Ok((clr.global("SyncTableEntries")?, count))
        };
        let (table, end) = match place() {
            Ok((table, end)) if end <= MAX_ENTRIES => (table, end),
            Ok((_, end)) => {
                blocks.cut = Some(Gap::Corrupt(format!("a table of {end} SyncBlocks")));
                return Ok(blocks);
            }
            Err(gap) => {
                blocks.cut = Some(gap);
                return Ok(blocks);
            }
        };
        // The first is not used.
        for index in 1..end {
            meter.add(1)?;
            match entry(clr, table, index) {
                Ok(Entry::Used(block)) => blocks.push(block),
                Ok(empty) => {
                    blocks.free = blocks.free.saturating_add(1);
                    if matches!(empty, Entry::Bare) {
                        blocks.bare.insert(index);
                    }
                }
                Err(gap) => {
                    blocks.cut = Some(gap);
                    break;
                }
            }
        }
        Ok(blocks)
    }

    fn push(&mut self, block: SyncBlock) {
        self.by_address.insert(block.address, self.all.len());
        self.by_object.insert(block.object, self.all.len());
        self.all.push(block);
    }

    /// The Monitors of its entries.
    pub(in crate::runtimes::coreclr) fn monitors(&self, threads: &ManagedThreads) -> Vec<Lock> {
        let holders = Holders::of(threads);
        self.all.iter().map(|block| lock(kinds::MONITOR, block.object, block.held(&holders), None)).collect()
    }

    /// The entry whose structure is at an address.
    pub(in crate::runtimes::coreclr) fn at(&self, address: Addr) -> Option<&SyncBlock> {
        self.all.get(*self.by_address.get(&address)?)
    }

    /// Who has the lock in an entry that an object's header names, and that is none of those in use.
    pub(in crate::runtimes::coreclr) fn held_elsewhere(&self, index: u32) -> Held {
        if self.bare.contains(&index) {
            return Held::free(evidence::SYNC_BLOCK);
        }
        let missing =
            || Gap::Corrupt(format!("the object's header names SyncBlock {index}, which the table does not have"));
        Held::unknown(self.cut.clone().unwrap_or_else(missing))
    }

    /// The entry of an object.
    pub fn of(&self, object: Addr) -> Option<&SyncBlock> {
        self.all.get(*self.by_object.get(&object)?)
    }
}

/// Why an object's header and the table do not agree.
pub(in crate::runtimes::coreclr) enum HeaderFault {
    /// They contradict each other: a sentence.
    Wrong(String),
    /// That cannot be told.
    Unread(Gap),
}

/// What is wrong with the entry of the table that an object's header names; `None` where it is the object's, or the header names none.
pub(in crate::runtimes::coreclr) fn header_fault(clr: &Clr, blocks: &SyncBlocks, object: Addr) -> Option<HeaderFault> {
    let index = match Header::read(clr.memory(), object) {
        Ok(Header::SyncBlock(index)) => index,
        Ok(Header::Free | Header::Thin(_)) => return None,
        Err(gap) => return Some(HeaderFault::Unread(gap)),
    };
    if blocks.bare.contains(&index) || blocks.of(object).is_some_and(|block| block.index == index) {
        return None;
    }
    let wrong = || HeaderFault::Wrong(format!("its header names SyncBlock {index}, which is not its own"));
    Some(blocks.cut.clone().map_or_else(wrong, HeaderFault::Unread))
}

fn entry(clr: &Clr, table: Addr, index: u32) -> Known<Entry> {
    let size = clr.layout.offset("SyncTableEntry", "!")?;
    let at = plus(table, size.saturating_mul(index.into()))?;
    let address = clr.ptr(at, "SyncTableEntry", "SyncBlock")?;
    let object = clr.ptr(at, "SyncTableEntry", "Object")?;
    // A free one has the next free one's place, with the low bit set. An object has an entry before it has a structure.
    if object.0 & 1 != 0 || object.0 == 0 {
        return Ok(Entry::Free);
    }
    if address.0 == 0 {
        return Ok(Entry::Bare);
    }
    Ok(Entry::Used(SyncBlock { index, address, object, state: state(clr, address) }))
}

/// The lock in a structure.
pub(in crate::runtimes::coreclr) fn state(clr: &Clr, block: Addr) -> Known<State> {
    let word = clr.u32(block, "SyncBlock", "LockState")?;
    // A thread's structure is 64 bits wide, a managed id 32; which of them it is, the owner's OS id spares us.
    Ok(State {
        is_locked: word & LOCKED != 0,
        recursion: clr.u32(block, "SyncBlock", "Recursion")?,
        owner: clr.ptr(block, "SyncBlock", "Owner")?.0,
        tid: clr.u32(block, "SyncBlock", "OwnerOSId")?,
        waiters: word >> WAITERS_SHIFT,
    })
}

impl SyncBlock {
    /// Who has its lock.
    pub(in crate::runtimes::coreclr) fn held(&self, holders: &Holders<'_>) -> Held {
        self.state.as_ref().map_or_else(|gap| Held::unknown(gap.clone()), |state| state.held(holders))
    }
}

impl State {
    /// Who has it.
    pub(in crate::runtimes::coreclr) fn held(&self, holders: &Holders<'_>) -> Held {
        match self.tid {
            _ if !self.is_locked => Held::free(evidence::SYNC_BLOCK),
            // Who has just taken it has not written who he is yet.
            0 if self.owner == 0 => {
                Held::unknown(Gap::NotRecorded("somebody was about to take it, or to give it back".to_owned()))
            }
            // A thin lock whose owner had ended when it became one with a SyncBlock: he has no OS id.
            0 => holders.by_thread(owner(self.owner, holders), Some(self.recursion), evidence::SYNC_BLOCK),
            tid => holders.by_tid(tid, self.recursion, evidence::SYNC_BLOCK),
        }
    }
}

/// The owner by what a SyncBlock has of him: his structure, or his managed id.
fn owner<'a>(word: u64, holders: &Holders<'a>) -> Option<&'a ManagedThread> {
    let by_id = || holders.of_id(u32::try_from(word).ok()?);
    holders.of_address(Addr(word)).or_else(by_id)
}
