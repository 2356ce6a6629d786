//! A lock whose holder has ended: who waits for it waits forever.

use crate::model::{Absence, Lock, Owner, Subject};

use super::Rule;
use super::case::Case;
use super::finding::{Finding, Next, Sentence, Severity};
use super::gone::{is_abandoned, who_waits};

pub(super) const RULE: Rule = Rule::new("abandoned-lock", apply);

fn apply(case: &Case<'_>) -> Vec<Finding> {
    case.locks.iter().filter(|lock| is_abandoned(case, lock)).map(|lock| conclude(case, lock)).collect()
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
