//! The signal that ended (or stopped) the process.

use super::{Addr, Tid};

/// A fatal signal, as NT_SIGINFO records it.
#[derive(Clone, Debug, PartialEq, Eq)]
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
}
