//! Code of the runtime's library whose callers its tables tell wrongly or not at all, known by its instructions.
//!
//! `OnHijackTripThread`: to stop a thread, the runtime replaces a return address on its stack by this function's. It is entered by a
//! `ret`, and its table is 8 bytes off. The entry of the worker that handles a signal: above it lies a frame by hand, the interrupted code's.
//! It is on that code's stack, or, where that is full, on another: then the kernel's signal frame with the same registers is looked for.

use std::sync::Arc;

use super::super::clr::{Clr, plus};
use super::place::Helper;
use super::saved::{SAVED, moved, restore};
use super::{hijacks, signal_frames};
use crate::capture::Memory;
use crate::model::{Addr, Arch, End, Registers, Trust};
use crate::unwind::row::Caller;
use crate::unwind::{OwnFrame, Step};

// Source: dotnet/runtime src/coreclr/vm/amd64/asmhelpers.S, OnHijackTripThread: pushes rax (room for the return address), rbp, rbx, r15, r14, r13,
// r12, since .NET 9.0 or 10 rcx, rdx, rax; mov rdi, rsp. Then lea rsp, [rsp - n], as seen in 8.0.33, 9.0.22, 10.0.14.
const HIJACK: &[u8] = &[0x50, 0x55, 0x53, 0x41, 0x57, 0x41, 0x56, 0x41, 0x55, 0x41, 0x54];
const HIJACK_ENDS: [&[u8]; 2] = [&[0x52, 0x50, 0x48, 0x89, 0xe7], &[0x51, 0x52, 0x50, 0x48, 0x89, 0xe7]];
const ALLOCATE: &[u8] = &[0x48, 0x8d, 0x64, 0x24];
/// Bytes of its code up to the `ret`, at most.
const HIJACK_CODE: u64 = 0x80;
/// Between the frame by hand and the interrupted code's stack: the red zone of the System V AMD64 psABI 3.2.2, and the frame itself.
const RED_ZONE: u64 = 128 + 16;
/// What is left out to align that frame, where the interrupted code's stack is not.
const ALIGNMENT: u64 = 8;
/// From the first entry, for stacks that are aligned, to the second, for those that are not. Source: dotnet/runtime
/// src/coreclr/pal/src/arch/amd64/callsignalhandlerwrapper.S; measured on 8.0.33 and 9.0.22, on 10.0.14.
const BETWEEN: [u64; 2] = [12, 16];

/// The function at an address; `None` where it is another.
pub(super) fn at(clr: &Clr, code: Addr) -> Option<Helper> {
    if clr.target.module_at(code).map(|module| module.index) != Some(clr.module) {
        return None;
    }
    clr.places.helpers.get(code, || recognise(clr.memory(), code))
}

fn recognise(memory: &Memory, code: Addr) -> Option<Helper> {
    let hijack = || {
        let before = (0..HIJACK_CODE).rev().find_map(|back| memory.slice(code.minus(back)?, back).ok())?;
        let begin = code.minus(before.len() as u64)?;
        // It may begin at the address itself.
        let bytes = memory.slice_up_to(begin, (before.len() as u64).saturating_add(HIJACK.len() as u64)).ok()?;
        hijack(memory, begin.plus(memchr::memmem::rfind(bytes, HIJACK)? as u64)?)
    };
    hijack().or_else(|| worker(memory, code))
}

/// The function that begins at an address.
fn hijack(memory: &Memory, start: Addr) -> Option<Helper> {
    let code = memory.slice_up_to(start, 32).ok()?.strip_prefix(HIJACK)?;
    let (end, rest) = HIJACK_ENDS.iter().find_map(|end| Some((end, code.strip_prefix(*end)?)))?;
    // Down by a signed byte.
    let room = u64::from(rest.strip_prefix(ALLOCATE)?.first()?.wrapping_neg());
    // Of the seven and these each takes a byte, and the last instruction three.
    let pushed = 7 + (end.len() as u64).checked_sub(3)?;
    Some(Helper::Hijack { start, pushed, room })
}

/// The entry of the signal handler's worker, at its call.
fn worker(memory: &Memory, code: Addr) -> Option<Helper> {
    let start = code.minus(5).filter(|start| is_worker(memory, *start))?;
    let is_second = BETWEEN.iter().any(|between| start.minus(*between).is_some_and(|first| is_worker(memory, first)));
    let below = if is_second { RED_ZONE.saturating_add(ALIGNMENT) } else { RED_ZONE };
    Some(Helper::Worker { below })
}

/// `push rbp; call …; pop rbp; ret`.
fn is_worker(memory: &Memory, start: Addr) -> bool {
    matches!(memory.slice(start, 8), Ok([0x55, 0xe8, _, _, _, _, 0x5d, 0xc3]))
}

/// Its name, and where it begins.
pub(super) fn named(clr: &Clr, code: Addr) -> Option<(&'static str, Addr)> {
    match at(clr, code)? {
        Helper::Hijack { start, .. } => Some(("OnHijackTripThread", start)),
        Helper::Worker { .. } => None,
    }
}

