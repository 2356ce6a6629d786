//! glibc's `pthread_rwlock_t`, also `std::shared_mutex`.
//!
//! The writer is recorded, readers are only counted. Layout (since 2.25, 64-bit): docs/layouts/glibc.md "rwlock".

use crate::model::{Addr, Evidence, Gap, Owner};

use super::entry::Entry;
use super::evidence;
use super::kinds;
use super::observation::{Observation, Waiter};
use crate::runtimes::native::observations::Observations;

// Source: glibc 2.36 sysdeps/x86/nptl/bits/struct_rwlock.h and sysdeps/nptl/bits/struct_rwlock.h: readers 0, writers 4,
// wrphase_futex 8, writers_futex 12, two of padding, cur_writer 24, shared 28, flags 48.
const WRITERS: u64 = 4;
const WRITE_PHASE_FUTEX: u64 = 8;
const WRITERS_FUTEX: u64 = 12;
const PADDING: u64 = 16;
const CURRENT_WRITER: u64 = 24;
const SHARED: u64 = 28;
const FLAGS: u64 = 48;

// Bits of the word of readers. Source: glibc 2.36 nptl/pthread_rwlock_common.c, PTHREAD_RWLOCK_*.
const WRITE_PHASE: u32 = 1;
const WRITE_LOCKED: u32 = 2;
const READERS_WAIT: u32 = 4;
const READER_SHIFT: u32 = 3;

/// Recognises a wait in a function of reader-writer locks. Three words of the structure are waited for.
pub(super) fn waited(observations: &Observations<'_>, waiter: &Waiter<'_>) -> Option<Observation> {
    let word = waiter.futex.word;
    match waiter.entry {
        _ if !observations.libc.may_be_glibc() => return None,
        Entry::Rwlock => {}
        // Without names the structure must speak for itself: held by a writer who is recorded.
        Entry::Other | Entry::Unnamed => {
            let writers = [WRITE_PHASE_FUTEX, WRITERS_FUTEX].into_iter().filter_map(|back| {
                let writer = word.minus(back)?.plus(CURRENT_WRITER)?;
                held_at(observations, writer)
            });
            return writers.into_iter().next();
        }
        _ => return None,
    }
    let back = if !word.is_aligned(8) {
        WRITERS_FUTEX
    } else if waiter.futex.expected & READERS_WAIT != 0 {
        // Readers of a lock that prefers writers wait for the word of readers itself.
        0
    } else {
        WRITE_PHASE_FUTEX
    };
    describe(observations, word.minus(back)?)
}

/// The id of the thread that the lock at an address records as its writer.
pub(super) fn writer_id(observations: &Observations<'_>, at: Addr) -> Option<u32> {
    observations.memory().u32(at.plus(CURRENT_WRITER)?).ok()
}

fn describe(observations: &Observations<'_>, at: Addr) -> Option<Observation> {
    let member = |offset: u64| observations.memory().u32(at.plus(offset)?).ok();
    let word = member(0)?;
    let reading = if word & WRITE_PHASE == 0 { word >> READER_SHIFT } else { 0 };
    let (owner, evidence) = match (member(CURRENT_WRITER)?, reading) {
        (0, 0) => (Owner::None, evidence::WRITER_FIELD),
        (0, readers) => {
            let gap = Gap::NotRecorded(super::readers::counted(readers));
            (Owner::Unknown(gap), Evidence::READER_COUNT)
        }
        (writer, _) => observations.owner(writer, evidence::WRITER_FIELD),
    };
    let recursion = matches!(owner, Owner::Thread(_)).then_some(1);
    Some(Observation { kind: kinds::RWLOCK, address: at, owner, recursion, readers: Some(reading), evidence })
}

/// A lock held for writing whose writer field is at `word`, judged by all its members.
pub(super) fn held_at(observations: &Observations<'_>, word: Addr) -> Option<Observation> {
    if !observations.libc.may_be_glibc() {
        return None;
    }
    let at = word.minus(CURRENT_WRITER)?;
    let member = |offset: u64| observations.memory().u32(at.plus(offset)?).ok();
    let locked = member(0)? & (WRITE_PHASE | WRITE_LOCKED) == WRITE_PHASE | WRITE_LOCKED;
    // A futex word of the lock is 0 or 1, and 2 more once somebody has waited for it.
    let futexes = member(WRITE_PHASE_FUTEX)? <= 3 && member(WRITERS_FUTEX)? <= 3;
    let writers = usize::try_from(member(WRITERS)?).is_ok_and(|writers| writers <= observations.scene.threads.len());
    let readers =
        usize::try_from(member(0)? >> READER_SHIFT).is_ok_and(|readers| readers <= observations.scene.threads.len());
    let empty = observations.memory().u64(at.plus(PADDING)?).ok()? == 0;
    // flags: PTHREAD_RWLOCK_PREFER_READER_NP 0, _WRITER_NP 1, _WRITER_NONRECURSIVE_NP 2. Source: glibc pthread.h.
    let options = member(SHARED)? <= 1 && member(FLAGS)? <= 2;
    let strict = locked && futexes && writers && readers && empty && options;
    if !strict {
        return None;
    }
    describe(observations, at).filter(|seen| matches!(seen.owner, Owner::Thread(_)))
}
