//! What the threads of the runtime wait for, and the locks that they wait for.
//!
//! Input: the runtime's threads, its table of SyncBlocks, what threads say of their waits. Output: [`Wait`]s, and a [`Lock`] for each thing
//! that is waited for.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::blocking::{self, On};
use super::headers::Thin;
use super::holders::{Held, Holders};
use super::kinds;
use super::names::Names;
use super::sync_blocks::SyncBlocks;
use super::wait::Wait;
use crate::error::Error;
use crate::job::Job;
use crate::model::thread::WaitKind;
use crate::model::{Addr, Evidence, Lock, LockKind, Problem, Subject, Thread, Tid, WaitingOn};
use crate::runtimes::Scene;
use crate::runtimes::coreclr::threads::ManagedThreads;
use crate::runtimes::coreclr::types::Types;

/// What threads wait for.
pub(in crate::runtimes::coreclr) struct Waits {
    /// Each wait, in the order of threads.
    pub(in crate::runtimes::coreclr) all: Vec<Wait>,
    /// The table of SyncBlocks.
    blocks: Arc<SyncBlocks>,
    /// What that is called.
    names: Names,
    /// What could not be read.
    pub(in crate::runtimes::coreclr) problems: Vec<Problem>,
}

impl Waits {
    /// Reads them.
    pub(in crate::runtimes::coreclr) fn read(
        types: Types<'_>,
        scene: &Scene<'_>,
        threads: &ManagedThreads,
        blocks: Arc<SyncBlocks>,
        job: &Job,
    ) -> Result<Waits, Error> {
        let holders = Holders::of(threads);
        let (mut all, mut problems) = (Vec::new(), Vec::new());
        let mut meter = job.meter();
        for thread in scene.threads {
            meter.add(1)?;
            let Some(managed) = holders.of_tid(thread.tid) else { continue };
            match blocking::of(types.clr, managed.address) {
                Ok(found) => all.extend(found.map(|found| wait(thread.tid, found, &blocks))),
                Err(gap) => {
                    let message = format!("what managed thread {} waits for cannot be read: {gap}", thread.tid);
                    problems.push(Problem::new("wait-unread", Subject::Thread(thread.tid), message));
                }
            }
        }
        problems.extend(blocks.cut.as_ref().map(|gap| {
            let message = format!("the table of SyncBlocks cannot be read to its end: {gap}; Monitors may be missing");
            Problem::new("locks-missing", Subject::Capture, message)
        }));
        let names = Names::find(types, &all.iter().map(|wait| wait.address).collect());
        Ok(Waits { all, blocks, names, problems })
    }

    /// The locks that are waited for, by address.
    pub(in crate::runtimes::coreclr) fn locks(&self, types: Types<'_>, holders: &Holders<'_>) -> Vec<Lock> {
        let mut of: FxHashMap<(Addr, LockKind), Vec<&Wait>> = FxHashMap::default();
        for wait in &self.all {
            of.entry((wait.address, wait.kind)).or_default().push(wait);
        }
        let lock = |((address, kind), waits): ((Addr, LockKind), Vec<&Wait>)| {
            let held = self.held(types, holders, kind, address);
            let mut lock = lock(address, kind, held, self.names.of(address));
            lock.waiters = waits.iter().map(|wait| wait.tid).collect();
            lock.limits = waits.iter().filter_map(|wait| wait.limit()).collect();
            lock
        };
        let mut locks: Vec<Lock> = of.into_iter().map(lock).collect();
        // Of one object what somebody owns comes before waits for its pulse.
        locks.sort_by_key(|lock| (lock.address, !lock.kind.is_owned(), lock.kind.word));
        locks
    }

    /// Who has what is waited for.
    fn held(&self, types: Types<'_>, holders: &Holders<'_>, kind: LockKind, address: Addr) -> Held {
        match kind {
            kinds::MONITOR => self.monitor(types, holders, address),
            _ => Held::free(Evidence::WAIT),
        }
    }

    /// Who has an object's lock.
    pub(in crate::runtimes::coreclr) fn monitor(&self, types: Types<'_>, holders: &Holders<'_>, object: Addr) -> Held {
        if let Some(block) = self.blocks.of(object).or_else(|| self.blocks.at(object)) {
            return block.held(holders);
        }
        match Thin::read(types.clr.memory(), object) {
            Ok(Some(thin)) => thin.held(holders),
            Ok(None) => Held::free(Evidence::WAIT),
            Err(gap) => Held::unknown(gap),
        }
    }

    /// The locks that a SyncBlock says are held and nobody waits for.
    pub(in crate::runtimes::coreclr) fn held_blocks(&self, holders: &Holders<'_>) -> Vec<(Addr, Held)> {
        let waited: FxHashSet<Addr> = self.all.iter().map(|wait| wait.address).collect();
        let blocks = self.blocks.all.iter().filter(|block| !waited.contains(&block.object));
        let held = blocks.map(|block| (block.object, block.held(holders)));
        held.filter(|(_, held)| held.is_held() && held.recursion.is_some()).collect()
    }

    /// Says of a thread what it waits for, instead of what native code beneath it does.
    pub(in crate::runtimes::coreclr) fn describe(&self, thread: &mut Thread) {
        let Some(wait) = self.all.iter().find(|wait| wait.tid == thread.tid) else { return };
        thread.waiting_on = Some(WaitingOn {
            kind: WaitKind::Lock(wait.kind),
            address: Some(wait.address),
            name: self.names.of(wait.address).map(str::to_owned),
            detail: None,
            nature: wait.kind.nature,
            within: wait.limit_ms.is_none(),
        });
    }
}

fn wait(tid: Tid, found: blocking::Blocking, blocks: &SyncBlocks) -> Wait {
    // Where the table is not in the dump, what is known of the object is where its SyncBlock is.
    let object = |block: Addr| blocks.at(block).map_or(block, |block| block.object);
    let (kind, address) = match found.on {
        On::Enter(block) => (kinds::MONITOR, object(block)),
        On::Pulse(block) => (kinds::MONITOR_WAIT, object(block)),
        On::Lock(lock) => (kinds::LOCK, lock),
    };
    Wait { tid, kind, address, limit_ms: found.limit_ms }
}

/// A lock without waiters.
pub(in crate::runtimes::coreclr) fn lock(address: Addr, kind: LockKind, held: Held, name: Option<&str>) -> Lock {
    Lock {
        address,
        kind,
        name: Ok(name.map(str::to_owned)),
        owner: held.owner,
        recursion: held.recursion,
        readers: None,
        read_by: Vec::new(),
        waiters: Vec::new(),
        evidence: held.evidence,
        absent: held.absent,
        limits: Vec::new(),
    }
}
