//! What each thread was doing when it was dumped, from its saved system call.
//!
//! Input: a thread's saved system call and the names of its innermost frames. Output: running, in a futex, in another
//! blocking call, or unknown. On x86-64 `orig_rax` survives and the result register tells a sleeper from a thread that
//! is on its way out of the kernel.

use crate::capture::Memory;
use crate::model::thread::CallKind;
use crate::model::{Addr, Arch, OsThread, Register, SavedSyscall, syscall_name};

use super::calls::Calls;
use super::syscalls::{self, Blocking};

/// What a thread is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Activity {
    /// Not in a system call, or leaving one.
    Running,
    /// Blocked in a futex.
    Futex(Futex),
    /// Blocked in another call.
    Call(Blocking),
    /// Its registers are not in the dump.
    Unknown,
}

/// A futex wait as the registers show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Futex {
    /// The futex word.
    pub(super) word: Addr,
    /// The operation without its flags.
    pub(super) command: u32,
    /// The value that the word had to have for the wait to begin; meaningless for the PI operations.
    pub(super) expected: u32,
    /// Whether the wait is private to the process.
    pub(super) private: bool,
    /// Whether the wait ends of itself at some time.
    pub(super) timed: bool,
}

// Source: Linux include/uapi/linux/futex.h.
pub(super) const FUTEX_WAIT: u32 = 0;
pub(super) const FUTEX_LOCK_PI: u32 = 6;
pub(super) const FUTEX_WAIT_BITSET: u32 = 9;
pub(super) const FUTEX_WAIT_REQUEUE_PI: u32 = 11;
pub(super) const FUTEX_LOCK_PI2: u32 = 13;
const FUTEX_PRIVATE_FLAG: u32 = 0x80;
const FUTEX_CLOCK_REALTIME: u32 = 0x100;

// What a sleeper's result register holds while the kernel writes the core, before any restart.
// Source: Linux include/linux/errno.h: ERESTARTSYS 512, ERESTARTNOINTR 513, ERESTARTNOHAND 514, ERESTART_RESTARTBLOCK 516.
const RESTARTS: std::ops::RangeInclusive<i64> = -516..=-512;
// Calls that are never restarted (epoll_wait, sigtimedwait, semop) were woken by the very dump. Source: signal(7).
const EINTR: i64 = -4;

impl Futex {
    fn of(call: &SavedSyscall, thread: &OsThread, memory: &Memory) -> Option<Futex> {
        let [first, op, expected, timeout, ..] = call.args;
        let low = |argument: u64| u32::try_from(argument & 0xffff_ffff).ok();
        let (op, expected) = (low(op?)?, low(expected?)?);
        // Where the result takes the first argument's register, and there is none yet, it still is the argument.
        let first = first.or(u64::try_from(call.result).ok()).map(Addr);
        let word = first.or_else(|| preserved_word(thread, expected, memory))?;
        let private = op & FUTEX_PRIVATE_FLAG != 0;
        let command = op & !(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME);
        // The fourth argument points to the time. Source: futex(2).
        let timed = timeout.is_none_or(|timeout| timeout != 0);
        Some(Futex { word, command, expected, private, timed })
    }

    /// Whether it asks for a priority-inheriting lock.
    pub(super) fn is_pi(&self) -> bool {
        matches!(self.command, FUTEX_LOCK_PI | FUTEX_LOCK_PI2 | FUTEX_WAIT_REQUEUE_PI)
    }

    fn waits(&self) -> bool {
        matches!(self.command, FUTEX_WAIT | FUTEX_WAIT_BITSET) || self.is_pi()
    }
}

/// The futex word of an interrupted wait on aarch64: the result took the argument's register, but the C library keeps the
/// address in a register that calls preserve (x19 to x28), for it looks at the word again. Only if just one holds the
/// address of a word with the expected value.
fn preserved_word(thread: &OsThread, expected: u32, memory: &Memory) -> Option<Addr> {
    let registers = thread.registers.as_ref().ok()?;
    let held = (19..=28).filter_map(|number| registers.get(Register(number)).map(Addr));
    let mut words = held.filter(|at| at.is_aligned(4) && memory.u32(*at).is_ok_and(|value| value == expected));
    let word = words.next()?;
    words.all(|other| other == word).then_some(word)
}

/// What a thread was doing.
pub(super) fn activity(arch: Arch, thread: &OsThread, calls: &Calls, memory: &Memory) -> Activity {
    if thread.registers.is_err() {
        return Activity::Unknown;
    }
    let Some(call) = &thread.syscall else { return Activity::Running };
    if !(RESTARTS.contains(&call.result) || call.result == EINTR || is_unfinished(arch, call)) {
        return interrupted_write(arch, call, memory).map_or(Activity::Running, Activity::Call);
    }
    let restarted = call.number == syscalls::restart(arch);
    if call.number == syscalls::futex(arch) || (restarted && restarted_call(calls) == Some(Restarted::Futex)) {
        // A wake that is about to return is no wait.
        return Futex::of(call, thread, memory).filter(Futex::waits).map_or(Activity::Running, Activity::Futex);
    }
    if restarted {
        return Activity::Call(match restarted_call(calls) {
            Some(Restarted::Sleep) => Blocking::of(CallKind::Sleep, None),
            // Its arguments still are where they were.
            Some(Restarted::Poll) => {
                syscalls::blocking(arch, &SavedSyscall { number: syscalls::poll(arch), ..*call }, memory)
            }
            Some(Restarted::Futex) | None => Blocking::of(CallKind::Other, None),
        });
    }
    Activity::Call(syscalls::blocking(arch, call, memory))
}

