//! One-time initialisation: `pthread_once`, `std::call_once`, static local variables of C++. None records who runs it.

use crate::model::{Gap, Owner};

use super::entry::Entry;
use super::kinds;
use super::observation::{Observation, Waiter};
use crate::runtimes::native::observations::Observations;

/// Recognises a wait for another thread's initialisation. The word is the control variable's first member in glibc, musl
/// and libstdc++.
// Source: glibc 2.36 nptl/pthread_once.c; musl 1.2.3 src/thread/pthread_once.c; gcc 12 libsupc++/guard.cc.
pub(super) fn waited(_: &Observations<'_>, waiter: &Waiter<'_>) -> Option<Observation> {
    let gap = Gap::NotRecorded("who runs the initialisation is not written down".to_owned());
    matches!(waiter.entry, Entry::Once | Entry::Guard)
        .then(|| Observation::waited(kinds::ONCE, waiter.futex.word, Owner::Unknown(gap)))
}
