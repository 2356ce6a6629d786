//! A thread that waits for a lock that it holds itself.

use crate::analysis::deadlock::Cycle;
use crate::model::Subject;

use super::Rule;
use super::case::Case;
use super::deadlock::victims;
use super::finding::{Finding, Next, Sentence, Severity};

pub(super) const RULE: Rule = Rule { name: "self-deadlock", apply };

fn apply(case: &Case<'_>) -> Vec<Finding> {
    case.cycles.iter().filter_map(|cycle| conclude(case, cycle)).collect()
}

fn conclude(case: &Case<'_>, cycle: &Cycle) -> Option<Finding> {
    let [step] = cycle.cycle.as_slice() else { return None };
    let title = Sentence::of("self-deadlock: ")
        .part(case.call(step.tid))
        .text(" waits for ")
        .part(case.lock(step.waits_for))
        .text(", which it holds itself");
    let mut evidence = vec![case.chain(step.tid)];
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
