//! A set of pages.

use std::collections::BTreeMap;

use super::maps::Span;
use super::source::PAGE;

/// Pages, kept as disjoint spans.
#[derive(Clone, Debug, Default)]
pub(super) struct Pages(BTreeMap<u64, u64>);

impl Pages {
    /// Adds the pages that a span touches; false where all of them were there.
    pub(super) fn add(&mut self, span: Span) -> bool {
        let mut start = span.start.0 / PAGE * PAGE;
        let Some(mut end) = span.end.0.checked_next_multiple_of(PAGE).filter(|end| start < *end) else { return false };
        if let Some((_, last)) = self.0.range(..=start).next_back()
            && *last >= end
        {
            return false;
        }
        // Those that overlap or adjoin become one.
        while let Some((from, to)) = self.0.range(..=end).next_back().map(|(from, to)| (*from, *to)) {
            if to < start {
                break;
            }
            self.0.remove(&from);
            start = start.min(from);
            end = end.max(to);
        }
        self.0.insert(start, end);
        true
    }

    /// Whether all pages that a span touches are there.
    pub(super) fn hold(&self, span: Span) -> bool {
        let start = span.start.0 / PAGE * PAGE;
        self.0.range(..=start).next_back().is_some_and(|(_, end)| span.end.0 <= *end)
    }

    /// All of them, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = Span> {
        self.0.iter().map(|(start, end)| Span::new(*start, *end))
    }

    /// Those that share an address with `span`, cut to it.
    pub(super) fn within(&self, span: Span) -> Vec<Span> {
        let first = self.0.range(..=span.start.0).next_back().map_or(span.start.0, |(start, _)| *start);
        let near = self.0.range(first..span.end.0);
        near.filter_map(|(start, end)| Span::new(*start, *end).common(span)).collect()
    }
}

impl Extend<Span> for Pages {
    fn extend<T: IntoIterator<Item = Span>>(&mut self, spans: T) {
        for span in spans {
            self.add(span);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(pages: &Pages) -> Vec<(u64, u64)> {
        pages.0.iter().map(|(start, end)| (*start, *end)).collect()
    }

    #[test]
    fn spans_become_pages_and_neighbours_become_one() {
        let mut pages = Pages::default();
        assert!(pages.add(Span::new(0x1010, 0x1020)));
        assert!(pages.add(Span::new(0x3000, 0x3001)));
        assert_eq!(spans(&pages), [(0x1000, 0x2000), (0x3000, 0x4000)]);
        assert!(pages.add(Span::new(0x1fff, 0x3000)));
        assert_eq!(spans(&pages), [(0x1000, 0x4000)]);
        assert!(!pages.add(Span::new(0x2000, 0x3000)));
        assert!(pages.hold(Span::new(0x1800, 0x4000)) && !pages.hold(Span::new(0x1800, 0x4001)));
        assert!(!pages.hold(Span::new(0xfff, 0x1001)));
    }

    #[test]
    fn a_span_that_covers_many_swallows_them() {
        let mut pages = Pages::default();
        for start in [0x10000, 0x12000, 0x14000, 0x20000] {
            pages.add(Span::new(start, start + 1));
        }
        pages.add(Span::new(0xf000, 0x16000));
        assert_eq!(spans(&pages), [(0xf000, 0x16000), (0x20000, 0x21000)]);
        assert_eq!(pages.within(Span::new(0x15000, 0x20800)).len(), 2);
    }

    #[test]
    fn an_empty_or_endless_span_adds_nothing() {
        let mut pages = Pages::default();
        assert!(!pages.add(Span::new(0x1000, 0x1000)));
        assert!(!pages.add(Span::new(u64::MAX - 1, u64::MAX)));
    }
}
