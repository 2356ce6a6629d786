//! What is known of a process that was dumped: its threads, their stacks, locks and exceptions, each computed when first asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rayon::prelude::*;

use super::walked::Walked;
use super::{Heap, Locks};
use crate::analysis::deadlock;
use crate::analysis::motion::History;
use crate::analysis::triage::Finding;
use crate::capture::Capture;
use crate::error::Error;
use crate::job::{Job, Shared};
use crate::model::{
    Acquisition, Addr, Exception, Frame, FrameKind, NamedFrame, OsThread, Partial, PendingWork, Problem,
    RecognisedRuntime, Registers, Stack, Thread, Tid, Variable,
};
use crate::runtimes::{self, RuntimeKind, Runtimes, Scene};
use crate::target::{Search, Target};
use crate::unwind::Unwinder;
use crate::variables::{self, Evaluated, Scope as Variables};

/// The runtimes in the target, and the unwinder, which asks them for the callers of their own code.
struct Understood {
    runtimes: Arc<Runtimes>,
    unwinder: Unwinder,
}

/// All that needs memory, modules or threads.
pub struct Process {
    /// The capture with its modules' files.
    pub target: Arc<Target>,
    kinds: &'static [RuntimeKind],
    understood: Shared<Understood>,
    recognised: Shared<Vec<RecognisedRuntime>>,
    stacks: Walked,
    reading_names: AtomicBool,
    threads: Shared<Partial<Vec<Thread>>>,
    locks: Shared<Locks>,
    all_locks: Shared<Locks>,
    exceptions: Shared<Partial<Vec<Exception>>>,
    heap: Shared<Heap>,
    pub(super) verdict: Shared<Vec<Finding>>,
    pub(super) whole_verdict: Shared<Vec<Finding>>,
    pub(super) work: Shared<PendingWork>,
    pub(super) whole_work: Shared<PendingWork>,
    /// Of a live process: what the captures so far say of its threads.
    pub(super) history: Option<History>,
}

impl Process {
    /// Finds the files of a capture's modules. Walks and names nothing yet, and looks for no runtime.
    pub(super) fn open(
        capture: Arc<Capture>,
        kinds: &'static [RuntimeKind],
        search: &Search,
        job: &Job,
    ) -> Result<Process, Error> {
        let target = Arc::new(Target::open(capture, search, job)?);
        Ok(Process {
            kinds,
            stacks: Walked::of(target.capture.threads.len()),
            target,
            understood: Shared::default(),
            recognised: Shared::default(),
            reading_names: AtomicBool::new(false),
            threads: Shared::default(),
            locks: Shared::default(),
            all_locks: Shared::default(),
            exceptions: Shared::default(),
            heap: Shared::default(),
            verdict: Shared::default(),
            whole_verdict: Shared::default(),
            work: Shared::default(),
            whole_work: Shared::default(),
            history: None,
        })
    }

    /// The same process with files looked for elsewhere.
    pub(super) fn reopen(&self, search: &Search, job: &Job) -> Result<Process, Error> {
        let process = Process::open(Arc::clone(&self.target.capture), self.kinds, search, job)?;
        Ok(Process { history: self.history.clone(), ..process })
    }

    /// Its threads have moved since `before`, which was so long ago.
    pub(super) fn after(mut self, before: &History, passed: Duration, job: &Job) -> Result<Process, Error> {
        let stacks = self.stacks(job)?;
        let threads = self.os_threads().iter().map(|thread| thread.tid).zip(stacks.iter().map(AsRef::as_ref));
        let passed_ms = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
        self.history = Some(before.after(passed_ms, threads));
        Ok(self)
    }

    /// Looks for runtimes on the first call, by marks.
    fn understood(&self, job: &Job) -> Result<Arc<Understood>, Error> {
        self.understood.get(job, |_| {
            let runtimes = Runtimes::detect(self.kinds, &self.target);
            let unwinder = Unwinder::with(Arc::clone(&self.target), runtimes.unwinders());
            Ok(Understood { runtimes: Arc::new(runtimes), unwinder })
        })
    }

    /// The runtimes in the target that are understood, for questions to one of them ([`Runtimes::get`]).
    pub fn runtimes(&self, job: &Job) -> Result<Arc<Runtimes>, Error> {
        Ok(Arc::clone(&self.understood(job)?.runtimes))
    }

    /// The runtimes in the target, understood or not; looked for on the first call.
    pub fn recognised(&self, job: &Job) -> Result<Arc<Vec<RecognisedRuntime>>, Error> {
        self.recognised.get(job, |job| Ok(runtimes::recognise(&self.target, self.runtimes(job)?.as_ref())))
    }

