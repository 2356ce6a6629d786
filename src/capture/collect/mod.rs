//! A live process becomes a core: stopped, read, let go again.
//!
//! Input: a process id, a type of dump, a destination. Output: an ELF core that gdb, lldb and .NET's tools read, with a note of our
//! own ([`crate::capture::facts`]). The order of things: what the kernel tells of the process is read while it still runs; all threads
//! are stopped; their registers and the list of mappings are read; memory goes to the sink; the threads go on. Nothing of the
//! target is changed, save in [`Mode::Fork`].

mod beyond;
mod copied;
mod copy;
mod deleted;
mod file_facts;
mod fork;
mod freeze;
mod gather;
mod guard;
mod holes;
mod identity;
mod images;
mod inject;
mod layout;
mod live;
mod maps;
mod mini;
mod notes;
mod others;
mod output;
mod packed;
mod pages;
mod peek;
mod run;
mod scene;
mod scrub;
mod select;
mod sink;
mod source;
mod spare;
mod stops;
mod text;
mod threads;
mod transfer;
mod unwind_table;
mod work;

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use symbols::FileBytes;

pub use self::guard::end_copy;
pub use self::identity::Identity;

use crate::error::Error;
use crate::job::Job;
use crate::model::Problem;

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
    /// The process makes a child (fork), which shares its memory until either writes, and goes on at once; the child is read. One system
    /// call is made in the target for that. Where that is not safe, as `Direct`, which is said.
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
    /// Most bytes of memory that may be taken so that the stopped process waits for copying alone, and not for the disk; taken only as far as
    /// they can be spared. 0: the few buffers that there are always.
    pub buffer: u64,
    /// A process of ours that is told of the copy of [`Mode::Fork`], and is to call [`end_copy`] with what it was told where this process
    /// is killed. Without one a zombie of the copy stays behind then.
    pub guard: Option<Arc<UnixStream>>,
}

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

/// Dumps a process. `say` is told of each step. Cancelling `job` lets the process go at once and leaves no file.
pub fn collect(request: &Request, job: &Job, say: &(dyn Fn(&str) + Sync)) -> Result<Collected, Error> {
    // Tracees belong to a thread, and go when it ends, however it ends.
    std::thread::scope(|scope| {
        let traced = scope.spawn(|| run::run(request, None, job, say));
        traced.join().unwrap_or_else(|_| Err(Error::Failed("a bug in dumpscope; the process goes on".to_owned())))
    })
}

/// Dumps a process all of whose threads that can be read are stopped already, traced by the thread that calls: by id, each with the
/// signal that it is about to take, 0 for none. They stay stopped. In other respects as [`collect`], always in [`Mode::Direct`].
pub fn collect_stopped(
    request: &Request,
    stopped: &[(u32, i32)],
    job: &Job,
    say: &(dyn Fn(&str) + Sync),
) -> Result<Collected, Error> {
    let request = Request { mode: Mode::Direct, ..request.clone() };
    run::run(&request, Some(stopped), job, say)
}

/// Removes what an unfinished dump has left, for a process that is about to end without unwinding.
pub fn abandon() {
    output::remove_partial();
}
