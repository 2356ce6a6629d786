//! Which system calls block, what for, and which argument names it.
//!
//! Numbers: Linux arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h (arm64), as installed in
//! asm/unistd.h.

use crate::capture::Memory;
use crate::model::thread::CallKind;
use crate::model::{Addr, Arch, SavedSyscall, syscall_name};

/// A blocking call that is no futex: what it waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Blocking {
    /// What kind of thing.
    pub(super) kind: CallKind,
    /// `fd 7`, where an argument tells.
    pub(super) name: Option<String>,
}

/// System calls of one kind.
struct Group {
    numbers: &'static [u64],
    kind: CallKind,
    names: Names,
}

/// Which argument names what is waited for.
enum Names {
    /// The first is a file descriptor.
    Fd,
    /// The first points to an array of `struct pollfd`, the second is its length.
    PollFds,
    /// The argument with this index points to a path.
    Path(usize),
    Nothing,
}

/// Longest path: PATH_MAX of Linux.
const MAX_PATH: u64 = 4096;

static X86_64: &[Group] = &[
    // read pread64 readv preadv preadv2 recvfrom recvmsg recvmmsg splice
    Group { numbers: &[0, 17, 19, 295, 327, 45, 47, 299, 275], kind: CallKind::Read, names: Names::Fd },
    // getrandom
    Group { numbers: &[318], kind: CallKind::Read, names: Names::Nothing },
    // write pwrite64 writev pwritev pwritev2 sendto sendmsg sendmmsg sendfile vmsplice fsync fdatasync
    Group { numbers: &[1, 18, 20, 296, 328, 44, 46, 307, 40, 278, 74, 75], kind: CallKind::Write, names: Names::Fd },
    // poll ppoll
    Group { numbers: &[7, 271], kind: CallKind::Poll, names: Names::PollFds },
    // select pselect6
    Group { numbers: &[23, 270], kind: CallKind::Poll, names: Names::Nothing },
    // epoll_wait epoll_pwait epoll_pwait2
    Group { numbers: &[232, 281, 441], kind: CallKind::Epoll, names: Names::Fd },
    // accept accept4
    Group { numbers: &[43, 288], kind: CallKind::Accept, names: Names::Fd },
    // open creat
    Group { numbers: &[2, 85], kind: CallKind::Open, names: Names::Path(0) },
    // openat openat2
    Group { numbers: &[257, 437], kind: CallKind::Open, names: Names::Path(1) },
    // connect
    Group { numbers: &[42], kind: CallKind::Connect, names: Names::Fd },
    // nanosleep clock_nanosleep
    Group { numbers: &[35, 230], kind: CallKind::Sleep, names: Names::Nothing },
    // pause rt_sigsuspend rt_sigtimedwait
    Group { numbers: &[34, 130, 128], kind: CallKind::Signal, names: Names::Nothing },
    // wait4 waitid
    Group { numbers: &[61, 247], kind: CallKind::Child, names: Names::Nothing },
    // flock fcntl
    Group { numbers: &[73, 72], kind: CallKind::FileLock, names: Names::Fd },
    // semop semtimedop msgrcv msgsnd
    Group { numbers: &[65, 220, 70, 69], kind: CallKind::Ipc, names: Names::Nothing },
    // mq_timedreceive mq_timedsend
    Group { numbers: &[243, 242], kind: CallKind::Ipc, names: Names::Fd },
    // io_uring_enter
    Group { numbers: &[426], kind: CallKind::Io, names: Names::Fd },
    // io_getevents io_pgetevents
    Group { numbers: &[208, 333], kind: CallKind::Io, names: Names::Nothing },
];
static AARCH64: &[Group] = &[
    // read pread64 readv preadv preadv2 recvfrom recvmsg recvmmsg splice
    Group { numbers: &[63, 67, 65, 69, 286, 207, 212, 243, 76], kind: CallKind::Read, names: Names::Fd },
    // getrandom
    Group { numbers: &[278], kind: CallKind::Read, names: Names::Nothing },
    // write pwrite64 writev pwritev pwritev2 sendto sendmsg sendmmsg sendfile vmsplice fsync fdatasync
    Group { numbers: &[64, 68, 66, 70, 287, 206, 211, 269, 71, 75, 82, 83], kind: CallKind::Write, names: Names::Fd },
    // ppoll
    Group { numbers: &[73], kind: CallKind::Poll, names: Names::PollFds },
    // pselect6
    Group { numbers: &[72], kind: CallKind::Poll, names: Names::Nothing },
    // epoll_pwait epoll_pwait2
    Group { numbers: &[22, 441], kind: CallKind::Epoll, names: Names::Fd },
    // accept accept4
    Group { numbers: &[202, 242], kind: CallKind::Accept, names: Names::Fd },
    // openat openat2
    Group { numbers: &[56, 437], kind: CallKind::Open, names: Names::Path(1) },
    // connect
    Group { numbers: &[203], kind: CallKind::Connect, names: Names::Fd },
    // nanosleep clock_nanosleep
    Group { numbers: &[101, 115], kind: CallKind::Sleep, names: Names::Nothing },
    // rt_sigsuspend rt_sigtimedwait
    Group { numbers: &[133, 137], kind: CallKind::Signal, names: Names::Nothing },
    // wait4 waitid
    Group { numbers: &[260, 95], kind: CallKind::Child, names: Names::Nothing },
    // flock fcntl
    Group { numbers: &[32, 25], kind: CallKind::FileLock, names: Names::Fd },
    // semop semtimedop msgrcv msgsnd
    Group { numbers: &[193, 192, 188, 189], kind: CallKind::Ipc, names: Names::Nothing },
    // mq_timedreceive mq_timedsend
    Group { numbers: &[183, 182], kind: CallKind::Ipc, names: Names::Fd },
    // io_uring_enter
    Group { numbers: &[426], kind: CallKind::Io, names: Names::Fd },
    // io_getevents io_pgetevents
    Group { numbers: &[4, 292], kind: CallKind::Io, names: Names::Nothing },
];

