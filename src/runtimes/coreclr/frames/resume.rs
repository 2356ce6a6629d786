//! Where managed code goes on behind one record of a thread's chain.
//!
//! What a record tells is believed where the stack bears it out: it leads to managed code, a little above the record, behind a call.

use super::super::clr::{Clr, plus};
use super::super::code::{self, SAVED, restore};
use super::kinds::{self, Kind};
use super::shape::Shape;
use crate::capture::Memory;
use crate::model::{Addr, Arch, Gap, Known, Register, Registers, Trust};
use crate::unwind::Beyond;
use crate::unwind::call::{LONGEST, calls_before};
use crate::unwind::row::Caller;

/// Bytes between a record and the frame that it leads to, at most: the runtime's own frames, with a few CONTEXTs among them.
const MAX_DISTANCE: u64 = 1 << 20;
/// Records of the chain of saved frame pointers that are looked at.
const MAX_CHAIN: usize = 64;
const RBP: Register = Register(6);

// Of CONTEXT: ContextFlags 0x30, Rax 0x78, then Rcx, Rdx, Rbx, Rsp, Rbp, Rsi, Rdi, R8 to R15, Rip. Source: winnt.h, CONTEXT of AMD64.
const CONTEXT_FLAGS: u64 = 0x30;
const CONTEXT_REGISTERS: u64 = 0x78;
const CONTEXT_ORDER: [u16; 17] = [0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15, 16];
/// CONTEXT_AMD64.
const CONTEXT_MARK: u32 = 0x10_0000;

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Transition {
    /// Where it lies on the stack.
    pub(super) frame: Addr,
    /// The thread whose it is.
    pub(super) thread: Addr,
}

/// The caller that a record leads to; `None` where it leads to none.
pub(super) fn caller(clr: &Clr, transition: Transition) -> Option<Beyond> {
    let (kind, caller, trust) = led(clr, transition)?;
    // One that was stopped, or whose instruction failed, stands at it.
    Some(Beyond { caller, trust, returns: !matches!(kind, Kind::Faulting | Kind::Resumable) })
}

/// The same with the kind of record that it is.
fn led(clr: &Clr, transition: Transition) -> Option<(Kind, Caller, Trust)> {
    kinds::of(clr, transition.frame).ok()?.into_iter().find_map(|kind| {
        let recorded = |registers| (registers, Trust::Runtime);
        let (registers, trust) = match kind {
            Kind::Helper => helper(clr, transition),
            Kind::Inlined => inlined(clr, transition.frame).map(recorded),
            Kind::Block => block(clr, transition.frame).map(recorded),
            Kind::Faulting => context_in(clr, transition.frame, "FaultingExceptionFrame").map(recorded),
            Kind::Software => context_in(clr, transition.frame, "SoftwareExceptionFrame").map(recorded),
            Kind::Resumable => resumable(clr, transition.frame).map(recorded),
        }
        .ok()?;
        Some((kind, believed(clr, transition, registers)?, trust))
    })
}

/// What a record holds that refers to objects, and whether the frame above it has thrown an exception, or the processor has for it; `None` for
/// one that leads to no managed code.
pub(super) fn held(clr: &Clr, transition: Transition) -> Option<(Shape, bool)> {
    // Source: dotnet/runtime src/coreclr/vm/frames.h of 9.0 and before, HelperMethodFrame::FRAME_ATTR_EXCEPTION.
    const ATTRIBUTE: u32 = 1;
    let frame = transition.frame;
    let block = || match clr.ptr(frame, "FramedMethodFrame", "TransitionBlockPtr") {
        Ok(block) => Shape::Block { block, frame },
        Err(_) => Shape::Other,
    };
    let (kind, ..) = led(clr, transition)?;
    Some(match kind {
        Kind::Helper => {
            let attributes = clr.u32(frame, "HelperMethodFrame", "Attribs");
            (Shape::Helper, attributes.is_ok_and(|attributes| attributes & ATTRIBUTE != 0))
        }
        Kind::Block => (block(), false),
        Kind::Faulting | Kind::Software => (Shape::Other, true),
        Kind::Inlined | Kind::Resumable => (Shape::Other, false),
    })
}

