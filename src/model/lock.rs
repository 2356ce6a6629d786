//! Locks: what threads hold and wait for, each with the evidence of its owner.

use schemars::JsonSchema;
use serde::Serialize;

use super::thread::Nature;
use super::{Addr, Gap, Known, Tid};

/// What a lock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LockKind {
    /// `pthread_mutex_t`, normal (also what `std::mutex` is).
    Mutex,
    /// `pthread_mutex_t`, recursive.
    MutexRecursive,
    /// `pthread_mutex_t`, error checking.
    MutexErrorcheck,
    /// `pthread_mutex_t`, adaptive.
    MutexAdaptive,
    /// `pthread_mutex_t`, robust (of any type).
    MutexRobust,
    /// `pthread_mutex_t`, priority inheriting (of any type).
    MutexPriorityInherit,
    /// `pthread_mutex_t`, priority protecting.
    MutexPriorityProtect,
    /// `pthread_rwlock_t`, also `std::shared_mutex`.
    Rwlock,
    /// `pthread_cond_t`, also `std::condition_variable`.
    Condvar,
    /// `sem_t`, `std::counting_semaphore`.
    Semaphore,
    /// `pthread_barrier_t`, `std::barrier`.
    Barrier,
    /// `pthread_once_t`, `std::call_once`.
    Once,
    /// Another thread's end: `pthread_join`.
    Join,
    /// Rust `std::sync::Mutex`.
    RustMutex,
    /// Rust `std::sync::RwLock`.
    RustRwlock,
    /// Rust `std::sync::Condvar`.
    RustCondvar,
    /// Rust `std::sync::Once`, `OnceLock`, `LazyLock`.
    RustOnce,
    /// Rust `std::thread::park`, channels built on it.
    RustPark,
    /// `parking_lot::Mutex`.
    ParkingLotMutex,
    /// `parking_lot::RwLock`.
    ParkingLotRwlock,
    /// `parking_lot::Condvar`.
    ParkingLotCondvar,
    /// `std::latch`.
    Latch,
    /// The state that a `std::future` shares with its promise.
    Future,
    /// `std::atomic::wait`.
    Atomic,
    /// A lock inside libc (stdio, malloc arena, loader).
    Libc,
    /// A futex word that nothing above explains.
    Futex,
}

impl LockKind {
    /// What has to happen for a wait of this kind to end. Workers without work wait on condition variables, and park.
    pub fn nature(self) -> Nature {
        match self {
            LockKind::Condvar | LockKind::RustCondvar | LockKind::RustPark | LockKind::ParkingLotCondvar => {
                Nature::Idle
            }
            LockKind::Join => Nature::End,
            LockKind::Mutex
            | LockKind::MutexRecursive
            | LockKind::MutexErrorcheck
            | LockKind::MutexAdaptive
            | LockKind::MutexRobust
            | LockKind::MutexPriorityInherit
            | LockKind::MutexPriorityProtect
            | LockKind::Rwlock
            | LockKind::Once
            | LockKind::RustMutex
            | LockKind::RustRwlock
            | LockKind::RustOnce
            | LockKind::ParkingLotMutex
            | LockKind::ParkingLotRwlock
            | LockKind::Libc => Nature::Lock,
            LockKind::Semaphore
            | LockKind::Barrier
            | LockKind::Latch
            | LockKind::Future
            | LockKind::Atomic
            | LockKind::Futex => Nature::Unknown,
        }
    }

