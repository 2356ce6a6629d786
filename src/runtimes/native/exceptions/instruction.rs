//! What the faulting instruction wanted of memory, for either processor.

use crate::capture::Memory;
use crate::model::fault::{AccessKind, Operand};
use crate::model::{Addr, Arch, Known, Registers};

use super::{aarch64, x86};

/// One access of an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Access {
    /// Read or write. An instruction that does both (`add [mem], reg`) reads first.
    pub kind: AccessKind,
    /// Whether it also writes what it read.
    pub also_writes: bool,
    /// Bytes; `None` when the instruction does not say.
    pub bytes: Option<u32>,
    /// What forms its address.
    pub operand: Operand,
}

/// What is special about an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Special {
    /// `ud2`: put there by a compiler for code that must not be reached.
    Trap,
    /// `int3`.
    Breakpoint,
    /// `hlt`: for the kernel only, and what musl stops a program with.
    Halt,
    /// For the kernel only: `in`, `mov cr0` …
    Privileged,
    /// A division by this value (`None`: not known).
    Divide(Option<u64>),
    /// Goes to this address, which its operand or the stack holds.
    Goto(Addr),
}

/// An instruction's facts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Decoded {
    /// Memory accesses, explicit ones first.
    pub accesses: Vec<Access>,
    /// What else it does that can fault.
    pub special: Option<Special>,
}

/// Decodes the instruction at `pc`. `thread_pointer` is the base of thread-local operands.
pub(super) fn decode(memory: &Memory, pc: Addr, registers: &Registers, thread_pointer: Option<Addr>) -> Known<Decoded> {
    match registers.arch() {
        Arch::X86_64 => x86::decode(memory, pc, registers, thread_pointer),
        Arch::Aarch64 => {
            let access = aarch64::decode(memory.u32(pc)?, registers)?;
            Ok(Decoded { accesses: vec![access], special: None })
        }
    }
}
