//! Threads: as the dump records them, and as shown.

use schemars::JsonSchema;
use serde::Serialize;

pub use super::nature::Nature;
use super::{Addr, Known, LockKind, Registers, Tid};

/// A thread as the dump records it.
#[derive(Clone, Debug)]
pub struct OsThread {
    /// Its id.
    pub tid: Tid,
    /// Its registers when it was stopped.
    pub registers: Known<Registers>,
    /// The thread pointer (fs base, tpidr_el0).
    pub thread_pointer: Known<Addr>,
    /// The system call it was in, where the registers tell.
    pub syscall: Option<SavedSyscall>,
    /// Signal that was current for it, 0 for none.
    pub signal: i32,
    /// Its name, where the dump records one.
    pub name: Option<String>,
    /// Whether it took the fatal signal.
    pub crashed: bool,
}

/// A system call that a thread was blocked in (or just returned from).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavedSyscall {
    /// Its number, in the architecture's own table.
    pub number: u64,
    /// Its arguments as the registers hold them; on aarch64 the first is overwritten by the result (`None`).
    pub args: [Option<u64>; 6],
    /// The result register: a negative errno such as -512 (ERESTARTSYS) while it sleeps.
    pub result: i64,
}

/// What a thread is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ThreadState {
    /// On a processor, or about to be.
    Running,
    /// Waits for a lock, another thread, a file, a socket.
    Blocked,
    /// Waits for time to pass.
    Sleeping,
    /// Has left, or is a zombie.
    Exited,
    /// The dump does not tell.
    Unknown,
}

/// What a blocked thread waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WaitingOn {
    /// A lock's kind (`mutex`), or `read`, `poll`, `epoll`, `sleep`, `join`, …
    pub kind: WaitKind,
    /// The lock's address; null for a file, a socket, time.
    pub address: Option<Addr>,
    /// The lock's name, `fd 7`; null when there is none.
    pub name: Option<String>,
    /// What is known of who or what ends the wait: `process 77 (perl) holds it`, `the GIL of Python`; null where nothing is.
    pub detail: Option<String>,
    /// What has to happen for the wait to end.
    pub nature: Nature,
    /// Whether it is inferred, from what the thread's stack refers to, that this is what it waits for.
    pub inferred: bool,
    /// Whether nothing but another thread of the process ends the wait: no time, no file, no other process. A signal's handler may.
    #[serde(skip)]
    pub within: bool,
}

/// The kind of thing waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum WaitKind {
    /// A lock that `locks` lists.
    Lock(LockKind),
    /// A system call that is no lock.
    Call(CallKind),
}

/// Blocking system calls, by what they wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CallKind {
    /// read, recv, recvmsg, preadv …
    Read,
    /// write, send …
    Write,
    /// poll, ppoll, select, pselect6.
    Poll,
    /// epoll_wait, epoll_pwait.
    Epoll,
    /// accept, accept4.
    Accept,
    /// open, openat, openat2: of a FIFO without another end, of a file on a server that does not answer.
    Open,
    /// connect.
    Connect,
    /// nanosleep, clock_nanosleep.
    Sleep,
    /// pause, rt_sigsuspend, rt_sigtimedwait.
    Signal,
    /// wait4, waitid.
    Child,
    /// flock, fcntl locks.
    FileLock,
    /// semop, msgrcv.
    Ipc,
    /// io_uring_enter, io_getevents.
    Io,
    /// Any other system call.
    Other,
}

impl WaitKind {
    /// What has to happen for a wait of this kind to end, where nothing more is known of it.
    pub fn nature(self) -> Nature {
        match self {
            WaitKind::Lock(kind) => kind.nature,
            WaitKind::Call(kind) => kind.nature(),
        }
    }
}

impl CallKind {
    /// What has to happen for such a call to return, where nothing more is known of it.
    pub fn nature(self) -> Nature {
        match self {
            CallKind::Read
            | CallKind::Poll
            | CallKind::Epoll
            | CallKind::Accept
            | CallKind::Sleep
            | CallKind::Signal
            | CallKind::Io => Nature::Idle,
            CallKind::Write => Nature::Room,
            CallKind::Open | CallKind::Connect => Nature::Answer,
            CallKind::Child => Nature::Child,
            CallKind::FileLock => Nature::Lock,
            CallKind::Ipc | CallKind::Other => Nature::Unknown,
        }
    }

