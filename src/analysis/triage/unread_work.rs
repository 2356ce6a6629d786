//! Asynchronous work was not looked at, since that would take long, or the dump does not hold it, or not all of it.

use crate::model::Subject;

use super::case::Case;
use super::finding::{Finding, Next, Sentence, Severity};
use super::{Rule, Tells};

/// What shows what was read.
const COMMAND: &str = "dumpasync";

pub(super) const RULE: Rule = Rule::new("unread-work", apply).tells(Tells::Unread);

fn apply(case: &Case<'_>) -> Vec<Finding> {
    let pending = case.pending;
    let (title, command, evidence) = match (&pending.not_read, pending.missing.as_slice()) {
        (Some(not_read), _) => {
            (format!("asynchronous work was not looked at: {}", not_read.why), not_read.command, Vec::new())
        }
        (None, [only]) => (format!("not all asynchronous work could be read: {only}"), Some(COMMAND), Vec::new()),
        (None, [first, rest @ ..]) => {
            (format!("not all asynchronous work could be read: {first}"), Some(COMMAND), rest.to_vec())
        }
        (None, []) => return Vec::new(),
    };
    let about = command.map_or(Subject::Capture, Subject::Command);
    vec![Finding {
        rule: RULE.name,
        severity: if case.crashed() { Severity::Note } else { Severity::Warning },
        certain: true,
        title: Sentence::of(title),
        about: Some(about),
        evidence: evidence.into_iter().map(|words| Sentence::of(words).about(about)).collect(),
        next: command.map(|command| Next::new(command, "methods that wait, and threads that block on them")),
    }]
}
