//! Where managed code goes on behind one record of a thread's chain.
//!
//! The kind of a record is a number since .NET 10, and the address of a virtual table before. Neither is needed: what each kind holds is
//! told by whether it leads to managed code, on the stack above the record.

use super::super::clr::{Clr, plus};
use super::super::code::{self, SAVED, restore};
use crate::model::{Addr, Arch, Gap, Known, Register, Registers};
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
pub(super) fn caller(clr: &Clr, transition: Transition) -> Option<Caller> {
    let ways: [fn(&Clr, Transition) -> Known<Registers>; 6] = [helper, inlined, block, faulting, software, resumable];
    ways.iter().filter_map(|way| way(clr, transition).ok()).find_map(|registers| believed(clr, transition, registers))
}

/// What is believed: managed code, and a stack pointer a little above the record.
fn believed(clr: &Clr, transition: Transition, registers: Registers) -> Option<Caller> {
    let (pc, sp) = (registers.pc()?, registers.sp()?);
    let near = sp.since(transition.frame).is_some_and(|distance| distance < MAX_DISTANCE);
    (near && code::owns(clr, Addr(pc.0.checked_sub(1)?))).then_some(Caller { registers, cfa: sp })
}

fn registers(pc: Addr, sp: Addr) -> Registers {
    let mut registers = Registers::unknown(Arch::X86_64);
    registers.set(Arch::X86_64.instruction_pointer(), pc.0);
    registers.set(Arch::X86_64.stack_pointer(), sp.0);
    registers
}

/// `InlinedCallFrame`: a call of P/Invoke that is being made.
fn inlined(clr: &Clr, transition: Transition) -> Known<Registers> {
    let of = |member| clr.ptr(transition.frame, "InlinedCallFrame", member);
    let mut registers = registers(of("CallerReturnAddress")?, of("CallSiteSP")?);
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
fn helper(clr: &Clr, Transition { frame, thread }: Transition) -> Known<Registers> {
    let of = |member| clr.ptr(frame, "HelperMethodFrame", member);
    if of("Thread")? != thread {
        return Err(Gap::NotRecorded("no such record".to_owned()));
    }
    if of("ReturnAddressPointer")?.0 == 0 {
        return unresolved(clr, of("CapturedRbp")?);
    }
    let mut registers = registers(of("MachStateRip")?, of("MachStateRsp")?);
    let pointers = clr.at(frame, "HelperMethodFrame", "RegPointers")?;
    for (register, offset) in SAVED.iter().zip((0u64..).step_by(8)) {
        if let Ok(value) = clr.memory().ptr(plus(pointers, offset)?).and_then(|at| clr.memory().u64(at)) {
            registers.set(Register(*register), value);
        }
    }
    Ok(registers)
}

/// The runtime's library keeps frame pointers: the chain leads to the first return address in managed code.
fn unresolved(clr: &Clr, from: Addr) -> Known<Registers> {
    let memory = clr.memory();
    let mut record = from;
    for _ in 0..MAX_CHAIN {
        let (saved, returns) = (memory.ptr(record)?, memory.ptr(plus(record, 8)?)?);
        if code::owns(clr, Addr(returns.0.saturating_sub(1))) {
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
fn block(clr: &Clr, transition: Transition) -> Known<Registers> {
    let block = clr.ptr(transition.frame, "FramedMethodFrame", "TransitionBlockPtr")?;
    let size = clr.layout.offset("TransitionBlock", "!")?;
    let mut registers = registers(clr.ptr(block, "TransitionBlock", "ReturnAddress")?, plus(block, size)?);
    let saved = clr.at(block, "TransitionBlock", "CalleeSavedRegisters")?;
    restore(clr, &mut registers, saved)?;
    Ok(registers)
}

/// `FaultingExceptionFrame`: a fault of the processor in managed code.
fn faulting(clr: &Clr, transition: Transition) -> Known<Registers> {
    context(clr, clr.at(transition.frame, "FaultingExceptionFrame", "TargetContext")?)
}

/// `SoftwareExceptionFrame` of .NET 10: managed code that throws.
fn software(clr: &Clr, transition: Transition) -> Known<Registers> {
    context(clr, clr.at(transition.frame, "SoftwareExceptionFrame", "TargetContext")?)
}

/// `ResumableFrame` and those that derive from it: a thread that was stopped in managed code.
fn resumable(clr: &Clr, transition: Transition) -> Known<Registers> {
    context(clr, clr.ptr(transition.frame, "ResumableFrame", "TargetContextPtr")?)
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
