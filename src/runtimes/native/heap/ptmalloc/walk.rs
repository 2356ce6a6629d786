//! One stretch of memory, chunk by chunk.
//!
//! A chunk states its size; whether it is in use stands with the next one. What lies in a free list that leaves this
//! mark alone (caches of threads, fast bins) is told by its address. Where a chunk cannot be one, the next place is
//! looked for from which chunks lead to the stretch's end, or to a chunk that is known.

use super::layout::{ALIGNMENT, FENCE, FLAGS, HEADER, IS_MAPPED, MIN_CHUNK, NOT_MAIN, PREV_IN_USE};
use crate::capture::Memory;
use crate::error::Error;
use crate::heap::Free;
use crate::job::Meter;
use crate::model::Addr;
use crate::runtimes::native::heap::allocator::{Block, Visit};
use crate::runtimes::native::heap::reading::Window;

/// Chunks in a row that are believed though they lead to nothing that is known.
const BELIEVED: u32 = 4096;
/// Places and chunks that are looked at in all where a stretch is damaged.
const MAX_LOOKS: u64 = 1 << 26;
/// Most damages of a stretch; behind the last it is left.
const MAX_DAMAGES: usize = 256;
/// Chunks that are counted at once.
const BATCH: u64 = 256;

/// A stretch of memory that one arena fills with chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Position of its arena.
    pub arena: usize,
    /// The first chunk.
    pub start: u64,
    /// Behind the last chunk: where the arena's topmost chunk begins, or the mark at the end of a heap.
    pub end: u64,
    /// Whether the last chunk is no block but the fence in front of that mark.
    pub fenced: bool,
    /// Whether it belongs to the main arena.
    pub main: bool,
}

impl Run {
    /// The run in pieces of about so many bytes, cut at chunks that are known: `known`, ascending.
    pub(super) fn cut(self, bytes: u64, known: &[u64]) -> Vec<Run> {
        let mut pieces = Vec::new();
        let mut rest = self;
        loop {
            let wanted = rest.start.saturating_add(bytes);
            let cut = known.get(known.partition_point(|chunk| *chunk < wanted)).copied();
            match cut.filter(|cut| *cut < rest.end.saturating_sub(bytes / 2)) {
                Some(cut) => {
                    pieces.push(Run { end: cut, fenced: false, ..rest.clone() });
                    rest.start = cut;
                }
                None => break,
            }
        }
        pieces.push(rest);
        pieces
    }
}

/// What a walk counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Walked {
    /// Blocks in use.
    pub used: Free,
    /// Free chunks that their neighbours know: those of the bins.
    pub binned: Free,
    pub damages: Vec<Damage>,
}

/// A place where chunks do not follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Damage {
    /// Where a chunk should be.
    pub at: u64,
    pub kind: DamageKind,
    /// The chunk before it: its address and size.
    pub before: Option<(u64, u64)>,
    /// Where the walk goes on; `None`: nowhere.
    pub resumed: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DamageKind {
    /// Its size is none.
    Size(u64),
    /// Marked free by the next chunk, which has another size of it.
    Footer { size: u64, stated: u64 },
    /// It, or what follows it, is not in the dump.
    Unreadable,
}

/// The walk of a run.
struct Walk<'a> {
    memory: &'a Memory,
    window: Window<'a>,
    run: &'a Run,
    /// Chunks of free lists, ascending.
    known: &'a [u64],
    looks: u64,
}

