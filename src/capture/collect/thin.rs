//! A core in memory without what is not needed of it.
//!
//! Input: the layout of the core, and the pages that are needed. Output: the layout of a core of these, and where in the first one the bytes of
//! each part are.

use std::io;

use super::layout::{Layout, Part, Placed};
use super::maps::Span;
use super::pages::Pages;
use super::sink::Sink;

/// A core that is about to be written.
pub(super) struct Thin {
    pub(super) layout: Layout,
    /// Of each part its place in the whole core.
    places: Vec<u64>,
}

impl Thin {
    /// The core of these pages. `unreadable`: what the whole one does not hold though its layout says so.
    pub(super) fn of(whole: &Layout, unreadable: &[Span], needed: &Pages) -> Thin {
        let mut parts = Vec::new();
        let mut places = Vec::new();
        for Placed { part, offset } in whole.readable(unreadable) {
            let mut at = part.span.start;
            let mut push = |span: Span, held: bool| {
                if span.start < span.end {
                    parts.push(Part { span, held, ..part });
                    places.push(offset.saturating_add(span.start.0.saturating_sub(part.span.start.0)));
                }
            };
            let held = if part.held { needed.within(part.span) } else { Vec::new() };
            for span in held {
                push(Span { start: at, end: span.start }, false);
                push(span, true);
                at = span.end;
            }
            push(Span { start: at, end: part.span.end }, false);
        }
        Thin { layout: Layout::new(whole.notes(), &parts), places }
    }

    /// Bytes of memory in it.
    pub(super) fn bytes(&self) -> u64 {
        let held = self.layout.parts.iter().filter(|placed| placed.part.held);
        held.map(|placed| placed.part.span.len()).fold(0, u64::saturating_add)
    }

    /// Writes it; `whole`: the whole core. The number of bytes that take space.
    pub(super) fn write(&self, whole: &[u8], sink: &mut Sink) -> io::Result<u64> {
        let mut written = sink.write_at(0, &self.layout.head)?;
        let held = self.layout.parts.iter().zip(&self.places).filter(|(placed, _)| placed.part.held);
        for (placed, place) in held {
            let from = usize::try_from(*place).unwrap_or(usize::MAX);
            let len = usize::try_from(placed.part.span.len()).unwrap_or(usize::MAX);
            let bytes =
                whole.get(from..from.saturating_add(len)).ok_or_else(|| io::Error::other("a part is missing"))?;
            written = written.saturating_add(sink.write_at(placed.offset, bytes)?);
        }
        sink.finish(self.layout.size)?;
        Ok(written)
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::Absent;
    use super::super::sink::Memory;
    use super::*;
    use crate::capture::Access;

    #[test]
    fn a_core_keeps_the_pages_that_are_needed_and_tells_the_others_as_mapped() {
        let access = Access { read: true, write: true, execute: false };
        let part =
            |start, end, held| Part { span: Span::new(start, end), access, held, absent: Absent::Zero, scrub: false };
        let whole = Layout::new(
            b"notes",
            &[part(0x10000, 0x13000, true), part(0x13000, 0x14000, false), part(0x20000, 0x21000, true)],
        );
        let mut bytes = whole.head.clone();
        bytes.extend([[1u8; 0x1000], [2; 0x1000], [3; 0x1000], [4; 0x1000]].concat());
        let mut needed = Pages::default();
        needed.extend([Span::new(0x11000, 0x14000), Span::new(0x20000, 0x21000)]);
        // The page at 0x12000 could not be read.
        let thin = Thin::of(&whole, &[Span::new(0x12000, 0x13000)], &needed);
        let told: Vec<(u64, u64, bool)> = thin
            .layout
            .parts
            .iter()
            .map(|placed| (placed.part.span.start.0, placed.part.span.end.0, placed.part.held))
            .collect();
        assert_eq!(
            told,
            [
                (0x10000, 0x11000, false),
                (0x11000, 0x12000, true),
                (0x12000, 0x13000, false),
                (0x13000, 0x14000, false),
                (0x20000, 0x21000, true)
            ]
        );
        assert_eq!((thin.bytes(), thin.layout.notes()), (0x2000, &b"notes"[..]));
        let mut sink = Sink::Memory(Memory::default());
        sink.expect(thin.bytes(), thin.layout.most()).expect("there is memory");
        thin.write(&bytes, &mut sink).expect("written");
        let Sink::Memory(memory) = sink else { panic!("it is memory") };
        let core = memory.into_bytes().expect("a core");
        let placed = |index: usize| usize::try_from(thin.layout.parts[index].offset).expect("an offset");
        assert_eq!((core[placed(1)], core[placed(4)], core.len()), (2, 4, placed(4) + 0x1000));
    }
}
