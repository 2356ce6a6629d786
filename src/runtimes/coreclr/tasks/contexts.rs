//! The synchronization contexts of threads, and who besides a thread may take what is queued in its own.
//!
//! Input: the runtime's threads, and those that wait for tasks. Output: [`Threads`]. That no other thread takes from a queue is known only where all
//! was read that would show it: the contexts of all threads, what the program's methods hold on each of their stacks, and what those hold that are
//! suspended.

use std::collections::BTreeMap;
use std::sync::Arc;

use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};

use super::around::Around;
use super::context::{self, Contents};
use super::holding::{self, Held};
use super::takers::{self, Takers};
use super::work::Pending;
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Gap, Tid};
use crate::runtimes::coreclr::memo::Memo;
use crate::runtimes::coreclr::threads::ManagedThread;

/// Most synchronization contexts that are looked at, and most queues of all of which it is kept who holds them.
const MAX_CONTEXTS: usize = 1 << 8;
const MAX_QUEUES: usize = 1 << 16;

/// Threads with their synchronization contexts.
pub(super) struct Threads<'a> {
    /// The runtime's threads by their ids.
    pub(super) by_tid: FxHashMap<Tid, &'a ManagedThread>,
    /// The context of each that has one.
    pub(super) contexts: FxHashMap<Tid, Addr>,
    /// How many threads have a context.
    sharing: FxHashMap<Addr, usize>,
    /// Threads of which it is not known what context they have, with the reason.
    unread: BTreeMap<Tid, Gap>,
    /// Whether the runtime has no other threads.
    are_all: bool,
    /// What the contexts have of threads that wait for tasks.
    pub(super) contents: FxHashMap<Addr, Contents>,
    /// How many contexts such threads have.
    wanted: usize,
    /// Threads whose own code holds queues of contexts, or what is between.
    held: Held,
    /// Threads of the runtime of which not all that their own code holds is known.
    unsearched: FxHashSet<Tid>,
    /// What holds them besides.
    takers: Takers,
    /// Those that hold a queue of a context.
    knowing: Memo<(Addr, Addr), Arc<FxHashSet<Tid>>>,
}

