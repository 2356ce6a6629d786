//! An opened dump with memoised answers: every view asks here, nobody computes a thing twice.
//!
//! A dump of a process has memory, modules and threads ([`Process`]); a heap dump has objects alone.

mod answers;
mod asked;
mod doubtful;
mod heap;
mod mappings;
mod modules;
mod named_once;
mod process;
mod snapshot;
mod verdict;
mod walked;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use symbols::FileBytes;

use crate::analysis::deadlock::{Cycle, Holder};
use crate::analysis::motion::History;
use crate::capture::collect::{Identity, Request};
use crate::capture::{self, FORMATS, Format, Opened, Touched};
use crate::error::Error;
use crate::job::Job;
use crate::model::{Lock, Problem};
use crate::runtimes::{RUNTIMES, RuntimeKind};
use crate::target::{Search, Target};

pub use crate::capture::HeapDump;
pub use crate::runtimes::{Runtimes, Scene, coreclr};

pub use self::heap::Heap;
pub use self::mappings::{MemoryPart, Uses};
pub use self::process::Process;
pub use self::snapshot::Snapshot;
pub use crate::variables::Evaluated;

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
    what: What,
    epoch: u64,
}

/// What was dumped.
enum What {
    Process(Box<Process>),
    Heap(HeapDump, Arc<Heap>),
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
        session.after(&History::default(), Duration::ZERO, job)
    }

    /// Captures the same live process again; what it says of its threads' motion goes on from this session's.
    pub fn recapture(&self, job: &Job) -> Result<Session, Error> {
        let Source::Live(before) = &self.source else {
            return Err(Error::Failed("this is a dump, not a live process: it stays what it is".to_owned()));
        };
        let snapshot = Snapshot::take(before.process, &before.request, job)?;
        let passed = snapshot.taken.saturating_duration_since(before.taken);
        let session = Session::open(Source::Live(Arc::new(snapshot)), &self.search, job)?;
        let session = session.after(self.history().unwrap_or(&History::default()), passed, job)?;
        Ok(Session { epoch: self.epoch.saturating_add(1), ..session })
    }

    fn after(self, before: &History, passed: Duration, job: &Job) -> Result<Session, Error> {
        let what = match self.what {
            What::Process(process) => What::Process(Box::new(process.after(before, passed, job)?)),
            heap @ What::Heap(..) => heap,
        };
        Ok(Session { what, ..self })
    }

    /// Opens a dump of one of the product's formats: headers, notes, the modules' files. Walks and names nothing yet.
    pub fn open(source: Source, search: &Search, job: &Job) -> Result<Session, Error> {
        Session::open_with(FORMATS, RUNTIMES, source, search, job)
    }

    /// Opens a dump of one of these formats, and understands these runtimes in it.
    pub fn open_with(
        formats: &[Format],
        runtimes: &'static [RuntimeKind],
        source: Source,
        search: &Search,
        job: &Job,
    ) -> Result<Session, Error> {
        let mut opened = match &source {
            Source::File(path) => capture::open(path, formats, job)?,
            Source::Bytes(path, bytes) => capture::open_bytes(bytes.clone(), path, formats, job)?,
            Source::Live(snapshot) => capture::open_bytes(snapshot.bytes.clone(), &snapshot.path, formats, job)?,
        };
        if let Source::Live(snapshot) = &source {
            // Some are told by the note of the core, too.
            Problem::join(opened.problems_mut(), snapshot.problems.iter().cloned());
        }
        let what = match opened {
            Opened::Process(capture) => {
                What::Process(Box::new(Process::open(Arc::from(capture), runtimes, search, job)?))
            }
            Opened::Heap(dump) => {
                let heap = Heap::new(Arc::clone(&dump.source));
                What::Heap(dump, Arc::new(heap))
            }
        };
        Ok(Session { source, search: search.clone(), what, epoch: 0 })
    }

    /// Opens a core in memory, and notes from then on which of its pages are read.
    pub fn recorded(bytes: FileBytes, job: &Job) -> Result<(Session, Arc<Touched>), Error> {
        let (path, search) = (PathBuf::from("core"), Search::default());
        let mut capture = capture::open_bytes(bytes.clone(), &path, FORMATS, job)?.process()?;
        let touched = capture.memory.record();
        let process = Process::open(Arc::new(capture), RUNTIMES, &search, job)?;
        let what = What::Process(Box::new(process));
        Ok((Session { source: Source::Bytes(path, bytes), search, what, epoch: 0 }, touched))
    }

    /// When the dump's file was written; `None` where it has none.
    pub fn written(&self) -> Option<SystemTime> {
        match &self.source {
            Source::File(path) => std::fs::metadata(path).and_then(|file| file.modified()).ok(),
            Source::Bytes(..) | Source::Live(_) => None,
        }
    }

    /// The same dump, with files looked for elsewhere. It is not read again: what the dump itself tells is kept, what rests on names or
    /// on the files' unwind tables is asked anew. Fails where the job is cancelled.
    pub fn reopen(&self, search: &Search, job: &Job) -> Result<Session, Error> {
        let what = match &self.what {
            What::Process(process) => What::Process(Box::new(process.reopen(search, job)?)),
            What::Heap(dump, heap) => What::Heap(dump.clone(), Arc::clone(heap)),
        };
        let (source, search) = (self.source.clone(), search.clone());
        Ok(Session { source, search, what, epoch: self.epoch.saturating_add(1) })
    }

    /// How often what is open was replaced, by other files for its modules or another capture: answers of an earlier one are stale.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The process that was dumped; a heap dump has none, and says so.
    pub fn process(&self) -> Result<&Process, Error> {
        match &self.what {
            What::Process(process) => Ok(process),
            What::Heap(dump, _) => Err(Error::Failed(format!(
                "a heap dump has no threads, modules or memory: this one ({}) holds objects alone; 'dumpheap' lists them",
                dump.format
            ))),
        }
    }

    /// The heap dump, where that is what was opened.
    pub fn heap_dump(&self) -> Option<&HeapDump> {
        match &self.what {
            What::Process(_) => None,
            What::Heap(dump, _) => Some(dump),
        }
    }

    /// The capture with its modules' files, where it is of a process.
    pub fn target(&self) -> Result<&Arc<Target>, Error> {
        self.process().map(|process| &process.target)
    }

    /// How long the live process was stopped for this capture; `None` for a dump.
    pub fn pause(&self) -> Option<Duration> {
        match &self.source {
            Source::Live(snapshot) => Some(snapshot.pause),
            Source::File(_) | Source::Bytes(..) => None,
        }
    }

    /// When the live process was captured; `None` for a dump.
    pub fn captured(&self) -> Option<Instant> {
        match &self.source {
            Source::Live(snapshot) => Some(snapshot.taken),
            Source::File(_) | Source::Bytes(..) => None,
        }
    }
}
