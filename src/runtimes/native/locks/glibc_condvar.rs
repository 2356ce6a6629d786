//! glibc's `pthread_cond_t`, also `std::condition_variable`. Nobody owns one.
//!
//! Two futex words alternate, and where they lie depends on the version: docs/layouts/glibc.md "condition variable".

use crate::model::{Addr, Owner};

use super::entry::Entry;
use super::kinds;
use super::observation::{Observation, Waiter};
use crate::runtimes::native::observations::Observations;

// g_signals[0]; g_signals[1] is 4 further. Source: glibc 2.36 and 2.41 sysdeps/nptl/bits/thread-shared-types.h,
// struct __pthread_cond_s: 2.41 dropped the 8 bytes of g_refs in front.
const SIGNALS_UNTIL_2_40: u64 = 40;
const SIGNALS_SINCE_2_41: u64 = 32;

// __wrefs, right before: pthread_cond_destroy waits until it counts no waiter. Source: as above; glibc 2.36 nptl/pthread_cond_destroy.c.
const SIGNALS_AFTER_WAITERS: u64 = 4;

/// Recognises a wait in a function of condition variables.
pub(super) fn waited(observations: &Observations<'_>, waiter: &Waiter<'_>) -> Option<Observation> {
    if !observations.libc.may_be_glibc() || waiter.entry != Entry::Condvar {
        return None;
    }
    // The structure is aligned to 8, so the word's own alignment tells which of the two it is.
    let destroys =
        waiter.calls.in_runtime().any(|call| call.name.as_deref().is_some_and(|name| name.contains("cond_destroy")));
    let first = if destroys { waiter.futex.word.plus(SIGNALS_AFTER_WAITERS)? } else { Addr(waiter.futex.word.0 & !7) };
    let address = match observations.libc.version {
        Some(version) if version >= (2, 41) => first.minus(SIGNALS_SINCE_2_41)?,
        Some(_) => first.minus(SIGNALS_UNTIL_2_40)?,
        None => [SIGNALS_UNTIL_2_40, SIGNALS_SINCE_2_41]
            .into_iter()
            .filter_map(|back| first.minus(back))
            .find(|address| waiter.points_to(observations, *address))?,
    };
    Some(Observation::waited(kinds::CONDVAR, address, Owner::None))
}
