//! What is known besides tasks of threads that wait for them.

use crate::model::{Addr, Known, Tid, TimeLimit};
use crate::runtimes::Scene;
use crate::runtimes::coreclr::heap::Segments;
use crate::runtimes::coreclr::methods::Methods;
use crate::runtimes::coreclr::pool::ThreadPool;
use crate::runtimes::coreclr::threads::ManagedThreads;

/// Says of a thread and objects when its wait for one of them ends by itself.
type Limit<'a> = dyn Fn(Tid, &[Addr]) -> Known<Option<TimeLimit>> + Sync + 'a;

/// What is known besides tasks.
pub(in crate::runtimes::coreclr) struct Around<'a> {
    pub(in crate::runtimes::coreclr) methods: &'a Methods,
    pub(in crate::runtimes::coreclr) segments: &'a Segments,
    /// The threads of the dump with their stacks.
    pub(in crate::runtimes::coreclr) scene: &'a Scene<'a>,
    /// The runtime's own list of threads.
    pub(in crate::runtimes::coreclr) threads: &'a ManagedThreads,
    /// The pool; `Ok(None)` where the program has none.
    pub(in crate::runtimes::coreclr) pool: Known<Option<ThreadPool>>,
    /// When the wait of a thread for one of these objects ends by itself; fails where it is not known to wait for one of them.
    pub(in crate::runtimes::coreclr) limit: &'a Limit<'a>,
}
