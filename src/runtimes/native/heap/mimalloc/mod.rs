//! mimalloc 2.0: segments of 32 MiB, pages of equal blocks in them.
//!
//! Input: the target's memory; no symbols. Output: blocks in use: those that no free list of a page or a heap holds. What each page states is
//! held against its lists, what heaps count against the pages. A version whose books are other is named and not walked. Where in a
//! block an aligned address was given out is recorded nowhere: such a block has the address of its start. Layouts: docs/layouts/mimalloc.md.

mod layout;
mod segments;
mod walk;

use std::ops::Range;
use std::sync::Arc;

use self::layout::HEAP_BYTES;
use self::segments::Segments;
use self::walk::{Heaps, Walked};
use super::allocator::{Allocator, Visit};
use super::reading::{add, of_allocator};
use super::unwalked::{self, Unwalked};
use crate::error::Error;
use crate::heap::{Arena, Free};
use crate::job::{Job, Meter, Shared};
use crate::model::{Addr, Problem, Subject};
use crate::target::{Module, Target};

const NAME: &str = "mimalloc";
/// What it begins its messages with. Source: mimalloc 2.0.9 src/options.c.
const MESSAGE: &str = "mimalloc: ";
/// Pages of a part.
const PART: usize = 4096;

/// The allocator of one module.
struct Mimalloc {
    target: Arc<Target>,
    segments: Segments,
    heaps: Heaps,
    /// Ranges of pages.
    parts: Vec<Range<usize>>,
    walked: Vec<Shared<Walked>>,
}

/// Looks for it in libraries of its name and in the executable.
pub(super) fn find(target: &Arc<Target>, job: &Job) -> Result<Option<Box<dyn Allocator>>, Error> {
    let mut told: Vec<(&Module, String)> = Vec::new();
    for module in of_allocator(target, "mimalloc", MESSAGE) {
        match of_module(target, module, job)? {
            Ok(found) => return Ok(Some(Box::new(found))),
            Err(why) => told.push((module, why)),
        }
    }
    Ok((!told.is_empty()).then(|| Box::new(Unwalked::of(NAME, told)) as _))
}

/// The allocator of a module, or why it cannot be walked.
fn of_module(target: &Arc<Target>, module: &Module, job: &Job) -> Result<Result<Mimalloc, String>, Error> {
    let segments = segments::find(target, module, job)?;
    if segments.pages.is_empty() || segments.odd.len() > segments.pages.len() / 16 {
        return Ok(Err(unwalked::why(target, module)));
    }
    if let Some(why) = walk::disagreement(&target.memory, &segments.pages, job)? {
        return Ok(Err(why));
    }
    let heaps = walk::heaps(&target.memory, &segments.pages, job)?;
    let count = segments.pages.len();
    let parts: Vec<Range<usize>> =
        (0..count).step_by(PART).map(|from| from..from.saturating_add(PART).min(count)).collect();
    let walked = parts.iter().map(|_| Shared::default()).collect();
    Ok(Ok(Mimalloc { target: Arc::clone(target), segments, heaps, parts, walked }))
}

impl Mimalloc {
    fn walk(&self, part: &Range<usize>, meter: &mut Meter<'_>, visit: &mut Visit<'_>) -> Result<Walked, Error> {
        let pages = self.segments.pages.get(part.clone()).unwrap_or_default();
        walk::walk(&self.target.memory, pages, &self.heaps.delayed, meter, visit)
    }
}

impl Allocator for Mimalloc {
    fn name(&self) -> &'static str {
        NAME
    }

    fn parts(&self) -> usize {
        self.parts.len()
    }

    fn blocks(&self, part: usize, meter: &mut Meter<'_>, visit: &mut Visit<'_>) -> Result<(), Error> {
        let Some((part, walked)) = self.parts.get(part).zip(self.walked.get(part)) else { return Ok(()) };
        let counted = self.walk(part, meter, visit)?;
        walked.get(meter.job(), |_| Ok(counted)).map(drop)
    }

    fn memory(&self) -> Vec<Range<Addr>> {
        let range = |from: u64, bytes: u64| Addr(from)..Addr(from.saturating_add(bytes));
        let segments = self.segments.segments.iter().map(|segment| range(segment.start, segment.bytes));
        segments.chain(self.heaps.heaps.iter().map(|heap| range(*heap, HEAP_BYTES))).collect()
    }

    fn arenas(&self, job: &Job) -> Result<Vec<Arena>, Error> {
        let (mut used, mut delayed, mut lists) = (Free::default(), Free::default(), [Free::default(); 3]);
        for (part, walked) in self.parts.iter().zip(&self.walked) {
            let walked = walked.get(job, |job| self.walk(part, &mut job.meter(), &mut |_| Ok(())))?;
            add(&mut used, walked.used.count, walked.used.bytes);
            add(&mut delayed, walked.delayed.count, walked.delayed.bytes);
            for (sum, more) in lists.iter_mut().zip(walked.lists) {
                add(sum, more.count, more.bytes);
            }
        }
        let system = self.segments.segments.iter().map(|segment| segment.bytes).fold(0, u64::saturating_add);
        let [own, local, thread] = lists;
        let (count, bytes) = self.segments.free_slices;
        let free = vec![
            ("free", own),
            ("local free", local),
            ("thread free", thread),
            ("delayed free", delayed),
            ("slices", Free { count, bytes }),
        ];
        let told = free.iter().map(|(_, free)| free.bytes).fold(used.bytes, u64::saturating_add);
        let overhead = system.saturating_sub(told);
        Ok(vec![Arena { name: "segments".to_owned(), address: None, system, used, free, overhead }])
    }

    fn problems(&self) -> Vec<Problem> {
        let mut all = Vec::new();
        let mut say = |code: &'static str, at: u64, message: String| {
            all.push(Problem::new(code, Subject::Memory(Addr(at)), message));
        };
        if let Some(first) = self.segments.odd.first() {
            let odd = self.segments.odd.len();
            let message = format!("what mimalloc says of {odd} pages cannot be right: their blocks are left out");
            say("heap-damaged", *first, message);
        }
        if let Some(heap) = self.heaps.broken.first() {
            let message = "a heap's list of what other threads freed breaks off: what it held counts as in use";
            say("heap-damaged", *heap, message.to_owned());
        }
        if let (Some((counted, found)), Some(heap)) = (self.heaps.miscounted, self.heaps.heaps.first()) {
            say("heap-incomplete", *heap, format!("mimalloc's heaps count {counted} pages, {found} were found"));
        }
        let aligned = self.segments.pages.iter().filter(|page| page.has_aligned && page.used > 0);
        if let Some(first) = aligned.clone().next() {
            let message = format!(
                "in {} pages of mimalloc are blocks that were asked for with an alignment: where in a block they begin is not \
                 recorded, and it is listed with the address of its start",
                aligned.count()
            );
            say("heap-inexact", first.start, message);
        }
        let mut odd = self.walked.iter().filter_map(Shared::known).flat_map(|walked| walked.odd.clone());
        if let Some(first) = odd.next() {
            let more = odd.count();
            let message = format!(
                "the free lists of the page that {} tells of do not hold what it states ({more} more pages are so)",
                Addr(first)
            );
            say("heap-damaged", first, message);
        }
        all
    }
}
