//! A thread waits for work whose next piece is queued for that thread alone: it waits for itself.

use std::sync::Arc;

use crate::model::{Subject, Tid, WorkEnd, WorkWait};

use super::Rule;
use super::case::Case;
use super::finding::{Fact, Finding, Next, Part, Sentence, Severity};

pub(super) const RULE: Rule = Rule::new("own-queue", apply);

/// Functions of a chain that are told.
const TOLD: usize = 6;

fn apply(case: &Case<'_>) -> Vec<Finding> {
    let mut told: Vec<Tid> = Vec::new();
    let mut findings = Vec::new();
    for wait in &case.pending.waits {
        if matches!(wait.end, WorkEnd::OwnQueue | WorkEnd::OwnQueueAfter(_)) && !told.contains(&wait.tid) {
            told.push(wait.tid);
            findings.push(conclude(case, wait));
        }
    }
    findings
}

fn conclude(case: &Case<'_>, wait: &WorkWait) -> Finding {
    let title = Sentence::default().part(case.call(wait.tid)).text(" waits for ").then(outermost(wait));
    let (severity, title) = match &wait.end {
        WorkEnd::OwnQueueAfter(first) => {
            let title = title.text(", which is to go on in this thread itself once it has what it waits for: ");
            (Severity::Warning, title.text(first.as_str()))
        }
        _ => {
            let title = Sentence::of("deadlock: ").then(title);
            (
                Severity::Critical,
                title
                    .text(", which goes on in this thread itself: its next piece of work is in the thread's own queue"),
            )
        }
    };
    let on_thread = Sentence::of("where it blocks: ").then(case.chain(wait.tid).text);
    let next = Next::new(
        "dumpasync",
        "what each method awaits; await the task in place of blocking on it, or do not go on in the caller's context",
    );
    Finding {
        rule: RULE.name,
        severity,
        certain: true,
        title,
        about: Some(Subject::Thread(wait.tid)),
        evidence: vec![chain(wait), on_thread.about(Subject::Thread(wait.tid))],
        next: Some(next),
    }
}

/// The function whose work a thread waits for.
pub(super) fn outermost(wait: &WorkWait) -> Sentence {
    match wait.functions.last() {
        Some(function) => Sentence::default().part(Part::Function(Arc::clone(function))),
        None => Sentence::of("a task"),
    }
}

/// `Show ◂ Load`: the functions that await one another, innermost first.
pub(super) fn chain(wait: &WorkWait) -> Fact {
    let mut sentence = Sentence::of("what it waits for: ");
    for (index, function) in wait.functions.iter().take(TOLD).enumerate() {
        sentence = if index == 0 { sentence } else { sentence.text(" ◂ awaited by ") }
            .part(Part::Function(Arc::clone(function)));
    }
    let sentence = match &wait.end {
        WorkEnd::OwnQueue => sentence.text(", which is queued for this thread"),
        WorkEnd::PoolQueue => sentence.text(", which is queued for the pool"),
        WorkEnd::OwnQueueAfter(what) | WorkEnd::Other(what) => sentence.text(", which waits for ").text(what.as_str()),
    };
    sentence.about(Subject::Thread(wait.tid))
}
