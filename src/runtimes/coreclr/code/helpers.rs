//! Code of the runtime's library whose callers its tables tell wrongly or not at all, known by its instructions.
//!
//! `OnHijackTripThread`: to stop a thread, the runtime replaces a return address on its stack by this function's. It is entered by a
//! `ret`, and its table is 8 bytes off. The entry of the worker that handles a signal: above it lies a frame by hand, the interrupted code's.
//! It is on that code's stack, or, where that is full, on another: then the kernel's signal frame with the same registers is looked for.

use super::super::clr::{Clr, plus};
use super::super::threads;
use super::ranges::owns;
use super::saved::{SAVED, moved, restore};
use crate::capture::Memory;
use crate::model::{Addr, Arch, End, Register, Registers, Trust};
use crate::unwind::row::Caller;
use crate::unwind::{OwnFrame, Step};

// Source: dotnet/runtime src/coreclr/vm/amd64/asmhelpers.S, OnHijackTripThread: pushes rax (room for the return address), rbp, rbx, r15, r14, r13,
// r12, since .NET 9.0 or 10 rcx, rdx, rax; mov rdi, rsp. Then lea rsp, [rsp - n], as seen in 8.0.33, 9.0.22, 10.0.14.
const HIJACK: &[u8] = &[0x50, 0x55, 0x53, 0x41, 0x57, 0x41, 0x56, 0x41, 0x55, 0x41, 0x54];
const HIJACK_ENDS: [&[u8]; 2] = [&[0x52, 0x50, 0x48, 0x89, 0xe7], &[0x51, 0x52, 0x50, 0x48, 0x89, 0xe7]];
const ALLOCATE: &[u8] = &[0x48, 0x8d, 0x64, 0x24];
/// Bytes of its code up to the `ret`, at most.
const HIJACK_CODE: u64 = 0x80;
/// Bytes of a `Thread` in which the replaced return address is.
const THREAD: u64 = 0x800;

/// Writable memory that is searched for a signal frame, in bytes of one segment: stacks of handlers are small.
const MAX_STACK: u64 = 1 << 20;
/// Places in one segment at which the instruction pointer stands that are looked at.
const MAX_PLACES: usize = 4096;
// Of the kernel's ucontext: 17 registers from 40 on, by their DWARF numbers, then flags and the selectors, of which cs is the first.
// Source: Linux arch/x86/include/uapi/asm/sigcontext.h, struct sigcontext_64; of cs arch/x86/include/asm/segment.h, __USER_CS.
const REGISTERS: u64 = 40;
const ORDER: [u16; 17] = [8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2, 7, 16];
const RBP: u64 = REGISTERS + 10 * 8;
const RIP: u64 = REGISTERS + 16 * 8;
const CS: u64 = REGISTERS + 18 * 8;
const USER_CS: u16 = 0x33;
/// Between the frame by hand and the interrupted code's stack: the red zone of the System V AMD64 psABI 3.2.2, and the frame itself.
const RED_ZONE: u64 = 128 + 16;

/// One of those functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Helper {
    /// `OnHijackTripThread`, from `start` on; it pushes so many registers, and makes room for so many bytes.
    Hijack { start: Addr, pushed: u64, room: u64 },
    /// The entry of the signal handler's worker.
    Worker,
}

