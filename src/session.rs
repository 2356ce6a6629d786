//! An opened target with memoised answers: every view asks here, nobody computes a thing twice.

mod doubtful;
mod mappings;
mod modules;
mod named_once;
mod snapshot;
mod verdict;
mod walked;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rayon::prelude::*;

use symbols::FileBytes;

use crate::analysis::deadlock::{self, Cycle, Holder};
use crate::analysis::motion::History;
use crate::analysis::triage::Finding;
use crate::capture;
use crate::capture::collect::{Identity, Request};
use crate::error::Error;
use crate::job::{Job, Shared};
use crate::model::{
    Acquisition, Addr, Exception, Lock, NamedFrame, OsThread, Partial, Problem, RecognisedRuntime, Stack, Thread, Tid,
    Variable,
};
use crate::runtimes::{self, Runtime, Scene};
use crate::target::{Search, Target};
use crate::unwind::Unwinder;
use crate::variables;

pub use self::snapshot::Snapshot;
use self::walked::Walked;

/// Locks with what follows from them.
#[derive(Debug, Default)]
pub struct Locks {
    /// Every lock that someone waits for, by address; in [`Session::all_locks`] then those that are held only.
    pub locks: Vec<Lock>,
    /// Deadlock cycles among them, certain ones first.
    pub cycles: Vec<Cycle>,
    /// Threads that others wait for and that wait for no thread, the one with the most waiters first.
    pub holders: Vec<Holder>,
    /// What is missing.
    pub problems: Vec<Problem>,
}

/// Where a dump comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file, as the user named it.
    File(PathBuf),
    /// Bytes that are at hand (the core that is built into the program), with a name for messages.
    Bytes(PathBuf, FileBytes),
    /// A live process, as it was when it was captured.
    Live(Arc<Snapshot>),
}

impl Source {
    /// What to call it.
    pub fn path(&self) -> &Path {
        match self {
            Source::File(path) | Source::Bytes(path, _) => path,
            Source::Live(snapshot) => &snapshot.path,
        }
    }
}

/// An opened dump.
pub struct Session {
    /// Where it comes from.
    pub source: Source,
    /// Where files are looked for.
    pub search: Search,
    /// The capture with its modules' files.
    pub target: Arc<Target>,
    unwinder: Unwinder,
    runtimes: Shared<Vec<Box<dyn Runtime>>>,
    recognised: Shared<Vec<RecognisedRuntime>>,
    stacks: Walked,
    reading_names: AtomicBool,
    threads: Shared<Partial<Vec<Thread>>>,
    locks: Shared<Locks>,
    all_locks: Shared<Locks>,
    exceptions: Shared<Partial<Vec<Exception>>>,
    verdict: Shared<Vec<Finding>>,
    /// Of a live process: what the captures so far say of its threads.
    history: Option<History>,
}

impl Session {
    /// Captures a live process and opens what was captured.
    pub fn live(request: &Request, search: &Search, job: &Job) -> Result<Session, Error> {
        let process = Identity::of(request.pid)?;
        let mut search = search.clone();
        // Its files are those that it sees, which in a container are not ours.
        if search.sysroot.is_none() && process.has_other_files() {
            search.sysroot = Some(format!("/proc/{}/root", request.pid).into());
        }
        search.opened.extend(process.deleted_program().map(Arc::new));
        let session = Session::open(Source::Live(Arc::new(Snapshot::take(process, request, job)?)), &search, job)?;
        session.with_history(&History::default(), Duration::ZERO, job)
    }

    /// Captures the same live process again; what it says of its threads' motion goes on from this session's.
    pub fn recapture(&self, job: &Job) -> Result<Session, Error> {
        let Source::Live(before) = &self.source else {
            return Err(Error::Failed("this is a dump, not a live process: it stays what it is".to_owned()));
        };
        let snapshot = Snapshot::take(before.process, &before.request, job)?;
        let passed = snapshot.taken.saturating_duration_since(before.taken);
        let session = Session::open(Source::Live(Arc::new(snapshot)), &self.search, job)?;
        session.with_history(self.history.as_ref().unwrap_or(&History::default()), passed, job)
    }

