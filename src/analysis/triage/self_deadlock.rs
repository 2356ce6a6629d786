//! A thread that waits for a lock that it holds itself.

use crate::analysis::deadlock::{Cycle, Step};
use crate::model::{LockFamily, Subject};

use super::Rule;
use super::case::Case;
use super::deadlock::{victims, wait_fact};
use super::finding::{Fact, Finding, Next, Sentence, Severity};

pub(super) const RULE: Rule = Rule::new("self-deadlock", apply);

fn apply(case: &Case<'_>) -> Vec<Finding> {
    case.cycles.iter().filter_map(|cycle| conclude(case, cycle)).collect()
}

/// What the owner is inferred from, where that needs words.
fn how(case: &Case<'_>, step: &Step) -> Option<Fact> {
    let lock = case.locks.iter().find(|lock| lock.address == step.waits_for)?;
    let words = lock.evidence.because?;
    Some(Sentence::of(words).about(Subject::Lock(step.waits_for)))
}

fn is_once(case: &Case<'_>, step: &Step) -> bool {
    let lock = case.locks.iter().find(|lock| lock.address == step.waits_for);
    lock.is_some_and(|lock| lock.kind.family == LockFamily::Once)
}

fn conclude(case: &Case<'_>, cycle: &Cycle) -> Option<Finding> {
    let [step] = cycle.cycle.as_slice() else { return None };
    if cycle.ends() {
        return None;
    }
    let title = Sentence::of("self-deadlock: ")
        .part(case.call(step.tid))
        .text(" waits for ")
        .part(case.lock(step.waits_for))
        .text(if is_once(case, step) { ", whose initialisation it runs itself" } else { ", which it holds itself" });
    let mut evidence = vec![case.chain(step.tid)];
    evidence.extend(how(case, step));
    evidence.extend(wait_fact(case, step));
    evidence.extend(victims(case, &cycle.victims));
    Some(Finding {
        rule: RULE.name,
        severity: Severity::Critical,
        certain: cycle.certain,
        title,
        about: Some(Subject::Lock(step.waits_for)),
        evidence,
        next: Some(Next::new(format!("stack -t {}", step.tid), "where it takes the lock again")),
    })
}
