//! The objects of a heap by type: how many there are, and how many bytes they take.

use std::ops::Range;

use rayon::prelude::*;

use crate::error::Error;
use crate::heap::{Free, HeapObject, HeapSource, ObjectId, Objects};
use crate::job::Job;
use crate::model::Addr;

/// Which objects count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// For each type of the source whether its objects count; `None`: those of all types.
    pub types: Option<Vec<bool>>,
    /// Smallest object that counts, in bytes.
    pub min: Option<u64>,
    /// Largest object that counts, in bytes.
    pub max: Option<u64>,
    /// Where objects begin that count, ascending, none within another; `None`: wherever they are.
    pub within: Option<Vec<Range<Addr>>>,
}

impl Selection {
    /// Whether an object counts.
    pub fn has(&self, object: &HeapObject) -> bool {
        self.types.as_ref().is_none_or(|types| types.get(object.of_type).copied().unwrap_or(false))
            && self.min.is_none_or(|min| object.bytes >= min)
            && self.max.is_none_or(|max| object.bytes <= max)
            && self.within.as_ref().is_none_or(|within| has(within, object.address))
    }
}

/// Whether an address is in one of ranges that ascend.
fn has(ranges: &[Range<Addr>], at: Addr) -> bool {
    let after = ranges.partition_point(|range| range.start <= at);
    after.checked_sub(1).and_then(|index| ranges.get(index)).is_some_and(|range| range.contains(&at))
}

/// Objects together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many.
    pub count: u64,
    /// Their own bytes.
    pub bytes: u64,
}

impl Amount {
    /// Both together.
    pub fn add(&mut self, other: Amount) {
        self.count = self.count.saturating_add(other.count);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// The types that have objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Position in [`HeapSource::types`] and its objects; those with the most bytes first, then in the source's order.
    pub types: Vec<(usize, Amount)>,
    /// All of them.
    pub total: Amount,
}

/// Tables of all types that are counted in, at least, for each thread of the pool; a source may have more parts by far.
const SHARES: usize = 8;

/// Counts the objects of a heap, its parts in parallel. An object whose type is none of the source's counts in the total alone.
pub fn histogram(source: &dyn HeapSource, selection: &Selection, job: &Job) -> Result<Histogram, Error> {
    job.phase("counting objects", 0);
    let width = source.types().len();
    if selection == &Selection::default()
        && let Some(counted) = source.counted()
    {
        return Ok(Sums::of(counted).histogram());
    }
    let empty = || Sums::new(width);
    let count = |mut sums: Sums, part: usize| {
        job.check()?;
        source.objects(part, &mut job.meter(), &mut |object| {
            if selection.has(&object) {
                sums.count(&object);
            }
            Ok(())
        })?;
        Ok(sums)
    };
    let shares = rayon::current_num_threads().saturating_mul(SHARES);
    let parts = (0..source.parts()).into_par_iter().with_min_len(source.parts() / shares);
    let sums = parts.try_fold(empty, count).try_reduce(empty, Sums::and)?;
    // What a source has left out since the job was cancelled is no part of it.
    job.check()?;
    Ok(sums.histogram())
}

/// Objects that are counted by one thread, at once.
const CHUNK: u32 = 1 << 16;

/// Counts those of all objects that are wanted, in parallel. `types` is how many types the heap has.
pub fn of_objects(
    objects: &Objects,
    types: usize,
    is_wanted: &(dyn Fn(ObjectId, &HeapObject) -> bool + Sync),
    job: &Job,
) -> Result<Histogram, Error> {
    job.phase("counting objects", u64::from(objects.len()));
    let count = |chunk: u32| {
        let mut sums = Sums::new(types);
        let first = chunk.saturating_mul(CHUNK);
        for (id, object) in objects.range(first..first.saturating_add(CHUNK)) {
            if is_wanted(id, &object) {
                sums.count(&object);
            }
        }
        job.advance(u64::from(CHUNK))?;
        Ok(sums)
    };
    let chunks = (0..objects.len().div_ceil(CHUNK)).into_par_iter();
    Ok(chunks.map(count).try_reduce(|| Sums::new(types), Sums::and)?.histogram())
}

/// What was counted so far: of each type, and in all.
struct Sums(Vec<Amount>, Amount);

impl Sums {
    fn new(types: usize) -> Sums {
        Sums(vec![Amount::default(); types], Amount::default())
    }

    /// Those of each type together.
    fn of(counted: &[Free]) -> Sums {
        let amounts = counted.iter().map(|free| Amount { count: free.count, bytes: free.bytes });
        let mut sums = Sums(amounts.collect(), Amount::default());
        sums.0.iter().for_each(|amount| sums.1.add(*amount));
        sums
    }

