//! Where glibc parks a thread for ever that asked for a priority-inheriting mutex and was refused: the kernel found a cycle of waits
//! (EDEADLK), or the holder had ended (ESRCH), and the mutex is of a kind for which `pthread_mutex_lock` may not fail.
//!
//! Such a thread waits on a zero on its own stack, which nobody ever changes. The mutex is what its caller passed, or what its frames
//! point to.

use crate::model::Addr;

use super::code::ByCode;
use super::entry::Entry;
use super::glibc_mutex;
use super::observation::{Observation, Waiter};
use crate::runtimes::native::observations::Observations;

// `__kind`, to which glibc 2.36 keeps a pointer in the frame. Source: docs/layouts/glibc.md, "mutex".
const KIND: u64 = 16;

/// Recognises the wait by its word.
// Source: glibc 2.36 nptl/pthread_mutex_lock.c: `while (1) __futex_abstimed_wait64 (&(unsigned int){0}, 0, …)`, "Delay the thread
// indefinitely"; pthread_mutex_timedlock.c does the same until the time is over. Versions before 2.34 call pause().
pub(super) fn waited(observations: &Observations<'_>, waiter: &Waiter<'_>) -> Option<Observation> {
    let futex = &waiter.futex;
    let own = observations.live_stack(waiter.thread).is_some_and(|stack| stack.contains(&futex.word));
    let parked = own && futex.expected == 0 && observations.memory().u32(futex.word).ok()? == 0;
    if !observations.libc.may_be_glibc() || !parked || waiter.entry != Entry::Mutex {
        return None;
    }
    let passed = ByCode::new(observations).argument(waiter.stack);
    let pointers = waiter.pointers(observations).flat_map(|pointer| [Some(pointer), pointer.minus(KIND)]).flatten();
    passed.into_iter().chain(pointers).find_map(|at: Addr| glibc_mutex::inheriting(observations, at))
}
