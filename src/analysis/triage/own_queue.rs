//! A thread waits for work whose next piece is queued for that thread alone: it waits for itself.

use std::sync::Arc;

use rustc_hash::FxHashSet;

use crate::model::{OwnQueue, Subject, Tid, TimeLimit, WorkEnd, WorkWait};

use super::Rule;
use super::case::Case;
use super::finding::{Fact, Finding, Next, Part, Sentence, Severity};
use super::limits::at_most;
use super::needed::{Waits, end, is_endless};

pub(super) const RULE: Rule = Rule::new("own-queue", apply);

/// Functions of a chain that are told.
const TOLD: usize = 6;

fn apply(case: &Case<'_>) -> Vec<Finding> {
    let waits = Waits::of(case.pending);
    let mut seen: FxHashSet<Tid> = FxHashSet::default();
    let own = case.pending.waits.iter().filter(|wait| is_own(wait)).map(|wait| wait.tid);
    let tids = own.filter(|tid| seen.insert(*tid));
    // What is known to be in the queue says more than what seems to be there, and that more than what will be.
    let kept = |tid: Tid| {
        let all: [fn(&WorkWait) -> bool; 3] = [is_certain, is_queued, is_own];
        all.into_iter().find_map(|holds| waits.keeps(tid, holds))
    };
    tids.filter_map(|tid| kept(tid).map(|wait| conclude(case, &waits, wait))).collect()
}

/// Whether nothing but the thread itself can go on with it, and it waits for as long as that takes.
fn is_certain(wait: &WorkWait) -> bool {
    matches!(&wait.end, WorkEnd::OwnQueue(own) if own.doubt.is_none()) && is_endless(wait)
}

fn is_queued(wait: &WorkWait) -> bool {
    matches!(wait.end, WorkEnd::OwnQueue(_))
}

fn is_own(wait: &WorkWait) -> bool {
    matches!(wait.end, WorkEnd::OwnQueue(_) | WorkEnd::OwnQueueAfter(_))
}

fn conclude(case: &Case<'_>, all: &Waits<'_>, wait: &WorkWait) -> Finding {
    let limit = wait.limit.as_ref().ok().and_then(Option::as_ref);
    let (severity, certain, title) = match (&wait.end, limit) {
        (WorkEnd::OwnQueue(_), None) => {
            let certain = is_certain(wait) && all.keeps_surely(wait.tid, is_certain);
            let title = Sentence::of("deadlock: ").then(waits(case, wait, None));
            let words = ", which goes on in this thread itself: its next piece of work is in the thread's own queue";
            (if certain { Severity::Critical } else { Severity::Warning }, certain, title.text(words))
        }
        (WorkEnd::OwnQueue(_), limit) => {
            let words = ", which goes on in this thread itself, and so not before the wait is over";
            (Severity::Warning, false, waits(case, wait, limit).text(words))
        }
        (WorkEnd::OwnQueueAfter(first), limit) => {
            let words = ", which is to go on in this thread itself once it has what it waits for: ";
            (Severity::Warning, false, waits(case, wait, limit).text(words).text(first.as_str()))
        }
        (WorkEnd::PoolQueue | WorkEnd::Other(_), limit) => (Severity::Note, false, waits(case, wait, limit)),
    };
    let on_thread = Sentence::of("where it blocks: ").then(case.chain(wait.tid).text);
    let mut evidence = vec![chain(wait)];
    if let WorkEnd::OwnQueue(own) = &wait.end {
        evidence.push(place(own));
        evidence.extend(own.doubt.map(|doubt| Sentence::of(doubt).about(Subject::Object(own.context))));
    }
    // A limit is in the title.
    evidence.extend(end(wait).filter(|_| wait.limit.is_err()));
    evidence.push(on_thread.about(Subject::Thread(wait.tid)));
    let next = Next::new(
        "dumpasync",
        "what each method awaits; await the task in place of blocking on it, or do not go on in the caller's context",
    );
    Finding {
        rule: RULE.name,
        severity,
        certain,
        title,
        about: Some(Subject::Thread(wait.tid)),
        evidence,
        next: Some(next),
    }
}

/// `desk waits for Shop.Show`, `desk waits at most 50 ms for Shop.Show`.
fn waits(case: &Case<'_>, wait: &WorkWait, limit: Option<&TimeLimit>) -> Sentence {
    let waits = Sentence::default().part(case.call(wait.tid)).text(" waits ");
    let waits = waits.with(limit, |waits, limit| waits.then(at_most(std::slice::from_ref(limit))).text(" "));
    waits.text("for ").then(outermost(wait))
}

/// Where its next piece of work is.
fn place(own: &OwnQueue) -> Fact {
    let name = own.type_name.clone().unwrap_or_else(|| "a type that cannot be read".to_owned());
    let sentence = match own.queue {
        Some(queue) => {
            Sentence::of("it is in the queue ").part(Part::Address(queue)).text(" of the thread's context, ")
        }
        None => Sentence::of("objects of the thread's context refer to it, "),
    };
    let sentence = sentence.text(name).text(" ").part(Part::Address(own.context));
    sentence.about(Subject::Object(own.queue.unwrap_or(own.context)))
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
    if wait.functions.is_empty() {
        sentence = sentence.text("a task");
    }
    let sentence = match &wait.end {
        WorkEnd::OwnQueue(_) => sentence.text(", which is queued for this thread"),
        WorkEnd::PoolQueue => sentence.text(", which is queued for the pool"),
        WorkEnd::OwnQueueAfter(what) | WorkEnd::Other(what) => sentence.text(", which waits for ").text(what.as_str()),
    };
    sentence.about(Subject::Thread(wait.tid))
}