/// What is believed: managed code, and a stack pointer a little above the record.
fn believed(clr: &Clr, transition: Transition, registers: Registers) -> Option<Caller> {
    let (pc, sp) = (registers.pc()?, registers.sp()?);
    let near = sp.since(transition.frame).is_some_and(|distance| distance < MAX_DISTANCE);
    (near && is_managed(clr, pc)).then_some(Caller { registers, cfa: sp })
}

/// Whether a return address is in managed code.
fn is_managed(clr: &Clr, returns: Addr) -> bool {
    returns.minus(1).is_some_and(|call| code::owns(clr, call))
}

/// Whether a call stands before an address; code that is not in the dump is given the benefit of the doubt.
fn follows_call(memory: &Memory, returns: Addr) -> bool {
    let before = (2..=LONGEST).rev().find_map(|len| memory.slice(returns.minus(len)?, len).ok());
    before.is_none_or(|code| calls_before(Arch::X86_64, code).next().is_some())
}

fn registers(pc: Addr, sp: Addr) -> Registers {
    let mut registers = Registers::unknown(Arch::X86_64);
    registers.set(Arch::X86_64.instruction_pointer(), pc.0);
    registers.set(Arch::X86_64.stack_pointer(), sp.0);
    registers
}

/// `InlinedCallFrame`: a call of P/Invoke that is being made. The return address is what the call pushed: precompiled code records the address
/// of a label before it.
fn inlined(clr: &Clr, frame: Addr) -> Known<Registers> {
    /// Bytes from that label to the call's end, at most. Source: measured on 8.0.33 to 10.0.14, 0x0f to 0x32.
    const MAX_BEFORE: u64 = 0x40;
    let of = |member| clr.ptr(frame, "InlinedCallFrame", member);
    let (recorded, sp) = (of("CallerReturnAddress")?, of("CallSiteSP")?);
    let slot = sp.minus(8).filter(|_| sp.is_aligned(8)).ok_or_else(no_such_record)?;
    let pushed = clr.memory().ptr(slot)?;
    if !is_managed(clr, recorded) || pushed.since(recorded).is_none_or(|distance| distance > MAX_BEFORE) {
        return Err(no_such_record());
    }
    let mut registers = registers(pushed, sp);
    registers.set(RBP, of("CalleeSavedFP")?.0);
    Ok(registers)
}

/// The method that an `InlinedCallFrame` calls from a frame with this stack pointer.
pub(super) fn called(clr: &Clr, frame: Addr, sp: Addr) -> Option<Addr> {
    let of = |member| clr.ptr(frame, "InlinedCallFrame", member).ok();
    let matches = of("CallSiteSP")? == sp && code::owns(clr, Addr(of("CallerReturnAddress")?.0.checked_sub(1)?));
    // Small numbers are no methods, and the lowest bit is a mark. Source: frames.h, InlinedCallFrame::m_Datum.
    of("Datum").filter(|method| matches && method.0 > 0xffff && method.is_aligned(8))
}

/// `HelperMethodFrame` of .NET 8 and 9: a call into the runtime, of which the registers at its beginning are kept until somebody asks.
fn helper(clr: &Clr, Transition { frame, thread }: Transition) -> Known<(Registers, Trust)> {
    let of = |member| clr.ptr(frame, "HelperMethodFrame", member);
    if of("Thread")? != thread {
        return Err(no_such_record());
    }
    if of("ReturnAddressPointer")?.0 == 0 {
        return unresolved(clr, of("CapturedRbp")?).map(|registers| (registers, Trust::FramePointer));
    }
    let mut registers = registers(of("MachStateRip")?, of("MachStateRsp")?);
    let pointers = clr.at(frame, "HelperMethodFrame", "RegPointers")?;
    for (register, offset) in SAVED.iter().zip((0u64..).step_by(8)) {
        if let Ok(value) = clr.memory().ptr(plus(pointers, offset)?).and_then(|at| clr.memory().u64(at)) {
            registers.set(Register(*register), value);
        }
    }
    Ok((registers, Trust::Runtime))
}

fn no_such_record() -> Gap {
    Gap::NotRecorded("no such record".to_owned())
}

