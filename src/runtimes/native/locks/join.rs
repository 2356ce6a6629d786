//! `pthread_join`: a wait for another thread's end, which closes cycles like any lock.
//!
//! glibc waits for the joined thread's id, in its control block, to be cleared by the kernel; musl for its
//! `detach_state`. The word's address therefore is the joined thread. Layouts: docs/layouts/glibc.md, musl.md.

use crate::model::{Evidence, LockKind, Owner};

use super::{Ground, Sighting, Waiter};

/// Recognises a wait for a thread of the dump. The lock's address is the joined thread's `pthread_t`.
pub(super) fn waited(ground: &Ground<'_>, waiter: &Waiter<'_>) -> Option<Sighting> {
    let futex = ground.libc.join_futex?;
    let joined = ground.scene.threads.iter().find(|thread| {
        thread.thread_pointer.as_ref().is_ok_and(|block| futex.of(*block).is_ok_and(|word| word == waiter.futex.word))
    })?;
    let address = ground.libc.pthread_of(joined)?;
    let owner = Owner::Thread(joined.tid);
    Some(Sighting { evidence: Evidence::JoinedThread, ..Sighting::waited(LockKind::Join, address, owner) })
}
