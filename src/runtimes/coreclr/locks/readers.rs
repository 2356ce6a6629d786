//! Who has a reader-writer lock for reading: each thread keeps its own list of the locks that it has.
//!
//! Input: the runtime's threads. Output: of each lock the threads with how often they read it. Source: dotnet/runtime
//! ReaderWriterLockSlim.cs, ReaderWriterCount and t_rwc; ReaderWriterLock.cs, ThreadLocalLockEntry and t_lockEntryHead, of 8.0 to 10.0.

use rustc_hash::FxHashMap;

use crate::model::{Known, Tid};
use crate::runtimes::coreclr::objects::Instance;
use crate::runtimes::coreclr::threads::{ManagedThread, ManagedThreads};
use crate::runtimes::coreclr::types::{Held, Types};

/// Most locks of one thread.
const MAX_LOCKS: usize = 1 << 12;

/// A kind of lock: where threads keep what they have of it.
struct Kept {
    class: &'static str,
    field: &'static str,
    id: &'static str,
    next: &'static str,
    reading: &'static str,
    writing: Option<&'static str>,
}

const SLIM: Kept = Kept {
    class: "System.Threading.ReaderWriterLockSlim",
    field: "t_rwc",
    id: "lockID",
    next: "next",
    reading: "readercount",
    writing: Some("writercount"),
};
const OLD: Kept = Kept {
    class: "System.Threading.ReaderWriterLock+ThreadLocalLockEntry",
    field: "t_lockEntryHead",
    id: "_lockID",
    next: "_next",
    reading: "_readerLevel",
    writing: None,
};

/// What threads have of one kind of locks.
#[derive(Debug, Default)]
pub(in crate::runtimes::coreclr) struct Readers {
    /// Of a lock's own id who has it: the thread, its managed id, how often for reading, for writing.
    of: FxHashMap<u64, Vec<(Tid, u32, u32, u32)>>,
}

impl Readers {
    /// What threads have of `ReaderWriterLockSlim`s.
    pub(in crate::runtimes::coreclr) fn of_slim(types: Types<'_>, threads: &ManagedThreads) -> Readers {
        Readers::of(types, threads, &SLIM)
    }

    /// What threads have of `ReaderWriterLock`s.
    pub(in crate::runtimes::coreclr) fn of_old(types: Types<'_>, threads: &ManagedThreads) -> Readers {
        Readers::of(types, threads, &OLD)
    }

    fn of(types: Types<'_>, threads: &ManagedThreads, kept: &Kept) -> Readers {
        let mut readers = Readers::default();
        for thread in &threads.threads {
            // A thread that never took one has no list.
            let _ = readers.add(types, thread, kept);
        }
        readers
    }

    fn add(&mut self, types: Types<'_>, thread: &ManagedThread, kept: &Kept) -> Known<()> {
        let (Ok(Some(tid)), Ok(id)) = (thread.tid.clone(), thread.id.clone()) else { return Ok(()) };
        let Some(table) = types.find(kept.class)? else { return Ok(()) };
        let fields = types.fields(table)?;
        let Some(field) = fields.iter().find(|field| field.held == Held::Thread && &*field.name == kept.field) else {
            return Ok(());
        };
        let Some(at) = types.thread_static_place(thread.address, table, field)? else { return Ok(()) };
        let mut next = types.referred(at)?;
        for _ in 0..MAX_LOCKS {
            let Some(entry) = next else { break };
            let number = |name: &str| count(&entry, name);
            let writing = kept.writing.map_or(Ok(0), number)?;
            let entry_of = (tid, id, number(kept.reading)?, writing);
            self.of.entry(entry.u64(kept.id)?).or_default().push(entry_of);
            next = entry.reference(kept.next)?;
        }
        Ok(())
    }

    fn entries(&self, lock_id: u64) -> &[(Tid, u32, u32, u32)] {
        self.of.get(&lock_id).map(Vec::as_slice).unwrap_or_default()
    }

    /// The threads that read a lock, by its own id, in ascending order.
    pub(in crate::runtimes::coreclr) fn reading(&self, lock_id: u64) -> Vec<Tid> {
        let readers = self.entries(lock_id).iter().filter(|(.., reading, _)| *reading > 0);
        let mut all: Vec<Tid> = readers.map(|(tid, ..)| *tid).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// How often a thread, by its managed id, has a lock for writing; `None` where that is not kept.
    pub(in crate::runtimes::coreclr) fn times(&self, lock_id: u64, id: u32) -> Option<u32> {
        let mut own = self.entries(lock_id).iter().filter(|(_, owner, ..)| *owner == id);
        own.find_map(|(.., writing)| (*writing > 0).then_some(*writing))
    }
}

/// A count of two or four bytes, by its type.
pub(super) fn count(entry: &Instance<'_>, name: &str) -> Known<u32> {
    // Source: ECMA-335 II.23.1.16, ELEMENT_TYPE_U2.
    const U2: u8 = 0x07;
    let field = entry.field(name)?;
    if field.element != U2 {
        return entry.u32(name);
    }
    Ok(entry.types.clr.memory().u16(entry.place_of(&field)?)?.into())
}
