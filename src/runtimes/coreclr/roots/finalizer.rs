//! Objects with finalizers: those that are alive, and those that wait to be finalized.

use crate::model::{Addr, Gap, Known};
use crate::runtimes::coreclr::clr::plus;
use crate::runtimes::coreclr::heap::Variables;

/// Most of one heap.
const MAX: u64 = 1 << 28;

/// The objects with finalizers of one heap of the collector, as it lists them.
#[derive(Clone, Debug, Default)]
pub(in crate::runtimes::coreclr) struct Finalizers {
    /// By generation: pinned, large, 2, 1, 0.
    pub(in crate::runtimes::coreclr) alive: Vec<Vec<Addr>>,
    /// Where each stands that nothing else refers to, and the object: it waits to be finalized.
    pub(in crate::runtimes::coreclr) waiting: Vec<(Addr, Addr)>,
}

impl Finalizers {
    /// Those of each heap.
    pub(in crate::runtimes::coreclr) fn read(variables: &Variables<'_>) -> Known<Vec<Finalizers>> {
        variables.finalize_queues()?.into_iter().map(|queue| Finalizers::of(variables, queue)).collect()
    }

    fn of(variables: &Variables<'_>, queue: Addr) -> Known<Finalizers> {
        // Source: dotnet/runtime src/coreclr/gc/gcpriv.h, class CFinalize: the ends of seven ranges, then where the first begins: generations 4 to 0,
        // those whose finalizers are critical, the others.
        const RANGES: u64 = 7;
        const WAITING: u64 = 5;
        let memory = variables.memory();
        let mut found = Finalizers::default();
        if queue.0 == 0 {
            return Ok(found);
        }
        let word = |index: u64| Ok::<Addr, Gap>(memory.ptr(plus(queue, index.saturating_mul(8))?)?);
        let mut from = word(RANGES)?;
        for range in 0..RANGES {
            let to = word(range)?;
            let bytes = to.since(from).filter(|bytes| bytes.is_multiple_of(8) && bytes / 8 <= MAX);
            let bytes = bytes.ok_or_else(|| Gap::Corrupt(format!("the list of objects with finalizers at {queue}")))?;
            let held = memory.slice(from, bytes)?;
            let slots = (0u64..).step_by(8).map_while(|offset| from.plus(offset));
            let objects = slots.zip(memory.pointers(held)).filter(|(_, object)| object.0 != 0);
            if range < WAITING {
                found.alive.push(objects.map(|(_, object)| object).collect());
            } else {
                found.waiting.extend(objects);
            }
            from = to;
        }
        Ok(found)
    }
}
