//! Where the kernel left the registers of code that a signal interrupted, on stacks of handlers.
//!
//! Input: the target's memory, of which the small segments that can be written are searched once. Output: signal frames, by the instruction
//! pointer and the frame pointer of the interrupted code. An earlier one may have been left of the same code: what they differ in is not known.

use super::super::clr::plus;
use super::place::SignalFrames;
use crate::capture::Memory;
use crate::model::{Addr, Arch, End, Gap, Known, Register, Registers};
use crate::unwind::row::Caller;

/// Writable memory that is searched, in bytes of one segment: stacks of handlers are small.
const MAX_STACK: u64 = 1 << 20;
/// Most that are searched in all.
const MAX_SEARCHED: u64 = 1 << 30;
/// Most frames that are kept.
const MAX_FRAMES: usize = 1 << 16;
/// Most with one instruction pointer and one frame pointer.
const MAX_ALIKE: usize = 64;
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
    let mut count = 0usize;
    for segment in memory.segments().iter().filter(|segment| segment.bytes.len() as u64 <= MAX_STACK) {
        if memory.region_at(segment.start).is_some_and(|region| !region.access.write) {
            continue;
        }
        let Some(rest) = left.checked_sub(segment.bytes.len() as u64) else { break };
        left = rest;
        let bytes: &[u8] = segment.bytes.as_ref();
        // Of what is not asked for nothing is noted as read.
        let word = |context: u64, offset: u64| {
            let from = usize::try_from(context.checked_add(offset)?).ok()?;
            Some(u64::from_le_bytes(*bytes.get(from..)?.first_chunk()?))
        };
        for place in memchr::memmem::find_iter(bytes, &SELECTORS) {
            let Some(context) = (place as u64).checked_sub(CS) else { continue };
            let at = segment.start.plus(context).filter(|at| at.is_aligned(8));
            let key = word(context, RIP).zip(word(context, RBP));
            if let (Some(at), Some((pc, frame_pointer))) = (at, key)
                && count < MAX_FRAMES
            {
                count = count.saturating_add(1);
                found.entry((Addr(pc), frame_pointer)).or_default().push(at);
            }
        }
    }
    found
}

/// The interrupted code whose registers one of these signal frames holds. `own`: its stack pointer, if the handler is on its stack.
pub(super) fn caller(memory: &Memory, frames: &[Addr], own: Option<Addr>) -> Result<Caller, End> {
    let all: Vec<Registers> = frames.iter().take(MAX_ALIKE).filter_map(|at| registers(memory, *at).ok()).collect();
    let on_own: Vec<&Registers> = all.iter().filter(|told| told.sp().is_some() && told.sp() == own).collect();
    let candidates = if on_own.is_empty() { all.iter().collect() } else { on_own };
    let (first, others) = candidates.split_first().ok_or(End::NoMemory)?;
    let mut registers = (*first).clone();
    for register in ORDER.map(Register) {
        if others.iter().any(|other| other.get(register) != first.get(register)) {
            registers.forget(register);
        }
    }
    let cfa = registers.sp().ok_or(End::NoUnwindInfo)?;
    Ok(Caller { registers, cfa })
}

/// What a signal frame holds.
fn registers(memory: &Memory, context: Addr) -> Known<Registers> {
    // By these it is found again in a smaller dump.
    if memory.slice(plus(context, CS)?, SELECTORS.len() as u64)? != SELECTORS {
        return Err(Gap::Corrupt(format!("no signal frame at {context}")));
    }
    let mut registers = Registers::unknown(Arch::X86_64);
    for (register, offset) in ORDER.iter().zip((REGISTERS..).step_by(8)) {
        registers.set(Register(*register), memory.u64(plus(context, offset)?)?);
    }
    Ok(registers)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ucontext: 5 words, 17 registers, of which the 11th is rbp and the last two rsp and rip, flags, cs with ss.
    fn frame(rsp: u64, rbx: u64) -> Vec<u64> {
        let mut words = vec![0; 5];
        words.extend((0..17).map(|number| 0x100 + number));
        words[5 + 11] = rbx;
        words[5 + 15] = rsp;
        words.extend([0x202, 0x2b_0000_0000_0033]);
        words
    }

    #[test]
    fn a_signal_frame_is_known_by_its_selectors_and_told_by_its_registers() {
        let words = frame(0x10f, 0x10b);
        let memory = Memory::of(0x7000, &words);
        let found = find(&memory);
        assert_eq!(found.get(&(Addr(0x110), 0x10a)), Some(&vec![Addr(0x7000)]));
        assert_eq!(found.len(), 1);
        let told = caller(&memory, &[Addr(0x7000)], None).unwrap();
        assert_eq!(
            (told.cfa, told.registers.pc(), told.registers.fp()),
            (Addr(0x10f), Some(Addr(0x110)), Some(Addr(0x10a)))
        );
        assert_eq!(told.registers.get(Register(8)), Some(0x100), "r8 is the first");
        assert!(find(&Memory::of(0x7000, &words[..23])).is_empty(), "cut");
        assert!(caller(&Memory::of(0x7000, &words[..21]), &[Addr(0x7000)], None).is_err(), "cut before its end");
        let mut other = words;
        other[23] = 0;
        assert!(caller(&Memory::of(0x7000, &other), &[Addr(0x7000)], None).is_err(), "another's");
    }

    #[test]
    fn of_two_of_the_same_code_only_what_they_agree_in_is_told() {
        let at = |frames: [Vec<u64>; 2], own: Option<u64>| {
            let memory = Memory::of(0x7000, &frames.concat());
            let found = find(&memory).remove(&(Addr(0x110), 0x10a)).unwrap();
            assert_eq!(found, [Addr(0x7000), Addr(0x7000 + 24 * 8)]);
            let told = caller(&memory, &found, own.map(Addr))?;
            Ok((told.cfa.0, told.registers.get(Register(3)), told.registers.get(Register(8))))
        };
        assert_eq!(at([frame(0x9000, 1), frame(0x9000, 1)], None), Ok((0x9000, Some(1), Some(0x100))));
        assert_eq!(at([frame(0x9000, 1), frame(0x9000, 2)], None), Ok((0x9000, None, Some(0x100))));
        assert_eq!(
            at([frame(0x9000, 1), frame(0x9100, 2)], None),
            Err(End::NoUnwindInfo),
            "where it stood is not known"
        );
        assert_eq!(at([frame(0x9000, 1), frame(0x9100, 2)], Some(0x9100)), Ok((0x9100, Some(2), Some(0x100))));
        assert_eq!(at([frame(0x9000, 1), frame(0x9100, 2)], Some(0x9200)), Err(End::NoUnwindInfo));
    }

    #[test]
    fn the_page_of_the_selectors_is_kept_with_those_of_the_registers() {
        // The selectors are the first on a page of their own.
        let start = 0x8000 - CS;
        let mut words = frame(0x10f, 0x10b);
        words.extend([0; 600]);
        let mut memory = Memory::of(start, &words);
        let touched = memory.record();
        let found = find(&memory);
        assert!(touched.pages().is_empty(), "what is looked through is not read");
        let frames = found.get(&(Addr(0x110), 0x10a)).unwrap();
        assert!(caller(&memory, frames, None).is_ok());
        assert_eq!(touched.pages(), [Addr(0x7000)..Addr(0x9000)]);
    }
}