    /// The threads as the dump records them, in the one order.
    pub fn os_threads(&self) -> &[OsThread] {
        &self.target.capture.threads
    }

    /// Position of a thread in the one order.
    pub fn index_of(&self, tid: Tid) -> Option<usize> {
        self.os_threads().iter().position(|thread| thread.tid == tid)
    }

    /// The stack of the thread at `index`; walked on the first call. Fails past the last thread, and where the job is cancelled: what
    /// was walked so far is no answer.
    pub fn stack(&self, index: usize, job: &Job) -> Result<Arc<Stack>, Error> {
        let no_thread = || Error::Failed(format!("no thread {index}"));
        let thread = self.os_threads().get(index).ok_or_else(no_thread)?;
        if let Some(known) = self.stacks.get(index) {
            return Ok(known);
        }
        let walked = Arc::new(self.understood(job)?.unwinder.walk(thread, job));
        job.check()?;
        self.stacks.keep(index, walked).ok_or_else(no_thread)
    }

    /// The stacks of all threads, parallel to [`Process::os_threads`]; walked in parallel. Who asks for all will name them: the
    /// first call begins to read the names meanwhile.
    pub fn stacks(&self, job: &Job) -> Result<Vec<Arc<Stack>>, Error> {
        if !self.reading_names.swap(true, Ordering::Relaxed) {
            self.target.read_names_ahead();
        }
        if let Some(all) = self.stacks.all() {
            return Ok(all);
        }
        // Before the loop: nobody waits inside of it for another's search.
        self.understood(job)?;
        job.phase("walking stacks", self.stacks.len() as u64);
        (0..self.stacks.len())
            .into_par_iter()
            .map_init(
                || job.meter(),
                |meter, index| {
                    meter.add(1)?;
                    self.stack(index, job)
                },
            )
            .collect()
    }

    /// A stack with names: inlined calls expanded, innermost first.
    pub fn named(&self, stack: &Stack) -> Vec<NamedFrame> {
        self.named_frames(&stack.frames)
    }

    /// The same of any walked frames. Who walked them has looked for runtimes before.
    pub fn named_frames(&self, frames: &[Frame]) -> Vec<NamedFrame> {
        match self.understood.known() {
            Some(understood) => understood.runtimes.named(&self.target, frames),
            None => self.target.named(frames),
        }
    }

    /// The arguments and local variables of some frames of [`Process::named`], parallel to them; `None` for one that no
    /// debug information describes.
    pub fn variables(
        &self,
        stack: &Stack,
        named: &[NamedFrame],
        job: &Job,
    ) -> Result<Vec<Option<Vec<Variable>>>, Error> {
        let of_runtime = |frame: &Frame, registers: &Registers| {
            self.understood.known().and_then(|understood| understood.runtimes.variables(frame, registers))
        };
        variables::of_frames(&self.target, stack, named, &of_runtime, job)
    }

    /// Every thread as shown.
    pub fn threads(&self, job: &Job) -> Result<Arc<Partial<Vec<Thread>>>, Error> {
        self.threads.get(job, |job| self.ask(job, |runtimes, scene, _| runtimes.threads(scene, job)))
    }

    /// The threads as shown, where they were asked for before: for labels that are not worth computing them.
    pub fn threads_if_known(&self) -> Option<Arc<Partial<Vec<Thread>>>> {
        self.threads.known()
    }

    /// Every lock that someone waits for, and the deadlocks.
    pub fn locks(&self, job: &Job) -> Result<Arc<Locks>, Error> {
        self.locks.get(job, |job| {
            let Partial { value: mut locks, problems } =
                self.ask(job, |runtimes, scene, _| runtimes.locks(scene, job))?;
            self.doubt_locks(&mut locks, &self.stacks(job)?);
            let cycles = deadlock::cycles(&locks);
            let holders = deadlock::holders(&locks);
            Ok(Locks { locks, cycles, holders, problems })
        })
    }

    /// The locks that threads wait for, where they were asked for before.
    pub fn locks_if_known(&self) -> Option<Arc<Locks>> {
        self.locks.known()
    }

    /// Where the threads at these positions have taken the locks that they hold, as far as their code tells; parallel to
    /// `threads`.
    pub fn acquisitions(&self, threads: &[usize], job: &Job) -> Result<Vec<Vec<Acquisition>>, Error> {
        self.ask(job, |runtimes, scene, _| runtimes.acquisitions(scene, threads, job))
    }

