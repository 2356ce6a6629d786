//! The thread's stack is full: who calls whom, how deep.

use std::sync::Arc;

use crate::analysis::recursion;
use crate::model::{NamedFrame, Place, Subject};

use super::Rule;
use super::case::Case;
use super::crash::Crash;
use super::finding::{Finding, Part, Sentence};

pub(super) const RULE: Rule = Rule::new("stack-overflow", apply);

/// Functions of a cycle that the title names.
const NAMED: usize = 4;
/// A frame of this many bytes is told.
const LARGE: u64 = 256 << 10;

fn apply(case: &Case<'_>) -> Vec<Finding> {
    conclude(case).into_iter().collect()
}

fn conclude(case: &Case<'_>) -> Option<Finding> {
    let crash = Crash::of(case)?;
    let Some(Place::StackGuard { size, .. }) = crash.place() else { return None };
    let runs = recursion::fold(crash.frames, |a, b| a.function.is_some() && a.function == b.function);
    let longest = runs.iter().max_by_key(|run| run.frames().len()).filter(|run| run.times > 1);
    let title = Sentence::of("stack overflow").then(crash.in_frames());
    let size_words =
        format!("the stack is {} KiB, and {} frames of it could be walked", size / 1024, crash.frames.len());
    let Some(run) = longest else {
        let mut finding = crash.finding(RULE.name, true, title);
        finding.evidence.insert(0, Sentence::of(size_words).about(Subject::Thread(crash.tid)));
        if let Some(bytes) = innermost_bytes(crash.frames).filter(|bytes| *bytes >= LARGE) {
            let words = format!("the innermost frame alone takes {} KiB", bytes / 1024);
            finding.evidence.insert(1, Sentence::of(words).about(Subject::Frame(crash.tid, 0)));
        }
        return Some(finding);
    };
    let cycle = crash.frames.get(run.start..run.start.checked_add(run.period)?)?;
    // A recursion that the walk did not see the beginning of is deeper.
    let least = if run.frames().end >= crash.frames.len() { "at least " } else { "" };
    let title = Sentence::of("stack overflow: ").then(names(cycle)).text(format!(", {least}{} calls deep", run.times));
    let mut finding = crash.finding(RULE.name, true, title);
    finding.evidence.insert(0, Sentence::of(size_words).about(Subject::Thread(crash.tid)));
    if let Some(entry) = crash.frames.get(run.frames().end).and_then(|frame| frame.function.clone()) {
        let words = Sentence::of("the recursion was entered from ").part(Part::Function(entry));
        finding.evidence.insert(1, words.about(Subject::Frame(crash.tid, run.frames().end)));
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
