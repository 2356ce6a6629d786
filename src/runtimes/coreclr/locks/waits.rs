//! What the threads of the runtime wait for, and the locks that they wait for.
//!
//! Input: the runtime's threads, its table of SyncBlocks, what threads say of their waits, stacks. Output: [`Wait`]s, and a [`Lock`] for
//! each thing that is waited for.

use std::sync::Arc;

use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};

use super::around::Surroundings;
use super::blocking::{self, On};
use super::constructors::{self, Running};
use super::held;
use super::holders::Holders;
use super::holding::Holding;
use super::kinds;
use super::names::Names;
use super::native_mutex::{self, Owned};
use super::recognise::{self, Seen};
use super::stack::Part;
use super::sync_blocks::SyncBlocks;
use super::wait::{Wait, Waited};
use crate::error::Error;
use crate::job::Job;
use crate::model::thread::{CallKind, Nature, ThreadState, WaitKind};
use crate::model::{
    Addr, Gap, Known, Lock, LockKind, OsThread, Partial, Problem, Stack, Subject, Thread, Tid, TimeLimit, WaitingOn,
};
use crate::runtimes::Scene;
use crate::runtimes::coreclr::heap::Segments;
use crate::runtimes::coreclr::methods::Methods;
use crate::runtimes::coreclr::threads::{self, ManagedThread, ManagedThreads};
use crate::runtimes::coreclr::types::Types;

/// What threads wait for.
pub(in crate::runtimes::coreclr) struct Waits {
    /// Each wait, in the order of threads.
    all: Vec<Wait>,
    /// Their places in it, by thread.
    by_tid: FxHashMap<Tid, usize>,
    /// What could not be read.
    pub(in crate::runtimes::coreclr) problems: Vec<Problem>,
    /// The table of SyncBlocks.
    blocks: Arc<SyncBlocks>,
    /// Static constructors that are being run.
    running: Vec<Running>,
    /// What is waited for is called so.
    names: Names,
    /// SyncBlocks that are waited for and that the table does not have: their objects are not known.
    unlisted: FxHashSet<Addr>,
    /// Who has each `Mutex` that is waited for.
    mutexes: FxHashMap<Addr, Known<Owned>>,
}

/// What a search for the wait of a thread needs.
struct Search<'a> {
    methods: &'a Methods,
    segments: Option<&'a Segments>,
    blocks: &'a SyncBlocks,
    running: &'a [Running],
    around: &'a Surroundings,
}

impl Waits {
    /// Reads them. `segments`: the heap, where the dump tells where it is; it is not walked.
    pub(in crate::runtimes::coreclr) fn read(
        methods: &Methods,
        scene: &Scene<'_>,
        threads: &ManagedThreads,
        blocks: Arc<SyncBlocks>,
        segments: Option<&Segments>,
        job: &Job,
    ) -> Result<Waits, Error> {
        let types = methods.types();
        let holders = Holders::of(threads);
        let running = constructors::running(methods, scene);
        let around = Surroundings::of_statics(types);
        let search = Search { methods, segments, blocks: &blocks, running: &running, around: &around };
        let found = scene.threads.par_iter().zip(scene.stacks).map_init(
            || job.meter(),
            |meter, (thread, stack)| {
                meter.add(1)?;
                let managed = holders.of_tid(thread.tid);
                Ok(managed.map_or_else(Found::default, |managed| search.wait(thread, stack, managed)))
            },
        );
        let found: Vec<Found> = found.collect::<Result<_, Error>>()?;
        let (mut all, mut problems, mut unlisted) = (Vec::new(), Vec::new(), FxHashSet::default());
        let mut mutexes: FxHashMap<Addr, Known<Owned>> = FxHashMap::default();
        for Found { wait, problem, block, owned } in found {
            if let (Some((_, mutex)), Some(owned)) = (wait.as_ref().and_then(Wait::lock), owned) {
                // What one of those that wait does not tell another may.
                let known = mutexes.entry(mutex).or_insert_with(|| owned.clone());
                if known.is_err() {
                    *known = owned;
                }
            }
            all.extend(wait);
            problems.extend(problem);
            unlisted.extend(block);
        }
        problems.extend(blocks.cut.as_ref().map(|gap| {
            let message = format!("the table of SyncBlocks cannot be read to its end: {gap}; Monitors may be missing");
            Problem::new("locks-missing", Subject::Capture, message)
        }));
        let names = names(types, &around, &all);
        let by_tid = all.iter().enumerate().map(|(index, wait)| (wait.tid, index)).collect();
        Ok(Waits { all, by_tid, problems, blocks, running, names, unlisted, mutexes })
    }

