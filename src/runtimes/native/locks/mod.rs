//! Every lock that a thread waits for or that a recorded owner holds.
//!
//! Input: threads with their futex waits and named frames. Each family of locks is a file here and a line in [`PROBES`];
//! the first probe that recognises a wait names it, and a wait that none recognises is a bare futex. Held locks without
//! waiters come from the threads' lists of robust mutexes and from a bounded search of writable memory.

mod entry;
mod futex;
mod glibc_condvar;
mod glibc_mutex;
mod glibc_rwlock;
mod held;
mod join;
mod libc_internal;
mod musl;
mod musl_condvar;
mod names;
mod objects;
mod once;
mod owners;
mod parking_lot;
mod rust;
mod semaphore;

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use crate::capture::Memory;
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Arch, Evidence, Gap, Known, Lock, LockKind, OsThread, Owner, Partial, Stack, Tid};
use crate::runtimes::Scene;

use super::calls::Calls;
use super::libc::Libc;
use super::tids::Tids;
use super::waits::{self, Activity, Futex};

/// All that probes may ask: the scene, its C library, and what each thread was doing.
pub(super) struct Ground<'a> {
    pub(super) scene: &'a Scene<'a>,
    pub(super) libc: &'a Libc,
    pub(super) tids: &'a Tids,
    /// Parallel to the scene's threads.
    pub(super) situations: Vec<Situation>,
    names: Mutex<FxHashMap<Addr, Known<Option<String>>>>,
}

/// What one thread was doing.
pub(super) struct Situation {
    pub(super) activity: Activity,
    pub(super) calls: Calls,
}

/// A thread in a futex wait.
struct Waiter<'a> {
    thread: &'a OsThread,
    stack: &'a Arc<Stack>,
    calls: &'a Calls,
    futex: Futex,
}

impl Waiter<'_> {
    /// Every word that its frames' registers and its stack hold, innermost first, as addresses.
    fn pointers(&self, ground: &Ground<'_>) -> impl Iterator<Item = Addr> {
        let registers = self.stack.registers.iter().flat_map(|frame| frame.iter().filter_map(|(_, value)| value));
        registers.chain(ground.live_words(self.thread).map(|(_, word)| word)).map(Addr)
    }

    /// Whether its frames hold this very address.
    fn points_to(&self, ground: &Ground<'_>, address: Addr) -> bool {
        self.pointers(ground).any(|pointer| pointer == address)
    }
}

/// A lock as one probe saw it; its name and other waiters come later.
#[derive(Clone, Debug)]
pub(super) struct Sighting {
    /// What it is.
    pub(super) kind: LockKind,
    /// The object itself.
    pub(super) address: Addr,
    owner: Owner,
    recursion: Option<u32>,
    readers: Option<u32>,
    evidence: Evidence,
}

impl Sighting {
    /// A lock that nobody owns, or of which only the wait is known.
    fn waited(kind: LockKind, address: Addr, owner: Owner) -> Sighting {
        Sighting { kind, address, owner, recursion: None, readers: None, evidence: Evidence::Wait }
    }
}

/// A family of locks.
struct Probe {
    /// What a thread in a futex wait waits for, if it is of this family.
    waited: fn(&Ground<'_>, &Waiter<'_>) -> Option<Sighting>,
    /// How held ones are found that nobody waits for.
    held: Held,
}

