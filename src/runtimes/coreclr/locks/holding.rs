//! Who has a lock of each kind, and the lock with that.

use rustc_hash::{FxHashMap, FxHashSet};

use super::constructors::Running;
use super::evidence;
use super::headers::Header;
use super::holders::{Held, Holders};
use super::kinds;
use super::lock::lock;
use super::native_mutex::Owned;
use super::owners;
use super::readers::Readers;
use super::sync_blocks::{self, SyncBlocks};
use crate::model::{Addr, Evidence, Gap, Known, Lock, LockKind, Tid};
use crate::runtimes::coreclr::threads::{self, ManagedThread, ManagedThreads};
use crate::runtimes::coreclr::types::Types;

/// What is known of who has what.
pub(in crate::runtimes::coreclr) struct Holding<'a> {
    types: Types<'a>,
    pub(in crate::runtimes::coreclr) holders: Holders<'a>,
    blocks: &'a SyncBlocks,
    running: &'a [Running],
    slim: Readers,
    old: Readers,
    /// Threads by their objects.
    threads: FxHashMap<Addr, Tid>,
    /// SyncBlocks that threads wait for and the table, as far as it was read, does not have.
    unlisted: &'a FxHashSet<Addr>,
    /// Who has each `Mutex` that is waited for, as far as it was found.
    mutexes: &'a FxHashMap<Addr, Known<Owned>>,
}

impl<'a> Holding<'a> {
    /// What the runtime's threads say.
    pub(in crate::runtimes::coreclr) fn of(
        types: Types<'a>,
        threads: &'a ManagedThreads,
        blocks: &'a SyncBlocks,
        running: &'a [Running],
        unlisted: &'a FxHashSet<Addr>,
        mutexes: &'a FxHashMap<Addr, Known<Owned>>,
    ) -> Holding<'a> {
        let object = |thread: &ManagedThread| {
            Some((threads::object(types.clr, thread.address).ok()?, thread.tid.clone().ok()??))
        };
        Holding {
            types,
            holders: Holders::of(threads),
            blocks,
            running,
            slim: Readers::of_slim(types, threads),
            old: Readers::of_old(types, threads),
            threads: threads.threads.iter().filter_map(object).collect(),
            unlisted,
            mutexes,
        }
    }

    /// A lock without its waiters.
    pub(in crate::runtimes::coreclr) fn lock(&self, kind: LockKind, address: Addr, name: Option<&str>) -> Lock {
        let held = self.held(kind, address).unwrap_or_else(Held::unknown);
        lock(kind, address, held, name)
    }

    /// Who has it.
    pub(in crate::runtimes::coreclr) fn held(&self, kind: LockKind, address: Addr) -> Known<Held> {
        let object = || self.types.object(address);
        Ok(match kind {
            kinds::MONITOR => self.monitor(address),
            kinds::LOCK => owners::of_lock(&object()?, &self.holders)?,
            kinds::LAZY => self.monitor(object()?.address("_state")?),
            kinds::RWLOCK_SLIM => {
                let (held, reading) = owners::of_slim(&object()?, &self.holders, &self.slim)?;
                held.read(reading, self.slim.reading(object()?.u64("_lockID")?))
            }
            kinds::RWLOCK => {
                let (held, reading) = owners::of_old(&object()?, &self.holders)?;
                held.read(reading, self.old.reading(object()?.u64("_lockID")?))
            }
            kinds::MUTEX => owners::of_mutex(self.mutexes.get(&address), &self.holders),
            kinds::STATIC_CONSTRUCTOR => self.constructor(address),
            kinds::JOIN => self.joined(address),
            _ => Held::free(Evidence::WAIT),
        })
    }

    /// Who has the Monitor of an object, or in a SyncBlock of which the object is not known.
    fn monitor(&self, at: Addr) -> Held {
        if self.unlisted.contains(&at) {
            let state = sync_blocks::state(self.types.clr, at);
            return state.map_or_else(Held::unknown, |state| state.held(&self.holders));
        }
        if let Some(block) = self.blocks.of(at) {
            return block.held(&self.holders);
        }
        match Header::read(self.types.clr.memory(), at) {
            Ok(Header::Thin(thin)) => thin.held(&self.holders),
            Ok(Header::SyncBlock(index)) => self.blocks.held_elsewhere(index),
            Ok(Header::Free) => Held::free(Evidence::WAIT),
            Err(gap) => Held::unknown(gap),
        }
    }

    fn constructor(&self, table: Addr) -> Held {
        let runs = self.running.iter().find(|running| running.table == table);
        let nobody = || Held::unknown(Gap::NotRecorded("nobody runs it".to_owned()));
        runs.map_or_else(nobody, |running| Held::inferred(running.tid, evidence::CONSTRUCTOR_FRAME))
    }

    fn joined(&self, thread: Addr) -> Held {
        let words = || match self.holders.unread() {
            None => "a thread that was not started, or has ended".to_owned(),
            Some(gap) => format!("none of the managed threads that could be read: {gap}"),
        };
        let unlisted = || Held::unknown(Gap::Absent(words()));
        self.threads.get(&thread).map_or_else(unlisted, |tid| Held::inferred(*tid, evidence::JOINED_OBJECT))
    }
}