    /// The locks that are waited for, by address.
    pub(in crate::runtimes::coreclr) fn locks(&self, methods: &Methods, threads: &ManagedThreads) -> Vec<Lock> {
        let mut of: FxHashMap<(Addr, LockKind), Vec<&Wait>> = FxHashMap::default();
        for wait in &self.all {
            let Some((kind, address)) = wait.lock() else { continue };
            of.entry((address, kind)).or_default().push(wait);
        }
        let holding = self.holding(methods, threads);
        let lock = |((address, kind), waits): ((Addr, LockKind), Vec<&Wait>)| {
            let mut lock = holding.lock(kind, address, self.names.of(address));
            lock.waiters = waits.iter().map(|wait| wait.tid).collect();
            lock.inferred_waiters = waits.iter().filter(|wait| wait.is_inferred).map(|wait| wait.tid).collect();
            lock.limits = waits.iter().filter_map(|wait| wait.limit()).collect();
            lock
        };
        let mut locks: Vec<Lock> = of.into_iter().map(lock).collect();
        // Of one object what somebody owns comes before waits for its pulse.
        locks.sort_by_key(|lock| (lock.address, !lock.kind.is_owned(), lock.kind.word));
        locks
    }

    /// Every lock that somebody has and nobody waits for, by address. Walks the heap.
    pub(in crate::runtimes::coreclr) fn held(
        &self,
        methods: &Methods,
        threads: &ManagedThreads,
        segments: Result<&Segments, &Gap>,
        job: &Job,
    ) -> Result<Partial<Vec<Lock>>, Error> {
        let types = methods.types();
        let mut waited: FxHashSet<Addr> = FxHashSet::default();
        for (kind, address) in self.all.iter().filter_map(Wait::lock) {
            waited.insert(address);
            // The Monitor in a `Lazy` is what is waited for.
            let lazy = (kind == kinds::LAZY).then(|| types.object(address)).and_then(Result::ok);
            waited.extend(lazy.and_then(|lazy| lazy.address("_state").ok()));
        }
        let holding = self.holding(methods, threads);
        held::held(types, &waited, &self.blocks, &holding, segments, job)
    }

