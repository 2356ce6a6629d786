//! Locks whose holder is no thread of the process: what the rules about them share, and those that leave such locks to them.

use crate::model::{Absence, Evidence, Lock, Tid};

use super::case::Case;
use super::finding::Sentence;

/// Whether a lock names a holder that is no thread of any process as far as is known, and a thread waits for it that nobody can wake.
pub(super) fn is_abandoned(case: &Case<'_>, lock: &Lock) -> bool {
    let why = lock.absent.as_ref().map(|absent| absent.why);
    let ended = !matches!(why, Some(Absence::OtherProcess | Absence::BeforeFork));
    lock.evidence == Evidence::OWNER_GONE && case.has_all_threads() && ended && has_hopeless_waiter(case, lock)
}

/// Whether a thread waits for the lock without a time limit, and what it waits on is the process's own; or the kernel said that the
/// other process's thread is gone.
pub(super) fn has_hopeless_waiter(case: &Case<'_>, lock: &Lock) -> bool {
    let is_gone = lock.absent.as_ref().is_some_and(|absent| absent.alive == Some(false));
    lock.waiters.iter().any(|tid: &Tid| {
        let within =
            case.thread(*tid).and_then(|thread| thread.waiting_on.as_ref()).is_some_and(|waiting| waiting.within);
        within || (is_gone && !lock.limits.iter().any(|limit| limit.tid == *tid))
    })
}

/// `2 threads wait for g_till`.
pub(super) fn who_waits(case: &Case<'_>, lock: &Lock) -> Sentence {
    let who = match lock.waiters.as_slice() {
        [one] => Sentence::default().part(case.call(*one)).text(" waits for "),
        several => Sentence::of(format!("{} threads wait for ", several.len())),
    };
    who.part(case.lock(lock.address))
}

/// Whether a lock was held when fork copied it, and a thread waits for it that nobody can wake.
pub(super) fn is_copied(case: &Case<'_>, lock: &Lock) -> bool {
    lock.absent.as_ref().is_some_and(|absent| absent.why == Absence::BeforeFork) && has_hopeless_waiter(case, lock)
}
