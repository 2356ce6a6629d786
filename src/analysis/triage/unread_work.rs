//! Asynchronous work was not looked at, since that would take long.

use crate::model::Subject;

use super::case::Case;
use super::finding::{Finding, Next, Sentence, Severity};
use super::{Rule, Tells};

pub(super) const RULE: Rule = Rule::new("unread-work", apply).tells(Tells::Unread);

fn apply(case: &Case<'_>) -> Vec<Finding> {
    let Some(not_read) = &case.pending.not_read else { return Vec::new() };
    let title = format!("asynchronous work was not looked at: the managed heap has {} MiB", not_read.bytes >> 20);
    vec![Finding {
        rule: RULE.name,
        severity: Severity::Note,
        certain: true,
        title: Sentence::of(title),
        about: Some(Subject::Command(not_read.command)),
        evidence: Vec::new(),
        next: Some(Next::new(not_read.command, "methods that wait, and threads that block on them")),
    }]
}
