//! Which blocking function of the C library a thread is in, by the names of its innermost frames, or by what the program's
//! own frame calls.
//!
//! The value of a futex word cannot tell a semaphore from a reader-writer lock; the exported function that waits can.

use crate::model::Stack;
use crate::runtimes::native::callee;
use crate::runtimes::native::calls::Calls;
use crate::target::Target;

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
        let named = calls.in_runtime().find_map(|call| entry(call.name.as_deref()?));
        named.unwrap_or(if calls.are_named() { Entry::Other } else { Entry::Unnamed })
    }

    /// The blocking function that the program's innermost frame outside the libraries calls, by the call's own target: for a
    /// C library whose internal functions have no names.
    pub(super) fn by_call(target: &Target, stack: &Stack) -> Option<Entry> {
        let own = stack.frames.iter().find(|frame| {
            let module = target.module_at(frame.pc);
            frame.returns && module.is_some_and(|module| !module.is_runtime())
        })?;
        entry(&callee::called(target, own.pc)?)
    }
}

/// A name without what marks it as the library's own: `__GI___pthread_cond_destroy` is how glibc calls its functions itself.
// Source: glibc 2.36 include/libc-symbols.h, __hidden_proto.
fn plain(name: &str) -> &str {
    let name = name.trim_start_matches('_');
    name.strip_prefix("GI_").unwrap_or(name).trim_start_matches('_')
}

fn entry(name: &str) -> Option<Entry> {
    let name = plain(name);
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
        assert_eq!(entry("__GI___pthread_cond_destroy"), Some(Entry::Condvar));
        assert_eq!(entry("__new_sem_wait_slow64"), Some(Entry::Semaphore));
        assert_eq!(entry("pthread_cond_wait"), Some(Entry::Condvar));
        assert_eq!(entry("syscall"), None);
    }
}
