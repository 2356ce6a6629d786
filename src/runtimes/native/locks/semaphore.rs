//! `sem_t` and `pthread_barrier_t` of both libraries: counted, owned by nobody.
//!
//! Layouts: docs/layouts/glibc.md, docs/layouts/musl.md.

use crate::model::{Addr, Owner};

use super::code::ByCode;
use super::entry::Entry;
use super::kinds;
use super::observation::{Observation, Waiter};
use crate::runtimes::native::observations::Observations;

/// Recognises a wait for a semaphore. The word is the structure's first member in both libraries.
// Source: glibc 2.36 sysdeps/nptl/internaltypes.h struct new_sem (value in the low half of the first 8 bytes);
// musl 1.2.3 src/thread/sem_timedwait.c (__val[0]).
pub(super) fn semaphore(_: &Observations<'_>, waiter: &Waiter<'_>) -> Option<Observation> {
    (waiter.entry == Entry::Semaphore).then(|| Observation::waited(kinds::SEMAPHORE, waiter.futex.word, Owner::None))
}

/// Recognises a wait for the other threads at a barrier.
pub(super) fn barrier(observations: &Observations<'_>, waiter: &Waiter<'_>) -> Option<Observation> {
    if waiter.entry != Entry::Barrier {
        return None;
    }
    let address = if observations.libc.is_musl() { musl(observations, waiter)? } else { glibc(waiter.futex.word)? };
    Some(Observation::waited(kinds::BARRIER, address, Owner::None))
}

// Source: glibc 2.36 sysdeps/nptl/internaltypes.h, struct pthread_barrier: in 0, current_round 4. The type is aligned
// to 8, and threads of a finished round wait for `in`.
fn glibc(word: Addr) -> Option<Addr> {
    Some(Addr(word.0 & !7))
}

/// musl's word is in a structure on the stack of the first thread to arrive, to which the barrier points; the barrier's
/// own address is on the waiter's stack.
// Source: musl 1.2.3 src/thread/pthread_barrier_wait.c, struct instance: count 0, last 4, waiters 8, finished 12;
// include/alltypes.h.in and pthread_impl.h: _b_inst is __p[3].
fn musl(observations: &Observations<'_>, waiter: &Waiter<'_>) -> Option<Addr> {
    const LAST: u64 = 4;
    const FINISHED: u64 = 12;
    const INSTANCE: u64 = 24;
    let instances = [waiter.futex.word.minus(LAST)?, waiter.futex.word.minus(FINISHED)?];
    let points = |barrier: &Addr| {
        let instance = barrier.plus(INSTANCE).and_then(|at| observations.memory().ptr(at).ok());
        instance.is_some_and(|instance| instances.contains(&instance))
    };
    // The first thread to arrive does not need the barrier's address any more, so it is asked for last.
    waiter
        .pointers(observations)
        .find(points)
        .or_else(|| ByCode::new(observations).argument(waiter.stack).filter(points))
}
