//! A dump's bytes become a [`Capture`]: memory, mappings, threads, what killed it. No unwinding, no names.

pub mod collect;
mod compressed;
mod contents;
mod elf_core;
pub mod exports;
pub mod facts;
mod foreign;
pub mod format;
pub mod held;
pub mod image;
pub mod kept;
pub mod memory;
mod module;
mod opened;
pub mod symbol_file;
mod touched;

pub use contents::{Capture, Process};
pub use facts::Facts;
pub use format::{FORMATS, Format, open, open_bytes};
pub use kept::Kept;
pub use memory::{Access, Memory, Origin, Region, Segment};
pub use module::{ImageKind, MappedFile, MappedModule, MappedPart, Role};
pub use opened::{HeapDump, Opened};
pub use touched::Touched;

use crate::model::Arch;

impl Capture {
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
}
