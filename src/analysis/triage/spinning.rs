//! A thread that runs in the program's own code while others wait.

use crate::model::{Subject, Thread, ThreadState};

use super::Rule;
use super::case::Case;
use super::finding::{Finding, Next, Part, Sentence, Severity};

pub(super) const RULE: Rule = Rule::new("spinning", apply);

/// More running threads than this are a busy program, not a spinning thread.
const MAX_RUNNING: usize = 4;

fn apply(case: &Case<'_>) -> Vec<Finding> {
    if case.crashed() || case.threads.len() < 2 {
        return Vec::new();
    }
    let running: Vec<&Thread> = case.threads.iter().filter(|thread| thread.state == ThreadState::Running).collect();
    let waiting = case.threads.iter().filter(|thread| thread.state == ThreadState::Blocked).count();
    if running.len() > MAX_RUNNING || waiting == 0 {
        return Vec::new();
    }
    running.into_iter().filter_map(|thread| conclude(case, thread, waiting)).collect()
}

fn conclude(case: &Case<'_>, thread: &Thread, waiting: usize) -> Option<Finding> {
    let own = case.own_frame(thread.tid)?;
    let function = case.frames(thread.tid).get(own)?.function.clone()?;
    let holder = case.holders.iter().find(|holder| holder.tid == thread.tid);
    let behind = holder.map_or(0, |holder| holder.waiters.len());
    let joined = holder.is_some_and(|holder| holder.locks.iter().all(|lock| case.is_join(*lock)));
    let title = Sentence::default().part(case.call(thread.tid)).text(" runs in ").part(Part::Function(function));
    let title = match behind {
        0 => title.text(format!(" while {}", told(waiting))),
        behind if joined => title.text(format!(" while {} for its end", told(behind))),
        behind => title.text(format!(" while {} for what it holds", told(behind))),
    };
    Some(Finding {
        rule: RULE.name,
        severity: Severity::Warning,
        certain: false,
        title,
        about: Some(Subject::Thread(thread.tid)),
        evidence: vec![
            Sentence::of("it waited for nothing when the dump was taken: it computes, or it spins")
                .about(Subject::Thread(thread.tid)),
            case.chain(thread.tid),
        ],
        next: Some(Next::new(
            format!("stack -t {}", thread.tid),
            "the loop it is in; a second dump shows whether it moves",
        )),
    })
}

fn told(threads: usize) -> String {
    if threads == 1 { "another thread waits".to_owned() } else { format!("{threads} other threads wait") }
}
