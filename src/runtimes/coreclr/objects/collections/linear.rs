//! Collections whose elements stand in an array, and lists of nodes.

use crate::model::value::{Content, Scalar};
use crate::model::{Gap, Known, Value};
use crate::runtimes::coreclr::objects::Instance;
use crate::runtimes::coreclr::objects::delegates::MAX_TARGETS;
use crate::runtimes::coreclr::objects::elements::{Elements, Rule, keyed, spelled};
use crate::runtimes::coreclr::objects::values::{Values, unknown};
use crate::runtimes::coreclr::types::ClassKind;

pub(super) const RULES: &[(&str, Rule)] = &[
    ("System.Collections.Generic.List", |values, list, to| of_array(values, list, to, ["_items", "_size"])),
    ("System.Collections.ArrayList", |values, list, to| of_array(values, list, to, ["_items", "_size"])),
    ("System.Collections.Generic.PriorityQueue", |values, queue, to| of_array(values, queue, to, ["_nodes", "_size"])),
    ("System.Collections.Generic.Queue", queue),
    ("System.Collections.Queue", queue),
    ("System.Collections.Generic.Stack", stack),
    ("System.Collections.Stack", stack),
    ("System.Collections.Generic.SortedList", sorted_list),
    ("System.Collections.SortedList", sorted_list),
    ("System.Collections.Generic.LinkedList", linked_list),
    ("System.Collections.Immutable.ImmutableArray", immutable_array),
    ("System.Collections.BitArray", bits),
    ("System.ArraySegment", |values, part, to| slice(values, part, to, ["_array", "_offset", "_count"])),
    ("System.Memory", |values, part, to| slice(values, part, to, ["_object", "_index", "_length"])),
    ("System.ReadOnlyMemory", |values, part, to| slice(values, part, to, ["_object", "_index", "_length"])),
    ("System.WeakReference", weak),
    ("System.Delegate", delegate),
];

/// The first elements of an array in a field, so many as another field says.
fn of_array(values: &Values<'_>, object: &Instance<'_>, to: &mut Elements, fields: [&str; 2]) -> Known<()> {
    let [array, count] = fields;
    let count = u64::from(object.u32(count)?);
    let Some(array) = object.reference(array)? else { return Ok(()) };
    to.run(values, at_most(count, &array)?, |index| values.element(&array, index));
    Ok(())
}

/// A number of elements, which an array must have room for.
pub(super) fn at_most(count: u64, array: &Instance<'_>) -> Known<u64> {
    let room = u64::from(array.len()?);
    if count > room {
        Err(Gap::Corrupt(format!("{count} elements in the array at {}, which has {room}", array.at)))
    } else {
        Ok(count)
    }
}

fn queue(values: &Values<'_>, object: &Instance<'_>, to: &mut Elements) -> Known<()> {
    let (count, head) = (u64::from(object.u32("_size")?), u64::from(object.u32("_head")?));
    let Some(array) = object.reference("_array")? else { return Ok(()) };
    let room = u64::from(array.len()?).max(1);
    to.run(values, at_most(count, &array)?, |index| values.element(&array, head.saturating_add(index) % room));
    Ok(())
}

/// The top first.
fn stack(values: &Values<'_>, object: &Instance<'_>, to: &mut Elements) -> Known<()> {
    let count = u64::from(object.u32("_size")?);
    let Some(array) = object.reference("_array")? else { return Ok(()) };
    let count = at_most(count, &array)?;
    to.run(values, count, |index| values.element(&array, count.saturating_sub(index).saturating_sub(1)));
    Ok(())
}

fn sorted_list(values: &Values<'_>, object: &Instance<'_>, to: &mut Elements) -> Known<()> {
    let count = u64::from(object.u32("_size")?);
    let (Some(keys), Some(under)) = (object.reference("keys")?, object.reference("values")?) else { return Ok(()) };
    to.run(values, at_most(count, &keys)?, |index| keyed(values.element(&keys, index), values.element(&under, index)));
    Ok(())
}

