//! Allocations that the collector could not serve.
//!
//! Input: its variables. Output: of each heap the last that failed. Source: dotnet/runtime src/coreclr/gc/gcinterface.dac.h, oom_history,
//! oom_reason, failure_get_memory.

use super::variables::{HEAP_OOM_INFO, OOM_INFO, Variables};
use crate::model::{Addr, Gap, Known, Partial, Problem, Subject};
use crate::runtimes::coreclr::clr::{Clr, plus};

/// The last allocation that a heap could not serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedAllocation {
    /// Which heap, from 0; a workstation's collector has one.
    pub heap: u64,
    /// Bytes that were asked for.
    pub bytes: u64,
    /// Why it failed, in words.
    pub reason: &'static str,
    /// What the collector could not get from the system, in words; `None` where it did not come to that.
    pub from_system: Option<&'static str>,
    /// Bytes that it asked the system for; 0 where it did not come to that.
    pub system_bytes: u64,
    /// The number of the collection before it.
    pub collection: u64,
}

/// Of each heap the last allocation that failed; empty where none has. A heap of which that cannot be read leaves the others.
pub(in crate::runtimes::coreclr) fn failed(clr: &Clr) -> Known<Partial<Vec<FailedAllocation>>> {
    let variables = Variables::of(clr)?;
    let Some(heaps) = variables.server_heaps()? else {
        return Ok(Partial::whole(read(clr, variables.variable(OOM_INFO)?, 0)?.into_iter().collect()));
    };
    let mut all = Partial::<Vec<FailedAllocation>>::default();
    for (number, heap) in (0..).zip(heaps) {
        match heap.and_then(|heap| read(clr, variables.field(heap, HEAP_OOM_INFO)?, number)) {
            Ok(failed) => all.value.extend(failed),
            Err(gap) => {
                let message = format!("which allocation heap {number} could not serve cannot be told: {gap}");
                all.problems.push(Problem::new("oom-unread", Subject::Capture, message));
            }
        }
    }
    Ok(all)
}

fn read(clr: &Clr, at: Addr, heap: u64) -> Known<Option<FailedAllocation>> {
    let memory = clr.memory();
    let word = |index: u64| Ok::<u64, Gap>(memory.u64(plus(at, index.saturating_mul(8))?)?);
    let number = |index: u64| Ok::<u32, Gap>(memory.u32(plus(at, index.saturating_mul(8))?)?);
    let Some(reason) = reason(number(0)?)? else { return Ok(None) };
    Ok(Some(FailedAllocation {
        heap,
        bytes: word(1)?,
        reason,
        from_system: from_system(number(5)?)?,
        system_bytes: word(6)?,
        collection: word(4)?,
    }))
}

fn reason(number: u32) -> Known<Option<&'static str>> {
    Ok(Some(match number {
        0 => return Ok(None),
        1 => "there was no room for it in the youngest generation, and a collection made none",
        2 => "no memory could be committed for it: the system gave none, or the heap's limit was reached",
        3 => "there were no addresses left to reserve",
        4 => "there was no room for a large object",
        5 => "memory was low, and a collection made no room",
        6 => "whole collections freed next to nothing",
        other => return Err(Gap::Unsupported(format!("allocations that failed for reason {other}"))),
    }))
}

fn from_system(number: u32) -> Known<Option<&'static str>> {
    Ok(Some(match number {
        0 => return Ok(None),
        1 => "addresses for a segment",
        2 => "memory for the beginning of a segment",
        3 => "memory for the segment in which objects are made",
        4 => "memory for a larger table of cards",
        5 => "memory for the table of cards",
        other => return Err(Gap::Unsupported(format!("memory of kind {other} that the collector did not get"))),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_words() {
        // gcinterface.dac.h: oom_no_failure, oom_low_mem, beyond oom_unproductive_full_gc.
        assert_eq!(reason(0), Ok(None));
        assert_eq!(reason(5), Ok(Some("memory was low, and a collection made no room")));
        assert!(reason(7).is_err() && from_system(6).is_err());
        assert_eq!(from_system(1), Ok(Some("addresses for a segment")));
    }
}
