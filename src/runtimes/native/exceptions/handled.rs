//! A fault whose handler ended the process: crash reporters, Rust's guard against stack overflow.
//!
//! The fatal signal is then the handler's own (`abort`, or the same signal sent again). What happened stands in the
//! signal frame that the kernel pushed beneath the handler: `siginfo_t` and the interrupted registers. For a handler that did not
//! ask for a siginfo (`signal(2)`) the kernel leaves that out; then the registers of the exception tell, which lie beside the others.

use crate::model::{Addr, Arch, FatalSignal, FrameKind, OsThread, Registers, Stack, Tid};
use crate::target::Target;

use super::access::{Access, Special};
use super::instruction;
use super::place::{self, SI_KERNEL};

/// Size of the kernel's `struct ucontext` on x86-64, behind which the siginfo lies: flags 8, link 8, stack 24,
/// sigcontext 256, sigmask 8. Sources: Linux arch/x86/include/asm/sigframe.h, asm-generic/ucontext.h,
/// arch/x86/include/uapi/asm/sigcontext.h.
const X86_64_UCONTEXT: u64 = 304;
/// On aarch64 the siginfo comes first. Source: Linux arch/arm64/kernel/signal.c, struct rt_sigframe.
const AARCH64_UCONTEXT: u64 = 0;
// `siginfo_t`: si_signo, si_errno, si_code, then si_addr at 16. Source: Linux include/uapi/asm-generic/siginfo.h.
const CODE: u64 = 8;
const ADDRESS: u64 = 16;
/// SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV: the signals of faults.
const FAULTS: [u32; 5] = [4, 5, 7, 8, 11];

// `err`, `trapno` and `cr2` of the sigcontext, from the ucontext's beginning (40 + 152, 160, 176).
// Source: Linux arch/x86/include/uapi/asm/sigcontext.h, struct sigcontext_64.
const ERROR: u64 = 192;
const TRAP: u64 = 200;
const FAULTING: u64 = 216;
// Exceptions. Source: Intel SDM volume 3, table 6-1, and section 4.7 for the error code of a page fault: bit 0 set where the page is
// present and the access was not allowed.
const DIVIDE: u64 = 0;
const INVALID_OPCODE: u64 = 6;
const GENERAL_PROTECTION: u64 = 13;
const PAGE_FAULT: u64 = 14;
const PROTECTION: u64 = 1;
// Source: Linux include/uapi/asm-generic/signal.h and siginfo.h.
const SIGILL: i32 = 4;
const ILL_ILLOPN: i32 = 2;
const SIGBUS: i32 = 7;
const BUS_ADRERR: i32 = 2;
const SIGFPE: i32 = 8;
const FPE_INTDIV: i32 = 1;
const SIGSEGV: i32 = 11;
const SEGV_MAPERR: i32 = 1;
const SEGV_ACCERR: i32 = 2;

/// A handled fault: the thread as it was interrupted.
pub(super) struct Handled {
    /// What the kernel said.
    pub signal: FatalSignal,
    /// The thread with its interrupted registers.
    pub thread: OsThread,
    /// Its stack from the interrupted frame on.
    pub stack: Stack,
    /// The frame of the handler itself.
    pub handler: Addr,
}

/// The fault that a handler on this stack handles. `None` where no handler runs, or it handles something else.
pub(super) fn find(target: &Target, thread: &OsThread, stack: &Stack) -> Option<Handled> {
    let trampoline = stack.frames.iter().position(|frame| frame.kind == FrameKind::Signal)?;
    let context = stack.frames.get(trampoline)?.sp;
    let interrupted = trampoline.checked_add(1)?;
    let registers = stack.registers_at(interrupted)?;
    let signal = match target.arch() {
        Arch::X86_64 => signal(target, context.plus(X86_64_UCONTEXT)?, thread.tid)
            .or_else(|| by_exception(target, context, thread, &registers))?,
        Arch::Aarch64 => signal(target, context.plus(AARCH64_UCONTEXT)?, thread.tid)?,
    };
    let handler = stack.frames.get(trampoline.checked_sub(1)?)?.lookup();
    Some(Handled {
        signal,
        handler,
        thread: OsThread { registers: Ok(registers), syscall: None, ..thread.clone() },
        stack: stack.from_frame(interrupted),
    })
}

/// The fault by the number, error code and address of the processor's exception. They stay what they were when another signal comes
/// later, so that the interrupted instruction must agree.
fn by_exception(target: &Target, context: Addr, thread: &OsThread, registers: &Registers) -> Option<FatalSignal> {
    let memory = &target.memory;
    let word = |offset: u64| memory.u64(context.plus(offset)?).ok();
    let (trap, error, faulting) = (word(TRAP)?, word(ERROR)?, Addr(word(FAULTING)?));
    let pc = registers.pc()?;
    let pointer = thread.thread_pointer.as_ref().ok().copied();
    let decoded = instruction::decode(memory, pc, registers, pointer);
    let fault = |number, code, address| {
        let (tid, code) = (thread.tid, Some(code));
        Some(FatalSignal { tid, number, code, address, sender_pid: None, sender_uid: None, syscall: None })
    };
    let special = decoded.as_ref().ok().and_then(|decoded| decoded.special);
    let accesses = decoded.as_ref().map(|decoded| decoded.accesses.as_slice()).unwrap_or_default();
    match trap {
        DIVIDE if matches!(special, Some(Special::Divide(_))) => fault(SIGFPE, FPE_INTDIV, Some(pc)),
        INVALID_OPCODE if matches!(special, Some(Special::Trap)) => fault(SIGILL, ILL_ILLOPN, Some(pc)),
        GENERAL_PROTECTION => {
            let wild = |address: Option<Addr>| address.is_some_and(|address| !place::is_canonical(address));
            let goes = matches!(special, Some(Special::Goto(to)) if wild(Some(to)));
            let agrees = goes || wild(Some(pc)) || accesses.iter().any(|access| wild(access.operand.address()));
            agrees.then(|| fault(SIGSEGV, SI_KERNEL, None))?
        }
        PAGE_FAULT => {
            let covers = |access: &Access| {
                let offset = access.operand.address().and_then(|start| faulting.since(start));
                offset.is_some_and(|offset| offset < u64::from(access.bytes.unwrap_or(1)))
            };
            if faulting != pc && !accesses.iter().any(covers) {
                return None;
            }
            // A page that is mapped, may be read and is absent: the file behind it is shorter.
            let mapped = memory.region_at(faulting).is_some_and(|region| region.access.read);
            match error & PROTECTION {
                0 if mapped => fault(SIGBUS, BUS_ADRERR, Some(faulting)),
                0 => fault(SIGSEGV, SEGV_MAPERR, Some(faulting)),
                _ => fault(SIGSEGV, SEGV_ACCERR, Some(faulting)),
            }
        }
        _ => None,
    }
}

fn signal(target: &Target, at: Addr, tid: Tid) -> Option<FatalSignal> {
    let number = target.memory.u32(at).ok().filter(|number| FAULTS.contains(number))?;
    let code = target.memory.u32(at.plus(CODE)?).ok()?.cast_signed();
    // Codes of faults are positive; zero and below were sent by a process.
    if code <= 0 {
        return None;
    }
    Some(FatalSignal {
        tid,
        number: number.cast_signed(),
        code: Some(code),
        address: target.memory.ptr(at.plus(ADDRESS)?).ok(),
        sender_pid: None,
        sender_uid: None,
        syscall: None,
    })
}
