//! Where threads that block on tasks wait for what nobody runs: the thread's own queue, the pool's.
//!
//! Input: stacks of tasks, the runtime's threads and what they wait for, the pool. Output: neutral [`PendingWork`].

use rayon::prelude::*;
use rustc_hash::FxHashSet;

use super::around::Around;
use super::contexts::Threads;
use super::work::{AsyncStack, BlocksAfter, Joins, Pending, Step};
use super::{cancelling, faults};
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Gap, Known, Need, OwnQueue, PendingWork, Pool, Tid, TimeLimit, WorkEnd, WorkWait};
use crate::runtimes::coreclr::pool::ThreadPool;
use crate::runtimes::coreclr::threads::is_pool_worker;

/// Most waits of all threads, most steps of those together, and most failures that are told.
const MAX_WAITS: usize = 1 << 17;
const MAX_STEPS: usize = 1 << 22;
const MAX_FAILURES: usize = 1 << 10;

/// What triage is told of tasks.
pub(in crate::runtimes::coreclr) fn pending_work(
    around: &Around<'_>,
    pending: &Pending,
    job: &Job,
) -> Result<PendingWork, Error> {
    let mut missing = pending.gaps.words();
    let pool = around.pool.as_ref().map_err(Gap::clone).map(Option::as_ref).unwrap_or_else(|gap| {
        missing.push(format!("the thread pool cannot be read: {gap}"));
        None
    });
    let pairs = pairs(pending);
    let all = pending.stacks.iter().map(|stack| stack.blocks.len()).fold(0, usize::saturating_add);
    if pairs.len() < all {
        missing.push(format!("of {all} waits of threads for tasks {} are looked at", pairs.len()));
    }
    let blocking = pairs.iter().map(|(_, after)| after.blocks.tid).collect();
    let known = Threads::of(around, pending, &blocking, job)?;
    missing.extend(known.missing(&blocking));
    let known = Search { around, pending, known, queued: pool.map(queued).unwrap_or_default() };
    let waits: Vec<WorkWait> = pairs.into_par_iter().map(|(stack, after)| known.wait(stack, after)).collect();
    let mut unread = 0u64;
    let mut failures = pending.faulted.iter().filter_map(|faulted| {
        faults::unseen(around.methods.types(), faulted).unwrap_or_else(|_| {
            unread = unread.saturating_add(1);
            None
        })
    });
    let failed = failures.by_ref().take(MAX_FAILURES).collect();
    if failures.next().is_some() {
        missing.push(format!("more than {MAX_FAILURES} tasks failed, and nobody has looked: the others are not told"));
    }
    if unread > 0 {
        missing.push(format!("the exceptions of {unread} tasks cannot be read"));
    }
    let pools = pool.map(|pool| known.pool(pool, &waits)).into_iter().collect();
    Ok(PendingWork { waits, pools, failed, requests: None, not_read: None, missing })
}

/// Threads that wait, each with the stack that it waits for, as many as are looked at.
fn pairs(pending: &Pending) -> Vec<(&AsyncStack, &BlocksAfter)> {
    let all = pending.stacks.iter().flat_map(|stack| stack.blocks.iter().map(move |after| (stack, after)));
    let mut steps = 0usize;
    let has_room = |(_, after): &(&AsyncStack, &BlocksAfter)| {
        steps = steps.saturating_add(after.steps);
        steps <= MAX_STEPS
    };
    all.take(MAX_WAITS).take_while(has_room).collect()
}

/// What is queued for the pool.
fn queued(pool: &ThreadPool) -> FxHashSet<Addr> {
    pool.queued.iter().map(|item| item.at).collect()
}

struct Search<'a> {
    around: &'a Around<'a>,
    pending: &'a Pending,
    known: Threads<'a>,
    /// What is queued for the pool.
    queued: FxHashSet<Addr>,
}