impl<'a> Threads<'a> {
    /// Reads them. `blocking`: threads that wait for tasks. Fails once the job is cancelled.
    pub(super) fn of(
        around: &Around<'a>,
        pending: &Pending,
        blocking: &FxHashSet<Tid>,
        job: &Job,
    ) -> Result<Threads<'a>, Error> {
        let types = around.methods.types();
        let all = &around.threads.threads;
        let by_tid: FxHashMap<_, _> =
            all.iter().filter_map(|thread| Some((thread.tid.clone().ok()??, thread))).collect();
        let (mut contexts, mut unread, mut sharing) = (FxHashMap::default(), BTreeMap::default(), FxHashMap::default());
        for (tid, thread) in &by_tid {
            match context::of_thread(types, thread.address) {
                Ok(Some(context)) => {
                    contexts.insert(*tid, context);
                    let count: &mut usize = sharing.entry(context).or_default();
                    *count = count.saturating_add(1);
                }
                Ok(None) => {}
                Err(gap) => {
                    unread.insert(*tid, gap);
                }
            }
        }
        let of_blocking = contexts.iter().filter(|(tid, _)| blocking.contains(tid));
        let mut wanted: Vec<Addr> = of_blocking.map(|(_, at)| *at).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let read = |at: &Addr| Ok((*at, Contents::of(types, around.segments, *at, job)?));
        let contents = wanted.par_iter().take(MAX_CONTEXTS).map(read).collect::<Result<FxHashMap<_, _>, Error>>()?;
        let objects: FxHashSet<Addr> = contents.values().flat_map(Contents::ways).collect();
        let leads_to = |word| context::led_to(types, around.segments, word, &objects);
        let (held, takers) = if objects.is_empty() {
            (Held::default(), Takers::default())
        } else {
            let held = holding::in_own_frames(around.methods, around.scene, &leads_to, job)?;
            (held, takers::takers(around, pending, &objects, job)?)
        };
        let unsearched = by_tid.keys().copied().filter(|tid| !held.whole.contains(tid)).collect();
        Ok(Threads {
            by_tid,
            contexts,
            sharing,
            unread,
            are_all: around.threads.unread().is_none(),
            contents,
            wanted: wanted.len(),
            held,
            unsearched,
            takers,
            knowing: Memo::of(MAX_QUEUES),
        })
    }

    /// What of the contexts of threads that wait could not be read, in words.
    pub(super) fn missing(&self, blocking: &FxHashSet<Tid>) -> Vec<String> {
        let unread: Vec<&Gap> =
            self.unread.iter().filter(|(tid, _)| blocking.contains(tid)).map(|(_, gap)| gap).collect();
        let unread = unread.first().map(|gap| {
            format!("the synchronization contexts of {} threads that wait cannot be read: {gap}", unread.len())
        });
        let cut = (self.contents.len() < self.wanted).then(|| {
            format!("of {} synchronization contexts of threads that wait {MAX_CONTEXTS} are looked at", self.wanted)
        });
        let mut of_contents: Vec<(&Addr, &Gap)> =
            self.contents.iter().filter_map(|(at, contents)| Some((at, contents.unread.as_ref()?))).collect();
        of_contents.sort_unstable_by_key(|(at, _)| **at);
        let of_contents = of_contents.first().map(|(_, gap)| {
            format!(
                "what is queued in {} synchronization contexts cannot be read, or not all: {gap}",
                of_contents.len()
            )
        });
        unread.into_iter().chain(cut).chain(of_contents).collect()
    }

    /// Why another thread than this one may take what is in a queue of its context.
    pub(super) fn doubt(&self, tid: Tid, context: Addr, queue: Option<Addr>) -> Option<&'static str> {
        let Some(queue) = queue else {
            return Some("the context's objects refer to it, and none of them is a queue of a known kind that has it");
        };
        if self.sharing.get(&context).is_some_and(|count| *count > 1) {
            return Some("other threads have the same context");
        }
        let knowing = self.knowing.get((context, queue), || Arc::new(self.knowing(context, queue)));
        let is_of_others = |tids: usize, has_own: bool| tids > usize::from(has_own);
        if is_of_others(knowing.len(), knowing.contains(&tid)) {
            Some("methods of other threads hold the queue, too")
        } else if knowing.is_empty() {
            Some("no method of the thread is known to hold the queue")
        } else if self.way(context, queue).any(|at| self.takers.held.contains(&at)) {
            Some("a suspended method, a timer or work of the thread pool holds the queue, too")
        } else if !self.are_all || is_of_others(self.unread.len(), self.unread.contains_key(&tid)) {
            Some("it is not known of every other thread that it has another context")
        } else if is_of_others(self.unsearched.len(), self.unsearched.contains(&tid)) {
            Some("not all that methods of other threads hold could be read: one of them may hold the queue, too")
        } else if !self.takers.are_all {
            Some(
                "not all suspended methods, timers and work of the thread pool could be read: some may hold the queue, too",
            )
        } else {
            None
        }
    }

    /// The threads whose methods hold a queue of a context.
    fn knowing(&self, context: Addr, queue: Addr) -> FxHashSet<Tid> {
        self.way(context, queue).filter_map(|at| self.held.by.get(&at)).flatten().copied().collect()
    }

    /// The objects between a context and a queue of it.
    fn way(&self, context: Addr, queue: Addr) -> impl Iterator<Item = Addr> {
        self.contents.get(&context).into_iter().flat_map(move |contents| contents.way_to(queue))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTEXT: Addr = Addr(0x10);
    const QUEUE: Addr = Addr(0x20);
    const DESK: Tid = Tid(1);

    /// The desk alone has the context, and its methods alone hold the queue; of another thread all is known.
    fn known() -> Threads<'static> {
        Threads {
            by_tid: FxHashMap::default(),
            contexts: FxHashMap::from_iter([(DESK, CONTEXT)]),
            sharing: FxHashMap::from_iter([(CONTEXT, 1)]),
            unread: BTreeMap::new(),
            are_all: true,
            contents: FxHashMap::from_iter([(CONTEXT, Contents::with_queue(CONTEXT, QUEUE))]),
            wanted: 1,
            held: Held { by: FxHashMap::from_iter([(QUEUE, vec![DESK])]), ..Held::default() },
            unsearched: FxHashSet::default(),
            takers: Takers { held: FxHashSet::default(), are_all: true },
            knowing: Memo::of(1),
        }
    }

    fn doubt(threads: &Threads<'_>) -> &'static str {
        threads.doubt(DESK, CONTEXT, Some(QUEUE)).unwrap_or_default()
    }

    #[test]
    fn what_would_show_another_taker_is_read_or_there_is_a_doubt() {
        assert_eq!(known().doubt(DESK, CONTEXT, Some(QUEUE)), None);
        assert!(known().doubt(DESK, CONTEXT, None).is_some());
        let gap = || Gap::NotRecorded("it".to_owned());
        let unread = |tid| Threads { unread: BTreeMap::from([(tid, gap())]), ..known() };
        let context = "it is not known of every other thread that it has another context";
        assert_eq!(doubt(&unread(Tid(2))), context);
        assert_eq!(doubt(&unread(DESK)), "", "its own is known by what it waits for");
        assert_eq!(doubt(&Threads { are_all: false, ..known() }), context);
        let unsearched = |tid| Threads { unsearched: FxHashSet::from_iter([tid]), ..known() };
        assert!(doubt(&unsearched(Tid(2))).starts_with("not all that methods of other threads hold could be read"));
        assert_eq!(doubt(&unsearched(DESK)), "");
        let takers = |held: &[Addr], are_all| Threads {
            takers: Takers { held: held.iter().copied().collect(), are_all },
            ..known()
        };
        let held = "a suspended method, a timer or work of the thread pool holds the queue, too";
        assert_eq!([QUEUE, CONTEXT].map(|at| doubt(&takers(&[at], true))), [held; 2]);
        assert_eq!(doubt(&takers(&[Addr(0x30)], true)), "");
        assert!(
            doubt(&takers(&[], false)).starts_with("not all suspended methods, timers and work of the thread pool")
        );
    }

    #[test]
    fn who_holds_a_queue_may_take_from_it() {
        let held = |by: &[(Addr, Tid)]| {
            let mut held = Held::default();
            by.iter().for_each(|(at, tid)| held.by.entry(*at).or_default().push(*tid));
            Threads { held, ..known() }
        };
        // By the queue, or by what leads to it.
        for at in [QUEUE, CONTEXT] {
            let told = doubt(&held(&[(QUEUE, DESK), (at, Tid(2))]));
            assert_eq!(told, "methods of other threads hold the queue, too");
        }
        assert_eq!(doubt(&held(&[(Addr(0x30), DESK)])), "no method of the thread is known to hold the queue");
        let shared = Threads { sharing: FxHashMap::from_iter([(CONTEXT, 2)]), ..known() };
        assert_eq!(doubt(&shared), "other threads have the same context");
    }

    #[test]
    fn what_is_missing_of_contexts_is_said_of_threads_that_wait() {
        let gap = || Gap::NotRecorded("it".to_owned());
        let mut threads = Threads { unread: BTreeMap::from([(Tid(2), gap()), (Tid(3), gap())]), ..known() };
        let waiting = |tids: &[u32]| tids.iter().copied().map(Tid).collect::<FxHashSet<Tid>>();
        assert!(threads.missing(&waiting(&[1])).is_empty());
        let contexts = "the synchronization contexts of 1 threads that wait cannot be read: not recorded: it";
        assert_eq!(threads.missing(&waiting(&[1, 3])), [contexts]);
        for contents in threads.contents.values_mut() {
            contents.unread = Some(gap());
        }
        let queues = "what is queued in 1 synchronization contexts cannot be read, or not all: not recorded: it";
        assert_eq!(threads.missing(&waiting(&[1])), [queues]);
        let cut = "of 300 synchronization contexts of threads that wait 256 are looked at";
        assert_eq!(Threads { wanted: 300, ..known() }.missing(&waiting(&[1])), [cut]);
    }
}
