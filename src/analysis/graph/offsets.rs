//! Where the list of each of many begins in one array of all lists: four bytes each, however long the array is.

use std::ops::Range;

use rayon::prelude::*;

use crate::error::Error;

/// So many share a base that counts in eight bytes.
const BLOCK_SHIFT: u32 = 16;
const BLOCK: usize = 1 << BLOCK_SHIFT;

/// The beginnings of lists that stand one after the other.
#[derive(Debug, Default)]
pub(super) struct Offsets {
    /// From the base of its block; one more than there are lists.
    starts: Vec<u32>,
    bases: Vec<u64>,
    total: u64,
}

impl Offsets {
    /// Lists of these lengths, in order. Fails where those of one block are too long together.
    pub(super) fn of(lengths: Vec<u32>) -> Result<Offsets, Error> {
        let mut starts = lengths;
        starts.push(0);
        let sum = |block: &[u32]| block.iter().map(|length| u64::from(*length)).fold(0, u64::saturating_add);
        let sums: Vec<u64> = starts.par_chunks(BLOCK).map(sum).collect();
        starts.par_chunks_mut(BLOCK).try_for_each(|block| {
            let mut total = 0u64;
            block.iter_mut().try_for_each(|slot| {
                let length = *slot;
                *slot = relative(total, 0)?;
                total = total.saturating_add(u64::from(length));
                Ok(())
            })
        })?;
        let (mut bases, mut total) = (Vec::with_capacity(sums.len()), 0u64);
        for sum in sums {
            bases.push(total);
            total = total.saturating_add(sum);
        }
        Ok(Offsets { starts, bases, total })
    }

    /// The same, but each says where its list ends, until [`Offsets::take`] was called as often as the list is long.
    pub(super) fn to_be_filled(lengths: Vec<u32>) -> Result<Offsets, Error> {
        let mut offsets = Offsets { starts: lengths, bases: Vec::new(), total: 0 };
        offsets.starts.push(0);
        let (mut base, mut total) = (0u64, 0u64);
        for (at, slot) in offsets.starts.iter_mut().enumerate() {
            if at.trailing_zeros() >= BLOCK_SHIFT {
                base = total;
                offsets.bases.push(base);
            }
            total = total.saturating_add(u64::from(*slot));
            *slot = relative(total, base)?;
        }
        offsets.total = total;
        Ok(offsets)
    }

    /// The last free place of a list that is being filled.
    pub(super) fn take(&mut self, list: u32) -> Option<usize> {
        let base = *self.bases.get((list >> BLOCK_SHIFT) as usize)?;
        let slot = self.starts.get_mut(list as usize)?;
        *slot = slot.checked_sub(1)?;
        usize::try_from(base.checked_add(u64::from(*slot))?).ok()
    }

    /// How long all lists are together.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// How many lists there are.
    pub(super) fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Where a list is.
    #[inline]
    pub(super) fn range(&self, list: u32) -> Range<usize> {
        let next = list.saturating_add(1);
        self.start(list).zip(self.start(next)).map_or(0..0, |(start, end)| start..end)
    }

    #[inline]
    fn start(&self, list: u32) -> Option<usize> {
        let base = *self.bases.get((list >> BLOCK_SHIFT) as usize)?;
        let start = *self.starts.get(list as usize)?;
        usize::try_from(base.checked_add(u64::from(start))?).ok()
    }
}

fn relative(total: u64, base: u64) -> Result<u32, Error> {
    u32::try_from(total.saturating_sub(base))
        .map_err(|_| Error::Failed("more references than can be counted".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_stand_one_after_the_other_in_every_block() {
        let lengths: Vec<u32> = (0..200_000).map(|at| at % 3).collect();
        let offsets = Offsets::of(lengths.clone()).expect("few");
        let mut filled = Offsets::to_be_filled(lengths.clone()).expect("few");
        for (list, length) in (0u32..).zip(&lengths) {
            (0..*length).for_each(|_| assert!(filled.take(list).is_some()));
        }
        let mut start = 0;
        for (list, length) in (0u32..).zip(&lengths) {
            let end = start + *length as usize;
            assert_eq!((offsets.range(list), filled.range(list)), (start..end, start..end), "{list}");
            start = end;
        }
        assert_eq!((offsets.total(), offsets.len()), (start as u64, 200_000));
        assert_eq!(offsets.range(200_000), 0..0, "there is no such list");
    }

    #[test]
    fn more_than_four_billion_are_counted_across_blocks() {
        let lengths: Vec<u32> = (0u32..131_073).map(|at| if at % 65_536 == 0 { u32::MAX } else { 0 }).collect();
        let offsets = Offsets::of(lengths).expect("each block is small enough");
        assert_eq!(offsets.range(65_536), (u32::MAX as usize)..(2 * u32::MAX as usize));
        assert!(Offsets::of(vec![u32::MAX, 1, 0]).is_err(), "of one block they are not");
    }
}
