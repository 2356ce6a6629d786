//! What is to be read of a process, in portions of one buffer: several threads read, each takes the next.
//!
//! Where a mapping holds pages is asked of the kernel window by window, so that the first bytes are read at once
//! however large it is.

use std::slice;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::vec;

use super::layout::{Layout, Placed};
use super::maps::Span;
use super::source::{Source, add};

/// Bytes of memory whose pages are looked up at once.
const WINDOW: u64 = 32 << 20;

/// A piece of memory on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Where it goes in the core, and where it stands in the process.
    pub(super) offset: u64,
    pub(super) address: u64,
    pub(super) len: usize,
    /// Where it stands in the buffer.
    pub(super) at: usize,
    /// Whether personal data is scrubbed out before it is written.
    pub(super) scrub: bool,
}

/// Pieces that fit into one buffer.
#[derive(Debug, Default)]
pub(super) struct Portion {
    /// How many were handed out before.
    pub(super) number: u64,
    /// One behind the other, ascending.
    pub(super) pieces: Vec<Piece>,
    /// Bytes of the dump that are done with it: its own, and those before them that hold nothing.
    pub(super) covered: u64,
}

/// What is left to be read.
pub(super) struct Work<'a> {
    source: &'a Source,
    left: Mutex<Left<'a>>,
}

struct Left<'a> {
    parts: slice::Iter<'a, Placed>,
    /// The part that is being read, and what of it is not looked at yet.
    part: Option<(&'a Placed, Span)>,
    /// What is to be read of its window.
    runs: vec::IntoIter<Span>,
    /// What is left of the run that the last portion ended in.
    run: Option<Span>,
    /// Pages that must not be asked for.
    unknown: Vec<Span>,
    portions: u64,
}

impl<'a> Work<'a> {
    pub(super) fn new(source: &'a Source, layout: &'a Layout) -> Work<'a> {
        let left = Left {
            parts: layout.parts.iter(),
            part: None,
            runs: Vec::new().into_iter(),
            run: None,
            unknown: Vec::new(),
            portions: 0,
        };
        Work { source, left: Mutex::new(left) }
    }

    /// The next pieces, of `max` bytes together at most; `None` where nothing is left, and where `stop` is set.
    pub(super) fn next(&self, max: usize, stop: &AtomicBool) -> Option<Portion> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let mut portion = Portion { number: left.portions, ..Portion::default() };
        let mut filled = 0usize;
        while filled < max && !stop.load(Ordering::Relaxed) {
            let Some((placed, run)) = left.next_run() else {
                if left.look(self.source, &mut portion.covered) {
                    continue;
                }
                break;
            };
            let len = max.saturating_sub(filled).min(usize::try_from(run.len()).unwrap_or(usize::MAX));
            let end = run.start.0.saturating_add(len as u64);
            left.run = Some(Span::new(end, run.end.0)).filter(|rest| rest.len() > 0);
            let start = placed.part.span.start.0;
            portion.pieces.push(Piece {
                offset: placed.offset.saturating_add(run.start.0.saturating_sub(start)),
                address: run.start.0,
                len,
                at: filled,
                scrub: placed.part.scrub,
            });
            filled = filled.saturating_add(len);
        }
        left.portions = left.portions.saturating_add(1);
        (filled > 0 || portion.covered > 0).then_some(portion)
    }

    /// Pages that were left out since they must not be asked for, ascending.
    pub(super) fn unknown(self) -> Vec<Span> {
        self.left.into_inner().unwrap_or_else(PoisonError::into_inner).unknown
    }
}

impl<'a> Left<'a> {
    fn next_run(&mut self) -> Option<(&'a Placed, Span)> {
        let run = self.run.take().or_else(|| self.runs.next())?;
        self.part.map(|(placed, _)| (placed, run))
    }

    /// Looks which pages of the next window hold something; false where there is none.
    fn look(&mut self, source: &Source, covered: &mut u64) -> bool {
        while self.part.is_none_or(|(_, rest)| rest.len() == 0) {
            let Some(placed) = self.parts.next() else { return false };
            self.part = Some((placed, placed.part.span)).filter(|_| placed.part.held);
        }
        let Some((placed, rest)) = &mut self.part else { return false };
        let window = Span::new(rest.start.0, rest.start.0.saturating_add(WINDOW).min(rest.end.0));
        rest.start = window.end;
        *covered = covered.saturating_add(window.len());
        let unknown = &mut self.unknown;
        self.runs = source.runs(window, placed.part.absent, |page| add(unknown, page)).into_iter();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::{Absent, Part};
    use super::*;
    use crate::capture::Access;

    fn layout(parts: &[(u64, u64, bool)]) -> Layout {
        let parts: Vec<Part> = parts
            .iter()
            .map(|(start, end, held)| Part {
                span: Span::new(*start, *end),
                access: Access { read: true, write: true, execute: false },
                held: *held,
                absent: Absent::Elsewhere,
                scrub: false,
            })
            .collect();
        Layout::new(&[], &parts)
    }

    #[test]
    fn portions_are_full_and_cross_parts() {
        let source = Source::of(std::process::id());
        let layout = layout(&[(0x10000, 0x13000, true), (0x13000, 0x20000, false), (0x20000, 0x22000, true)]);
        let work = Work::new(&source, &layout);
        let stop = AtomicBool::new(false);
        let mut seen = Vec::new();
        while let Some(portion) = work.next(0x2000, &stop) {
            let pieces = portion.pieces.iter().map(|piece| (piece.offset, piece.address, piece.len, piece.at));
            seen.push((portion.number, pieces.collect::<Vec<_>>(), portion.covered));
        }
        // One page of headers before them.
        assert_eq!(
            seen,
            [
                (0, vec![(0x1000, 0x10000, 0x2000, 0)], 0x3000),
                (1, vec![(0x3000, 0x12000, 0x1000, 0), (0x4000, 0x20000, 0x1000, 0x1000)], 0x2000),
                (2, vec![(0x5000, 0x21000, 0x1000, 0)], 0),
            ]
        );
        assert_eq!(work.unknown(), []);
    }

    #[test]
    fn a_large_part_is_looked_at_window_by_window() {
        let source = Source::of(std::process::id());
        let layout = layout(&[(0, 2 * WINDOW + 0x1000, true)]);
        let work = Work::new(&source, &layout);
        let stop = AtomicBool::new(false);
        let most = usize::try_from(WINDOW).expect("it fits");
        let covered: Vec<u64> = std::iter::from_fn(|| work.next(most, &stop)).map(|portion| portion.covered).collect();
        assert_eq!(covered, [WINDOW, WINDOW, 0x1000]);
        stop.store(true, Ordering::Relaxed);
        assert!(Work::new(&source, &layout).next(most, &stop).is_none());
    }
}
