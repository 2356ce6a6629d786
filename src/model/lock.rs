//! Locks: what threads hold and wait for, each with the evidence of its owner.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Addr, Evidence, Gap, Known, LockKind, Tid};

/// Who holds a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Recorded by the lock itself.
    Thread(Tid),
    /// Nobody: the lock says that it is free, or it is of a kind that nobody owns (condition variable, semaphore).
    None,
    /// Held, and the lock does not say by whom; this thread's stack or registers point to it.
    Inferred(Tid),
    /// Held or not, it cannot be told by whom.
    Unknown(Gap),
}

/// A lock that someone holds or waits for.
#[derive(Clone, Debug)]
pub struct Lock {
    /// The object itself (the `pthread_mutex_t`), not the futex word.
    pub address: Addr,
    /// What it is.
    pub kind: LockKind,
    /// Symbol, or field of which object; `Ok(None)` when nothing names it.
    pub name: Known<Option<String>>,
    /// Who holds it.
    pub owner: Owner,
    /// How often the owner holds it; `None` where the kind does not count.
    pub recursion: Option<u32>,
    /// Readers that hold it; `None` for kinds without readers.
    pub readers: Option<u32>,
    /// Threads that hold it for reading, in ascending order; never more than `readers`. Recorded where the evidence is, else inferred.
    pub read_by: Vec<Tid>,
    /// All threads that wait for it, in the order of threads.
    pub waiters: Vec<Tid>,
    /// Those of the waiters of which it is inferred that this is what they wait for: they wait, and what for was found on their stacks.
    pub inferred_waiters: Vec<Tid>,
    /// How the owner (or the wait) is known.
    pub evidence: Evidence,
    /// The holder that the lock records and the dump does not have; `None` where there is no such.
    pub absent: Option<Absent>,
    /// Those of the waiters whose wait ends by itself.
    pub limits: Vec<TimeLimit>,
}

/// A holder that a lock records and that is no thread of the dump.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Absent {
    /// The thread's id, in the numbering of the dumped process.
    pub tid: u32,
    /// Where the thread is.
    pub why: Absence,
    /// Whether that is recorded; else it is what fits best.
    pub certain: bool,
    /// Whether a thread had that id when the dump was taken; null where nobody looked.
    pub alive: Option<bool>,
    /// The process that the thread is of, in the dump's numbering; null where that is not known.
    pub pid: Option<u32>,
    /// What that process is called; null where that is not known.
    pub process: Option<String>,
    /// Whether other processes may have the lock's memory, too; null where that cannot be told.
    pub shared: Option<bool>,
}

/// Where a holder is that is not in the dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Absence {
    /// In another process, which has the lock's memory too.
    OtherProcess,
    /// In the process that this one is a copy of: the lock was held when that called fork.
    BeforeFork,
    /// Nowhere: it was the process's first thread, which has ended while others went on.
    FirstThread,
    /// Nowhere: it has ended.
    Ended,
    /// It cannot be told.
    Unknown,
}

/// A wait that ends by itself, as it was asked for. Both are null where the dump does not tell when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TimeLimit {
    /// The thread that waits.
    pub tid: Tid,
    /// Milliseconds that were left when the dump was taken; 0 where the time was over.
    pub left_ms: Option<u64>,
    /// Milliseconds in all, from the beginning of the wait.
    pub whole_ms: Option<u64>,
}

impl TimeLimit {
    /// The longest that the wait can still take, in milliseconds.
    pub fn most_ms(&self) -> Option<u64> {
        self.left_ms.or(self.whole_ms)
    }
}

/// Where a thread has taken a lock that it still holds, judged from the code of its frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acquisition {
    /// The lock.
    pub lock: Addr,
    /// The physical frame whose function took it, innermost 0.
    pub frame: usize,
    /// The addresses behind the instructions that may have taken it, on different ways through the function; look their lines
    /// up one byte before. Empty: somewhere in the function.
    pub at: Vec<Addr>,
}

impl Lock {
    /// The owner, known or inferred.
    pub fn owner_tid(&self) -> Option<Tid> {
        match self.owner {
            Owner::Thread(tid) | Owner::Inferred(tid) => Some(tid),
            Owner::None | Owner::Unknown(_) => None,
        }
    }

    /// Every thread that is known or inferred to hold it: its owner, else its readers.
    pub fn holders(&self) -> Vec<Tid> {
        self.owner_tid().map_or_else(|| self.read_by.clone(), |owner| vec![owner])
    }

    /// Whether who holds it is a recorded fact and not an inference.
    pub fn is_certain(&self) -> bool {
        matches!(self.owner, Owner::Thread(_)) || (!self.read_by.is_empty() && !self.evidence.inferred)
    }

    /// Whether it is a recorded fact that a waiter waits for it, and not an inference.
    pub fn is_waited_certainly(&self, waiter: Tid) -> bool {
        !self.inferred_waiters.contains(&waiter)
    }
}
