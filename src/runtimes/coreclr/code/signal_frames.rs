//! Where the kernel left the registers of code that a signal interrupted, on stacks of handlers.
//!
//! Input: the target's memory, of which the small segments that can be written are searched once. Output: signal frames, by the instruction
//! pointer and the frame pointer of the interrupted code.

use super::super::clr::plus;
use super::place::SignalFrames;
use crate::capture::Memory;
use crate::model::{Addr, Arch, Known, Register, Registers};
use crate::unwind::row::Caller;

/// Writable memory that is searched, in bytes of one segment: stacks of handlers are small.
const MAX_STACK: u64 = 1 << 20;
/// Most that are searched in all.
const MAX_SEARCHED: u64 = 1 << 30;
/// Most frames that are kept.
const MAX_FRAMES: usize = 1 << 16;
// Of the kernel's ucontext: 17 registers from 40 on, by their DWARF numbers, then flags and the selectors, of which cs is the first.
// Source: Linux arch/x86/include/uapi/asm/sigcontext.h, struct sigcontext_64; of cs arch/x86/include/asm/segment.h, __USER_CS. The selectors
// gs and fs behind it are 0 in programs of 64 bits.
const REGISTERS: u64 = 40;
const ORDER: [u16; 17] = [8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2, 7, 16];
const RBP: u64 = REGISTERS + 10 * 8;
const RIP: u64 = REGISTERS + 16 * 8;
const CS: u64 = REGISTERS + 18 * 8;
const SELECTORS: [u8; 6] = [0x33, 0, 0, 0, 0, 0];

/// Every signal frame on a small stack.
pub(super) fn find(memory: &Memory) -> SignalFrames {
    let mut found = SignalFrames::default();
    let mut left = MAX_SEARCHED;
    for segment in memory.segments().iter().filter(|segment| segment.bytes.len() as u64 <= MAX_STACK) {
        if memory.region_at(segment.start).is_some_and(|region| !region.access.write) {
            continue;
        }
        let Some(rest) = left.checked_sub(segment.bytes.len() as u64) else { break };
        left = rest;
        for place in memchr::memmem::find_iter(segment.bytes.as_ref(), &SELECTORS) {
            let context = segment.start.plus(place as u64).and_then(|at| at.minus(CS)).filter(|at| at.is_aligned(8));
            let key = context.and_then(|at| Some((memory.ptr(at.plus(RIP)?).ok()?, memory.u64(at.plus(RBP)?).ok()?)));
            if let (Some(context), Some(key)) = (context, key)
                && found.len() < MAX_FRAMES
            {
                found.entry(key).or_insert(context);
            }
        }
    }
    found
}

/// The interrupted code whose registers a signal frame holds.
pub(super) fn caller(memory: &Memory, context: Addr) -> Option<Caller> {
    let read = || -> Known<Registers> {
        let mut registers = Registers::unknown(Arch::X86_64);
        for (register, offset) in ORDER.iter().zip((REGISTERS..).step_by(8)) {
            registers.set(Register(*register), memory.u64(plus(context, offset)?)?);
        }
        Ok(registers)
    };
    let registers = read().ok()?;
    let cfa = registers.sp()?;
    Some(Caller { registers, cfa })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_frame_is_known_by_its_selectors_and_told_by_its_registers() {
        // The ucontext: 5 words, 17 registers, of which the 11th is rbp and the last two rsp and rip, flags, cs with ss.
        let mut words = vec![0; 5];
        words.extend((0..17).map(|number| 0x100 + number));
        words.extend([0x202, 0x2b_0000_0000_0033]);
        let memory = Memory::of(0x7000, &words);
        let found = find(&memory);
        assert_eq!(found.get(&(Addr(0x110), 0x10a)), Some(&Addr(0x7000)));
        assert_eq!(found.len(), 1);
        let told = caller(&memory, Addr(0x7000)).unwrap();
        assert_eq!(
            (told.cfa, told.registers.pc(), told.registers.fp()),
            (Addr(0x10f), Some(Addr(0x110)), Some(Addr(0x10a)))
        );
        assert_eq!(told.registers.get(Register(8)), Some(0x100), "r8 is the first");
        assert!(find(&Memory::of(0x7000, &words[..23])).is_empty(), "cut");
        assert!(caller(&Memory::of(0x7000, &words[..21]), Addr(0x7000)).is_none(), "cut before the last register");
    }
}
