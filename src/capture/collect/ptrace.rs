//! The system calls that stop a process and read it: ptrace(2), waitpid(2) for traced threads, process_vm_readv(2).
//!
//! Everything unsafe of the collector is here. A thread is a tracee of the thread that seized it, and of no other: all
//! calls for one target come from one thread.

use std::io;

use rustix::process::{Pid, WaitOptions, waitpid};

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
const PTRACE_GETSIGMASK: i64 = 0x420a;
const PTRACE_SETSIGMASK: i64 = 0x420b;
const PTRACE_EVENT_STOP: u32 = 128;

/// Stops of system calls are marked; Source: as above, PTRACE_O_TRACESYSGOOD.
pub(super) const TRACE_SYSCALLS: u64 = 1;
/// A child is traced from its first moment. Source: as above, PTRACE_O_TRACEFORK | PTRACE_O_TRACECLONE.
pub(super) const TRACE_CHILDREN: u64 = 2 | 8;
/// The tracee dies with its tracer. Source: as above, PTRACE_O_EXITKILL.
pub(super) const KILL_ON_EXIT: u64 = 1 << 20;

/// Source: Linux include/uapi/linux/wait.h, __WALL.
const WALL: u32 = 0x4000_0000;

/// What a traced thread did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Nothing yet.
    Nothing,
    /// It stopped because it was told to, or with its whole process.
    Stopped,
    /// It stopped at the entry or exit of a system call.
    Syscall,
    /// It stopped because it made a child.
    Child,
    /// It stopped before it would take this signal, which must be handed on.
    Signal(i32),
    /// It is no more.
    Gone,
}

fn call(request: i64, tid: i32, address: u64, data: u64) -> io::Result<()> {
    // SAFETY: none of the requests that come here writes to memory of ours through `address` or `data`.
    let result = unsafe { libc::syscall(libc::SYS_ptrace, request, i64::from(tid), address, data) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Becomes the tracer of a thread, without stopping it.
pub(super) fn seize(tid: i32) -> io::Result<()> {
    call(PTRACE_SEIZE, tid, 0, 0)
}

/// Asks a seized thread to stop.
pub(super) fn interrupt(tid: i32) -> io::Result<()> {
    call(PTRACE_INTERRUPT, tid, 0, 0)
}

/// Lets a stopped thread go, with the signal that it was about to take (0: none).
pub(super) fn detach(tid: i32, signal: i32) -> io::Result<()> {
    call(PTRACE_DETACH, tid, 0, u64::try_from(signal).unwrap_or(0))
}

/// Lets a stopped thread run on, still traced.
pub(super) fn resume(tid: i32) -> io::Result<()> {
    call(PTRACE_CONT, tid, 0, 0)
}

/// Lets a stopped thread run to the next entry or exit of a system call.
pub(super) fn resume_to_syscall(tid: i32) -> io::Result<()> {
    call(PTRACE_SYSCALL, tid, 0, 0)
}

/// Sets what the tracer is told of, and what happens when it ends.
pub(super) fn set_options(tid: i32, options: u64) -> io::Result<()> {
    call(PTRACE_SETOPTIONS, tid, 0, options)
}

/// The id of the child that a thread has stopped for.
pub(super) fn child_of(tid: i32) -> io::Result<i32> {
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
pub(super) fn blocked_signals(tid: i32) -> io::Result<u64> {
    let mut mask = 0u64;
    let at = &raw mut mask;
    // SAFETY: the kernel writes the 8 bytes, as many as are announced, of `mask`.
    let result = unsafe { libc::syscall(libc::SYS_ptrace, PTRACE_GETSIGMASK, i64::from(tid), 8u64, at) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(mask) }
}

/// Sets the signals that a stopped thread blocks.
pub(super) fn block_signals(tid: i32, mask: u64) -> io::Result<()> {
    let at = &raw const mask;
    // SAFETY: the kernel reads the 8 bytes, as many as are announced, of `mask`.
    let result = unsafe { libc::syscall(libc::SYS_ptrace, PTRACE_SETSIGMASK, i64::from(tid), 8u64, at) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The signal information of a stopped thread (`siginfo_t`).
pub(super) fn siginfo(tid: i32) -> io::Result<[u8; 128]> {
    let mut info = [0u8; 128];
    // SAFETY: the kernel writes a siginfo_t, 128 bytes on every architecture of Linux, into the 128 bytes of `info`.
    let result = unsafe { libc::syscall(libc::SYS_ptrace, PTRACE_GETSIGINFO, i64::from(tid), 0u64, info.as_mut_ptr()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(info) }
}

/// A set of registers of a stopped thread, `kind` as in core notes; `room` is overwritten.
pub(super) fn registers(tid: i32, kind: u32, room: &mut [u8]) -> io::Result<Vec<u8>> {
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
pub(super) fn set_registers(tid: i32, kind: u32, bytes: &[u8]) -> io::Result<()> {
    let part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let at = &raw const part;
    // SAFETY: the kernel reads `bytes`, which `part` describes, and writes nothing to it.
    let result = unsafe { libc::syscall(libc::SYS_ptrace, PTRACE_SETREGSET, i64::from(tid), u64::from(kind), at) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// What a traced thread did, without waiting.
pub(super) fn poll(tid: i32) -> Wait {
    let Some(pid) = Pid::from_raw(tid) else { return Wait::Gone };
    let options = WaitOptions::NOHANG | WaitOptions::from_bits_retain(WALL);
    let status = match waitpid(Some(pid), options) {
        Ok(Some((_, status))) => status.as_raw().cast_unsigned(),
        Ok(None) => return Wait::Nothing,
        Err(rustix::io::Errno::INTR) => return Wait::Nothing,
        Err(_) => return Wait::Gone,
    };
    // Source: wait(2): 0x7f in the low byte is a stop, the signal stands above it, a ptrace event above that.
    if status & 0xff != 0x7f {
        return Wait::Gone;
    }
    let signal = (status >> 8 & 0xff).cast_signed();
    match status >> 16 {
        0 if signal == libc::SIGTRAP | 0x80 => Wait::Syscall,
        0 => Wait::Signal(signal),
        PTRACE_EVENT_STOP => Wait::Stopped,
        _ => Wait::Child,
    }
}

/// Reads memory of a process. The number of bytes that were read; fewer than asked for where a page cannot be read.
pub(super) fn read_memory(pid: u32, address: u64, into: &mut [u8]) -> io::Result<usize> {
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    let address = usize::try_from(address).map_err(io::Error::other)?;
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let remote = libc::iovec { iov_base: std::ptr::with_exposed_provenance_mut(address), iov_len: into.len() };
    // SAFETY: `local` describes the whole of `into`, to which the kernel writes at most as much; `remote` is an address of the
    // other process, which the kernel checks.
    let read = unsafe { libc::process_vm_readv(pid, &local, 1, &remote, 1, 0) };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}
