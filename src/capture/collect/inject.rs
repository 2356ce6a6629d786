//! One system call made by a stopped thread of the target, which is then as it was.
//!
//! The thread is in a system call that is about to be restarted: there it is in no restartable sequence and holds
//! nothing half done. Its registers are set to another call, at a `syscall` instruction that the process has; nothing
//! is written to its memory. All its signals are blocked meanwhile. Before its own registers are put back it is stopped
//! once more as by PTRACE_INTERRUPT, since only then the kernel restarts the call that it was in. The thread is lost to
//! its process if we are killed (SIGKILL) within the 0.1 ms that this takes.

use std::io;
use std::time::{Duration, Instant};

use super::notes::NT_PRSTATUS;
use super::stops::{Wait, poll};
use crate::ptrace;

/// Longest time for one step.
const PATIENCE: Duration = Duration::from_secs(1);
/// Largest set of general registers.
const GENERAL: usize = 512;

// Places in `user_regs_struct`. Source: Linux arch/x86/include/asm/user_64.h.
const RAX: usize = 10;
const ORIG_RAX: usize = 15;
const RIP: usize = 16;
/// rdi rsi rdx r10 r8 r9. Source: System V AMD64 psABI, appendix A.2.1.
const ARGUMENTS: [usize; 6] = [14, 13, 12, 7, 9, 8];

/// What a call left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Returned {
    /// Its result; negative is an errno.
    pub(super) result: i64,
    /// The child that it made, by its id in our namespace, stopped and traced.
    pub(super) child: Option<i32>,
}

/// Whether a stopped thread can make a call: it is in one of its own that can be restarted.
pub(super) fn can_call(tid: i32) -> bool {
    cfg!(target_arch = "x86_64")
        && ptrace::registers(tid, NT_PRSTATUS, &mut [0; GENERAL])
            .is_ok_and(|registers| word(&registers, ORIG_RAX).is_some_and(|number| number.cast_signed() >= 0))
}

/// Makes a stopped thread call the kernel: `at` is the address of a `syscall` instruction.
pub(super) fn call(tid: i32, at: u64, number: u64, arguments: [u64; 6]) -> io::Result<Returned> {
    let saved = ptrace::registers(tid, NT_PRSTATUS, &mut [0; GENERAL])?;
    let mask = ptrace::blocked_signals(tid)?;
    ptrace::block_signals(tid, u64::MAX)?;
    let returned = make(tid, at, number, arguments, &saved);
    // Whatever happened, the thread gets its own registers back where it can be brought to stop.
    let settled = settle(tid);
    let restored = ptrace::set_registers(tid, NT_PRSTATUS, &saved);
    ptrace::block_signals(tid, mask)?;
    ptrace::set_options(tid, 0)?;
    restored?;
    settled?;
    returned
}

fn make(tid: i32, at: u64, number: u64, arguments: [u64; 6], saved: &[u8]) -> io::Result<Returned> {
    let mut registers = saved.to_vec();
    // No call is entered yet, so none is restarted.
    for (index, value) in
        [(RAX, number), (ORIG_RAX, u64::MAX), (RIP, at)].into_iter().chain(ARGUMENTS.into_iter().zip(arguments))
    {
        set_word(&mut registers, index, value);
    }
    ptrace::set_registers(tid, NT_PRSTATUS, &registers)?;
    ptrace::set_options(tid, ptrace::TRACE_SYSCALLS | ptrace::TRACE_CHILDREN)?;
    ptrace::resume_to_syscall(tid)?;
    expect(tid, Wait::Syscall)?;
    ptrace::resume_to_syscall(tid)?;
    let mut child = None;
    if wait(tid)? == Wait::Child {
        child = Some(ptrace::child_of(tid)?);
        ptrace::resume_to_syscall(tid)?;
        expect(tid, Wait::Syscall)?;
    }
    let result = word(&ptrace::registers(tid, NT_PRSTATUS, &mut [0; GENERAL])?, RAX);
    let result = result.ok_or(io::ErrorKind::UnexpectedEof)?.cast_signed();
    Ok(Returned { result, child })
}

/// Brings the thread to a stop from which its own call is restarted.
fn settle(tid: i32) -> io::Result<()> {
    ptrace::interrupt(tid)?;
    ptrace::resume(tid, 0)?;
    expect(tid, Wait::Stopped)
}

fn expect(tid: i32, wanted: Wait) -> io::Result<()> {
    let seen = wait(tid)?;
    if seen == wanted {
        Ok(())
    } else {
        Err(io::Error::other(format!("thread {tid}: {wanted:?} was expected, {seen:?} came")))
    }
}

/// Waits for what a thread does next.
pub(super) fn wait(tid: i32) -> io::Result<Wait> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match poll(tid) {
            Wait::Nothing if Instant::now() < deadline => std::thread::yield_now(),
            Wait::Nothing => return Err(io::ErrorKind::TimedOut.into()),
            Wait::Gone => return Err(io::Error::other(format!("thread {tid} is gone"))),
            // The whole process was stopped meanwhile: it stands still, which is what is asked for.
            Wait::WithAll(_) => return Ok(Wait::Stopped),
            seen => return Ok(seen),
        }
    }
}

fn word(registers: &[u8], index: usize) -> Option<u64> {
    registers.as_chunks::<8>().0.get(index).map(|word| u64::from_le_bytes(*word))
}

fn set_word(registers: &mut [u8], index: usize, value: u64) {
    if let Some(word) = registers.as_chunks_mut::<8>().0.get_mut(index) {
        *word = value.to_le_bytes();
    }
}
