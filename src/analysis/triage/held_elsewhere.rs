//! A lock in shared memory that a thread of another process holds.

use crate::model::{Absence, Absent, Lock, Owner, Subject};

use super::Rule;
use super::case::Case;
use super::finding::{Finding, Next, Sentence, Severity};
use super::gone::who_waits;

pub(super) const RULE: Rule = Rule::new("held-elsewhere", apply);

fn apply(case: &Case<'_>) -> Vec<Finding> {
    case.locks.iter().filter(|lock| !lock.waiters.is_empty()).filter_map(|lock| conclude(case, lock)).collect()
}

fn conclude(case: &Case<'_>, lock: &Lock) -> Option<Finding> {
    let absent = lock.absent.as_ref().filter(|absent| absent.why == Absence::OtherProcess)?;
    let mut evidence = Vec::new();
    if let Owner::Unknown(gap) = &lock.owner {
        evidence.push(Sentence::of(gap.to_string()).about(Subject::Lock(lock.address)));
    }
    let words = match (absent.certain, absent.alive) {
        (true, _) => "that process has mapped the same shared memory",
        (false, Some(_)) => "that it has the same memory could not be seen: its id may be another's by now",
        (false, None) => "the lock is in memory that processes share; the id that it names is no thread of this one",
    };
    evidence.push(Sentence::of(words).about(None));
    evidence.extend(lock.waiters.first().map(|waiter| case.chain(*waiter)));
    let next = match absent.pid {
        Some(pid) => format!(
            "look at what process {pid} does: dumpscope live -p {pid}; a robust mutex (pthread_mutexattr_setrobust) tells who waits when its \
             holder dies"
        ),
        None => format!(
            "look for thread {} on that machine: while it lives, see what it does; if it has ended, only a robust mutex \
             (pthread_mutexattr_setrobust) would have told",
            absent.tid
        ),
    };
    Some(Finding {
        rule: RULE.name,
        severity: Severity::Warning,
        certain: absent.certain,
        title: who_waits(case, lock).text(", held by ").then(holder(absent)),
        about: Some(Subject::Lock(lock.address)),
        evidence,
        next: Some(Next::advice(next)),
    })
}

/// `process 4712 (shop)`, `process 4712 (shop), thread 4714`, `thread 4712 of another process`.
fn holder(absent: &Absent) -> Sentence {
    let tid = absent.tid;
    Sentence::of(match (absent.pid, absent.process.as_deref()) {
        (None, _) => format!("thread {tid} of another process"),
        (Some(pid), Some(name)) if pid == tid => format!("process {pid} ({name})"),
        (Some(pid), Some(name)) => format!("process {pid} ({name}), thread {tid}"),
        (Some(pid), None) => format!("process {pid}, thread {tid}"),
    })
}