    /// In words, for a person: `recursive mutex`, `Rust Mutex`.
    pub fn words(self) -> &'static str {
        match self {
            LockKind::Mutex => "mutex",
            LockKind::MutexRecursive => "recursive mutex",
            LockKind::MutexErrorcheck => "errorcheck mutex",
            LockKind::MutexAdaptive => "adaptive mutex",
            LockKind::MutexRobust => "robust mutex",
            LockKind::MutexPriorityInherit => "PI mutex",
            LockKind::MutexPriorityProtect => "PP mutex",
            LockKind::Rwlock => "rwlock",
            LockKind::Condvar => "condvar",
            LockKind::Semaphore => "semaphore",
            LockKind::Barrier => "barrier",
            LockKind::Once => "once",
            LockKind::Join => "join",
            LockKind::RustMutex => "Rust Mutex",
            LockKind::RustRwlock => "Rust RwLock",
            LockKind::RustCondvar => "Rust Condvar",
            LockKind::RustOnce => "Rust Once",
            LockKind::RustPark => "park",
            LockKind::ParkingLotMutex => "parking_lot Mutex",
            LockKind::ParkingLotRwlock => "parking_lot RwLock",
            LockKind::ParkingLotCondvar => "parking_lot Condvar",
            LockKind::Latch => "latch",
            LockKind::Future => "future",
            LockKind::Atomic => "atomic",
            LockKind::Libc => "libc lock",
            LockKind::Futex => "futex",
        }
    }
}

/// Who holds a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Recorded by the lock itself.
    Thread(Tid),
    /// Nobody: the lock says that it is free, or it is of a kind that nobody owns (condition variable, semaphore).
    None,
    /// Held, and the lock does not say by whom; this thread's stack or registers point to it.
    Inferred(Tid),
    /// Held or not, it cannot be told by whom.
    Unknown(Gap),
}

/// How the owner is known: a fixed word for scripts, `inferred:…` where it was inferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// The owner field of the lock's structure.
    OwnerField,
    /// The lock word holds the owner's id (PI, robust, musl).
    FutexWord,
    /// The writer field of a reader-writer lock.
    WriterField,
    /// Held by readers, which are counted and not named.
    ReaderCount,
    /// As many readers as the lock counts were found, by the code that took it or by what points to it.
    AllReaders,
    /// Fewer readers than the lock counts were found so.
    SomeReaders,
    /// The owner field holds an id of no thread of the dump.
    OwnerGone,
    /// The joined thread itself.
    JoinedThread,
    /// One thread's live stack holds the lock's address, and it does not wait for it.
    StackScan,
    /// A frame's saved register or guard object points to the lock.
    FrameRegister,
    /// A frame's function has taken it and not given it back before the call that the frame is in.
    LockingCode,
    /// A thread runs the initialiser of this once.
    InitialiserFrame,
    /// The lock was found, or is named, by a module's file that may be another build's.
    UnverifiedFile,
    /// A signal came while the same thread was in the code that takes this lock, and its handler wants it too.
    InterruptedCode,
    /// Only the wait was seen: a system call or a frame.
    Wait,
}

impl Evidence {
    /// Every word, for the schema.
    pub const ALL: [Evidence; 15] = [
        Evidence::OwnerField,
        Evidence::FutexWord,
        Evidence::WriterField,
        Evidence::ReaderCount,
        Evidence::AllReaders,
        Evidence::SomeReaders,
        Evidence::OwnerGone,
        Evidence::JoinedThread,
        Evidence::StackScan,
        Evidence::FrameRegister,
        Evidence::LockingCode,
        Evidence::InitialiserFrame,
        Evidence::UnverifiedFile,
        Evidence::InterruptedCode,
        Evidence::Wait,
    ];

    /// The fixed word.
    pub fn word(self) -> &'static str {
        match self {
            Evidence::OwnerField => "owner-field",
            Evidence::FutexWord => "futex-word",
            Evidence::WriterField => "writer-field",
            Evidence::ReaderCount => "reader-count",
            Evidence::AllReaders => "inferred:all-readers",
            Evidence::SomeReaders => "inferred:some-readers",
            Evidence::OwnerGone => "owner-gone",
            Evidence::JoinedThread => "joined-thread",
            Evidence::StackScan => "inferred:stack-scan",
            Evidence::FrameRegister => "inferred:frame-register",
            Evidence::LockingCode => "inferred:locking-code",
            Evidence::InitialiserFrame => "inferred:initialiser-frame",
            Evidence::UnverifiedFile => "inferred:unverified-file",
            Evidence::InterruptedCode => "inferred:interrupted-code",
            Evidence::Wait => "wait",
        }
    }
}

