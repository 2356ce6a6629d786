//! Rust's `std::sync`: words without an owner, recognised by the function that waits.
//!
//! Layouts and names: docs/layouts/rust.md.

use crate::model::{Evidence, Gap, Owner};

use super::evidence;
use super::kinds;
use super::observation::{Observation, Waiter};
use crate::runtimes::native::observations::Observations;

/// What a waiting function waits for.
#[derive(Clone, Copy)]
enum Wait {
    Mutex,
    Read,
    Write,
    Condvar,
    Once,
    Park,
}

/// Parts of the waiting function's name; all must occur. The path differs by version, its end does not.
// Source: rust 1.62-1.95 library/std/src/sys (sync/ since 1.79, locks/ before), files mutex, rwlock, condvar, once,
// thread_parking, each `futex.rs`.
const WAITS: &[(&[&str], Wait)] = &[
    (&["std::sys", "futex", "Mutex", "::lock_contended"], Wait::Mutex),
    (&["std::sys", "futex", "RwLock", "::read_contended"], Wait::Read),
    (&["std::sys", "futex", "RwLock", "::write_contended"], Wait::Write),
    (&["std::sys", "futex", "Condvar", "::wait"], Wait::Condvar),
    (&["std::sys", "futex", "Once", "::call"], Wait::Once),
    (&["std::sys", "futex", "Once", "::wait"], Wait::Once),
    (&["std::sys", "Parker", "::park"], Wait::Park),
    (&["std::thread", "::park"], Wait::Park),
];

// Mutex: 0 free, 1 locked, 2 locked with waiters. Source: library/std/src/sys/sync/mutex/futex.rs.
const MUTEX_FREE: u32 = 0;
// RwLock: bits 0-29 count readers, all set = write-locked. Writers wait for the second word. Source: as above, rwlock/futex.rs.
const RWLOCK_COUNT: u32 = 0x3fff_ffff;
const RWLOCK_WRITER_NOTIFY: u64 = 4;

/// Recognises a wait in a function of `std::sync` or `std::thread::park`.
pub(super) fn waited(observations: &Observations<'_>, waiter: &Waiter<'_>) -> Option<Observation> {
    let wait = waiter.calls.in_runtime().find_map(|call| {
        let name = call.name.as_deref()?;
        WAITS.iter().find(|(parts, _)| parts.iter().all(|part| name.contains(part))).map(|(_, wait)| *wait)
    })?;
    let word = waiter.futex.word;
    let value = |at| observations.memory().u32(at).ok();
    let not_recorded = |what: &str| Owner::Unknown(Gap::NotRecorded(what.to_owned()));
    Some(match wait {
        Wait::Mutex => {
            let free = value(word)? == MUTEX_FREE;
            let owner = if free { Owner::None } else { not_recorded("a Rust Mutex does not store its owner") };
            Observation::waited(kinds::RUST_MUTEX, word, owner)
        }
        Wait::Read => rwlock(word, value(word)?),
        Wait::Write => {
            let address = word.minus(RWLOCK_WRITER_NOTIFY)?;
            rwlock(address, value(address)?)
        }
        Wait::Condvar => Observation::waited(kinds::RUST_CONDVAR, word, Owner::None),
        Wait::Once => {
            Observation::waited(kinds::RUST_ONCE, word, not_recorded("who runs the initialisation is not written down"))
        }
        Wait::Park => Observation::waited(kinds::RUST_PARK, word, Owner::None),
    })
}

fn rwlock(address: crate::model::Addr, state: u32) -> Observation {
    let (owner, evidence, readers) = match state & RWLOCK_COUNT {
        0 => (Owner::None, evidence::FUTEX_WORD, 0),
        RWLOCK_COUNT => {
            let gap = Gap::NotRecorded("a Rust RwLock does not store its writer".to_owned());
            (Owner::Unknown(gap), Evidence::WAIT, 0)
        }
        readers => {
            let gap = Gap::NotRecorded(super::readers::counted(readers));
            (Owner::Unknown(gap), Evidence::READER_COUNT, readers)
        }
    };
    Observation { readers: Some(readers), evidence, ..Observation::waited(kinds::RUST_RWLOCK, address, owner) }
}
