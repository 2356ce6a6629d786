//! The runtime's table of objects that have more than fits in their headers: a lock that was waited for, for instance.
//!
//! Input: the runtime's variables. Output: [`SyncBlock`]s, in the order of the table. Specification: dotnet/runtime
//! docs/design/datacontracts/SyncBlock.md; src/coreclr/vm/syncblk.h of 8.0 to 10.0.

use rustc_hash::FxHashMap;

use super::evidence;
use super::holders::{Held, Holders};
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Gap, Known};
use crate::runtimes::coreclr::clr::{Clr, plus};
use crate::runtimes::coreclr::threads::ManagedThread;

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
                Ok(Some(block)) => blocks.push(block),
                Ok(None) => blocks.free = blocks.free.saturating_add(1),
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

    /// The entry whose structure is at an address.
    pub(in crate::runtimes::coreclr) fn at(&self, address: Addr) -> Option<&SyncBlock> {
        self.all.get(*self.by_address.get(&address)?)
    }

    /// The entry of an object.
    pub fn of(&self, object: Addr) -> Option<&SyncBlock> {
        self.all.get(*self.by_object.get(&object)?)
    }
}

/// An entry of the table; `Ok(None)` for one that is free.
fn entry(clr: &Clr, table: Addr, index: u32) -> Known<Option<SyncBlock>> {
    let size = clr.layout.offset("SyncTableEntry", "!")?;
    let at = plus(table, size.saturating_mul(index.into()))?;
    let address = clr.ptr(at, "SyncTableEntry", "SyncBlock")?;
    let object = clr.ptr(at, "SyncTableEntry", "Object")?;
    // A free one has the next free one's place, with the low bit set. An object has an entry before it has a structure.
    if object.0 & 1 != 0 || object.0 == 0 || address.0 == 0 {
        return Ok(None);
    }
    Ok(Some(SyncBlock { index, address, object, state: state(clr, address) }))
}

fn state(clr: &Clr, block: Addr) -> Known<State> {
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
        let state = match &self.state {
            Ok(state) => state,
            Err(gap) => return Held::unknown(gap.clone()),
        };
        match state.tid {
            _ if !state.is_locked => Held::free(evidence::SYNC_BLOCK),
            // Who has just taken it has not written who he is yet.
            0 if state.owner == 0 => {
                Held::unknown(Gap::NotRecorded("somebody was about to take it, or to give it back".to_owned()))
            }
            // A thin lock whose owner had ended when it became one with a SyncBlock: he has no OS id.
            0 => holders.by_thread(owner(state.owner, holders), state.recursion, evidence::SYNC_BLOCK),
            tid => holders.by_tid(tid, state.recursion, evidence::SYNC_BLOCK),
        }
    }
}

/// The owner by what a SyncBlock has of him: his structure, or his managed id.
fn owner<'a>(word: u64, holders: &Holders<'a>) -> Option<&'a ManagedThread> {
    let by_id = || holders.of_id(u32::try_from(word).ok()?);
    holders.of_address(Addr(word)).or_else(by_id)
}
