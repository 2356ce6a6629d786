//! What a dump of a process holds.

use std::ops::Range;
use std::path::PathBuf;

use super::facts::Facts;
use super::kept::Kept;
use super::memory::{Memory, Origin};
use super::module::{MappedFile, MappedModule};
use crate::model::{Addr, Arch, Cause, FatalSignal, Known, OsThread, Problem};

/// A process as its dump records it.
#[derive(Clone, Debug)]
pub struct Capture {
    /// The dump's file.
    pub path: PathBuf,
    /// What it is, in words: `ELF core from the Linux kernel`.
    pub format: &'static str,
    /// The target's processor.
    pub arch: Arch,
    /// The dump's own memory (no file pages).
    pub memory: Memory,
    /// Modules, ascending by base.
    pub modules: Vec<MappedModule>,
    /// Threads in the one order: the one that crashed first, then the dump's.
    pub threads: Vec<OsThread>,
    /// The process.
    pub process: Process,
    /// What ended it; `Ok(None)` when the dump was taken from a process that went on.
    pub cause: Known<Option<Cause>>,
    /// Mappings of files, shared memory among them, ascending; `None` where the dump does not list all of them.
    pub files: Option<Vec<Range<Addr>>>,
    /// Those of files that are called as assemblies of .NET are, and of the executable outside of its image; empty where the dump does not list them.
    pub assemblies: Vec<MappedFile>,
    /// What the kernel told of the process beside its memory, where `collect` wrote the dump.
    pub facts: Option<Box<Facts>>,
    /// Files of modules that the dump holds beside its memory.
    pub kept: Vec<Kept>,
    /// What is damaged or missing.
    pub problems: Vec<Problem>,
    /// Bytes of the dump's file.
    pub file_size: u64,
    /// Bytes that it would have, were all there that its headers announce; never less than `file_size`.
    pub announced: u64,
}

/// The process as a whole.
#[derive(Debug, Clone)]
pub struct Process {
    /// Its id.
    pub pid: Known<u32>,
    /// The process that made it, or that took it over.
    pub parent: Known<u32>,
    /// Name of the executable, at most 15 bytes (`pr_fname`), as the dump records it.
    pub name: Known<String>,
    /// Command line, at most 80 bytes (`pr_psargs`), spaces between arguments.
    pub args: Known<String>,
    /// User id.
    pub uid: Known<u32>,
}

impl Capture {
    /// What ended the process, where that is known and something did.
    pub fn cause(&self) -> Option<&Cause> {
        self.cause.as_ref().ok().and_then(Option::as_ref)
    }

    /// The signal that ended the process, where one did.
    pub fn signal(&self) -> Option<&FatalSignal> {
        self.cause().and_then(Cause::signal)
    }

    /// How much of the dump's file is there, in percent, rounded down; `None` where all is.
    pub fn present_percent(&self) -> Option<u8> {
        let percent = u128::from(self.file_size).saturating_mul(100).checked_div(u128::from(self.announced))?;
        (self.file_size < self.announced).then(|| u8::try_from(percent).unwrap_or(100))
    }

    /// Whether the dump's file became shorter while it was open: what was cut off has been read as zeros.
    pub fn shrank(&self) -> bool {
        self.memory.segments().iter().any(|segment| segment.origin == Origin::Dump && segment.bytes.was_truncated())
    }
}
