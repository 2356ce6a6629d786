//! .NET with a JIT (CoreCLR): its threads, and the callers and names of its code.
//!
//! Input: a target. Output: threads with managed ids and names, stacks with managed frames, exceptions. What is read is laid out as the runtime
//! itself describes it ([`descriptor`]), or as this program knows of its major version. Microsoft's data access library is not needed.
//! Left out: aarch64.

mod budget;
mod clr;
mod code;
mod collector;
pub mod debug_info;
pub mod descriptor;
mod exceptions;
mod find;
mod frames;
pub mod gc_info;
mod heap;
pub mod image;
mod loader_heaps;
mod locks;
mod memo;
pub mod metadata;
mod methods;
mod modules;
mod objects;
mod pdbs;
mod pool;
mod precodes;
mod queues;
mod requests;
mod roots;
mod rows;
mod sources;
mod statics;
mod tasks;
mod threads;
mod types;
mod unread;
mod values;
mod variables;
mod written;

use std::sync::Arc;

use rustc_hash::FxHashMap;

pub use self::clr::{Clr, Described};
pub use self::code::UnwindInfo;
pub use self::collector::{StackObject, TypeHandle};
pub use self::gc_info::MethodGcInfo;
pub use self::heap::{BySize, FailedAllocation, Generation, Near, NearObject, Segment, Sizes};
pub use self::loader_heaps::LoaderBlock;
pub use self::locks::{State as LockState, SyncBlock, SyncBlocks, kinds as lock_kinds};
pub use self::pool::{Queue, Queued, RunningTimer, ThreadPool, Timers, Work};
pub use self::requests::{Call, Found, Request, Stage};
pub use self::roots::{FinalizeQueue, Handle, HandleKind};
pub use self::tasks::{AsyncStack, Awaited, Pending, Status, Step};
pub use self::threads::{ManagedThread, ManagedThreads, Thrown, is_pool_worker, words};
pub use self::written::read_changed;

use self::code::Code;
use self::heap::{ManagedHeap, Segments};
use self::locks::Waits;
use self::metadata::Line;
use self::methods::Methods;
pub use self::objects::{DelegateTarget, OpenedArray, OpenedValue};
use self::objects::{OfThread, Scope as ObjectScope, Values};
use super::{Detected, Runtime, RuntimeKind, Scene};
use crate::error::Error;
use crate::heap::HeapSource;
use crate::job::{Job, Shared};
use crate::model::{
    Addr, DebugFile, Exception, Frame, FrameKind, Gap, Known, Lock, NamedFrame, NotLooked, OwnMemory, Partial,
    PendingWork, Problem, Registers, Subject, Thread, Tid, Value, Variable, WorkStacks,
};
use crate::target::Target;
use crate::unwind::{Unwind, Unwinder};

/// How it is recognised: by the library `libcoreclr.so`, or a program that holds it.
pub const KIND: RuntimeKind = RuntimeKind { name: "coreclr", detect: |target| CoreClr::of(target) };

/// Bytes of a heap that is walked for the first screen: it may take no longer than a blink.
const MAX_UNASKED: u64 = 256 << 20;

/// The .NET runtime of a target.
pub struct CoreClr {
    methods: Arc<Methods>,
    threads: Shared<ManagedThreads>,
    segments: Shared<Known<Arc<Segments>>>,
    pending: Shared<Pending>,
    blocks: Shared<SyncBlocks>,
    waits: Shared<Waits>,
}

impl CoreClr {
    fn of(target: &Arc<Target>) -> Detected {
        let Some(clr) = find::find(target)? else { return Ok(None) };
        Ok(Some(Box::new(CoreClr::with(Methods::new(Arc::new(clr))))))
    }

    fn with(methods: Methods) -> CoreClr {
        CoreClr {
            methods: Arc::new(methods),
            threads: Shared::default(),
            segments: Shared::default(),
            pending: Shared::default(),
            blocks: Shared::default(),
            waits: Shared::default(),
        }
    }