    fn with_history(mut self, before: &History, passed: Duration, job: &Job) -> Result<Session, Error> {
        let stacks = self.stacks(job)?;
        let threads = self.os_threads().iter().map(|thread| thread.tid).zip(stacks.iter().map(AsRef::as_ref));
        let passed_ms = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
        self.history = Some(before.after(passed_ms, threads));
        Ok(self)
    }

    /// How long the live process was stopped for this capture; `None` for a dump.
    pub fn pause(&self) -> Option<Duration> {
        match &self.source {
            Source::Live(snapshot) => Some(snapshot.pause),
            Source::File(_) | Source::Bytes(..) => None,
        }
    }

    /// Of a live process: what the captures so far say of its threads; `None` for a dump.
    pub fn history(&self) -> Option<&History> {
        self.history.as_ref()
    }

    /// Opens a dump: headers, notes, the modules' files. Walks and names nothing yet.
    pub fn open(source: Source, search: &Search, job: &Job) -> Result<Session, Error> {
        let capture = match &source {
            Source::File(path) => capture::open(path, job)?,
            Source::Bytes(path, bytes) => capture::open_bytes(bytes.clone(), path, job)?,
            Source::Live(snapshot) => {
                let mut capture = capture::open_bytes(snapshot.bytes.clone(), &snapshot.path, job)?;
                // Some are told by the note of the core, too.
                let told = std::mem::take(&mut capture.problems);
                let fresh = snapshot.problems.iter().filter(|problem| !told.contains(problem)).cloned();
                capture.problems = told.iter().cloned().chain(fresh).collect();
                capture
            }
        };
        let target = Arc::new(Target::open(capture, search, job));
        let stacks = Walked::of(target.capture.threads.len());
        Ok(Session {
            source,
            search: search.clone(),
            unwinder: Unwinder::new(Arc::clone(&target)),
            target,
            runtimes: Shared::default(),
            recognised: Shared::default(),
            stacks,
            reading_names: AtomicBool::new(false),
            threads: Shared::default(),
            locks: Shared::default(),
            all_locks: Shared::default(),
            exceptions: Shared::default(),
            verdict: Shared::default(),
            history: None,
        })
    }

    /// The same dump, with files looked for elsewhere.
    pub fn reopen(&self, search: &Search, job: &Job) -> Result<Session, Error> {
        let session = Session::open(self.source.clone(), search, job)?;
        Ok(Session { history: self.history.clone(), ..session })
    }

    /// The runtimes in the target; looked for on the first call.
    fn runtimes(&self, job: &Job) -> Result<Arc<Vec<Box<dyn Runtime>>>, Error> {
        self.runtimes.get(job, |_| Ok(runtimes::detect(&self.target)))
    }

    /// The runtimes in the target, understood or not; looked for on the first call.
    pub fn recognised(&self, job: &Job) -> Result<Arc<Vec<RecognisedRuntime>>, Error> {
        self.recognised.get(job, |_| Ok(runtimes::recognise(&self.target)))
    }

    /// The threads as the dump records them, in the one order.
    pub fn os_threads(&self) -> &[OsThread] {
        &self.target.capture.threads
    }

    /// Position of a thread in the one order.
    pub fn index_of(&self, tid: Tid) -> Option<usize> {
        self.os_threads().iter().position(|thread| thread.tid == tid)
    }

    /// The stack of the thread at `index`; walked on the first call. `None` past the last thread. A cancelled walk is
    /// returned as far as it came and not kept.
    pub fn stack(&self, index: usize, job: &Job) -> Option<Arc<Stack>> {
        let thread = self.os_threads().get(index)?;
        if let Some(known) = self.stacks.get(index) {
            return Some(known);
        }
        let walked = Arc::new(self.unwinder.walk(thread, job));
        if job.is_cancelled() { Some(walked) } else { self.stacks.keep(index, walked) }
    }

    /// The stacks of all threads, parallel to [`Session::os_threads`]; walked in parallel. Who asks for all will name them: the
    /// first call begins to read the names meanwhile.
    pub fn stacks(&self, job: &Job) -> Result<Vec<Arc<Stack>>, Error> {
        if !self.reading_names.swap(true, Ordering::Relaxed) {
            self.target.read_names_ahead();
        }
        job.phase("walking stacks", self.stacks.len() as u64);
        (0..self.stacks.len())
            .into_par_iter()
            .map(|index| {
                job.advance(1)?;
                self.stack(index, job).ok_or_else(|| Error::Failed(format!("no thread {index}")))
            })
            .collect()
    }

