//! Work that waits for work, as runtimes with tasks keep it: threads that block on what nobody runs, pools, failures that nobody saw.

use std::sync::Arc;

use super::{Addr, Gap, Known, Tid, TimeLimit};

/// What a runtime tells of its tasks.
#[derive(Clone, Debug, Default)]
pub struct PendingWork {
    /// Threads that wait for work that is under way.
    pub waits: Vec<WorkWait>,
    /// The threads that run it.
    pub pools: Vec<Pool>,
    /// Work that ended with an exception at which nobody has looked.
    pub failed: Vec<FailedWork>,
    /// Requests that the process serves; `None` where there is none.
    pub requests: Option<InFlight>,
    /// Why it was not looked for; `None` where it was.
    pub not_read: Option<NotLooked>,
    /// What of it could not be read, in words, where it was looked for: the rest is told.
    pub missing: Vec<String>,
}

/// Requests that the process serves at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InFlight {
    /// How many.
    pub count: u64,
    /// Whether there may be more.
    pub is_least: bool,
    /// The oldest; where no age is known one of them.
    pub oldest: OldestRequest,
    /// A command that lists them.
    pub command: &'static str,
}

/// The request that is served for longest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldestRequest {
    /// `GET /orders/1`.
    pub words: String,
    /// Milliseconds since it began; `None` where that is not known.
    pub age_ms: Option<u64>,
    /// The thread that seems to run it; `None` where none does.
    pub tid: Option<Tid>,
    /// What it awaits where no thread runs it, in words; `None` where that is not known.
    pub awaits: Option<String>,
}

/// Functions that await one another and that no thread runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkStack {
    /// The functions, innermost first.
    pub functions: Vec<Arc<str>>,
    /// What the innermost waits for, in words.
    pub awaits: String,
    /// Threads that wait for one of them.
    pub tids: Vec<Tid>,
}

/// All of those.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkStacks {
    /// Each.
    pub all: Vec<WorkStack>,
    /// Why they were not looked for; `None` where they were.
    pub not_read: Option<NotLooked>,
    /// What of them could not be read, in words.
    pub missing: Vec<String>,
}

/// Why work was not looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotLooked {
    /// In words: `the managed heap has 3072 MiB`.
    pub why: String,
    /// The command that looks; `None` where none can.
    pub command: Option<&'static str>,
}

/// A thread that waits for work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkWait {
    /// The thread.
    pub tid: Tid,
    /// Functions that await one another, innermost first; the last is the one that the thread waits for.
    pub functions: Vec<Arc<str>>,
    /// Where the wait leads.
    pub end: WorkEnd,
    /// Whether the thread goes on only once this has ended.
    pub need: Need,
    /// When the wait ends by itself: `Ok(None)` where it does not. Fails where the thread refers to what it would wait for, and is not known to
    /// wait for it.
    pub limit: Known<Option<TimeLimit>>,
}

/// What a thread needs of one of its waits to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// That it ends; it needs the end of all others of this kind, too.
    This,
    /// That it ends, or another of the thread's waits with the same address.
    OneOf(Addr),
    /// Nothing: something else may end it, too.
    Nothing,
}

/// Where a wait for work leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkEnd {
    /// What goes on next is queued for the waiting thread.
    OwnQueue(OwnQueue),
    /// What goes on next will be queued for the waiting thread, once this was waited for.
    OwnQueueAfter(String),
    /// What goes on next is queued for a pool.
    PoolQueue,
    /// Something else is waited for.
    Other(String),
}

/// How it is known that work is queued for a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnQueue {
    /// What keeps what is to be run in the thread: its synchronization context.
    pub context: Addr,
    /// The type of that; `None` where it cannot be read.
    pub type_name: Option<String>,
    /// The queue of it that has the work; `None` where its objects refer to the work, and no queue of a known kind has it.
    pub queue: Option<Addr>,
    /// Why another thread may run it, or it is not queued; `None` where this thread alone can.
    pub doubt: Option<&'static str>,
}

/// Threads that run what is queued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// What it is called: `the thread pool`.
    pub name: &'static str,
    /// Threads that it keeps at least.
    pub least: u64,
    /// Threads that it may have at most.
    pub most: u64,
    /// Threads that it has.
    pub threads: u64,
    /// Those of them that work.
    pub working: u64,
    /// Those of them that block on work, by id.
    pub blocked: Vec<Tid>,
    /// Pieces of work that no thread has taken, as far as they were read.
    pub queued: u64,
    /// Why there may be more; `None` where that is all.
    pub unread: Option<Gap>,
    /// A command that shows the queue.
    pub command: &'static str,
}

impl Pool {
    /// Whether it has all the threads that it may have.
    pub fn is_full(&self) -> bool {
        self.threads >= self.most
    }
}

/// Work that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedWork {
    /// The task.
    pub address: Addr,
    /// The exception's type; `None` where it cannot be read.
    pub type_name: Option<String>,
    /// Its message; `None` where it has none, or that cannot be read.
    pub message: Option<String>,
    /// The function whose work it was; `None` where it is no function's.
    pub function: Option<Arc<str>>,
}