    fn holding<'a>(&'a self, methods: &'a Methods, threads: &'a ManagedThreads) -> Holding<'a> {
        Holding::of(methods.types(), threads, &self.blocks, &self.running, &self.unlisted, &self.mutexes)
    }

    /// Threads that wait for time.
    pub(in crate::runtimes::coreclr) fn without_lock(&self) -> Vec<Tid> {
        self.all.iter().filter(|wait| wait.on == Waited::Sleep).map(|wait| wait.tid).collect()
    }

    /// What a thread waits for; `None` where that is not known.
    fn of(&self, tid: Tid) -> Option<&Wait> {
        self.by_tid.get(&tid).and_then(|index| self.all.get(*index))
    }

    /// When the wait of a thread for one of these objects ends by itself: `Ok(None)` where it does not. Fails where it is not known to wait
    /// for one of them, and where something else than time may end it.
    pub(in crate::runtimes::coreclr) fn limit(&self, tid: Tid, on: &[Addr]) -> Known<Option<TimeLimit>> {
        let wait = self.of(tid).filter(|wait| wait.lock().is_some_and(|(_, address)| on.contains(&address)));
        let wait = wait.ok_or_else(|| Gap::NotRecorded("a wait of the thread for that".to_owned()))?;
        match wait.limit() {
            _ if wait.is_inferred => {
                Err(Gap::NotRecorded("what it waits for: its stack alone refers to that".to_owned()))
            }
            None if wait.may_be_cancelled => Err(Gap::Absent("a CancellationToken may end its wait".to_owned())),
            limit => Ok(limit),
        }
    }

    /// Says of a thread what it waits for, instead of what native code beneath it does.
    pub(in crate::runtimes::coreclr) fn describe(&self, thread: &mut Thread) {
        let Some(wait) = self.of(thread.tid) else { return };
        let waiting = match wait.on {
            Waited::Lock { kind, address } => WaitingOn {
                kind: WaitKind::Lock(kind),
                address: Some(address),
                name: self.names.of(address).map(str::to_owned),
                detail: None,
                nature: kind.nature,
                inferred: wait.is_inferred,
                within: !wait.is_timed,
            },
            Waited::Sleep => {
                thread.state = ThreadState::Sleeping;
                WaitingOn {
                    kind: WaitKind::Call(CallKind::Sleep),
                    address: None,
                    name: None,
                    detail: None,
                    nature: Nature::Idle,
                    inferred: false,
                    within: false,
                }
            }
            // The native condition variable that it waits on means that.
            Waited::Work(what) => {
                if let Some(waiting) = &mut thread.waiting_on {
                    waiting.nature = Nature::Idle;
                    waiting.detail = Some(what.to_owned());
                }
                return;
            }
        };
        thread.waiting_on = Some(waiting);
    }
}

/// The names of what is waited for.
fn names(types: Types<'_>, around: &Surroundings, waits: &[Wait]) -> Names {
    let locks = waits.iter().filter_map(Wait::lock);
    let arrays = locks.clone().filter(|(kind, _)| *kind == kinds::HANDLES);
    let arrays: Vec<(Addr, Vec<Addr>)> =
        arrays.map(|(_, array)| (array, recognise::elements(types, around, array))).collect();
    let handles = arrays.iter().flat_map(|(_, handles)| handles);
    let mut names = Names::find(types, &locks.clone().map(|(_, address)| address).chain(handles.copied()).collect());
    for (kind, address) in locks {
        names.add_class_or_thread(types, kind, address);
    }
    for (array, handles) in &arrays {
        names.add_handles(*array, handles);
    }
    names
}

/// Whether the system call that a thread waits in ends by itself, as far as that can be told: one that may is taken for one that does, so that nothing
/// that it is part of is told to last for ever. The fourth argument of a futex wait points to the time, and is null where there is none. Source: futex(2).
fn is_timed(thread: &OsThread) -> bool {
    const TIME: usize = 3;
    let call = thread.syscall.as_ref();
    call.is_some_and(|call| call.args.get(TIME).copied().flatten() != Some(0))
}

/// Whether a `CancellationToken` may end a wait. A method that waits with one has registered with it: the node by which that calls back is in the
/// method's frame, beneath the program's own code. What is given where the program gives none has no node. A word that an earlier call left behind, or
/// that the program's own code had in a register, counts as well: what it takes is certainty alone. Source: dotnet/runtime src/libraries/
/// System.Private.CoreLib/src/System/Threading/{ManualResetEventSlim,SemaphoreSlim}.cs, Wait.
fn may_be_cancelled(part: &Part<'_>) -> bool {
    const SOURCE: &str = "System.Threading.CancellationTokenSource";
    const NODE: &str = "System.Threading.CancellationTokenSource+CallbackNode";
    let mut tokens = part.of_class(SOURCE).chain(part.of_class(NODE));
    part.is_cut || tokens.any(|object| part.beneath.contains(&object.at))
}

