//! A condition variable that is destroyed while threads still wait on it: glibc lets who destroys it wait for them.

use crate::model::frame::path;
use crate::model::thread::WaitKind;
use crate::model::{Addr, LockFamily, Subject, Thread, Tid};

use super::Rule;
use super::case::Case;
use super::finding::{Finding, Next, Sentence, Severity};

pub(super) const RULE: Rule = Rule::new("destroyed-condvar", apply);

/// Innermost frames among which the call is looked for.
const FRAMES: usize = 8;

fn apply(case: &Case<'_>) -> Vec<Finding> {
    case.threads.iter().filter_map(|thread| conclude(case, thread)).collect()
}

/// The condition variable that a thread destroys, and the threads that wait on it.
fn destroys(case: &Case<'_>, thread: &Thread) -> Option<(Addr, Vec<Tid>)> {
    let on = condvar(thread)?;
    let mut functions = case.frames(thread.tid).iter().take(FRAMES).filter_map(|frame| frame.function.as_deref());
    functions.find(|name| path(name).ends_with("pthread_cond_destroy"))?;
    let others = case.threads.iter().filter(|other| other.tid != thread.tid && condvar(other) == Some(on));
    Some((on, others.map(|other| other.tid).collect()))
}

fn condvar(thread: &Thread) -> Option<Addr> {
    let waiting = thread.waiting_on.as_ref()?;
    waiting.address.filter(|_| matches!(waiting.kind, WaitKind::Lock(kind) if kind.family == LockFamily::Condvar))
}

// Source: POSIX pthread_cond_destroy, "undefined behavior"; glibc 2.36 nptl/pthread_cond_destroy.c waits until nobody uses it.
fn conclude(case: &Case<'_>, thread: &Thread) -> Option<Finding> {
    let (condvar, waiters) = destroys(case, thread)?;
    let title = Sentence::default().part(case.call(thread.tid)).text(" destroys ").part(case.lock(condvar));
    let title = match waiters.as_slice() {
        [] => title.text(" and waits for a thread that still uses it"),
        [one] => title.text(" and waits for ").part(case.call(*one)).text(", which still waits on it"),
        several => title.text(format!(" and waits for {} threads that still wait on it", several.len())),
    };
    let mut evidence = vec![case.chain(thread.tid)];
    evidence.extend(waiters.first().map(|waiter| case.chain(*waiter)));
    evidence
        .push(Sentence::of("pthread_cond_destroy returns when every waiter has been woken and has left").about(None));
    Some(Finding {
        rule: RULE.name,
        severity: if case.all_wait_within() { Severity::Critical } else { Severity::Warning },
        certain: true,
        title,
        about: Some(Subject::Lock(condvar)),
        evidence,
        next: Some(Next::advice(
            "wake and join its waiters before a condition variable's end, also before exit destroys static ones",
        )),
    })
}
