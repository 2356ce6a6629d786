//! The chain of saved frame pointers: `rbp` (x29) points to the caller's, the return address lies above it.

use super::row::{Caller, without_signature};
use super::words::Words;
use crate::model::{Addr, Arch, Registers};

/// A frame that reaches farther than this from the stack pointer is not believed: the default stack of a thread is 8 MiB, and no frame
/// but the one that is about to overflow it takes an eighth.
const MAX_FRAME: u64 = 1 << 20;

/// The caller by the frame pointer, where it looks like one: aligned, above the stack pointer and near, and the saved one above it (or
/// zero, at the thread's first function). Whether its `pc` is a return address is for the caller to judge. Only the registers that the
/// chain restores are known; on aarch64 the stack pointer is not among them, since a frame record lies anywhere in its frame (AAPCS64
/// 6.4.6), and the frame address is a lower bound. `stack` is the callee's stack pointer.
pub(super) fn caller(callee: &Registers, stack: Addr, words: &Words<'_>) -> Option<Caller> {
    let arch = callee.arch();
    let fp = callee.fp()?;
    if !fp.is_aligned(8) || fp.since(stack)? > MAX_FRAME {
        return None;
    }
    let saved = words.get(fp).ok()?;
    let return_address = words.get(fp.plus(8)?).ok()?;
    if saved != 0 && saved <= fp.0 {
        return None;
    }
    let cfa = fp.plus(16)?;
    let mut registers = Registers::unknown(arch);
    registers.set(arch.instruction_pointer(), without_signature(arch, return_address));
    registers.set(arch.frame_pointer(), saved);
    if arch == Arch::X86_64 {
        registers.set(arch.stack_pointer(), cfa.0);
    }
    Some(Caller { registers, cfa })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Memory;
    use crate::model::Register;

    fn at(sp: u64, fp: u64, memory: &Memory) -> Option<Caller> {
        let mut registers = Registers::unknown(Arch::X86_64);
        registers.set(Register(6), fp);
        caller(&registers, Addr(sp), &Words::new(memory))
    }

    #[test]
    fn the_return_address_lies_above_the_saved_frame_pointer() {
        // sp → | local | saved rbp | return address |
        let memory = Memory::of(0x7000, &[0, 0x7040, 0x40_1005]);
        let caller = at(0x7000, 0x7008, &memory).unwrap();
        assert_eq!(caller.registers.pc(), Some(Addr(0x40_1005)));
        assert_eq!(caller.registers.sp(), Some(Addr(0x7018)));
        assert_eq!(caller.registers.fp(), Some(Addr(0x7040)));
        assert_eq!(caller.cfa, Addr(0x7018));
    }

    #[test]
    fn a_register_that_is_no_frame_pointer_is_refused() {
        let memory = Memory::of(0x7000, &[0, 0x6000, 0x40_1005]);
        assert!(at(0x7000, 0x7004, &memory).is_none(), "not aligned");
        assert!(at(0x7010, 0x7008, &memory).is_none(), "below the stack pointer");
        assert!(at(0x7000, 0x7008, &memory).is_none(), "the chain leads down");
        assert!(at(0x7000, 0x9000, &memory).is_none(), "not readable");
    }
}