/// What was found of a thread.
#[derive(Default)]
struct Found {
    wait: Option<Wait>,
    problem: Option<Problem>,
    /// The SyncBlock that it waits for, where the table does not have it.
    block: Option<Addr>,
    /// Who has the `Mutex` that it waits for.
    owned: Option<Known<Owned>>,
}

impl Search<'_> {
    fn wait(&self, thread: &OsThread, stack: &Stack, managed: &ManagedThread) -> Found {
        let tid = thread.tid;
        let part = Part::of(self.methods, self.segments, stack);
        let mut found = Found::default();
        let told = blocking::of(self.methods.types(), managed.address).unwrap_or_else(|gap| {
            let message = format!("what managed thread {tid} waits for cannot be read: {gap}");
            found.problem = Some(Problem::new("wait-unread", Subject::Thread(tid), message));
            None
        });
        if let Some(told) = told {
            let seen = Seen { part: &part, around: self.around, tid, own: Addr(0) };
            let object = self.object(told.on);
            found.block = object.err();
            let (Ok(object) | Err(object)) = object;
            let on = recognise::told(&seen, told, object);
            found.wait = Some(Wait {
                tid,
                on,
                limit_ms: told.limit_ms,
                is_timed: told.limit_ms.is_some(),
                may_be_cancelled: may_be_cancelled(&part),
                is_inferred: false,
            });
            return found;
        }
        // One that is in no system call waits for nothing.
        if thread.syscall.is_none() {
            return found;
        }
        let on = self.untold(&part, tid, managed);
        if matches!(on, Some(Waited::Lock { kind: kinds::MUTEX, .. })) {
            found.owned = Some(self.mutex_owner(stack, managed));
        }
        found.wait = on.map(|on| Wait {
            tid,
            on,
            limit_ms: None,
            is_timed: is_timed(thread),
            may_be_cancelled: may_be_cancelled(&part),
            is_inferred: true,
        });
        found
    }

    fn mutex_owner(&self, stack: &Stack, managed: &ManagedThread) -> Known<Owned> {
        let clr = &self.methods.clr;
        let id = clr.u32(managed.address, "Thread", "OSId")?;
        let sp = stack.frames.first().map(|frame| frame.sp);
        native_mutex::owner(clr, id, sp.ok_or_else(|| Gap::NotRecorded("the stack of who waits for it".to_owned()))?)
    }

    /// The object of a wait; where the table does not have it, what is known of it is where its SyncBlock is.
    fn object(&self, on: On) -> Result<Addr, Addr> {
        match on {
            On::Enter(block) | On::Pulse(block) => self.blocks.at(block).map(|block| block.object).ok_or(block),
            On::Lock(object) => Ok(object),
        }
    }

    /// What a thread waits for that does not say so.
    fn untold(&self, part: &Part<'_>, tid: Tid, managed: &ManagedThread) -> Option<Waited> {
        if managed.finalizer && !part.is_managed {
            return Some(Waited::Work("objects to finalize"));
        }
        let own = threads::object(&self.methods.clr, managed.address).unwrap_or(Addr(0));
        let seen = Seen { part, around: self.around, tid, own };
        let inlined = self.inlined(managed.address).filter(|name| recognise::is_join(name));
        recognise::by_method(&seen, inlined.as_deref()).or_else(|| {
            let running = constructors::awaited(part, tid, self.running).filter(|_| part.is_managed)?;
            Some(Waited::Lock { kind: kinds::STATIC_CONSTRUCTOR, address: running.table })
        })
    }

    /// The method of the runtime's that a thread is in, by the frame that it leaves before native code: the compiler may put what waits into the
    /// program's own method, so that no frame of the stack shows it.
    fn inlined(&self, thread: Addr) -> Option<Arc<str>> {
        let clr = &self.methods.clr;
        let frame = clr.ptr(thread, "Thread", "Frame").ok()?;
        let method = clr.ptr(frame, "Frame", "Method").ok()?;
        self.methods.name(method).map(|named| named.name)
    }
}
