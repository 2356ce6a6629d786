//! A lock whose holder has ended: who waits for it waits forever.

use crate::model::{Absence, Evidence, Lock, Owner, Subject, Tid};

use super::Rule;
use super::case::Case;
use super::finding::{Finding, Next, Sentence, Severity};

pub(super) const RULE: Rule = Rule { name: "abandoned-lock", apply };

fn apply(case: &Case<'_>) -> Vec<Finding> {
    case.locks.iter().filter(|lock| is_abandoned(case, lock)).map(|lock| conclude(case, lock)).collect()
}

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

fn conclude(case: &Case<'_>, lock: &Lock) -> Finding {
    let absent = lock.absent.as_ref();
    let why = absent.map_or(Absence::Unknown, |absent| absent.why);
    let shared = absent.and_then(|absent| absent.shared);
    let (ending, explanation, next) = match (why, shared) {
        _ if absent.is_none() => (
            ", whose holder is gone",
            "nobody is left that could give it back",
            Next::new(
                "locks",
                "the lock and who waits for it; look for a return or an exception between lock and unlock",
            ),
        ),
        (Absence::FirstThread, _) => (
            ", which the process's first thread held when it ended",
            "the other threads go on after main has called pthread_exit, and nobody gives back what it held",
            Next::advice("look for pthread_exit between lock and unlock in what main calls"),
        ),
        (Absence::Ended, Some(true)) => (
            ", whose holder was in another process and has ended without giving it back",
            "the lock is in memory that processes share, and no thread had its holder's id when the dump was taken",
            Next::advice(
                "a robust mutex (pthread_mutexattr_setrobust) tells who waits that its holder has died; until then the lock must be made anew",
            ),
        ),
        (Absence::Ended, _) => (
            ", whose holder ended without giving it back",
            "the lock is in memory of this process alone, so that its holder was one of its threads",
            Next::new(
                "locks",
                "the lock and who waits for it; look for a return or an exception between lock and unlock",
            ),
        ),
        (Absence::OtherProcess | Absence::BeforeFork | Absence::Unknown, _) => (
            ", whose holder is gone",
            "it ended without giving the lock back, or is a thread of another process",
            Next::new(
                "locks",
                "the lock and who waits for it; look for a return or an exception between lock and unlock",
            ),
        ),
    };
    let mut evidence = Vec::new();
    if let Owner::Unknown(gap) = &lock.owner {
        evidence.push(Sentence::of(gap.to_string()).about(Subject::Lock(lock.address)));
    }
    evidence.push(Sentence::of(explanation).about(None));
    evidence.extend(lock.waiters.first().map(|waiter| case.chain(*waiter)));
    Finding {
        rule: RULE.name,
        severity: Severity::Critical,
        // Elsewhere the id may be another's by now, and a mutex that is not checked may be given back by any thread.
        certain: why == Absence::FirstThread && absent.is_some_and(|absent| absent.certain),
        title: who_waits(case, lock).text(ending),
        about: Some(Subject::Lock(lock.address)),
        evidence,
        next: Some(next),
    }
}
