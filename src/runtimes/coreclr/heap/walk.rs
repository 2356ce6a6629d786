//! The objects of a segment, one after the other.

use rustc_hash::FxHashMap;

use super::segments::{Segment, Segments};
use super::walked::Walked;
use crate::error::Error;
use crate::heap::Free;
use crate::job::Meter;
use crate::model::{Addr, Gap, Known};
use crate::runtimes::coreclr::clr::plus;
use crate::runtimes::coreclr::types::Types;

/// The least bytes of an object; the collector leaves room for one behind where a thread allocates.
const LEAST: u64 = 24;

/// What is done with each object.
type Visit<'a> = dyn FnMut(Walked) -> Result<(), Error> + 'a;

/// Sizes of a class's objects.
#[derive(Clone, Copy)]
struct Size {
    base: u64,
    component: u64,
}

impl Segments {
    /// The object at an address, whether a walk meets it or not.
    pub(in crate::runtimes::coreclr) fn object_at(&self, types: Types<'_>, at: Addr) -> Known<Walked> {
        let segment = self.holding(at).filter(|_| at.is_aligned(8));
        let segment = segment.ok_or_else(|| Gap::Corrupt(format!("no object at {at}: it is not in the heap")))?;
        object(types, at, segment, &mut FxHashMap::default())
    }

    /// Visits every object of a segment. Gives the place from which on nothing could be read, with the reason.
    pub(in crate::runtimes::coreclr) fn walk(
        &self,
        types: Types<'_>,
        segment: &Segment,
        meter: &mut Meter<'_>,
        visit: &mut Visit<'_>,
    ) -> Result<Option<(Addr, Gap)>, Error> {
        let mut sizes = FxHashMap::default();
        let mut at = segment.start;
        while at < segment.end {
            meter.add(1)?;
            if let Some(limit) = self.context_at(at) {
                match limit.plus(LEAST).filter(|after| *after <= segment.end) {
                    Some(after) => at = after,
                    None => return Ok(Some((at, Gap::Corrupt(format!("what is allocated at {at} ends at {limit}"))))),
                }
                continue;
            }
            let object = match object(types, at, segment, &mut sizes) {
                Ok(object) => object,
                Err(gap) => return Ok(Some((at, gap))),
            };
            visit(object)?;
            let next = at.plus(object.bytes.next_multiple_of(8)).filter(|next| *next <= segment.end);
            let Some(next) = next else {
                return Ok(Some((at, Gap::Corrupt(format!("the object at {at} leaves its segment")))));
            };
            at = next;
        }
        Ok(None)
    }

    /// Where the room ends for objects that are about to be made from an address on, all but for what the collector leaves behind it.
    fn context_at(&self, at: Addr) -> Option<Addr> {
        let index = self.contexts.binary_search_by_key(&at, |(next, _)| *next).ok()?;
        self.contexts.get(index).map(|(_, end)| *end)
    }

    /// Bytes between two addresses in which no object was made yet.
    pub(super) fn room(&self, start: Addr, end: Addr) -> Free {
        let first = self.contexts.partition_point(|(next, _)| *next < start);
        let within = self.contexts.iter().skip(first).take_while(|(next, _)| *next < end);
        within.fold(Free::default(), |sum, (next, limit)| Free {
            count: sum.count.saturating_add(1),
            bytes: sum.bytes.saturating_add(limit.since(*next).unwrap_or(0)).saturating_add(LEAST),
        })
    }
}

fn object(types: Types<'_>, at: Addr, segment: &Segment, sizes: &mut FxHashMap<Addr, Size>) -> Known<Walked> {
    let clr = types.clr;
    let table = types.table_of(at)?;
    if table.0 == 0 {
        return Err(Gap::Corrupt(format!("no object at {at}")));
    }
    let size = match sizes.get(&table) {
        Some(size) => *size,
        None => {
            let class = types.class(table)?;
            let size = Size { base: class.base_size.into(), component: class.component.into() };
            sizes.insert(table, size);
            size
        }
    };
    let count = if size.component == 0 { 0 } else { clr.memory().u32(plus(at, 8)?)?.into() };
    let bytes = size.component.saturating_mul(count).saturating_add(size.base).max(LEAST);
    if segment.end.since(at).is_none_or(|left| bytes > left) {
        return Err(Gap::Corrupt(format!("an object of {bytes} bytes at {at}")));
    }
    Ok(Walked { at, table, bytes })
}
