//! A lock whose holder is not among the threads: who waits for it waits forever, if no other process shares it.

use crate::model::{Evidence, Lock, Owner, Subject, Tid};

use super::Rule;
use super::case::Case;
use super::finding::{Finding, Next, Sentence, Severity};

pub(super) const RULE: Rule = Rule { name: "abandoned-lock", apply };

fn apply(case: &Case<'_>) -> Vec<Finding> {
    case.locks.iter().filter(|lock| is_abandoned(case, lock)).map(|lock| conclude(case, lock)).collect()
}

/// Whether a lock names a holder that the dump does not have, and a thread waits for it that nothing outside of the process can wake.
pub(super) fn is_abandoned(case: &Case<'_>, lock: &Lock) -> bool {
    let hopeless = |tid: &Tid| {
        let waiting = case.thread(*tid).and_then(|thread| thread.waiting_on.as_ref());
        waiting.is_some_and(|waiting| waiting.within)
    };
    lock.evidence == Evidence::OwnerGone && case.has_all_threads() && lock.waiters.iter().any(hopeless)
}

fn conclude(case: &Case<'_>, lock: &Lock) -> Finding {
    let title = match lock.waiters.as_slice() {
        [one] => Sentence::default().part(case.call(*one)).text(" waits for "),
        several => Sentence::of(format!("{} threads wait for ", several.len())),
    };
    let title = title.part(case.lock(lock.address)).text(", whose holder is gone");
    let mut evidence = Vec::new();
    if let Owner::Unknown(gap) = &lock.owner {
        evidence.push(Sentence::of(gap.to_string()).about(Subject::Lock(lock.address)));
    }
    let words = "it ended without giving the lock back, or belongs to the process that this one was forked from";
    evidence.push(Sentence::of(words).about(None));
    evidence.extend(lock.waiters.first().map(|waiter| case.chain(*waiter)));
    Finding {
        rule: RULE.name,
        severity: Severity::Critical,
        certain: false,
        title,
        about: Some(Subject::Lock(lock.address)),
        evidence,
        next: Some(Next::new(
            "locks",
            "the lock and who waits for it; look for a return or an exception between lock and unlock",
        )),
    }
}