    /// What a thread in such a call does, before the word for what it does that with: `reads`, `waits for connections on`.
    pub fn does(self) -> &'static str {
        match self {
            CallKind::Read => "reads",
            CallKind::Write => "writes",
            CallKind::Poll => "polls",
            CallKind::Epoll => "waits for events of",
            CallKind::Accept => "waits for connections on",
            CallKind::Open => "opens",
            CallKind::Connect => "connects",
            CallKind::Sleep => "sleeps",
            CallKind::Signal => "waits for a signal",
            CallKind::Child => "waits for a child process",
            CallKind::FileLock => "waits for a file lock on",
            CallKind::Ipc => "waits for",
            CallKind::Io => "waits for I/O",
            CallKind::Other => "is in a system call",
        }
    }
}

/// A thread as shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Thread {
    /// Position in the one order of threads: the one that took the fatal signal first, then the dump's order.
    pub index: usize,
    /// OS id.
    pub tid: Tid,
    /// Name that the program gave it; null when the dump holds none.
    pub name: Option<String>,
    /// A managed runtime's own id.
    pub runtime_id: Option<u64>,
    /// What it is doing.
    pub state: ThreadState,
    /// Whether it took the fatal signal.
    pub crashed: bool,
    /// What it waits for; null when it does not wait, or that cannot be told.
    pub waiting_on: Option<WaitingOn>,
    /// The innermost function outside libc and the runtime.
    pub top: Option<String>,
    /// The function that the thread was started with; the label of a nameless thread. Not part of the JSON promise.
    pub start: Option<String>,
    /// What the kernel does with it, where that is no ordinary wait; null elsewhere, and where the dump does not record it.
    pub kernel: Option<Held>,
}

/// A thread that the kernel holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Held {
    /// How.
    pub state: HeldState,
    /// The kernel function that it sleeps in; null where the kernel does not tell.
    pub wait_channel: Option<String>,
    /// Functions of the kernel that it is in, innermost first; empty where the kernel does not tell.
    pub functions: Vec<String>,
    /// Why the dump has no registers of it but those that the kernel tells of a thread that sleeps; null where it has.
    pub lost: Option<String>,
}

/// How the kernel holds a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HeldState {
    /// Stopped by a signal (SIGSTOP, Ctrl-Z); SIGCONT wakes it.
    Stopped,
    /// Stopped by a debugger.
    Traced,
    /// Its control group is frozen.
    Frozen,
    /// It sleeps where no signal wakes it: state D of proc(5).
    Uninterruptible,
}

impl Thread {
    /// A thread at a place in the one order, of which no more is known than the dump records.
    pub fn of(index: usize, thread: &OsThread) -> Thread {
        Thread {
            index,
            tid: thread.tid,
            name: thread.name.clone(),
            runtime_id: None,
            state: ThreadState::Unknown,
            crashed: thread.crashed,
            waiting_on: None,
            top: None,
            start: None,
            kernel: None,
        }
    }

    /// Whether the kernel has stopped it, by a signal, for a debugger or with its control group.
    pub fn is_stopped(&self) -> bool {
        self.kernel.as_ref().is_some_and(|held| held.state != HeldState::Uninterruptible)
    }

    /// Whether it sleeps where no signal wakes it: state D of proc(5).
    pub fn is_uninterruptible(&self) -> bool {
        self.kernel.as_ref().is_some_and(|held| held.state == HeldState::Uninterruptible)
    }

    /// Whether nothing but another thread of the process can end what it waits for.
    pub fn waits_within(&self) -> bool {
        self.state == ThreadState::Blocked && self.waiting_on.as_ref().is_some_and(|waiting| waiting.within)
    }

    /// What text calls the thread: `worker-3 4719`, or `4719 pool::run` where it has no name.
    pub fn label(&self) -> String {
        match (&self.name, &self.start) {
            (Some(name), _) => format!("{name} {}", self.tid),
            (None, Some(start)) => format!("{} {start}", self.tid),
            (None, None) => self.tid.to_string(),
        }
    }
}
