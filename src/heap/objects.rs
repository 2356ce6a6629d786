//! All objects of a heap, sorted by address, in twelve bytes each: what a graph counts in.

use std::ops::Range;

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

/// Objects of one address unit of look-up.
const PAGE_SHIFT: u32 = 12;
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
    /// Of each part the first object.
    parts: Vec<ObjectId>,
    /// Per run of pages: the first page's number, the first of its entries in `pages`, and how many.
    runs: Vec<(u64, usize, usize)>,
    /// Of each page the last object that starts in it or before it, plus one.
    pages: Vec<u32>,
}

struct Part {
    addresses: Vec<u64>,
    sizes: Vec<u32>,
    types: Vec<u32>,
    large: Vec<(usize, u64)>,
}

impl Objects {
    /// Lists the objects of a heap, its parts in parallel. A part whose objects do not ascend is sorted. Fails where there are more than
    /// `u32::MAX` objects, and where the job is cancelled.
    pub fn of(source: &dyn HeapSource, job: &Job) -> Result<Objects, Error> {
        job.phase("listing objects", 0);
        let parts: Vec<Part> = (0..source.parts())
            .into_par_iter()
            .map(|part| Part::of(source, part, job))
            .collect::<Result<_, Error>>()?;
        let mut order: Vec<usize> = (0..parts.len()).collect();
        order.sort_by_key(|part| parts.get(*part).and_then(|part| part.addresses.first().copied()));
        let total: usize = parts.iter().map(|part| part.addresses.len()).sum();
        if u32::try_from(total).is_err() {
            return Err(Error::Failed(format!("{total} objects are more than can be counted")));
        }
        let mut all = Objects {
            starts: Vec::with_capacity(total),
            sizes: Vec::with_capacity(total),
            types: Vec::with_capacity(total),
            parts: vec![0; parts.len()],
            ..Objects::default()
        };
        let mut parts: Vec<Option<Part>> = parts.into_iter().map(Some).collect();
        for at in order {
            let Some(part) = parts.get_mut(at).and_then(Option::take) else { continue };
            let first = all.len();
            if let Some(slot) = all.parts.get_mut(at) {
                *slot = first;
            }
            all.append(part);
            job.check()?;
        }
        all.index_pages();
        Ok(all)
    }

    fn append(&mut self, part: Part) {
        let before = self.starts.len();
        for address in part.addresses {
            self.push(address);
        }
        self.sizes.extend(part.sizes);
        self.types.extend(part.types);
        let large =
            part.large.into_iter().filter_map(|(at, size)| Some((u32::try_from(before.checked_add(at)?).ok()?, size)));
        self.large.extend(large);
    }

