//! An opened target with memoised answers: every view asks here, nobody computes a thing twice.

mod doubtful;
mod mappings;
mod named_once;
mod snapshot;
mod walked;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rayon::prelude::*;

use symbols::{Attempt, FileBytes, Outcome, SourceKind, SymbolSource};

use crate::analysis::deadlock::{self, Cycle, Holder};
use crate::analysis::motion::History;
use crate::analysis::triage::{self, Case, Finding};
use crate::capture;
use crate::capture::collect::{Identity, Request};
use crate::error::Error;
use crate::job::{Job, Shared};
use crate::model::frame::path;
use crate::model::thread::{CallKind, WaitKind};
use crate::model::{
    Addr, Detail, Exception, FatalSignal, Frame, Lock, ModuleRow, NamedFrame, OsThread, Partial, Problem,
    RecognisedRuntime, Stack, SymbolState, Taking, Thread, Tid, Variable,
};
use crate::runtimes::{self, Runtime, Scene};
use crate::target::{Search, Target};
use crate::unwind::Unwinder;
use crate::variables;

use self::named_once::NamedOnce;
pub use self::snapshot::Snapshot;
use self::walked::Walked;

/// Physical frames of each thread that triage looks at: its rules compare and tell inner ones.
const VERDICT_FRAMES: usize = 64;

