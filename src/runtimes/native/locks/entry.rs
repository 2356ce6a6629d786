//! Which blocking function of the C library a thread is in, by the names of its innermost frames.
//!
//! The value of a futex word cannot tell a semaphore from a reader-writer lock; the exported function that waits can.

use super::super::calls::{Call, Calls};

/// A blocking function of the C library, by what it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Mutex,
    Rwlock,
    Condvar,
    Semaphore,
    Barrier,
    Once,
    /// The guard of a C++ static local variable.
    Guard,
    Join,
    /// A named function that is none of these.
    Other,
    /// No frame of the runtime has a name: only the values can tell.
    Unnamed,
}

/// Beginnings of names, the longer first where one begins another. Leading underscores are ignored.
// Source: POSIX pthread.h, semaphore.h; the internal names are those of glibc 2.36 nptl/ and musl 1.2.3 src/thread/.
const ENTRIES: &[(&str, Entry)] = &[
    ("pthread_mutex_", Entry::Mutex),
    ("lll_lock_wait_private", Entry::Other),
    ("pthread_rwlock_", Entry::Rwlock),
    ("pthread_cond_", Entry::Condvar),
    ("sem_wait", Entry::Semaphore),
    ("sem_timedwait", Entry::Semaphore),
    ("sem_clockwait", Entry::Semaphore),
    ("new_sem_", Entry::Semaphore),
    ("pthread_barrier_wait", Entry::Barrier),
    ("pthread_once", Entry::Once),
    ("pthread_join", Entry::Join),
    ("pthread_timedjoin", Entry::Join),
    ("pthread_clockjoin", Entry::Join),
    ("cxa_guard_acquire", Entry::Guard),
];

impl Entry {
    /// The innermost blocking function of `calls`.
    pub(super) fn of(calls: &Calls) -> Entry {
        match Entry::call(calls) {
            Some((entry, _)) => entry,
            None if calls.are_named() => Entry::Other,
            None => Entry::Unnamed,
        }
    }

    /// The same with its call.
    pub(super) fn call(calls: &Calls) -> Option<(Entry, &Call)> {
        calls.in_runtime().find_map(|call| Some((entry(call.name.as_deref()?)?, call)))
    }
}

fn entry(name: &str) -> Option<Entry> {
    let name = name.trim_start_matches('_');
    ENTRIES.iter().find(|(beginning, _)| name.starts_with(beginning)).map(|(_, entry)| *entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internal_and_exported_names_of_one_function_agree() {
        for name in ["pthread_mutex_lock", "__pthread_mutex_lock_full", "___pthread_mutex_clocklock"] {
            assert_eq!(entry(name), Some(Entry::Mutex), "{name}");
        }
        assert_eq!(entry("__new_sem_wait_slow64"), Some(Entry::Semaphore));
        assert_eq!(entry("pthread_cond_wait"), Some(Entry::Condvar));
        assert_eq!(entry("syscall"), None);
    }
}
