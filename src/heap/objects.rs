//! All objects of a heap, sorted by address, in twelve bytes each: what a graph counts in.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use super::{HeapObject, HeapSource};
use crate::error::Error;
use crate::job::Job;
use crate::model::Addr;

/// Position of an object among all, ascending by address.
pub type ObjectId = u32;

/// Addresses in a span count from its start in units of a power of two.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: u64,
    /// The unit is `1 << shift` bytes.
    shift: u32,
    /// Its first object.
    first: ObjectId,
}

impl Span {
    /// One that begins with this object. `bits` are set in it and in those behind it.
    fn from(address: u64, bits: u64, first: ObjectId) -> Span {
        let shift = if bits.is_multiple_of(16) {
            4
        } else if bits.is_multiple_of(8) {
            3
        } else {
            0
        };
        Span { start: address, shift, first }
    }

    /// Units from its start; `None` where that is no whole number of them, or more than are counted.
    #[inline]
    fn offset(&self, address: u64) -> Option<u32> {
        let distance = address.checked_sub(self.start)?;
        let offset = u32::try_from(distance >> self.shift).ok()?;
        (u64::from(offset) << self.shift == distance).then_some(offset)
    }
}

/// All spans, and that of each part. One that reaches too far for a span has more than this.
fn spans(parts: &[Part]) -> (Vec<Span>, Vec<Span>) {
    let (mut spans, mut of_part, mut before): (Vec<Span>, Vec<Span>, u32) = (Vec::new(), Vec::new(), 0);
    for part in parts {
        let first = part.addresses.first().copied().unwrap_or(0);
        let is_whole = |span: &&Span| part.bits.trailing_zeros() >= span.shift;
        let reaches = |span: &&Span| part.addresses.last().is_some_and(|last| span.offset(*last).is_some());
        let known = spans.last().filter(is_whole).filter(reaches).copied();
        let span = known.unwrap_or_else(|| Span::from(first, part.bits, before));
        if span.first == before {
            spans.push(span);
        }
        of_part.push(span);
        before = before.saturating_add(u32::try_from(part.addresses.len()).unwrap_or(u32::MAX));
    }
    (spans, of_part)
}

/// Splits off the first `count`.
fn take<'s>(rest: &mut &'s mut [u32], count: usize) -> &'s mut [u32] {
    let (taken, left) = std::mem::take(rest).split_at_mut(count);
    *rest = left;
    taken
}

/// Look-up begins at the page of an address, a power of two of bytes within these bounds.
const PAGE_SHIFTS: (u32, u32) = (8, 20);
/// So many objects start in a page, about: as many starts are one line of the processor's cache.
const IN_PAGE: u64 = 8;
/// Pages without the start of an object that a run goes on over.
const MAX_GAP: u64 = 16;
/// Objects that a part counts at once.
const RESERVED: u64 = 1 << 10;
/// A size that does not fit: it stands in `large`.
const LARGE: u32 = u32::MAX;

/// The objects of a heap.
#[derive(Debug, Default)]
pub struct Objects {
    spans: Vec<Span>,
    starts: Vec<u32>,
    sizes: Vec<u32>,
    types: Vec<u32>,
    /// Sizes that do not fit, ascending by object.
    large: Vec<(ObjectId, u64)>,
    /// A page is `1 << page_shift` bytes.
    page_shift: u32,
    /// Runs of pages in which objects start, close together.
    runs: Vec<Run>,
    /// Of each page of each run the last object that starts in it or before it, plus one.
    pages: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    /// The number of its first page.
    page: u64,
    /// That page's place in `pages`.
    at: usize,
    /// Its first object.
    first: ObjectId,
}

#[derive(Default)]
struct Part {
    addresses: Vec<u64>,
    sizes: Vec<u32>,
    types: Vec<u32>,
    large: Vec<(usize, u64)>,
    /// Bits that are set in any of the addresses.
    bits: u64,
}

