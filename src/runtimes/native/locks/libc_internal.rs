//! Locks inside the C library: stdio streams, malloc arenas, lists of the loader.
//!
//! A stream's lock names its owner; the others do not. Layouts: docs/layouts/glibc.md, docs/layouts/musl.md.

use crate::model::{Addr, Evidence, Gap, Owner};

use super::super::libc::family_of;
use super::entry::Entry;
use super::evidence;
use super::kinds;
use super::observation::{Observation, Waiter};
use crate::runtimes::native::observations::Observations;
use crate::runtimes::native::waits::FUTEX_WAIT;

// _IO_lock_t { int lock; int cnt; void *owner; }. Source: glibc 2.36 sysdeps/nptl/stdio-lock.h.
const STREAM_COUNT: u64 = 4;
const STREAM_OWNER: u64 = 8;
// FILE.lock holds the owner's id; bit 30 = MAYBE_WAITERS. Source: musl 1.2.3 src/stdio/__lockfile.c.
const MUSL_OWNER_MASK: u32 = 0x3fff_ffff;

/// Recognises a plain futex wait inside the C library itself, when no public kind of lock was recognised.
pub(super) fn waited(observations: &Observations<'_>, waiter: &Waiter<'_>) -> Option<Observation> {
    if waiter.futex.command != FUTEX_WAIT || !waits_in_libc(observations, waiter) {
        return None;
    }
    let address = waiter.futex.word;
    let gap = Gap::NotRecorded("this lock of the C library does not store its owner".to_owned());
    let unknown = Observation::waited(kinds::LIBC, address, Owner::Unknown(gap));
    let recorded = if observations.libc.is_musl() {
        musl_stream(observations, address)
    } else {
        glibc_stream(observations, address)
    };
    Some(recorded.unwrap_or(unknown))
}

/// Whether the system call was made by a function of the C library, and not through its `syscall`.
fn waits_in_libc(observations: &Observations<'_>, waiter: &Waiter<'_>) -> bool {
    let Some(innermost) = waiter.calls.inner.first() else { return false };
    let of_libc = innermost
        .module
        .and_then(|index| observations.scene.target.modules.get(index))
        .is_some_and(|module| family_of(module).is_some());
    // In a static program only names can tell.
    let named = innermost.name.as_deref();
    (of_libc || (named.is_some_and(|name| name.starts_with("__")) && waiter.entry != Entry::Unnamed))
        && named != Some("syscall")
}

fn glibc_stream(observations: &Observations<'_>, address: Addr) -> Option<Observation> {
    let owner = observations.memory().ptr(address.plus(STREAM_OWNER)?).ok()?;
    let thread =
        observations.scene.threads.iter().find(|thread| observations.libc.pthread_of(thread) == Some(owner))?;
    let count = observations.memory().u32(address.plus(STREAM_COUNT)?).ok()?;
    let seen = Observation::waited(kinds::LIBC, address, Owner::Thread(thread.tid));
    Some(Observation { recursion: Some(count), evidence: Evidence::OWNER_FIELD, ..seen })
}

fn musl_stream(observations: &Observations<'_>, address: Addr) -> Option<Observation> {
    let tid = observations.tids.thread(observations.memory().u32(address).ok()? & MUSL_OWNER_MASK)?;
    let seen = Observation::waited(kinds::LIBC, address, Owner::Thread(tid));
    Some(Observation { evidence: evidence::FUTEX_WORD, ..seen })
}