/// Tells `visit` the blocks in use of a run. `cached`: chunks of caches and fast bins, ascending, of this run or more.
pub(super) fn walk(
    memory: &Memory,
    run: &Run,
    cached: &[u64],
    meter: &mut Meter<'_>,
    visit: &mut Visit<'_>,
) -> Result<Walked, Error> {
    let from = cached.partition_point(|chunk| *chunk < run.start);
    let cached = cached.get(from..).unwrap_or_default();
    let cached = cached.get(..cached.partition_point(|chunk| *chunk < run.end)).unwrap_or_default();
    let mut walk = Walk { memory, window: Window::new(memory), run, known: cached, looks: MAX_LOOKS };
    let mut walked = Walked::default();
    let mut cached = cached.iter().copied();
    let mut next_cached = cached.next().unwrap_or(u64::MAX);
    let mut pending = 0u64;
    let forbidden = walk.forbidden();
    let mut at = run.start;
    let mut before = None;
    let mut header = walk.window.u64(at.saturating_add(8));
    while at < run.end {
        pending = pending.saturating_add(1);
        if pending >= BATCH {
            meter.add(std::mem::take(&mut pending))?;
        }
        let word = header.unwrap_or(0);
        let size = word & !FLAGS;
        let end = at.saturating_add(size);
        let behind = walk.window.u64(end.saturating_add(8));
        let is_chunk = size >= MIN_CHUNK && word & forbidden == 0 && end <= run.end;
        let next = match behind {
            // The chunk behind must be there too: it tells of this one.
            Some(next) if is_chunk => next,
            _ if header.is_some() && word & forbidden == 0 && size == FENCE => {
                // Two of these end a piece of the main arena's memory; one ends a heap.
                let again = behind.is_some_and(|next| next & !FLAGS == FENCE);
                let fence = at;
                at = if again { end.saturating_add(FENCE) } else { end };
                if at < run.end {
                    // What lies between belongs to whoever moved the break.
                    let is_there = walk.window.u64(at.saturating_add(8)).is_some();
                    let Some(resumed) = walk.resume(at, run.end, meter)? else {
                        let kind = if is_there { DamageKind::Size(word) } else { DamageKind::Unreadable };
                        walked.damages.push(Damage { at: fence, kind, before, resumed: None });
                        break;
                    };
                    at = resumed;
                }
                header = walk.window.u64(at.saturating_add(8));
                before = None;
                continue;
            }
            _ => {
                // A chunk that leads out of the dump is none that is damaged.
                let is_left_out = header.is_none() || (is_chunk && behind.is_none());
                let kind = if is_left_out { DamageKind::Unreadable } else { DamageKind::Size(word) };
                let resumed = if walked.damages.len() < MAX_DAMAGES {
                    walk.resume(at.saturating_add(ALIGNMENT), run.end, meter)?
                } else {
                    None
                };
                walked.damages.push(Damage { at, kind, before, resumed });
                let Some(resumed) = resumed else { break };
                at = resumed;
                header = walk.window.u64(at.saturating_add(8));
                before = None;
                continue;
            }
        };
        while next_cached < at {
            next_cached = cached.next().unwrap_or(u64::MAX);
        }
        if !walk.may_follow(end, next) {
            // Which of the two is damaged? If chunks begin before the end that this one states, it is this one.
            let resumed = walk.resume(at.saturating_add(MIN_CHUNK), end, meter)?;
            if next_cached != at {
                walked.count(at, resumed.map_or(size, |resumed| resumed.saturating_sub(at)), visit)?;
            }
            if let Some(resumed) = resumed {
                walked.damages.push(Damage { at, kind: DamageKind::Size(word), before, resumed: Some(resumed) });
                at = resumed;
                header = walk.window.u64(at.saturating_add(8));
                before = None;
                continue;
            }
            before = Some((at, size));
            at = end;
            header = Some(next);
            continue;
        }
        if next & PREV_IN_USE == 0 {
            let stated = walk.window.u64(end);
            if stated == Some(size) {
                walked.binned.count = walked.binned.count.saturating_add(1);
                walked.binned.bytes = walked.binned.bytes.saturating_add(size);
            } else {
                let kind = DamageKind::Footer { size, stated: stated.unwrap_or(0) };
                if walked.damages.len() < MAX_DAMAGES {
                    walked.damages.push(Damage { at, kind, before, resumed: Some(end) });
                }
                walked.count(at, size, visit)?;
            }
        } else if next_cached != at && !(end == run.end && run.fenced) {
            walked.count(at, size, visit)?;
        }
        before = Some((at, size));
        at = end;
        header = Some(next);
    }
    meter.add(pending)?;
    Ok(walked)
}

