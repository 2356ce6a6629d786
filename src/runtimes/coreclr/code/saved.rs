//! Where registers lie that the runtime saves, and callers made of them.

use super::super::clr::{Clr, plus};
use crate::model::{Addr, Arch, Known, Register, Registers};
use crate::unwind::row::Caller;

/// DWARF numbers of the registers that the runtime saves, in its order: r12 r13 r14 r15 rbx rbp. Source: dotnet/runtime
/// src/coreclr/vm/amd64/cgencpu.h, ENUM_CALLEE_SAVED_REGISTERS of Unix.
pub(in crate::runtimes::coreclr) const SAVED: [u16; 6] = [12, 13, 14, 15, 3, 6];

/// Sets the registers that the runtime saves from where they lie one after the other.
pub(in crate::runtimes::coreclr) fn restore(clr: &Clr, registers: &mut Registers, from: Addr) -> Known<()> {
    for (register, offset) in SAVED.iter().zip((0u64..).step_by(8)) {
        registers.set(Register(*register), clr.memory().u64(plus(from, offset)?)?);
    }
    Ok(())
}

/// A caller with these registers, its instruction pointer and its stack pointer.
pub(super) fn moved(mut registers: Registers, pc: Addr, cfa: Addr) -> Option<Caller> {
    registers.set(Arch::X86_64.instruction_pointer(), pc.0);
    registers.set(Arch::X86_64.stack_pointer(), cfa.0);
    (pc.0 != 0).then_some(Caller { registers, cfa })
}