/// Holders in event loops whose code is looked at: a process has few.
const MAX_LOOPS: usize = 16;

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
    pub fn takings(&self, threads: &[usize], job: &Job) -> Result<Vec<Vec<Taking>>, Error> {
        let stacks = self.stacks(job)?;
        let scene = Scene { target: &self.target, threads: self.os_threads(), stacks: &stacks };
        let mut all = vec![Vec::new(); threads.len()];
        for runtime in self.runtimes(job)?.iter() {
            for (all, more) in all.iter_mut().zip(runtime.takings(&scene, threads, job)?) {
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

    /// What triage concludes, the most severe first. Names the inner frames of every stack.
    pub fn verdict(&self, job: &Job) -> Result<Arc<Vec<Finding>>, Error> {
        self.verdict.get(job, |job| {
            let (threads, locks, exceptions) = (self.threads(job)?, self.locks(job)?, self.exceptions(job)?);
            let fatal = exceptions.value.iter().find(|exception| exception.fatal && exception.tid.is_some());
            let is_fatal = |thread: &OsThread| fatal.is_some_and(|fatal| fatal.tid == Some(thread.tid));
            job.phase("naming stacks", self.os_threads().len() as u64);
            // The fatal exception has its thread's named stack already, which may be the one of 200,000 frames.
            let walked = self.stacks(job)?;
            let inner = walked.iter().map(|stack| stack.frames.get(..VERDICT_FRAMES).unwrap_or(&stack.frames));
            let inner: Vec<&[Frame]> = self
                .os_threads()
                .iter()
                .zip(inner)
                .map(|(thread, inner)| if is_fatal(thread) { &[] } else { inner })
                .collect();
            let named = NamedOnce::new(&inner, |frames| {
                job.advance(1)?;
                Ok(self.target.named(frames))
            })?;
            let stacks: Vec<&[NamedFrame]> = (self.os_threads().iter().enumerate())
                .map(|(index, thread)| match fatal.filter(|_| is_fatal(thread)) {
                    Some(fatal) => &fatal.frames,
                    None => named.of(index),
                })
                .collect();
            let taken = self.taken_in_loops(&threads.value, &locks.holders, job)?;
            Ok(triage::verdict(&Case {
                pid: self.target.capture.process.pid.as_ref().ok().copied(),
                threads: &threads.value,
                stacks: &stacks,
                locks: &locks.locks,
                cycles: &locks.cycles,
                holders: &locks.holders,
                taken: &taken,
                exceptions: &exceptions.value,
                signal: self.ending_signal(&exceptions.value),
                problems: &self.problems(),
                doubtful: &self.doubtful_modules(),
                stop_signal: self.target.capture.facts.as_ref().and_then(|facts| facts.stop_signal),
                runtimes: &self.recognised(job)?,
            }))
        })
    }

    /// The locks that holders which wait for events have taken in functions that have not returned, apart from those that they began with.
    fn taken_in_loops(&self, threads: &[Thread], holders: &[Holder], job: &Job) -> Result<Vec<Addr>, Error> {
        let waits_for_events = |thread: &Thread| {
            thread.waiting_on.as_ref().is_some_and(|waiting| waiting.kind == WaitKind::Call(CallKind::Epoll))
        };
        let held_by = |tid| holders.iter().any(|holder| holder.tid == tid && holder.waiters.len() > 1);
        let indices: Vec<usize> = threads
            .iter()
            .filter(|thread| waits_for_events(thread) && held_by(thread.tid))
            .filter_map(|thread| self.index_of(thread.tid))
            .take(MAX_LOOPS)
            .collect();
        let stacks = self.stacks(job)?;
        let mut taken = Vec::new();
        for (index, takings) in indices.iter().zip(self.takings(&indices, job)?) {
            let tid = self.os_threads().get(*index).map(|thread| thread.tid);
            let start = threads
                .iter()
                .find(|thread| Some(thread.tid) == tid)
                .and_then(|thread| thread.start.as_deref())
                .map(path);
            // What main, or where else the thread began, took before its loop it keeps for as long as it runs.
            let is_start = |taking: &Taking| {
                let frame = stacks.get(*index).and_then(|stack| stack.frames.get(taking.frame));
                let named = frame.map(|frame| self.target.named(std::slice::from_ref(frame))).unwrap_or_default();
                start.is_some() && named.iter().any(|frame| frame.function.as_deref().map(path) == start)
            };
            taken.extend(takings.iter().filter(|taking| !is_start(taking)).map(|taking| taking.lock));
        }
        Ok(taken)
    }

    /// The signal that ended the process: where a runtime's own handler took one from outside and then raised another, that one.
    fn ending_signal<'a>(&'a self, exceptions: &'a [Exception]) -> Option<&'a FatalSignal> {
        let told = exceptions.iter().find(|exception| exception.fatal).and_then(|fatal| match &fatal.detail {
            Detail::Signal { signal, .. } if signal.was_sent() => Some(signal),
            _ => None,
        });
        told.or_else(|| self.target.capture.signal.as_ref().ok().and_then(Option::as_ref))
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

    /// Every module with where its symbols came from. Opens every module's symbols.
    pub fn modules(&self, job: &Job) -> Result<Vec<ModuleRow>, Error> {
        job.phase("looking for symbols", self.target.modules.len() as u64);
        self.target
            .modules
            .par_iter()
            .map(|module| {
                job.advance(1)?;
                let debug = module.debug();
                let sources = module.symbols().sources();
                let kind = best_source(&sources);
                let from_dump = sources.iter().any(|source| source_word(source.kind) == kind && source.path.is_none());
                let has_file = module.code.path.is_some() || module.mapped.is_vdso();
                let missing = !has_file || kind == "none";
                // A file that was there and refused is always named; places without a file only where something is missing.
                let attempts = module.code.attempts.iter().chain(&debug.attempts);
                let tried = attempts.filter(|attempt| missing || is_telling(&attempt.outcome));
                Ok(ModuleRow {
                    base: module.mapped.base,
                    end: module.mapped.end,
                    path: module.mapped.path.clone(),
                    build_id: module.mapped.build_id.as_ref().ok().and_then(Option::as_ref).map(ToString::to_string),
                    symbols: SymbolState {
                        kind: kind.to_owned(),
                        source: from_dump.then(|| "the dump".to_owned()),
                        file: module.code.path.as_ref().map(|path| path.display().to_string()),
                        debug_file: debug.path.as_ref().map(|path| path.display().to_string()),
                        tried: tried.map(attempt_words).collect(),
                        verification: module.verification(),
                    },
                })
            })
            .collect()
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

/// The best kind of names among a module's tables.
fn best_source(sources: &[SymbolSource]) -> &'static str {
    let has = |kind| sources.iter().any(|source| source.kind == kind && source.problem.is_none() && source.size > 0);
    let best = [
        SourceKind::Dwarf,
        SourceKind::Symbols,
        SourceKind::GoTable,
        SourceKind::MiniSymbols,
        SourceKind::DynamicSymbols,
    ];
    best.into_iter().find(|kind| has(*kind)).map_or("none", source_word)
}

fn source_word(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::Dwarf => "dwarf",
        SourceKind::Symbols => "symtab",
        SourceKind::GoTable => "gopclntab",
        SourceKind::MiniSymbols => "minidebuginfo",
        SourceKind::DynamicSymbols => "dynsym",
    }
}

/// Whether what came of a file is told although nothing is missing.
fn is_telling(outcome: &Outcome) -> bool {
    outcome.is_refusal() || matches!(outcome, Outcome::AcceptedUnverified(_))
}

fn attempt_words(attempt: &Attempt) -> String {
    format!("{}: {}", attempt.path.display(), attempt.outcome)
}
