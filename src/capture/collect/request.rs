//! What is asked for when a process is dumped, and what came of it.

use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use symbols::FileBytes;

use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Problem};

/// What a dump holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// All memory, and the images of files.
    Full,
    /// All memory but images of files, of which only headers, symbols and unwind tables are kept.
    Heap,
    /// Stacks, modules and what names threads, locks and exceptions; not the heap.
    Mini,
    /// As `Mini`, without personal data: no text, no arguments, no environment, no paths.
    Triage,
}

impl Kind {
    /// The word on the command line and in the note.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Full => "full",
            Kind::Heap => "heap",
            Kind::Mini => "mini",
            Kind::Triage => "triage",
        }
    }
}

/// How the memory of a process is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The process is stopped until its memory is read.
    Direct,
    /// The process makes a child (fork), which shares its memory until either writes, and goes on at once; the child is
    /// read. One system call is made in the target for that. Where that is not safe, as `Direct`, which is said.
    Fork,
}

/// Where a core goes.
#[derive(Clone, Debug)]
pub enum Destination {
    /// A file, which must not exist; readable by its owner alone.
    File(PathBuf),
    /// Standard output.
    Stdout,
    /// Memory.
    Memory,
}

/// What is to be dumped, and how.
#[derive(Clone, Debug)]
pub struct Request {
    /// The process, in our PID namespace.
    pub pid: u32,
    /// What the dump holds.
    pub kind: Kind,
    /// How it is read.
    pub mode: Mode,
    /// Where it goes.
    pub to: Destination,
    /// Whether it is compressed (zstd).
    pub compress: bool,
    /// The longest time for which the process may be stopped; then it goes on and the dump fails.
    pub max_pause: Duration,
    /// Most bytes of memory that may be taken so that the stopped process waits for copying alone, and not for the
    /// disk; taken only as far as they can be spared. 0: the few buffers that there are always.
    pub buffer: u64,
    /// A process of ours that is told of the copy of [`Mode::Fork`], and is to call [`super::end_copy`] with what it
    /// was told where this process is killed. Without one a zombie of the copy stays behind then.
    pub guard: Option<Arc<UnixStream>>,
    /// Tells of a core in memory which of its memory is needed, where only who reads the runtime in it can tell: the rest of what the runtime has is
    /// left out of a mini or triage dump. Asked once the process goes on. `None`: all is kept.
    pub needed: Option<Needed>,
}

/// Which memory of a core is needed; ascending.
pub type Needed = fn(FileBytes, &Job) -> Result<Vec<Range<Addr>>, Error>;

/// A core that was written.
#[derive(Debug)]
pub struct Collected {
    /// Its file; `None` for another destination.
    pub path: Option<PathBuf>,
    /// The core itself, where it went to memory.
    pub bytes: Option<FileBytes>,
    /// Bytes of the core, holes included.
    pub size: u64,
    /// Bytes that were written.
    pub written: u64,
    /// How long the process was stopped.
    pub pause: Duration,
    /// Threads in it.
    pub threads: usize,
    /// The kernel's short name of the process.
    pub name: String,
    /// What is missing.
    pub problems: Vec<Problem>,
}
