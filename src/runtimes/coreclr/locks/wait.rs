//! What one thread waits for.

use crate::model::{Addr, LockKind, Tid, TimeLimit};

/// What a thread waits for.
#[derive(Clone, Debug)]
pub(in crate::runtimes::coreclr) struct Wait {
    /// The thread.
    pub(in crate::runtimes::coreclr) tid: Tid,
    /// What it is.
    pub(in crate::runtimes::coreclr) on: Waited,
    /// Milliseconds after which the wait ends by itself, as it was asked for; `None` where it does not, or after how many is not known.
    pub(in crate::runtimes::coreclr) limit_ms: Option<u32>,
    /// Whether it ends by itself.
    pub(in crate::runtimes::coreclr) is_timed: bool,
    /// Whether a `CancellationToken` may end it.
    pub(in crate::runtimes::coreclr) may_be_cancelled: bool,
    /// Whether what it is for was found on the thread's stack alone: the thread itself says nothing of it.
    pub(in crate::runtimes::coreclr) is_inferred: bool,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtimes::coreclr) enum Waited {
    /// What somebody owns, or says.
    Lock {
        /// What it is.
        kind: LockKind,
        /// The object.
        address: Addr,
    },
    /// Time.
    Sleep,
    /// What a thread of the runtime's own is for, in words.
    Work(&'static str),
}

impl Wait {
    /// The lock that it is for; `None` for time and work.
    pub(in crate::runtimes::coreclr) fn lock(&self) -> Option<(LockKind, Addr)> {
        match self.on {
            Waited::Lock { kind, address } => Some((kind, address)),
            Waited::Sleep | Waited::Work(_) => None,
        }
    }

    /// Its end, where it ends by itself.
    pub(in crate::runtimes::coreclr) fn limit(&self) -> Option<TimeLimit> {
        let limit = TimeLimit { tid: self.tid, left_ms: None, whole_ms: self.limit_ms.map(u64::from) };
        self.is_timed.then_some(limit)
    }
}
