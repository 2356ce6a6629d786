//! A signal came while a thread was in a function of the C library that takes a lock, and the signal's handler calls such a function
//! again: it waits for its own thread, below its own frames.
//!
//! Input: locks of the C library that store no owner, and the stacks of those who wait. Output: the waiter itself as the inferred owner. A
//! function need not hold its lock at every instruction, so that this is the likeliest and not certain.

use rustc_hash::FxHashSet;

use crate::model::{Evidence, FrameKind, Lock, Owner, Stack, Tid};
use crate::runtimes::native::calls::{Call, Namer};
use crate::runtimes::native::observations::Observations;

use super::evidence;
use super::kinds;

/// Parts of names of functions that take an arena's lock. Source: glibc 2.36 malloc/malloc.c, malloc/arena.c; musl 1.2.3
/// src/malloc/mallocng.
const ALLOCATION: [&str; 9] =
    ["malloc", "calloc", "free", "memalign", "aligned_alloc", "sysmalloc", "systrim", "arena_get", "unlink_chunk"];
/// Frames of a stack that are named.
const MAX_FRAMES: usize = 64;

/// Fills in the owners of locks whose only holder can be a waiter.
pub(super) fn infer(observations: &Observations<'_>, locks: &mut [Lock]) {
    let namer = Namer::new(observations.scene.target, observations.libc.in_executable);
    for lock in locks.iter_mut().filter(|lock| is_wanted(lock)) {
        let waiters: FxHashSet<Tid> = lock.waiters.iter().copied().collect();
        let held: Vec<Tid> = observations
            .scene
            .iter()
            .filter(|(thread, _)| waiters.contains(&thread.tid))
            .filter(|(_, stack)| is_own(&namer, stack))
            .map(|(thread, _)| thread.tid)
            .collect();
        if let [tid] = held.as_slice() {
            (lock.owner, lock.evidence) = (Owner::Inferred(*tid), evidence::INTERRUPTED_CODE);
        }
    }
}

fn is_wanted(lock: &Lock) -> bool {
    lock.kind == kinds::LIBC && matches!(lock.owner, Owner::Unknown(_)) && lock.evidence == Evidence::WAIT
}

/// Whether the functions of the library right below a signal's frame are of the same kind as those in which the thread waits.
fn is_own(namer: &Namer<'_>, stack: &Stack) -> bool {
    let frames = || stack.frames.iter().take(MAX_FRAMES);
    let Some(signal) = frames().position(|frame| frame.kind == FrameKind::Signal) else { return false };
    let library = |from: usize| -> Vec<Call> {
        let calls = frames().skip(from).flat_map(|frame| namer.calls(frame).to_vec());
        calls.take_while(|call| call.runtime).filter(|call| call.name.is_some()).collect()
    };
    shares(&names(&library(0)), &names(&library(signal.saturating_add(1))))
}

fn names(calls: &[Call]) -> Vec<&str> {
    calls.iter().filter_map(|call| call.name.as_deref()).collect()
}

fn shares(waiting: &[&str], interrupted: &[&str]) -> bool {
    // What every wait goes through tells nothing.
    let is_wait = |name: &str| ["futex", "lll_lock", "restore_rt", "lock_wait"].iter().any(|part| name.contains(part));
    let allocates = |names: &[&str]| names.iter().any(|name| ALLOCATION.iter().any(|part| name.contains(part)));
    (allocates(waiting) && allocates(interrupted))
        || waiting.iter().any(|name| !is_wait(name) && interrupted.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handler_that_allocates_waits_for_the_allocation_that_it_interrupted() {
        let waiting = ["futex_wait", "__GI___lll_lock_wait_private", "__GI___libc_malloc"];
        assert!(shares(&waiting, &["_int_free", "__GI___libc_free"]));
        assert!(!shares(&waiting, &["__GI___clock_nanosleep", "__GI___nanosleep"]), "a sleep holds nothing");
        assert!(!shares(&waiting, &[]), "it interrupted the program's own code");
    }

    #[test]
    fn the_same_function_twice_takes_the_same_lock() {
        let waiting = ["__lll_lock_wait_private", "__tz_convert", "__localtime64_r"];
        assert!(shares(&waiting, &["tzfile_compute", "__tz_convert", "__localtime64_r"]));
        assert!(!shares(&waiting, &["__lll_lock_wait_private"]), "another wait");
    }
}
