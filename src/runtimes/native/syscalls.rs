//! Which system calls block, what for, and which argument names it.
//!
//! Numbers: Linux arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h (arm64), as installed in
//! asm/unistd.h.

use crate::capture::Memory;
use crate::model::thread::{CallKind, Nature};
use crate::model::{Addr, Arch, SavedSyscall, syscall_name};

/// A blocking call that is no futex: what it waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Blocking {
    /// What kind of thing.
    pub(super) kind: CallKind,
    /// `fd 7`, where an argument tells.
    pub(super) name: Option<String>,
    /// What has to happen for it to return.
    pub(super) nature: Nature,
    /// What its arguments name outside the process.
    pub(super) on: On,
}

/// What a call waits on, for those who know more of it than memory tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum On {
    /// Nothing that has a number.
    Nothing,
    /// A descriptor.
    Fd(u32),
    /// A child process; `None` for any.
    Child(Option<u32>),
}

impl Blocking {
    /// A call of which only the kind is known.
    pub(super) fn of(kind: CallKind, name: Option<String>) -> Blocking {
        Blocking { kind, name, nature: kind.nature(), on: On::Nothing }
    }
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
    /// The first is a descriptor, the second points to a `struct sockaddr` of the third's length.
    Address,
    /// The first is a process id, or says which.
    Pid,
    /// The first says whether the second is a process id.
    PidByKind,
    /// The first is a set of semaphores, the second points to a `struct sembuf`.
    Semaphores,
    /// The first is a message queue of System V: what is waited for there.
    Queue(Nature),
    /// The first is the descriptor of a message queue of POSIX.
    QueueFd(Nature),
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
    Group { numbers: &[42], kind: CallKind::Connect, names: Names::Address },
    // nanosleep clock_nanosleep
    Group { numbers: &[35, 230], kind: CallKind::Sleep, names: Names::Nothing },
    // pause rt_sigsuspend rt_sigtimedwait
    Group { numbers: &[34, 130, 128], kind: CallKind::Signal, names: Names::Nothing },
    // wait4
    Group { numbers: &[61], kind: CallKind::Child, names: Names::Pid },
    // waitid
    Group { numbers: &[247], kind: CallKind::Child, names: Names::PidByKind },
    // flock fcntl
    Group { numbers: &[73, 72], kind: CallKind::FileLock, names: Names::Fd },
    // semop semtimedop
    Group { numbers: &[65, 220], kind: CallKind::Ipc, names: Names::Semaphores },
    // msgrcv, msgsnd
    Group { numbers: &[70], kind: CallKind::Ipc, names: Names::Queue(Nature::Idle) },
    Group { numbers: &[69], kind: CallKind::Ipc, names: Names::Queue(Nature::Room) },
    // mq_timedreceive, mq_timedsend
    Group { numbers: &[243], kind: CallKind::Ipc, names: Names::QueueFd(Nature::Idle) },
    Group { numbers: &[242], kind: CallKind::Ipc, names: Names::QueueFd(Nature::Room) },
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
    Group { numbers: &[203], kind: CallKind::Connect, names: Names::Address },
    // nanosleep clock_nanosleep
    Group { numbers: &[101, 115], kind: CallKind::Sleep, names: Names::Nothing },
    // rt_sigsuspend rt_sigtimedwait
    Group { numbers: &[133, 137], kind: CallKind::Signal, names: Names::Nothing },
    // wait4
    Group { numbers: &[260], kind: CallKind::Child, names: Names::Pid },
    // waitid
    Group { numbers: &[95], kind: CallKind::Child, names: Names::PidByKind },
    // flock fcntl
    Group { numbers: &[32, 25], kind: CallKind::FileLock, names: Names::Fd },
    // semop semtimedop
    Group { numbers: &[193, 192], kind: CallKind::Ipc, names: Names::Semaphores },
    // msgrcv, msgsnd
    Group { numbers: &[188], kind: CallKind::Ipc, names: Names::Queue(Nature::Idle) },
    Group { numbers: &[189], kind: CallKind::Ipc, names: Names::Queue(Nature::Room) },
    // mq_timedreceive, mq_timedsend
    Group { numbers: &[183], kind: CallKind::Ipc, names: Names::QueueFd(Nature::Idle) },
    Group { numbers: &[182], kind: CallKind::Ipc, names: Names::QueueFd(Nature::Room) },
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

/// The number of `poll`, on aarch64 of `ppoll`, in whose place the C library calls it.
pub(super) const fn poll(arch: Arch) -> u64 {
    match arch {
        Arch::X86_64 => 7,
        Arch::Aarch64 => 73,
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
        return Blocking::of(CallKind::Other, syscall_name(arch, call.number).map(str::to_owned));
    };
    let [first, second, third, ..] = call.args;
    let kind = group.kind;
    let on_fd = |words: String| {
        let number = first.and_then(fd);
        let name = number.map(|fd| format!("fd {fd}{words}"));
        Blocking { on: number.map_or(On::Nothing, On::Fd), ..Blocking::of(kind, name) }
    };
    let on_child =
        |pid: Option<u32>| Blocking { on: On::Child(pid), ..Blocking::of(kind, pid.map(|pid| pid.to_string())) };
    let pid = |word: u64| low(word).filter(|pid| pid.cast_signed() > 0);
    match group.names {
        // Polling nothing is how C libraries pause, or sleep, where the kernel has no call for it.
        Names::PollFds if second == Some(0) => {
            Blocking::of(if third == Some(0) { CallKind::Signal } else { CallKind::Sleep }, None)
        }
        Names::PollFds => first
            .zip(second)
            .and_then(|(array, len)| polled(memory, Addr(array), len))
            .unwrap_or_else(|| Blocking::of(kind, None)),
        Names::Fd => on_fd(String::new()),
        Names::Address => {
            let address = second.zip(third).and_then(|(at, len)| address(memory, Addr(at), len));
            on_fd(address.map_or_else(String::new, |address| format!(" to {address}")))
        }
        Names::Path(index) => {
            Blocking::of(kind, call.args.get(index).copied().flatten().and_then(|at| path(memory, Addr(at))))
        }
        Names::Pid => on_child(first.and_then(pid)),
        // P_PID. Source: waitid(2), Linux include/uapi/linux/wait.h.
        Names::PidByKind => on_child(second.filter(|_| first.and_then(low) == Some(1)).and_then(pid)),
        Names::Semaphores => {
            let set = first.and_then(low).map_or_else(|| "a set".to_owned(), |set| format!("set {set}"));
            // The first member of struct sembuf is the number, a short. Source: semop(2).
            let number = second.and_then(|at| memory.u16(Addr(at)).ok());
            Blocking::of(
                kind,
                Some(match number {
                    Some(number) => format!("semaphore {number} of {set}"),
                    None => format!("a semaphore of {set}"),
                }),
            )
        }
        Names::Queue(nature) => {
            let queue = first.and_then(low).map_or_else(|| "a queue".to_owned(), |queue| format!("queue {queue}"));
            Blocking { nature, ..Blocking::of(kind, Some(format!("{} {queue}", of_queue(nature)))) }
        }
        Names::QueueFd(nature) => {
            let on = on_fd(String::new());
            let name = on.name.clone().unwrap_or_else(|| "a message queue".to_owned());
            Blocking { nature, name: Some(name), ..on }
        }
        Names::Nothing => Blocking::of(kind, None),
    }
}

/// What is waited for at a message queue.
fn of_queue(nature: Nature) -> &'static str {
    if nature == Nature::Room { "room in message" } else { "a message of message" }
}

