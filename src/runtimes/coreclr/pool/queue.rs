//! Queues of work: `ConcurrentQueue`, and the queue of its own that each thread of the pool has.
//!
//! Output: addresses of items, those that are taken next first. Specification: dotnet/runtime src/libraries/System.Private.CoreLib/src/System/
//! Collections/Concurrent/ConcurrentQueueSegment.cs, System/Threading/ThreadPoolWorkQueue.cs, of 8.0 to 10.0.

use crate::model::{Addr, Known};
use crate::runtimes::coreclr::objects::Instance;

/// Most segments and items of one queue that are looked at.
const MAX_SEGMENTS: usize = 1 << 16;
const MAX_ITEMS: usize = 1 << 20;

/// The items of a `ConcurrentQueue` of references.
pub(super) fn concurrent(queue: &Instance<'_>) -> Known<Vec<Addr>> {
    let mut items = Vec::new();
    let mut next = queue.reference("_head")?;
    for _ in 0..MAX_SEGMENTS {
        let Some(segment) = next else { break };
        add_segment(&segment, &mut items)?;
        next = segment.reference("_nextSegment")?;
    }
    Ok(items)
}

/// A segment is a ring whose positions only grow; of one that takes no more the tail is two lengths too far.
fn add_segment(segment: &Instance<'_>, items: &mut Vec<Addr>) -> Known<()> {
    let Some(slots) = segment.reference("_slots")? else { return Ok(()) };
    let ends = segment.inner("_headAndTail")?;
    let (head, mut tail) = (ends.u32("Head")?, ends.u32("Tail")?);
    let room = slots.len()?;
    if segment.u8("_frozenForEnqueues")? != 0 {
        tail = tail.wrapping_sub(room.saturating_mul(2));
    }
    ring(&slots, head, tail, room.saturating_sub(1), items)
}

/// The items of a thread's own queue, the newest first: the thread takes those, others the oldest.
pub(super) fn stolen(queue: &Instance<'_>) -> Known<Vec<Addr>> {
    let mut items = Vec::new();
    let Some(array) = queue.reference("m_array")? else { return Ok(items) };
    let (head, tail, mask) = (queue.u32("m_headIndex")?, queue.u32("m_tailIndex")?, queue.u32("m_mask")?);
    ring(&array, head, tail, mask, &mut items)?;
    items.reverse();
    Ok(items)
}

/// What stands in the first word of the elements of a ring.
fn ring(array: &Instance<'_>, head: u32, tail: u32, mask: u32, items: &mut Vec<Addr>) -> Known<()> {
    let room = array.len()?;
    // One that is just being taken from may be ahead of itself.
    let count = if tail.wrapping_sub(head).cast_signed() < 0 { 0 } else { tail.wrapping_sub(head).min(room) };
    for index in 0..count {
        if items.len() >= MAX_ITEMS {
            break;
        }
        let place = array.element(head.wrapping_add(index) & mask)?;
        let item = array.types.clr.memory().ptr(place)?;
        if item.0 != 0 {
            items.push(item);
        }
    }
    Ok(())
}
