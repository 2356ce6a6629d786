//! Books that are walked part by part, and what of them cannot be right.

use std::ops::Range;
use std::sync::Arc;

use crate::error::Error;
use crate::job::{Job, Meter, Shared};
use crate::model::{Addr, Problem, Subject};

/// Items of a part.
const PART: usize = 4096;

/// Parts of an allocator's books: what the walk of each counted, once it was walked.
pub(super) struct Parts<W> {
    items: usize,
    walked: Vec<Shared<W>>,
}

impl<W> Parts<W> {
    /// The parts of so many items.
    pub(super) fn of(items: usize) -> Parts<W> {
        Parts { items, walked: (0..items.div_ceil(PART)).map(|_| Shared::default()).collect() }
    }

    pub(super) fn count(&self) -> usize {
        self.walked.len()
    }

    fn range(&self, part: usize) -> Range<usize> {
        let from = part.saturating_mul(PART);
        from..from.saturating_add(PART).min(self.items)
    }

    /// Walks a part, whatever is known of it, and keeps what was counted.
    pub(super) fn walk(
        &self,
        part: usize,
        meter: &mut Meter<'_>,
        walk: impl FnOnce(Range<usize>, &mut Meter<'_>) -> Result<W, Error>,
    ) -> Result<(), Error> {
        let Some(walked) = self.walked.get(part) else { return Ok(()) };
        let counted = walk(self.range(part), meter)?;
        walked.get(meter.job(), |_| Ok(counted)).map(drop)
    }

    /// What the walk of each part counted. Walks those that were not walked yet.
    pub(super) fn all(
        &self,
        job: &Job,
        walk: impl Fn(Range<usize>, &mut Meter<'_>) -> Result<W, Error>,
    ) -> Result<Vec<Arc<W>>, Error> {
        let of_part =
            |(part, walked): (usize, &Shared<W>)| walked.get(job, |job| walk(self.range(part), &mut job.meter()));
        self.walked.iter().enumerate().map(of_part).collect()
    }

    /// What the walks so far counted.
    pub(super) fn known(&self) -> impl Iterator<Item = Arc<W>> {
        self.walked.iter().filter_map(Shared::known)
    }
}

/// What cannot be right, or not be read: how many of a kind, and where the first is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Odd {
    pub count: usize,
    first: u64,
}

impl Odd {
    pub(super) fn add(&mut self, at: u64) {
        if self.count == 0 {
            self.first = at;
        }
        self.count = self.count.saturating_add(1);
    }

    /// All of both.
    pub(super) fn and(self, more: Odd) -> Odd {
        let first = if self.count == 0 { more.first } else { self.first };
        Odd { count: self.count.saturating_add(more.count), first }
    }

    /// Says it of the first, where there is one. `message` is told how many there are, and where the first is.
    pub(super) fn told(&self, code: &'static str, message: impl FnOnce(usize, Addr) -> String) -> Option<Problem> {
        let first = Addr(self.first);
        (self.count > 0).then(|| Problem::new(code, Subject::Memory(first), message(self.count, first)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_all_items_once() {
        let parts: Parts<Range<usize>> = Parts::of(2 * PART + 1);
        let all = parts.all(&Job::default(), |range, _| Ok(range)).expect("not cancelled");
        assert_eq!(all.iter().map(|range| range.len()).collect::<Vec<_>>(), [PART, PART, 1]);
        assert_eq!(parts.known().last().as_deref(), Some(&(2 * PART..2 * PART + 1)));
        assert_eq!(Parts::<()>::of(0).count(), 0);
    }

    #[test]
    fn the_first_that_is_odd_is_told_with_how_many_there_are() {
        let mut odd = Odd::default();
        assert_eq!(odd.told("heap-damaged", |_, _| String::new()), None);
        odd.add(0x7000);
        odd.add(0x10);
        let all = Odd::default().and(odd).and(odd);
        let problem = all.told("heap-damaged", |count, first| format!("{count} from {first}")).expect("a problem");
        assert_eq!((problem.about, problem.message.as_str()), (Subject::Memory(Addr(0x7000)), "4 from 0x7000"));
    }
}
