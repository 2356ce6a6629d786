//! The faulting pointer came from memory that the allocator holds as free.

use crate::model::{FreeList, Subject};

use super::Rule;
use super::case::Case;
use super::crash::Crash;
use super::finding::{Finding, Next, Part, Sentence};

pub(super) const RULE: Rule = Rule::new("freed-memory", apply);

fn apply(case: &Case<'_>) -> Vec<Finding> {
    conclude(case).into_iter().collect()
}

fn conclude(case: &Case<'_>) -> Option<Finding> {
    let crash = Crash::of(case)?;
    let freed = crash.fault.freed?;
    let title = crash.title().text(": a pointer from freed memory");
    let mut finding = crash.finding(RULE.name, false, title);
    let object = match (freed.object, freed.bytes) {
        (Some(object), Some(bytes)) => {
            Sentence::default().part(Part::Address(object)).text(format!(", a chunk of {bytes} bytes, is free"))
        }
        (Some(object), None) => Sentence::default().part(Part::Address(object)).text(" is free"),
        _ => Sentence::of("it is the link of a free chunk"),
    };
    let why = match freed.list {
        FreeList::Tcache => ": a thread's cache lists it",
        FreeList::ProtectedLink => ": its first word is a link as the allocator writes it",
        FreeList::Bin => ": the allocator's bin lists it",
    };
    let register = format!("; {} led there", freed.register);
    finding.evidence.insert(0, object.text(why).text(register).about(freed.object.map(Subject::Memory)));
    if let Some(object) = freed.object {
        finding.next = Some(Next::new(format!("readmemory {object}"), "what is left of the freed object"));
    }
    Some(finding)
}
