//! Threads that wait for each other in a cycle, one of them or more for a limited time: the cycle ends by itself.

use crate::analysis::deadlock::{Cycle, Step};
use crate::model::{Subject, Tid, TimeLimit};

use super::Rule;
use super::case::Case;
use super::deadlock::{owner_fact, steps, victims, wait_fact};
use super::finding::{Finding, Next, Sentence, Severity};
use super::limits::{at_most, first_ms, span};

pub(super) const RULE: Rule = Rule::new("timed-cycle", apply);

/// A limit beyond this is hardly meant to end a cycle: ten minutes.
const LONG_MS: u64 = 10 * 60 * 1000;

fn apply(case: &Case<'_>) -> Vec<Finding> {
    case.cycles.iter().filter(|cycle| cycle.ends()).map(|cycle| conclude(case, cycle)).collect()
}

fn conclude(case: &Case<'_>, cycle: &Cycle) -> Finding {
    let first = first_ms(&cycle.limits);
    let beginning = match first {
        Some(first) if first > LONG_MS => Sentence::of(format!("a cycle of waits that ends only in {}: ", span(first))),
        _ => Sentence::of("a cycle of waits that ends by itself: "),
    };
    let title = beginning.then(steps(case, cycle)).text("; ");
    let all = cycle.limits.len() == cycle.cycle.len();
    let title = match cycle.cycle.as_slice() {
        [_] => title.text("it waits ").then(at_most(&cycle.limits)),
        _ if all => title.text("each waits ").then(at_most(&cycle.limits)).then(earlier(&cycle.limits)),
        _ => limited(case, cycle, title),
    };
    let mut evidence = Vec::new();
    for (index, step) in cycle.cycle.iter().enumerate() {
        evidence.push(case.chain(step.tid));
        evidence.extend(wait_fact(case, step));
        evidence.extend(owner_fact(case, step, super::deadlock::holder(cycle, index)));
    }
    let words = match (all, cycle.cycle.len()) {
        (_, 1) => "its wait has a time limit, so that it is no deadlock; until then it waits in vain",
        (true, _) => {
            "every wait has a time limit, so that it is no deadlock; until one is over they wait in vain, and may do so again"
        }
        (false, _) => "a wait has a time limit, so that it is no deadlock, if who gives up gives back what it holds",
    };
    evidence.push(Sentence::of(words).about(None));
    evidence.extend(victims(case, &cycle.victims));
    Finding {
        rule: RULE.name,
        severity: Severity::Warning,
        certain: cycle.cycle.iter().all(|step| is_recorded(case, step)),
        title,
        about: cycle.cycle.first().map(|step| Subject::Lock(step.waits_for)),
        evidence,
        next: Some(Next::new("locks", "the locks of the cycle: take them in the same order everywhere")),
    }
}

/// `a waits at most 2 s`: those of a cycle that give up, where others do not.
fn limited(case: &Case<'_>, cycle: &Cycle, mut title: Sentence) -> Sentence {
    let tids: Vec<Tid> = cycle.limits.iter().map(|limit| limit.tid).collect();
    for (index, tid) in tids.iter().enumerate() {
        title = if index == 0 { title } else { title.text(", ") }.part(case.call(*tid));
    }
    let title = title.text(if tids.len() == 1 { " waits " } else { " wait " });
    title.then(at_most(&cycle.limits))
}

/// `, the first 12 s`, where it ends long before the last.
fn earlier(limits: &[TimeLimit]) -> Sentence {
    let longest = limits.iter().filter_map(TimeLimit::most_ms).max().unwrap_or(0);
    match first_ms(limits).filter(|first| first.saturating_mul(2) < longest) {
        Some(first) => Sentence::of(format!(", the first {}", span(first))),
        None => Sentence::default(),
    }
}

fn is_recorded(case: &Case<'_>, step: &Step) -> bool {
    let lock = case.locks.iter().find(|known| known.address == step.waits_for);
    lock.is_some_and(|lock| lock.is_certain() && lock.is_waited_certainly(step.tid))
}
