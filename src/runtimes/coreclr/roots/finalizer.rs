//! Objects with finalizers, and those that wait to be finalized.
//!
//! Input: the collector's variables. Output: of each heap its list. Source: dotnet/runtime src/coreclr/gc/gcpriv.h, class CFinalize: the ends of
//! seven ranges of one array, then its start: of objects that live by generation, 4 to 0, then of those that wait, whose finalizers are
//! critical, and the others.

use crate::model::{Addr, Gap, Known};
use crate::runtimes::coreclr::clr::plus;
use crate::runtimes::coreclr::heap::Variables;

/// Most of one heap.
const MAX: u64 = 1 << 28;
/// Generations: 0 to 2, large and pinned objects.
const GENERATIONS: u64 = 5;
const CRITICAL: u64 = GENERATIONS;
const OTHERS: u64 = GENERATIONS + 1;
/// Where the start of the array stands, behind the ends.
const START: u64 = GENERATIONS + 2;

/// Objects of a heap that have finalizers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalizeQueue {
    /// The heap, from 0.
    pub heap: u64,
    /// Those that live, by the generation that the list has them in: 0 to 2, large and pinned ones.
    pub generations: [Vec<Addr>; 5],
    /// Those that wait, whose finalizers run last, since others may need them.
    pub critical: Vec<Addr>,
    /// The others that wait.
    pub others: Vec<Addr>,
}

/// The list of each heap.
pub(in crate::runtimes::coreclr) fn finalize_queues(variables: &Variables<'_>) -> Known<Vec<FinalizeQueue>> {
    let queues = (0..).zip(variables.finalize_queues()?).filter(|(_, queue)| queue.0 != 0);
    let of = |(heap, queue): (u64, Addr)| {
        let range =
            |range| Ok::<_, Gap>(range_of(variables, queue, range)?.into_iter().map(|(_, object)| object).collect());
        let generation = |generation: u64| range(GENERATIONS.saturating_sub(generation).saturating_sub(1));
        let generations = [generation(0)?, generation(1)?, generation(2)?, generation(3)?, generation(4)?];
        Ok(FinalizeQueue { heap, generations, critical: range(CRITICAL)?, others: range(OTHERS)? })
    };
    queues.map(of).collect()
}

/// Objects that nothing else refers to and that wait to be finalized: where each stands in the list, and the object.
pub(in crate::runtimes::coreclr) fn waiting(variables: &Variables<'_>) -> Known<Vec<(Addr, Addr)>> {
    let mut all = Vec::new();
    for queue in variables.finalize_queues()?.into_iter().filter(|queue| queue.0 != 0) {
        all.extend(range_of(variables, queue, CRITICAL)?);
        all.extend(range_of(variables, queue, OTHERS)?);
    }
    Ok(all)
}

/// One range of a list: where each object stands, and the object.
fn range_of(variables: &Variables<'_>, queue: Addr, range: u64) -> Known<Vec<(Addr, Addr)>> {
    let memory = variables.memory();
    let place = |index: u64| Ok::<Addr, Gap>(memory.ptr(plus(queue, index.saturating_mul(8))?)?);
    let from = place(range.checked_sub(1).unwrap_or(START))?;
    let bytes = place(range)?.since(from).filter(|bytes| bytes.is_multiple_of(8) && bytes / 8 <= MAX);
    let bytes = bytes.ok_or_else(|| Gap::Corrupt(format!("the list of objects with finalizers at {queue}")))?;
    if bytes == 0 {
        return Ok(Vec::new());
    }
    let slots = (0u64..).step_by(8).map_while(|offset| from.plus(offset));
    let objects = slots.zip(memory.pointers(memory.slice(from, bytes)?));
    Ok(objects.filter(|(_, object)| object.0 != 0).collect())
}
