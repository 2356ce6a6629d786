//! Objects that wait to be finalized.

use crate::model::{Addr, Gap, Known};
use crate::runtimes::coreclr::clr::plus;
use crate::runtimes::coreclr::heap::Variables;

/// Most of one heap.
const MAX: u64 = 1 << 28;

/// Objects that nothing else refers to and that wait to be finalized: where each stands in the list, and the object.
pub(in crate::runtimes::coreclr) fn waiting(variables: &Variables<'_>) -> Known<Vec<(Addr, Addr)>> {
    let mut all = Vec::new();
    for queue in variables.finalize_queues()? {
        add(variables, queue, &mut all)?;
    }
    Ok(all)
}

fn add(variables: &Variables<'_>, queue: Addr, all: &mut Vec<(Addr, Addr)>) -> Known<()> {
    // Source: dotnet/runtime src/coreclr/gc/gcpriv.h, class CFinalize: the ends of seven ranges: of objects that live by generation, 4 to 0, then of
    // those that wait, whose finalizers are critical, and the others.
    const LIVE: u64 = 5;
    const RANGES: u64 = 7;
    let memory = variables.memory();
    if queue.0 == 0 {
        return Ok(());
    }
    let end = |range: u64| Ok::<Addr, Gap>(memory.ptr(plus(queue, range.saturating_mul(8))?)?);
    let from = end(LIVE - 1)?;
    let bytes = end(RANGES - 1)?.since(from).filter(|bytes| bytes.is_multiple_of(8) && bytes / 8 <= MAX);
    let bytes = bytes.ok_or_else(|| Gap::Corrupt(format!("the list of objects with finalizers at {queue}")))?;
    let slots = (0u64..).step_by(8).map_while(|offset| from.plus(offset));
    let objects = slots.zip(memory.pointers(memory.slice(from, bytes)?));
    all.extend(objects.filter(|(_, object)| object.0 != 0));
    Ok(())
}
