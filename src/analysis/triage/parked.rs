//! Threads that are parked on purpose: each waits in its own start routine for a lock of its own, all of which one thread holds that waits
//! for events. Redis parks its I/O threads so while there is little to do.
//!
//! A thread that hangs in an event loop with a lock that others need looks different: they want the same lock, in the midst of their work,
//! or the function that took it is still on the holder's stack. Where that cannot be told apart, it is no pool.

use crate::analysis::deadlock::Holder;
use crate::model::frame::path;
use crate::model::thread::{CallKind, WaitKind};
use crate::model::{Addr, Lock, Subject, Thread};

use super::case::Case;
use super::finding::{Finding, Next, Part, Sentence, Severity};

/// Name of the rule that tells of it.
pub(super) const NAME: &str = "parked";
/// Fewest threads of a pool.
const MANY: usize = 2;
/// The smallest lock that is one of an array: glibc's and musl's mutex. Source: docs/layouts.
const SMALLEST: u64 = 40;
/// Places of an array that may be without a waiter, for each that has one.
const SPARSE: u64 = 64;

/// The finding, if those who wait for `holder` are a parked pool.
pub(super) fn pool(case: &Case<'_>, holder: &Holder) -> Option<Finding> {
    let keeper = case.thread(holder.tid)?;
    let in_loop = keeper.waiting_on.as_ref().is_some_and(|waiting| waiting.kind == WaitKind::Call(CallKind::Epoll));
    let taken_below = holder.locks.iter().any(|lock| case.taken.contains(lock));
    if !in_loop || taken_below || !holder.certain || !holder.beside.is_empty() || holder.locks.len() < MANY {
        return None;
    }
    let locks: Vec<&Lock> = case.locks.iter().filter(|lock| holder.locks.contains(&lock.address)).collect();
    let mut waiters: Vec<&Thread> = Vec::new();
    for lock in &locks {
        let [only] = lock.waiters.as_slice() else { return None };
        waiters.push(case.thread(*only)?);
    }
    let first = waiters.first()?;
    let alike = |thread: &&Thread| is_at_its_beginning(thread) && thread.start == first.start;
    // Who waits for one of the waiters is in need of work that is not done.
    if holder.waiters.len() != waiters.len() || !waiters.iter().all(alike) || !are_in_an_array(&locks) {
        return None;
    }
    let lowest = locks.first()?.address;
    let title = Sentence::of(format!("{} threads are parked: each waits in ", waiters.len()))
        .part(Part::Function(first.start.as_deref()?.into()))
        .text(" for a lock of its own, such as ")
        .part(case.lock(lowest))
        .text(", that ")
        .part(case.call(holder.tid))
        .text(" keeps while it waits for events");
    let evidence = vec![
        case.chain(first.tid),
        case.chain(holder.tid),
        Sentence::of("one lock for each thread, in an array; none waits in the midst of its work").about(None),
    ];
    Some(Finding {
        rule: NAME,
        severity: Severity::Note,
        certain: false,
        title,
        about: Some(Subject::Thread(holder.tid)),
        evidence,
        next: Some(Next::new("parallelstacks", "if they should be at work: why the one that keeps the locks waits")),
    })
}

/// Whether the innermost function of the program's own is the one that the thread was started with.
fn is_at_its_beginning(thread: &Thread) -> bool {
    let (top, start) = (thread.top.as_deref().map(path), thread.start.as_deref().map(path));
    top.is_some() && top == start
}

/// Whether all locks are of one kind, and at equal distances from each other, some of which may be left out.
fn are_in_an_array(locks: &[&Lock]) -> bool {
    let Some(first) = locks.first() else { return false };
    let mut addresses: Vec<Addr> = locks.iter().map(|lock| lock.address).collect();
    addresses.sort_unstable();
    let gaps: Option<Vec<u64>> =
        addresses.iter().zip(addresses.iter().skip(1)).map(|(one, next)| next.since(*one)).collect();
    let Some(gaps) = gaps else { return false };
    let Some(size) = gaps.iter().copied().min().filter(|size| *size >= SMALLEST) else { return false };
    let is_multiple = |gap: &u64| gap.is_multiple_of(size) && gap / size <= SPARSE;
    locks.iter().all(|lock| lock.kind == first.kind) && gaps.iter().all(is_multiple)
}