impl Objects {
    /// Lists the objects of a heap, its parts in parallel. What does not ascend is sorted: within a part, and parts that lie within each
    /// other. Fails where there are more than `u32::MAX` objects, and where the job is cancelled.
    pub fn of(source: &dyn HeapSource, job: &Job) -> Result<Objects, Error> {
        Objects::at_most(u64::from(u32::MAX), source, job)
    }

    fn at_most(most: u64, source: &dyn HeapSource, job: &Job) -> Result<Objects, Error> {
        job.phase("listing objects", 0);
        let left = AtomicU64::new(most);
        let mut parts: Vec<Part> = (0..source.parts())
            .into_par_iter()
            .map(|part| Part::of(source, part, &left, job))
            .collect::<Result<_, Error>>()?;
        parts.retain(|part| !part.addresses.is_empty());
        parts.sort_by_key(|part| part.addresses.first().copied());
        let total: usize = parts.iter().map(|part| part.addresses.len()).sum();
        let ends = parts.iter().map(|part| part.addresses.last());
        let apart = ends.zip(parts.iter().skip(1)).all(|(end, next)| end < next.addresses.first());
        if !apart {
            // Two allocators of a process may have mappings between each other's.
            let all = parts.into_iter().fold(Part::default(), Part::and);
            job.check()?;
            parts = vec![all.sorted()];
        }
        let mut all = Objects::joined(&parts, total);
        drop(parts);
        job.check()?;
        all.index_pages();
        Ok(all)
    }

    /// Those of parts that lie one behind the other, copied in parallel.
    fn joined(parts: &[Part], total: usize) -> Objects {
        let (spans, of_part) = spans(parts);
        let mut all = Objects {
            spans,
            starts: vec![0; total],
            sizes: vec![0; total],
            types: vec![0; total],
            ..Objects::default()
        };
        let (mut starts, mut sizes, mut types) = (&mut all.starts[..], &mut all.sizes[..], &mut all.types[..]);
        let mut work = Vec::with_capacity(parts.len());
        for (part, span) in parts.iter().zip(of_part) {
            let count = part.addresses.len();
            let room = (take(&mut starts, count), take(&mut sizes, count), take(&mut types, count));
            work.push((part, span, room));
        }
        let copied = work.into_par_iter().map(|(part, span, (starts, sizes, types))| {
            sizes.copy_from_slice(&part.sizes);
            types.copy_from_slice(&part.types);
            let offsets = part.addresses.iter().map(|address| span.offset(*address));
            starts.iter_mut().zip(offsets).all(|(start, offset)| offset.map(|offset| *start = offset).is_some())
        });
        // Of one that reaches too far they are counted one after the other.
        if !copied.collect::<Vec<bool>>().into_iter().all(|fits| fits) {
            all.spans.clear();
            all.starts.clear();
            parts.iter().flat_map(|part| &part.addresses).for_each(|address| all.push(*address));
        }
        let mut before = 0usize;
        for part in parts {
            let place = |(at, size): &(usize, u64)| Some((u32::try_from(before.checked_add(*at)?).ok()?, *size));
            all.large.extend(part.large.iter().filter_map(place));
            before = before.saturating_add(part.addresses.len());
        }
        all
    }

    fn push(&mut self, address: u64) {
        let offset = self.spans.last().and_then(|span| span.offset(address)).unwrap_or_else(|| {
            self.spans.push(Span::from(address, address, self.len()));
            0
        });
        self.starts.push(offset);
    }

    /// From the first object's address to the last one's end; `None` where there is none.
    pub fn bounds(&self) -> Option<Range<Addr>> {
        let last = self.len().checked_sub(1)?;
        Some(self.address(0)?..self.address(last)?.plus(self.bytes(last))?)
    }

