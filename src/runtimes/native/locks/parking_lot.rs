//! parking_lot: a thread sleeps on a word of its own, whose neighbour names the lock.
//!
//! Layouts: docs/layouts/parking_lot.md. rustc orders the neighbour's members as it likes, so the lock's address is
//! believed only where the waiter's own frames hold it too.

use crate::model::{Addr, Evidence, Gap, LockKind, Owner};

use super::{Ground, Sighting, Waiter};

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
    ("parking_lot::raw_mutex::RawMutex", LockKind::ParkingLotMutex),
    ("parking_lot::raw_rwlock::RawRwLock", LockKind::ParkingLotRwlock),
    ("parking_lot::condvar::Condvar", LockKind::ParkingLotCondvar),
];

/// Recognises a wait in parking_lot's parking of threads.
pub(super) fn waited(ground: &Ground<'_>, waiter: &Waiter<'_>) -> Option<Sighting> {
    let kind = waiter.calls.in_runtime().find_map(|call| {
        let name = call.name.as_deref()?;
        PARKERS.iter().find(|(part, _)| name.contains(part)).map(|(_, kind)| *kind)
    })?;
    let fits = |lock: &Addr| is_parked_on(ground, kind, *lock) && waiter.points_to(ground, *lock);
    let address = KEYS.iter().filter_map(|key| ground.memory().ptr(waiter.futex.word.offset(*key)?).ok()).find(fits)?;
    describe(ground, kind, address)
}

/// Whether the lock says that a thread is parked on it.
fn is_parked_on(ground: &Ground<'_>, kind: LockKind, lock: Addr) -> bool {
    match kind {
        LockKind::ParkingLotMutex => {
            let state = ground.memory().u8(lock);
            state.is_ok_and(|state| state & MUTEX_PARKED != 0 && state & !(MUTEX_LOCKED | MUTEX_PARKED) == 0)
        }
        LockKind::ParkingLotRwlock => {
            lock.is_aligned(8) && ground.memory().u64(lock).is_ok_and(|state| state & RWLOCK_PARKED != 0)
        }
        // A condition variable points to the mutex that its waiters gave up.
        _ => lock.is_aligned(8) && ground.memory().ptr(lock).is_ok_and(|mutex| ground.memory().u8(mutex).is_ok()),
    }
}

fn describe(ground: &Ground<'_>, kind: LockKind, address: Addr) -> Option<Sighting> {
    let unknown = |what: String| Owner::Unknown(Gap::NotRecorded(what));
    let seen = Sighting::waited(kind, address, Owner::None);
    Some(match kind {
        LockKind::ParkingLotMutex if ground.memory().u8(address).ok()? & MUTEX_LOCKED != 0 => {
            Sighting { owner: unknown("a parking_lot Mutex does not store its owner".to_owned()), ..seen }
        }
        LockKind::ParkingLotRwlock => {
            let state = ground.memory().u64(address).ok()?;
            let readers = u32::try_from(state >> RWLOCK_READER_SHIFT).ok()?;
            if state & RWLOCK_WRITER != 0 {
                let owner = unknown("a parking_lot RwLock does not store its writer".to_owned());
                Sighting { owner, readers: Some(0), ..seen }
            } else if readers > 0 {
                let owner = unknown(format!("{readers} readers hold it, which the lock counts and does not name"));
                Sighting { owner, readers: Some(readers), evidence: Evidence::ReaderCount, ..seen }
            } else {
                Sighting { readers: Some(0), ..seen }
            }
        }
        _ => seen,
    })
}
