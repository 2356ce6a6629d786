//! A lock that another thread held when fork copied the process: in the copy nobody can give it back.

use crate::model::{Absent, Lock, Owner, Subject};

use super::Rule;
use super::case::Case;
use super::finding::{Finding, Next, Sentence, Severity};
use super::gone::{is_copied, who_waits};

pub(super) const RULE: Rule = Rule::new("forked-lock", apply);

fn apply(case: &Case<'_>) -> Vec<Finding> {
    case.locks.iter().filter(|lock| is_copied(case, lock)).filter_map(|lock| conclude(case, lock)).collect()
}

fn conclude(case: &Case<'_>, lock: &Lock) -> Option<Finding> {
    let absent = lock.absent.as_ref()?;
    let mut evidence = Vec::new();
    if let Owner::Unknown(gap) = &lock.owner {
        evidence.push(Sentence::of(gap.to_string()).about(Subject::Lock(lock.address)));
    }
    let words = "a child of fork has the one thread that called fork: what the others held stays held in its copy of the memory";
    evidence.push(Sentence::of(words).about(None));
    evidence.extend(lock.waiters.first().map(|waiter| case.chain(*waiter)));
    Some(Finding {
        rule: RULE.name,
        severity: Severity::Critical,
        certain: absent.certain && case.has_all_threads(),
        title: who_waits(case, lock).text(", which ").then(holder(absent)).text(" held when fork copied it"),
        about: Some(Subject::Lock(lock.address)),
        evidence,
        next: Some(Next::advice(
            "in a child of a program with threads call only exec and what signal-safety(7) lists; or take the lock around fork (pthread_atfork)",
        )),
    })
}

/// `thread 4711 of process 4710 (shop)`, as far as is known.
fn holder(absent: &Absent) -> Sentence {
    let tid = absent.tid;
    Sentence::of(match (absent.pid, absent.process.as_deref()) {
        (None, _) => format!("thread {tid}"),
        (Some(pid), Some(name)) => format!("thread {tid} of process {pid} ({name})"),
        (Some(pid), None) => format!("thread {tid} of process {pid}"),
    })
}