    /// Where it is, and of which version.
    pub fn clr(&self) -> &Clr {
        &self.methods.clr
    }

    /// Where an asynchronous method is suspended: by the method table of its state machine and the number of the wait, which is its state.
    /// `Ok(None)` where no PDB tells it.
    pub fn suspended(&self, state_machine: Addr, state: u32) -> Known<Option<Line>> {
        self.methods.suspended(state_machine, state)
    }

    /// Its own list of threads.
    pub fn threads(&self, job: &Job) -> Result<Arc<ManagedThreads>, Error> {
        self.threads.get(job, |job| threads::list(self.methods.types(), job))
    }

    /// Whether a server of ASP.NET Core's is loaded: else there are no requests. Where that cannot be read, it may be.
    pub fn may_serve(&self) -> bool {
        requests::may_serve(self.methods.types())
    }

    /// The connections of ASP.NET Core's server, with the request that each is at. Walks the heap.
    pub fn requests(&self, scene: &Scene<'_>, job: &Job) -> Result<Found<Request>, Error> {
        Ok(requests::requests(&self.methods, &*self.pending(job)?, scene))
    }

    /// The calls of `HttpClient` whose objects are on the heap. Walks the heap.
    pub fn calls(&self, job: &Job) -> Result<Found<Call>, Error> {
        requests::calls(self.methods.types(), &*self.some_heap(job)?, job)
    }

    /// Of each heap of the collector the last allocation that it could not serve.
    pub fn failed_allocations(&self) -> Known<Partial<Vec<FailedAllocation>>> {
        heap::failed(self.clr())
    }

    /// Where the collector keeps objects; fails where the dump does not hold that.
    fn some_heap(&self, job: &Job) -> Result<Arc<Segments>, Error> {
        self.segments(job)?.map_err(|gap| Error::Failed(format!("the managed heap is not in the dump: {gap}")))
    }

    /// Fails where the dump does not hold where objects are, with the reason.
    pub fn needs_heap(&self, job: &Job) -> Result<(), Error> {
        self.some_heap(job).map(|_| ())
    }

    /// Whether objects with a method table are exceptions.
    pub fn is_class_of_exceptions(&self, table: Addr) -> Known<bool> {
        exceptions::is_class_of_exceptions(self.clr(), table)
    }

    /// The exceptions at these addresses, in their order, of no thread; with what is inside of each.
    pub fn exceptions_at(&self, objects: Vec<Addr>, job: &Job) -> Result<Vec<Partial<Exception>>, Error> {
        exceptions::at(&self.methods, objects, job)
    }

    /// Whether the dump holds the objects of the heap, and not just a few that its writer has touched.
    pub fn has_objects(&self, job: &Job) -> Result<bool, Error> {
        let Ok(segments) = self.segments(job)? else { return Ok(false) };
        let memory = &self.clr().target.memory;
        let sum = |of: &dyn Fn(&Segment) -> u64| segments.all.iter().map(of).fold(0, u64::saturating_add);
        let all = sum(&|segment| segment.end.since(segment.start).unwrap_or(0));
        let there = sum(&|segment| memory.bytes_within(segment.start, segment.end));
        Ok(all > 0 && there >= all / 2)
    }

    /// The array at an address, from one element on, so many where that is given. `with_details`: with what its elements are made of.
    pub fn array(&self, at: Addr, start: u64, most: Option<u64>, with_details: bool) -> Result<OpenedArray, Error> {
        Values::of(&self.methods).open_array(at, start, most, with_details)
    }

    /// A value of a type, told by its method table, at an address.
    pub fn structure(&self, table: Addr, at: Addr) -> Result<OpenedValue, Error> {
        Values::of(&self.methods).open_structure(table, at)
    }

    /// What the delegate at an address calls, and how many more there are.
    pub fn delegate(&self, at: Addr) -> Result<(Vec<DelegateTarget>, u64), Error> {
        Values::of(&self.methods).open_delegate(at)
    }

