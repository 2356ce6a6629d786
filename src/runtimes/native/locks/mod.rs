//! Every lock that a thread waits for, and those that a recorded owner holds.
//!
//! Input: threads with their futex waits and named frames. Each family of locks is a file here and a line in [`PROBES`];
//! the first probe that recognises a wait names it, and a wait that none recognises is a bare futex. Held locks without
//! waiters are another question, [`held`]: it reads much memory, and no deadlock needs it.

mod absent;
mod atomic;
mod code;
mod entry;
mod evidence;
mod futex;
mod glibc_condvar;
mod glibc_mutex;
mod glibc_parked;
mod glibc_rwlock;
mod held;
mod interrupted;
mod join;
mod kinds;
mod libc_internal;
mod limits;
mod musl;
mod musl_condvar;
mod names;
mod objects;
mod once;
mod owners;
mod parking_lot;
mod readers;
mod recognised;
mod rust;
mod semaphore;
mod unread;

use rustc_hash::FxHashMap;

use crate::error::Error;
use crate::job::Job;
use crate::model::{Acquisition, Addr, Evidence, Lock, LockKind, OsThread, Owner, Partial, Stack, Tid};

use super::calls::Calls;
use super::observations::Observations;
use super::waits::Futex;

use self::code::ByCode;
use self::entry::Entry;
pub(super) use self::recognised::Recognised;

/// A thread in a futex wait.
struct Waiter<'a> {
    thread: &'a OsThread,
    stack: &'a Stack,
    calls: &'a Calls,
    /// The function of the C library that it is in.
    entry: Entry,
    futex: Futex,
}

impl Waiter<'_> {
    /// Every word that its frames' registers and its stack hold, innermost first, as addresses.
    fn pointers(&self, observations: &Observations<'_>) -> impl Iterator<Item = Addr> {
        let registers = self.stack.registers.iter().flat_map(|frame| frame.iter().filter_map(|(_, value)| value));
        registers.chain(observations.live_words(self.thread).map(|(_, word)| word)).map(Addr)
    }

    /// Whether its frames hold this very address.
    fn points_to(&self, observations: &Observations<'_>, address: Addr) -> bool {
        self.pointers(observations).any(|pointer| pointer == address)
    }
}

/// A lock as one probe saw it; its name and other waiters come later.
#[derive(Clone, Debug)]
pub(super) struct Observation {
    /// What it is.
    pub(super) kind: LockKind,
    /// The object itself.
    pub(super) address: Addr,
    owner: Owner,
    recursion: Option<u32>,
    readers: Option<u32>,
    evidence: Evidence,
}

impl Observation {
    /// A lock that nobody owns, or of which only the wait is known.
    fn waited(kind: LockKind, address: Addr, owner: Owner) -> Observation {
        Observation { kind, address, owner, recursion: None, readers: None, evidence: Evidence::WAIT }
    }
}

/// A family of locks.
struct Probe {
    /// What a thread in a futex wait waits for, if it is of this family.
    waited: fn(&Observations<'_>, &Waiter<'_>) -> Option<Observation>,
    /// How held ones are found that nobody waits for.
    held: Held,
}