/// The number of `futex`.
pub(super) const fn futex(arch: Arch) -> u64 {
    match arch {
        Arch::X86_64 => 202,
        Arch::Aarch64 => 98,
    }
}

/// The number of `restart_syscall`: what a sleep continues as after the thread was stopped and let go on.
pub(super) const fn restart(arch: Arch) -> u64 {
    match arch {
        Arch::X86_64 => 219,
        Arch::Aarch64 => 128,
    }
}

/// What a thread that is blocked in `call` waits for.
pub(super) fn blocking(arch: Arch, call: &SavedSyscall, memory: &Memory) -> Blocking {
    let table = match arch {
        Arch::X86_64 => X86_64,
        Arch::Aarch64 => AARCH64,
    };
    let Some(group) = table.iter().find(|group| group.numbers.contains(&call.number)) else {
        return Blocking { kind: CallKind::Other, name: syscall_name(arch, call.number).map(str::to_owned) };
    };
    let [first, second, third, ..] = call.args;
    // Polling nothing is how C libraries pause, or sleep, where the kernel has no call for it.
    if matches!(group.names, Names::PollFds) && second == Some(0) {
        let kind = if third == Some(0) { CallKind::Signal } else { CallKind::Sleep };
        return Blocking { kind, name: None };
    }
    let name = match group.names {
        Names::Fd => first.and_then(fd).map(|fd| format!("fd {fd}")),
        Names::PollFds => first.zip(second).and_then(|(array, len)| poll_fds(memory, Addr(array), len)),
        Names::Path(index) => call.args.get(index).copied().flatten().and_then(|at| path(memory, Addr(at))),
        Names::Nothing => None,
    };
    Blocking { kind: group.kind, name }
}

fn path(memory: &Memory, at: Addr) -> Option<String> {
    let path = memory.c_string(at, MAX_PATH).ok()?;
    Some(String::from_utf8_lossy(&path).into_owned()).filter(|path| !path.is_empty())
}