    /// The GC info of the method at an address of code.
    pub fn gc_info(&self, code: Addr) -> Known<MethodGcInfo> {
        let Some(Code::Method(place)) = code::at(self.clr(), code)? else {
            return Err(Gap::NotRecorded(format!("no method of .NET is at {code}")));
        };
        let name = self.methods.name(place.method).map(|named| named.name);
        let (at, info) = gc_info::of(self.clr(), &place)?;
        Ok(MethodGcInfo { name, start: place.start, at, info })
    }

    /// The threads that may have static fields of their own.
    fn of_threads(&self, job: &Job) -> Result<Vec<OfThread>, Error> {
        let threads = self.threads(job)?;
        Ok(threads.threads.iter().map(|thread| (thread.address, thread.tid.clone().ok().flatten())).collect())
    }

    /// Where the collector keeps objects.
    fn segments(&self, job: &Job) -> Result<Known<Arc<Segments>>, Error> {
        let read = |job: &Job| {
            let threads = self.threads(job)?;
            let threads = threads.threads.iter().map(|thread| thread.address);
            Ok(Segments::read(self.clr(), threads).map(Arc::new))
        };
        Ok(self.segments.get(job, read)?.as_ref().clone())
    }

    /// Asynchronous work that is under way.
    pub fn pending(&self, job: &Job) -> Result<Arc<Pending>, Error> {
        self.pending.get(job, |job| self.read_pending(false, job))
    }

    /// The same with what has ended. Not kept.
    pub fn pending_and_completed(&self, job: &Job) -> Result<Arc<Pending>, Error> {
        self.read_pending(true, job).map(Arc::new)
    }

    /// The thread pool; `Ok(None)` where the program has not used it.
    pub fn thread_pool(&self, job: &Job) -> Result<Known<Option<ThreadPool>>, Error> {
        pool::pool(self.methods.types(), job)
    }

    /// The fields of a method's state machine: its parameters and locals among them, by the names that the compiler gave them.
    pub fn fields_of(&self, step: &Step) -> Vec<(Arc<str>, Value)> {
        let Some(data) = step.machine else { return Vec::new() };
        tasks::machine_fields(&Values::of(&self.methods), step.table, data)
    }

    /// What pieces of queued work would run, in their order.
    pub fn works(&self, queued: &[Queued], job: &Job) -> Result<Vec<Known<Work>>, Error> {
        let (values, segments) = (Values::of(&self.methods), self.some_heap(job)?);
        let work = pool::works(&values, &segments);
        let mut meter = job.meter();
        let told = queued.iter().map(|item| {
            meter.add(1)?;
            Ok(work(item.at))
        });
        told.collect()
    }

    /// Timers that run.
    pub fn timers(&self, job: &Job) -> Result<Known<Timers>, Error> {
        pool::timers(&Values::of(&self.methods), job)
    }

    /// The state word of the task at an address.
    pub fn task_status(&self, at: Addr) -> Known<Status> {
        tasks::status_at(self.methods.types(), at)
    }

    /// Why asynchronous work is not looked for; `None` where it is. `whole`: however long that takes.
    fn leaves_work(&self, whole: bool, job: &Job) -> Result<Option<NotLooked>, Error> {
        let segments = match self.segments(job)? {
            Ok(segments) => segments,
            Err(gap) => return Ok(Some(NotLooked { why: format!("the managed heap: {gap}"), command: None })),
        };
        let bytes = segments.bytes();
        let leaves = bytes > MAX_UNASKED && !whole && self.pending.known().is_none();
        let why = || format!("the managed heap has {} MiB", bytes >> 20);
        Ok(leaves.then(|| NotLooked { why: why(), command: Some("dumpasync") }))
    }

    fn read_pending(&self, with_completed: bool, job: &Job) -> Result<Pending, Error> {
        let segments = self.some_heap(job)?;
        let threads = &self.clr().target.capture.threads;
        tasks::pending(self.methods.types(), &segments, threads, with_completed, &requests::CLASSES, job)
    }

