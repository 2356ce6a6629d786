//! The families of locks, each by how its waits are recognised and how its held locks are found.

use crate::model::{Addr, OsThread};
use crate::runtimes::native::observations::Observations;

use super::observation::{Observation, Waiter};
use super::{
    atomic, futex, glibc_condvar, glibc_mutex, glibc_parked, glibc_rwlock, join, libc_internal, musl, musl_condvar,
    once, parking_lot, rust, semaphore, unread,
};

/// A family of locks.
pub(super) struct Probe {
    /// What a thread in a futex wait waits for, if it is of this family.
    pub(super) waited: fn(&Observations<'_>, &Waiter<'_>) -> Option<Observation>,
    /// How held ones are found that nobody waits for.
    pub(super) held: Held,
}

/// How held locks are found.
pub(super) enum Held {
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
pub(super) static PROBES: &[Probe] = &[
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