/// A descriptor argument: the low half of the register.
fn fd(argument: u64) -> Option<i32> {
    let low = u32::try_from(argument & 0xffff_ffff).ok()?;
    Some(low.cast_signed()).filter(|fd| *fd >= 0)
}

/// Descriptors that are named; the rest are counted.
const MAX_POLL_FDS: u64 = 4;
// struct pollfd { int fd; short events, revents; }. Source: POSIX poll.h, Linux include/uapi/asm-generic/poll.h.
const POLLFD_SIZE: u64 = 8;

fn poll_fds(memory: &Memory, array: Addr, len: u64) -> Option<String> {
    let mut fds = Vec::new();
    for index in 0..len.min(MAX_POLL_FDS) {
        let fd = memory.u32(array.plus(index.checked_mul(POLLFD_SIZE)?)?).ok()?.cast_signed();
        // Negative descriptors are ignored by the kernel.
        if fd >= 0 {
            fds.push(fd.to_string());
        }
    }
    match (fds.as_slice(), len.saturating_sub(MAX_POLL_FDS)) {
        ([], 0) => None,
        ([only], 0) => Some(format!("fd {only}")),
        (_, 0) => Some(format!("fds {}", fds.join(", "))),
        (_, more) => Some(format!("fds {} and {more} more", fds.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(number: u64, args: [u64; 2]) -> SavedSyscall {
        let [first, second] = args;
        SavedSyscall { number, args: [Some(first), Some(second), None, None, None, None], result: -512 }
    }

    #[test]
    fn read_is_named_by_its_descriptor() {
        let blocking = blocking(Arch::X86_64, &call(0, [7, 0x1000]), &Memory::default());
        assert_eq!(blocking, Blocking { kind: CallKind::Read, name: Some("fd 7".to_owned()) });
    }

    #[test]
    fn poll_is_named_by_the_descriptors_in_its_array() {
        // { fd 5, POLLIN }, { fd -1 }, { fd 9, POLLIN }
        let memory = Memory::of(0x7000, &[0x0000_0001_0000_0005, 0x0000_0001_ffff_ffff, 0x0000_0001_0000_0009]);
        let name = |len| blocking(Arch::X86_64, &call(7, [0x7000, len]), &memory).name;
        assert_eq!(name(1).as_deref(), Some("fd 5"));
        assert_eq!(name(3).as_deref(), Some("fds 5, 9"));
        assert_eq!(name(4), None, "an array that cannot be read names nothing");
    }

    #[test]
    fn polling_nothing_is_a_pause_or_a_sleep() {
        let kind = |timeout| {
            let args = [Some(0), Some(0), timeout, None, None, None];
            let poll = SavedSyscall { number: 73, args, result: -514 };
            blocking(Arch::Aarch64, &poll, &Memory::default()).kind
        };
        assert_eq!(kind(Some(0)), CallKind::Signal);
        assert_eq!(kind(Some(0x7000)), CallKind::Sleep);
    }

    #[test]
    fn an_open_is_named_by_its_path() {
        // A FIFO that nobody has opened at the other end: openat(AT_FDCWD, "/run/in", O_RDONLY).
        let memory = Memory::of_bytes(0x7000, b"/run/in\0");
        let args = [Some(0xffff_ff9c), Some(0x7000), Some(0), Some(0), None, None];
        let open = SavedSyscall { number: 257, args, result: -512 };
        let name = |memory| blocking(Arch::X86_64, &open, memory);
        assert_eq!(name(&memory), Blocking { kind: CallKind::Open, name: Some("/run/in".into()) });
        assert_eq!(name(&Memory::default()), Blocking { kind: CallKind::Open, name: None });
    }

    #[test]
    fn a_call_that_is_not_listed_still_blocks() {
        let blocking = blocking(Arch::Aarch64, &call(9999, [0, 0]), &Memory::default());
        assert_eq!(blocking, Blocking { kind: CallKind::Other, name: None });
    }
}
