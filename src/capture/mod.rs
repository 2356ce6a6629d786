//! A dump's bytes become a [`Capture`]: memory, mappings, threads, what killed it. No unwinding, no names.

pub mod collect;
mod compressed;
mod elf_core;
pub mod exports;
pub mod facts;
pub mod format;
pub mod held;
pub mod image;
pub mod kept;
pub mod memory;
mod opened;
pub mod symbol_file;

use std::ops::Range;
use std::path::PathBuf;

pub use facts::Facts;
pub use format::{FORMATS, Format, open, open_bytes};
pub use kept::Kept;
pub use memory::{Access, Memory, Origin, Region, Segment};
pub use opened::{HeapDump, Opened};
use symbols::BuildId;

use crate::model::{Addr, Arch, FatalSignal, Known, OsThread, Problem};

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
    /// Threads in the one order: the one that took the fatal signal first, then the dump's.
    pub threads: Vec<OsThread>,
    /// The process.
    pub process: Process,
    /// The signal that ended it; `Ok(None)` when the dump was taken from a process that went on.
    pub signal: Known<Option<FatalSignal>>,
    /// The auxiliary vector: (type, value).
    pub auxv: Vec<(u64, u64)>,
    /// Mappings of files, shared memory among them, ascending; `None` where the dump does not list all of them.
    pub files: Option<Vec<Range<Addr>>>,
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

/// A module as mapped, before its file is looked for.
#[derive(Debug, Clone)]
pub struct MappedModule {
    /// Lowest mapped address.
    pub base: Addr,
    /// One past the highest mapped address.
    pub end: Addr,
    /// What is added to an address stated in the file to get one of the target. `None` while the file's program
    /// headers are unknown (not in the dump, file not at hand).
    pub bias: Option<u64>,
    /// Path as recorded; `None` for the vDSO.
    pub path: Option<String>,
    /// Build id from the dump's own pages.
    pub build_id: Known<Option<BuildId>>,
    /// Mapped parts of the file, ascending: (start, end, offset in the file, bytes).
    pub parts: Vec<MappedPart>,
    /// Other places where its instructions are mapped, ascending: a program may map its own file again (V8 does for each
    /// isolate).
    pub copies: Vec<MappedPart>,
    /// What kind of module it is.
    pub role: Role,
    /// Where its `.eh_frame` is and how many bytes that has, as the dump tells of a module without PT_GNU_EH_FRAME.
    pub eh_frame: Option<(Addr, u64)>,
}

impl MappedModule {
    /// Whether it is the kernel's own, which has no file anywhere.
    pub fn is_vdso(&self) -> bool {
        self.role == Role::Vdso
    }
}

/// A mapped part of a module's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MappedPart {
    /// First address.
    pub start: Addr,
    /// One past the last.
    pub end: Addr,
    /// Offset in the file, in bytes.
    pub offset: u64,
}

/// What a module is to the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The main executable.
    Executable,
    /// A shared library (the loader among them).
    Library,
    /// The kernel's vDSO.
    Vdso,
}

impl Capture {
    /// How much of the dump's file is there, in percent, rounded down; `None` where all is.
    pub fn present_percent(&self) -> Option<u8> {
        let percent = u128::from(self.file_size).saturating_mul(100).checked_div(u128::from(self.announced))?;
        (self.file_size < self.announced).then(|| u8::try_from(percent).unwrap_or(100))
    }

    /// Completes what a dump without code cannot tell, once `memory` has the modules' files beneath: the system calls of aarch64 threads.
    pub fn complete(&mut self, memory: &Memory) {
        if self.arch != Arch::Aarch64 {
            return;
        }
        for thread in self.threads.iter_mut().filter(|thread| thread.syscall.is_none()) {
            thread.syscall =
                thread.registers.as_ref().ok().and_then(|registers| elf_core::aarch64_syscall(registers, memory));
        }
    }

    /// Whether the dump's file became shorter while it was open: what was cut off has been read as zeros.
    pub fn shrank(&self) -> bool {
        self.memory.segments().iter().any(|segment| segment.origin == Origin::Dump && segment.bytes.was_truncated())
    }
}