enum Held {
    /// Nothing in memory names the holder.
    Unrecorded,
    /// By a word of memory that holds a live thread's id.
    ByWord(fn(&Observations<'_>, Addr) -> Option<Observation>),
    /// From a list that each thread keeps.
    ByThread(fn(&Observations<'_>, &OsThread) -> Vec<Observation>),
    /// From both.
    Both(fn(&Observations<'_>, Addr) -> Option<Observation>, fn(&Observations<'_>, &OsThread) -> Vec<Observation>),
}

/// Every family, the most certain recognition first; the last accepts any wait.
static PROBES: &[Probe] = &[
    Probe { waited: join::waited, held: Held::Unrecorded },
    Probe { waited: rust::waited, held: Held::Unrecorded },
    Probe { waited: parking_lot::waited, held: Held::Unrecorded },
    Probe { waited: glibc_parked::waited, held: Held::Unrecorded },
    Probe { waited: glibc_mutex::waited, held: Held::Both(glibc_mutex::held_at, glibc_mutex::held_by) },
    Probe { waited: glibc_rwlock::waited, held: Held::ByWord(glibc_rwlock::held_at) },
    Probe { waited: glibc_condvar::waited, held: Held::Unrecorded },
    Probe { waited: musl::mutex, held: Held::ByThread(musl::held_by) },
    Probe { waited: musl::rwlock, held: Held::Unrecorded },
    Probe { waited: musl_condvar::waited, held: Held::Unrecorded },
    Probe { waited: semaphore::semaphore, held: Held::Unrecorded },
    Probe { waited: semaphore::barrier, held: Held::Unrecorded },
    Probe { waited: once::waited, held: Held::Unrecorded },
    Probe { waited: atomic::waited, held: Held::Unrecorded },
    Probe { waited: unread::waited, held: Held::Unrecorded },
    Probe { waited: libc_internal::waited, held: Held::Unrecorded },
    Probe { waited: futex::waited, held: Held::Unrecorded },
];

/// Locks by address, in the order of their first observation.
#[derive(Default)]
struct Found {
    locks: Vec<Lock>,
    at: FxHashMap<Addr, usize>,
}

impl Found {
    fn add(&mut self, seen: Observation, waiter: Option<Tid>) {
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
                read_by: Vec::new(),
                waiters: Vec::new(),
                evidence: seen.evidence,
                absent: None,
                limits: Vec::new(),
            });
        }
        if let (Some(lock), Some(tid)) = (locks.get_mut(index), waiter) {
            lock.waiters.push(tid);
        }
    }
}

/// Where the threads at these places of the scene have taken the locks that they hold, parallel to `threads`.
pub(super) fn acquisitions(
    observations: &Observations<'_>,
    recognised: &Recognised,
    threads: &[usize],
    job: &Job,
) -> Result<Vec<Vec<Acquisition>>, Error> {
    let code = ByCode::new(observations);
    let of_thread = |index: &usize| {
        job.check()?;
        let stack = observations.scene.stacks.get(*index);
        let acquisitions = stack.map(|stack| code.acquisitions(stack, recognised.waits_on_condvar(*index)));
        Ok(acquisitions.unwrap_or_default())
    };
    threads.iter().map(of_thread).collect()
}

/// Every lock that a thread waits for, by address.
pub(super) fn locks(
    observations: &Observations<'_>,
    recognised: &Recognised,
    job: &Job,
) -> Result<Partial<Vec<Lock>>, Error> {
    let mut found = Found::default();
    for (index, thread) in observations.scene.threads.iter().enumerate() {
        if let Some(seen) = recognised.wait(index) {
            found.add(seen.clone(), Some(thread.tid));
        }
    }
    let mut problems = Vec::new();
    limits::add(observations, recognised, &mut found.locks);
    absent::explain(observations, &mut found.locks);
    interrupted::infer(observations, &mut found.locks);
    owners::infer(observations, recognised, job, &mut found.locks, &mut problems)?;
    absent::widen(observations, &mut found.locks);
    for lock in &mut found.locks {
        lock.name = recognised.name(lock.address);
    }
    Ok(Partial { value: by_address(found.locks), problems })
}

/// Every lock that a recorded owner holds and nobody waits for, by address.
pub(super) fn held(
    observations: &Observations<'_>,
    recognised: &Recognised,
    job: &Job,
) -> Result<Partial<Vec<Lock>>, Error> {
    let mut found = Found::default();
    let mut problems = Vec::new();
    held::add(observations, job, &mut found, &mut problems)?;
    found.locks.retain(|lock| !recognised.is_waited_for(lock.address));
    for lock in &mut found.locks {
        lock.name = names::name(observations, lock.kind, lock.address, &[]);
    }
    Ok(Partial { value: by_address(found.locks), problems })
}

fn by_address(mut locks: Vec<Lock>) -> Vec<Lock> {
    locks.sort_by_key(|lock| lock.address);
    locks
}
