//! Whether one object is sound: what `verifyobj` checks.
//!
//! Input: segments, an address. Output: problems. Of what it refers to each must be the start of an object by its class alone: the whole heap is
//! walked by `verifyheap`. Model: dotnet/diagnostics src/SOS, VerifyObj.

use super::segments::Segments;
use super::walked::Walked;
use crate::error::Error;
use crate::job::Meter;
use crate::model::{Addr, Gap, Problem, Subject};
use crate::runtimes::coreclr::types::Types;

/// References that are told one by one.
const MAX_TOLD: usize = 100;

impl Segments {
    /// What is wrong with the object at an address. Walks its segment.
    pub(in crate::runtimes::coreclr) fn verify_object(
        &self,
        types: Types<'_>,
        at: Addr,
        meter: &mut Meter<'_>,
    ) -> Result<Vec<Problem>, Error> {
        let damaged = |at, message: String| Problem::new("heap-damaged", Subject::Memory(at), message);
        let incomplete = |message: String| Problem::new("heap-incomplete", Subject::Memory(at), message);
        let Some(near) = self.near(types, at, meter)? else {
            return Ok(vec![damaged(at, format!("{at} is not in the managed heap"))]);
        };
        match (&near.holding, &near.gap) {
            (Some(object), _) if object.address != at => {
                return Ok(vec![damaged(
                    at,
                    format!("no object begins at {at}: it is in the one at {}", object.address),
                )]);
            }
            (Some(object), _) if object.is_free => {
                return Ok(vec![damaged(at, format!("no object is at {at}: it is free space"))]);
            }
            (None, None) => return Ok(vec![damaged(at, format!("no object is at {at}"))]),
            (Some(_), _) | (None, Some(_)) => {}
        }
        let (table, bytes) = match self.object_at(types, at) {
            Ok(Walked { table, bytes, .. }) => (table, bytes),
            Err(gap @ Gap::Corrupt(_)) => return Ok(vec![damaged(at, format!("no object is at {at}: {gap}"))]),
            Err(gap) => return Ok(vec![incomplete(format!("the object at {at} cannot be read: {gap}"))]),
        };
        let mut problems = Vec::new();
        if near.holding.is_none() {
            let why = near.gap.map(|gap| gap.to_string()).unwrap_or_default();
            problems.push(incomplete(format!("whether an object begins at {at} is not known: {why}")));
        }
        let memory = types.clr.memory();
        if let Err(gap) = memory.slice(at, bytes) {
            problems.push(incomplete(format!("not all that it refers to is in the dump: {gap}")));
        }
        let filler = types.clr.global("FreeObjectMethodTable").ok();
        let (mut told, mut more) = (0usize, 0u64);
        match types.pattern(table) {
            Ok(Some(pattern)) => pattern.each(memory, Walked { at, table, bytes }, &mut |slot, to| {
                let problem = match self.object_at(types, to) {
                    Ok(object) if Some(object.table) != filler => return,
                    Ok(_) => Problem::new(
                        "heap-unsure",
                        Subject::Memory(slot),
                        format!("it refers to {to}, which is free, at {slot}: an object that nothing refers to may"),
                    ),
                    Err(gap @ Gap::Corrupt(_)) => {
                        damaged(slot, format!("it refers to {to}, where no object is, at {slot}: {gap}"))
                    }
                    Err(gap) => incomplete(format!("what it refers to at {slot} could not be checked: {gap}")),
                };
                match told < MAX_TOLD {
                    true => problems.push(problem),
                    false => more = more.saturating_add(1),
                }
                told = told.saturating_add(1);
            }),
            Ok(None) => {}
            Err(gap @ Gap::Corrupt(_)) => problems.push(damaged(at, format!("it has a class that is none: {gap}"))),
            Err(gap) => problems.push(incomplete(format!("what it refers to could not be checked: {gap}"))),
        }
        if more > 0 {
            let message = format!("{more} more of its references are no better");
            problems.push(Problem::new("heap-unsure", Subject::Memory(at), message));
        }
        Ok(problems)
    }
}
