//! A failed `assert`.

use std::sync::Arc;

use crate::model::{Detail, Subject};

use super::Rule;
use super::case::{Case, file_name};
use super::finding::{Finding, Next, Part, Sentence, Severity};

pub(super) const RULE: Rule = Rule::new("assertion", apply);

fn apply(case: &Case<'_>) -> Vec<Finding> {
    conclude(case).into_iter().collect()
}

fn conclude(case: &Case<'_>) -> Option<Finding> {
    let exception = case.fatal()?;
    let Detail::Assertion { expression, place } = &exception.detail else { return None };
    let tid = exception.tid?;
    let file: Arc<str> = place.file.as_str().into();
    let title = Sentence::of("assertion failed: ")
        .text(expression.as_str())
        .text(" at ")
        .part(Part::Source(file_name(&file), Some(place.line)))
        .with(place.function.as_deref(), |title, function| title.text(" in ").part(Part::Function(function.into())));
    Some(Finding {
        rule: RULE.name,
        severity: Severity::Critical,
        certain: true,
        title,
        about: Some(Subject::Thread(tid)),
        evidence: vec![case.chain(tid)],
        next: Some(Next::new("stack", "who called the function that failed it")),
    })
}
