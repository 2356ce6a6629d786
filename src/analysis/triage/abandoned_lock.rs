//! A lock whose holder has ended: who waits for it waits forever.

use crate::model::{Evidence, Lock, Owner, Subject};

use super::Rule;
use super::case::Case;
use super::finding::{Finding, Next, Sentence, Severity};

pub(super) const RULE: Rule = Rule { name: "abandoned-lock", apply };

fn apply(case: &Case<'_>) -> Vec<Finding> {
    case.locks.iter().filter(|lock| is_abandoned(lock)).map(|lock| conclude(case, lock)).collect()
}

/// Whether a lock is waited for and names a holder that the dump does not have.
pub(super) fn is_abandoned(lock: &Lock) -> bool {
    lock.evidence == Evidence::OwnerGone && !lock.waiters.is_empty()
}

fn conclude(case: &Case<'_>, lock: &Lock) -> Finding {
    let title = match lock.waiters.as_slice() {
        [one] => Sentence::default().part(case.call(*one)).text(" waits for "),
        several => Sentence::of(format!("{} threads wait for ", several.len())),
    };
    let title = title.part(case.lock(lock.address)).text(", whose holder is gone: it ended without giving it back");
    let mut evidence = Vec::new();
    if let Owner::Unknown(gap) = &lock.owner {
        evidence.push(Sentence::of(gap.to_string()).about(Subject::Lock(lock.address)));
    }
    evidence.extend(lock.waiters.first().map(|waiter| case.chain(*waiter)));
    Finding {
        rule: RULE.name,
        severity: Severity::Critical,
        // The holder may be a thread of another process, where the lock is shared with it.
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
