//! Asynchronous work was not looked at, since that would take long, or the dump does not hold it.

use crate::model::Subject;

use super::case::Case;
use super::finding::{Finding, Next, Sentence, Severity};
use super::{Rule, Tells};

pub(super) const RULE: Rule = Rule::new("unread-work", apply).tells(Tells::Unread);

fn apply(case: &Case<'_>) -> Vec<Finding> {
    let Some(not_read) = &case.pending.not_read else { return Vec::new() };
    let title = format!("asynchronous work was not looked at: {}", not_read.why);
    vec![Finding {
        rule: RULE.name,
        severity: if case.crashed() { Severity::Note } else { Severity::Warning },
        certain: true,
        title: Sentence::of(title),
        about: Some(not_read.command.map_or(Subject::Capture, Subject::Command)),
        evidence: Vec::new(),
        next: not_read.command.map(|command| Next::new(command, "methods that wait, and threads that block on them")),
    }]
}
