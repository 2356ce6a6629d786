//! The fatal signal, where no rule knows more of its cause.

use crate::model::{Detail, Place, Subject};

use super::case::Case;
use super::crash::{self, Crash};
use super::finding::{Finding, Next, Sentence, Severity};
use super::{Rule, data_execution, freed_memory, null_access, smashed_heap, stack_overflow, wild_jump};

pub(super) const RULE: Rule = Rule::new("fatal-signal", apply).yields_to(&[
    &null_access::RULE,
    &stack_overflow::RULE,
    &freed_memory::RULE,
    &smashed_heap::RULE,
    &wild_jump::RULE,
    &data_execution::RULE,
]);

fn apply(case: &Case<'_>) -> Vec<Finding> {
    if case.was_killed() { Vec::new() } else { conclude(case).into_iter().collect() }
}

fn conclude(case: &Case<'_>) -> Option<Finding> {
    if let Some(crash) = Crash::of(case) {
        let cause = match crash.place() {
            Some(Place::ReadOnly) => ": that memory is read-only",
            Some(Place::PastEndOfFile) => ": past the end of a mapped file, which was shortened",
            Some(Place::NonCanonical) => ": not an address at all",
            Some(Place::Kernel) => ": that address is the kernel's",
            Some(Place::Misaligned { .. }) => ": the address is not aligned as the instruction demands",
            Some(Place::NoAccess) => ": that memory may not be touched",
            Some(Place::Unmapped) => ": nothing is mapped there",
            _ => "",
        };
        let mut finding = crash.finding(RULE.name, true, crash.title().text(cause));
        if let Some(fact) = crash.fault.address.as_ref().ok().copied().and_then(crash::text_fact) {
            finding.evidence.insert(0, fact);
        }
        return Some(finding);
    }
    let exception = crash::signal_of(case)?;
    let Detail::Signal { signal, handler, .. } = &exception.detail else { return None };
    let tid = signal.tid;
    // A timer sends signals, too.
    let raised = signal.was_sent() && signal.sender_pid.is_some();
    let title = Sentence::of(signal.name()).text(if raised { " raised by the process itself" } else { "" });
    let title = title.then(case.place(&exception.frames, case.own_frame(tid).unwrap_or(0)));
    let words = exception.message.as_ref().ok().and_then(Option::as_deref).filter(|_| !raised);
    let title = title.with(words, |title, words| title.text(": ").text(words));
    let mut evidence = vec![case.chain(tid)];
    evidence.extend(handler.as_deref().map(|handler| crash::handler_fact(handler, tid)));
    Some(Finding {
        rule: RULE.name,
        severity: Severity::Critical,
        certain: true,
        title,
        about: Some(Subject::Thread(tid)),
        evidence,
        next: Some(Next::new("stack", "the stack of the thread that took the signal")),
    })
}