    /// How many there are.
    pub fn len(&self) -> u32 {
        u32::try_from(self.starts.len()).unwrap_or(u32::MAX)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Where an object is.
    pub fn address(&self, id: ObjectId) -> Option<Addr> {
        let offset = *self.starts.get(id as usize)?;
        let span = self.spans.get(self.span(id)?)?;
        Some(Addr(span.start.wrapping_add(u64::from(offset) << span.shift)))
    }

    /// What an object takes itself.
    pub fn bytes(&self, id: ObjectId) -> u64 {
        match self.sizes.get(id as usize) {
            Some(&LARGE) => {
                let at = self.large.partition_point(|(large, _)| *large < id);
                self.large.get(at).map_or(0, |(_, size)| *size)
            }
            Some(size) => u64::from(*size),
            None => 0,
        }
    }

    /// Position of its type in the source's list.
    pub fn of_type(&self, id: ObjectId) -> usize {
        self.types.get(id as usize).map_or(usize::MAX, |of_type| *of_type as usize)
    }

    /// The object.
    pub fn get(&self, id: ObjectId) -> Option<HeapObject> {
        Some(HeapObject { address: self.address(id)?, of_type: self.of_type(id), bytes: self.bytes(id) })
    }

    /// Some of them, in their order: without looking for the span of each.
    pub fn range(&self, range: Range<ObjectId>) -> impl Iterator<Item = (ObjectId, HeapObject)> {
        let ends = self.spans.iter().skip(1).map(|span| span.first).chain([self.len()]);
        self.spans.iter().zip(ends).flat_map(move |(span, end)| {
            let (from, to) = (span.first.max(range.start), end.min(range.end));
            (from..to).filter_map(move |id| {
                let offset = *self.starts.get(id as usize)?;
                let address = Addr(span.start.wrapping_add(u64::from(offset) << span.shift));
                Some((id, HeapObject { address, of_type: self.of_type(id), bytes: self.bytes(id) }))
            })
        })
    }

    /// The object that holds an address, wherever in it that is.
    #[inline]
    pub fn holding(&self, addr: Addr) -> Option<ObjectId> {
        let (id, start) = self.last_at(addr)?;
        (addr.0.checked_sub(start)? < self.bytes(id)).then_some(id)
    }

    /// The last object that starts at an address or before it, with where it starts; none of a run that ends before the address's page.
    #[inline]
    fn last_at(&self, addr: Addr) -> Option<(ObjectId, u64)> {
        let page = addr.0 >> self.page_shift;
        let at = self.runs.partition_point(|run| run.page <= page);
        let run = *self.runs.get(at.checked_sub(1)?)?;
        let end = self.runs.get(at).map_or(self.pages.len(), |next| next.at);
        let place = run.at.saturating_add(usize::try_from(page.checked_sub(run.page)?).ok()?);
        // Behind its last page there is nothing but the rest of the run's last object.
        let after = if place < end { *self.pages.get(place)? } else { *self.pages.get(end.checked_sub(1)?)? };
        let before = if place < end && place > run.at { *self.pages.get(place.checked_sub(1)?)? } else { run.first };
        let low = if place < end { before.saturating_sub(1).max(run.first) } else { after.checked_sub(1)? };
        self.last_up_to(addr, low, after)
    }

    /// The last of the objects from `low` up to `high` that starts at an address or before it, with where it starts.
    #[inline]
    fn last_up_to(&self, addr: Addr, low: ObjectId, high: ObjectId) -> Option<(ObjectId, u64)> {
        let span = self.span(low)?;
        if span == self.span(high.checked_sub(1)?)? {
            // Nearly always: then offsets are compared, without making addresses of them.
            let Span { start, shift, .. } = *self.spans.get(span)?;
            let offset = addr.0.checked_sub(start)? >> shift;
            let starts = self.starts.get(low as usize..high as usize)?;
            let found = starts.partition_point(|at| u64::from(*at) <= offset).checked_sub(1)?;
            let at = start.wrapping_add(u64::from(*starts.get(found)?) << shift);
            return Some((low.checked_add(u32::try_from(found).ok()?)?, at));
        }
        let (mut left, mut right) = (low, high);
        while left < right {
            let middle = left.midpoint(right);
            if self.address(middle)? <= addr { left = middle.checked_add(1)? } else { right = middle }
        }
        let id = left.checked_sub(1).filter(|id| *id >= low)?;
        Some((id, self.address(id)?.0))
    }

    /// Position of the span that an object is in.
    #[inline]
    fn span(&self, id: ObjectId) -> Option<usize> {
        match self.spans.len() {
            1 => Some(0),
            _ => self.spans.partition_point(|span| span.first <= id).checked_sub(1),
        }
    }

    /// The object that begins at an address.
    pub fn at(&self, addr: Addr) -> Option<ObjectId> {
        self.last_at(addr).filter(|(_, start)| *start == addr.0).map(|(id, _)| id)
    }

    fn index_pages(&mut self) {
        self.page_shift = self.fitting_page();
        let (mut runs, mut pages): (Vec<Run>, Vec<u32>) = (Vec::new(), Vec::new());
        let mut last: Option<u64> = None;
        for (id, start) in (0u32..).zip(self.addresses()) {
            let page = start >> self.page_shift;
            if last != Some(page) {
                match last.and_then(|last| page.checked_sub(last)).filter(|distance| *distance <= MAX_GAP) {
                    // Pages in between have what the page before them has.
                    Some(distance) => pages.extend((0..distance).map(|_| id)),
                    None => {
                        runs.push(Run { page, at: pages.len(), first: id });
                        pages.push(id);
                    }
                }
            }
            if let Some(after) = pages.last_mut() {
                *after = id.saturating_add(1);
            }
            last = Some(page);
        }
        (self.runs, self.pages) = (runs, pages);
    }

    /// Where each object is, in their order: without looking for the span of each.
    fn addresses(&self) -> impl Iterator<Item = u64> {
        let ends = self.spans.iter().skip(1).map(|span| span.first as usize).chain([self.starts.len()]);
        self.spans.iter().zip(ends).flat_map(|(span, end)| {
            let starts = self.starts.get(span.first as usize..end).unwrap_or_default().iter();
            starts.map(|offset| span.start.wrapping_add(u64::from(*offset) << span.shift))
        })
    }

    /// The size of pages with which there are no more of them than a few for each [`IN_PAGE`] objects.
    fn fitting_page(&self) -> u32 {
        let (least, most) = PAGE_SHIFTS;
        // A run ends where the distance is larger than this.
        let far = MAX_GAP << most;
        let mut before = None;
        let distances = self.addresses().map(|next| {
            let one = before.replace(next).unwrap_or(next);
            next.saturating_sub(one).min(far)
        });
        let average = distances.fold(0, u64::saturating_add).checked_div(u64::from(self.len())).unwrap_or(0);
        average.saturating_mul(IN_PAGE).checked_ilog2().unwrap_or(0).clamp(least, most)
    }
}

impl Part {
    /// `left`: objects that there may be, in this part and all others.
    fn of(source: &dyn HeapSource, part: usize, left: &AtomicU64, job: &Job) -> Result<Part, Error> {
        let mut objects = Part::default();
        let (mut ascending, mut reserved) = (true, 0u64);
        source.objects(part, &mut job.meter(), &mut |object| {
            if reserved == 0 {
                reserved = RESERVED;
                if left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(reserved)).is_err() {
                    return Err(Error::Failed("there are more objects than can be counted".to_owned()));
                }
            }
            reserved = reserved.saturating_sub(1);
            ascending &= objects.addresses.last().is_none_or(|last| *last < object.address.0);
            objects.add(object);
            Ok(())
        })?;
        left.fetch_add(reserved, Ordering::Relaxed);
        Ok(if ascending { objects } else { objects.sorted() })
    }