/// The runtime's library keeps frame pointers: the chain leads to the first return address in managed code. Code between that keeps none is
/// passed over: a guess.
fn unresolved(clr: &Clr, from: Addr) -> Known<Registers> {
    let memory = clr.memory();
    let mut record = from;
    for _ in 0..MAX_CHAIN {
        let (saved, returns) = (memory.ptr(record)?, memory.ptr(plus(record, 8)?)?);
        if is_managed(clr, returns) && follows_call(memory, returns) {
            let mut registers = registers(returns, plus(record, 16)?);
            registers.set(RBP, saved.0);
            return Ok(registers);
        }
        if saved <= record {
            break;
        }
        record = saved;
    }
    Err(Gap::NotRecorded("managed code on the chain of frame pointers".to_owned()))
}

/// A `TransitionBlock`: what a stub saved before it called the runtime.
fn block(clr: &Clr, frame: Addr) -> Known<Registers> {
    let block = clr.ptr(frame, "FramedMethodFrame", "TransitionBlockPtr")?;
    let size = clr.layout.offset("TransitionBlock", "!")?;
    let returns = clr.ptr(block, "TransitionBlock", "ReturnAddress")?;
    // The record lies in the frame of a function that the stub called.
    if block <= frame || !block.is_aligned(8) || !is_managed(clr, returns) || !follows_call(clr.memory(), returns) {
        return Err(no_such_record());
    }
    let mut registers = registers(returns, plus(block, size)?);
    let saved = clr.at(block, "TransitionBlock", "CalleeSavedRegisters")?;
    restore(clr, &mut registers, saved)?;
    Ok(registers)
}

/// A record that holds the registers of managed code.
fn context_in(clr: &Clr, frame: Addr, kind: &str) -> Known<Registers> {
    context(clr, clr.at(frame, kind, "TargetContext")?)
}

/// A record that leads to the registers of managed code.
fn resumable(clr: &Clr, frame: Addr) -> Known<Registers> {
    context(clr, clr.ptr(frame, "ResumableFrame", "TargetContextPtr")?)
}

