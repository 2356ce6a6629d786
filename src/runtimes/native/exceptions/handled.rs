//! A fault whose handler ended the process: crash reporters, Rust's guard against stack overflow.
//!
//! The fatal signal is then the handler's own (`abort`, or the same signal sent again). What happened stands in the
//! signal frame that the kernel pushed beneath the handler: `siginfo_t` and the interrupted registers.

use crate::model::{Addr, Arch, FatalSignal, FrameKind, OsThread, Stack, Tid};
use crate::target::Target;

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
    let at = stack.frames.get(trampoline)?.sp.plus(match target.arch() {
        Arch::X86_64 => X86_64_UCONTEXT,
        Arch::Aarch64 => AARCH64_UCONTEXT,
    })?;
    let signal = signal(target, at, thread.tid)?;
    let interrupted = trampoline.checked_add(1)?;
    let registers = stack.registers_at(interrupted)?.clone();
    let handler = stack.frames.get(trampoline.checked_sub(1)?)?.lookup();
    Some(Handled {
        signal,
        handler,
        thread: OsThread { registers: Ok(registers), syscall: None, ..thread.clone() },
        stack: Stack {
            frames: stack.frames.get(interrupted..)?.to_vec(),
            registers: stack.registers.get(interrupted..)?.to_vec(),
            end: stack.end,
        },
    })
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
    })
}