/// A ring: as many as it says it has.
fn linked_list(values: &Values<'_>, object: &Instance<'_>, to: &mut Elements) -> Known<()> {
    let count = object.u32("count")?;
    let mut next = object.reference("head")?;
    for _ in 0..count {
        let node = next.ok_or_else(|| Gap::Corrupt(format!("the list at {} ends early", object.at)))?;
        if !to.add(values, || values.named(&node, "item")) {
            break;
        }
        next = node.reference("next")?;
    }
    Ok(())
}

fn immutable_array(values: &Values<'_>, object: &Instance<'_>, to: &mut Elements) -> Known<()> {
    match object.reference("array")? {
        Some(array) => values.array(&array, to),
        None => Ok(()),
    }
}

fn slice(values: &Values<'_>, object: &Instance<'_>, to: &mut Elements, fields: [&str; 3]) -> Known<()> {
    // The highest bit says that the array may not be moved. Source: Memory.cs, _index.
    const PINNED: u32 = 1 << 31;
    let [array, start, count] = fields;
    let (start, count) = (u64::from(object.u32(start)? & !PINNED), u64::from(object.u32(count)?));
    let Some(array) = object.reference(array)? else { return Ok(()) };
    let is_text = match array.class.kind {
        ClassKind::Array { .. } => false,
        ClassKind::Text => true,
        _ => return Err(Gap::Unsupported(format!("memory that a {} has", array.name()))),
    };
    at_most(start.saturating_add(count), &array)?;
    to.run(values, count, |index| {
        let index = start.saturating_add(index);
        if is_text { array.letter(index) } else { values.element(&array, index) }
    });
    Ok(())
}

/// Words of bits, up to .NET 9 of 32, then of 8.
fn bits(values: &Values<'_>, object: &Instance<'_>, to: &mut Elements) -> Known<()> {
    let pick = |names: [&'static str; 2]| names.into_iter().find(|name| object.field(name).is_ok());
    let missing = || Gap::NoLayout("the bits of this version's BitArray".to_owned());
    let array = object.reference(pick(["m_array", "_array"]).ok_or_else(missing)?)?;
    let count = u64::from(object.u32(pick(["m_length", "_bitLength"]).ok_or_else(missing)?)?);
    let Some(array) = array else { return Ok(()) };
    // Their order in memory is the same for words and bytes.
    let start = array.slot(0)?;
    let bytes = u64::from(array.len()?).saturating_mul(array.class.component.into());
    if count.div_ceil(8) > bytes {
        return Err(Gap::Corrupt(format!("{count} bits in {bytes} bytes at {}", array.at)));
    }
    let bit = |index: u64| -> Known<Content> {
        let byte = object.types.clr.memory().u8(crate::runtimes::coreclr::clr::plus(start, index / 8)?)?;
        Ok(Content::Scalar(Scalar::Boolean((byte >> (index % 8) & 1).into())))
    };
    to.run(values, count, |index| Value { ty: None, location: None, content: bit(index) });
    Ok(())
}

/// What a weak reference refers to, where that is still there.
fn weak(values: &Values<'_>, object: &Instance<'_>, to: &mut Elements) -> Known<()> {
    // Source: dotnet/runtime src/libraries/System.Private.CoreLib/src/System/WeakReference.cs: two bits tell its kind.
    let handle = object.u64("_taggedHandle")? & !3;
    let target =
        if handle == 0 { crate::model::Addr(0) } else { object.types.clr.memory().ptr(crate::model::Addr(handle))? };
    to.add(values, || values.reference(target, 0));
    Ok(())
}

/// The methods that a delegate calls, each under the object on which it does; static ones under nothing.
fn delegate(values: &Values<'_>, object: &Instance<'_>, to: &mut Elements) -> Known<()> {
    let (called, left_out) = values.targets(object)?;
    to.run(values, (called.len() as u64).min(MAX_TARGETS.into()).saturating_add(left_out), |index| {
        let called = usize::try_from(index).ok().and_then(|index| called.get(index));
        match called.map(|called| (&called.method, called.on)) {
            Some((method, on)) => {
                let method = match method {
                    Ok(name) => spelled(name),
                    Err(gap) => unknown(gap.clone()),
                };
                keyed(method, values.reference(on, 0))
            }
            None => unknown(Gap::NotRecorded("it is not read".to_owned())),
        }
    });
    Ok(())
}
