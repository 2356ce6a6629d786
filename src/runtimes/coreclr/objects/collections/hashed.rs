//! Tables of hashes.

use super::linear::at_most;
use crate::model::Known;
use crate::runtimes::coreclr::objects::Instance;
use crate::runtimes::coreclr::objects::elements::{Elements, Rule, keyed};
use crate::runtimes::coreclr::objects::values::Values;

pub(super) const RULES: &[(&str, Rule)] = &[
    ("System.Collections.Generic.Dictionary", |values, table, to| {
        entries(values, table, to, &Entry { next: "next", key: Some("key"), value: "value" })
    }),
    ("System.Collections.Generic.OrderedDictionary", |values, table, to| {
        entries(values, table, to, &Entry { next: "Next", key: Some("Key"), value: "Value" })
    }),
    ("System.Collections.Generic.HashSet", |values, table, to| {
        entries(values, table, to, &Entry { next: "Next", key: None, value: "Value" })
    }),
    ("System.Collections.Hashtable", buckets),
];

/// Fields of an entry.
struct Entry {
    next: &'static str,
    key: Option<&'static str>,
    value: &'static str,
}

/// Entries in an array: of those that are free the link is less than -1.
fn entries(values: &Values<'_>, object: &Instance<'_>, to: &mut Elements, fields: &Entry) -> Known<()> {
    let count = u64::from(object.u32("_count")?);
    let Some(array) = object.reference("_entries")? else { return Ok(()) };
    for index in 0..at_most(count, &array)? {
        let entry = array.structure(index)?;
        if entry.i32(fields.next)? < -1 {
            continue;
        }
        let value = || values.named(&entry, fields.value);
        let made = || match fields.key {
            Some(key) => keyed(values.named(&entry, key), value()),
            None => value(),
        };
        if !to.add(values, made) {
            break;
        }
    }
    Ok(())
}

/// Of buckets that were left the key is the array of buckets itself. Source: Hashtable.cs, Remove.
fn buckets(values: &Values<'_>, object: &Instance<'_>, to: &mut Elements) -> Known<()> {
    let Some(array) = object.reference("_buckets")? else { return Ok(()) };
    for index in 0..array.len()?.into() {
        let bucket = array.structure(index)?;
        let key = bucket.address("key")?;
        if key.0 == 0 || key == array.at {
            continue;
        }
        if !to.add(values, || keyed(values.named(&bucket, "key"), values.named(&bucket, "val"))) {
            break;
        }
    }
    Ok(())
}
