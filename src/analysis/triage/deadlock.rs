//! Threads that wait for each other in a cycle.

use crate::analysis::deadlock::{Cycle, Step};
use crate::model::{Evidence, Lock, Subject, Tid};

use super::Rule;
use super::case::Case;
use super::finding::{Fact, Finding, Next, Part, Sentence, Severity};

pub(super) const RULE: Rule = Rule::new("deadlock", apply);

/// Threads of a cycle that the title and the evidence name.
const NAMED: usize = 6;

fn apply(case: &Case<'_>) -> Vec<Finding> {
    case.cycles
        .iter()
        .filter(|cycle| cycle.cycle.len() > 1 && !cycle.ends())
        .map(|cycle| conclude(case, cycle))
        .collect()
}

fn conclude(case: &Case<'_>, cycle: &Cycle) -> Finding {
    let title = Sentence::of("deadlock: ").then(steps(case, cycle));
    let mut evidence: Vec<Fact> = Vec::new();
    for (index, step) in cycle.cycle.iter().enumerate().take(NAMED) {
        evidence.push(case.chain(step.tid));
        evidence.extend(wait_fact(case, step));
        evidence.extend(owner_fact(case, step, holder(cycle, index)));
    }
    evidence.extend(victims(case, &cycle.victims));
    Finding {
        rule: RULE.name,
        severity: Severity::Critical,
        certain: cycle.certain,
        title,
        about: cycle.cycle.first().map(|step| Subject::Lock(step.waits_for)),
        evidence,
        next: Some(Next::new("locks", "the locks of the cycle, and where each thread waits")),
    }
}

/// `a waits for g_b (held by b), b waits for g_a (held by a)`.
pub(super) fn steps(case: &Case<'_>, cycle: &Cycle) -> Sentence {
    let mut title = Sentence::default();
    for (index, step) in cycle.cycle.iter().enumerate() {
        if index == NAMED {
            let more = cycle.cycle.len().saturating_sub(NAMED);
            return title.text(format!(", and {more} more threads in the cycle"));
        }
        let holder = holder(cycle, index);
        title = if index == 0 { title } else { title.text(", ") }.part(case.call(step.tid));
        title = if case.is_join(step.waits_for) {
            title.text(" waits for the end of ").part(case.call(holder))
        } else if holder == step.tid {
            title.text(" waits for ").part(case.lock(step.waits_for)).text(", which it holds itself")
        } else {
            let title = title.text(" waits for ").part(case.lock(step.waits_for));
            title.text(" (held by ").part(case.call(holder)).text(")")
        };
    }
    title
}

/// The thread that holds what the step at `index` waits for: the next one in the cycle.
pub(super) fn holder(cycle: &Cycle, index: usize) -> Tid {
    let next = index.saturating_add(1).checked_rem(cycle.cycle.len()).unwrap_or(0);
    cycle.cycle.get(next).map_or(Tid(0), |step| step.tid)
}

/// How it is known what a thread waits for, where it does not say so itself.
pub(super) fn wait_fact(case: &Case<'_>, step: &Step) -> Option<Fact> {
    let lock: &Lock = case.locks.iter().find(|lock| lock.address == step.waits_for)?;
    if lock.is_waited_certainly(step.tid) {
        return None;
    }
    let words = Sentence::of("that ").part(case.call(step.tid)).text(" waits for ").part(case.lock(step.waits_for));
    Some(words.text(" is inferred, from what its stack refers to").about(Subject::Lock(step.waits_for)))
}

/// How the owner is known, where it is not recorded by the lock.
pub(super) fn owner_fact(case: &Case<'_>, step: &Step, holder: Tid) -> Option<Fact> {
    let lock: &Lock = case.locks.iter().find(|lock| lock.address == step.waits_for)?;
    if lock.is_certain() || lock.evidence == Evidence::UNVERIFIED_FILE {
        return None;
    }
    let words = Sentence::of("that ").part(case.call(holder)).text(" holds ").part(case.lock(step.waits_for));
    let why = if lock.read_by.is_empty() {
        " is inferred: the lock records no owner"
    } else {
        " for reading is inferred: the lock counts its readers and names none"
    };
    Some(words.text(why).about(Subject::Lock(step.waits_for)))
}

/// `3 more threads wait behind it: a, b, c`.
pub(super) fn victims(case: &Case<'_>, victims: &[Tid]) -> Option<Fact> {
    let first = *victims.first()?;
    let more = if victims.len() == 1 {
        "1 more thread waits".to_owned()
    } else {
        format!("{} more threads wait", victims.len())
    };
    let mut sentence = Sentence::of(more).text(" behind it: ");
    for (index, tid) in victims.iter().take(NAMED).enumerate() {
        sentence = if index == 0 { sentence } else { sentence.text(", ") }.part(case.call(*tid));
    }
    if victims.len() > NAMED {
        sentence = sentence.part(Part::Text(" …".into()));
    }
    Some(sentence.about(Subject::Thread(first)))
}
