//! The system calls that stop a process and read it: ptrace(2), waitid(2) for traced threads, process_vm_readv(2).
//!
//! Everything unsafe about other processes is here. A thread is a tracee of the thread of ours that seized it, and of
//! no other: all calls for one target come from one thread. When that one ends, for whatever reason, SIGKILL of ours
//! among them, the kernel lets its tracees go. It then delivers the signal that one was about to take only where that
//! stop was not taken note of by a wait: so stops are looked at first ([`look`]), and taken note of ([`taken`]) when
//! nothing is left to do with them.
// Source: Linux kernel/exit.c, wait_task_stopped, which clears the `exit_code` that kernel/signal.c, ptrace_signal,
// reads afterwards.

mod reaper;

use std::io;
use std::mem::MaybeUninit;

pub(crate) use self::reaper::{Seizing, seizing};

// Source: Linux include/uapi/linux/ptrace.h.
const PTRACE_CONT: i64 = 7;
const PTRACE_DETACH: i64 = 17;
const PTRACE_SYSCALL: i64 = 24;
const PTRACE_SETOPTIONS: i64 = 0x4200;
const PTRACE_GETEVENTMSG: i64 = 0x4201;
const PTRACE_GETSIGINFO: i64 = 0x4202;
const PTRACE_GETREGSET: i64 = 0x4204;
const PTRACE_SETREGSET: i64 = 0x4205;
const PTRACE_SEIZE: i64 = 0x4206;
const PTRACE_INTERRUPT: i64 = 0x4207;
const PTRACE_LISTEN: i64 = 0x4208;
const PTRACE_GETSIGMASK: i64 = 0x420a;
const PTRACE_SETSIGMASK: i64 = 0x420b;

/// Events of a stop that is no signal's delivery: a child, an exec, a stop that was asked for or that the whole process
/// is in.
// Source: as above.
pub(crate) const EVENT_EXEC: i32 = libc::PTRACE_EVENT_EXEC;
pub(crate) const EVENT_STOP: i32 = 128;

/// Stops of system calls are marked, with [`SYSCALL`]; Source: as above, PTRACE_O_TRACESYSGOOD.
pub(crate) const TRACE_SYSCALLS: u64 = 1;
/// What such a stop has in place of a signal.
pub(crate) const SYSCALL: i32 = libc::SIGTRAP | 0x80;
/// A child is traced from its first moment. Source: as above, PTRACE_O_TRACEFORK | PTRACE_O_TRACECLONE.
pub(crate) const TRACE_CHILDREN: u64 = 2 | 8;
/// So are threads. Source: as above, PTRACE_O_TRACECLONE.
pub(crate) const TRACE_THREADS: u64 = 8;
/// An exec is an event. Source: as above, PTRACE_O_TRACEEXEC.
pub(crate) const TRACE_EXEC: u64 = 16;
/// The tracee dies with its tracer. Source: as above, PTRACE_O_EXITKILL.
pub(crate) const KILL_ON_EXIT: u64 = 1 << 20;

