//! The thread pool: how many threads it has and may have, and what is queued.
//!
//! Input: static fields of `System.Private.CoreLib`. Output: [`ThreadPool`]. Specification: dotnet/runtime src/libraries/
//! System.Private.CoreLib/src/System/Threading/{PortableThreadPool,PortableThreadPool.ThreadCounts,ThreadPoolWorkQueue}.cs of 8.0 to 10.0.

mod arrays;
mod queue;
mod timers;
mod work;

pub use self::timers::RunningTimer;
pub use self::work::Work;

use super::heap::Segments;
use super::objects::{Instance, Values};
use super::types::Types;
use crate::model::{Addr, Known};

/// The thread pool.
#[derive(Clone, Debug)]
pub struct ThreadPool {
    /// Threads that it keeps at least.
    pub least: u16,
    /// Threads that it may have at most.
    pub most: u16,
    /// Threads that it has.
    pub threads: u16,
    /// Those of them that work.
    pub working: u16,
    /// Threads that it would like to have.
    pub goal: u16,
    /// Threads that said that they block on a task.
    pub blocked: Known<u16>,
    /// Share of the processors' time in use, in percent, as it was measured last.
    pub processors: Known<u32>,
    /// What is queued, or why that cannot be read.
    pub queued: Known<Vec<Queued>>,
}

/// A piece of work that no thread has taken yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queued {
    /// The object: a task, a callback, the box of a method that goes on.
    pub at: Addr,
    /// Where it is queued.
    pub queue: Queue,
}

/// A queue of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Queue {
    /// What goes before all else.
    High,
    /// That of all threads.
    Global,
    /// That of one thread.
    Local,
    /// What waits until all else is done.
    Low,
}

impl Queue {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Queue::High => "high priority",
            Queue::Global => "global",
            Queue::Local => "local",
            Queue::Low => "low priority",
        }
    }
}

/// The pool; `Ok(None)` where the program has not used it.
pub(super) fn pool(types: Types<'_>) -> Known<Option<ThreadPool>> {
    let Some(pool) = types.static_object("System.Threading.PortableThreadPool", "ThreadPoolInstance")? else {
        return Ok(None);
    };
    let separated = pool.inner("_separated")?;
    let counts = separated.inner("counts")?.u64("_data")?;
    // Source: PortableThreadPool.ThreadCounts.cs: three numbers of 16 bits.
    let part = |shift: u32| u16::try_from(counts >> shift & 0xffff).unwrap_or(0);
    Ok(Some(ThreadPool {
        least: pool.u16("_minThreads")?,
        most: pool.u16("_maxThreads")?,
        threads: part(16),
        working: part(0),
        goal: part(32),
        blocked: pool.u16("_numBlockedThreads"),
        processors: pool.u32("_cpuUtilization"),
        queued: queued(types),
    }))
}

/// What a piece of work would run.
pub(super) fn work(values: &Values<'_>, segments: &Segments, at: Addr) -> Known<Work> {
    self::work::work(values, segments, at)
}

/// Every timer that runs.
pub(super) fn timers(values: &Values<'_>) -> Known<Vec<RunningTimer>> {
    self::timers::timers(values)
}

/// What is queued, in the order of queues.
fn queued(types: Types<'_>) -> Known<Vec<Queued>> {
    let mut all = Vec::new();
    let mut add = |queue: Queue, items: Vec<Addr>| all.extend(items.into_iter().map(|at| Queued { at, queue }));
    let Some(work) = types.static_object("System.Threading.ThreadPool", "s_workQueue")? else { return Ok(all) };
    for (name, queue) in [("highPriorityWorkItems", Queue::High), ("workItems", Queue::Global)] {
        if let Some(items) = work.reference(name)? {
            add(queue, self::queue::concurrent(&items)?);
        }
    }
    // On many processors work that comes from outside is spread over several queues.
    if let Ok(Some(queues)) = work.reference("_assignableWorkItemQueues") {
        self::arrays::each(&queues, |items| {
            add(Queue::Global, self::queue::concurrent(items)?);
            Ok(())
        })?;
    }
    let list = "System.Threading.ThreadPoolWorkQueue+WorkStealingQueueList";
    // .NET 8 has the first name.
    if let Some(queues) = types.static_object(list, "_queues").or_else(|_| types.static_object(list, "s_queues"))? {
        self::arrays::each(&queues, |items| {
            add(Queue::Local, self::queue::stolen(items)?);
            Ok(())
        })?;
    }
    // Since .NET 9.
    if let Ok(Some(items)) = work.reference("lowPriorityWorkItems") {
        add(Queue::Low, self::queue::concurrent(&items)?);
    }
    Ok(all)
}

impl<'a> Types<'a> {
    /// The object that a static field refers to; `Ok(None)` for null, and where the class was not used yet.
    fn static_object(self, class: &str, field: &str) -> Known<Option<Instance<'a>>> {
        match self.static_named(class, field)? {
            Some(slot) => self.referred(slot),
            None => Ok(None),
        }
    }
}