enum Held {
    /// Nothing in memory names the holder.
    Unrecorded,
    /// By a word of memory that holds a live thread's id.
    ByWord(fn(&Ground<'_>, Addr) -> Option<Sighting>),
    /// From a list that each thread keeps.
    ByThread(fn(&Ground<'_>, &OsThread) -> Vec<Sighting>),
    /// From both.
    Both(fn(&Ground<'_>, Addr) -> Option<Sighting>, fn(&Ground<'_>, &OsThread) -> Vec<Sighting>),
}

/// Every family, the most certain recognition first; the last accepts any wait.
static PROBES: &[Probe] = &[
    Probe { waited: join::waited, held: Held::Unrecorded },
    Probe { waited: rust::waited, held: Held::Unrecorded },
    Probe { waited: parking_lot::waited, held: Held::Unrecorded },
    Probe { waited: glibc_mutex::waited, held: Held::Both(glibc_mutex::held_at, glibc_mutex::held_by) },
    Probe { waited: glibc_rwlock::waited, held: Held::ByWord(glibc_rwlock::held_at) },
    Probe { waited: glibc_condvar::waited, held: Held::Unrecorded },
    Probe { waited: musl::mutex, held: Held::ByThread(musl::held_by) },
    Probe { waited: musl::rwlock, held: Held::Unrecorded },
    Probe { waited: musl_condvar::waited, held: Held::Unrecorded },
    Probe { waited: semaphore::semaphore, held: Held::Unrecorded },
    Probe { waited: semaphore::barrier, held: Held::Unrecorded },
    Probe { waited: once::waited, held: Held::Unrecorded },
    Probe { waited: libc_internal::waited, held: Held::Unrecorded },
    Probe { waited: futex::waited, held: Held::Unrecorded },
];

impl<'a> Ground<'a> {
    /// Names the ends of each stack and reads what each thread was doing.
    pub(super) fn of(scene: &'a Scene<'a>, libc: &'a Libc, tids: &'a Tids, job: &Job) -> Result<Ground<'a>, Error> {
        job.phase("reading what threads wait for", scene.threads.len() as u64);
        let target = scene.target;
        let situations = scene
            .threads
            .par_iter()
            .zip(scene.stacks)
            .map(|(thread, stack)| {
                job.advance(1)?;
                let calls = Calls::of(target, stack, libc.in_executable);
                let activity = waits::activity(target.arch(), thread, &calls, &target.memory);
                Ok(Situation { activity, calls })
            })
            .collect::<Result<Vec<Situation>, Error>>()?;
        Ok(Ground { scene, libc, tids, situations, names: Mutex::default() })
    }

    fn memory(&self) -> &'a Memory {
        &self.scene.target.memory
    }

    /// The lock that the thread at `index` waits for; `None` when it is in no futex wait.
    pub(super) fn wait(&self, index: usize) -> Option<Sighting> {
        let situation = self.situations.get(index)?;
        let Activity::Futex(futex) = situation.activity else { return None };
        let thread = self.scene.threads.get(index)?;
        let stack = self.scene.stacks.get(index)?;
        let waiter = Waiter { thread, stack, calls: &situation.calls, futex };
        PROBES.iter().find_map(|probe| (probe.waited)(self, &waiter))
    }

    /// The thread in whose static thread-local storage an address lies.
    // x86-64 keeps it right below the thread pointer, aarch64 right above. Source: Drepper, "ELF Handling For Thread-Local
    // Storage", variants II and I.
    fn owner_of_thread_local(&self, address: Addr) -> Option<Tid> {
        let distance = |thread: &OsThread| {
            let block = *thread.thread_pointer.as_ref().ok()?;
            match self.scene.target.arch() {
                Arch::X86_64 => block.since(address),
                Arch::Aarch64 => address.since(block),
            }
        };
        let near = self.scene.threads.iter().filter_map(|thread| Some((distance(thread)?, thread.tid)));
        near.filter(|(bytes, _)| *bytes < MAX_STATIC_TLS).min().map(|(_, tid)| tid)
    }

    /// What a lock is called; `Ok(None)` when nothing names it. Memoised; the first answer for an object asks the variables of
    /// the threads that wait for it.
    pub(super) fn name(&self, kind: LockKind, address: Addr) -> Known<Option<String>> {
        if let Some(known) = self.names.lock().unwrap_or_else(PoisonError::into_inner).get(&address) {
            return known.clone();
        }
        let users: Vec<usize> = (0..self.situations.len())
            .filter(|index| self.wait(*index).is_some_and(|seen| seen.address == address))
            .collect();
        let name = names::name(self, kind, address, &users);
        self.names.lock().unwrap_or_else(PoisonError::into_inner).insert(address, name.clone());
        name
    }

    /// The thread that an owner field names, with the evidence for it. `id` is not zero.
    fn owner(&self, id: u32, recorded: Evidence) -> (Owner, Evidence) {
        match self.tids.thread(id) {
            Some(tid) => (Owner::Thread(tid), recorded),
            None => {
                let gap = Gap::NotRecorded(format!("the lock names thread {id}, which is not in the dump"));
                (Owner::Unknown(gap), Evidence::OwnerGone)
            }
        }
    }

    /// The part of a thread's stack that is in use: from the stack pointer up to the thread's control block or the mapping's
    /// end.
    fn live_stack(&self, thread: &OsThread) -> Option<Range<Addr>> {
        let sp = Addr(thread.registers.as_ref().ok()?.sp()?.0 & !7);
        let end = self.memory().region_at(sp)?.end;
        // glibc and musl put the control block of a thread (not of the first one) at the top of its stack. Mappings of
        // neighbours may have been joined, so the mapping's end is not the stack's.
        let block = thread.thread_pointer.as_ref().ok().filter(|block| **block > sp && **block < end);
        Some(sp..block.copied().unwrap_or(end))
    }

    /// The words of a thread's live stack with their addresses, from the stack pointer up. At most [`MAX_STACK_WORDS`].
    fn live_words(&self, thread: &OsThread) -> impl Iterator<Item = (Addr, u64)> + use<'a> {
        let used = self.live_stack(thread);
        let sp = used.as_ref().map(|used| used.start);
        let bytes = used.and_then(|used| {
            let len = used.end.since(used.start)?.min(MAX_STACK_WORDS.saturating_mul(8));
            self.memory().slice_up_to(used.start, len).ok()
        });
        let words = bytes
            .unwrap_or_default()
            .chunks_exact(8)
            .filter_map(|word| Some(u64::from_le_bytes(word.try_into().ok()?)));
        (0u64..).zip(words).filter_map(move |(index, word)| Some((sp?.plus(index.checked_mul(8)?)?, word)))
    }
}

/// Static thread-local storage of one thread that is believed: programs have a few kilobytes.
const MAX_STATIC_TLS: u64 = 0x1_0000;

/// Why the owner of a lock that is held for reading is unknown.
fn held_by_readers(readers: u32) -> String {
    format!("held by readers ({readers}), whom the lock counts and does not name")
}

/// Words of one stack that are looked at: 2 MiB, far more than a thread that is not in endless recursion uses.
const MAX_STACK_WORDS: u64 = 0x4_0000;

/// Locks by address, in the order of their first sighting.
#[derive(Default)]
struct Found {
    locks: Vec<Lock>,
    at: FxHashMap<Addr, usize>,
}

impl Found {
    fn add(&mut self, seen: Sighting, waiter: Option<Tid>) {
        let Found { locks, at } = self;
        let index = *at.entry(seen.address).or_insert(locks.len());
        if index == locks.len() {
            locks.push(Lock {
                address: seen.address,
                kind: seen.kind,
                name: Ok(None),
                owner: seen.owner,
                recursion: seen.recursion,
                readers: seen.readers,
                waiters: Vec::new(),
                evidence: seen.evidence,
            });
        }
        if let (Some(lock), Some(tid)) = (locks.get_mut(index), waiter) {
            lock.waiters.push(tid);
        }
    }
}

/// Every lock that a thread waits for or that a recorded owner holds: those with waiters first, then by address.
pub(super) fn locks(ground: &Ground<'_>, job: &Job) -> Result<Partial<Vec<Lock>>, Error> {
    let mut found = Found::default();
    for (index, thread) in ground.scene.threads.iter().enumerate() {
        if let Some(seen) = ground.wait(index) {
            found.add(seen, Some(thread.tid));
        }
    }
    for probe in PROBES {
        if let Held::ByThread(list) | Held::Both(_, list) = probe.held {
            ground.scene.threads.iter().flat_map(|thread| list(ground, thread)).for_each(|seen| found.add(seen, None));
        }
    }
    let mut problems = Vec::new();
    held::search(ground, job, &mut found, &mut problems)?;
    owners::infer(ground, &mut found.locks);
    let mut locks = found.locks;
    for lock in &mut locks {
        lock.name = ground.name(lock.kind, lock.address);
    }
    locks.sort_by_key(|lock| (lock.waiters.is_empty(), lock.address));
    Ok(Partial { value: locks, problems })
}
