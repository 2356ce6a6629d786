//! Which pages of a dump were read: what an answer needs of it.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::Addr;

const PAGE: u64 = 4096;

/// Pages of some runs of memory, each read or not.
#[derive(Debug, Default)]
pub struct Touched {
    /// First page and number of pages of each run, and the bit of its first one; ascending.
    runs: Vec<(u64, u64, u64)>,
    bits: Vec<AtomicU64>,
}

impl Touched {
    /// Nothing of these runs (ascending, disjoint) is read yet.
    pub(super) fn nothing_of(held: impl Iterator<Item = Range<Addr>>) -> Touched {
        let mut runs = Vec::new();
        let mut next = 0u64;
        for run in held {
            let first = run.start.0 / PAGE;
            let pages = run.end.0.div_ceil(PAGE).saturating_sub(first);
            runs.push((first, pages, next));
            next = next.saturating_add(pages);
        }
        let words = usize::try_from(next.div_ceil(64)).unwrap_or(0);
        Touched { runs, bits: (0..words).map(|_| AtomicU64::new(0)).collect() }
    }

    /// So many bytes were read, of one run.
    pub(super) fn add(&self, addr: Addr, len: u64) {
        let (first, last) = (addr.0 / PAGE, addr.0.saturating_add(len.saturating_sub(1)) / PAGE);
        let after = self.runs.partition_point(|(start, _, _)| *start <= first);
        let Some((start, pages, bit)) = after.checked_sub(1).and_then(|index| self.runs.get(index)) else { return };
        for page in first..=last {
            let into = page.saturating_sub(*start);
            if into >= *pages {
                return;
            }
            let bit = bit.saturating_add(into);
            if let Some(word) = usize::try_from(bit / 64).ok().and_then(|index| self.bits.get(index)) {
                // A look first: most of what is read was read before, by others at the same time.
                if word.load(Ordering::Relaxed) >> (bit % 64) & 1 == 0 {
                    word.fetch_or(1 << (bit % 64), Ordering::Relaxed);
                }
            }
        }
    }

    /// The pages that were read, ascending.
    pub fn pages(&self) -> Vec<Range<Addr>> {
        let is_read = |bit: u64| {
            let word = usize::try_from(bit / 64).ok().and_then(|index| self.bits.get(index));
            word.is_some_and(|word| word.load(Ordering::Relaxed) >> (bit % 64) & 1 == 1)
        };
        let mut pages: Vec<Range<Addr>> = Vec::new();
        for (first, count, bit) in &self.runs {
            for into in (0..*count).filter(|into| is_read(bit.saturating_add(*into))) {
                let start = Addr(first.saturating_add(into).saturating_mul(PAGE));
                let end = Addr(start.0.saturating_add(PAGE));
                match pages.last_mut() {
                    Some(last) if last.end == start => last.end = end,
                    _ => pages.push(start..end),
                }
            }
        }
        pages
    }
}

#[cfg(test)]
mod tests {
    use crate::capture::Memory;
    use crate::model::Addr;

    #[test]
    fn pages_that_are_read_are_told() {
        let mut memory = Memory::of_bytes(0x10000, &[7; 0x5000]);
        let touched = memory.record();
        assert_eq!(touched.pages(), []);
        assert_eq!(memory.u8(Addr(0x10fff)), Ok(7));
        assert!(memory.u64(Addr(0x20000)).is_err(), "nothing is there");
        assert_eq!(touched.pages(), [Addr(0x10000)..Addr(0x11000)]);
        // Over the end of a page, and what is read without a copy.
        assert!(memory.u64(Addr(0x11ffc)).is_ok() && memory.slice(Addr(0x14000), 0x10).is_ok());
        assert_eq!(touched.pages(), [Addr(0x10000)..Addr(0x13000), Addr(0x14000)..Addr(0x15000)]);
    }
}
