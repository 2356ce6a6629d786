//! `pthread_join`: a wait for another thread's end, which closes cycles like any lock.
//!
//! glibc waits for the joined thread's id, in its control block, to be cleared by the kernel; musl for its
//! `detach_state`. The word's address therefore is the joined thread. Layouts: docs/layouts/glibc.md, musl.md.

use crate::model::{Addr, Owner, Tid};

use super::entry::Entry;
use super::evidence;
use super::kinds;
use super::observation::{Observation, Waiter};
use crate::runtimes::native::libc;
use crate::runtimes::native::observations::Observations;

/// Recognises a wait for a thread of the dump. The lock's address is the joined thread's `pthread_t`.
pub(super) fn waited(observations: &Observations<'_>, waiter: &Waiter<'_>) -> Option<Observation> {
    let word = waiter.futex.word;
    if let Some((pthread, joined)) = of_musl(observations, waiter) {
        return Some(observation(pthread, joined));
    }
    let futex = observations.libc.join_futex?;
    let block = futex.bytes.checked_neg().and_then(|back| word.offset(back));
    let by_block = block.and_then(|block| observations.thread_of_block(block));
    let joined = by_block.or_else(|| by_id(observations, waiter))?;
    // The word's place in the structure, whose place beside the thread pointer need not be known.
    let inside = futex.bytes.checked_sub(observations.libc.pthread?.bytes)?;
    let address = word.offset(inside.checked_neg()?)?;
    Some(observation(address, joined))
}

fn observation(pthread: Addr, joined: Tid) -> Observation {
    let owner = Owner::Thread(joined);
    Observation { evidence: evidence::JOINED_THREAD, ..Observation::waited(kinds::JOIN, pthread, owner) }
}

/// The joined thread by its own structure, around the word: it begins with its own address and holds a live thread's id. So it
/// needs no thread pointers, which an emulator's core does not have.
fn of_musl(observations: &Observations<'_>, waiter: &Waiter<'_>) -> Option<(Addr, Tid)> {
    if !observations.libc.is_musl() || !matches!(waiter.entry, Entry::Join | Entry::Other | Entry::Unnamed) {
        return None;
    }
    let (pthread, tid) = libc::around_detach_state(observations.scene.target.arch(), waiter.futex.word)?;
    let joined = observations.tids.thread(observations.memory().u32(tid).ok()?)?;
    (observations.memory().ptr(pthread).ok()? == pthread).then_some((pthread, joined))
}

/// Where the dump has no thread pointers (an emulator's core): glibc's word is the joined thread's id. The kernel wakes it
/// as a shared futex; a robust mutex, whose word holds an id too, has its waiters' bit set.
fn by_id(observations: &Observations<'_>, waiter: &Waiter<'_>) -> Option<Tid> {
    let entry = waiter.entry;
    let waits = !waiter.futex.private && matches!(entry, Entry::Join | Entry::Other | Entry::Unnamed);
    let id = observations.memory().u32(waiter.futex.word).ok()?;
    (observations.libc.may_be_glibc() && waits && id == waiter.futex.expected).then(|| observations.tids.thread(id))?
}
