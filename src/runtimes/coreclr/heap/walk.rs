//! The objects of a segment, one after the other.

use super::recent::Recent;
use super::segment::Segment;
use super::segments::Segments;
use super::walked::Walked;
use super::words::Words;
use crate::error::Error;
use crate::heap::Free;
use crate::job::Meter;
use crate::model::{Addr, Gap, Known};
use crate::runtimes::coreclr::clr::plus;
use crate::runtimes::coreclr::types::Types;

/// The least bytes of an object; the collector leaves room for one behind where a thread allocates.
const LEAST: u64 = 24;

/// Objects in a row by which it is told that a walk is where one begins.
const IN_A_ROW: usize = 8;
/// Most places of one segment that a walk goes on behind.
const MAX_BROKEN: usize = 1 << 10;

/// What a walk leaves out.
#[derive(Clone, Debug)]
pub(in crate::runtimes::coreclr) struct Broken {
    /// Where there should be an object.
    pub(in crate::runtimes::coreclr) start: Addr,
    /// Where objects go on.
    pub(in crate::runtimes::coreclr) end: Addr,
    /// Why there is none.
    pub(in crate::runtimes::coreclr) gap: Gap,
}

impl Broken {
    /// How much it is.
    pub(in crate::runtimes::coreclr) fn bytes(&self) -> u64 {
        self.end.since(self.start).unwrap_or(0)
    }
}

/// What is done with each object.
type Visit<'a> = dyn FnMut(Walked) -> Result<(), Error> + 'a;

/// Sizes of a class's objects.
#[derive(Clone, Copy, Default)]
struct Size {
    base: u64,
    component: u64,
}

impl Segments {
    /// The object at an address, whether a walk meets it or not.
    pub(in crate::runtimes::coreclr) fn object_at(&self, types: Types<'_>, at: Addr) -> Known<Walked> {
        let segment = self.holding(at).filter(|_| at.is_aligned(8));
        let segment = segment.ok_or_else(|| Gap::Corrupt(format!("no object at {at}: it is not in the heap")))?;
        Walk::of(types, segment).object(at)
    }

    /// Visits every object of a segment. Gives the first place at which something is left out, with the reason.
    pub(in crate::runtimes::coreclr) fn walk(
        &self,
        types: Types<'_>,
        segment: &Segment,
        meter: &mut Meter<'_>,
        visit: &mut Visit<'_>,
    ) -> Result<Option<(Addr, Gap)>, Error> {
        let broken = self.walk_past(types, segment, meter, visit)?;
        Ok(broken.into_iter().next().map(|broken| (broken.start, broken.gap)))
    }

    /// Visits every object of a segment, and goes on behind those that are broken. Gives what is left out.
    pub(in crate::runtimes::coreclr) fn walk_past(
        &self,
        types: Types<'_>,
        segment: &Segment,
        meter: &mut Meter<'_>,
        visit: &mut Visit<'_>,
    ) -> Result<Vec<Broken>, Error> {
        /// Objects that are counted at once.
        const TOGETHER: u64 = 64;
        let mut walk = Walk::of(types, segment);
        let mut broken = Vec::new();
        let mut at = segment.start;
        let (mut context, mut uncounted) = (self.context_from(at), 0u64);
        while at < segment.end {
            uncounted = uncounted.saturating_add(1);
            if uncounted == TOGETHER {
                meter.add(TOGETHER)?;
                uncounted = 0;
            }
            if at > context.0 {
                context = self.context_from(at);
            }
            let here = match context {
                (next, limit) if next == at => after_context(at, limit, segment),
                // The last one may be rounded up beyond the segment.
                _ => walk.object(at).map(|object| (after(object).unwrap_or(segment.end), Some(object))),
            };
            let gap = match here {
                Ok((next, object)) => {
                    if let Some(object) = object {
                        visit(object)?;
                    }
                    at = next;
                    continue;
                }
                Err(gap) => gap,
            };
            let behind = if broken.len() < MAX_BROKEN { self.behind(types, segment, at, meter)? } else { None };
            let end = behind.unwrap_or(segment.end);
            broken.push(Broken { start: at, end, gap });
            at = end;
        }
        meter.add(uncounted)?;
        Ok(broken)
    }

    /// The first place behind one without an object at which objects stand again, one after the other.
    fn behind(
        &self,
        types: Types<'_>,
        segment: &Segment,
        broken: Addr,
        meter: &mut Meter<'_>,
    ) -> Result<Option<Addr>, Error> {
        let memory = types.clr.memory();
        let filler = types.clr.global("FreeObjectMethodTable").ok();
        let mut walk = Walk::of(types, segment);
        let mut next = broken.plus(8);
        while let Some(at) = next.filter(|at| *at < segment.end) {
            meter.add(1)?;
            if self.follow_each_other(&mut walk, filler, at) {
                return Ok(Some(at));
            }
            next = match memory.slice_up_to(at, 8) {
                Ok(_) => at.plus(8),
                // Nothing is there up to the next run that the dump holds.
                Err(_) => memory.next_segment(at).and_then(|next| next.start.0.checked_next_multiple_of(8)).map(Addr),
            };
        }
        Ok(None)
    }

