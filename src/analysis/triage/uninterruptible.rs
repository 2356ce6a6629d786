//! A thread that no signal wakes: state D of proc(5), in a file system, a driver or a vfork.

use crate::model::{Subject, Thread};

use super::Rule;
use super::case::Case;
use super::finding::{Finding, Next, Sentence, Severity};

pub(super) const RULE: Rule = Rule::new("uninterruptible", apply);

/// Threads that are told one by one.
const TOLD: usize = 4;
/// Functions of the kernel that the evidence names.
const FUNCTIONS: usize = 6;

fn apply(case: &Case<'_>) -> Vec<Finding> {
    case.threads
        .iter()
        .filter(|thread| thread.is_uninterruptible())
        .take(TOLD)
        .map(|thread| conclude(case, thread))
        .collect()
}

fn conclude(case: &Case<'_>, thread: &Thread) -> Finding {
    let held = thread.kernel.as_ref();
    let title = if case.threads.len() == 1 {
        Sentence::of("its only thread")
    } else {
        Sentence::default().part(case.call(thread.tid))
    };
    let title = title.text(" sleeps where no signal wakes it (state D)");
    let channel = held.and_then(|held| held.wait_channel.as_deref());
    let title = title.with(channel, |title, channel| title.text(", in the kernel's ").text(channel));
    let title = title.text(": it ").then(case.doing(thread.tid));
    let mut evidence = vec![case.chain(thread.tid)];
    let functions = held.map(|held| held.functions.as_slice()).unwrap_or_default();
    if !functions.is_empty() {
        let functions: Vec<&str> = functions.iter().take(FUNCTIONS).map(String::as_str).collect();
        evidence
            .push(Sentence::of(format!("in the kernel: {}", functions.join(" ◂ "))).about(Subject::Thread(thread.tid)));
    }
    if let Some(lost) = held.and_then(|held| held.lost.as_deref()) {
        let words = Sentence::of("it has no registers in the dump: ").text(lost);
        evidence.push(words.about(Subject::Thread(thread.tid)));
    }
    evidence.extend(joins(case, thread));
    Finding {
        rule: RULE.name,
        severity: Severity::Warning,
        certain: true,
        title,
        about: Some(Subject::Thread(thread.tid)),
        evidence,
        next: Some(Next::advice("a disk, a network file system, a driver or a child has to answer; look there")),
    }
}

/// Who waits for its end.
fn joins(case: &Case<'_>, thread: &Thread) -> Option<super::Fact> {
    let lock = case.locks.iter().find(|lock| case.is_join(lock.address) && lock.owner_tid() == Some(thread.tid))?;
    let first = *lock.waiters.first()?;
    let words = Sentence::default().part(case.call(first));
    let more = lock.waiters.len().saturating_sub(1);
    let words = if more > 0 { words.text(format!(" and {more} more threads wait")) } else { words.text(" waits") };
    Some(words.text(" for its end").about(Subject::Thread(first)))
}
