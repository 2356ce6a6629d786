//! The part of a heap that a question names: a generation, one heap of several, a segment, a range of addresses.

use std::ops::Range;

use crate::error::Error;
use crate::heap::{Free, HeapSource, Stretch};
use crate::model::Addr;
use crate::views::Query;

/// What names a part of a heap by how it is made.
pub(super) const MADE: [&str; 3] = ["gen", "heap", "segment"];

/// A part of a heap.
#[derive(Default)]
pub(in crate::views) struct Within {
    /// Where its objects begin; `None`: wherever they are.
    pub(in crate::views) ranges: Option<Vec<Range<Addr>>>,
    /// What fills gaps in it; `None` where that is not told of this part.
    pub(super) free: Option<Free>,
}

impl Within {
    /// The part that a question names. Fails where the heap has no such part.
    pub(in crate::views) fn of(source: &dyn HeapSource, query: &Query) -> Result<Within, Error> {
        let mut within = Within::default();
        if MADE.iter().any(|name| query.args.has(name)) {
            let wanted = stretches(source, query)?;
            let sum = |sum: Free, more: &Stretch| Free {
                count: sum.count.saturating_add(more.free.count),
                bytes: sum.bytes.saturating_add(more.free.bytes),
            };
            within.free = Some(wanted.iter().fold(Free::default(), sum));
            within.ranges = Some(wanted.into_iter().map(|stretch| stretch.range).collect());
        }
        let (start, end) = (query.address("start"), query.address("end"));
        if let Some(start) = start {
            let end = end.unwrap_or(Addr(u64::MAX));
            if end <= start {
                return Err(Error::Usage(format!("{end} is not behind {start}")));
            }
            let clip = |range: Range<Addr>| range.start.max(start)..range.end.min(end);
            let all = within.ranges.unwrap_or_else(|| vec![start..end]);
            within.ranges = Some(all.into_iter().map(clip).filter(|range| !range.is_empty()).collect());
            within.free = None;
        }
        Ok(within)
    }
}

/// The stretches that are asked for.
fn stretches(source: &dyn HeapSource, query: &Query) -> Result<Vec<Stretch>, Error> {
    let (all, generations) = (source.stretches(), source.generations());
    if generations.is_empty() {
        return Err(Error::Failed(format!("the heap ({}) has no generations and no segments", source.name())));
    }
    let generation = query.text("gen").map(|word| {
        let is_it = |names: &&[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(word));
        let names = || generations.iter().filter_map(|names| names.get(1).or_else(|| names.first()));
        let unknown = || {
            let names = names().copied().collect::<Vec<_>>().join(", ");
            Error::Usage(format!("-gen {word}: there is no such generation, of {names}"))
        };
        generations.iter().position(is_it).ok_or_else(unknown)
    });
    let (generation, heap, segment) = (generation.transpose()?, query.number("heap"), query.address("segment"));
    let is_of = |stretch: &Stretch, at: Addr| stretch.segment == at || stretch.range.contains(&at);
    if let Some(heap) = heap.filter(|heap| !all.iter().any(|stretch| stretch.heap == *heap)) {
        let last = all.iter().map(|stretch| stretch.heap).max().unwrap_or(0);
        return Err(Error::Failed(format!("there is no heap {heap} with objects: the last is heap {last}")));
    }
    if let Some(at) = segment.filter(|at| !all.iter().any(|stretch| is_of(stretch, *at))) {
        return Err(Error::Failed(format!("no segment with objects is at {at}; 'eeheap' lists them")));
    }
    let mut wanted = Vec::new();
    for stretch in all {
        let of = match (generation, &stretch.generation) {
            (None, _) => true,
            (Some(generation), Ok(own)) => generation == *own,
            (Some(_), Err(gap)) => {
                let objects = stretch.range.start;
                return Err(Error::Failed(format!("of which generation the objects from {objects} on are: {gap}")));
            }
        };
        let is_wanted =
            of && heap.is_none_or(|heap| stretch.heap == heap) && segment.is_none_or(|at| is_of(&stretch, at));
        wanted.extend(is_wanted.then_some(stretch));
    }
    Ok(wanted)
}