impl Search<'_> {
    fn wait(&self, stack: &AsyncStack, after: &BlocksAfter) -> WorkWait {
        let steps: Vec<&Step> = self.pending.of(stack).take(after.steps).collect();
        // What sets the event, and it itself.
        let task = steps.last().map(|step| step.address).or(stack.awaits.address);
        let on: Vec<Addr> = task.into_iter().chain([after.blocks.event]).collect();
        let limit = (self.around.limit)(after.blocks.tid, &on);
        let limit = limit.and_then(|limit| if limit.is_none() { self.end_of_leaf(stack) } else { Ok(limit) });
        WorkWait {
            tid: after.blocks.tid,
            functions: steps.iter().filter_map(|step| step.method.clone()).collect(),
            end: self.end(stack, after),
            need: need(&steps, stack.awaits.address),
            limit,
        }
    }

    /// When what a stack waits for ends though nobody runs it: `Ok(None)` where it does not. Fails where somebody may cancel it, and where that is not
    /// known.
    fn end_of_leaf(&self, stack: &AsyncStack) -> Known<Option<TimeLimit>> {
        let awaits = &stack.awaits;
        let task = awaits.address.filter(|_| awaits.kind == "task-run");
        match task.map(|task| cancelling::may_be_cancelled(self.around.methods.types(), task)).transpose()? {
            Some(true) => Err(Gap::Absent("a CancellationToken may end what it waits for".to_owned())),
            Some(false) | None => Ok(None),
        }
    }

    fn end(&self, stack: &AsyncStack, after: &BlocksAfter) -> WorkEnd {
        let context = self.known.contexts.get(&after.blocks.tid).copied();
        let awaits = &stack.awaits;
        let words = awaits.words();
        let next = match awaits.kind {
            // What was awaited has ended: the innermost method goes on next.
            "continuation" | "yield" => self.pending.of(stack).next().map(|step| self.goes_on_as(step)),
            "task-run" => awaits.address.map(|task| FxHashSet::from_iter([task])),
            _ => None,
        };
        if let Some(next) = &next {
            if let Some(own) = context.and_then(|context| self.own_queue(after.blocks.tid, context, next)) {
                return WorkEnd::OwnQueue(own);
            }
            if next.iter().any(|item| self.queued.contains(item)) {
                return WorkEnd::PoolQueue;
            }
        }
        let mut before = stack.contexts.iter().filter(|(place, _)| *place < after.steps);
        if before.any(|(_, own)| Some(*own) == context) {
            return WorkEnd::OwnQueueAfter(words);
        }
        WorkEnd::Other(words)
    }

    fn own_queue(&self, tid: Tid, context: Addr, next: &FxHashSet<Addr>) -> Option<OwnQueue> {
        let contents = self.known.contents.get(&context)?;
        let queue = contents.queue_of(next);
        if queue.is_none() && !contents.reaches(next) {
            return None;
        }
        let type_name = self.around.methods.types().of_object(context).ok();
        Some(OwnQueue { context, type_name, queue, doubt: self.known.doubt(tid, context, queue) })
    }

    /// What is queued when a method is to go on: its box, or the delegate that calls it.
    fn goes_on_as(&self, step: &Step) -> FxHashSet<Addr> {
        let mut all = FxHashSet::from_iter([step.address]);
        if let Ok(own) = self.around.methods.types().object(step.address) {
            // Since .NET 9 in the field that other tasks have for their code.
            let action = own.address("_moveNextAction").or_else(|_| own.address("m_action"));
            all.extend(action.ok().filter(|action| action.0 != 0));
        }
        all
    }

    fn pool(&self, pool: &ThreadPool, waits: &[WorkWait]) -> Pool {
        let worker =
            |tid: &Tid| self.known.by_tid.get(tid).is_some_and(|thread| thread.state.clone().is_ok_and(is_pool_worker));
        let mut blocked: Vec<Tid> = waits.iter().map(|wait| wait.tid).filter(worker).collect();
        blocked.sort_unstable();
        blocked.dedup();
        Pool {
            name: "the thread pool",
            least: pool.least.into(),
            most: pool.most.into(),
            threads: pool.threads.into(),
            working: pool.working.into(),
            blocked,
            queued: pool.queued.len() as u64,
            unread: pool.unread.clone(),
            command: "threadpoolqueue",
        }
    }
}

/// What a thread that waits for the last of these steps needs of the way to it: the outermost step that is content with less decides.
/// `awaited`: what the innermost waits for, which may be the step itself.
fn need(steps: &[&Step], awaited: Option<Addr>) -> Need {
    let mut outer = steps.iter().rev().filter(|step| Some(step.address) != awaited);
    match outer.find(|step| step.joins != Joins::All) {
        None => Need::This,
        Some(step) if step.joins == Joins::Any => Need::OneOf(step.address),
        Some(_) => Need::Nothing,
    }
}
