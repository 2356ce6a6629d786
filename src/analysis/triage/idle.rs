//! Every thread waits for work, and each of these waits is understood: nothing is wrong here.

use crate::analysis::deadlock::Holder;
use crate::model::thread::Nature;
use crate::model::{RecognisedRuntime, Subject, Thread, ThreadState, Tid};

use super::case::Case;
use super::finding::{Finding, Next, Sentence, Severity};
use super::{Rule, destroyed, own_queue, starved_pool, stopped, stuck};

pub(super) const RULE: Rule = Rule::new("idle", apply).yields_to(&[
    &stuck::RULE,
    &destroyed::RULE,
    &stopped::RULE,
    &own_queue::RULE,
    &starved_pool::RULE,
]);

/// Joins that are followed from one thread to the next.
const MAX_JOINS: usize = 64;

fn apply(case: &Case<'_>) -> Vec<Finding> {
    // Two or more that wait for one thread's end are a finding of their own.
    let joins = |holder: &Holder| holder.waiters.len() < 2 && holder.locks.iter().all(|lock| case.is_join(*lock));
    let held = case.cycles.is_empty() && case.holders.iter().all(joins);
    let quiet = !case.threads.is_empty()
        && !case.crashed()
        && held
        // Code of these may wait for what no thread's wait shows.
        && !case.runtimes.iter().any(RecognisedRuntime::hides_waits)
        && case.threads.iter().all(|thread| waits_for_work(case, thread));
    if quiet { vec![conclude(case)] } else { Vec::new() }
}

fn conclude(case: &Case<'_>) -> Finding {
    let count = case.threads.len();
    let title = match count {
        1 => Sentence::of("its only thread waits for work, input or time"),
        count => Sentence::of(format!("all {count} threads wait for work, input or time")),
    };
    let evidence = case.threads.iter().take(3).map(|thread| {
        let words = Sentence::default().part(case.call(thread.tid)).text(" ").then(case.doing(thread.tid));
        words.about(Subject::Thread(thread.tid))
    });
    Finding {
        rule: RULE.name,
        severity: Severity::Note,
        certain: false,
        title: title.text(": nothing looks wrong here"),
        about: Some(Subject::Capture),
        evidence: evidence.collect(),
        next: Some(Next::new("parallelstacks", "what they wait in; if a reply is missing, look at the other process")),
    }
}

/// Whether a thread sleeps, or waits for something that no thread holds, and it is understood what that is.
fn waits_for_work(case: &Case<'_>, thread: &Thread) -> bool {
    let mut thread = thread;
    for _ in 0..MAX_JOINS {
        if thread.is_uninterruptible() {
            return false;
        }
        match (thread.state, thread.waiting_on.as_ref()) {
            (ThreadState::Exited, _) | (ThreadState::Sleeping, None) => return true,
            (ThreadState::Blocked | ThreadState::Sleeping, Some(waiting)) => match waiting.nature {
                Nature::Idle => return true,
                // Who joins is as well as whom it waits for.
                Nature::End => match waiting.address.and_then(|address| joined(case, address)) {
                    Some(tid) => match case.thread(tid) {
                        Some(joined) => thread = joined,
                        None => return false,
                    },
                    None => return false,
                },
                Nature::Child
                | Nature::Lock
                | Nature::Turn
                | Nature::Room
                | Nature::Answer
                | Nature::Mutual
                | Nature::Unknown => return false,
            },
            _ => return false,
        }
    }
    false
}

fn joined(case: &Case<'_>, address: crate::model::Addr) -> Option<Tid> {
    case.locks.iter().find(|lock| lock.address == address)?.owner_tid()
}
