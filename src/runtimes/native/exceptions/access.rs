//! What an instruction wants of memory, and what else of it can fault.

use crate::model::Addr;
use crate::model::fault::{AccessKind, Operand};

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
