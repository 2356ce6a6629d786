//! The signal that Go's handler took before it gave up: the kernel's word of it is beneath the handler.

use crate::model::{Addr, Arch, FatalSignal, FrameKind};
use crate::target::Target;

use super::stack::{Joined, plain};

/// The function of the runtime that decides what a signal means. Source: Go src/runtime/signal_unix.go.
const HANDLER: &str = "runtime.sighandler";
/// Size of the kernel's `struct ucontext` on x86-64, behind which the siginfo lies. Sources: Linux arch/x86/include/asm/sigframe.h,
/// asm-generic/ucontext.h, arch/x86/include/uapi/asm/sigcontext.h.
const X86_64_UCONTEXT: u64 = 304;
/// On aarch64 the siginfo comes first. Source: Linux arch/arm64/kernel/signal.c, struct rt_sigframe.
const AARCH64_UCONTEXT: u64 = 0;
// `siginfo_t`: si_signo, si_errno, si_code, then at 16 si_addr, or si_pid and si_uid. Source: Linux include/uapi/asm-generic/siginfo.h.
const CODE: u64 = 8;
const ADDRESS: u64 = 16;
const UID: u64 = 20;
/// SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV: the signals of faults.
const FAULTS: [i32; 5] = [4, 5, 7, 8, 11];
/// With this signal the runtime asks its other threads for their stacks. Source: Go src/runtime/signal_unix.go, sighandler, "raiseproc".
const RELAY: i32 = 3;

/// A signal that the handler took.
pub(super) struct Handled {
    pub signal: FatalSignal,
    /// The walked frame that was interrupted.
    pub interrupted: usize,
}

impl Handled {
    /// How likely it is what ended the program: a fault, another signal, and last what the runtime itself sends around.
    pub(super) fn rank(&self, own_pid: Option<u32>) -> u8 {
        let from_itself = self.signal.sender_pid.is_some() && self.signal.sender_pid == own_pid;
        match self.signal.number {
            number if FAULTS.contains(&number) && self.signal.sender_pid.is_none() => 0,
            RELAY if from_itself => 2,
            _ => 1,
        }
    }
}

/// The signal whose handler gave the process up. `None` where no handler stands on the stack.
pub(super) fn find(target: &Target, joined: &Joined) -> Option<Handled> {
    let handler = joined.position(&[HANDLER])?;
    let handler_sp = joined.frames.get(handler)?.sp;
    let trampoline =
        joined.stack.frames.iter().position(|frame| frame.kind == FrameKind::Signal && frame.sp > handler_sp)?;
    let context = joined.stack.frames.get(trampoline)?.sp;
    let offset = match target.arch() {
        Arch::X86_64 => X86_64_UCONTEXT,
        Arch::Aarch64 => AARCH64_UCONTEXT,
    };
    let info = context.plus(offset)?;
    let word = |offset: u64| target.memory.u32(info.plus(offset)?).ok();
    let number = word(0)?.cast_signed();
    let code = word(CODE)?.cast_signed();
    if !(1..=64).contains(&number) {
        return None;
    }
    // What a process sends has a code of zero or below. Source: Linux include/uapi/asm-generic/siginfo.h, SI_FROMUSER.
    let sent = code <= 0;
    let signal = FatalSignal {
        tid: joined.thread.tid,
        number,
        code: Some(code),
        address: if sent { None } else { target.memory.ptr(info.plus(ADDRESS)?).ok() },
        sender_pid: if sent { word(ADDRESS) } else { None },
        sender_uid: if sent { word(UID) } else { None },
        syscall: None,
    };
    Some(Handled { signal, interrupted: trampoline.checked_add(1)? })
}

/// A fault of which the runtime has made a call of `runtime.sigpanic`: the walked frame that faulted.
pub(super) fn injected(joined: &Joined) -> Option<usize> {
    const INJECTED: [&str; 2] = ["runtime.sigpanic", "runtime.sigpanic0"];
    let last = joined
        .frames
        .iter()
        .take(MAX_FRAMES)
        .rposition(|frame| frame.function.as_deref().is_some_and(|function| INJECTED.contains(&plain(function))))?;
    joined.frames.get(last)?.walked.checked_add(1)
}

/// Frames among which a call of `sigpanic` is looked for.
const MAX_FRAMES: usize = 64;

/// The fault that the runtime noted of the goroutine whose code was at `pc`.
pub(super) fn noted(target: &Target, joined: &Joined, pc: Addr) -> Option<FatalSignal> {
    let goroutines = joined.goroutines?;
    let all = goroutines.user.into_iter().chain([goroutines.system]);
    let (number, code, address) = all.into_iter().find_map(|goroutine| goroutine.signal(&target.memory, pc))?;
    let tid = joined.thread.tid;
    let address = Some(address).filter(|_| FAULTS.contains(&number));
    Some(FatalSignal { tid, number, code: Some(code), address, sender_pid: None, sender_uid: None, syscall: None })
}
