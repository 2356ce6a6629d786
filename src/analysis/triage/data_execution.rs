//! The processor was sent into data: heap, stack, a mapped file.

use crate::model::Place;

use super::Rule;
use super::case::Case;
use super::crash::Crash;
use super::finding::{Finding, Part, Sentence};

pub(super) const RULE: Rule = Rule::new("data-execution", apply);

fn apply(case: &Case<'_>) -> Vec<Finding> {
    conclude(case).into_iter().collect()
}

fn conclude(case: &Case<'_>) -> Option<Finding> {
    let crash = Crash::of(case).filter(Crash::executes)?;
    if crash.place()? != Place::NotExecutable {
        return None;
    }
    let address = crash.fault.address.as_ref().ok().copied()?;
    let title = Sentence::of("execution of data at ").part(Part::Address(address)).then(crash.in_frames());
    Some(crash.finding(RULE.name, true, title))
}
