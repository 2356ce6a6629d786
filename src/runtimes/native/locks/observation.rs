//! A thread in a futex wait, and a lock as one probe saw it.

use crate::model::{Addr, Evidence, LockKind, OsThread, Owner, Stack};
use crate::runtimes::native::calls::Calls;
use crate::runtimes::native::observations::Observations;
use crate::runtimes::native::waits::Futex;

use super::entry::Entry;

/// Frames whose registers may point to the lock: what waits is in the innermost ones.
const MAX_FRAMES: usize = 48;

/// A thread in a futex wait.
pub(super) struct Waiter<'a> {
    pub(super) thread: &'a OsThread,
    pub(super) stack: &'a Stack,
    pub(super) calls: &'a Calls,
    /// The function of the C library that it is in.
    pub(super) entry: Entry,
    pub(super) futex: Futex,
}

impl Waiter<'_> {
    /// Every word that its frames' registers and its stack hold, innermost first, as addresses.
    pub(super) fn pointers(&self, observations: &Observations<'_>) -> impl Iterator<Item = Addr> {
        let registers = self
            .stack
            .each_registers()
            .take(MAX_FRAMES)
            .flat_map(|frame| frame.iter().filter_map(|(_, value)| value).collect::<Vec<u64>>());
        registers.chain(observations.live_words(self.thread).map(|(_, word)| word)).map(Addr)
    }

    /// Whether its frames hold this very address.
    pub(super) fn points_to(&self, observations: &Observations<'_>, address: Addr) -> bool {
        self.pointers(observations).any(|pointer| pointer == address)
    }
}

/// A lock as one probe saw it; its name and other waiters come later.
#[derive(Clone, Debug)]
pub(in crate::runtimes::native) struct Observation {
    /// What it is.
    pub(in crate::runtimes::native) kind: LockKind,
    /// The object itself.
    pub(in crate::runtimes::native) address: Addr,
    pub(super) owner: Owner,
    pub(super) recursion: Option<u32>,
    pub(super) readers: Option<u32>,
    pub(super) evidence: Evidence,
}

impl Observation {
    /// A lock that nobody owns, or of which only the wait is known.
    pub(super) fn waited(kind: LockKind, address: Addr, owner: Owner) -> Observation {
        Observation { kind, address, owner, recursion: None, readers: None, evidence: Evidence::WAIT }
    }
}