/// The low half of an argument's register: an `int`.
fn low(argument: u64) -> Option<u32> {
    u32::try_from(argument & 0xffff_ffff).ok()
}

/// Most bytes of an address: sizeof(struct sockaddr_storage) of Linux include/uapi/linux/socket.h.
const MAX_ADDRESS: u64 = 128;
/// Source: Linux include/linux/socket.h.
const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// `127.0.0.1:80`, `[::1]:80`, `/run/db.sock`: what a `struct sockaddr` says. Layouts: ip(7), ipv6(7), unix(7).
fn address(memory: &Memory, at: Addr, len: u64) -> Option<String> {
    let bytes = memory.slice_up_to(at, len.min(MAX_ADDRESS)).ok()?;
    let family = u16::from_le_bytes(*bytes.first_chunk()?);
    let port = || Some(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?));
    let ip: std::net::IpAddr = match family {
        AF_INET => bytes.get(4..)?.first_chunk::<4>().copied()?.into(),
        AF_INET6 => bytes.get(8..)?.first_chunk::<16>().copied()?.into(),
        AF_UNIX => {
            // A name without a file begins with a NUL.
            let (mark, path) = match bytes.get(2..)? {
                [0, name @ ..] => ("@", name),
                path => ("", path),
            };
            let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
            return Some(format!("{mark}{}", String::from_utf8_lossy(path.get(..end)?)));
        }
        _ => return None,
    };
    Some(std::net::SocketAddr::new(ip, port()?).to_string())
}

fn path(memory: &Memory, at: Addr) -> Option<String> {
    let path = memory.c_string(at, MAX_PATH).ok()?;
    Some(String::from_utf8_lossy(&path).into_owned()).filter(|path| !path.is_empty())
}

/// A descriptor argument.
fn fd(argument: u64) -> Option<u32> {
    low(argument).filter(|fd| fd.cast_signed() >= 0)
}

/// Descriptors that are named; the rest are counted.
const MAX_POLL_FDS: u64 = 4;
// struct pollfd { int fd; short events, revents; }. Source: POSIX poll.h, Linux include/uapi/asm-generic/poll.h.
const POLLFD_SIZE: u64 = 8;
const POLLFD_EVENTS: u64 = 4;
// POLLIN, POLLPRI, POLLRDNORM, POLLRDBAND, POLLRDHUP; POLLOUT, POLLWRNORM, POLLWRBAND. Source: as above.
const FOR_INPUT: u16 = 0x1 | 0x2 | 0x40 | 0x80 | 0x2000;
const FOR_ROOM: u16 = 0x4 | 0x100 | 0x200;

