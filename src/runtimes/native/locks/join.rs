//! `pthread_join`: a wait for another thread's end, which closes cycles like any lock.
//!
//! glibc waits for the joined thread's id, in its control block, to be cleared by the kernel; musl for its
//! `detach_state`. The word's address therefore is the joined thread. Layouts: docs/layouts/glibc.md, musl.md.

use crate::model::{Addr, Evidence, LockKind, Owner, Tid};

use super::entry::Entry;
use super::{Sighting, Waiter};
use crate::runtimes::native::ground::Ground;
use crate::runtimes::native::libc;

/// Recognises a wait for a thread of the dump. The lock's address is the joined thread's `pthread_t`.
pub(super) fn waited(ground: &Ground<'_>, waiter: &Waiter<'_>) -> Option<Sighting> {
    let word = waiter.futex.word;
    if let Some((pthread, joined)) = of_musl(ground, waiter) {
        return Some(sighting(pthread, joined));
    }
    let futex = ground.libc.join_futex?;
    let block = futex.bytes.checked_neg().and_then(|back| word.offset(back));
    let by_block = block.and_then(|block| ground.thread_of_block(block));
    let joined = by_block.or_else(|| by_id(ground, waiter))?;
    // The word's place in the structure, whose place beside the thread pointer need not be known.
    let inside = futex.bytes.checked_sub(ground.libc.pthread?.bytes)?;
    let address = word.offset(inside.checked_neg()?)?;
    Some(sighting(address, joined))
}

fn sighting(pthread: Addr, joined: Tid) -> Sighting {
    let owner = Owner::Thread(joined);
    Sighting { evidence: Evidence::JoinedThread, ..Sighting::waited(LockKind::Join, pthread, owner) }
}

/// The joined thread by its own structure, around the word: it begins with its own address and holds a live thread's id. So it
/// needs no thread pointers, which an emulator's core does not have.
fn of_musl(ground: &Ground<'_>, waiter: &Waiter<'_>) -> Option<(Addr, Tid)> {
    if !ground.libc.is_musl() || !matches!(waiter.entry, Entry::Join | Entry::Other | Entry::Unnamed) {
        return None;
    }
    let (pthread, tid) = libc::around_detach_state(ground.scene.target.arch(), waiter.futex.word)?;
    let joined = ground.tids.thread(ground.memory().u32(tid).ok()?)?;
    (ground.memory().ptr(pthread).ok()? == pthread).then_some((pthread, joined))
}

/// Where the dump has no thread pointers (an emulator's core): glibc's word is the joined thread's id. The kernel wakes it
/// as a shared futex; a robust mutex, whose word holds an id too, has its waiters' bit set.
fn by_id(ground: &Ground<'_>, waiter: &Waiter<'_>) -> Option<Tid> {
    let entry = waiter.entry;
    let waits = !waiter.futex.private && matches!(entry, Entry::Join | Entry::Other | Entry::Unnamed);
    let id = ground.memory().u32(waiter.futex.word).ok()?;
    (ground.libc.may_be_glibc() && waits && id == waiter.futex.expected).then(|| ground.tids.thread(id))?
}