    fn count(&mut self, object: &HeapObject) {
        let amount = Amount { count: 1, bytes: object.bytes };
        self.1.add(amount);
        if let Some(of_type) = self.0.get_mut(object.of_type) {
            of_type.add(amount);
        }
    }

    fn and(mut self, other: Sums) -> Result<Sums, Error> {
        self.0.iter_mut().zip(other.0).for_each(|(one, other)| one.add(other));
        self.1.add(other.1);
        Ok(self)
    }

    fn histogram(self) -> Histogram {
        let mut types: Vec<(usize, Amount)> = self.0.into_iter().enumerate().filter(|(_, of)| of.count > 0).collect();
        types.sort_by_key(|(_, amount)| std::cmp::Reverse(amount.bytes));
        Histogram { types, total: self.1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heap::{HeapType, Naming, Visit};
    use crate::job::Meter;
    use crate::model::{Addr, Problem};

    /// So many parts of one object each, which looks at no job and cancels one.
    struct Deaf(Vec<HeapType>, usize, Job);

    impl HeapSource for Deaf {
        fn name(&self) -> &str {
            "deaf"
        }
        fn types(&self) -> &[HeapType] {
            &self.0
        }
        fn parts(&self) -> usize {
            self.1
        }
        fn objects(&self, _: usize, _: &mut Meter<'_>, visit: &mut Visit<'_>) -> Result<(), Error> {
            self.2.cancel();
            visit(HeapObject { address: Addr(0), of_type: 0, bytes: 8 })
        }
        fn problems(&self) -> Vec<Problem> {
            Vec::new()
        }
    }

    /// Parts of (type, bytes).
    struct Parts(Vec<HeapType>, Vec<Vec<(usize, u64)>>);

    impl HeapSource for Parts {
        fn name(&self) -> &str {
            "literals"
        }
        fn types(&self) -> &[HeapType] {
            &self.0
        }
        fn parts(&self) -> usize {
            self.1.len()
        }
        fn objects(&self, part: usize, meter: &mut Meter<'_>, visit: &mut Visit<'_>) -> Result<(), Error> {
            self.1[part].iter().try_for_each(|(of_type, bytes)| {
                meter.add(1)?;
                visit(HeapObject { address: Addr(0), of_type: *of_type, bytes: *bytes })
            })
        }
        fn problems(&self) -> Vec<Problem> {
            Vec::new()
        }
    }

    fn heap() -> Parts {
        let of_type = |id, name: &str| HeapType { id: Addr(id), name: name.to_owned(), naming: Naming::Recorded };
        let types = vec![of_type(1, "Order"), of_type(2, "byte[]"), of_type(3, "Never")];
        Parts(types, vec![vec![(0, 24), (1, 100)], vec![(0, 24), (7, 8)], vec![]])
    }

    #[test]
    fn types_of_all_parts_are_added_the_largest_first() {
        let found = histogram(&heap(), &Selection::default(), &Job::default()).expect("counted");
        let order = (0, Amount { count: 2, bytes: 48 });
        assert_eq!(found.types, [(1, Amount { count: 1, bytes: 100 }), order]);
        assert_eq!(found.total, Amount { count: 4, bytes: 156 }, "with the object of an unknown type");
    }

    #[test]
    fn only_selected_objects_count() {
        let selection = Selection { types: Some(vec![true, true, true]), min: Some(25), ..Selection::default() };
        let found = histogram(&heap(), &selection, &Job::default()).expect("counted");
        assert_eq!(found.types, [(1, Amount { count: 1, bytes: 100 })]);
        assert_eq!(found.total, Amount { count: 1, bytes: 100 });
    }

    #[test]
    fn a_cancelled_job_stops_it() {
        let job = Job::default();
        job.cancel();
        assert!(matches!(histogram(&heap(), &Selection::default(), &job), Err(Error::Cancelled)));
    }
    #[test]
    fn what_was_counted_when_the_job_was_cancelled_is_no_answer() {
        for parts in [1, 2, 1000] {
            let job = Job::default();
            let found = histogram(&Deaf(Vec::new(), parts, job.clone()), &Selection::default(), &job);
            assert!(matches!(found, Err(Error::Cancelled)), "{parts} parts");
        }
    }

    #[test]
    fn many_parts_and_many_types_do_not_multiply() {
        // A table for each of the parts would be 300 GB to fill and to add.
        let types =
            (0..1 << 14).map(|id| HeapType { id: Addr(id), name: String::new(), naming: Naming::Recorded }).collect();
        let source = Deaf(types, 1 << 20, Job::default());
        let begun = std::time::Instant::now();
        let found = histogram(&source, &Selection::default(), &Job::default()).expect("counted");
        assert_eq!(found.types, [(0, Amount { count: 1 << 20, bytes: 8 << 20 })]);
        assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
    }
}
