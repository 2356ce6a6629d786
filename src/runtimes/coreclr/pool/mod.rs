//! The thread pool: how many threads it has and may have, and what is queued.
//!
//! Input: static fields of `System.Private.CoreLib`. Output: [`ThreadPool`]. Specification: dotnet/runtime src/libraries/
//! System.Private.CoreLib/src/System/Threading/{PortableThreadPool,PortableThreadPool.ThreadCounts,ThreadPoolWorkQueue}.cs of 8.0 to 10.0.

mod arrays;
mod timers;
mod work;

pub use self::timers::{RunningTimer, Timers};
pub use self::work::Work;

use self::arrays::within;
use super::heap::Segments;
use super::objects::{Instance, Values};
use super::queues::Elements;
use super::types::Types;
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Gap, Known};

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
    /// What is queued.
    pub queued: Vec<Queued>,
    /// Why more may be queued; `None` where that is all.
    pub unread: Option<Gap>,
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
pub(super) fn pool(types: Types<'_>, job: &Job) -> Result<Known<Option<ThreadPool>>, Error> {
    let Queues { queued, unread } = Queues::read(types, job)?;
    let read = || -> Known<Option<ThreadPool>> {
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
            queued,
            unread,
        }))
    };
    Ok(read())
}

/// What pieces of work would run, each by the address of its object.
pub(super) fn works<'v>(values: &'v Values<'_>, segments: &'v Segments) -> impl Fn(Addr) -> Known<Work> {
    self::work::works(values, segments)
}

/// Every timer that runs.
pub(super) fn timers(values: &Values<'_>, job: &Job) -> Result<Known<Timers>, Error> {
    self::timers::timers(values, job)
}

/// What is queued, in the order of queues.
#[derive(Default)]
struct Queues {
    queued: Vec<Queued>,
    /// Why more may be queued.
    unread: Option<Gap>,
}

impl Queues {
    fn read(types: Types<'_>, job: &Job) -> Result<Queues, Error> {
        let mut meter = job.meter();
        let mut elements = Elements::new(&mut meter);
        // How many elements each kind of queue ends after.
        let mut ends: Vec<(Queue, usize)> = Vec::new();
        let found = match each_queue(types) {
            Ok(found) => found,
            Err(gap) => return Ok(Queues { queued: Vec::new(), unread: Some(gap) }),
        };
        for (queue, object) in found {
            match object {
                Ok(object) => elements.add(&object)?,
                Err(gap) => elements.miss(gap),
            }
            ends.push((queue, elements.places.len()));
        }
        let (places, mut unread) = (elements.places, elements.gap);
        let mut queued = Vec::with_capacity(places.len());
        let mut ends = ends.into_iter().peekable();
        for (index, (place, _)) in places.iter().enumerate() {
            while ends.next_if(|(_, end)| *end <= index).is_some() {}
            let Some((queue, _)) = ends.peek() else { break };
            match types.clr.memory().ptr(*place) {
                Ok(at) if at.0 != 0 => queued.push(Queued { at, queue: *queue }),
                Ok(_) => {}
                Err(gap) => unread = unread.or(Some(gap.into())),
            }
        }
        Ok(Queues { queued, unread })
    }
}

/// The objects of the queues, in their order.
fn each_queue<'a>(types: Types<'a>) -> Known<Vec<(Queue, Known<Instance<'a>>)>> {
    let mut all = Vec::new();
    let Some(work) = types.static_object("System.Threading.ThreadPool", "s_workQueue")? else { return Ok(all) };
    let mut add = |kind: Queue, queue: Known<Option<Instance<'a>>>| {
        all.extend(queue.transpose().map(|queue| (kind, queue)));
    };
    let if_any = |queue: Known<Option<Instance<'a>>>| match queue {
        Err(Gap::NoLayout(_)) => Ok(None),
        queue => queue,
    };
    add(Queue::High, work.reference("highPriorityWorkItems"));
    add(Queue::Global, work.reference("workItems"));
    // On many processors work that comes from outside is spread over several queues; not in every version.
    for queue in within(if_any(work.reference("_assignableWorkItemQueues"))) {
        add(Queue::Global, queue);
    }
    let list = "System.Threading.ThreadPoolWorkQueue+WorkStealingQueueList";
    // .NET 8 has the first name.
    let queues = match types.static_object(list, "_queues") {
        Err(Gap::NoLayout(_)) => types.static_object(list, "s_queues"),
        queues => queues,
    };
    for queue in within(queues) {
        add(Queue::Local, queue);
    }
    // Since .NET 9.
    add(Queue::Low, if_any(work.reference("lowPriorityWorkItems")));
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
