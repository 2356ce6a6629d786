//! Where threads that block on tasks wait for what nobody runs: the thread's own queue, the pool's.
//!
//! Input: stacks of tasks, the runtime's threads, the pool. Output: neutral [`PendingWork`].

use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};

use super::{AsyncStack, Pending, Step, context, faults};
use crate::model::{Addr, PendingWork, Pool, Tid, WorkEnd, WorkWait};
use crate::runtimes::coreclr::pool::ThreadPool;
use crate::runtimes::coreclr::threads::{ManagedThread, ManagedThreads, is_pool_worker};
use crate::runtimes::coreclr::types::Types;

/// Most waits and failures that are told.
const MAX_TOLD: usize = 1 << 10;

/// What triage is told of tasks.
pub(in crate::runtimes::coreclr) fn pending_work(
    types: Types<'_>,
    pending: &Pending,
    threads: &ManagedThreads,
    pool: Option<&ThreadPool>,
) -> PendingWork {
    let by_tid = threads.threads.iter().filter_map(|thread| Some((thread.tid.clone().ok()??, thread))).collect();
    let queued = pool.and_then(|pool| pool.queued.as_ref().ok()).into_iter().flatten().map(|item| item.at).collect();
    let known = Known { types, pending, threads: by_tid, queued };
    let blocking = pending.stacks.iter().filter(|stack| !stack.threads.is_empty());
    let pairs: Vec<(Tid, &AsyncStack)> =
        blocking.flat_map(|stack| stack.threads.iter().map(move |tid| (*tid, stack))).take(MAX_TOLD).collect();
    let waits: Vec<WorkWait> = pairs.into_par_iter().map(|(tid, stack)| known.wait(tid, stack)).collect();
    let faulted = pending.faulted.iter().take(MAX_TOLD);
    PendingWork {
        pools: pool.map(|pool| known.pool(pool, &waits)).into_iter().collect(),
        waits,
        failed: faulted.filter_map(|faulted| faults::unseen(types, faulted)).collect(),
        not_read: None,
    }
}

struct Known<'a> {
    types: Types<'a>,
    pending: &'a Pending,
    threads: FxHashMap<Tid, &'a ManagedThread>,
    /// What is queued for the pool.
    queued: FxHashSet<Addr>,
}

impl Known<'_> {
    fn wait(&self, tid: Tid, stack: &AsyncStack) -> WorkWait {
        let functions = self.pending.of(stack).filter_map(|step| step.method.clone()).collect();
        WorkWait { tid, functions, end: self.end(tid, stack) }
    }

    fn end(&self, tid: Tid, stack: &AsyncStack) -> WorkEnd {
        let context = self.threads.get(&tid).and_then(|thread| context::of_thread(self.types, thread.address));
        let awaits = &stack.awaits;
        let words = match &awaits.name {
            Some(name) => format!("{} {name}", awaits.kind),
            None => awaits.kind.to_owned(),
        };
        if context.is_some_and(|context| stack.contexts.contains(&context)) {
            return WorkEnd::OwnQueueAfter(words);
        }
        let next = match awaits.kind {
            // What was awaited has ended: the innermost method goes on next.
            "continuation" | "yield" => self.pending.of(stack).next().map(|step| self.goes_on_as(step)),
            "task-run" => awaits.address.map(|task| FxHashSet::from_iter([task])),
            _ => None,
        };
        let Some(next) = next else { return WorkEnd::Other(words) };
        if context.is_some_and(|context| context::holds(self.types, context, &next)) {
            WorkEnd::OwnQueue
        } else if next.iter().any(|item| self.queued.contains(item)) {
            WorkEnd::PoolQueue
        } else {
            WorkEnd::Other(words)
        }
    }

    /// What is queued when a method is to go on: its box, or the delegate that calls it.
    fn goes_on_as(&self, step: &Step) -> FxHashSet<Addr> {
        let mut all = FxHashSet::from_iter([step.address]);
        if let Ok(own) = self.types.object(step.address) {
            // Since .NET 9 in the field that other tasks have for their code.
            let action = own.address("_moveNextAction").or_else(|_| own.address("m_action"));
            all.extend(action.ok().filter(|action| action.0 != 0));
        }
        all
    }

    fn pool(&self, pool: &ThreadPool, waits: &[WorkWait]) -> Pool {
        let is_worker =
            |tid: &Tid| self.threads.get(tid).is_some_and(|thread| thread.state.clone().is_ok_and(is_pool_worker));
        let mut blocked: Vec<Tid> = waits.iter().map(|wait| wait.tid).filter(is_worker).collect();
        blocked.sort_unstable();
        blocked.dedup();
        Pool {
            name: "the thread pool",
            least: pool.least.into(),
            most: pool.most.into(),
            threads: pool.threads.into(),
            working: pool.working.into(),
            blocked,
            queued: pool.queued.as_ref().map_or(0, |queued| queued.len() as u64),
            command: "threadpoolqueue",
        }
    }
}
