//! Every kind of lock and wait of .NET.

use crate::model::thread::Nature;
use crate::model::{LockFamily, LockKind};

const fn owned(word: &'static str, words: &'static str, family: LockFamily) -> LockKind {
    LockKind { word, words, family, nature: Nature::Lock }
}

/// Workers without work wait for it.
const fn idle(word: &'static str, words: &'static str, family: LockFamily) -> LockKind {
    LockKind { word, words, family, nature: Nature::Idle }
}

const fn signalled(word: &'static str, words: &'static str, family: LockFamily) -> LockKind {
    LockKind { word, words, family, nature: Nature::Unknown }
}

/// `lock (o)`, `Monitor.Enter`, `[MethodImpl(Synchronized)]`.
pub const MONITOR: LockKind = owned("monitor", "Monitor", LockFamily::Mutex);
/// `Monitor.Wait`.
pub const MONITOR_WAIT: LockKind = idle("monitor-wait", "Monitor.Wait", LockFamily::Condvar);
/// `System.Threading.Lock`, since .NET 9.
pub const LOCK: LockKind = owned("lock", "Lock", LockFamily::Mutex);
/// `ReaderWriterLockSlim`.
pub const RWLOCK_SLIM: LockKind = owned("reader-writer-lock-slim", "ReaderWriterLockSlim", LockFamily::Rwlock);
/// `ReaderWriterLock`.
pub const RWLOCK: LockKind = owned("reader-writer-lock", "ReaderWriterLock", LockFamily::Rwlock);
/// `SemaphoreSlim`.
pub const SEMAPHORE_SLIM: LockKind = signalled("semaphore-slim", "SemaphoreSlim", LockFamily::Semaphore);
/// `BlockingCollection<T>`: an element, or room for one.
pub const BLOCKING_COLLECTION: LockKind = idle("blocking-collection", "BlockingCollection", LockFamily::Semaphore);
/// `ManualResetEventSlim`.
pub const EVENT_SLIM: LockKind = signalled("manual-reset-event-slim", "ManualResetEventSlim", LockFamily::Value);
/// `CountdownEvent`.
pub const COUNTDOWN: LockKind = signalled("countdown-event", "CountdownEvent", LockFamily::Barrier);
/// `Barrier`.
pub const BARRIER: LockKind = signalled("dotnet-barrier", "Barrier", LockFamily::Barrier);
/// `Lazy<T>` whose value another thread makes.
pub const LAZY: LockKind = owned("lazy", "Lazy", LockFamily::Once);
/// A static constructor that another thread runs.
pub const STATIC_CONSTRUCTOR: LockKind = owned("static-constructor", "static constructor", LockFamily::Once);
/// `Task.Wait`, `Task.Result`, `GetAwaiter().GetResult()`.
pub const TASK: LockKind = signalled("task", "Task", LockFamily::Value);
/// `Task.WaitAll`.
pub const TASKS: LockKind = signalled("task-wait-all", "Task.WaitAll", LockFamily::Value);
/// `Mutex`.
pub const MUTEX: LockKind = owned("mutex-handle", "Mutex", LockFamily::Mutex);
/// `Semaphore`.
pub const SEMAPHORE: LockKind = signalled("semaphore-handle", "Semaphore", LockFamily::Semaphore);
/// `AutoResetEvent`, `ManualResetEvent`, `EventWaitHandle`.
pub const EVENT: LockKind = signalled("event-handle", "event", LockFamily::Value);
/// `WaitHandle.WaitAny`, `WaitAll`.
pub const HANDLES: LockKind = signalled("wait-handles", "WaitAny or WaitAll", LockFamily::Value);
/// `Thread.Join`.
pub const JOIN: LockKind =
    LockKind { word: "thread-join", words: "Thread.Join", family: LockFamily::Join, nature: Nature::End };
