//! A null pointer was followed: the address lies in the pages at zero, at the offset of a member.

use crate::model::Place;

use super::Rule;
use super::case::Case;
use super::crash::Crash;
use super::finding::{Finding, Sentence};

pub(super) const RULE: Rule = Rule::new("null-access", apply);

fn apply(case: &Case<'_>) -> Vec<Finding> {
    conclude(case).into_iter().collect()
}

fn conclude(case: &Case<'_>) -> Option<Finding> {
    let crash = Crash::of(case).filter(|crash| !crash.executes() && crash.fault.freed.is_none())?;
    let Some(Place::NullPage { offset }) = crash.place() else { return None };
    // Certain where a register of the operand holds the null pointer itself.
    let operand = crash.fault.operand.as_ref();
    let null = operand.is_some_and(|operand| operand.terms.iter().any(|term| term.value == Some(0) && term.scale == 1));
    let cause = match (null, offset) {
        (_, 0) => Sentence::of(": a null pointer"),
        (true, _) => Sentence::of(": a member of a null pointer"),
        (false, _) => Sentence::of(": near zero, where nothing is mapped"),
    };
    Some(crash.finding(RULE.name, null || offset == 0, crash.title().then(cause)))
}
