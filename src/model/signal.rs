//! The signal that ended (or stopped) the process.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Addr, Tid};

/// A fatal signal, as NT_SIGINFO records it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FatalSignal {
    /// The thread that took it.
    pub tid: Tid,
    /// Its number.
    pub number: i32,
    /// `si_code`: why; `None` when the dump records no siginfo.
    pub code: Option<i32>,
    /// `si_addr` of SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP.
    pub address: Option<Addr>,
    /// Process that sent it (`SI_USER`, `SI_TKILL`, `SI_QUEUE`), in the target's PID namespace.
    pub sender_pid: Option<u32>,
    /// User that sent it.
    pub sender_uid: Option<u32>,
    /// `si_syscall` of SIGSYS: the number of the system call that was refused, where it is of the target's own table.
    pub syscall: Option<u32>,
}

// Source: Linux include/uapi/asm-generic/signal.h, numbers 1-31 (shared by x86-64 and aarch64).
const NAMES: [&str; 32] = [
    "",
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// `SIGSEGV` for 11; `signal 42` for one without a name.
pub fn signal_name(number: i32) -> String {
    match usize::try_from(number).ok().and_then(|index| NAMES.get(index)) {
        Some(name) if !name.is_empty() => (*name).to_owned(),
        _ => format!("signal {number}"),
    }
}

impl FatalSignal {
    /// `SIGSEGV`.
    pub fn name(&self) -> String {
        signal_name(self.number)
    }

    /// Whether another process (or the program itself, by `raise`) sent it, and not a fault.
    // Source: Linux include/uapi/asm-generic/siginfo.h: SI_USER 0, SI_QUEUE -1, SI_TKILL -6; faults are positive.
    pub fn was_sent(&self) -> bool {
        self.code.is_some_and(|code| code <= 0)
    }

    /// What the code says: `address not mapped`; `None` where the dump records no code, or it says nothing.
    pub fn words(&self) -> Option<&'static str> {
        let code = self.code?;
        CODES
            .iter()
            .find(|(number, known, _)| (*number == self.number || *number == ANY) && *known == code)
            .map(|(_, _, words)| *words)
    }
}

const ANY: i32 = 0;

// Source: Linux include/uapi/asm-generic/siginfo.h: (signal, si_code, meaning).
const CODES: [(i32, i32, &str); 39] = [
    (4, 1, "illegal opcode"),
    (4, 2, "illegal operand"),
    (4, 3, "illegal addressing mode"),
    (4, 4, "illegal trap"),
    (4, 5, "privileged opcode"),
    (4, 6, "privileged register"),
    (5, 1, "breakpoint"),
    (5, 2, "trace trap"),
    (5, 4, "hardware breakpoint or watchpoint"),
    (7, 1, "misaligned address"),
    (7, 2, "nothing behind the address (the mapped file is shorter)"),
    (7, 3, "hardware error of the object"),
    (7, 4, "hardware memory error: action required"),
    (7, 5, "hardware memory error: action optional"),
    (8, 1, "integer division by zero"),
    (8, 2, "integer overflow"),
    (8, 3, "floating-point division by zero"),
    (8, 4, "floating-point overflow"),
    (8, 5, "floating-point underflow"),
    (8, 6, "inexact floating-point result"),
    (8, 7, "invalid floating-point operation"),
    (8, 8, "subscript out of range"),
    (11, 1, "address not mapped"),
    (11, 2, "no permission for the access"),
    (11, 3, "bounds check failed"),
    (11, 4, "protection key forbids the access"),
    (31, 1, "a seccomp filter forbids the system call"),
    (31, 2, "system call dispatched to the user"),
    (7, 0x80, "stack segment fault, which has no address"),
    (11, 0x80, "general protection fault, which has no address"),
    (24, 0x80, "it has used more processor time than its limit (RLIMIT_CPU) allows"),
    (ANY, 0x80, "sent by the kernel"),
    (ANY, 0, "sent by kill"),
    (ANY, -1, "sent by sigqueue"),
    (ANY, -2, "a timer expired"),
    (ANY, -3, "a message queue changed"),
    (ANY, -4, "asynchronous I/O completed"),
    (ANY, -5, "queued signal of I/O"),
    (ANY, -6, "sent by tkill"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(number: i32, code: Option<i32>) -> FatalSignal {
        FatalSignal { tid: Tid(1), number, code, address: None, sender_pid: None, sender_uid: None, syscall: None }
    }

    #[test]
    fn a_code_is_told_in_words_that_belong_to_its_signal() {
        assert_eq!(signal(11, Some(1)).words(), Some("address not mapped"));
        assert_eq!(signal(8, Some(1)).words(), Some("integer division by zero"));
        assert_eq!(signal(6, Some(-6)).words(), Some("sent by tkill"));
        assert_eq!(signal(6, Some(1)).words(), None);
        assert_eq!(signal(11, None).words(), None, "a dump without siginfo");
    }
}
