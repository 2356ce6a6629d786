//! Collections that several threads may use at once. What they were doing to one when the dump was written is not known.

use crate::model::Known;
use crate::runtimes::coreclr::objects::Instance;
use crate::runtimes::coreclr::objects::elements::{Elements, Rule, keyed};
use crate::runtimes::coreclr::objects::values::Values;

pub(super) const RULES: &[(&str, Rule)] = &[
    ("System.Collections.Concurrent.ConcurrentDictionary", dictionary),
    ("System.Collections.Concurrent.ConcurrentQueue", queue),
    ("System.Collections.Concurrent.ConcurrentStack", stack),
    ("System.Collections.Concurrent.ConcurrentBag", bag),
];

/// Nodes of one list, segments of a queue, queues of a bag.
const MAX_LINKS: usize = 1 << 16;

fn dictionary(values: &Values<'_>, object: &Instance<'_>, to: &mut Elements) -> Known<()> {
    let Some(tables) = object.reference("_tables")? else { return Ok(()) };
    let Some(buckets) = tables.reference("_buckets")? else { return Ok(()) };
    for index in 0..buckets.len()?.into() {
        let mut next = buckets.structure(index)?.reference("_node")?;
        for _ in 0..MAX_LINKS {
            let Some(node) = next else { break };
            if !to.add(values, || keyed(values.named(&node, "_key"), values.named(&node, "_value"))) {
                return Ok(());
            }
            next = node.reference("_next")?;
        }
    }
    Ok(())
}

/// Segments, each a ring. Source: ConcurrentQueueSegment.cs: positions only grow; of a segment that takes no more the tail is two lengths too far.
fn queue(values: &Values<'_>, object: &Instance<'_>, to: &mut Elements) -> Known<()> {
    let mut next = object.reference("_head")?;
    for _ in 0..MAX_LINKS {
        let Some(segment) = next else { break };
        let ends = segment.inner("_headAndTail")?;
        let (head, mut tail) = (ends.u32("Head")?, ends.u32("Tail")?);
        if let Some(slots) = segment.reference("_slots")? {
            let room = slots.len()?;
            if segment.u8("_frozenForEnqueues")? != 0 {
                tail = tail.wrapping_sub(room.saturating_mul(2));
            }
            for index in 0..tail.wrapping_sub(head).min(room) {
                let slot = slots.structure((head.wrapping_add(index) & room.saturating_sub(1)).into())?;
                if !to.add(values, || values.named(&slot, "Item")) {
                    return Ok(());
                }
            }
        }
        next = segment.reference("_nextSegment")?;
    }
    Ok(())
}

fn stack(values: &Values<'_>, object: &Instance<'_>, to: &mut Elements) -> Known<()> {
    let mut next = object.reference("_head")?;
    for _ in 0..MAX_LINKS {
        let Some(node) = next else { break };
        if !to.add(values, || values.named(&node, "_value")) {
            break;
        }
        next = node.reference("_next")?;
    }
    Ok(())
}

/// A queue for each thread that has added to it.
fn bag(values: &Values<'_>, object: &Instance<'_>, to: &mut Elements) -> Known<()> {
    let mut next = object.reference("_workStealingQueues")?;
    for _ in 0..MAX_LINKS {
        let Some(queue) = next else { break };
        if let Some(array) = queue.reference("_array")? {
            let (head, tail, mask) = (queue.u32("_headIndex")?, queue.u32("_tailIndex")?, queue.u32("_mask")?);
            for index in 0..tail.wrapping_sub(head).min(array.len()?) {
                let place = head.wrapping_add(index) & mask;
                if !to.add(values, || values.element(&array, place.into())) {
                    return Ok(());
                }
            }
        }
        next = queue.reference("_nextQueue")?;
    }
    Ok(())
}
