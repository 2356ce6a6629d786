//! `abort`, with the text that the C library left, and what that text means.

use crate::model::{Detail, ExceptionFamily, ExceptionKind, NamedFrame, Subject};

use super::Rule;
use super::case::{Case, one_line};
use super::finding::{Finding, Next, Sentence, Severity};
use super::uncaught;

pub(super) const RULE: Rule = Rule::new("abort", apply);

/// What a text means: how it begins, or a part of it.
// Source: glibc 2.36 malloc/malloc.c (malloc_printerr), debug/stack_chk_fail.c, debug/fortify_fail.c.
const MEANINGS: [(&str, &str); 10] = [
    ("double free or corruption", "the same memory was freed twice, or the header of its chunk was overwritten"),
    ("*** stack smashing detected", "a local array of the function that returned was overrun"),
    ("*** buffer overflow detected", "a checked copy would have overrun its destination"),
    ("double free", "the same memory was freed twice"),
    ("free(): invalid", "what was freed is no pointer that malloc returned, or its header was overwritten"),
    ("munmap_chunk(): invalid", "what was freed is no pointer that malloc returned, or its header was overwritten"),
    ("corrupted", "the heap was smashed earlier: someone wrote past the end of an object"),
    ("realloc(): invalid", "what was resized is no pointer that malloc returned, or its header was overwritten"),
    ("malloc()", "the heap was smashed earlier: someone wrote past the end of an object or into freed memory"),
    ("free()", "the heap was smashed earlier: someone wrote past the end of an object or into freed memory"),
];

fn apply(case: &Case<'_>) -> Vec<Finding> {
    conclude(case).into_iter().collect()
}

fn conclude(case: &Case<'_>) -> Option<Finding> {
    let exception = case.fatal().filter(|exception| exception.kind.family == ExceptionFamily::Abort)?;
    let tid = exception.tid?;
    let mut evidence = vec![case.chain(tid)];
    let mut next = Next::new("stack", "who called abort");
    let title = match &exception.message {
        Ok(Some(text)) => {
            // What a runtime was given by the program means nothing more.
            let by_library = !matches!(exception.detail, Detail::Found { .. });
            if let Some((_, meaning)) = MEANINGS.iter().find(|(start, _)| by_library && text.contains(start)) {
                evidence.insert(0, Sentence::of("that means: ").text(*meaning).about(None));
                let shows =
                    "where it was noticed; run the program under AddressSanitizer or valgrind to see who did it";
                next = Next::new("stack", shows);
            }
            Sentence::of(exception.kind.title).text(": ").text(one_line(text))
        }
        Ok(None) => bare(exception.kind),
        Err(gap) => {
            evidence.push(Sentence::of("whether a text was left is not known: ").text(gap.to_string()).about(None));
            bare(exception.kind)
        }
    };
    let is_found = matches!(exception.detail, Detail::Found { .. });
    if let Detail::Found { place } = &exception.detail {
        evidence.push(Sentence::of("the text was found ").text(place.clone()).about(None));
    }
    evidence.extend(uncaught::causes(exception));
    Some(Finding {
        rule: RULE.name,
        severity: Severity::Critical,
        certain: !is_found && (exception.message.as_ref().is_ok_and(Option::is_some) || is_on_stack(&exception.frames)),
        title: title.then(case.behind(", in ", tid, case.own_frame(tid))),
        about: Some(Subject::Thread(tid)),
        evidence,
        next: Some(next),
    })
}

/// What is said without a text: `abort called`.
fn bare(kind: ExceptionKind) -> Sentence {
    Sentence::of(kind.title).text(" called")
}

/// Whether the stack shows the call. A core without siginfo does not tell an abort from a SIGABRT that was sent from outside.
fn is_on_stack(frames: &[NamedFrame]) -> bool {
    let aborts = |name: &str| ["abort", "raise", "pthread_kill"].iter().any(|word| name.contains(word));
    frames.iter().filter_map(|frame| frame.function.as_deref()).any(aborts)
}
