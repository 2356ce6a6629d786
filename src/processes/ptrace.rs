//! The calls of ptrace(2) and waitid(2) that a watch needs, and the question whether a process may be traced. None of them writes the
//! target's memory, and none of it is read that anybody looks at.
//!
//! A thread is traced by the thread of ours that seized it, and by no other. When that one ends, for whatever reason, SIGKILL of ours
//! among them, the kernel lets its tracees go. It then delivers the signal that one was about to take only where that stop was not taken
//! note of by a wait: so stops are looked at first, and taken note of when nothing is left to do with them.
// Source: Linux kernel/exit.c, wait_task_stopped, which clears the `exit_code` that kernel/signal.c, ptrace_signal, reads afterwards.

use std::io;
use std::mem::MaybeUninit;

/// Stops that come with an event number: an exec, and those that are no signal's delivery.
// Source: Linux include/uapi/linux/ptrace.h.
pub(super) const EVENT_EXEC: i32 = libc::PTRACE_EVENT_EXEC;
pub(super) const EVENT_STOP: i32 = 128;

/// Requests that take a number at most. The C libraries disagree on their type, the kernel does not.
// Source: Linux include/uapi/linux/ptrace.h.
const CONT: libc::c_long = 7;
const DETACH: libc::c_long = 17;
const SEIZE: libc::c_long = 0x4206;
const INTERRUPT: libc::c_long = 0x4207;
const LISTEN: libc::c_long = 0x4208;

fn call(request: libc::c_long, tid: i32, data: i32) -> io::Result<()> {
    let none: libc::c_long = 0;
    // SAFETY: the kernel follows no pointer for the requests above: the address, which SEIZE wants to be null, is ignored by the others,
    // and the data are a number.
    let done =
        unsafe { libc::syscall(libc::SYS_ptrace, request, libc::c_long::from(tid), none, libc::c_long::from(data)) };
    if done == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Whether a process may be traced and its memory read: `Ok`, or the kernel's refusal. No file is opened, so that the owner and the mode
/// of one do not count: root without CAP_DAC_OVERRIDE opens no other user's `/proc/PID/mem`, and may trace it all the same.
// Source: Linux mm/process_vm_access.c, process_vm_rw_core: mm_access with PTRACE_MODE_ATTACH_REALCREDS before anything is copied.
pub(super) fn may_trace(pid: u32) -> io::Result<()> {
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    let mut byte = 0u8;
    let local = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let remote = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 1 };
    // SAFETY: `local` describes one byte of ours, to which the kernel writes at most as much; `remote` is an address of the other process,
    // where nothing is mapped as a rule.
    let read = unsafe { libc::process_vm_readv(pid, &local, 1, &remote, 1, 0) };
    if read >= 0 {
        return Ok(());
    }
    match io::Error::last_os_error() {
        error if error.raw_os_error() == Some(libc::EFAULT) => Ok(()),
        error => Err(error),
    }
}

/// A change of a traced thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// The thread.
    pub(super) tid: i32,
    /// How it stopped: the signal, and the event, 0 for a signal's delivery; `None` when it ended.
    pub(super) stop: Option<(i32, i32)>,
}

/// The next change of a thread that this thread traces, of `tid` alone where it is not 0; `None` where there is none now. It is told again
/// and again until it is [`taken`] note of or the thread goes on.
pub(super) fn look(tid: i32) -> Option<Change> {
    wait(tid, libc::WNOWAIT)
}

/// Takes note of the change of one thread: it is not told again.
pub(super) fn taken(tid: i32) {
    // What was looked at is there to be taken; nothing else can take it.
    let _ = wait(tid, 0);
}

fn wait(tid: i32, more: i32) -> Option<Change> {
    let mut told = MaybeUninit::<libc::siginfo_t>::zeroed();
    let kind = if tid == 0 { libc::P_ALL } else { libc::P_PID };
    let options = libc::WEXITED | libc::WSTOPPED | libc::WNOHANG | libc::__WALL | libc::__WNOTHREAD | more;
    // SAFETY: the kernel writes at most one siginfo_t to where `told` has room for one.
    let done = unsafe { libc::waitid(kind, libc::id_t::try_from(tid).ok()?, told.as_mut_ptr(), options) };
    if done == -1 {
        return None;
    }
    // SAFETY: all bytes of it are initialised, with zeros at least, and every pattern of them is a siginfo_t. The two fields are those
    // that waitid(2) fills.
    let (tid, status, code) = unsafe {
        let told = told.assume_init();
        (told.si_pid(), told.si_status(), told.si_code)
    };
    let stop = matches!(code, libc::CLD_TRAPPED | libc::CLD_STOPPED).then_some((status & 0xff, status >> 8));
    (tid != 0).then_some(Change { tid, stop })
}

/// Begins to trace a running thread without stopping it; threads that it starts are traced too.
pub(super) fn seize(tid: i32) -> io::Result<()> {
    call(SEIZE, tid, libc::PTRACE_O_TRACECLONE | libc::PTRACE_O_TRACEEXEC)
}

/// Asks a traced thread to stop.
pub(super) fn interrupt(tid: i32) -> io::Result<()> {
    call(INTERRUPT, tid, 0)
}

/// Lets a stopped thread go on, with the signal that it was about to take; 0 is none.
pub(super) fn resume(tid: i32, signal: i32) -> io::Result<()> {
    call(CONT, tid, signal)
}

/// Leaves a thread in the stop that its process is in (SIGSTOP, a terminal's), and hears of its end.
pub(super) fn listen(tid: i32) -> io::Result<()> {
    call(LISTEN, tid, 0)
}

/// Ends the tracing of a stopped thread.
pub(super) fn detach(tid: i32, signal: i32) -> io::Result<()> {
    call(DETACH, tid, signal)
}
