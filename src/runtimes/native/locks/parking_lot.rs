//! parking_lot: a thread sleeps on a word of its own, whose neighbour names the lock.
//!
//! Layouts: docs/layouts/parking_lot.md. rustc orders the neighbour's members as it likes, so the lock's address is
//! believed only where the waiter's own frames hold it too.

use crate::model::{Addr, Evidence, Gap, LockKind, Owner};

use super::evidence;
use super::kinds;
use super::observation::{Observation, Waiter};
use crate::runtimes::native::observations::Observations;

// ThreadData.key, from the futex word: measured with parking_lot_core 0.9.12 and rustc 1.95, then the other places that the
// structure's 8-byte members can be at. docs/layouts/parking_lot.md.
const KEYS: [i64; 9] = [-32, -24, -16, -8, 8, 16, 24, 32, 40];

// RawMutex: one byte. Source: parking_lot 0.12 src/raw_mutex.rs, LOCKED_BIT and PARKED_BIT.
const MUTEX_LOCKED: u8 = 1;
const MUTEX_PARKED: u8 = 2;
// RawRwLock: one word. Source: parking_lot 0.12 src/raw_rwlock.rs, PARKED_BIT, WRITER_PARKED_BIT, WRITER_BIT, READERS_MASK.
const RWLOCK_PARKED: u64 = 1 | 2;
const RWLOCK_WRITER: u64 = 8;
const RWLOCK_READER_SHIFT: u32 = 4;

/// Parts of the names of the functions that park, by what they park for.
// Source: parking_lot 0.12 src/raw_mutex.rs lock_slow, raw_rwlock.rs lock_*_slow and lock_common, condvar.rs wait_until_internal.
const PARKERS: &[(&str, LockKind)] = &[
    ("parking_lot::raw_mutex::RawMutex", kinds::PARKING_LOT_MUTEX),
    ("parking_lot::raw_rwlock::RawRwLock", kinds::PARKING_LOT_RWLOCK),
    ("parking_lot::condvar::Condvar", kinds::PARKING_LOT_CONDVAR),
];

/// Recognises a wait in parking_lot's parking of threads.
pub(super) fn waited(observations: &Observations<'_>, waiter: &Waiter<'_>) -> Option<Observation> {
    let kind = waiter.calls.in_runtime().find_map(|call| {
        let name = call.name.as_deref()?;
        PARKERS.iter().find(|(part, _)| name.contains(part)).map(|(_, kind)| *kind)
    })?;
    let fits = |lock: &Addr| is_parked_on(observations, kind, *lock) && waiter.points_to(observations, *lock);
    let address = KEYS
        .iter()
        .filter_map(|key| observations.memory().ptr(waiter.futex.word.offset(*key)?).ok())
        .map(|key| lock_of(kind, key))
        .find(fits)?;
    match kind {
        kinds::PARKING_LOT_MUTEX if is_reentrant(waiter) => reentrant(observations, address),
        kinds::PARKING_LOT_MUTEX => mutex(observations, address),
        kinds::PARKING_LOT_RWLOCK => rwlock(observations, address),
        _ => Some(Observation::waited(kind, address, Owner::None)),
    }
}

/// The lock of a parking key. A writer that waits for readers to leave parks on the address after the lock's.
// Source: parking_lot 0.12 src/raw_rwlock.rs, wait_for_readers.
fn lock_of(kind: LockKind, key: Addr) -> Addr {
    if kind == kinds::PARKING_LOT_RWLOCK { Addr(key.0 & !1) } else { key }
}

/// Whether the lock says that a thread is parked on it.
fn is_parked_on(observations: &Observations<'_>, kind: LockKind, lock: Addr) -> bool {
    match kind {
        kinds::PARKING_LOT_MUTEX => {
            let state = observations.memory().u8(lock);
            state.is_ok_and(|state| state & MUTEX_PARKED != 0 && state & !(MUTEX_LOCKED | MUTEX_PARKED) == 0)
        }
        kinds::PARKING_LOT_RWLOCK => {
            lock.is_aligned(8) && observations.memory().u64(lock).is_ok_and(|state| state & RWLOCK_PARKED != 0)
        }
        // A condition variable points to the mutex that its waiters gave up.
        _ => {
            lock.is_aligned(8)
                && observations.memory().ptr(lock).is_ok_and(|mutex| observations.memory().u8(mutex).is_ok())
        }
    }
}

fn mutex(observations: &Observations<'_>, address: Addr) -> Option<Observation> {
    let locked = observations.memory().u8(address).ok()? & MUTEX_LOCKED != 0;
    let gap = Gap::NotRecorded("a parking_lot Mutex does not store its owner".to_owned());
    let owner = if locked { Owner::Unknown(gap) } else { Owner::None };
    Some(Observation::waited(kinds::PARKING_LOT_MUTEX, address, owner))
}

fn rwlock(observations: &Observations<'_>, address: Addr) -> Option<Observation> {
    let state = observations.memory().u64(address).ok()?;
    let readers = u32::try_from(state >> RWLOCK_READER_SHIFT).ok()?;
    let unknown = |what: String| Owner::Unknown(Gap::NotRecorded(what));
    // The writer's bit is set by a writer that still waits for readers, too.
    let (owner, evidence) = if readers > 0 {
        (unknown(super::readers::counted(readers)), Evidence::READER_COUNT)
    } else if state & RWLOCK_WRITER != 0 {
        (unknown("a parking_lot RwLock does not store its writer".to_owned()), Evidence::WAIT)
    } else {
        (Owner::None, evidence::FUTEX_WORD)
    };
    let seen = Observation::waited(kinds::PARKING_LOT_RWLOCK, address, owner);
    Some(Observation { readers: Some(readers), evidence, ..seen })
}

// Members of RawReentrantMutex, from the RawMutex in it. Source: lock_api 0.4 src/remutex.rs; the order was measured with
// rustc 1.95 (owner 0, lock_count 8, mutex 16).
const REENTRANT_OWNER: u64 = 16;
const REENTRANT_COUNT: u64 = 8;

fn is_reentrant(waiter: &Waiter<'_>) -> bool {
    waiter.calls.in_runtime().any(|call| call.name.as_deref().is_some_and(|name| name.contains("lock_api::remutex::")))
}

/// A `ReentrantMutex` around a mutex: it stores an address in its owner's thread-local storage.
fn reentrant(observations: &Observations<'_>, inner: Addr) -> Option<Observation> {
    let address = inner.minus(REENTRANT_OWNER)?;
    let owner = observations.memory().ptr(address).ok().and_then(|local| observations.owner_of_thread_local(local));
    let count =
        observations.memory().u64(inner.minus(REENTRANT_COUNT)?).ok().and_then(|count| u32::try_from(count).ok());
    match (owner, count) {
        (Some(tid), Some(count)) if count > 0 => {
            let seen = Observation::waited(kinds::PARKING_LOT_MUTEX, address, Owner::Thread(tid));
            Some(Observation { recursion: Some(count), evidence: Evidence::OWNER_FIELD, ..seen })
        }
        // Another order of members: the mutex inside is all that is known.
        _ => mutex(observations, inner),
    }
}