    fn add(&mut self, object: HeapObject) {
        let small = u32::try_from(object.bytes).ok().filter(|size| *size != LARGE);
        if small.is_none() {
            self.large.push((self.addresses.len(), object.bytes));
        }
        self.addresses.push(object.address.0);
        self.bits |= object.address.0;
        self.sizes.push(small.unwrap_or(LARGE));
        self.types.push(u32::try_from(object.of_type).unwrap_or(u32::MAX));
    }

    /// Both, one behind the other.
    fn and(mut self, other: Part) -> Part {
        let before = self.addresses.len();
        self.addresses.extend(other.addresses);
        self.bits |= other.bits;
        self.sizes.extend(other.sizes);
        self.types.extend(other.types);
        self.large.extend(other.large.into_iter().map(|(at, size)| (before.saturating_add(at), size)));
        self
    }

    /// Ascending, each address once.
    fn sorted(self) -> Part {
        let sizes: std::collections::HashMap<usize, u64> = self.large.iter().copied().collect();
        let mut order: Vec<usize> = (0..self.addresses.len()).collect();
        order.sort_by_key(|at| self.addresses.get(*at).copied());
        let mut sorted = Part::default();
        for at in order {
            let of_type = self.types.get(at).map_or(usize::MAX, |of_type| *of_type as usize);
            let bytes = sizes.get(&at).copied().or_else(|| self.sizes.get(at).map(|size| u64::from(*size)));
            let (Some(address), Some(bytes)) = (self.addresses.get(at), bytes) else { continue };
            if sorted.addresses.last() != Some(address) {
                sorted.add(HeapObject { address: Addr(*address), of_type, bytes });
            }
        }
        sorted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heap::{HeapType, Visit};
    use crate::job::Meter;
    use crate::model::Problem;

    /// Parts of (address, bytes).
    struct Parts(Vec<Vec<(u64, u64)>>);

    impl HeapSource for Parts {
        fn name(&self) -> &str {
            "literals"
        }
        fn types(&self) -> &[HeapType] {
            &[]
        }
        fn parts(&self) -> usize {
            self.0.len()
        }
        fn objects(&self, part: usize, _: &mut Meter<'_>, visit: &mut Visit<'_>) -> Result<(), Error> {
            self.0[part].iter().try_for_each(|(address, bytes)| {
                visit(HeapObject { address: Addr(*address), of_type: 0, bytes: *bytes })
            })
        }
        fn problems(&self) -> Vec<Problem> {
            Vec::new()
        }
    }

    fn objects(parts: &[&[(u64, u64)]]) -> Objects {
        let parts = Parts(parts.iter().map(|part| part.to_vec()).collect());
        Objects::of(&parts, &Job::default()).expect("not cancelled")
    }

    #[test]
    fn an_address_is_found_in_the_object_that_holds_it() {
        let found = objects(&[
            &[(0x7000_0000_1010, 0x30), (0x7000_0000_1040, 0x20), (0x7000_0000_1ff0, 0x3000), (0x7000_0000_5010, 8)],
            &[(0x1003, 5), (0x1001, 1)],
        ]);
        assert_eq!(found.len(), 6);
        assert_eq!(found.address(0), Some(Addr(0x1001)), "ascending by address, whatever the parts' order");
        let holding = |addr| found.holding(Addr(addr));
        assert_eq!(
            [holding(0x1000), holding(0x1001), holding(0x1002), holding(0x1007), holding(0x1008)],
            [None, Some(0), None, Some(1), None]
        );
        assert_eq!(holding(0x7000_0000_1010), Some(2));
        assert_eq!(holding(0x7000_0000_103f), Some(2));
        assert_eq!(holding(0x7000_0000_1040), Some(3));
        assert_eq!(holding(0x7000_0000_1060), None);
        assert_eq!(
            [holding(0x7000_0000_3fff), holding(0x7000_0000_4fef), holding(0x7000_0000_4ff0)],
            [Some(4), Some(4), None]
        );
        assert_eq!(found.at(Addr(0x7000_0000_5010)), Some(5));
        assert_eq!(found.at(Addr(0x7000_0000_5011)), None);
        assert_eq!([holding(0), holding(u64::MAX)], [None, None]);
    }

    #[test]
    fn an_object_may_claim_any_size_and_none_is_found_beyond_the_next() {
        let found = objects(&[&[(0x1000, 8), (0x10_0000, u64::MAX), (0x7000_0000_0000, 16), (0x7000_0000_0008, 16)]]);
        let holding = |addr| found.holding(Addr(addr));
        assert_eq!([holding(0x1007), holding(0x1008), holding(0x6000_0000_0000)], [Some(0), None, Some(1)]);
        assert_eq!([holding(0x7000_0000_0007), holding(0x7000_0000_0010)], [Some(2), Some(3)]);
        assert_eq!(found.pages.len(), 3, "size costs nothing");
    }

    #[test]
    fn every_address_is_found_as_by_looking_through_all() {
        let mut random = 7u64;
        let mut next = |bound: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % bound
        };
        let (mut address, mut list) = (0x5000u64, Vec::new());
        for _ in 0..400 {
            // Mostly neighbours, some pages apart, some on addresses of another unit, some in another span.
            let bytes = 1 + next(200);
            list.push((address, bytes));
            address += bytes + [0, 0, 8, 40, 3, 9000, 0x100_0000, 0x1000_0000_0000][next(8) as usize].min(1 << 36);
            address = if next(3) > 0 { address.next_multiple_of(16) } else { address };
        }
        let found = objects(&[&list]);
        let plain = |addr: u64| {
            list.iter().rposition(|(start, _)| *start <= addr).filter(|at| addr - list[*at].0 < list[*at].1)
        };
        for (start, bytes) in &list {
            for addr in [start - 1, *start, start + bytes / 2, start + bytes - 1, start + bytes, start + bytes + 5000] {
                assert_eq!(found.holding(Addr(addr)).map(|id| id as usize), plain(addr), "{addr:x}");
            }
        }
    }

