//! musl's `pthread_mutex_t` and `pthread_rwlock_t`.
//!
//! A normal mutex stores no owner (its word is EBUSY); all other types store the owner's id and are on the owner's list.
//! Layouts: docs/layouts/musl.md.

use crate::model::{Addr, Evidence, Gap, OsThread, Owner};

use super::entry::Entry;
use super::evidence;
use super::glibc_mutex::robust_list;
use super::kinds;
use super::observation::{Observation, Waiter};
use crate::runtimes::native::observations::Observations;

// Source: musl 1.2.3 src/internal/pthread_impl.h: _m_type __i[0], _m_lock __vi[1], _m_waiters __vi[2], _m_count __i[5].
const TYPE: u64 = 0;
const LOCK: u64 = 4;
const WAITERS: u64 = 8;
const COUNT: u64 = 20;

// Source: musl 1.2.3 src/thread/pthread_mutex_trylock.c, pthread_mutex_timedlock.c: owner in bits 0-29, 31 = waiters; the
// type's low bits are POSIX's, 4 robust, 8 PI, 128 shared; a normal mutex holds EBUSY.
const OWNER_MASK: u32 = 0x3fff_ffff;
const KIND_MASK: u32 = 15;
// What a thread's end leaves in the mutexes that it held; only robust ones can be had after that. Source: as above; musl 1.2.3
// src/thread/pthread_create.c, __pthread_exit.
const OWNER_DIED: u32 = 0x4000_0000;
const ROBUST: u32 = 4;
const PRIO_INHERIT: u32 = 8;
const PROCESS_SHARED: u32 = 128;
const EBUSY: u32 = 16;

/// Recognises a wait for a mutex: by the function's name, or without names by the structure's content.
pub(super) fn mutex(observations: &Observations<'_>, waiter: &Waiter<'_>) -> Option<Observation> {
    if !observations.libc.is_musl() {
        return None;
    }
    let at = waiter.futex.word.minus(LOCK)?;
    let entry = waiter.entry;
    let by_content = || {
        let member = |offset: u64| observations.memory().u32(at.plus(offset)?).ok();
        let lock = member(LOCK)?;
        let held = if member(TYPE)? & KIND_MASK == 0 {
            lock & OWNER_MASK == EBUSY
        } else {
            observations.tids.thread(lock & OWNER_MASK).is_some()
        };
        let waiters = usize::try_from(member(WAITERS)?)
            .is_ok_and(|count| (1..=observations.scene.threads.len()).contains(&count));
        // A waiter counts itself and saw the very word that is there now; for PI the kernel does both.
        let pi = waiter.futex.is_pi() && member(TYPE)? & PRIO_INHERIT != 0;
        (held && at.is_aligned(8) && (pi || (waiters && lock == waiter.futex.expected))).then_some(())
    };
    match entry {
        Entry::Mutex => {}
        // Stacks of musl are scanned: a name may be missing, or be left over from an earlier call.
        Entry::Other | Entry::Unnamed | Entry::Condvar => by_content()?,
        Entry::Rwlock | Entry::Semaphore | Entry::Barrier | Entry::Once | Entry::Guard | Entry::Join => return None,
    }
    describe(observations, at)
}

/// The id of the thread that the mutex at an address records as its holder.
pub(super) fn owner_id(observations: &Observations<'_>, at: Addr) -> Option<u32> {
    Some(observations.memory().u32(at.plus(LOCK)?).ok()? & OWNER_MASK)
}

fn describe(observations: &Observations<'_>, at: Addr) -> Option<Observation> {
    let member = |offset: u64| observations.memory().u32(at.plus(offset)?).ok();
    let (kind, word) = (member(TYPE)?, member(LOCK)?);
    if kind & !(KIND_MASK | PROCESS_SHARED) != 0 {
        return None;
    }
    let lock_kind = match kind & KIND_MASK {
        kind if kind & PRIO_INHERIT != 0 => kinds::MUTEX_PRIORITY_INHERIT,
        kind if kind & ROBUST != 0 => kinds::MUTEX_ROBUST,
        1 => kinds::MUTEX_RECURSIVE,
        2 => kinds::MUTEX_ERRORCHECK,
        _ => kinds::MUTEX,
    };
    let (owner, evidence) = match (word & OWNER_MASK, kind & KIND_MASK) {
        (0, kind) if word & OWNER_DIED != 0 && kind & ROBUST == 0 => {
            let words = "its holder ended without giving it back, and musl lets nobody have it any more".to_owned();
            (Owner::Unknown(Gap::Absent(words)), Evidence::OWNER_GONE)
        }
        (0, _) => (Owner::None, evidence::FUTEX_WORD),
        (_, 0) => {
            let gap = Gap::NotRecorded("musl does not store the owner of a normal mutex".to_owned());
            (Owner::Unknown(gap), Evidence::WAIT)
        }
        (id, _) => observations.owner(id, evidence::FUTEX_WORD),
    };
    // The first locking counts 0.
    let held = matches!(owner, Owner::Thread(_));
    let recursion = if held { Some(member(COUNT)?.saturating_add(1)) } else { None };
    Some(Observation { kind: lock_kind, address: at, owner, recursion, readers: None, evidence })
}

/// The mutexes that a thread holds and musl writes down: all but normal ones.
pub(super) fn held_by(observations: &Observations<'_>, thread: &OsThread) -> Vec<Observation> {
    if !observations.libc.is_musl() {
        return Vec::new();
    }
    robust_list(observations, thread)
        .into_iter()
        .filter_map(|at| describe(observations, at))
        .filter(|seen| matches!(seen.owner, Owner::Thread(tid) if tid == thread.tid))
        .collect()
}

// Source: musl 1.2.3 src/thread/pthread_rwlock_trywrlock.c: 0x7fffffff is held for writing, else readers; 31 = waiters.
const WRITE_HELD: u32 = 0x7fff_ffff;

/// Recognises a wait in a function of reader-writer locks.
pub(super) fn rwlock(observations: &Observations<'_>, waiter: &Waiter<'_>) -> Option<Observation> {
    if !observations.libc.is_musl() || waiter.entry != Entry::Rwlock {
        return None;
    }
    let address = waiter.futex.word;
    let (owner, evidence, readers) = match observations.memory().u32(address).ok()? & WRITE_HELD {
        0 => (Owner::None, evidence::FUTEX_WORD, 0),
        WRITE_HELD => {
            let gap = Gap::NotRecorded("musl does not store the writer".to_owned());
            (Owner::Unknown(gap), Evidence::WAIT, 0)
        }
        readers => {
            let gap = Gap::NotRecorded(super::readers::counted(readers));
            (Owner::Unknown(gap), Evidence::READER_COUNT, readers)
        }
    };
    Some(Observation { kind: kinds::RWLOCK, address, owner, recursion: None, readers: Some(readers), evidence })
}