/// Who called such a frame.
pub(super) fn step(clr: &Clr, helper: Helper, frame: &OwnFrame<'_>) -> Step {
    match helper {
        Helper::Hijack { pushed, room, .. } if frame.returns => {
            let caller = tripped(clr, frame, pushed, room);
            let told = |caller| Step::Caller { caller, trust: Trust::Runtime, returns: true, switches: false };
            caller.map_or(Step::End(End::NoMemory), told)
        }
        Helper::Hijack { .. } => Step::Unknown,
        Helper::Worker { below } => interrupted(clr, frame.sp, below).unwrap_or(Step::End(End::NoMemory)),
    }
}

/// The thread as it would have returned: the registers are above the room, and behind them the return address.
fn tripped(clr: &Clr, frame: &OwnFrame<'_>, pushed: u64, room: u64) -> Option<Caller> {
    let pushes = plus(frame.sp, room).ok()?;
    let returns = plus(pushes, pushed.checked_sub(1)?.checked_mul(8)?).ok()?;
    let mut registers = Registers::unknown(Arch::X86_64);
    let saved = returns.minus(SAVED.len() as u64 * 8)?;
    restore(clr, &mut registers, saved).ok()?;
    moved(registers, clr.memory().ptr(returns).ok()?, returns.plus(8)?)
}

/// The code that the signal interrupted: where the kernel left its registers, else on the stack above the frame by hand.
fn interrupted(clr: &Clr, sp: Addr, below: u64) -> Option<Step> {
    let memory = clr.memory();
    let (frame_pointer, pc) = (memory.u64(sp).ok()?, memory.ptr(sp.plus(8)?).ok()?);
    let contexts = clr.places.interrupted.get((), || Arc::new(signal_frames::find(memory)));
    if let Some(frames) = contexts.get(&(pc, frame_pointer)) {
        return Some(signal_frames::caller(memory, frames, sp.plus(below)).map_or_else(Step::End, stopped));
    }
    let mut registers = Registers::unknown(Arch::X86_64);
    registers.set(Arch::X86_64.frame_pointer(), frame_pointer);
    moved(registers, pc, sp.plus(below)?).map(stopped)
}

/// Code that was interrupted, maybe on another stack.
fn stopped(caller: Caller) -> Step {
    Step::Caller { caller, trust: Trust::Runtime, returns: false, switches: true }
}

/// A caller, whose return address may have been replaced to stop the thread there: then by the one that the thread remembers.
pub(super) fn unhijacked(clr: &Clr, caller: Caller) -> Caller {
    let is_hijack = caller
        .registers
        .pc()
        .is_some_and(|pc| matches!(at(clr, pc), Some(Helper::Hijack { start, .. }) if start == pc));
    let original = caller.cfa.minus(8).filter(|_| is_hijack).and_then(|slot| hijacks::original(clr, slot));
    let Some(original) = original else { return caller };
    let mut registers = caller.registers;
    registers.set(Arch::X86_64.instruction_pointer(), original.0);
    Caller { registers, ..caller }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_the_function_that_stops_threads_are_known() {
        // As 8.0.33 and 10.0.14 have it.
        let old = [HIJACK, HIJACK_ENDS[0], ALLOCATE, &[0xd8]].concat();
        let new = [HIJACK, HIJACK_ENDS[1], ALLOCATE, &[0xe0]].concat();
        let read = |code: &[u8]| hijack(&Memory::of_bytes(0x1000, code), Addr(0x1000));
        assert_eq!(read(&old), Some(Helper::Hijack { start: Addr(0x1000), pushed: 9, room: 0x28 }));
        assert_eq!(read(&new), Some(Helper::Hijack { start: Addr(0x1000), pushed: 10, room: 0x20 }));
        for len in 0..new.len() {
            assert_eq!(read(&new[..len]), None, "{len}");
        }
    }

    #[test]
    fn the_entry_for_a_stack_that_is_not_aligned_is_the_second() {
        // As 8.0.33 has both, 12 bytes from one to the other, and 10.0.14, 16.
        let entry = [0x55, 0xe8, 0x42, 0xc3, 0xfc, 0xff, 0x5d, 0xc3];
        for (between, padding) in [(12, &[6, 0, 0, 0][..]), (16, &[6, 0, 0, 0, 0x0f, 0x1f, 0x40, 0][..])] {
            let memory = Memory::of_bytes(0x1000, &[&[0xcc; 16][..], &entry, padding, &entry].concat());
            let at = |start: u64| recognise(&memory, Addr(start + 5));
            // `def_cfa_offset` of their tables behind the push: 144 and 152.
            assert_eq!(at(0x1010), Some(Helper::Worker { below: 144 }));
            assert_eq!(at(0x1010 + between), Some(Helper::Worker { below: 152 }));
            assert_eq!(at(0x1011), None);
        }
    }
}
