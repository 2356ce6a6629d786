//! The processor was sent to an address that holds no code: a null or overwritten function pointer, a smashed return
//! address.

use crate::model::Place;

use super::Rule;
use super::case::Case;
use super::crash::{self, Crash};
use super::finding::{Finding, Part, Sentence};

pub(super) const RULE: Rule = Rule::new("wild-jump", apply);

fn apply(case: &Case<'_>) -> Vec<Finding> {
    conclude(case).into_iter().collect()
}

fn conclude(case: &Case<'_>) -> Option<Finding> {
    let crash = Crash::of(case).filter(Crash::executes)?;
    let address = crash.fault.address.as_ref().ok().copied()?;
    // `ret` takes the address from the top of the stack and nowhere else.
    let returned = crash.fault.operand.as_ref().is_some_and(|operand| {
        operand.displacement == 0 && matches!(operand.terms.as_slice(), [top] if matches!(top.register, "rsp" | "sp"))
    });
    let title = match crash.place()? {
        Place::NullPage { .. } | Place::Unmapped | Place::NonCanonical | Place::Kernel | Place::NoAccess
            if returned =>
        {
            let title = Sentence::of("return to ").part(Part::Address(address)).text(", which is no code");
            title.then(case.behind(", from ", crash.tid, Some(0))).text(": its stack was smashed")
        }
        Place::NullPage { offset: 0 } => Sentence::of("call of a null function pointer").then(crash.in_frames()),
        Place::NullPage { .. } | Place::Unmapped | Place::NonCanonical | Place::Kernel | Place::NoAccess => {
            Sentence::of("jump to nowhere: ").part(Part::Address(address)).text(" is no code").then(crash.in_frames())
        }
        _ => return None,
    };
    let mut finding = crash.finding(RULE.name, true, title);
    if let Some(fact) = crash::text_fact(address) {
        finding.evidence.insert(0, fact);
    }
    Some(finding)
}
