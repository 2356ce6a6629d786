//! Collections that are made once for fast look-up: of each kind of key another class. Source: dotnet/runtime
//! src/libraries/System.Collections.Immutable/src/System/Collections/Frozen of 8.0 to 10.0.

use super::linear::at_most;
use crate::model::{Gap, Known};
use crate::runtimes::coreclr::objects::Instance;
use crate::runtimes::coreclr::objects::elements::{Elements, Rule, keyed};
use crate::runtimes::coreclr::objects::values::Values;

pub(super) const RULES: &[(&str, Rule)] =
    &[("System.Collections.Frozen.FrozenDictionary", dictionary), ("System.Collections.Frozen.FrozenSet", set)];

fn dictionary(values: &Values<'_>, object: &Instance<'_>, to: &mut Elements) -> Known<()> {
    if is_empty(object) {
        return Ok(());
    }
    let keys = kept(object, "_keys")?;
    let under = object.reference("_values")?.ok_or_else(|| other(object))?;
    let count = at_most(keys.len()?.into(), &under)?;
    to.run(values, count, |index| keyed(values.element(&keys, index), values.element(&under, index)));
    Ok(())
}

fn set(values: &Values<'_>, object: &Instance<'_>, to: &mut Elements) -> Known<()> {
    if is_empty(object) { Ok(()) } else { values.array(&kept(object, "_items")?, to) }
}

fn is_empty(object: &Instance<'_>) -> bool {
    object.name().starts_with("System.Collections.Frozen.EmptyFrozen")
}

/// The array in a field; of integers they are their own hashes, which the table has.
fn kept<'a>(object: &Instance<'a>, field: &str) -> Known<Instance<'a>> {
    let array = match object.reference(field) {
        Err(Gap::NoLayout(_)) => object.inner("_hashTable")?.reference("HashCodes")?,
        array => array?,
    };
    array.ok_or_else(|| other(object))
}

fn other(object: &Instance<'_>) -> Gap {
    Gap::NoLayout(format!("what a {} keeps", object.name()))
}
