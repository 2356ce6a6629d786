//! A futex wait on a word that the dump does not hold, as in a small dump of stacks alone: the function that waits tells what it
//! waits for, and nothing tells who holds it.

use crate::model::{Gap, Owner};

use super::entry::Entry;
use super::kinds;
use super::observation::{Observation, Waiter};
use crate::runtimes::native::observations::Observations;

/// musl's mutex has its lock word second. Source: docs/layouts/musl.md "mutex".
const MUSL_LOCK: u64 = 4;

/// Recognises any wait whose word cannot be read.
pub(super) fn waited(observations: &Observations<'_>, waiter: &Waiter<'_>) -> Option<Observation> {
    let word = waiter.futex.word;
    let gap = Gap::from(observations.memory().u32(word).err()?);
    let (kind, address) = match waiter.entry {
        Entry::Mutex if observations.libc.is_musl() => (kinds::MUTEX, word.minus(MUSL_LOCK)?),
        Entry::Mutex => (kinds::MUTEX, word),
        Entry::Semaphore => (kinds::SEMAPHORE, word),
        Entry::Once => (kinds::ONCE, word),
        Entry::Join => (kinds::JOIN, word),
        // Where in these structures the word lies depends on what is in them.
        Entry::Rwlock | Entry::Condvar | Entry::Barrier | Entry::Guard | Entry::Other | Entry::Unnamed => {
            (kinds::FUTEX, word)
        }
    };
    Some(Observation::waited(kind, address, Owner::Unknown(gap)))
}
