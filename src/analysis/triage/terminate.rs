//! `std::terminate` without an exception: a joinable thread destroyed, a pure virtual call, a plain call.

use crate::model::{Detail, Subject, Termination};

use super::Rule;
use super::case::Case;
use super::finding::{Finding, Next, Sentence, Severity};

pub(super) const RULE: Rule = Rule::new("terminate", apply);

fn apply(case: &Case<'_>) -> Vec<Finding> {
    conclude(case).into_iter().collect()
}

fn conclude(case: &Case<'_>) -> Option<Finding> {
    let exception = case.fatal()?;
    let Detail::Terminate { reason } = exception.detail else { return None };
    let tid = exception.tid?;
    let title = match reason {
        Termination::Called => Sentence::of("std::terminate called"),
        reason => Sentence::of("std::terminate: ").text(reason.to_string()),
    };
    Some(Finding {
        rule: RULE.name,
        severity: Severity::Critical,
        certain: true,
        title: title.then(case.behind(", in ", tid, case.own_frame(tid))),
        about: Some(Subject::Thread(tid)),
        evidence: vec![case.chain(tid)],
        next: Some(Next::new("stack", "who called it")),
    })
}