    /// Its table of objects that have more than fits in their headers.
    pub fn sync_blocks(&self, job: &Job) -> Result<Arc<SyncBlocks>, Error> {
        self.blocks.get(job, |job| SyncBlocks::read(self.clr(), job))
    }

    /// The Monitors in its table of SyncBlocks, in its order, held or not; without who waits.
    pub fn monitors(&self, job: &Job) -> Result<Vec<Lock>, Error> {
        Ok(self.sync_blocks(job)?.monitors(&*self.threads(job)?))
    }

    /// The name of an object's type.
    pub fn type_of(&self, object: Addr) -> Known<String> {
        self.methods.types().of_object(object)
    }

    /// What its threads wait for; a session's scene is the same each time.
    fn waits(&self, scene: &Scene<'_>, job: &Job) -> Result<Arc<Waits>, Error> {
        self.waits.get(job, |job| {
            let (threads, blocks) = (self.threads(job)?, self.sync_blocks(job)?);
            let segments = self.segments(job)?.ok();
            Waits::read(&self.methods, scene, &threads, blocks, segments.as_deref(), job)
        })
    }
}

impl Runtime for CoreClr {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn recognised_as(&self) -> Option<crate::model::RuntimeKind> {
        Some(crate::model::RuntimeKind::Dotnet)
    }

    fn version(&self) -> Option<String> {
        self.clr().version.clone()
    }

    fn unwinder(&self) -> Option<Arc<dyn Unwind>> {
        Some(Arc::clone(&self.methods) as Arc<dyn Unwind>)
    }

    fn expand(&self, frame: &Frame) -> Option<Vec<NamedFrame>> {
        self.methods.frame(frame)
    }

    fn variables(&self, frame: &Frame, registers: &Registers) -> Option<Vec<Variable>> {
        variables::of_frame(&self.methods, frame, registers)
    }

    fn annotate(&self, threads: &mut [Thread], scene: &Scene<'_>, job: &Job) -> Result<Vec<Problem>, Error> {
        let managed = self.threads(job)?;
        let of = managed.threads.iter().filter_map(|thread| Some((thread.tid.clone().ok()??, thread)));
        let of: FxHashMap<_, _> = of.collect();
        let waits = self.waits(scene, job)?;
        let mut meter = job.meter();
        for (thread, stack) in threads.iter_mut().zip(scene.stacks) {
            meter.add(1)?;
            let Some(managed) = of.get(&thread.tid) else { continue };
            waits.describe(thread);
            let mut managed_frames = stack.frames.iter().filter(|frame| frame.kind == FrameKind::Managed);
            if let Some(top) = managed_frames.find_map(|frame| self.methods.own(frame)) {
                thread.top = Some(top.to_string());
            }
            thread.runtime_id = managed.id.clone().ok().map(u64::from);
            // The kernel keeps 15 characters of what the program called it.
            if let Ok(Some(name)) = &managed.name {
                thread.name = Some(name.clone());
            }
        }
        let cut = managed.cut.as_ref().map(|gap| {
            let message = format!("managed threads are missing: {gap}");
            Problem::new("threads-missing", Subject::Capture, message)
        });
        Ok(cut.into_iter().collect())
    }

    fn own_memory(&self, job: &Job) -> Result<Partial<Vec<OwnMemory>>, Error> {
        self.outside_heap(job)
    }

    fn locks(&self, scene: &Scene<'_>, job: &Job) -> Result<Partial<Vec<Lock>>, Error> {
        let (waits, threads) = (self.waits(scene, job)?, self.threads(job)?);
        let value = waits.locks(&self.methods, &threads);
        Ok(Partial { value, problems: waits.problems.clone() })
    }

    fn waits_without_lock(&self, scene: &Scene<'_>, job: &Job) -> Result<Vec<Tid>, Error> {
        Ok(self.waits(scene, job)?.without_lock())
    }

