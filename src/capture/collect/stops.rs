//! What a traced thread did.

use crate::ptrace::{self, EVENT_STOP, SYSCALL};

/// A stop, or an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Nothing yet.
    Nothing,
    /// It stopped because it was told to.
    Stopped,
    /// It stands still with its whole process, which this signal has stopped.
    WithAll(i32),
    /// It stopped at the entry or exit of a system call.
    Syscall,
    /// It stopped because it made a child.
    Child,
    /// It stopped before it would take this signal, which must be handed on. Not taken note of: should we be killed
    /// meanwhile, the kernel delivers it.
    Signal(i32),
    /// It is no more.
    Gone,
}

/// What a thread did, without waiting.
pub(super) fn poll(tid: i32) -> Wait {
    let wait = match ptrace::look(tid) {
        Ok(None) => return Wait::Nothing,
        Ok(Some(change)) => match change.stop {
            None => Wait::Gone,
            Some((SYSCALL, 0)) => Wait::Syscall,
            Some((signal, 0)) => return Wait::Signal(signal),
            // Source: ptrace(2), "Group-stop": of a seized thread the signal is the one that stopped the process.
            Some((signal, EVENT_STOP)) if signal != libc::SIGTRAP => Wait::WithAll(signal),
            Some((_, EVENT_STOP)) => Wait::Stopped,
            Some(_) => Wait::Child,
        },
        Err(why) if why.raw_os_error() == Some(libc::EINTR) => return Wait::Nothing,
        Err(_) => return Wait::Gone,
    };
    ptrace::taken(tid);
    wait
}
