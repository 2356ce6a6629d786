//! Collections that several threads may use at once. What they were doing to one when the dump was written is not known.

use crate::model::Known;
use crate::runtimes::coreclr::objects::Instance;
use crate::runtimes::coreclr::objects::elements::{Elements, Rule, chain, keyed};
use crate::runtimes::coreclr::objects::values::Values;

pub(super) const RULES: &[(&str, Rule)] = &[
    ("System.Collections.Concurrent.ConcurrentDictionary", dictionary),
    ("System.Collections.Concurrent.ConcurrentQueue", queue),
    ("System.Collections.Concurrent.ConcurrentStack", stack),
    ("System.Collections.Concurrent.ConcurrentBag", bag),
];

fn dictionary(values: &Values<'_>, object: &Instance<'_>, to: &mut Elements) -> Known<()> {
    let Some(tables) = object.reference("_tables")? else { return Ok(()) };
    let Some(buckets) = tables.reference("_buckets")? else { return Ok(()) };
    for index in 0..buckets.len()?.into() {
        let first = buckets.structure(index)?.reference("_node")?;
        let mut visit = |node: &Instance<'_>| {
            Ok(to.add(values, || keyed(values.named(node, "_key"), values.named(node, "_value"))))
        };
        if !chain(first, "_next", &mut visit)? {
            break;
        }
    }
    Ok(())
}

/// Segments, each a ring. Source: ConcurrentQueueSegment.cs: positions only grow; of a segment that takes no more the tail is two lengths too far.
fn queue(values: &Values<'_>, object: &Instance<'_>, to: &mut Elements) -> Known<()> {
    chain(object.reference("_head")?, "_nextSegment", &mut |segment| {
        let ends = segment.inner("_headAndTail")?;
        let (head, mut tail) = (ends.u32("Head")?, ends.u32("Tail")?);
        let Some(slots) = segment.reference("_slots")? else { return Ok(true) };
        let room = slots.len()?;
        if segment.u8("_frozenForEnqueues")? != 0 {
            tail = tail.wrapping_sub(room.saturating_mul(2));
        }
        for index in 0..tail.wrapping_sub(head).min(room) {
            let slot = slots.structure((head.wrapping_add(index) & room.saturating_sub(1)).into())?;
            if !to.add(values, || values.named(&slot, "Item")) {
                return Ok(false);
            }
        }
        Ok(true)
    })
    .map(|_| ())
}

fn stack(values: &Values<'_>, object: &Instance<'_>, to: &mut Elements) -> Known<()> {
    let mut visit = |node: &Instance<'_>| Ok(to.add(values, || values.named(node, "_value")));
    chain(object.reference("_head")?, "_next", &mut visit).map(|_| ())
}

/// A queue for each thread that has added to it.
fn bag(values: &Values<'_>, object: &Instance<'_>, to: &mut Elements) -> Known<()> {
    chain(object.reference("_workStealingQueues")?, "_nextQueue", &mut |queue| {
        let Some(array) = queue.reference("_array")? else { return Ok(true) };
        let (head, tail, mask) = (queue.u32("_headIndex")?, queue.u32("_tailIndex")?, queue.u32("_mask")?);
        for index in 0..tail.wrapping_sub(head).min(array.len()?) {
            let place = head.wrapping_add(index) & mask;
            if !to.add(values, || values.element(&array, place.into())) {
                return Ok(false);
            }
        }
        Ok(true)
    })
    .map(|_| ())
}