fn polled(memory: &Memory, array: Addr, len: u64) -> Option<Blocking> {
    let mut fds = Vec::new();
    let mut events = 0;
    for index in 0..len.min(MAX_POLL_FDS) {
        let at = array.plus(index.checked_mul(POLLFD_SIZE)?)?;
        // Negative descriptors are ignored by the kernel.
        if let Some(fd) = fd(u64::from(memory.u32(at).ok()?)) {
            fds.push(fd);
            events |= memory.u16(at.plus(POLLFD_EVENTS)?).ok()?;
        }
    }
    let more = len.saturating_sub(MAX_POLL_FDS);
    let list = || fds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let name = match (fds.as_slice(), more) {
        ([], 0) => None,
        ([only], 0) => Some(format!("fd {only}")),
        (_, 0) => Some(format!("fds {}", list())),
        (_, more) => Some(format!("fds {} and {more} more", list())),
    };
    let waits_for_room = more == 0 && events & FOR_ROOM != 0 && events & FOR_INPUT == 0;
    let nature = if waits_for_room { Nature::Room } else { Nature::Idle };
    let on = match fds.as_slice() {
        [only] if more == 0 => On::Fd(*only),
        _ => On::Nothing,
    };
    Some(Blocking { nature, on, ..Blocking::of(CallKind::Poll, name) })
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
        let read = Blocking::of(CallKind::Read, Some("fd 7".to_owned()));
        assert_eq!(blocking, Blocking { on: On::Fd(7), ..read });
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
        assert_eq!(name(&memory), Blocking::of(CallKind::Open, Some("/run/in".into())));
        assert_eq!(name(&Memory::default()), Blocking::of(CallKind::Open, None));
    }

    #[test]
    fn a_call_that_is_not_listed_still_blocks() {
        let blocking = blocking(Arch::Aarch64, &call(9999, [0, 0]), &Memory::default());
        assert_eq!(blocking, Blocking::of(CallKind::Other, None));
        assert_eq!(blocking.nature, Nature::Unknown);
    }

    #[test]
    fn polling_for_room_alone_is_no_wait_for_input() {
        // { fd 5, POLLOUT }, { fd 6, POLLIN | POLLOUT }
        let memory = Memory::of(0x7000, &[0x0000_0004_0000_0005, 0x0000_0005_0000_0006]);
        let nature = |at, len| blocking(Arch::X86_64, &call(7, [at, len]), &memory).nature;
        assert_eq!(nature(0x7000, 1), Nature::Room);
        assert_eq!(nature(0x7008, 1), Nature::Idle);
        assert_eq!(nature(0x7000, 2), Nature::Idle);
    }

    #[test]
    fn a_connect_is_named_by_the_address_that_it_was_given() {
        let connect = |bytes: &[u8]| {
            let memory = Memory::of_bytes(0x7000, bytes);
            let args = [Some(3), Some(0x7000), Some(bytes.len() as u64), None, None, None];
            let call = SavedSyscall { number: 42, args, result: -512 };
            blocking(Arch::X86_64, &call, &memory).name.expect("a descriptor")
        };
        // AF_INET, port 80, 10.0.0.7
        assert_eq!(connect(&[2, 0, 0, 80, 10, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0]), "fd 3 to 10.0.0.7:80");
        // AF_INET6, port 443, flow information, ::1
        let v6 = [[10, 0, 1, 0xbb, 0, 0, 0, 0].as_slice(), &[0; 15], &[1]].concat();
        assert_eq!(connect(&v6), "fd 3 to [::1]:443");
        assert_eq!(connect(b"\x01\0/run/db\0"), "fd 3 to /run/db");
        assert_eq!(connect(b"\x01\0\0bus"), "fd 3 to @bus");
        assert_eq!(connect(&[2, 0, 0, 80, 10]), "fd 3", "an address that is cut names nothing");
    }

    #[test]
    fn children_semaphores_and_queues_are_named_by_their_numbers() {
        let memory = Memory::of(0x7000, &[0x0000_ffff_0000_0002]);
        let of = |number, args| blocking(Arch::X86_64, &call(number, args), &memory);
        assert_eq!((of(61, [4711, 0]).on, of(61, [u64::MAX, 0]).on), (On::Child(Some(4711)), On::Child(None)));
        assert_eq!((of(247, [1, 4711]).on, of(247, [0, 4711]).on), (On::Child(Some(4711)), On::Child(None)));
        assert_eq!(of(65, [9, 0x7000]).name.as_deref(), Some("semaphore 2 of set 9"));
        assert_eq!(of(220, [9, 0x10]).name.as_deref(), Some("a semaphore of set 9"));
        let (receive, send) = (of(70, [5, 0]), of(69, [5, 0]));
        assert_eq!((receive.name.as_deref(), receive.nature), (Some("a message of message queue 5"), Nature::Idle));
        assert_eq!((send.name.as_deref(), send.nature), (Some("room in message queue 5"), Nature::Room));
    }
}
