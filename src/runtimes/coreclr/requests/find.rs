//! Objects by their class, and what properties are kept in.

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Gap};
use crate::runtimes::coreclr::heap::{Broken, Segment, Segments, Unsearched};
use crate::runtimes::coreclr::types::Types;

/// Most objects of all classes of one segment.
const MAX_OBJECTS: usize = 1 << 20;

/// What a walk of the heap finds, and what else there may be.
#[derive(Clone, Debug, Default)]
pub struct Found<T> {
    /// What was found.
    pub all: Vec<T>,
    /// Why there may be more, in words; empty where that is all.
    pub unread: Vec<String>,
}

/// What is met in one segment.
#[derive(Default)]
struct Met {
    objects: Vec<(usize, Addr)>,
    broken: Vec<Broken>,
    /// Objects whose class has no name that can be read.
    unnamed: u64,
    is_cut: bool,
}

/// The objects of each of these classes and of those that derive from them, ascending; by one walk.
pub(super) fn of_classes(
    types: Types<'_>,
    segments: &Segments,
    classes: &[&str],
    job: &Job,
) -> Result<Found<Vec<Addr>>, Error> {
    let of_segment = |segment: &Segment| -> Result<Met, Error> {
        let mut class_of: FxHashMap<Addr, Result<Option<usize>, Gap>> = FxHashMap::default();
        let mut met = Met::default();
        let broken = segments.walk_past(types, segment, &mut job.meter(), &mut |object| {
            let class = || {
                let object = types.object(object.at)?;
                object.class.name.as_ref().map_err(Gap::clone)?;
                Ok(classes.iter().position(|class| object.is_a(class)))
            };
            match class_of.entry(object.table).or_insert_with(class) {
                Ok(None) => {}
                Ok(Some(_)) if met.objects.len() >= MAX_OBJECTS => met.is_cut = true,
                Ok(Some(class)) => met.objects.push((*class, object.at)),
                Err(_) => met.unnamed = met.unnamed.saturating_add(1),
            }
            Ok(())
        })?;
        Ok(Met { broken, ..met })
    };
    let all: Vec<Met> = segments.all.par_iter().map(of_segment).collect::<Result<_, Error>>()?;
    let mut found = Found { all: vec![Vec::new(); classes.len()], unread: unread(segments, &all) };
    for (class, at) in all.into_iter().flat_map(|met| met.objects) {
        found.all.get_mut(class).into_iter().for_each(|objects| objects.push(at));
    }
    Ok(found)
}

/// What else there may be.
fn unread(segments: &Segments, all: &[Met]) -> Vec<String> {
    let mut heap = Unsearched::of(segments);
    all.iter().for_each(|met| heap.add(&met.broken));
    let unnamed = all.iter().map(|met| met.unnamed).fold(0, u64::saturating_add);
    let classes = (unnamed > 0).then(|| format!("the classes of {unnamed} objects cannot be read"));
    let cut = all.iter().any(|met| met.is_cut).then(|| "there are more objects than are looked at".to_owned());
    heap.words().into_iter().chain(classes).chain(cut).collect()
}

/// A field that a property is kept in. Source: the C# compiler.
pub(super) fn property(name: &str) -> String {
    format!("<{name}>k__BackingField")
}
