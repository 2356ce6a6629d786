//! How many objects of each size a generation has, and how many gaps.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::segment::Generation;
use super::segments::Segments;
use crate::error::Error;
use crate::job::Job;
use crate::model::Addr;
use crate::runtimes::coreclr::types::Types;

/// By their bytes how many there are.
pub type BySize = BTreeMap<u64, u64>;

/// Objects of a generation by their sizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// The generation, of all heaps together.
    pub generation: Generation,
    /// Objects.
    pub objects: BySize,
    /// What fills gaps between them.
    pub free: BySize,
    /// Bytes that could not be read.
    pub left_out: u64,
}

impl Segments {
    /// Objects by generation and size, the youngest first. Walks the heap.
    pub(in crate::runtimes::coreclr) fn sizes(&self, types: Types<'_>, job: &Job) -> Result<Vec<Sizes>, Error> {
        let filler = types.clr.global("FreeObjectMethodTable").unwrap_or(Addr(0));
        let of_segment = |segment: &super::Segment| {
            let mut sizes = Sizes::of(segment.generation);
            let broken = self.walk_past(types, segment, &mut job.meter(), &mut |object| {
                let of = if object.table == filler { &mut sizes.free } else { &mut sizes.objects };
                let count = of.entry(object.bytes).or_default();
                *count = count.saturating_add(1);
                Ok(())
            })?;
            sizes.left_out = broken.iter().map(super::Broken::bytes).fold(0, u64::saturating_add);
            Ok(sizes)
        };
        let all: Vec<Sizes> = self.all.par_iter().map(of_segment).collect::<Result<_, Error>>()?;
        let mut together: BTreeMap<Generation, Sizes> = BTreeMap::new();
        for sizes in all {
            together.entry(sizes.generation).or_insert_with(|| Sizes::of(sizes.generation)).add(sizes);
        }
        Ok(together.into_values().collect())
    }
}

impl Sizes {
    fn of(generation: Generation) -> Sizes {
        Sizes { generation, objects: BySize::new(), free: BySize::new(), left_out: 0 }
    }

    fn add(&mut self, other: Sizes) {
        for (own, more) in [(&mut self.objects, other.objects), (&mut self.free, other.free)] {
            for (bytes, count) in more {
                let sum = own.entry(bytes).or_default();
                *sum = sum.saturating_add(count);
            }
        }
        self.left_out = self.left_out.saturating_add(other.left_out);
    }
}