fn context(clr: &Clr, at: Addr) -> Known<Registers> {
    let memory = clr.memory();
    if memory.u32(plus(at, CONTEXT_FLAGS)?)? & CONTEXT_MARK == 0 {
        return Err(Gap::NotRecorded("no context".to_owned()));
    }
    let mut registers = Registers::unknown(Arch::X86_64);
    for (register, offset) in CONTEXT_ORDER.iter().zip((CONTEXT_REGISTERS..).step_by(8)) {
        registers.set(Register(*register), memory.u64(plus(at, offset)?)?);
    }
    Ok(registers)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STACK: u64 = 0x7000;
    const CODE: u64 = 0x10_0000;

    /// A runtime whose code is from `CODE` on, 64 KiB, and stack words from `STACK` on.
    fn clr(major: u32, stack: &[u64]) -> Clr {
        // The map of code from 0x1000 on: five tables, each led to by the first entry of the one before, a fragment, a section. `CODE` is in the
        // ninth entry of the last, which stands for 128 KiB.
        let mut words = vec![0x1008, 0x1010, 0x1018, 0x1020];
        words.resize(4 + 9, 0);
        words[12] = 0x1080;
        words.resize(16, 0);
        words.extend([0, CODE, CODE + 0x1_0000, 0x10a0, CODE, CODE + 0x1_0000, 0]);
        words.resize(usize::try_from((STACK - 0x1000) / 8).unwrap(), 0);
        words.extend(stack);
        Clr::by_hand(major, Memory::of(0x1000, &words), &[("ExecutionManagerCodeRangeMapAddress", 0x1000)])
    }

    fn told(found: Option<Beyond>) -> Option<(u64, u64, Option<u64>, Trust)> {
        let Beyond { caller, trust, returns } = found?;
        assert!(returns);
        Some((caller.registers.pc()?.0, caller.cfa.0, caller.registers.fp().map(|fp| fp.0), trust))
    }

    #[test]
    fn a_call_into_native_code_has_the_return_address_that_it_pushed() {
        // The record: kind 1, next, method, stack pointer, return address, frame pointer; then what the call pushed.
        let record = |sp: u64, recorded: u64, pushed: u64| {
            let clr = clr(10, &[1, 0, 0, sp, recorded, 0x7800, 0, pushed, 0]);
            told(caller(&clr, Transition { frame: Addr(STACK), thread: Addr(0x9000) }))
        };
        let expected = Some((CODE + 0x32, STACK + 0x40, Some(0x7800), Trust::Runtime));
        assert_eq!(record(STACK + 0x40, CODE + 0x10, CODE + 0x32), expected);
        assert_eq!(record(STACK + 0x40, CODE + 0x10, CODE + 0x51), None, "another call's");
        assert_eq!(record(STACK + 0x40, 0x20_0000, CODE + 0x32), None, "no managed code");
        assert_eq!(record(STACK + 0x41, CODE + 0x10, CODE + 0x32), None, "no stack pointer");
        assert_eq!(record(0, 0, CODE + 0x32), None, "no call is being made");
    }

    #[test]
    fn what_kind_a_record_is_says_its_number() {
        let record = |kind: u64| {
            let clr = clr(10, &[kind, 0, 0, STACK + 0x40, CODE + 0x10, 0x7800, 0, CODE + 0x32, 0]);
            caller(&clr, Transition { frame: Addr(STACK), thread: Addr(0x9000) }).is_some()
        };
        assert!(record(1));
        // DebuggerU2MCatchHandlerFrame; a stub's record; none of the runtime's, or a virtual table of no module.
        assert!(!record(17) && !record(9) && !record(0x999) && !record(0x2000));
    }

    #[test]
    fn a_helper_that_nobody_asked_about_is_left_by_frame_pointers_and_says_so() {
        // The record of .NET 9: thread at 32, captured rbp at 104, no return address pointer at 160. Behind it two frame records: of native code,
        // then one that returns to managed code.
        let mut stack = vec![0; 21];
        stack[4] = 0x9000;
        stack[13] = STACK + 0xb0;
        stack.extend([0, STACK + 0xc0, 0x30_0000, 0x7900, CODE + 0x20]);
        let found = helper(&clr(9, &stack), Transition { frame: Addr(STACK), thread: Addr(0x9000) });
        let (registers, trust) = found.unwrap();
        assert_eq!(
            (registers.pc(), registers.sp(), registers.fp()),
            (Some(Addr(CODE + 0x20)), Some(Addr(STACK + 0xd0)), Some(Addr(0x7900)))
        );
        assert_eq!(trust, Trust::FramePointer);
        let other = helper(&clr(9, &stack), Transition { frame: Addr(STACK), thread: Addr(0x9100) });
        assert!(other.is_err(), "another thread's");
    }

    #[test]
    fn a_thread_that_was_stopped_or_has_failed_stands_at_its_instruction() {
        // CONTEXT: its mark at 0x30, then registers from 0x78 on: rsp the fifth, rip the seventeenth.
        let mut context = vec![0; 0x100 / 8];
        context[6] = u64::from(CONTEXT_MARK);
        (context[15 + 4], context[15 + 16]) = (STACK + 0x400, CODE + 0x20);
        // ResumableFrame: kind 2, next, the context's place. FaultingExceptionFrame: kind 4, the context at 32.
        for head in [vec![2, 0, STACK + 0x18], vec![4, 0, 0, 0]] {
            let clr = clr(10, &[head, context.clone()].concat());
            let found = caller(&clr, Transition { frame: Addr(STACK), thread: Addr(0x9000) }).unwrap();
            assert_eq!((found.caller.registers.pc(), found.returns), (Some(Addr(CODE + 0x20)), false));
        }
    }

    #[test]
    fn a_stub_is_left_where_its_block_returns_into_managed_code() {
        // The record: kind 9, next, block. The block: 6 words of arguments, r12 r13 r14 r15 rbx rbp, return address.
        let record = |block: u64, returns: u64| {
            let mut stack = vec![9, 0, block, 0];
            stack.extend([0; 6]);
            stack.extend([12, 13, 14, 15, 3, 6, returns, 0]);
            told(caller(&clr(10, &stack), Transition { frame: Addr(STACK), thread: Addr(0x9000) }))
        };
        let expected = Some((CODE + 0x20, STACK + 0x20 + 104, Some(6), Trust::Runtime));
        assert_eq!(record(STACK + 0x20, CODE + 0x20), expected);
        assert_eq!(record(STACK + 0x20, 0x30_0000), None, "no managed code");
        assert_eq!(record(STACK - 0x20, CODE + 0x20), None, "below its record");
    }
}
