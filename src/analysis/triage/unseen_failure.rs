//! Work failed, and nobody has looked: its exception is in an object that nobody asks.

use std::sync::Arc;

use crate::model::{FailedWork, Subject};

use super::Rule;
use super::case::{Case, one_line};
use super::finding::{Fact, Finding, Next, Part, Sentence, Severity};

pub(super) const RULE: Rule = Rule::new("unseen-failure", apply);

/// Failures that are told one by one.
const TOLD: usize = 5;

fn apply(case: &Case<'_>) -> Vec<Finding> {
    let failed = &case.pending.failed;
    let Some(first) = failed.first() else { return Vec::new() };
    let title = match failed.len() {
        1 => Sentence::of("a task failed, and nobody has looked: "),
        count => Sentence::of(format!("{count} tasks failed, and nobody has looked, the first: ")),
    };
    vec![Finding {
        rule: RULE.name,
        severity: Severity::Note,
        certain: true,
        title: title.then(exception(first)),
        about: Some(Subject::Object(first.address)),
        evidence: failed.iter().take(TOLD).map(fact).collect(),
        next: Some(Next::new("dumpasync -tasks -completed", "tasks that have ended, with what they were awaited by")),
    }]
}

fn exception(failed: &FailedWork) -> Sentence {
    let sentence =
        Sentence::of(failed.type_name.clone().unwrap_or_else(|| "an exception that cannot be read".to_owned()));
    sentence.with(failed.message.as_deref(), |sentence, message| sentence.text(": ").text(one_line(message)))
}

fn fact(failed: &FailedWork) -> Fact {
    let sentence = Sentence::of("task ").part(Part::Address(failed.address));
    let sentence = sentence.with(failed.function.as_ref(), |sentence, function| {
        sentence.text(" of ").part(Part::Function(Arc::clone(function)))
    });
    sentence.text(": ").then(exception(failed)).about(Subject::Object(failed.address))
}
