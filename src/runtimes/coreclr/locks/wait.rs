//! What one thread waits for.

use crate::model::{Addr, LockKind, Tid, TimeLimit};

/// What a thread waits for.
#[derive(Clone, Debug)]
pub(in crate::runtimes::coreclr) struct Wait {
    /// The thread.
    pub(in crate::runtimes::coreclr) tid: Tid,
    /// What it is.
    pub(in crate::runtimes::coreclr) kind: LockKind,
    /// The object.
    pub(in crate::runtimes::coreclr) address: Addr,
    /// Milliseconds after which the wait ends by itself.
    pub(in crate::runtimes::coreclr) limit_ms: Option<u32>,
}

impl Wait {
    /// Its end, where it ends by itself.
    pub(in crate::runtimes::coreclr) fn limit(&self) -> Option<TimeLimit> {
        self.limit_ms.map(|whole| TimeLimit { tid: self.tid, left_ms: None, whole_ms: Some(whole.into()) })
    }
}
