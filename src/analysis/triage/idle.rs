//! Every thread waits for work: nothing is wrong here.

use crate::model::thread::WaitKind;
use crate::model::{LockKind, RecognisedRuntime, Subject, Thread, ThreadState};

use super::case::Case;
use super::finding::{Finding, Next, Sentence, Severity};
use super::{Rule, stuck};

pub(super) const RULE: Rule = Rule { name: "idle", apply };

fn apply(case: &Case<'_>) -> Vec<Finding> {
    let nothing_held = case.cycles.is_empty() && case.holders.is_empty();
    if case.threads.is_empty()
        || case.crashed()
        || !nothing_held
        // Its code may wait for what no thread's wait shows.
        || case.runtimes.iter().any(RecognisedRuntime::hides_waits)
        || !case.threads.iter().all(is_idle)
        || stuck::speaks(case)
    {
        return Vec::new();
    }
    let count = case.threads.len();
    let title = match count {
        1 => Sentence::of("its only thread waits for work, input or time"),
        count => Sentence::of(format!("all {count} threads wait for work, input or time")),
    };
    let evidence = case.threads.iter().take(3).map(|thread| {
        let words = Sentence::default().part(case.call(thread.tid)).text(" ").then(case.doing(thread.tid));
        words.about(Subject::Thread(thread.tid))
    });
    vec![Finding {
        rule: RULE.name,
        severity: Severity::Note,
        certain: false,
        title: title.text(": nothing looks wrong here"),
        about: Some(Subject::Capture),
        evidence: evidence.collect(),
        next: Some(Next::new("parallelstacks", "what they wait in; if a reply is missing, look at the other process")),
    }]
}

/// Sleeps, or waits for something that another thread does not have to give back.
fn is_idle(thread: &Thread) -> bool {
    match (thread.state, thread.waiting_on.as_ref().map(|waiting| waiting.kind)) {
        (ThreadState::Sleeping | ThreadState::Exited, _) | (ThreadState::Blocked, Some(WaitKind::Call(_))) => true,
        (ThreadState::Blocked, Some(WaitKind::Lock(kind))) => matches!(
            kind,
            LockKind::Condvar
                | LockKind::Semaphore
                | LockKind::Barrier
                | LockKind::Latch
                | LockKind::Future
                | LockKind::Atomic
                | LockKind::Join
                | LockKind::RustCondvar
                | LockKind::RustPark
                | LockKind::ParkingLotCondvar
        ),
        _ => false,
    }
}