    /// Every lock that someone holds or waits for, and the deadlocks. Searches memory for the former.
    pub fn all_locks(&self, job: &Job) -> Result<Arc<Locks>, Error> {
        self.all_locks.get(job, |job| {
            let waited = self.locks(job)?;
            let mut held = self.ask(job, |runtimes, scene, _| runtimes.held_locks(scene, &waited.locks, job))?;
            self.doubt_locks(&mut held.value, &self.stacks(job)?);
            Ok(Locks {
                locks: waited.locks.iter().cloned().chain(held.value).collect(),
                cycles: waited.cycles.clone(),
                holders: waited.holders.clone(),
                problems: waited.problems.iter().cloned().chain(held.problems).collect(),
            })
        })
    }

    /// Exceptions in flight and the fatal signal, the fatal one first.
    pub fn exceptions(&self, job: &Job) -> Result<Arc<Partial<Vec<Exception>>>, Error> {
        self.exceptions
            .get(job, |job| self.ask(job, |runtimes, scene, unwinder| runtimes.exceptions(scene, unwinder, job)))
    }

    /// Whether the objects of a heap can be listed; the heap is not looked at.
    pub fn has_heap(&self, job: &Job) -> bool {
        self.runtimes(job).is_ok_and(|runtimes| runtimes.has_heap(&self.target, job))
    }

    /// Whether a collector frees what nothing refers to in that heap; it is not looked at.
    pub fn has_collected_heap(&self, job: &Job) -> bool {
        self.runtimes(job).is_ok_and(|runtimes| runtimes.has_collected_heap(&self.target, job))
    }

    /// The heap of a runtime; fails where no runtime has one whose objects can be listed, or it cannot be read.
    pub fn heap(&self, job: &Job) -> Result<Arc<Heap>, Error> {
        self.heap.get(job, |job| match self.runtimes(job)?.heap(&self.target, job)? {
            Some(source) => Ok(Heap::new(source)),
            None => Err(Error::Failed(
                "no allocator that is known is recognised in this process; 'heap -regions' lists what its memory is used for".to_owned(),
            )),
        })
    }

    fn ask<T>(
        &self,
        job: &Job,
        ask: impl Fn(&Runtimes, &Scene<'_>, &Unwinder) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let stacks = self.stacks(job)?;
        let understood = self.understood(job)?;
        let runtimes = &understood.runtimes;
        ask(runtimes, &runtimes.scene(&self.target, self.os_threads(), &stacks), &understood.unwinder)
    }

    /// What is damaged or missing in the dump, its modules' files and the heap, as far as they were read.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = self.target.capture.problems.clone();
        problems.extend(self.target.problems());
        problems.extend(self.understood.known().iter().flat_map(|understood| understood.runtimes.problems.clone()));
        problems.extend(self.heap.known().iter().flat_map(|heap| heap.source.problems()));
        problems
    }

    /// The value of an expression (`order->items[2]`). Names are those of a frame, if one is given (the thread's position in the one
    /// order, the logical frame), and of global variables.
    pub fn evaluate(&self, text: &str, frame: Option<(usize, usize)>, job: &Job) -> Result<Evaluated, Error> {
        let stack = frame.map(|(index, _)| self.stack(index, job)).transpose()?;
        let named = stack.as_ref().map(|stack| self.named(stack)).unwrap_or_default();
        let frame = frame.and_then(|(_, frame)| named.get(frame));
        let of_runtime = |name: &str| {
            let frame = frame.filter(|frame| frame.kind == FrameKind::Managed)?;
            let all = self.variables(stack.as_ref()?, std::slice::from_ref(frame), job).ok()?;
            let variable = all.into_iter().next()??.into_iter().find(|own| own.name.as_deref() == Some(name))?;
            Some(variable.value)
        };
        let not_theirs = match self.runtimes(job)?.evaluate(text, &of_runtime, job) {
            Ok(Some(value)) => return Ok(Evaluated { value, globals: Vec::new() }),
            Ok(None) => None,
            Err(Error::Cancelled) => return Err(Error::Cancelled),
            Err(why) => Some(why),
        };
        let local = |name: &str| variables::in_frame(&self.target, stack.as_ref()?, frame?, name);
        let module = frame.and_then(|frame| Some(self.target.module_at(frame.pc)?.index));
        let native = variables::evaluate(&Variables { target: &self.target, local: &local, module }, text, job);
        // What a runtime said of it counts where nothing else has it.
        match (native, not_theirs) {
            (Err(Error::Cancelled), _) => Err(Error::Cancelled),
            (Err(_), Some(why)) => Err(why),
            (native, _) => native,
        }
    }

    /// `g_orders`, `g_cache+0x8`: the data symbol that holds an address.
    pub fn symbol_at(&self, addr: Addr) -> Option<String> {
        let (_, symbol, offset) = self.target.object(addr)?;
        let name = symbols::demangle(&symbol.name);
        Some(if offset == 0 { name.into_owned() } else { format!("{name}+{offset:#x}") })
    }
}