impl Walked {
    #[inline]
    fn count(&mut self, at: u64, size: u64, visit: &mut Visit<'_>) -> Result<(), Error> {
        self.used.count = self.used.count.saturating_add(1);
        self.used.bytes = self.used.bytes.saturating_add(size);
        visit(Block { address: Addr(at.saturating_add(HEADER)), bytes: size })
    }
}

impl Walk<'_> {
    /// Bits that no chunk of the run has in its size.
    fn forbidden(&self) -> u64 {
        let foreign = if self.run.main { NOT_MAIN } else { 0 };
        IS_MAPPED | (ALIGNMENT / 2) | foreign
    }

    /// Whether a chunk with this header may be at an address.
    #[inline]
    fn may_follow(&self, at: u64, header: u64) -> bool {
        let size = header & !FLAGS;
        let fits = size >= FENCE && at.saturating_add(size) <= self.run.end;
        at == self.run.end || (fits && header & self.forbidden() == 0)
    }

    /// The first place from `from` on, before `to`, where chunks begin that lead somewhere.
    fn resume(&mut self, from: u64, to: u64, meter: &mut Meter<'_>) -> Result<Option<u64>, Error> {
        let mut at = from.next_multiple_of(ALIGNMENT);
        while at < to && self.looks > 0 {
            self.looks = self.looks.saturating_sub(1);
            if self.looks.is_multiple_of(1 << 16) {
                meter.add(0)?;
            }
            if self.window.u64(at.saturating_add(8)).is_none() {
                // Over what the dump leaves out.
                let memory = self.memory;
                let next = memory.segments().partition_point(|segment| segment.start.0 <= at);
                let Some(segment) = memory.segments().get(next) else { return Ok(None) };
                at = segment.start.0.next_multiple_of(ALIGNMENT);
                continue;
            }
            if self.leads_on(at) {
                return Ok(Some(at));
            }
            let Some(next) = at.checked_add(ALIGNMENT) else { break };
            at = next;
        }
        Ok(None)
    }

    /// Whether chunks from here lead to the end, to a fence or to a chunk that is known, or go on for long.
    fn leads_on(&mut self, from: u64) -> bool {
        let forbidden = self.forbidden();
        let mut at = from;
        let mut known = self.known.iter().skip(self.known.partition_point(|chunk| *chunk <= from)).copied().peekable();
        for steps in 0..BELIEVED {
            let Some(word) = self.window.u64(at.saturating_add(8)) else { return false };
            let size = word & !FLAGS;
            let end = at.saturating_add(size);
            if word & forbidden != 0 || end > self.run.end {
                return false;
            }
            if size == FENCE && steps > 0 {
                return true;
            }
            if size < MIN_CHUNK {
                return false;
            }
            while known.next_if(|chunk| *chunk < end).is_some() {}
            let Some(next) = self.window.u64(end.saturating_add(8)) else { return false };
            if next & PREV_IN_USE == 0 && self.window.u64(end) != Some(size) {
                return false;
            }
            if end == self.run.end || known.peek() == Some(&end) {
                return true;
            }
            self.looks = self.looks.saturating_sub(1);
            at = end;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Job;

    /// In use: 0x1000 and 0x1050 with 0x20 bytes; between them 0x1020 with 0x30, which is free; at 0x1070 the topmost
    /// chunk.
    const HEAP: [u64; 16] = [0, 0x21, 7, 7, 0, 0x31, 9, 9, 9, 9, 0x30, 0x20, 7, 7, 0, 0x101];

    fn run(end: u64) -> Run {
        Run { arena: 0, start: 0x1000, end, fenced: false, main: true }
    }

    fn walked(words: &[u64], run: &Run, hidden: &[u64]) -> (Walked, Vec<(u64, u64)>) {
        let mut blocks = Vec::new();
        let visit = &mut |block: Block| {
            blocks.push((block.address.0, block.bytes));
            Ok(())
        };
        let walked = walk(&Memory::of(0x1000, words), run, hidden, &mut Job::default().meter(), visit);
        (walked.expect("nobody cancels"), blocks)
    }

    #[test]
    fn blocks_in_use_are_those_whose_next_one_says_so() {
        let (walked, blocks) = walked(&HEAP, &run(0x1070), &[]);
        assert_eq!(blocks, [(0x1010, 0x20), (0x1060, 0x20)]);
        assert_eq!(walked.binned, Free { count: 1, bytes: 0x30 });
        assert_eq!((walked.used, walked.damages), (Free { count: 2, bytes: 0x40 }, vec![]));
    }

    #[test]
    fn what_a_list_hides_is_not_in_use() {
        let (walked, blocks) = walked(&HEAP, &run(0x1070), &[0x0f00, 0x1050, 0x2000]);
        assert_eq!(blocks, [(0x1010, 0x20)]);
        assert_eq!(walked.used.count, 1);
    }

    #[test]
    fn a_damaged_size_is_skipped_up_to_the_next_chunk() {
        for wrong in [0, 0x7000, 0x29, 0x32, 0x34, u64::MAX] {
            let mut words = HEAP;
            words[5] = wrong;
            let (walked, blocks) = walked(&words, &run(0x1070), &[]);
            assert_eq!(blocks, [(0x1010, 0x20), (0x1060, 0x20)], "{wrong:#x}");
            let damage = Damage {
                at: 0x1020,
                kind: DamageKind::Size(wrong),
                before: Some((0x1000, 0x20)),
                resumed: Some(0x1050),
            };
            assert_eq!(walked.damages, [damage]);
        }
    }

    #[test]
    fn a_free_chunk_that_the_next_one_knows_otherwise_counts_as_in_use() {
        let mut words = HEAP;
        words[10] = 0x40;
        let (walked, blocks) = walked(&words, &run(0x1070), &[]);
        assert_eq!(blocks, [(0x1010, 0x20), (0x1030, 0x30), (0x1060, 0x20)]);
        let kind = DamageKind::Footer { size: 0x30, stated: 0x40 };
        assert_eq!(walked.damages, [Damage { at: 0x1020, kind, before: Some((0x1000, 0x20)), resumed: Some(0x1050) }]);
    }

    #[test]
    fn two_fences_and_what_others_took_are_passed_over() {
        // 0x1000 in use, two fences, 0x20 bytes of someone else, 0x1060 in use, the topmost chunk at 0x1080.
        let words = [0, 0x21, 7, 7, 0, 0x11, 0, 0x11, 5, 5, 5, 5, 0, 0x21, 7, 7, 0, 0x101];
        let (walked, blocks) = walked(&words, &run(0x1080), &[]);
        assert_eq!(blocks, [(0x1010, 0x20), (0x1070, 0x20)]);
        assert_eq!(walked.damages, []);
    }

    #[test]
    fn a_heap_that_is_cut_anywhere_is_read_as_far_as_it_goes() {
        for len in 1..HEAP.len() {
            let (walked, blocks) = walked(&HEAP[..len], &run(0x1070), &[]);
            assert_eq!(walked.damages.len(), 1, "{len} words: {walked:?}");
            assert_eq!(walked.damages[0].kind, DamageKind::Unreadable, "{len} words: nothing of it is damaged");
            assert!(blocks.len() < 3);
        }
    }

    #[test]
    fn what_others_took_and_the_dump_leaves_out_is_no_damage() {
        let words = [0, 0x21, 7, 7, 0, 0x11, 0, 0x11];
        let (walked, blocks) = walked(&words, &run(0x1080), &[]);
        assert_eq!(blocks, [(0x1010, 0x20)]);
        let kinds: Vec<DamageKind> = walked.damages.iter().map(|damage| damage.kind).collect();
        assert_eq!(kinds, [DamageKind::Unreadable]);
    }

    #[test]
    fn a_run_is_cut_at_chunks_that_are_known() {
        let cut = run(0x1070).cut(0x30, &[0x1020, 0x1050, 0x1060]);
        assert_eq!(
            cut.iter().map(|run| (run.start, run.end)).collect::<Vec<_>>(),
            [(0x1000, 0x1050), (0x1050, 0x1070)]
        );
        let all: Vec<_> = cut.iter().flat_map(|run| walked(&HEAP, run, &[]).1).collect();
        assert_eq!(all, walked(&HEAP, &run(0x1070), &[]).1);
    }
}
