//! A futex wait on a word that the dump does not hold, as in a small dump of stacks alone: the function that waits tells what it
//! waits for, and nothing tells who holds it.

use crate::model::{Gap, LockKind, Owner};

use super::entry::Entry;
use super::{Observation, Waiter};
use crate::runtimes::native::observations::Observations;

/// musl's mutex has its lock word second. Source: docs/layouts/musl.md "mutex".
const MUSL_LOCK: u64 = 4;

/// Recognises any wait whose word cannot be read.
pub(super) fn waited(observations: &Observations<'_>, waiter: &Waiter<'_>) -> Option<Observation> {
    let word = waiter.futex.word;
    let gap = Gap::from(observations.memory().u32(word).err()?);
    let (kind, address) = match waiter.entry {
        Entry::Mutex if observations.libc.is_musl() => (LockKind::Mutex, word.minus(MUSL_LOCK)?),
        Entry::Mutex => (LockKind::Mutex, word),
        Entry::Semaphore => (LockKind::Semaphore, word),
        Entry::Once => (LockKind::Once, word),
        Entry::Join => (LockKind::Join, word),
        // Where in these structures the word lies depends on what is in them.
        Entry::Rwlock | Entry::Condvar | Entry::Barrier | Entry::Guard | Entry::Other | Entry::Unnamed => {
            (LockKind::Futex, word)
        }
    };
    Some(Observation::waited(kind, address, Owner::Unknown(gap)))
}