/// The function at an address; `None` where it is another.
pub(super) fn at(clr: &Clr, code: Addr) -> Option<Helper> {
    if clr.target.module_at(code).map(|module| module.index) != Some(clr.module) {
        return None;
    }
    let memory = clr.memory();
    let back = (0..HIJACK_CODE).find(|back| {
        let bytes = code.minus(*back).and_then(|start| memory.slice(start, HIJACK.len() as u64).ok());
        bytes == Some(HIJACK)
    });
    let hijack = back.and_then(|back| hijack(memory, code.minus(back)?));
    hijack.or_else(|| is_worker(memory, code).then_some(Helper::Worker))
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

/// `push rbp; call …; pop rbp; ret`, at its call.
fn is_worker(memory: &Memory, code: Addr) -> bool {
    let bytes = code.minus(5).and_then(|start| memory.slice(start, 8).ok());
    matches!(bytes, Some([0x55, 0xe8, _, _, _, _, 0x5d, 0xc3]))
}

/// Its name, and where it begins.
pub(super) fn named(clr: &Clr, code: Addr) -> Option<(&'static str, Addr)> {
    match at(clr, code)? {
        Helper::Hijack { start, .. } => Some(("OnHijackTripThread", start)),
        Helper::Worker => None,
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
        Helper::Worker => interrupted(clr, frame.sp).unwrap_or(Step::End(End::NoMemory)),
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

/// The code that the signal interrupted: on the stack above the frame by hand, or where the kernel left its registers.
fn interrupted(clr: &Clr, sp: Addr) -> Option<Step> {
    let memory = clr.memory();
    let (frame_pointer, pc) = (memory.u64(sp).ok()?, memory.ptr(sp.plus(8)?).ok()?);
    if let Some(context) = signal_frame(memory, pc, frame_pointer) {
        let mut registers = Registers::unknown(Arch::X86_64);
        for (register, offset) in ORDER.iter().zip((REGISTERS..).step_by(8)) {
            registers.set(Register(*register), memory.u64(context.plus(offset)?).ok()?);
        }
        let cfa = registers.sp()?;
        return Some(stopped(Caller { registers, cfa }));
    }
    let mut registers = Registers::unknown(Arch::X86_64);
    registers.set(Arch::X86_64.frame_pointer(), frame_pointer);
    moved(registers, pc, sp.plus(RED_ZONE)?).map(stopped)
}

/// Code that was interrupted, maybe on another stack.
fn stopped(caller: Caller) -> Step {
    Step::Caller { caller, trust: Trust::Runtime, returns: false, switches: true }
}

/// The ucontext of code with this instruction pointer and frame pointer, on a small stack.
fn signal_frame(memory: &Memory, pc: Addr, frame_pointer: u64) -> Option<Addr> {
    let wanted = pc.0.to_le_bytes();
    memory.segments().iter().filter(|segment| segment.bytes.len() as u64 <= MAX_STACK).find_map(|segment| {
        if memory.region_at(segment.start).is_some_and(|region| !region.access.write) {
            return None;
        }
        let places = memchr::memmem::find_iter(segment.bytes.as_ref(), &wanted).take(MAX_PLACES);
        let contexts = places.filter_map(|place| segment.start.plus(place as u64)?.minus(RIP));
        contexts.into_iter().find(|context| is_signal_frame(memory, *context, frame_pointer))
    })
}

/// Whether a ucontext is the kernel's, of code with this frame pointer.
fn is_signal_frame(memory: &Memory, context: Addr, frame_pointer: u64) -> bool {
    let at = |offset: u64| context.plus(offset);
    at(RBP).and_then(|at| memory.u64(at).ok()) == Some(frame_pointer)
        && at(CS).and_then(|at| memory.u16(at).ok()) == Some(USER_CS)
}

/// A caller, whose return address may have been replaced to stop the thread there: then by the one that the thread remembers.
pub(super) fn unhijacked(clr: &Clr, caller: Caller) -> Caller {
    let is_hijack = caller.registers.pc().is_some_and(|pc| {
        clr.memory().slice(pc, HIJACK.len() as u64).is_ok_and(|code| code == HIJACK)
            && hijack(clr.memory(), pc).is_some()
    });
    let original = caller.cfa.minus(8).filter(|_| is_hijack).and_then(|slot| original(clr, slot));
    let Some(original) = original else { return caller };
    let mut registers = caller.registers;
    registers.set(Arch::X86_64.instruction_pointer(), original.0);
    Caller { registers, ..caller }
}

/// The return address that belongs into a word of a stack: a thread keeps both, the word's address behind the other.
/// Source: dotnet/runtime src/coreclr/vm/threads.h, m_pvHJRetAddr and m_ppvHJRetAddrPtr.
fn original(clr: &Clr, slot: Addr) -> Option<Addr> {
    let memory = clr.memory();
    threads::addresses(clr).into_iter().find_map(|thread| {
        let structure = memory.slice_up_to(thread, THREAD).ok()?;
        let (words, _) = structure.as_chunks::<8>();
        let pairs = words.windows(2).filter_map(|pair| <&[[u8; 8]; 2]>::try_from(pair).ok());
        let mut found = pairs.filter(|[_, at]| u64::from_le_bytes(*at) == slot.0);
        found.find_map(|[original, _]| {
            let original = Addr(u64::from_le_bytes(*original));
            owns(clr, Addr(original.0.checked_sub(1)?)).then_some(original)
        })
    })
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
    fn a_signal_frame_is_known_by_its_registers() {
        // The ucontext: 5 words, 17 registers, of which the 11th is rbp and the last rip, flags, cs.
        let mut words = vec![0; 5];
        words.extend((0..17).map(|number| 0x100 + number));
        words.extend([0x202, 0x2b_0000_0000_0033]);
        let memory = Memory::of(0x7000, &words);
        assert!(is_signal_frame(&memory, Addr(0x7000), 0x10a));
        assert!(!is_signal_frame(&memory, Addr(0x7000), 0x10b), "another frame pointer");
        assert!(!is_signal_frame(&memory, Addr(0x7008), 0x10b), "no selector");
        assert_eq!(signal_frame(&memory, Addr(0x110), 0x10a), Some(Addr(0x7000)));
        assert_eq!(signal_frame(&memory, Addr(0x111), 0x10a), None);
        assert_eq!(signal_frame(&Memory::of(0x7000, &words[..23]), Addr(0x110), 0x10a), None, "cut");
    }
}