    /// A stack with names: inlined calls expanded, innermost first.
    pub fn named(&self, stack: &Stack) -> Vec<NamedFrame> {
        self.target.named(&stack.frames)
    }

    /// The arguments and local variables of the first `limit` named frames, parallel to [`Session::named`] and maybe shorter;
    /// `None` for a frame that no debug information describes.
    pub fn variables(&self, stack: &Stack, limit: usize) -> Vec<Option<Vec<Variable>>> {
        variables::of_stack(&self.target, stack, limit)
    }

    /// The unwinder over this target.
    pub fn unwinder(&self) -> &Unwinder {
        &self.unwinder
    }

    /// Every thread as shown.
    pub fn threads(&self, job: &Job) -> Result<Arc<Partial<Vec<Thread>>>, Error> {
        self.threads.get(job, |job| self.union(job, |runtime, scene| runtime.threads(scene, job)))
    }

    /// The threads as shown, where they were asked for before: for labels that are not worth computing them.
    pub fn threads_if_known(&self) -> Option<Arc<Partial<Vec<Thread>>>> {
        self.threads.known()
    }

    /// Every lock that someone waits for, and the deadlocks.
    pub fn locks(&self, job: &Job) -> Result<Arc<Locks>, Error> {
        self.locks.get(job, |job| {
            let Partial { value: mut locks, problems } = self.union(job, |runtime, scene| runtime.locks(scene, job))?;
            self.doubt_locks(&mut locks, &self.stacks(job)?);
            let cycles = deadlock::cycles(&locks);
            let holders = deadlock::holders(&locks);
            Ok(Locks { locks, cycles, holders, problems })
        })
    }

    /// Where the threads at these positions have taken the locks that they hold, as far as their code tells; parallel to
    /// `threads`.
    pub fn acquisitions(&self, threads: &[usize], job: &Job) -> Result<Vec<Vec<Acquisition>>, Error> {
        let stacks = self.stacks(job)?;
        let scene = Scene { target: &self.target, threads: self.os_threads(), stacks: &stacks };
        let mut all = vec![Vec::new(); threads.len()];
        for runtime in self.runtimes(job)?.iter() {
            for (all, more) in all.iter_mut().zip(runtime.acquisitions(&scene, threads, job)?) {
                all.extend(more);
            }
        }
        Ok(all)
    }

    /// Every lock that someone holds or waits for, and the deadlocks. Searches memory for the former.
    pub fn all_locks(&self, job: &Job) -> Result<Arc<Locks>, Error> {
        self.all_locks.get(job, |job| {
            let waited = self.locks(job)?;
            let mut held = self.union(job, |runtime, scene| runtime.held_locks(scene, job))?;
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
        self.exceptions.get(job, |job| {
            let mut all = self.union(job, |runtime, scene| runtime.exceptions(scene, &self.unwinder, job))?;
            // One thing ended the process: the first runtime that tells it is right.
            let mut told = false;
            all.value.retain(|exception| !exception.fatal || !std::mem::replace(&mut told, true));
            Ok(all)
        })
    }

    fn union<T>(
        &self,
        job: &Job,
        ask: impl Fn(&dyn Runtime, &Scene<'_>) -> Result<Partial<Vec<T>>, Error>,
    ) -> Result<Partial<Vec<T>>, Error> {
        let stacks = self.stacks(job)?;
        let scene = Scene { target: &self.target, threads: self.os_threads(), stacks: &stacks };
        let mut all = Partial { value: Vec::new(), problems: Vec::new() };
        for runtime in self.runtimes(job)?.iter() {
            let Partial { value, problems } = ask(runtime.as_ref(), &scene)?;
            all.value.extend(value);
            all.problems.extend(problems);
        }
        Ok(all)
    }

    /// What is damaged or missing in the dump and its modules' files.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = self.target.capture.problems.clone();
        problems.extend(self.target.problems());
        problems
    }

    /// `g_orders`, `g_cache+0x8`: the data symbol that holds an address.
    pub fn symbol_at(&self, addr: Addr) -> Option<String> {
        let (_, symbol, offset) = self.target.object(addr)?;
        let name = symbols::demangle(&symbol.name);
        Some(if offset == 0 { name.into_owned() } else { format!("{name}+{offset:#x}") })
    }
}
