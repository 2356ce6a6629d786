//! Every kind of lock of C, C++ and Rust, and of the word that none of them explains.

use crate::model::thread::Nature;
use crate::model::{LockFamily, LockKind};

const fn owned(word: &'static str, words: &'static str, family: LockFamily) -> LockKind {
    LockKind { word, words, family, nature: Nature::Lock }
}

/// Workers without work wait on condition variables, and park.
const fn idle(word: &'static str, words: &'static str, family: LockFamily) -> LockKind {
    LockKind { word, words, family, nature: Nature::Idle }
}

const fn signalled(word: &'static str, words: &'static str, family: LockFamily) -> LockKind {
    LockKind { word, words, family, nature: Nature::Unknown }
}

/// `pthread_mutex_t`, normal (also what `std::mutex` is).
pub(crate) const MUTEX: LockKind = owned("mutex", "mutex", LockFamily::Mutex);
/// `pthread_mutex_t`, recursive.
pub(crate) const MUTEX_RECURSIVE: LockKind = owned("mutex-recursive", "recursive mutex", LockFamily::Mutex);
/// `pthread_mutex_t`, error checking.
pub(crate) const MUTEX_ERRORCHECK: LockKind = owned("mutex-errorcheck", "errorcheck mutex", LockFamily::Mutex);
/// `pthread_mutex_t`, adaptive.
pub(crate) const MUTEX_ADAPTIVE: LockKind = owned("mutex-adaptive", "adaptive mutex", LockFamily::Mutex);
/// `pthread_mutex_t`, robust (of any type).
pub(crate) const MUTEX_ROBUST: LockKind = owned("mutex-robust", "robust mutex", LockFamily::Mutex);
/// `pthread_mutex_t`, priority inheriting (of any type).
pub(crate) const MUTEX_PRIORITY_INHERIT: LockKind = owned("mutex-priority-inherit", "PI mutex", LockFamily::Mutex);
/// `pthread_mutex_t`, priority protecting.
pub(crate) const MUTEX_PRIORITY_PROTECT: LockKind = owned("mutex-priority-protect", "PP mutex", LockFamily::Mutex);
/// `pthread_rwlock_t`, also `std::shared_mutex`.
pub(crate) const RWLOCK: LockKind = owned("rwlock", "rwlock", LockFamily::Rwlock);
/// `pthread_cond_t`, also `std::condition_variable`.
pub(crate) const CONDVAR: LockKind = idle("condvar", "condvar", LockFamily::Condvar);
/// `sem_t`, `std::counting_semaphore`.
pub(crate) const SEMAPHORE: LockKind = signalled("semaphore", "semaphore", LockFamily::Semaphore);
/// `pthread_barrier_t`, `std::barrier`.
pub(crate) const BARRIER: LockKind = signalled("barrier", "barrier", LockFamily::Barrier);
/// `pthread_once_t`, `std::call_once`.
pub(crate) const ONCE: LockKind = owned("once", "once", LockFamily::Once);
/// Another thread's end: `pthread_join`.
pub(crate) const JOIN: LockKind =
    LockKind { word: "join", words: "join", family: LockFamily::Join, nature: Nature::End };
/// Rust `std::sync::Mutex`.
pub(crate) const RUST_MUTEX: LockKind = owned("rust-mutex", "Rust Mutex", LockFamily::Mutex);
/// Rust `std::sync::RwLock`.
pub(crate) const RUST_RWLOCK: LockKind = owned("rust-rwlock", "Rust RwLock", LockFamily::Rwlock);
/// Rust `std::sync::Condvar`.
pub(crate) const RUST_CONDVAR: LockKind = idle("rust-condvar", "Rust Condvar", LockFamily::Condvar);
/// Rust `std::sync::Once`, `OnceLock`, `LazyLock`.
pub(crate) const RUST_ONCE: LockKind = owned("rust-once", "Rust Once", LockFamily::Once);
/// Rust `std::thread::park`, channels built on it.
pub(crate) const RUST_PARK: LockKind = idle("rust-park", "park", LockFamily::Park);
/// `parking_lot::Mutex`.
pub(crate) const PARKING_LOT_MUTEX: LockKind = owned("parking-lot-mutex", "parking_lot Mutex", LockFamily::Mutex);
/// `parking_lot::RwLock`.
pub(crate) const PARKING_LOT_RWLOCK: LockKind = owned("parking-lot-rwlock", "parking_lot RwLock", LockFamily::Rwlock);
/// `parking_lot::Condvar`.
pub(crate) const PARKING_LOT_CONDVAR: LockKind =
    idle("parking-lot-condvar", "parking_lot Condvar", LockFamily::Condvar);
/// `std::latch`.
pub(crate) const LATCH: LockKind = signalled("latch", "latch", LockFamily::Barrier);
/// The state that a `std::future` shares with its promise.
pub(crate) const FUTURE: LockKind = signalled("future", "future", LockFamily::Value);
/// `std::atomic::wait`.
pub(crate) const ATOMIC: LockKind = signalled("atomic", "atomic", LockFamily::Value);
/// A lock inside libc (stdio, malloc arena, loader).
pub(crate) const LIBC: LockKind = owned("libc", "libc lock", LockFamily::Mutex);
/// A futex word that nothing above explains.
pub(crate) const FUTEX: LockKind = signalled("futex", "futex", LockFamily::Word);
