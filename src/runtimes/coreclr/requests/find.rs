//! Objects by their class, and what properties are kept in.

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use crate::error::Error;
use crate::job::Job;
use crate::model::Addr;
use crate::runtimes::coreclr::heap::Segments;
use crate::runtimes::coreclr::types::Types;

/// The objects of a class and of those that derive from it; ascending.
pub(super) fn of_class(types: Types<'_>, segments: &Segments, class: &str, job: &Job) -> Result<Vec<Addr>, Error> {
    let of_segment = |segment| -> Result<Vec<Addr>, Error> {
        let mut is_one = FxHashMap::default();
        let mut found = Vec::new();
        segments.walk(types, segment, &mut job.meter(), &mut |object| {
            let known = is_one.entry(object.table);
            if *known.or_insert_with(|| types.object(object.at).is_ok_and(|object| object.is_a(class))) {
                found.push(object.at);
            }
            Ok(())
        })?;
        Ok(found)
    };
    let all: Vec<Vec<Addr>> = segments.all.par_iter().map(of_segment).collect::<Result<_, Error>>()?;
    Ok(all.concat())
}

/// A field that a property is kept in. Source: the C# compiler.
pub(super) fn property(name: &str) -> String {
    format!("<{name}>k__BackingField")
}