    fn held_locks(&self, scene: &Scene<'_>, job: &Job) -> Result<Partial<Vec<Lock>>, Error> {
        let (waits, threads) = (self.waits(scene, job)?, self.threads(job)?);
        let segments = self.segments(job)?;
        waits.held(&self.methods, &threads, segments.as_deref(), job)
    }

    fn exceptions(&self, scene: &Scene<'_>, _: &Unwinder, job: &Job) -> Result<Partial<Vec<Exception>>, Error> {
        exceptions::of_threads(&self.methods, scene, &self.threads(job)?.threads, job)
    }

    fn evaluate(&self, text: &str, local: &dyn Fn(&str) -> Option<Value>, job: &Job) -> Result<Option<Value>, Error> {
        let segments = self.segments(job)?;
        let is_object = |at| segments.as_ref().is_ok_and(|segments| segments.holding(at).is_some());
        let scope = ObjectScope { is_object: &is_object, local, threads: &self.of_threads(job)? };
        Values::of(&self.methods).path(text, &scope)
    }

    fn debug_files(&self, job: &Job) -> Result<Partial<Vec<DebugFile>>, Error> {
        self.methods.debug_files(job)
    }

    fn pending_work(&self, scene: &Scene<'_>, whole: bool, job: &Job) -> Result<Option<PendingWork>, Error> {
        if let Some(not_read) = self.leaves_work(whole, job)? {
            return Ok(Some(PendingWork { not_read: Some(not_read), ..PendingWork::default() }));
        }
        let segments = self.some_heap(job)?;
        let (pending, threads, waits) = (self.pending(job)?, self.threads(job)?, self.waits(scene, job)?);
        let around = tasks::Around {
            methods: &self.methods,
            segments: &segments,
            scene,
            threads: &threads,
            pool: self.thread_pool(job)?,
            limit: &|tid, on| waits.limit(tid, on),
        };
        let mut work = tasks::pending_work(&around, &pending, job)?;
        let found = requests::requests(&self.methods, &pending, scene);
        let (requests, unknown) = requests::in_flight(&found, &pending);
        // What of the heap could not be read is missing of both.
        let missing: Vec<String> = found.unread.into_iter().filter(|words| !work.missing.contains(words)).collect();
        work.missing.extend(missing.into_iter().chain(unknown));
        Ok(Some(PendingWork { requests, ..work }))
    }

    fn work_stacks(&self, job: &Job) -> Result<Option<WorkStacks>, Error> {
        if let Some(not_read) = self.leaves_work(false, job)? {
            return Ok(Some(WorkStacks { not_read: Some(not_read), ..WorkStacks::default() }));
        }
        let pending = self.pending(job)?;
        Ok(Some(WorkStacks { all: pending.told(), not_read: None, missing: pending.gaps.words() }))
    }

    fn knows_work(&self) -> bool {
        self.pending.known().is_some()
    }

    fn collects(&self) -> bool {
        true
    }

    fn has_heap(&self, _: &Arc<Target>, _: &Job) -> Result<bool, Error> {
        let segments = self.segments.known().map(|known| known.as_ref().clone());
        // Where threads allocate is of no matter here.
        let segments = segments.unwrap_or_else(|| Segments::read(self.clr(), std::iter::empty()).map(Arc::new));
        Ok(segments.is_ok_and(|segments| !segments.all.is_empty()))
    }

    fn heap(&self, _: &Arc<Target>, job: &Job) -> Result<Option<Arc<dyn HeapSource>>, Error> {
        match self.segments(job)? {
            Ok(segments) if segments.all.is_empty() => match segments.unread.first() {
                // The runtime need not have made one yet.
                None => Ok(None),
                Some((what, gap)) => Err(Error::Failed(format!("the managed heap cannot be read: {what}: {gap}"))),
            },
            Ok(segments) => {
                let threads = (self.of_threads(job)?, self.threads(job)?.unread());
                Ok(Some(Arc::new(ManagedHeap::of(&self.methods, segments, threads, job)?)))
            }
            Err(gap) => Err(Error::Failed(format!("the managed heap cannot be read: {gap}"))),
        }
    }
}
