//! Hundreds of threads with one and the same stack: a pool without a bound, or a leak of threads.

use rustc_hash::FxHashMap;

use crate::model::{Addr, Subject, Tid};

use super::Rule;
use super::case::Case;
use super::finding::{Finding, Next, Sentence, Severity};

pub(super) const RULE: Rule = Rule::new("thread-explosion", apply);

/// Fewest equal stacks that are a finding.
const MANY: usize = 100;
/// Frames of a stack that are compared.
const COMPARED: usize = 64;

fn apply(case: &Case<'_>) -> Vec<Finding> {
    if case.threads.len() < MANY {
        return Vec::new();
    }
    let mut groups: FxHashMap<Vec<Addr>, Vec<Tid>> = FxHashMap::default();
    for (thread, frames) in case.threads.iter().zip(case.stacks) {
        let key = frames.iter().take(COMPARED).map(|frame| frame.pc).collect();
        groups.entry(key).or_default().push(thread.tid);
    }
    let mut many: Vec<Vec<Tid>> =
        groups.into_iter().filter(|(key, tids)| !key.is_empty() && tids.len() >= MANY).map(|(_, tids)| tids).collect();
    many.sort_by_key(|tids| (std::cmp::Reverse(tids.len()), tids.first().copied()));
    many.into_iter().filter_map(|tids| conclude(case, &tids)).collect()
}

fn conclude(case: &Case<'_>, tids: &[Tid]) -> Option<Finding> {
    let first = *tids.first()?;
    let title = Sentence::of(format!("{} of {} threads have the same stack: each ", tids.len(), case.threads.len()))
        .then(case.doing(first));
    Some(Finding {
        rule: RULE.name,
        severity: Severity::Warning,
        certain: true,
        title,
        about: Some(Subject::Thread(first)),
        evidence: vec![case.chain(first)],
        next: Some(Next::new("parallelstacks", "the threads, merged")),
    })
}
