//! The call of ptrace(2) that tells whether it is let through at all.

use std::io;
use std::ptr;

fn call(request: libc::c_uint, tid: i32, data: usize) -> io::Result<()> {
    // SAFETY: the requests below take a thread id and a number; the kernel follows no pointer of ours for them. The address is ignored by
    // SEIZE (which wants it null), INTERRUPT, CONT, LISTEN and DETACH.
    let done = unsafe {
        libc::ptrace(request, tid, ptr::null_mut::<libc::c_void>(), ptr::without_provenance_mut::<libc::c_void>(data))
    };
    if done == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Ends the tracing of a stopped thread.
pub(super) fn detach(tid: i32, signal: i32) -> io::Result<()> {
    call(libc::PTRACE_DETACH, tid, usize::try_from(signal).map_err(io::Error::other)?)
}