    fn push(&mut self, address: u64) {
        let first = self.len();
        let fits = |span: &Span| {
            let distance = address.checked_sub(span.start)?;
            let offset = u32::try_from(distance >> span.shift).ok()?;
            (u64::from(offset) << span.shift == distance).then_some(offset)
        };
        let offset = self.spans.last().and_then(fits).unwrap_or_else(|| {
            let shift = if address.is_multiple_of(16) {
                4
            } else if address.is_multiple_of(8) {
                3
            } else {
                0
            };
            self.spans.push(Span { start: address, shift, first });
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

    /// The first object of a part.
    pub fn first_of(&self, part: usize) -> ObjectId {
        self.parts.get(part).copied().unwrap_or(self.len())
    }

    /// Where an object is.
    pub fn address(&self, id: ObjectId) -> Option<Addr> {
        let offset = *self.starts.get(id as usize)?;
        let span = self.spans.get(self.spans.partition_point(|span| span.first <= id).checked_sub(1)?)?;
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

    /// The object that holds an address, wherever in it that is.
    #[inline]
    pub fn holding(&self, addr: Addr) -> Option<ObjectId> {
        let page = addr.0 >> PAGE_SHIFT;
        let run = self.runs.partition_point(|(first, ..)| *first <= page).checked_sub(1)?;
        let (first, at, count) = *self.runs.get(run)?;
        let inside = usize::try_from(page.checked_sub(first)?).ok()?;
        if inside >= count {
            return None;
        }
        // Objects that start in this page, and the last one before it.
        let last = *self.pages.get(at.checked_add(inside)?)?;
        let before = match inside.checked_sub(1) {
            Some(before) => *self.pages.get(at.checked_add(before)?)?,
            None => 0,
        };
        let mut low = before.saturating_sub(1);
        let mut high = last;
        while low < high {
            let middle = low.midpoint(high);
            if self.address(middle)? <= addr { low = middle.checked_add(1)? } else { high = middle }
        }
        let id = low.checked_sub(1)?;
        let start = self.address(id)?;
        (addr.0.wrapping_sub(start.0) < self.bytes(id)).then_some(id)
    }

    /// The object that begins at an address.
    pub fn at(&self, addr: Addr) -> Option<ObjectId> {
        self.holding(addr).filter(|id| self.address(*id) == Some(addr))
    }

    fn index_pages(&mut self) {
        let mut run: Option<(u64, usize, u64)> = None;
        for id in 0..self.len() {
            let (Some(start), bytes) = (self.address(id), self.bytes(id)) else { continue };
            let first = start.0 >> PAGE_SHIFT;
            let last = start.0.saturating_add(bytes.saturating_sub(1)) >> PAGE_SHIFT;
            // A run goes on where the pages of the next object adjoin its own.
            let goes_on = run.is_some_and(|(_, _, next)| first <= next);
            if !goes_on {
                self.close(run);
                run = Some((first, self.pages.len(), first));
            }
            if let Some((begin, at, next)) = run.as_mut() {
                // Pages that were covered before this object keep what they had; its own end with it.
                let end = last.saturating_add(1).max(*next);
                let count = usize::try_from(end.saturating_sub(*begin)).unwrap_or(usize::MAX);
                let from = usize::try_from(first.saturating_sub(*begin)).unwrap_or(usize::MAX);
                let after = id.saturating_add(1);
                let wanted = at.saturating_add(count);
                if self.pages.len() < wanted {
                    self.pages.resize(wanted, after);
                }
                for slot in self.pages.iter_mut().skip(at.saturating_add(from)) {
                    *slot = after;
                }
                *next = end;
            }
        }
        self.close(run);
    }

    fn close(&mut self, run: Option<(u64, usize, u64)>) {
        if let Some((first, at, _)) = run {
            self.runs.push((first, at, self.pages.len().saturating_sub(at)));
        }
    }
}

impl Part {
    fn of(source: &dyn HeapSource, part: usize, job: &Job) -> Result<Part, Error> {
        let mut objects = Part { addresses: Vec::new(), sizes: Vec::new(), types: Vec::new(), large: Vec::new() };
        let mut ascending = true;
        source.objects(part, &mut job.meter(), &mut |object| {
            ascending &= objects.addresses.last().is_none_or(|last| *last < object.address.0);
            objects.add(object);
            Ok(())
        })?;
        Ok(if ascending { objects } else { objects.sorted() })
    }

    fn add(&mut self, object: HeapObject) {
        let small = u32::try_from(object.bytes).ok().filter(|size| *size != LARGE);
        if small.is_none() {
            self.large.push((self.addresses.len(), object.bytes));
        }
        self.addresses.push(object.address.0);
        self.sizes.push(small.unwrap_or(LARGE));
        self.types.push(u32::try_from(object.of_type).unwrap_or(u32::MAX));
    }

    /// Ascending, each address once.
    fn sorted(self) -> Part {
        let sizes: std::collections::HashMap<usize, u64> = self.large.iter().copied().collect();
        let mut order: Vec<usize> = (0..self.addresses.len()).collect();
        order.sort_by_key(|at| self.addresses.get(*at).copied());
        let mut sorted = Part { addresses: Vec::new(), sizes: Vec::new(), types: Vec::new(), large: Vec::new() };
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
        assert_eq!((found.first_of(1), found.first_of(0)), (0, 2), "ascending by address, whatever the parts' order");
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
    fn sizes_beyond_four_gigabytes_are_kept() {
        let found = objects(&[&[(0x1000, 8), (0x10_0000, 5 << 32), (0x60_0000_0000, u64::from(LARGE))]]);
        assert_eq!((0..3).map(|id| found.bytes(id)).collect::<Vec<_>>(), [8, 5 << 32, u64::from(LARGE)]);
        assert_eq!(found.holding(Addr(0x10_0000 + (4 << 32))), Some(1));
    }
}