    /// Whether objects of classes that are sound stand one behind the other from an address on.
    fn follow_each_other(&self, walk: &mut Walk<'_>, filler: Option<Addr>, at: Addr) -> bool {
        let (mut at, types) = (at, walk.types);
        for _ in 0..IN_A_ROW {
            if at == walk.end || self.context_at(at).is_some() {
                return true;
            }
            // The check that needs no class to be read stands first: most words are none.
            let is_one =
                types.table_of(at).is_ok_and(|table| types.is_table(table) == Ok(true) || Some(table) == filler);
            let found = is_one.then(|| walk.object(at).ok()).flatten();
            match found.and_then(after) {
                Some(next) => at = next,
                None => return false,
            }
        }
        true
    }

    /// Where the room ends for objects that are about to be made from an address on, all but for what the collector leaves behind it.
    fn context_at(&self, at: Addr) -> Option<Addr> {
        let index = self.contexts.binary_search_by_key(&at, |(next, _)| *next).ok()?;
        self.contexts.get(index).map(|(_, end)| *end)
    }

    /// The first place from an address on where objects are about to be made, and where the room for them ends; the end of all memory where
    /// there is none.
    fn context_from(&self, at: Addr) -> (Addr, Addr) {
        let index = self.contexts.partition_point(|(next, _)| *next < at);
        self.contexts.get(index).copied().unwrap_or((Addr(u64::MAX), Addr(u64::MAX)))
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

/// Where objects go on behind an address from which on they are about to be made, up to a limit.
fn after_context(at: Addr, limit: Addr, segment: &Segment) -> Known<(Addr, Option<Walked>)> {
    let after = limit.plus(LEAST).filter(|after| *after <= segment.end);
    let after = after.ok_or_else(|| Gap::Corrupt(format!("what is allocated at {at} ends at {limit}")))?;
    Ok((after, None))
}

/// Where the next object begins.
fn after(object: Walked) -> Option<Addr> {
    object.at.plus(object.bytes.checked_next_multiple_of(8)?)
}

/// Reads objects of one segment.
struct Walk<'a> {
    types: Types<'a>,
    words: Words<'a>,
    end: Addr,
    /// Where an object refers to its class.
    table: Known<u64>,
    sizes: Recent<Size>,
}

impl<'a> Walk<'a> {
    fn of(types: Types<'a>, segment: &Segment) -> Walk<'a> {
        let table = types.clr.layout.offset("Object", "m_pMethTab");
        Walk { types, words: Words::of(types.clr.memory()), end: segment.end, table, sizes: Recent::new() }
    }

    #[inline]
    fn object(&mut self, at: Addr) -> Known<Walked> {
        let offset = self.table.as_ref().map_err(Clone::clone)?;
        // The collector marks objects in these bits. Source: dotnet/runtime src/coreclr/vm/object.h.
        let table = Addr(self.words.word(plus(at, *offset)?)? & !7);
        if table.0 == 0 {
            return Err(Gap::Corrupt(format!("no object at {at}")));
        }
        let types = self.types;
        let size = self.sizes.of(table, || size(types, table))?;
        let count = if size.component == 0 { 0 } else { self.words.half(plus(at, 8)?)?.into() };
        let bytes = size.component.saturating_mul(count).saturating_add(size.base).max(LEAST);
        if self.end.since(at).is_none_or(|left| bytes > left) {
            return Err(Gap::Corrupt(format!("an object of {bytes} bytes at {at}")));
        }
        Ok(Walked { at, table, bytes })
    }
}

/// The sizes of a class's objects.
fn size(types: Types<'_>, table: Addr) -> Known<Size> {
    let clr = types.clr;
    let none = || Gap::Corrupt(format!("no class at {table}"));
    let is_filler = clr.global("FreeObjectMethodTable").as_ref() == Ok(&table);
    match types.is_table(table) {
        _ if is_filler => {}
        Ok(true) => {}
        Ok(false) => return Err(none()),
        Err(gap) => {
            // What leads to no memory that there was is no class; what is not in the dump may be one.
            let to = clr.ptr(table, "MethodTable", "EEClassOrCanonMT");
            let is_nowhere = to.is_ok_and(|to| clr.memory().region_at(Addr(to.0 & !1)).is_none());
            return Err(if is_nowhere { none() } else { gap });
        }
    }
    let class = types.class(table)?;
    Ok(Size { base: class.base_size.into(), component: class.component.into() })
}
