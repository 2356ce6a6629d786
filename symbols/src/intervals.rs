//! Address ranges that may overlap, sorted once, searched by address.

/// Looking for the ranges that hold an address steps back over at most this many that start before it. Ranges of real files nest a few
/// deep; hostile ones must not make every question linear.
pub(crate) const MAX_STEPS_BACK: usize = 256;

/// Something that covers `start()..end()`.
pub(crate) trait Span {
    fn start(&self) -> u64;
    fn end(&self) -> u64;
}

/// Spans sorted by start, and for each the highest end of it and all before it.
#[derive(Debug)]
pub(crate) struct Intervals<T> {
    spans: Vec<T>,
    highest_end: Vec<u64>,
}

impl<T: Span> Intervals<T> {
    /// Sorts the spans; among those with one start the shorter come first, else their order stays.
    pub(crate) fn new(mut spans: Vec<T>) -> Intervals<T> {
        spans.sort_by_key(|span| (span.start(), span.end()));
        let mut highest = 0;
        let highest_end = spans
            .iter()
            .map(|span| {
                highest = highest.max(span.end());
                highest
            })
            .collect();
        Intervals { spans, highest_end }
    }

    /// All spans by start.
    pub(crate) fn all(&self) -> &[T] {
        &self.spans
    }

    /// The spans that start at or before `at`.
    pub(crate) fn starting_up_to(&self, at: u64) -> &[T] {
        let count = self.spans.partition_point(|span| span.start() <= at);
        self.spans.get(..count).unwrap_or_default()
    }

    /// The spans that hold `at`, the one that starts last first.
    pub(crate) fn containing(&self, at: u64) -> impl Iterator<Item = &T> {
        let before = self.starting_up_to(at);
        let with_end = before.iter().zip(&self.highest_end).rev().take(MAX_STEPS_BACK);
        with_end
            .take_while(move |(_, highest)| **highest > at)
            .map(|(span, _)| span)
            .filter(move |span| at < span.end())
    }
}

impl<T> Default for Intervals<T> {
    fn default() -> Intervals<T> {
        Intervals { spans: Vec::new(), highest_end: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct At(u64, u64);

    impl Span for At {
        fn start(&self) -> u64 {
            self.0
        }

        fn end(&self) -> u64 {
            self.1
        }
    }

    #[test]
    fn the_innermost_of_nested_ranges_comes_first() {
        // 10 ............. 50
        //    20 ... 30  40 .. 45
        let ranges = Intervals::new(vec![At(20, 30), At(10, 50), At(40, 45)]);
        let at = |at| ranges.containing(at).map(|span| span.0).collect::<Vec<_>>();
        assert_eq!(at(9), []);
        assert_eq!(at(10), [10]);
        assert_eq!(at(29), [20, 10]);
        assert_eq!(at(30), [10]);
        assert_eq!(at(44), [40, 10]);
        assert_eq!(at(49), [10]);
        assert_eq!(at(50), []);
    }

    #[test]
    fn empty_and_reversed_ranges_hold_nothing() {
        let ranges = Intervals::new(vec![At(5, 5), At(7, 3)]);
        assert!((0..10).all(|at| ranges.containing(at).next().is_none()));
    }
}