    /// A heap may state any number of objects: they are counted before they are kept.
    #[test]
    fn more_objects_than_can_be_counted_are_refused_as_they_come() {
        let part = |at: u64| (at..at + 600).map(|at| (at * 16, 16)).collect();
        let of = |most, parts| Objects::at_most(most, &Parts(parts), &Job::default());
        assert_eq!(of(2 * RESERVED, vec![part(0x1000), part(0x2000)]).expect("room for both").len(), 1200);
        let why =
            of(RESERVED, vec![(0x1000..0x2000).map(|at| (at * 16, 16)).collect()]).err().map(|why| why.to_string());
        assert_eq!(why.as_deref(), Some("there are more objects than can be counted"));
    }

    #[test]
    fn parts_that_lie_within_each_other_are_one() {
        let found = objects(&[&[(0x1000, 16), (0x9000, 5 << 32)], &[(0x2000, 32), (0x3000, 8)], &[], &[(0x2800, 4)]]);
        let told: Vec<_> = (0..found.len()).filter_map(|id| Some((found.address(id)?.0, found.bytes(id)))).collect();
        assert_eq!(told, [(0x1000, 16), (0x2000, 32), (0x2800, 4), (0x3000, 8), (0x9000, 5 << 32)]);
        assert_eq!(found.holding(Addr(0x2801)), Some(2));
    }

    #[test]
    fn sizes_beyond_four_gigabytes_are_kept() {
        let found = objects(&[&[(0x1000, 8), (0x10_0000, 5 << 32), (0x60_0000_0000, u64::from(LARGE))]]);
        assert_eq!((0..3).map(|id| found.bytes(id)).collect::<Vec<_>>(), [8, 5 << 32, u64::from(LARGE)]);
        assert_eq!(found.holding(Addr(0x10_0000 + (4 << 32))), Some(1));
    }
}