impl Serialize for Evidence {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

impl JsonSchema for Evidence {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Evidence".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "enum": Evidence::ALL.map(Evidence::word) })
    }
}

/// A lock that someone holds or waits for.
#[derive(Clone, Debug)]
pub struct Lock {
    /// The object itself (the `pthread_mutex_t`), not the futex word.
    pub address: Addr,
    /// What it is.
    pub kind: LockKind,
    /// Symbol, or field of which object; `Ok(None)` when nothing names it.
    pub name: Known<Option<String>>,
    /// Who holds it.
    pub owner: Owner,
    /// How often the owner holds it; `None` where the kind does not count.
    pub recursion: Option<u32>,
    /// Readers that hold it; `None` for kinds without readers.
    pub readers: Option<u32>,
    /// Threads that hold it for reading, inferred, in ascending order; never more than `readers`.
    pub read_by: Vec<Tid>,
    /// All threads that wait for it, in the order of threads.
    pub waiters: Vec<Tid>,
    /// How the owner (or the wait) is known.
    pub evidence: Evidence,
    /// The holder that the lock records and the dump does not have; `None` where there is no such.
    pub absent: Option<Absent>,
    /// Those of the waiters whose wait ends by itself.
    pub limits: Vec<TimeLimit>,
}

/// A holder that a lock records and that is no thread of the dump.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Absent {
    /// The thread's id, in the numbering of the dumped process.
    pub tid: u32,
    /// Where the thread is.
    pub why: Absence,
    /// Whether that is recorded; else it is what fits best.
    pub certain: bool,
    /// Whether a thread had that id when the dump was taken; null where nobody looked.
    pub alive: Option<bool>,
    /// The process that the thread is of, in the dump's numbering; null where that is not known.
    pub pid: Option<u32>,
    /// What that process is called; null where that is not known.
    pub process: Option<String>,
    /// Whether other processes may have the lock's memory, too; null where that cannot be told.
    pub shared: Option<bool>,
}

/// Where a holder is that is not in the dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Absence {
    /// In another process, which has the lock's memory too.
    OtherProcess,
    /// In the process that this one is a copy of: the lock was held when that called fork.
    BeforeFork,
    /// Nowhere: it was the process's first thread, which has ended while others went on.
    FirstThread,
    /// Nowhere: it has ended.
    Ended,
    /// It cannot be told.
    Unknown,
}

/// A wait that ends by itself, as it was asked for. Both are null where the dump does not tell when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TimeLimit {
    /// The thread that waits.
    pub tid: Tid,
    /// Milliseconds that were left when the dump was taken; 0 where the time was over.
    pub left_ms: Option<u64>,
    /// Milliseconds in all, from the beginning of the wait.
    pub whole_ms: Option<u64>,
}

impl TimeLimit {
    /// The longest that the wait can still take, in milliseconds.
    pub fn most_ms(&self) -> Option<u64> {
        self.left_ms.or(self.whole_ms)
    }
}

/// Where a thread has taken a lock that it still holds, judged from the code of its frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acquisition {
    /// The lock.
    pub lock: Addr,
    /// The physical frame whose function took it, innermost 0.
    pub frame: usize,
    /// The addresses behind the instructions that may have taken it, on different ways through the function; look their lines
    /// up one byte before. Empty: somewhere in the function.
    pub at: Vec<Addr>,
}

impl Lock {
    /// The owner, known or inferred.
    pub fn owner_tid(&self) -> Option<Tid> {
        match self.owner {
            Owner::Thread(tid) | Owner::Inferred(tid) => Some(tid),
            Owner::None | Owner::Unknown(_) => None,
        }
    }

    /// Every thread that is known or inferred to hold it: its owner, else its readers.
    pub fn holders(&self) -> Vec<Tid> {
        self.owner_tid().map_or_else(|| self.read_by.clone(), |owner| vec![owner])
    }

    /// Whether the owner is a recorded fact and not an inference.
    pub fn is_certain(&self) -> bool {
        matches!(self.owner, Owner::Thread(_))
    }
}