fn call(request: i64, tid: i32, address: u64, data: u64) -> io::Result<()> {
    // SAFETY: none of the requests that come here writes to memory of ours through `address` or `data`.
    let result = unsafe { libc::syscall(libc::SYS_ptrace, request, i64::from(tid), address, data) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Becomes the tracer of a thread, without stopping it. Waits while the process runs another program (exec), for ever
/// where that waits for a tracee of ours to be reaped: [`seizing`] is for more than one thread.
pub(crate) fn seize(tid: i32, options: u64) -> io::Result<()> {
    call(PTRACE_SEIZE, tid, 0, options)
}

/// Asks a seized thread to stop.
pub(crate) fn interrupt(tid: i32) -> io::Result<()> {
    call(PTRACE_INTERRUPT, tid, 0, 0)
}

/// Lets a stopped thread go, with the signal that it was about to take (0: none).
pub(crate) fn detach(tid: i32, signal: i32) -> io::Result<()> {
    call(PTRACE_DETACH, tid, 0, u64::try_from(signal).unwrap_or(0))
}

/// Lets a stopped thread run on, still traced, with the signal that it was about to take (0: none).
pub(crate) fn resume(tid: i32, signal: i32) -> io::Result<()> {
    call(PTRACE_CONT, tid, 0, u64::try_from(signal).unwrap_or(0))
}

/// Leaves a thread in the stop that its process is in (SIGSTOP, a terminal's), and hears of its end.
pub(crate) fn listen(tid: i32) -> io::Result<()> {
    call(PTRACE_LISTEN, tid, 0, 0)
}

/// Lets a stopped thread run to the next entry or exit of a system call.
pub(crate) fn resume_to_syscall(tid: i32) -> io::Result<()> {
    call(PTRACE_SYSCALL, tid, 0, 0)
}

/// Sets what the tracer is told of, and what happens when it ends.
pub(crate) fn set_options(tid: i32, options: u64) -> io::Result<()> {
    call(PTRACE_SETOPTIONS, tid, 0, options)
}

/// The id of the child that a thread has stopped for.
pub(crate) fn child_of(tid: i32) -> io::Result<i32> {
    let mut message: libc::c_ulong = 0;
    let at = &raw mut message;
    // SAFETY: the kernel writes one unsigned long to `message`, which outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_ptrace, PTRACE_GETEVENTMSG, i64::from(tid), 0u64, at) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(message).map_err(io::Error::other)
}

/// The signals that a stopped thread blocks, one bit each.
pub(crate) fn blocked_signals(tid: i32) -> io::Result<u64> {
    let mut mask = 0u64;
    let at = &raw mut mask;
    // SAFETY: the kernel writes the 8 bytes, as many as are announced, of `mask`.
    let result = unsafe { libc::syscall(libc::SYS_ptrace, PTRACE_GETSIGMASK, i64::from(tid), 8u64, at) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(mask) }
}

/// Sets the signals that a stopped thread blocks.
pub(crate) fn block_signals(tid: i32, mask: u64) -> io::Result<()> {
    let at = &raw const mask;
    // SAFETY: the kernel reads the 8 bytes, as many as are announced, of `mask`.
    let result = unsafe { libc::syscall(libc::SYS_ptrace, PTRACE_SETSIGMASK, i64::from(tid), 8u64, at) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The signal information of a stopped thread (`siginfo_t`).
pub(crate) fn siginfo(tid: i32) -> io::Result<[u8; 128]> {
    let mut info = [0u8; 128];
    // SAFETY: the kernel writes a siginfo_t, 128 bytes on every architecture of Linux, into the 128 bytes of `info`.
    let result = unsafe { libc::syscall(libc::SYS_ptrace, PTRACE_GETSIGINFO, i64::from(tid), 0u64, info.as_mut_ptr()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(info) }
}

/// A set of registers of a stopped thread, `kind` as in core notes; `room` is overwritten.
pub(crate) fn registers(tid: i32, kind: u32, room: &mut [u8]) -> io::Result<Vec<u8>> {
    let mut part = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
    let at = &raw mut part;
    // SAFETY: `part` describes the whole of `room`; the kernel writes no more than that and says how much in iov_len.
    let result = unsafe { libc::syscall(libc::SYS_ptrace, PTRACE_GETREGSET, i64::from(tid), u64::from(kind), at) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(room.get(..part.iov_len).unwrap_or_default().to_vec())
}

/// Writes a set of registers of a stopped thread.
pub(crate) fn set_registers(tid: i32, kind: u32, bytes: &[u8]) -> io::Result<()> {
    let part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let at = &raw const part;
    // SAFETY: the kernel reads `bytes`, which `part` describes, and writes nothing to it.
    let result = unsafe { libc::syscall(libc::SYS_ptrace, PTRACE_SETREGSET, i64::from(tid), u64::from(kind), at) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A change of a traced thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// The thread.
    pub(crate) tid: i32,
    /// How it stopped: the signal, and the event, 0 for a signal's delivery; `None` when it ended.
    pub(crate) stop: Option<(i32, i32)>,
}

/// The next change of a thread that this thread traces, of `tid` alone where it is not 0; `None` where there is none
/// now. It is told again and again until it is [`taken`] note of or the thread goes on. Fails where nothing is traced.
pub(crate) fn look(tid: i32) -> io::Result<Option<Change>> {
    wait(tid, libc::WNOWAIT)
}

/// Takes note of the change of one thread: it is not told again.
pub(crate) fn taken(tid: i32) {
    // What was looked at is there to be taken; nothing else can take it.
    let _ = wait(tid, 0);
}

/// Reaps a thread that any thread of ours traces. Whether it had ended; a stop stays to be told to its tracer.
fn reap(tid: i32) -> bool {
    // Stops are told whatever is asked for: what there is is looked at first. An end is the last that there is.
    // Source: Linux kernel/exit.c, wait_task_stopped.
    let options = libc::WEXITED | libc::WNOHANG | libc::__WALL;
    let ended = matches!(wait_for(tid, options | libc::WNOWAIT), Ok(Some(Change { stop: None, .. })));
    ended && wait_for(tid, options).is_ok()
}

fn wait(tid: i32, more: i32) -> io::Result<Option<Change>> {
    wait_for(tid, libc::WEXITED | libc::WSTOPPED | libc::WNOHANG | libc::__WALL | libc::__WNOTHREAD | more)
}

fn wait_for(tid: i32, options: i32) -> io::Result<Option<Change>> {
    let mut told = MaybeUninit::<libc::siginfo_t>::zeroed();
    let kind = if tid == 0 { libc::P_ALL } else { libc::P_PID };
    let id = libc::id_t::try_from(tid).map_err(io::Error::other)?;
    // SAFETY: the kernel writes at most one siginfo_t to where `told` has room for one.
    let done = unsafe { libc::waitid(kind, id, told.as_mut_ptr(), options) };
    if done == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: all bytes of it are initialised, with zeros at least, and every pattern of them is a siginfo_t. The two
    // fields are those that waitid(2) fills.
    let (tid, status, code) = unsafe {
        let told = told.assume_init();
        (told.si_pid(), told.si_status(), told.si_code)
    };
    let stop = matches!(code, libc::CLD_TRAPPED | libc::CLD_STOPPED).then_some((status & 0xff, status >> 8));
    Ok((tid != 0).then_some(Change { tid, stop }))
}

/// Reads memory of a process. The number of bytes that were read; fewer than asked for where a page cannot be read.
pub(crate) fn read_memory(pid: u32, address: u64, into: &mut [u8]) -> io::Result<usize> {
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    let address = usize::try_from(address).map_err(io::Error::other)?;
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let remote = libc::iovec { iov_base: std::ptr::with_exposed_provenance_mut(address), iov_len: into.len() };
    // SAFETY: `local` describes the whole of `into`, to which the kernel writes at most as much; `remote` is an address
    // of the other process, which the kernel checks.
    let read = unsafe { libc::process_vm_readv(pid, &local, 1, &remote, 1, 0) };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}

/// Whether a process may be traced and its memory read: `Ok`, or the kernel's refusal. No file is opened, so that the
/// owner and the mode of one do not count: root without CAP_DAC_OVERRIDE opens no other user's `/proc/PID/mem`, and may
/// trace it all the same.
// Source: Linux mm/process_vm_access.c, process_vm_rw_core: mm_access with PTRACE_MODE_ATTACH_REALCREDS before anything
// is copied.
pub(crate) fn may_trace(pid: u32) -> io::Result<()> {
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    let mut byte = 0u8;
    let local = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let remote = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 1 };
    // SAFETY: `local` describes one byte of ours, to which the kernel writes at most as much; `remote` is an address of
    // the other process, where nothing is mapped as a rule.
    let read = unsafe { libc::process_vm_readv(pid, &local, 1, &remote, 1, 0) };
    if read >= 0 {
        return Ok(());
    }
    match io::Error::last_os_error() {
        error if error.raw_os_error() == Some(libc::EFAULT) => Ok(()),
        error => Err(error),
    }
}