/// A write that waited for room after it had written a part is not restarted: it gives the part's length. One that was done gives the
/// whole, so that calls whose length is not among their arguments are not told apart and count as done.
// Source: Linux fs/pipe.c pipe_write, net/ipv4/tcp.c tcp_sendmsg_locked.
fn interrupted_write(arch: Arch, call: &SavedSyscall, memory: &Memory) -> Option<Blocking> {
    const LENGTH: usize = 2;
    let has_length = matches!(syscall_name(arch, call.number), Some("write" | "pwrite64" | "sendto"));
    let part = u64::try_from(call.result).ok().filter(|part| *part > 0)?;
    let is_part = has_length && call.args.get(LENGTH).copied().flatten().is_some_and(|whole| part < whole);
    let blocking = is_part.then(|| syscalls::blocking(arch, call, memory))?;
    (blocking.kind == CallKind::Write && blocking.name.is_some()).then_some(blocking)
}

/// An emulator's core has the registers as the call found them: the pc behind the `svc`, x0 still the first argument. A call
/// of the kernel's that has returned looks the same, but a thread is hardly ever met right there, unless it sent a signal to
/// itself. Measured with qemu-user 7.2.
fn is_unfinished(arch: Arch, call: &SavedSyscall) -> bool {
    // kill, tkill, tgkill. Source: Linux include/uapi/asm-generic/unistd.h.
    arch == Arch::Aarch64 && call.result >= 0 && !matches!(call.number, 129..=131)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Restarted {
    Futex,
    Sleep,
    Poll,
}

/// Which call a `restart_syscall` continues: the kernel keeps the arguments' registers, but not the number.
// Source: Linux kernel/signal.c restart_syscall; the users of set_restart_fn: futex, nanosleep, poll.
fn restarted_call(calls: &Calls) -> Option<Restarted> {
    calls.in_runtime().filter_map(|call| call.name.as_deref()).find_map(|name| {
        if name.contains("nanosleep") {
            Some(Restarted::Sleep)
        } else if name.contains("poll") {
            Some(Restarted::Poll)
        } else if ["futex", "pthread_", "sem_", "syscall", "timedwait"].iter().any(|part| name.contains(part)) {
            Some(Restarted::Futex)
        } else {
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Gap, Registers, Tid};

    fn thread(syscall: Option<SavedSyscall>) -> OsThread {
        OsThread {
            tid: Tid(7),
            registers: Ok(Registers::unknown(Arch::X86_64)),
            thread_pointer: Err(Gap::NotRecorded("thread pointer".into())),
            syscall,
            signal: 0,
            name: None,
            crashed: false,
        }
    }

    fn doing(number: u64, args: [u64; 3], result: i64) -> Activity {
        let [a, b, c] = args.map(Some);
        let call = SavedSyscall { number, args: [a, b, c, Some(0), None, None], result };
        activity(Arch::X86_64, &thread(Some(call)), &Calls::default(), &Memory::default())
    }

    #[test]
    fn a_private_futex_wait_is_read_from_its_arguments() {
        let expected = Futex { word: Addr(0x7000), command: FUTEX_WAIT, expected: 2, private: true, timed: false };
        assert_eq!(doing(202, [0x7000, 0x80, 2], -512), Activity::Futex(expected));
        // musl passes the word sign-extended.
        let word = 0xffff_ffff_8000_0010;
        assert!(matches!(doing(202, [0x7004, 0x80, word], -512), Activity::Futex(Futex { expected: 0x8000_0010, .. })));
    }

    #[test]
    fn a_call_that_has_returned_leaves_the_thread_running() {
        assert_eq!(doing(202, [0x7000, 0x80, 2], 0), Activity::Running);
        assert_eq!(doing(234, [1, 1, 6], 0), Activity::Running, "tgkill of itself, on its way to the handler");
        assert_eq!(doing(202, [0x7000, 0x81, 1], -4), Activity::Running, "a wake does not wait");
    }

    #[test]
    fn a_write_that_waits_for_room_has_written_a_part() {
        // A pipe holds 65536 bytes: pipe(7).
        let Activity::Call(blocking) = doing(1, [4, 0x7000, 200_000], 65_536) else { panic!("write blocks") };
        assert_eq!((blocking.kind, blocking.name.as_deref()), (CallKind::Write, Some("fd 4")));
        assert_eq!(doing(1, [4, 0x7000, 65_536], 65_536), Activity::Running, "all of it: the call is done");
        assert_eq!(doing(20, [4, 0x7000, 2], 65_536), Activity::Running, "writev: its length is not known");
        assert_eq!(doing(1, [4, 0x7000, 200_000], -32), Activity::Running, "EPIPE has returned");
        assert_eq!(doing(0, [4, 0x7000, 200_000], 5), Activity::Running, "so has a read that got something");
    }

    #[test]
    fn calls_without_restart_are_blocked_too() {
        let Activity::Call(blocking) = doing(232, [4, 0x7000, 8], -4) else { panic!("epoll_wait blocks") };
        assert_eq!((blocking.kind, blocking.name.as_deref()), (CallKind::Epoll, Some("fd 4")));
    }

    #[test]
    fn a_thread_outside_a_call_runs_and_one_without_registers_is_unknown() {
        let memory = Memory::default();
        assert_eq!(activity(Arch::X86_64, &thread(None), &Calls::default(), &memory), Activity::Running);
        let lost = OsThread { registers: Err(Gap::NotRecorded("registers".into())), ..thread(None) };
        assert_eq!(activity(Arch::X86_64, &lost, &Calls::default(), &memory), Activity::Unknown);
    }
}
