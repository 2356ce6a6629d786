//! The thread's stack is full: who calls whom, how deep.

use std::sync::Arc;

use crate::analysis::recursion;
use crate::model::{Detail, NamedFrame, Place, Subject, Tid};

use super::Rule;
use super::case::Case;
use super::crash::Crash;
use super::finding::{Fact, Finding, Next, Part, Sentence, Severity};

pub(super) const RULE: Rule = Rule::new("stack-overflow", apply);

/// Functions of a cycle that the title names.
const NAMED: usize = 4;
/// A frame of this many bytes is told.
const LARGE: u64 = 256 << 10;

fn apply(case: &Case<'_>) -> Vec<Finding> {
    conclude(case).into_iter().collect()
}

fn conclude(case: &Case<'_>) -> Option<Finding> {
    by_runtime(case).or_else(|| by_guard(case))
}

/// The run of frames that most of a stack is made of.
fn longest(frames: &[NamedFrame]) -> Option<recursion::Run> {
    let runs = recursion::fold(frames, |a, b| a.function.is_some() && a.function == b.function);
    runs.into_iter().max_by_key(|run| run.frames().len()).filter(|run| run.times > 1)
}

/// `stack overflow: f calls itself, 174,653 calls deep`, and from where; `None` for a run that is not of the frames.
fn deep(frames: &[NamedFrame], run: recursion::Run, tid: Tid) -> Option<(Sentence, Option<Fact>)> {
    let cycle = frames.get(run.start..run.start.checked_add(run.period)?)?;
    // A recursion that the walk did not see the beginning of is deeper.
    let least = if run.frames().end >= frames.len() { "at least " } else { "" };
    let title = Sentence::of("stack overflow: ").then(names(cycle)).text(format!(", {least}{} calls deep", run.times));
    let entry = frames.get(run.frames().end).and_then(|frame| {
        let words = Sentence::of("the recursion was entered from ").part(Part::Function(frame.function.clone()?));
        Some(words.about(Subject::Frame(tid, frame.index)))
    });
    Some((title, entry))
}

/// The runtime itself ended the process for it.
fn by_runtime(case: &Case<'_>) -> Option<Finding> {
    let exception = case.fatal().filter(|exception| exception.detail == Detail::Overflow)?;
    let tid = exception.tid?;
    let frames = &exception.frames;
    let deep = longest(frames).and_then(|run| deep(frames, run, tid));
    let (title, entry) = deep.unwrap_or_else(|| (Sentence::of("stack overflow").then(case.place(frames, 0)), None));
    let size = format!("{} frames of the stack could be walked", frames.len());
    let mut evidence = vec![Sentence::of(size).about(Subject::Thread(tid))];
    evidence.extend(entry);
    evidence.push(case.chain_from(tid, case.thrower(tid)));
    Some(Finding {
        rule: RULE.name,
        severity: Severity::Critical,
        certain: true,
        title,
        about: Some(Subject::Thread(tid)),
        evidence,
        next: Some(Next::new("printexception", "the stack")),
    })
}

/// The fault is below the end of the stack.
fn by_guard(case: &Case<'_>) -> Option<Finding> {
    let crash = Crash::of(case)?;
    let Some(Place::StackGuard { size, .. }) = crash.place() else { return None };
    let size_words =
        format!("the stack is {} KiB, and {} frames of it could be walked", size / 1024, crash.frames.len());
    let Some(run) = longest(crash.frames) else {
        let title = Sentence::of("stack overflow").then(crash.in_frames());
        let mut finding = crash.finding(RULE.name, true, title);
        finding.evidence.insert(0, Sentence::of(size_words).about(Subject::Thread(crash.tid)));
        if let Some(bytes) = innermost_bytes(crash.frames).filter(|bytes| *bytes >= LARGE) {
            let words = format!("the innermost frame alone takes {} KiB", bytes / 1024);
            finding.evidence.insert(1, Sentence::of(words).about(Subject::Frame(crash.tid, 0)));
        }
        return Some(finding);
    };
    let (title, entry) = deep(crash.frames, run, crash.tid)?;
    let mut finding = crash.finding(RULE.name, true, title);
    finding.evidence.insert(0, Sentence::of(size_words).about(Subject::Thread(crash.tid)));
    if let Some(entry) = entry {
        finding.evidence.insert(1, entry);
    }
    Some(finding)
}

/// Bytes from the stack pointer of the innermost frame to that of its caller.
fn innermost_bytes(frames: &[NamedFrame]) -> Option<u64> {
    let sp = frames.first()?.sp;
    frames.iter().find(|frame| frame.sp != sp)?.sp.since(sp)
}

/// `f calls itself`, or `f calls g calls f`. Frames come innermost first; calls are told outermost first.
fn names(cycle: &[NamedFrame]) -> Sentence {
    let mut functions: Vec<&Arc<str>> = cycle.iter().rev().filter_map(|frame| frame.function.as_ref()).collect();
    functions.dedup();
    let Some(first) = functions.first().copied() else { return Sentence::of("unnamed functions call each other") };
    let sentence = Sentence::default().part(Part::Function(Arc::clone(first)));
    if functions.len() == 1 {
        return sentence.text(" calls itself");
    }
    let mut sentence = sentence;
    for function in functions.iter().skip(1).take(NAMED) {
        sentence = sentence.text(" calls ").part(Part::Function(Arc::clone(function)));
    }
    if functions.len() > NAMED.saturating_add(1) {
        sentence = sentence.text(" calls …");
    }
    sentence.text(" calls ").part(Part::Function(Arc::clone(first)))
}
